/* A picture or latent sampled where a flow points.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/warp.h"
#include "op.h"

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  int vector;                   /* channels moved as one */
} Warp;

static gboolean
warp_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Warp *self = (Warp *) base;
  const DloralOp *op = base->op;
  CUdeviceptr src = dloral_cuda_get_data (run, op->src[0]);
  CUdeviceptr flow = dloral_cuda_get_data (run, op->src[1]);
  CUdeviceptr dst = dloral_cuda_get_data (run, op->dst);
  int h = op->dst->h, w = op->dst->w, c = op->dst->c;
  int border = op->u.warp.border;
  void *args[] = { &src, &flow, &dst, &h, &w, &c, &border, &self->vector };

  return dloral_kernel_launch (&self->kernel, run, args, error);
}

DloralCudaOp *
dloral_cuda_warp_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  Warp *self = g_new0 (Warp, 1);
  const DloralTensor *d = op->dst;

  self->base.op = op;
  self->base.device = device;
  self->base.launch = warp_launch;
  self->vector = d->c % 4 == 0 ? 4 : 1;
  self->kernel.grid[0] = ((gsize) d->w * d->c / self->vector
      + DLORAL_WARP_THREADS - 1) / DLORAL_WARP_THREADS;
  self->kernel.grid[1] = d->h;
  self->kernel.block[0] = DLORAL_WARP_THREADS;
  if (!dloral_kernel_find (&self->kernel, device, "warp", 0, NULL, error)) {
    g_free (self);
    return NULL;
  }
  return &self->base;
}
