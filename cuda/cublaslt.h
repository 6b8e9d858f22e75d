/* cuBLASLt: matrix products, each with a choice of algorithms.
 *
 * The library is found at run time and need not be there: cuDNN has products too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "driver.h"

#include <cublasLt.h>

G_BEGIN_DECLS

/* Every cuBLASLt function the backend calls. */
#define DLORAL_CUBLASLT_FUNCTIONS(X) \
  X (cublasLtGetVersion) X (cublasLtGetStatusName) X (cublasLtCreate) \
  X (cublasLtDestroy) X (cublasLtMatmulDescCreate) \
  X (cublasLtMatmulDescDestroy) X (cublasLtMatmulDescSetAttribute) \
  X (cublasLtMatrixLayoutCreate) X (cublasLtMatrixLayoutDestroy) \
  X (cublasLtMatmulPreferenceCreate) X (cublasLtMatmulPreferenceDestroy) \
  X (cublasLtMatmulPreferenceSetAttribute) X (cublasLtMatmulAlgoGetHeuristic) \
  X (cublasLtMatmulAlgoCheck) X (cublasLtMatmul)

typedef struct
{
#define DLORAL_CUBLASLT_MEMBER(name) __typeof__ (name) *name;
  DLORAL_CUBLASLT_FUNCTIONS (DLORAL_CUBLASLT_MEMBER)
#undef DLORAL_CUBLASLT_MEMBER
} DloralCublasltApi;

/* The library, loaded once per process: the newest one that there is and that the
 * driver is new enough for. NULL and `error`: there is none. */
const DloralCublasltApi *dloral_cublaslt_get_api (const DloralDriver * driver,
    GError ** error);

/* --- On a device ------------------------------------------------------------- */

/* For the context current at its making. */
typedef struct
{
  const DloralCublasltApi *api;
  cublasLtHandle_t handle;
  GMutex lock;                  /* of the handle */
  gsize max_workspace;          /* bytes */
} DloralCublaslt;

/* arch: 90 is compute capability 9.0. */
DloralCublaslt *dloral_cublaslt_new (const DloralDriver * driver, int arch,
    GError ** error);
void dloral_cublaslt_free (DloralCublaslt * lt);

/* Whether the status is success; if not, `error` says which call failed. */
gboolean dloral_cublaslt_check (const DloralCublasltApi * api,
    cublasStatus_t status, const char *call, GError ** error);

/* --- Products ---------------------------------------------------------------- */

/* y [rows][o] = x [rows][i] · wᵀ, w [o][i], + bias [o] + residual [rows][o]; sums
 * in f32. x and w are of `type`, BF16 or F16; bias, residual and y of `y_type`,
 * the same or F32. */
typedef struct
{
  gint64 rows, i, o;
  DloralDtype type, y_type;
  CUdeviceptr bias;             /* 0: none */
  gboolean residual;
} DloralMatmulParams;

typedef struct
{
  cublasLtMatmulAlgo_t algo;    /* may be kept for this version of the library */
  gsize workspace;              /* bytes wanted at a run */
} DloralMatmulAlgo;

typedef struct _DloralMatmul DloralMatmul;

DloralMatmul *dloral_matmul_new (DloralCublaslt * lt,
    const DloralMatmulParams * params, GError ** error);
void dloral_matmul_free (DloralMatmul * m);

/* The algorithms that cuBLASLt proposes, best first, not more than n. Returns how
 * many; 0 where there is none or a call fails. */
int dloral_matmul_propose (DloralMatmul * m, int n, DloralMatmulAlgo * algos);

/* Whether a kept algorithm does it here. */
gboolean dloral_matmul_accepts (DloralMatmul * m,
    const DloralMatmulAlgo * algo);

/* All are aligned to DLORAL_ALIGN bytes, the workspace to 256; residual 0: none. */
gboolean dloral_matmul_run (DloralMatmul * m, const DloralMatmulAlgo * algo,
    CUdeviceptr x, CUdeviceptr w, CUdeviceptr residual, CUdeviceptr y,
    CUdeviceptr workspace, CUstream stream, GError ** error);

G_END_DECLS
