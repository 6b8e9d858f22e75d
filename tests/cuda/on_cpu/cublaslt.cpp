/* cuBLASLt's functions, as far as the CUDA backend calls them, computing on the
 * CPU: the library libcublasLt.so.13 of tests on machines without a GPU. It runs
 * in the streams of the libcuda.so.1 beside it. It refuses what cuBLASLt refuses,
 * and some of what would end in a crash or in noise. From the environment:
 *
 *   CUBLASLT_ON_CPU_VERSION  what cublasLtGetVersion () says
 *   CUBLASLT_ON_CPU_REFUSE   "create": no handle; "heuristic": no algorithm;
 *                            "check": none that was kept
 *
 * A handle or descriptor is a number that is never used again, so that one that
 * was destroyed is refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cublaslt_product.h"
#pragma GCC visibility push(default)
#include "cublaslt_on_cpu.h"
#pragma GCC visibility pop

#include <cuda.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <variant>

using namespace cublaslt_on_cpu;

namespace
{

/* --- what there is -------------------------------------------------------- */

struct Handle
{
};

using Object = std::variant<Handle, Description, Layout, Preference>;

std::mutex lock;                /* of the map */
std::map<void *, Object> objects;

void *
add (Object object)
{
  static uintptr_t last;
  std::lock_guard<std::mutex> guard (lock);
  void *key = (void *) ++last;

  objects.emplace (key, std::move (object));
  return key;
}

/* Of the map's object, so that nobody else's is locked for long. */
template <typename Kind, typename Visit> void
with (void *key, Visit visit)
{
  std::lock_guard<std::mutex> guard (lock);
  auto place = objects.find (key);
  Kind *object = place == objects.end () ? nullptr
      : std::get_if<Kind> (&place->second);

  if (!object)
    throw Refusal { CUBLAS_STATUS_INVALID_VALUE };
  visit (*object);
}

template <typename Kind> Kind
get (void *key)
{
  Kind copy { };

  with<Kind> (key, [&] (const Kind &object) { copy = object; });
  return copy;
}

template <typename Kind> void
remove (void *key)
{
  get<Kind> (key);
  std::lock_guard<std::mutex> guard (lock);
  objects.erase (key);
}

/* --- calls ---------------------------------------------------------------- */

std::atomic<long> calls, failing_call;
std::atomic<int> failing_status;

/* Calls `body`; its refusal becomes the function's status. */
template <typename Body> cublasStatus_t
answer (Body body)
{
  cublasStatus_t failure = ++calls == failing_call
      ? cublasStatus_t (failing_status.load ()) : CUBLAS_STATUS_SUCCESS;

  try {
    body (failure);
    return failure;
  } catch (const Refusal &refusal) {
    return refusal.status;
  }
}

/* Does nothing when it is made to fail. */
template <typename Body> cublasStatus_t
attempt (Body body)
{
  return answer ([&] (cublasStatus_t failure) {
    if (failure == CUBLAS_STATUS_SUCCESS)
      body ();
  });
}

/* Destroys in any case. */
template <typename Kind> cublasStatus_t
destroy (void *key)
{
  return answer ([&] (cublasStatus_t) { remove<Kind> (key); });
}

bool
is_refused (const char *what)
{
  const char *refused = getenv ("CUBLASLT_ON_CPU_REFUSE");

  return refused && strcmp (refused, what) == 0;
}

/* An attribute's value, which must have its size. */
template <typename Value> void
assign (Value &value, const void *buf, size_t size)
{
  if (!buf || size != sizeof value)
    throw Refusal { CUBLAS_STATUS_INVALID_VALUE };
  memcpy (&value, buf, size);
}

Product
put_together (cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d)
{
  Product product = { get<Description> (description), get<Layout> (a),
    get<Layout> (b), get<Layout> (c), get<Layout> (d) };

  check_product (product);
  return product;
}

}

/* --- cuBLASLt ------------------------------------------------------------- */

size_t
cublasLtGetVersion ()
{
  const char *version = getenv ("CUBLASLT_ON_CPU_VERSION");

  return version ? atol (version) : 130000;
}

const char *
cublasLtGetStatusName (cublasStatus_t status)
{
#define NAME(name) case CUBLAS_STATUS_ ## name: return "CUBLAS_STATUS_" #name;
  switch (status) {
    NAME (SUCCESS)
    NAME (NOT_INITIALIZED)
    NAME (ALLOC_FAILED)
    NAME (INVALID_VALUE)
    NAME (ARCH_MISMATCH)
    NAME (EXECUTION_FAILED)
    NAME (INTERNAL_ERROR)
    NAME (NOT_SUPPORTED)
    default:
      return "CUBLAS_STATUS_OTHER";
  }
#undef NAME
}

cublasStatus_t
cublasLtCreate (cublasLtHandle_t *handle)
{
  return attempt ([&] {
    int least, greatest;        /* of the current context */

    if (!handle || is_refused ("create")
        || cuCtxGetStreamPriorityRange (&least, &greatest) != CUDA_SUCCESS)
      throw Refusal { CUBLAS_STATUS_NOT_INITIALIZED };
    *handle = (cublasLtHandle_t) add (Handle { });
  });
}

cublasStatus_t
cublasLtDestroy (cublasLtHandle_t handle)
{
  return destroy<Handle> (handle);
}

cublasStatus_t
cublasLtMatmulDescCreate (cublasLtMatmulDesc_t *description,
    cublasComputeType_t compute, cudaDataType_t scale)
{
  return attempt ([&] {
    Description d;

    d.compute = compute;
    d.scale = scale;
    *description = (cublasLtMatmulDesc_t) add (d);
  });
}

cublasStatus_t
cublasLtMatmulDescDestroy (cublasLtMatmulDesc_t description)
{
  return destroy<Description> (description);
}

cublasStatus_t
cublasLtMatmulDescSetAttribute (cublasLtMatmulDesc_t description,
    cublasLtMatmulDescAttributes_t name, const void *buf, size_t size)
{
  return attempt ([&] {
    with<Description> (description, [&] (Description &d) {
      switch (name) {
        case CUBLASLT_MATMUL_DESC_POINTER_MODE:
          return assign (d.pointer_mode, buf, size);
        case CUBLASLT_MATMUL_DESC_TRANSA:
          return assign (d.transposed[0], buf, size);
        case CUBLASLT_MATMUL_DESC_TRANSB:
          return assign (d.transposed[1], buf, size);
        case CUBLASLT_MATMUL_DESC_EPILOGUE:
          return assign (d.epilogue, buf, size);
        case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
          return assign (d.bias, buf, size);
        case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
          return assign (d.bias_type, buf, size);
        default:
          throw Refusal { CUBLAS_STATUS_INVALID_VALUE };
      }
    });
  });
}

cublasStatus_t
cublasLtMatrixLayoutCreate (cublasLtMatrixLayout_t *layout,
    cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld)
{
  return attempt ([&] {
    *layout = (cublasLtMatrixLayout_t) add (Layout { type, rows, cols, ld });
  });
}

cublasStatus_t
cublasLtMatrixLayoutDestroy (cublasLtMatrixLayout_t layout)
{
  return destroy<Layout> (layout);
}

cublasStatus_t
cublasLtMatmulPreferenceCreate (cublasLtMatmulPreference_t *preference)
{
  return attempt ([&] {
    *preference = (cublasLtMatmulPreference_t) add (Preference { });
  });
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy (cublasLtMatmulPreference_t preference)
{
  return destroy<Preference> (preference);
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute (cublasLtMatmulPreference_t preference,
    cublasLtMatmulPreferenceAttributes_t name, const void *buf, size_t size)
{
  return attempt ([&] {
    with<Preference> (preference, [&] (Preference &p) {
      switch (name) {
        case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
          return assign (p.max_workspace, buf, size);
        case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
          return assign (p.reduction, buf, size);
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
          return assign (p.alignment[name
                  - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], buf, size);
        default:
          throw Refusal { CUBLAS_STATUS_INVALID_VALUE };
      }
    });
  });
}

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic (cublasLtHandle_t handle,
    cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference,
    int requested, cublasLtMatmulHeuristicResult_t results[], int *returned)
{
  return attempt ([&] {
    Product product = put_together (description, a, b, c, d);
    Preference p = get<Preference> (preference);

    get<Handle> (handle);
    if (requested <= 0 || !results || !returned)
      throw Refusal { CUBLAS_STATUS_INVALID_VALUE };
    if (is_refused ("heuristic"))
      throw Refusal { CUBLAS_STATUS_NOT_SUPPORTED };
    for (*returned = 0; *returned < requested && propose (product, p,
            *returned, &results[*returned]);)
      ++*returned;
  });
}

cublasStatus_t
cublasLtMatmulAlgoCheck (cublasLtHandle_t handle,
    cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algo,
    cublasLtMatmulHeuristicResult_t *result)
{
  return attempt ([&] {
    Product product = put_together (description, a, b, c, d);

    get<Handle> (handle);
    if (!algo || !result || is_refused ("check"))
      throw Refusal { CUBLAS_STATUS_INVALID_VALUE };
    result->workspaceSize = check_algo (product, *algo);
    result->state = CUBLAS_STATUS_SUCCESS;
  });
}

cublasStatus_t
cublasLtMatmul (cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
    const void *alpha, const void *A, cublasLtMatrixLayout_t a, const void *B,
    cublasLtMatrixLayout_t b, const void *beta, const void *C,
    cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
    const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_size,
    cudaStream_t stream)
{
  return attempt ([&] {
    Operands operands = { (const float *) alpha, (const float *) beta, A, B, C,
      D, workspace, workspace_size };

    get<Handle> (handle);
    if (!algo || (C == D) != (c == d))
      throw Refusal { CUBLAS_STATUS_INVALID_VALUE };
    run (put_together (description, a, b, c, d), *algo, operands,
        (CUstream_st *) stream);
  });
}

/* --- tests ---------------------------------------------------------------- */

void
cublaslt_on_cpu_fail_at (long call, int status)
{
  failing_status = status;
  failing_call = call > 0 ? calls + call : 0;
}

long
cublaslt_on_cpu_get_calls ()
{
  return calls;
}

long
cublaslt_on_cpu_get_descriptors ()
{
  std::lock_guard<std::mutex> guard (lock);

  return objects.size ();
}
