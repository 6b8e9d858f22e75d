/* Tensors to another size or side by side: resize, pool, concat.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernel_type.h"
#include "kernels/resize.h"
#include "kernels/matrix.h"
#include "op.h"

#include <string.h>

/* Blocks in the first dimension, for one element or vector a thread. */
static unsigned
count_blocks (gsize elements)
{
  return (elements + DLORAL_RESIZE_THREADS - 1) / DLORAL_RESIZE_THREADS;
}

/* --- resize --------------------------------------------------------------- */

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  int size, units;              /* of nearest: a pixel in bytes moved as one */
  DloralBilinear bilinear;
} Resize;

static gboolean
nearest_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Resize *self = (Resize *) base;
  const DloralTensor *s = base->op->src[0], *d = base->op->dst;
  CUdeviceptr src = dloral_cuda_get_data (run, s);
  CUdeviceptr dst = dloral_cuda_get_data (run, d);
  int sizes[] = { s->h, s->w, d->h, d->w };
  void *args[] = { &src, &dst, &self->size, &self->units, &sizes[0], &sizes[1],
    &sizes[2], &sizes[3]
  };

  return dloral_kernel_launch (&self->kernel, run, args, error);
}

static gboolean
bilinear_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Resize *self = (Resize *) base;
  CUdeviceptr src = dloral_cuda_get_data (run, base->op->src[0]);
  CUdeviceptr dst = dloral_cuda_get_data (run, base->op->dst);
  void *args[] = { &self->bilinear, &src, &dst };

  return dloral_kernel_launch (&self->kernel, run, args, error);
}

static gboolean
init_nearest (Resize *self, GError **error)
{
  const DloralTensor *d = self->base.op->dst;
  gsize pixel = d->c * dloral_dtype_size (d->dtype);

  self->size = MIN (pixel & -pixel, 16);
  self->units = pixel / self->size;
  self->kernel.grid[0] = count_blocks ((gsize) d->w * self->units);
  self->kernel.grid[1] = (d->h + DLORAL_RESIZE_ROWS - 1) / DLORAL_RESIZE_ROWS;
  self->base.launch = nearest_launch;
  return dloral_kernel_find (&self->kernel, self->base.device,
      "resize_nearest", 0, NULL, error);
}

static gboolean
init_bilinear (Resize *self, GError **error)
{
  const DloralOp *op = self->base.op;
  DloralBilinear *p = &self->bilinear;

  p->h = op->src[0]->h;
  p->w = op->src[0]->w;
  p->dst_h = op->dst->h;
  p->dst_w = op->dst->w;
  p->c = op->dst->c;
  p->aligned = op->u.resize.mode == DLORAL_RESIZE_BILINEAR_ALIGNED;
  p->vector = p->c % 4 == 0 ? 4 : 1;
  memcpy (p->gain, op->u.resize.gain, sizeof p->gain);
  memcpy (p->offset, op->u.resize.offset, sizeof p->offset);
  self->kernel.grid[0] = count_blocks ((gsize) p->dst_w * p->c / p->vector);
  self->kernel.grid[1] = p->dst_h;
  self->base.launch = bilinear_launch;
  return dloral_kernel_find (&self->kernel, self->base.device,
      "resize_bilinear", 0, NULL, error);
}

DloralCudaOp *
dloral_cuda_resize_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Resize *self = g_new0 (Resize, 1);
  gboolean nearest = op->u.resize.mode == DLORAL_RESIZE_NEAREST;

  self->base.op = op;
  self->base.device = device;
  self->kernel.block[0] = DLORAL_RESIZE_THREADS;
  if (!(nearest ? init_nearest : init_bilinear) (self, error)) {
    g_free (self);
    return NULL;
  }
  return &self->base;
}

/* --- pool ----------------------------------------------------------------- */

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
} Pool;

static gboolean
pool_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  const DloralTensor *s = base->op->src[0];
  CUdeviceptr src = dloral_cuda_get_data (run, s);
  CUdeviceptr dst = dloral_cuda_get_data (run, base->op->dst);
  int h = s->h, w = s->w, c = s->c;
  void *args[] = { &src, &dst, &h, &w, &c };

  return dloral_kernel_launch (&((Pool *) base)->kernel, run, args, error);
}

DloralCudaOp *
dloral_cuda_pool_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  Pool *self = g_new0 (Pool, 1);
  DloralDtype types[] = { op->src[0]->dtype, op->dst->dtype };

  self->base.op = op;
  self->base.device = device;
  self->base.launch = pool_launch;
  self->kernel.grid[0] = count_blocks ((gsize) op->dst->w * op->dst->c);
  self->kernel.grid[1] = op->dst->h;
  self->kernel.block[0] = DLORAL_RESIZE_THREADS;
  if (!dloral_kernel_find (&self->kernel, device, "pool", 2, types, error)) {
    g_free (self);
    return NULL;
  }
  return &self->base;
}

/* --- concat --------------------------------------------------------------- */

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  DloralConcat params;          /* without the tensors' addresses */
} Concat;

static gboolean
concat_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Concat *self = (Concat *) base;
  DloralConcat p = self->params;
  void *args[] = { &p };

  for (int i = 0; i < base->op->n_src; i++)
    p.src[i].data = (const void *) dloral_cuda_get_data (run,
        base->op->src[i]);
  p.dst = (void *) dloral_cuda_get_data (run, base->op->dst);
  return dloral_kernel_launch (&self->kernel, run, args, error);
}

/* A row is a pixel; where there is one source, a line of them, which is more
 * often a multiple of a vector. */
static void
concat_describe (const DloralOp *op, DloralConcat *p)
{
  int pixels = op->n_src == 1 ? op->dst->w : 1;

  p->vector = 8;
  for (int i = 0; i < op->n_src; i++) {
    p->src[i].c = pixels * op->src[i]->c;
    p->src[i].is_f32 = op->src[i]->dtype == DLORAL_F32;
    if (p->src[i].c % 8 != 0)
      p->vector = 1;
  }
  p->dst_is_f32 = op->dst->dtype == DLORAL_F32;
  p->rows = op->dst->h * op->dst->w / pixels;
  p->c = pixels * op->dst->c;
}

DloralCudaOp *
dloral_cuda_concat_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Concat *self = g_new0 (Concat, 1);
  DloralDtype type = dloral_op_get_kernel_type (op);

  self->base.op = op;
  self->base.device = device;
  self->base.launch = concat_launch;
  concat_describe (op, &self->params);
  dloral_matrix_get_grid (self->params.rows,
      self->params.c / self->params.vector, DLORAL_CONCAT_EACH,
      self->kernel.grid, self->kernel.block);
  if (!dloral_kernel_find (&self->kernel, device, "concat", 1, &type, error)) {
    g_free (self);
    return NULL;
  }
  return &self->base;
}
