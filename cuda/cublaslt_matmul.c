/* A product as cuBLASLt's descriptors. Its matrices are by columns: what is
 * [rows][o] here is o × rows there, so that bias goes along its rows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cublaslt.h"

#define MAX_ALGOS 16

struct _DloralMatmul
{
  DloralCublaslt *lt;
  DloralMatmulParams params;
  cublasLtMatmulDesc_t product;
  cublasLtMatrixLayout_t w, x, residual, y;     /* residual NULL: none */
};

/* --- Descriptors --------------------------------------------------------------- */

static cudaDataType_t
get_data_type (DloralDtype dtype)
{
  return dtype == DLORAL_F32 ? CUDA_R_32F :
      dtype == DLORAL_F16 ? CUDA_R_16F : CUDA_R_16BF;
}

#define SET_PRODUCT(m, name, value, error) \
  dloral_cublaslt_check ((m)->lt->api, \
      (m)->lt->api->cublasLtMatmulDescSetAttribute ((m)->product, \
          CUBLASLT_MATMUL_DESC_##name, &(value), sizeof (value)), \
      "cublasLtMatmulDescSetAttribute", error)

static gboolean
describe_product (DloralMatmul *m, GError **error)
{
  const DloralCublasltApi *api = m->lt->api;
  gint32 transposed = CUBLAS_OP_T;
  guint32 epilogue = CUBLASLT_EPILOGUE_BIAS;
  const void *bias = (const void *) m->params.bias;

  return dloral_cublaslt_check (api, api->cublasLtMatmulDescCreate
      (&m->product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
      "cublasLtMatmulDescCreate", error)
      && SET_PRODUCT (m, TRANSA, transposed, error)
      && (bias == NULL || (SET_PRODUCT (m, EPILOGUE, epilogue, error)
          && SET_PRODUCT (m, BIAS_POINTER, bias, error)));
}

/* [n][c] */
static gboolean
describe_matrix (DloralMatmul *m, cublasLtMatrixLayout_t *layout,
    DloralDtype dtype, gint64 n, gint64 c, GError **error)
{
  const DloralCublasltApi *api = m->lt->api;

  return dloral_cublaslt_check (api, api->cublasLtMatrixLayoutCreate (layout,
          get_data_type (dtype), c, n, c), "cublasLtMatrixLayoutCreate", error);
}

DloralMatmul *
dloral_matmul_new (DloralCublaslt *lt, const DloralMatmulParams *p,
    GError **error)
{
  DloralMatmul *m = g_new0 (DloralMatmul, 1);

  m->lt = lt;
  m->params = *p;
  if (describe_product (m, error)
      && describe_matrix (m, &m->w, p->type, p->o, p->i, error)
      && describe_matrix (m, &m->x, p->type, p->rows, p->i, error)
      && (!p->residual || describe_matrix (m, &m->residual, p->y_type,
              p->rows, p->o, error))
      && describe_matrix (m, &m->y, p->y_type, p->rows, p->o, error))
    return m;
  dloral_matmul_free (m);
  return NULL;
}

void
dloral_matmul_free (DloralMatmul *m)
{
  cublasLtMatrixLayout_t layouts[] = { m->w, m->x, m->residual, m->y };

  for (guint i = 0; i < G_N_ELEMENTS (layouts); i++)
    if (layouts[i])
      m->lt->api->cublasLtMatrixLayoutDestroy (layouts[i]);
  if (m->product)
    m->lt->api->cublasLtMatmulDescDestroy (m->product);
  g_free (m);
}

/* Where nothing is added, y takes the place of what is not. */
static cublasLtMatrixLayout_t
get_residual (const DloralMatmul *m)
{
  return m->residual ? m->residual : m->y;
}

/* --- Algorithms ---------------------------------------------------------------- */

#define SET_PREFERENCE(api, preference, name, value) \
  dloral_cublaslt_check (api, \
      (api)->cublasLtMatmulPreferenceSetAttribute (preference, \
          CUBLASLT_MATMUL_PREF_##name, &(value), sizeof (value)), \
      "cublasLtMatmulPreferenceSetAttribute", NULL)

/* Partial sums stay in f32. */
static cublasLtMatmulPreference_t
make_preference (const DloralCublaslt *lt)
{
  const DloralCublasltApi *api = lt->api;
  cublasLtMatmulPreference_t p = NULL;
  guint32 reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  guint32 alignment = DLORAL_ALIGN;
  guint64 workspace = lt->max_workspace;

  if (!dloral_cublaslt_check (api, api->cublasLtMatmulPreferenceCreate (&p),
          "cublasLtMatmulPreferenceCreate", NULL))
    return NULL;
  if (SET_PREFERENCE (api, p, MAX_WORKSPACE_BYTES, workspace)
      && SET_PREFERENCE (api, p, REDUCTION_SCHEME_MASK, reduction)
      && SET_PREFERENCE (api, p, MIN_ALIGNMENT_A_BYTES, alignment)
      && SET_PREFERENCE (api, p, MIN_ALIGNMENT_B_BYTES, alignment)
      && SET_PREFERENCE (api, p, MIN_ALIGNMENT_C_BYTES, alignment)
      && SET_PREFERENCE (api, p, MIN_ALIGNMENT_D_BYTES, alignment))
    return p;
  api->cublasLtMatmulPreferenceDestroy (p);
  return NULL;
}

int
dloral_matmul_propose (DloralMatmul *m, int n, DloralMatmulAlgo *algos)
{
  const DloralCublasltApi *api = m->lt->api;
  cublasLtMatmulHeuristicResult_t results[MAX_ALGOS];
  cublasLtMatmulPreference_t preference = make_preference (m->lt);
  cublasStatus_t status;
  int found = 0, usable = 0;

  if (preference == NULL)
    return 0;
  g_mutex_lock (&m->lt->lock);
  status = api->cublasLtMatmulAlgoGetHeuristic (m->lt->handle, m->product,
      m->w, m->x, get_residual (m), m->y, preference, MIN (n, MAX_ALGOS),
      results, &found);
  g_mutex_unlock (&m->lt->lock);
  api->cublasLtMatmulPreferenceDestroy (preference);
  if (status != CUBLAS_STATUS_SUCCESS)
    return 0;
  for (int i = 0; i < found; i++)
    if (results[i].state == CUBLAS_STATUS_SUCCESS
        && results[i].workspaceSize <= m->lt->max_workspace)
      algos[usable++] = (DloralMatmulAlgo) { results[i].algo,
        results[i].workspaceSize };
  return usable;
}

gboolean
dloral_matmul_accepts (DloralMatmul *m, const DloralMatmulAlgo *algo)
{
  cublasLtMatmulHeuristicResult_t result = { 0 };
  cublasStatus_t status;

  g_mutex_lock (&m->lt->lock);
  status = m->lt->api->cublasLtMatmulAlgoCheck (m->lt->handle, m->product,
      m->w, m->x, get_residual (m), m->y, &algo->algo, &result);
  g_mutex_unlock (&m->lt->lock);
  return status == CUBLAS_STATUS_SUCCESS
      && result.state == CUBLAS_STATUS_SUCCESS
      && result.workspaceSize <= algo->workspace;
}

/* --- Running ------------------------------------------------------------------- */

gboolean
dloral_matmul_run (DloralMatmul *m, const DloralMatmulAlgo *algo,
    CUdeviceptr x, CUdeviceptr w, CUdeviceptr residual, CUdeviceptr y,
    CUdeviceptr workspace, CUstream stream, GError **error)
{
  const DloralCublasltApi *api = m->lt->api;
  float alpha = 1, beta = residual ? 1 : 0;
  cublasStatus_t status;

  g_mutex_lock (&m->lt->lock);
  status = api->cublasLtMatmul (m->lt->handle, m->product, &alpha,
      (const void *) w, m->w, (const void *) x, m->x, &beta,
      (const void *) (residual ? residual : y), get_residual (m), (void *) y,
      m->y, &algo->algo, algo->workspace ? (void *) workspace : NULL,
      algo->workspace, (cudaStream_t) stream);
  g_mutex_unlock (&m->lt->lock);
  return dloral_cublaslt_check (api, status, "cublasLtMatmul", error);
}
