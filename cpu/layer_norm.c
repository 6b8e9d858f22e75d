/* Layer norm over the channels of every position.
 *
 * One type in and out is one primitive. Where they differ, the norm is taken in
 * f32, and the bf16 side is copied through scratch.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "device.h"
#include "op.h"
#include "primitive.h"

typedef struct
{
  DloralCpuOp base;
  DloralDevice *device;
  DloralPrimitive norm;
  DloralPrimitive copy;         /* into or out of scratch, or none */
  DloralPacked *gamma, *beta;
  gsize copy_size;              /* bytes of scratch for the f32 copy */
} LayerNorm;

static gboolean
layer_norm_run (DloralCpuOp *base, const DloralCpuRun *run, GError **error)
{
  LayerNorm *self = (LayerNorm *) base;
  const DloralOp *op = base->op;
  gpointer src = dloral_cpu_get_data (run, op->src[0]);
  gpointer dst = dloral_cpu_get_data (run, op->dst);
  gboolean widen = self->copy.primitive && op->src[0]->dtype != DLORAL_F32;
  gboolean narrow = self->copy.primitive && !widen;
  guint8 *pad = run->scratch + self->copy_size;

  if (widen && !dloral_primitive_run_reorder (&self->copy, src, run->scratch,
          pad, op, error))
    return FALSE;
  dloral_primitive_bind (&self->norm, DNNL_ARG_SRC,
      widen ? run->scratch : src);
  dloral_primitive_bind (&self->norm, DNNL_ARG_DST,
      narrow ? run->scratch : dst);
  if (!dloral_primitive_run (&self->norm, pad, op, error))
    return FALSE;
  return !narrow || dloral_primitive_run_reorder (&self->copy, run->scratch,
      dst, pad, op, error);
}

static void
layer_norm_free (DloralCpuOp *base)
{
  LayerNorm *self = (LayerNorm *) base;

  dloral_primitive_clear (&self->norm);
  dloral_primitive_clear (&self->copy);
  dloral_weights_release (self->device->weights, self->gamma);
  dloral_weights_release (self->device->weights, self->beta);
  g_free (self);
}

static DloralOperand
rows_operand (const DloralTensor *t, DloralDtype dtype)
{
  return (DloralOperand) {
    .rank = 2,.dims = {(dnnl_dim_t) t->h * t->w, t->c},.strides = {t->c, 1},
    .type = dloral_dnnl_type (dtype)
  };
}

static DloralPacked *
lend_vector (LayerNorm *self, const DloralWeight *w, int arg, GError **error)
{
  DloralWeightRows rows = {
    .weight = w,
    .layout = {.rank = 1,.dims = {w->o},.strides = {1},.type = dnnl_f32},
  };
  DloralPacked *packed = dloral_weights_pack (self->device->weights, &rows,
      dloral_primitive_get_md (&self->norm, arg), self->base.op, error);

  if (packed)
    dloral_primitive_lend (&self->norm, arg,
        dloral_packed_get_memory (packed));
  return packed;
}

static gboolean
init_norm (LayerNorm *self, DloralDtype dtype, GError **error)
{
  static const int args[] = { DNNL_ARG_SRC, DNNL_ARG_DST, 0 };
  const DloralOp *op = self->base.op;
  DloralOperand rows = rows_operand (op->dst, dtype);
  dnnl_primitive_desc_t pd;

  if (!dloral_dnnl_check (dloral_dnnl_layer_norm (&pd, self->device->engine,
              &rows, op->u.layer_norm.eps), op, "normalise", error)
      || !dloral_primitive_init (&self->norm, self->device, pd, args, op,
          error))
    return FALSE;
  self->gamma = lend_vector (self, op->weight, DNNL_ARG_SCALE, error);
  if (self->gamma == NULL)
    return FALSE;
  self->beta = lend_vector (self, op->bias, DNNL_ARG_SHIFT, error);
  return self->beta != NULL;
}

static gboolean
init_primitives (LayerNorm *self, GError **error)
{
  const DloralTensor *s = self->base.op->src[0], *d = self->base.op->dst;
  DloralOperand src = rows_operand (s, s->dtype);
  DloralOperand dst = rows_operand (d, d->dtype);

  if (s->dtype == d->dtype)
    return init_norm (self, s->dtype, error);
  self->copy_size =
      dloral_align ((gsize) d->h * d->w * d->c * sizeof (float));
  return init_norm (self, DLORAL_F32, error)
      && dloral_primitive_init_reorder (&self->copy, self->device, &src, &dst,
      self->base.op, error);
}

DloralCpuOp *
dloral_cpu_layer_norm_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  LayerNorm *self = g_new0 (LayerNorm, 1);

  self->device = device;
  self->base.op = op;
  self->base.library = TRUE;
  self->base.run = layer_norm_run;
  self->base.free = layer_norm_free;
  if (!init_primitives (self, error)) {
    layer_norm_free (&self->base);
    return NULL;
  }
  self->base.scratch_size = self->copy_size +
      MAX (self->norm.scratch_size, self->copy.scratch_size);
  return &self->base;
}
