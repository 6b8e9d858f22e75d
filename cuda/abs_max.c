/* The largest magnitude in a tensor.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/abs_max.h"
#include "op.h"

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
} AbsMax;

static gboolean
abs_max_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  AbsMax *self = (AbsMax *) base;
  const DloralTensor *s = base->op->src[0];
  CUdeviceptr src = dloral_cuda_get_data (run, s);
  CUdeviceptr dst = dloral_cuda_get_data (run, base->op->dst);
  gsize n = (gsize) s->h * s->w * s->c;
  void *args[] = { &src, &n, &dst };

  return dloral_kernel_launch (&self->kernel, run, args, error);
}

DloralCudaOp *
dloral_cuda_abs_max_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  AbsMax *self = g_new0 (AbsMax, 1);

  self->base.op = op;
  self->base.device = device;
  self->base.launch = abs_max_launch;
  self->kernel.block[0] = DLORAL_ABS_MAX_THREADS;
  if (!dloral_kernel_find (&self->kernel, device, "abs_max", 1,
          &op->src[0]->dtype, error)) {
    g_free (self);
    return NULL;
  }
  return &self->base;
}
