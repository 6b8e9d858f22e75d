/* Inside of an open GPU: what its operators share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cublaslt.h"
#include "cudnn.h"
#include "driver.h"
#include "weights.h"

G_BEGIN_DECLS

struct _DloralDevice
{
  const DloralDriver *driver;
  CUdevice ordinal;
  CUcontext context;            /* the device's primary one */
  char name[128];
  int arch;                     /* 90: compute capability 9.0 */
  int n_multiprocessors;
  int max_shared;               /* bytes a block may ask for */
  DloralDtype act_dtype;
  gboolean fp8;                 /* products in e4m3 where a graph has scales */
  GPtrArray *modules;           /* CUmodule, one a .cu file */
  GMutex lock;
  GHashTable *shared_allowed;   /* CUfunction → bytes; under the lock */
  DloralCudnn *cudnn;
  DloralCublaslt *cublaslt;     /* NULL: not there, or not asked for */
  DloralCudaWeights *weights;
  int lost;                     /* atomic: every call in the context fails */
};

/* Opens a GPU and closes it. Its context is the device's primary one, shared with
 * whoever else in the process computes on it by CUDA's runtime. */
DloralDevice *dloral_device_open (const DloralDeviceParams * params,
    GError ** error);
void dloral_device_close (DloralDevice * device);

/* The device's context is current between these, on any thread; what was
 * current before is again afterwards. Enter fails once the device is lost. Leave
 * returns `ok`, and if that is FALSE keeps in mind whether `error` says that the
 * device is lost. */
gboolean dloral_device_enter (DloralDevice * device, GError ** error);
gboolean dloral_device_leave (DloralDevice * device, gboolean ok,
    GError ** error);

G_END_DECLS
