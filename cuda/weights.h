/* Packed weights in device memory: shared by all plans of a device that name the
 * same key, type and layout, for as long as one of them lives.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "driver.h"

G_BEGIN_DECLS

typedef struct _DloralCudaWeights DloralCudaWeights;

typedef enum
{
  DLORAL_LAYOUT_OIHW,           /* as declared; matrices and vectors too */
  DLORAL_LAYOUT_OHWI,           /* of kernels over NHWC */
} DloralLayout;

DloralCudaWeights *dloral_cuda_weights_new (const DloralDriver * driver);
void dloral_cuda_weights_free (DloralCudaWeights * weights);

/* The weight in device memory, a reference to it: packed and uploaded by the
 * first who asks. In the device's context; any thread. 0 and `error` on
 * failure. */
CUdeviceptr dloral_cuda_weights_get (DloralCudaWeights * weights,
    const DloralWeight * weight, DloralDtype dtype, DloralLayout layout,
    GError ** error);

/* What the values of a weight that is referred to were multiplied with: 1, but for
 * E4M3. */
float dloral_cuda_weights_get_scale (DloralCudaWeights * weights,
    CUdeviceptr packed);

/* Gives a reference back; 0 is ignored. */
void dloral_cuda_weights_release (DloralCudaWeights * weights,
    CUdeviceptr packed);

G_END_DECLS
