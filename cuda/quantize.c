/* Launching kernels/quantize.cu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "quantize.h"

#include "e4m3.h"
#include "engine/fp8.h"

/* What came to pass while calibrating is not the largest there will ever be: other
 * scenes, prompts and strengths come. Twice that is left room for, and costs one
 * of the 15 octaves of full precision; beyond it values are cut off. */
#define MARGIN 2

gboolean
dloral_quantize_fits (const DloralDevice *device, const DloralOp *op)
{
  return device->fp8 && op->input_max > 0 && op->src[0]->dtype == DLORAL_BF16
      && op->src[0]->c % DLORAL_FP8_CHANNELS == 0
      && op->dst->c % DLORAL_FP8_CHANNELS == 0;
}

gboolean
dloral_quantize_init (DloralQuantize *quantize, DloralDevice *device,
    const DloralOp *op, GError **error)
{
  const DloralTensor *x = op->src[0];
  gsize threads;

  *quantize = (DloralQuantize) { 0 };
  quantize->params.n = (gsize) x->h * x->w * x->c;
  quantize->params.scale = dloral_e4m3_get_scale (MARGIN * op->input_max);
  threads = quantize->params.n / DLORAL_QUANTIZE_EACH;
  quantize->kernel.block[0] = DLORAL_QUANTIZE_THREADS;
  quantize->kernel.grid[0] = (threads + DLORAL_QUANTIZE_THREADS - 1)
      / DLORAL_QUANTIZE_THREADS;
  return dloral_kernel_find (&quantize->kernel, device, "quantize", 1,
      &x->dtype, error);
}

gboolean
dloral_quantize_launch (const DloralQuantize *quantize,
    const DloralCudaRun *run, CUdeviceptr x, CUdeviceptr y, GError **error)
{
  DloralQuantizeParams p = quantize->params;
  void *args[] = { &p };

  p.x = (const void *) x;
  p.y = (void *) y;
  return dloral_kernel_launch (&quantize->kernel, run, args, error);
}
