/* Attention by our own kernels: what the library has none for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "kernels/flash.h"

typedef struct
{
  int width, rows;
  const char *name;
} Shape;

static const Shape shapes[] = {
#define SHAPE(width, rows) { width, rows, "flash_" #width },
  DLORAL_FLASH_SHAPES (SHAPE)
#undef SHAPE
};

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  DloralFlashParams params;
} Flash;

static gboolean
flash_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Flash *self = (Flash *) base;
  const DloralOp *op = base->op;
  CUdeviceptr dst = dloral_cuda_get_data (run, op->dst), src[3];
  void *args[] = { &src[0], &src[1], &src[2], &dst, &self->params };

  for (int i = 0; i < 3; i++)
    src[i] = dloral_cuda_get_data (run, op->src[i])
        + op->u.attention.first[i] * dloral_dtype_size (op->src[i]->dtype);
  return dloral_kernel_launch (&self->kernel, run, args, error);
}

/* --- Compiling -------------------------------------------------------------- */

static const Shape *
find_shape (const DloralOp *op, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
    if (op->u.attention.head_dim <= shapes[i].width)
      return &shapes[i];
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG,
      "%s: attention takes heads of at most %d channels, found %d",
      op->scope, DLORAL_FLASH_MAX_WIDTH, op->u.attention.head_dim);
  return NULL;
}

static void
init_params (Flash *self)
{
  const DloralOp *op = self->base.op;

  self->params = (DloralFlashParams) {
    .n_queries = op->src[0]->h * op->src[0]->w,
    .n_keys = op->src[1]->h * op->src[1]->w,
    .head_dim = op->u.attention.head_dim,
    .q_step = op->src[0]->c,.k_step = op->src[1]->c,
    .v_step = op->src[2]->c,.dst_step = op->dst->c,
    .scale = op->u.attention.scale / G_LN2,
    .causal = op->u.attention.causal,
  };
}

static gboolean
init_kernel (Flash *self, const Shape *shape, GError **error)
{
  const DloralOp *op = self->base.op;
  DloralDtype types[] = { op->src[0]->dtype, op->dst->dtype };

  if (op->src[1]->dtype != types[0] || op->src[2]->dtype != types[0]) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG,
        "%s: attention takes query, key and value of one type", op->scope);
    return FALSE;
  }
  self->kernel = (DloralKernel) {
    .grid = { (self->params.n_queries + DLORAL_FLASH_TILE - 1)
          / DLORAL_FLASH_TILE, op->u.attention.heads },
    .block = { DLORAL_FLASH_COLUMNS * DLORAL_FLASH_TILE / shape->rows },
    .shared = DLORAL_FLASH_SHARED,
  };
  return dloral_kernel_find (&self->kernel, self->base.device, shape->name, 2,
      types, error);
}

DloralCudaOp *
dloral_cuda_flash_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  const Shape *shape = find_shape (op, error);
  Flash *self;

  if (shape == NULL)
    return NULL;
  self = g_new0 (Flash, 1);
  self->base.op = op;
  self->base.device = device;
  self->base.launch = flash_launch;
  init_params (self);
  if (!init_kernel (self, shape, error)) {
    g_free (self);
    return NULL;
  }
  return &self->base;
}
