/* The stand-in for cuBLASLt: what it computes, and what it refuses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cublaslt_on_cpu.h"

#include <cublasLt.h>
#include <cuda.h>
#include <glib.h>

/* D [2 columns of 3] = Aᵀ · B + bias + C, A and B by columns of 4. */
#define M 3
#define N 2
#define K 4
#define WORKSPACE (64 * 1024)

typedef struct
{
  CUcontext context;
  CUstream stream;
  CUdeviceptr memory;           /* A, B, C, D, bias in pages of 256 bytes, and the
                                 * workspace */
  cublasLtHandle_t handle;
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t a, b, c, d;
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t found[4];
  int n_found;
} Fixture;

enum { A, B, C, D, BIAS, SPACE };

static CUdeviceptr
get (const Fixture *f, int page)
{
  return f->memory + 256 * page;
}

#define OK(call) g_assert_cmpint (call, ==, CUBLAS_STATUS_SUCCESS)
#define REFUSED(call, reason) \
  g_assert_cmpint (call, ==, CUBLAS_STATUS_##reason)

static cublasStatus_t
propose (Fixture *f)
{
  return cublasLtMatmulAlgoGetHeuristic (f->handle, f->product, f->a, f->b,
      f->c, f->d, f->preference, G_N_ELEMENTS (f->found), f->found,
      &f->n_found);
}

static void
put (const Fixture *f, int page, int n, const float *values)
{
  g_assert_cmpint (cuMemcpyHtoDAsync (get (f, page), values,
          n * sizeof (float), f->stream), ==, 0);
}

static void
set_up_memory (Fixture *f)
{
  static const float a[] = { 1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1 };
  static const float b[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
  static const float c[] = { 100, 200, 300, 400, 500, 600 };
  static const float bias[] = { 0.5, 0.25, 0.125 };

  g_assert_cmpint (cuInit (0), ==, 0);
  g_assert_cmpint (cuDevicePrimaryCtxRetain (&f->context, 0), ==, 0);
  g_assert_cmpint (cuCtxPushCurrent (f->context), ==, 0);
  g_assert_cmpint (cuStreamCreateWithPriority (&f->stream,
          CU_STREAM_NON_BLOCKING, 0), ==, 0);
  g_assert_cmpint (cuMemAlloc (&f->memory, 256 * SPACE + WORKSPACE), ==, 0);
  put (f, A, G_N_ELEMENTS (a), a);
  put (f, B, G_N_ELEMENTS (b), b);
  put (f, C, G_N_ELEMENTS (c), c);
  put (f, BIAS, G_N_ELEMENTS (bias), bias);
}

static void
set_up_product (Fixture *f)
{
  gint32 transposed = CUBLAS_OP_T;
  guint32 epilogue = CUBLASLT_EPILOGUE_BIAS;
  const void *bias = (const void *) get (f, BIAS);

  OK (cublasLtMatmulDescCreate (&f->product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  OK (cublasLtMatmulDescSetAttribute (f->product, CUBLASLT_MATMUL_DESC_TRANSA,
          &transposed, sizeof transposed));
  OK (cublasLtMatmulDescSetAttribute (f->product,
          CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
  OK (cublasLtMatmulDescSetAttribute (f->product,
          CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
  OK (cublasLtMatrixLayoutCreate (&f->a, CUDA_R_32F, K, M, K));
  OK (cublasLtMatrixLayoutCreate (&f->b, CUDA_R_32F, K, N, K));
  OK (cublasLtMatrixLayoutCreate (&f->c, CUDA_R_32F, M, N, M));
  OK (cublasLtMatrixLayoutCreate (&f->d, CUDA_R_32F, M, N, M));
}

static void
set_up (Fixture *f, gconstpointer data)
{
  guint64 workspace = WORKSPACE;

  set_up_memory (f);
  OK (cublasLtCreate (&f->handle));
  set_up_product (f);
  OK (cublasLtMatmulPreferenceCreate (&f->preference));
  OK (cublasLtMatmulPreferenceSetAttribute (f->preference,
          CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
          sizeof workspace));
  OK (propose (f));
  g_assert_cmpint (f->n_found, ==, 2);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  OK (cublasLtMatmulPreferenceDestroy (f->preference));
  OK (cublasLtMatrixLayoutDestroy (f->a));
  OK (cublasLtMatrixLayoutDestroy (f->b));
  OK (cublasLtMatrixLayoutDestroy (f->c));
  OK (cublasLtMatrixLayoutDestroy (f->d));
  OK (cublasLtMatmulDescDestroy (f->product));
  OK (cublasLtDestroy (f->handle));
  g_assert_cmpint (cublaslt_on_cpu_get_descriptors (), ==, 0);
  g_assert_cmpint (cuStreamSynchronize (f->stream), ==, 0);
  g_assert_cmpint (cuStreamDestroy (f->stream), ==, 0);
  g_assert_cmpint (cuMemFree (f->memory), ==, 0);
  g_assert_cmpint (cuCtxPopCurrent (&f->context), ==, 0);
  g_assert_cmpint (cuDevicePrimaryCtxRelease (0), ==, 0);
}

static cublasStatus_t
multiply (const Fixture *f, int algo, CUdeviceptr d, gsize workspace)
{
  static const float one = 1;

  return cublasLtMatmul (f->handle, f->product, &one, (void *) get (f, A),
      f->a, (void *) get (f, B), f->b, &one, (void *) get (f, C), f->c,
      (void *) d, f->d, &f->found[algo].algo, (void *) get (f, SPACE),
      workspace, (cudaStream_t) f->stream);
}

static void
test_result (Fixture *f, gconstpointer data)
{
  static const float expected[] = { 101.5, 202.25, 310.125, 405.5, 506.25,
    626.125 };
  float result[M * N];

  for (int algo = 0; algo < f->n_found; algo++) {
    g_assert_cmpint (cuMemsetD8Async (get (f, D), 0xff, sizeof result,
            f->stream), ==, 0);
    OK (multiply (f, algo, get (f, D), f->found[algo].workspaceSize));
    g_assert_cmpint (cuMemcpyDtoHAsync (result, get (f, D), sizeof result,
            f->stream), ==, 0);
    g_assert_cmpint (cuStreamSynchronize (f->stream), ==, 0);
    g_assert_cmpmem (result, sizeof result, expected, sizeof expected);
  }
}

static void
test_operands (Fixture *f, gconstpointer data)
{
  cublasLtMatmulAlgo_t kept = f->found[0].algo;

  REFUSED (multiply (f, 1, get (f, D), 0), INVALID_VALUE);
  REFUSED (multiply (f, 0, get (f, D) + 16, 0), INVALID_VALUE);
  REFUSED (multiply (f, 0, get (f, A), 0), INVALID_VALUE);
  REFUSED (multiply (f, 0, get (f, C), 0), INVALID_VALUE);
  REFUSED (multiply (f, 0, f->memory + (1 << 20), 0), INVALID_VALUE);
  f->found[0].algo.data[2] ^= 1;
  REFUSED (multiply (f, 0, get (f, D), 0), INVALID_VALUE);
  f->found[0].algo = kept;
  cublaslt_on_cpu_fail_at (1, CUBLAS_STATUS_INTERNAL_ERROR);
  REFUSED (multiply (f, 0, get (f, D), 0), INTERNAL_ERROR);
  OK (multiply (f, 0, get (f, D), 0));
}

static void
test_layouts (Fixture *f, gconstpointer data)
{
  static const struct
  {
    cudaDataType type;
    int rows, cols, ld;
    cublasStatus_t status;
  } wrong[] = {
    { CUDA_R_32F, M, N, M - 1, CUBLAS_STATUS_INVALID_VALUE },
    { CUDA_R_32F, N, M, M, CUBLAS_STATUS_INVALID_VALUE },
    { CUDA_R_32F, M, 0, M, CUBLAS_STATUS_INVALID_VALUE },
    { CUDA_R_16BF, M, N, M, CUBLAS_STATUS_NOT_SUPPORTED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    OK (cublasLtMatrixLayoutDestroy (f->d));
    OK (cublasLtMatrixLayoutCreate (&f->d, wrong[i].type, wrong[i].rows,
            wrong[i].cols, wrong[i].ld));
    g_assert_cmpint (propose (f), ==, wrong[i].status);
  }
}

static void
test_attributes (Fixture *f, gconstpointer data)
{
  const void *odd = (const void *) (get (f, BIAS) + 4);
  guint32 gelu = CUBLASLT_EPILOGUE_GELU_BIAS, none = 0;
  guint64 wide = CUBLAS_OP_T;

  REFUSED (cublasLtMatmulDescSetAttribute (f->product,
          CUBLASLT_MATMUL_DESC_TRANSA, &wide, sizeof wide), INVALID_VALUE);
  OK (cublasLtMatmulPreferenceSetAttribute (f->preference,
          CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &none, sizeof none));
  OK (propose (f));
  g_assert_cmpint (f->n_found, ==, 1);
  OK (cublasLtMatmulDescSetAttribute (f->product,
          CUBLASLT_MATMUL_DESC_BIAS_POINTER, &odd, sizeof odd));
  REFUSED (propose (f), INVALID_VALUE);
  OK (cublasLtMatmulDescSetAttribute (f->product,
          CUBLASLT_MATMUL_DESC_EPILOGUE, &gelu, sizeof gelu));
  REFUSED (propose (f), NOT_SUPPORTED);
  REFUSED (cublasLtMatmulDescDestroy ((cublasLtMatmulDesc_t) f->a),
      INVALID_VALUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name) \
  g_test_add ("/cublaslt/" #name, Fixture, NULL, set_up, test_##name, tear_down)
  ADD (result);
  ADD (operands);
  ADD (layouts);
  ADD (attributes);
#undef ADD
  return g_test_run ();
}
