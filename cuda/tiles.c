/* Parts of a tensor: cut out, laid on top of each other with weights, put into
 * another order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernels/matrix.h"
#include "kernels/tiles.h"
#include "op.h"

/* The widest memory access of which all lengths are multiples; `lengths` is
 * their bitwise or. */
static int
choose_unit (gsize lengths)
{
  return MIN (lengths & -lengths, 16);
}

/* --- crop ----------------------------------------------------------------- */

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  DloralCrop params;            /* without the tensors' addresses */
} Crop;

static gboolean
crop_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Crop *self = (Crop *) base;
  const DloralOp *op = base->op;
  const DloralTensor *s = op->src[0];
  DloralCrop p = self->params;
  void *args[] = { &p };

  p.src = (const void *) (dloral_cuda_get_data (run, s)
      + ((gsize) op->u.crop.y * s->w + op->u.crop.x) * s->c
      * dloral_dtype_size (s->dtype));
  p.dst = (void *) dloral_cuda_get_data (run, op->dst);
  return dloral_kernel_launch (&self->kernel, run, args, error);
}

DloralCudaOp *
dloral_cuda_crop_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  Crop *self = g_new0 (Crop, 1);
  DloralCrop *p = &self->params;
  gsize pixel = op->dst->c * dloral_dtype_size (op->dst->dtype);

  p->size = choose_unit (op->dst->w * pixel | op->src[0]->w * pixel
      | op->u.crop.x * pixel);
  p->h = op->dst->h;
  p->w = op->dst->w * pixel / p->size;
  p->src_w = op->src[0]->w * pixel / p->size;
  self->base.op = op;
  self->base.device = device;
  self->base.launch = crop_launch;
  dloral_matrix_get_grid (p->h, p->w, DLORAL_TILES_EACH, self->kernel.grid,
      self->kernel.block);
  if (!dloral_kernel_find (&self->kernel, device, "crop", 0, NULL, error)) {
    g_free (self);
    return NULL;
  }
  return &self->base;
}

/* --- paste ---------------------------------------------------------------- */

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  CUdeviceptr weights;          /* or 0 */
  DloralPaste params;           /* without the tensors' addresses */
} Paste;

static gboolean
paste_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Paste *self = (Paste *) base;
  const DloralOp *op = base->op;
  DloralPaste p = self->params;
  void *args[] = { &p };

  p.part = (const void *) dloral_cuda_get_data (run, op->src[0]);
  if (op->n_src > 1)
    p.below = (const void *) dloral_cuda_get_data (run, op->src[1]);
  p.dst = (void *) dloral_cuda_get_data (run, op->dst);
  return dloral_kernel_launch (&self->kernel, run, args, error);
}

static void
paste_free (DloralCudaOp *base)
{
  Paste *self = (Paste *) base;

  dloral_cuda_weights_release (base->device->weights, self->weights);
  g_free (self);
}

/* Weights are a pixel's own, so then no unit has parts of two. */
static void
paste_describe (const DloralOp *op, DloralPaste *p)
{
  const DloralTensor *s = op->src[0], *d = op->dst;
  gsize pixel = d->c * dloral_dtype_size (d->dtype);

  if (op->weight)
    p->size = pixel % 16 == 0 ? 16 : 4;
  else
    p->size = choose_unit (d->w * pixel | s->w * pixel
        | op->u.paste.x * pixel);
  p->h = d->h;
  p->w = d->w * pixel / p->size;
  p->part_h = s->h;
  p->part_w = s->w * pixel / p->size;
  p->y = op->u.paste.y;
  p->x = op->u.paste.x * pixel / p->size;
  p->pixel = pixel / p->size;
}

static gboolean
paste_init (Paste *self, GError **error)
{
  const DloralOp *op = self->base.op;
  DloralDevice *device = self->base.device;

  paste_describe (op, &self->params);
  dloral_matrix_get_grid (self->params.h, self->params.w, DLORAL_TILES_EACH,
      self->kernel.grid, self->kernel.block);
  if (op->weight == NULL)
    return dloral_kernel_find (&self->kernel, device, "paste", 0, NULL, error);
  self->weights = dloral_cuda_weights_get (device->weights, op->weight,
      DLORAL_F32, DLORAL_LAYOUT_OIHW, error);
  self->params.weights = (const float *) self->weights;
  return self->weights != 0 && dloral_kernel_find (&self->kernel, device,
      "paste_weighted", 0, NULL, error);
}

DloralCudaOp *
dloral_cuda_paste_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Paste *self = g_new0 (Paste, 1);

  self->base.op = op;
  self->base.device = device;
  self->base.launch = paste_launch;
  self->base.free = paste_free;
  if (!paste_init (self, error)) {
    paste_free (&self->base);
    return NULL;
  }
  return &self->base;
}

/* --- gather --------------------------------------------------------------- */

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  CUdeviceptr rows;
  DloralGather params;          /* without the tensors' addresses */
} Gather;

static gboolean
gather_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Gather *self = (Gather *) base;
  DloralGather p = self->params;
  void *args[] = { &p };

  p.src = (const void *) dloral_cuda_get_data (run, base->op->src[0]);
  p.dst = (void *) dloral_cuda_get_data (run, base->op->dst);
  return dloral_kernel_launch (&self->kernel, run, args, error);
}

static void
gather_free (DloralCudaOp *base)
{
  Gather *self = (Gather *) base;

  dloral_cuda_weights_release (base->device->weights, self->rows);
  g_free (self);
}

static gboolean
gather_init (Gather *self, GError **error)
{
  const DloralOp *op = self->base.op;
  DloralDevice *device = self->base.device;
  DloralGather *p = &self->params;
  gsize row = op->src[0]->c * dloral_dtype_size (op->dst->dtype);

  p->size = choose_unit (row);
  p->h = op->weight->o;
  p->w = row / p->size;
  dloral_matrix_get_grid (p->h, p->w, DLORAL_TILES_EACH, self->kernel.grid,
      self->kernel.block);
  self->rows = dloral_cuda_weights_get (device->weights, op->weight,
      DLORAL_F32, DLORAL_LAYOUT_OIHW, error);
  p->rows = (const float *) self->rows;
  return self->rows != 0
      && dloral_kernel_find (&self->kernel, device, "gather", 0, NULL, error);
}

DloralCudaOp *
dloral_cuda_gather_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Gather *self = g_new0 (Gather, 1);

  self->base.op = op;
  self->base.device = device;
  self->base.launch = gather_launch;
  self->base.free = gather_free;
  if (!gather_init (self, error)) {
    gather_free (&self->base);
    return NULL;
  }
  return &self->base;
}
