/* Attention by our own kernels: what the library has none for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "kernels/flash.h"

typedef struct
{
  int width, rows;
  const char *name, *grouped;
} Shape;

static const Shape shapes[] = {
#define SHAPE(width, rows) \
  { width, rows, "flash_" #width, "flash_grouped_" #width },
  DLORAL_FLASH_SHAPES (SHAPE)
#undef SHAPE
};

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  DloralFlashParams params;
  CUdeviceptr values;           /* the bias's; 0: no groups */
  DloralFlashBias bias;
} Flash;

static gboolean
flash_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Flash *self = (Flash *) base;
  const DloralOp *op = base->op;
  CUdeviceptr dst = dloral_cuda_get_data (run, op->dst), src[3];
  void *args[] = { &src[0], &src[1], &src[2], &dst, &self->params,
    &self->bias
  };

  for (int i = 0; i < 3; i++)
    src[i] = dloral_cuda_get_data (run, op->src[i])
        + op->u.attention.first[i] * dloral_dtype_size (op->src[i]->dtype);
  return dloral_kernel_launch (&self->kernel, run, args, error);
}

static void
flash_free (DloralCudaOp *base)
{
  Flash *self = (Flash *) base;

  dloral_cuda_weights_release (base->device->weights, self->values);
  g_free (self);
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
  int rows = op->u.attention.rows;

  self->params = (DloralFlashParams) {
    .n_queries = rows > 0 ? rows : op->src[0]->h * op->src[0]->w,
    .n_keys = rows > 0 ? rows : op->src[1]->h * op->src[1]->w,
    .head_dim = op->u.attention.head_dim,
    .q_step = op->src[0]->c,.k_step = op->src[1]->c,
    .v_step = op->src[2]->c,.dst_step = op->dst->c,
    .scale = op->u.attention.scale / G_LN2,
    .causal = op->u.attention.causal,
  };
}

static gboolean
init_bias (Flash *self, GError **error)
{
  const DloralOp *op = self->base.op;

  if (op->u.attention.rows == 0)
    return TRUE;
  self->values = dloral_cuda_weights_get (self->base.device->weights,
      op->weight, DLORAL_F32, DLORAL_LAYOUT_OIHW, error);
  self->bias = (DloralFlashBias) {
    .values = (const float *) self->values,
    .unit = 1 / op->u.attention.scale,
    .kinds = op->u.attention.kinds,.across = op->u.attention.across,
  };
  return self->values != 0;
}

/* Groups come first: there may be more than a grid has room for elsewhere. */
static void
init_grid (Flash *self)
{
  const DloralOp *op = self->base.op;
  unsigned *grid = self->kernel.grid;
  int rows = op->u.attention.rows;
  int tiles = (self->params.n_queries + DLORAL_FLASH_TILE - 1)
      / DLORAL_FLASH_TILE;

  grid[0] = rows > 0 ? op->src[0]->h * op->src[0]->w / rows : tiles;
  grid[1] = op->u.attention.heads;
  grid[2] = rows > 0 ? tiles : 1;
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
    .block = { DLORAL_FLASH_COLUMNS * DLORAL_FLASH_TILE / shape->rows },
    .shared = DLORAL_FLASH_SHARED,
  };
  init_grid (self);
  return dloral_kernel_find (&self->kernel, self->base.device,
      op->u.attention.rows > 0 ? shape->grouped : shape->name, 2, types,
      error);
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
  self->base.free = flash_free;
  init_params (self);
  if (!init_bias (self, error) || !init_kernel (self, shape, error)) {
    flash_free (&self->base);
    return NULL;
  }
  return &self->base;
}
