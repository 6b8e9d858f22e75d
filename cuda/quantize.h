/* Products in e4m3: which ones, with which scales, and how their source gets
 * there.
 *
 * A scale is a power of two, so that multiplying with it is exact: in a
 * floating-point type nothing is gained by using the range up to its last third.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "kernels/quantize.h"
#include "op.h"

G_BEGIN_DECLS

/* Whether the operator's product is to be tried in e4m3. */
gboolean dloral_quantize_fits (const DloralDevice * device,
    const DloralOp * op);

typedef struct
{
  DloralKernel kernel;
  DloralQuantizeParams params;  /* without addresses */
} DloralQuantize;

/* For the source of an operator that fits. */
gboolean dloral_quantize_init (DloralQuantize * quantize,
    DloralDevice * device, const DloralOp * op, GError ** error);

/* y = e4m3 (scale · x), as many bytes as the source has elements. */
gboolean dloral_quantize_launch (const DloralQuantize * quantize,
    const DloralCudaRun * run, CUdeviceptr x, CUdeviceptr y, GError ** error);

G_END_DECLS
