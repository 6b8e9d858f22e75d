/* Products: what is checked, and how they are computed; every sum in double.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cublaslt_product.h"
#include "on_cpu.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

namespace cublaslt_on_cpu
{

/* What an address at least has to be a multiple of. */
const uint32_t ALIGNMENT = 16;
const size_t WORKSPACE = 64 * 1024;     /* of the second algorithm */

static void
require (bool condition, cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE)
{
  if (!condition)
    throw Refusal { status };
}

/* --- elements ------------------------------------------------------------- */

static size_t
get_size (cudaDataType_t type)
{
  return type == CUDA_R_32F ? 4 : 2;
}

static size_t
get_size (const Layout &layout)
{
  return ((layout.cols - 1) * layout.ld + layout.rows) * get_size (layout.type);
}

static double
load (const void *start, cudaDataType_t type, size_t i)
{
  switch (type) {
    case CUDA_R_16F:
      return __half2float (((const __half *) start)[i]);
    case CUDA_R_16BF:
      return __bfloat162float (((const __nv_bfloat16 *) start)[i]);
    default:
      return ((const float *) start)[i];
  }
}

static void
store (void *start, cudaDataType_t type, size_t i, float value)
{
  switch (type) {
    case CUDA_R_16F:
      ((__half *) start)[i] = __float2half_rn (value);
      return;
    case CUDA_R_16BF:
      ((__nv_bfloat16 *) start)[i] = __float2bfloat16_rn (value);
      return;
    default:
      ((float *) start)[i] = value;
  }
}

/* --- products ------------------------------------------------------------- */

static bool
is_transposed (const Product &product, int operand)
{
  return product.description.transposed[operand] == CUBLAS_OP_T;
}

static uint64_t
get_depth (const Product &product)
{
  return is_transposed (product, 0) ? product.a.rows : product.a.cols;
}

static void
check_layout (const Layout &layout)
{
  require (layout.rows > 0 && layout.cols > 0
      && layout.ld >= int64_t (layout.rows));
}

static void
check_types (const Product &product)
{
  const Description &description = product.description;
  cudaDataType_t type = product.a.type, result = product.d.type;

  require (description.compute == CUBLAS_COMPUTE_32F
      && description.scale == CUDA_R_32F
      && description.pointer_mode == CUBLASLT_POINTER_MODE_HOST
      && (type == CUDA_R_16F || type == CUDA_R_16BF || type == CUDA_R_32F)
      && product.b.type == type && product.c.type == result
      && (result == type || result == CUDA_R_32F),
      CUBLAS_STATUS_NOT_SUPPORTED);
}

/* The bias has the result's type, and its own alignment. */
static void
check_epilogue (const Product &product)
{
  const Description &description = product.description;

  if (description.epilogue == CUBLASLT_EPILOGUE_DEFAULT)
    return;
  require (description.epilogue == CUBLASLT_EPILOGUE_BIAS
      && (description.bias_type == -1
          || description.bias_type == product.d.type),
      CUBLAS_STATUS_NOT_SUPPORTED);
  require (description.bias
      && (uintptr_t) description.bias % ALIGNMENT == 0);
}

void
check_product (const Product &product)
{
  const Layout &a = product.a, &b = product.b, &d = product.d;
  bool ta = is_transposed (product, 0), tb = is_transposed (product, 1);

  for (int transposed : product.description.transposed)
    require (transposed == CUBLAS_OP_N || transposed == CUBLAS_OP_T);
  for (const Layout &layout : { a, b, product.c, d })
    check_layout (layout);
  require ((ta ? a.cols : a.rows) == d.rows && (tb ? b.rows : b.cols) == d.cols
      && get_depth (product) == (tb ? b.cols : b.rows)
      && product.c.rows == d.rows && product.c.cols == d.cols);
  check_types (product);
  check_epilogue (product);
}

/* --- algorithms ----------------------------------------------------------- */

/* What an algorithm's bytes are here. */
struct Algo
{
  uint64_t version, number, checksum;
  uint32_t alignment[4];
  uint64_t rest[3];             /* 0 */
};

static_assert (sizeof (Algo) == sizeof (cublasLtMatmulAlgo_t));

/* FNV-1a over what it was proposed for. */
static uint64_t
get_checksum (const Product &product, const Algo &algo)
{
  const Description &description = product.description;
  uint64_t numbers[] = { product.a.rows, product.a.cols, product.b.rows,
    product.b.cols, uint64_t (product.a.type), uint64_t (product.d.type),
    uint64_t (description.transposed[0]), uint64_t (description.transposed[1]),
    description.epilogue, algo.number, algo.alignment[0], algo.alignment[1],
    algo.alignment[2], algo.alignment[3] };
  uint64_t sum = 0xcbf29ce484222325;

  for (uint64_t number : numbers)
    sum = (sum ^ number) * 0x100000001b3;
  return sum;
}

bool
propose (const Product &product, const Preference &preference, int n,
    cublasLtMatmulHeuristicResult_t *result)
{
  Algo algo = { };

  if (n > 1 || (n == 1 && (preference.max_workspace < WORKSPACE
              || !(preference.reduction
                  & CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE))))
    return false;
  for (int i = 0; i < 4; i++) {
    uint32_t alignment = preference.alignment[i];

    require (alignment >= ALIGNMENT && !(alignment & (alignment - 1)),
        CUBLAS_STATUS_NOT_SUPPORTED);
    algo.alignment[i] = alignment;
  }
  algo.version = cublasLtGetVersion ();
  algo.number = n;
  algo.checksum = get_checksum (product, algo);
  memcpy (&result->algo, &algo, sizeof algo);
  result->workspaceSize = n * WORKSPACE;
  result->state = CUBLAS_STATUS_SUCCESS;
  result->wavesCount = 1;
  return true;
}

static Algo
read_algo (const Product &product, const cublasLtMatmulAlgo_t &bytes)
{
  Algo algo;

  memcpy (&algo, &bytes, sizeof algo);
  require (algo.version == cublasLtGetVersion () && algo.number <= 1
      && algo.checksum == get_checksum (product, algo)
      && !algo.rest[0] && !algo.rest[1] && !algo.rest[2]);
  return algo;
}

size_t
check_algo (const Product &product, const cublasLtMatmulAlgo_t &algo)
{
  return read_algo (product, algo).number * WORKSPACE;
}

/* --- running -------------------------------------------------------------- */

/* All that a run needs, as it was when it was queued: it may run often. */
struct Run
{
  Product product;
  Operands operands;
  float alpha, beta;
};

static bool
is_there (const void *start, size_t size)
{
  return cuda_on_cpu_check_range (CUdeviceptr (start), size);
}

static bool
is_memory_there (const Run &run)
{
  const Product &p = run.product;
  const Operands &o = run.operands;

  return is_there (o.a, get_size (p.a)) && is_there (o.b, get_size (p.b))
      && is_there (o.c, get_size (p.c)) && is_there (o.d, get_size (p.d))
      && (p.description.epilogue != CUBLASLT_EPILOGUE_BIAS
          || is_there (p.description.bias, p.d.rows * get_size (p.d.type)))
      && (o.workspace_size == 0 || is_there (o.workspace, o.workspace_size));
}

/* An element of op (A) or op (B): `inner` along what is summed. */
static double
get_factor (const Run &run, int operand, uint64_t outer, uint64_t inner)
{
  const Layout &layout = operand ? run.product.b : run.product.a;
  const void *start = operand ? run.operands.b : run.operands.a;
  bool along = is_transposed (run.product, operand) != (operand == 1);

  return load (start, layout.type, along ? outer * layout.ld + inner
      : inner * layout.ld + outer);
}

static double
get_sum (const Run &run, uint64_t row, uint64_t col)
{
  const Product &p = run.product;
  double sum = 0;

  for (uint64_t k = 0; k < get_depth (p); k++)
    sum += get_factor (run, 0, row, k) * get_factor (run, 1, col, k);
  sum *= run.alpha;
  if (run.beta != 0)
    sum += run.beta * load (run.operands.c, p.c.type, col * p.c.ld + row);
  if (p.description.epilogue == CUBLASLT_EPILOGUE_BIAS)
    sum += load (p.description.bias, p.d.type, row);
  return sum;
}

/* Leaves nothing in the workspace that anybody could have wanted to keep. Memory
 * may be gone that was there when the run was queued. */
static void
run_queued (void *data)
{
  const Run &run = *(const Run *) data;
  const Layout &d = run.product.d;

  if (!is_memory_there (run)) {
    fprintf (stderr, "cuBLASLt on the CPU: memory that is none\n");
    cuda_on_cpu_fail_at (1, CUDA_ERROR_ILLEGAL_ADDRESS);
    return;
  }
  if (run.operands.workspace_size > 0)
    memset (run.operands.workspace, 0xff, run.operands.workspace_size);
  for (uint64_t col = 0; col < d.cols; col++)
    for (uint64_t row = 0; row < d.rows; row++)
      store (run.operands.d, d.type, col * d.ld + row,
          get_sum (run, row, col));
}

static void
free_run (void *data)
{
  delete (Run *) data;
}

/* Whether two ranges have a byte in common. */
static bool
overlap (const void *a, size_t a_size, const void *b, size_t b_size)
{
  return (const char *) a < (const char *) b + b_size
      && (const char *) b < (const char *) a + a_size;
}

/* What is read must not be written, but for C in the place of D. */
static void
check_operands (const Product &p, const Operands &o, const Algo &algo)
{
  const void *addresses[] = { o.a, o.b, o.c, o.d };
  size_t d_size = get_size (p.d);

  require (o.alpha && o.beta);
  for (int i = 0; i < 4; i++)
    require (addresses[i] && (uintptr_t) addresses[i] % algo.alignment[i] == 0);
  require (!overlap (o.a, get_size (p.a), o.d, d_size)
      && !overlap (o.b, get_size (p.b), o.d, d_size)
      && (o.c == o.d || !overlap (o.c, get_size (p.c), o.d, d_size)));
  require (o.workspace_size >= algo.number * WORKSPACE
      && (o.workspace_size == 0 || o.workspace)
      && (uintptr_t) o.workspace % 256 == 0);
}

void
run (const Product &product, const cublasLtMatmulAlgo_t &algo,
    const Operands &operands, CUstream_st *stream)
{
  std::unique_ptr<Run> run;

  check_operands (product, operands, read_algo (product, algo));
  run.reset (new Run { product, operands, *operands.alpha, *operands.beta });
  require (is_memory_there (*run));
  require (cuda_on_cpu_enqueue (stream, run_queued, run.release (), free_run)
      == CUDA_SUCCESS, CUBLAS_STATUS_EXECUTION_FAILED);
}

}
