/* cuDNN's graph API: operations built from a few shapes, each turned into a plan
 * for the device once, and kept on disk for the next start.
 *
 * The library is found at run time. Plans are made from a description of the
 * device, so that they can also be made where there is none (tests).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "driver.h"

#include <cudnn_graph.h>

G_BEGIN_DECLS

/* Every cuDNN function the backend calls. */
#define DLORAL_CUDNN_FUNCTIONS(X) \
  X (cudnnGetVersion) X (cudnnGetCudartVersion) X (cudnnGetErrorString) \
  X (cudnnGetLastErrorString) X (cudnnCreate) X (cudnnDestroy) \
  X (cudnnSetStream) X (cudnnBackendCreateDescriptor) \
  X (cudnnBackendDestroyDescriptor) X (cudnnBackendSetAttribute) \
  X (cudnnBackendGetAttribute) X (cudnnBackendFinalize) X (cudnnBackendExecute)

typedef struct
{
#define DLORAL_CUDNN_MEMBER(name) __typeof__ (name) *name;
  DLORAL_CUDNN_FUNCTIONS (DLORAL_CUDNN_MEMBER)
#undef DLORAL_CUDNN_MEMBER
} DloralCudnnApi;

/* The library, loaded once per process. NULL and `error`: there is none, or one
 * of another major version. */
const DloralCudnnApi *dloral_cudnn_get_api (GError ** error);

/* --- A device to make plans for --------------------------------------------- */

typedef struct _DloralCudnn DloralCudnn;

/* For the device current in this thread, or for one that a JSON text describes.
 * tune: of several plans for an operation keep the one that ran fastest; needs
 * the device. cache: folder of finished plans, made when the first is written;
 * NULL keeps none. */
DloralCudnn *dloral_cudnn_new (const DloralDriver * driver,
    const char *device_json, const char *cache, gboolean tune, GError ** error);
void dloral_cudnn_free (DloralCudnn * cudnn);

/* A handle whose operations go into `stream`. In the device's context. */
cudnnHandle_t dloral_cudnn_create_handle (DloralCudnn * cudnn, CUstream stream,
    GError ** error);
void dloral_cudnn_destroy_handle (DloralCudnn * cudnn, cudnnHandle_t handle);

/* While `quiet`, no plan is made; the call waits for those in the making. Every
 * thread that asks for quiet ends it before it makes a plan. */
void dloral_cudnn_set_quiet (DloralCudnn * cudnn, gboolean quiet);

/* What was found out by an earlier run, in the folder of finished plans: the answer
 * to a question in one line, about this device and library. A file that is
 * damaged, or of others, is none; NULL then. */
char *dloral_cudnn_recall (const DloralCudnn * cudnn, const char *question);
/* What cannot be written is not: the next start is slower, that is all. */
void dloral_cudnn_keep (const DloralCudnn * cudnn, const char *question,
    const char *answer);

/* --- Operations as graphs --------------------------------------------------- */

/* A graph being built. A failure on the way is kept and comes out at the end. */
typedef struct _DloralCudnnGraph DloralCudnnGraph;

/* A tensor of a graph; owned by it. */
typedef struct _DloralCudnnTensor DloralCudnnTensor;

/* exact: only engines that compute f32 as f32. cancelled: engine/cancel.h, looked at
 * before every plan that is tried. */
DloralCudnnGraph *dloral_cudnn_graph_new (DloralCudnn * cudnn, gboolean exact,
    const gint * cancelled);

/* Where a tensor's values are. */
typedef enum
{
  DLORAL_CUDNN_MEMORY,          /* in device memory, 16-byte aligned */
  DLORAL_CUDNN_VIRTUAL,         /* nowhere: between two operations */
  DLORAL_CUDNN_SCALAR,          /* one f32 of the host's, read when it runs */
} DloralCudnnPlace;

DloralCudnnTensor *dloral_cudnn_tensor (DloralCudnnGraph * g, int rank,
    const gint64 * dims, const gint64 * strides, DloralDtype dtype,
    DloralCudnnPlace place);

/* By which number a run knows it. */
gint64 dloral_cudnn_tensor_get_uid (const DloralCudnnTensor * t);

typedef struct
{
  int stride;
  int before[2], after[2];      /* padding: rows, columns */
} DloralCudnnConv;

/* y = x * w, cross-correlation, sums in f32. */
void dloral_cudnn_conv (DloralCudnnGraph * g, DloralCudnnTensor * x,
    DloralCudnnTensor * w, DloralCudnnTensor * y,
    const DloralCudnnConv * conv);

/* c = a · b, sums in f32. */
void dloral_cudnn_matmul (DloralCudnnGraph * g, DloralCudnnTensor * a,
    DloralCudnnTensor * b, DloralCudnnTensor * c);

/* y = mode (x), or mode (x, b) with b NULL or repeated where it is 1 long. */
void dloral_cudnn_pointwise (DloralCudnnGraph * g, cudnnPointwiseMode_t mode,
    DloralCudnnTensor * x, DloralCudnnTensor * b, DloralCudnnTensor * y);

/* o = softmax (scale · q kᵀ) v; all [1][heads][n][width]. */
void dloral_cudnn_attention (DloralCudnnGraph * g, DloralCudnnTensor * q,
    DloralCudnnTensor * k, DloralCudnnTensor * v, DloralCudnnTensor * scale,
    DloralCudnnTensor * o);

/* --- Plans ------------------------------------------------------------------ */

/* How an operation is done on the device. Immutable, shared by all operations
 * that are alike. */
typedef struct _DloralCudnnPlan DloralCudnnPlan;

/* Finds the plan and frees the graph. NULL and `error` also where cuDNN has no
 * engine for such a graph. */
DloralCudnnPlan *dloral_cudnn_graph_finish (DloralCudnnGraph * g,
    GError ** error);
void dloral_cudnn_plan_free (DloralCudnnPlan * plan);

/* Bytes of device memory wanted at a run. */
gsize dloral_cudnn_plan_get_workspace (const DloralCudnnPlan * plan);

/* The number of its engine, and the workspace if it wants any; owned. */
const char *dloral_cudnn_plan_describe (const DloralCudnnPlan * plan);

/* Runs it in the handle's stream: addresses [n] of the tensors numbered `uids`;
 * of scalars, the host's. */
gboolean dloral_cudnn_plan_run (const DloralCudnnPlan * plan,
    cudnnHandle_t handle, int n, const gint64 * uids,
    gpointer const *addresses, gpointer workspace, GError ** error);

G_END_DECLS
