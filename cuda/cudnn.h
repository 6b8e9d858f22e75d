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

typedef struct _DloralCudnn DloralCudnn;

G_END_DECLS
