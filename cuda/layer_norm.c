/* Layer norm: how rows are dealt out to kernels/layer_norm.cu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/layer_norm.h"
#include "op.h"

#define WARPS (DLORAL_LAYER_NORM_THREADS / 32)

/* Vectors that a thread has of a row, at most, before more warps share it: this
 * many keep the longest rows of Stable Diffusion in one warp, and a block's rows
 * in 20 KiB. */
#define MAX_VECTORS 5

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  CUdeviceptr gamma, beta;
  int rows, c;
  int warps;                    /* of a row */
  int vector;                   /* elements are moved 16 bytes at a time */
  float eps;
} LayerNorm;

static gboolean
layer_norm_launch (DloralCudaOp *base, const DloralCudaRun *run,
    GError **error)
{
  LayerNorm *self = (LayerNorm *) base;
  CUdeviceptr src = dloral_cuda_get_data (run, base->op->src[0]);
  CUdeviceptr dst = dloral_cuda_get_data (run, base->op->dst);
  void *args[] = { &src, &dst, &self->gamma, &self->beta, &self->rows,
    &self->c, &self->warps, &self->eps, &self->vector
  };

  return dloral_kernel_launch (&self->kernel, run, args, error);
}

static void
layer_norm_free (DloralCudaOp *base)
{
  LayerNorm *self = (LayerNorm *) base;

  dloral_cuda_weights_release (base->device->weights, self->gamma);
  dloral_cuda_weights_release (base->device->weights, self->beta);
  g_free (self);
}

static gboolean
init_kernel (LayerNorm *self, GError **error)
{
  const DloralOp *op = self->base.op;
  DloralDtype types[] = { op->src[0]->dtype, op->dst->dtype };
  int size = dloral_dtype_size (types[0]), vectors, rows;

  self->rows = op->dst->h * op->dst->w;
  self->c = op->dst->c;
  self->eps = op->u.layer_norm.eps;
  self->vector = self->c % 8 == 0;
  vectors = self->vector ? self->c * size / 16 : self->c;
  self->warps = 1;
  while (self->warps < WARPS && vectors > 32 * MAX_VECTORS * self->warps)
    self->warps *= 2;
  rows = WARPS / self->warps;
  self->kernel.grid[0] = (self->rows + rows - 1) / rows;
  self->kernel.block[0] = DLORAL_LAYER_NORM_THREADS;
  self->kernel.shared = DLORAL_LAYER_NORM_SUMS + rows * self->c * size;
  return dloral_kernel_find (&self->kernel, self->base.device, "layer_norm", 2,
      types, error);
}

static gboolean
init_weights (LayerNorm *self, GError **error)
{
  DloralCudaWeights *weights = self->base.device->weights;
  const DloralOp *op = self->base.op;

  self->gamma = dloral_cuda_weights_get (weights, op->weight, DLORAL_F32,
      DLORAL_LAYOUT_OIHW, error);
  if (self->gamma == 0)
    return FALSE;
  self->beta = dloral_cuda_weights_get (weights, op->bias, DLORAL_F32,
      DLORAL_LAYOUT_OIHW, error);
  return self->beta != 0;
}

DloralCudaOp *
dloral_cuda_layer_norm_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  LayerNorm *self = g_new0 (LayerNorm, 1);

  self->base.op = op;
  self->base.device = device;
  self->base.launch = layer_norm_launch;
  self->base.free = layer_norm_free;
  if (!init_weights (self, error) || !init_kernel (self, error)) {
    layer_norm_free (&self->base);
    return NULL;
  }
  return &self->base;
}
