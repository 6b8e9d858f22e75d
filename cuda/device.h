/* Inside of an open GPU: what its operators share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

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
  GPtrArray *modules;           /* CUmodule, one a .cu file */
  DloralCudnn *cudnn;
  DloralCudaWeights *weights;
};

/* The device's context is current between these, on any thread; what was
 * current before is again afterwards. */
gboolean dloral_device_enter (DloralDevice * device, GError ** error);
void dloral_device_leave (DloralDevice * device);

G_END_DECLS
