/* Convolution: act (src * weight + bias + residual) in one pass.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "product.h"

typedef struct
{
  DloralCpuOp base;
  DloralProduct product;
} Conv;

static gboolean
conv_run (DloralCpuOp *base, const DloralCpuRun *run, GError **error)
{
  Conv *self = (Conv *) base;
  const DloralOp *op = base->op;

  return dloral_product_run (&self->product,
      dloral_cpu_get_data (run, op->src[0]),
      op->n_src > 1 ? dloral_cpu_get_data (run, op->src[1]) : NULL,
      dloral_cpu_get_data (run, op->dst), run->scratch, error);
}

static void
conv_free (DloralCpuOp *base)
{
  Conv *self = (Conv *) base;

  dloral_product_clear (&self->product);
  g_free (self);
}

DloralCpuOp *
dloral_cpu_conv_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  DloralProductParams params = {
    .op = op,
    .src = op->src[0],
    .dst = op->dst,
    .weight = op->weight,
    .bias = op->bias,
    .stride = op->u.conv.stride,
    .pad_top = op->u.conv.pad_top,
    .pad_left = op->u.conv.pad_left,
    .act = op->u.conv.act,
    .operand = op->n_src > 1 ? op->src[1] : NULL,
    .act_last = TRUE,
  };
  Conv *self;

  if (op->u.conv.enlarge)
    return dloral_cpu_phases_new (device, op, error);
  self = g_new0 (Conv, 1);
  if (!dloral_product_init (&self->product, device, &params, error)) {
    g_free (self);
    return NULL;
  }
  self->base.op = op;
  self->base.library = TRUE;
  self->base.scratch_size = self->product.scratch_size;
  self->base.run = conv_run;
  self->base.free = conv_free;
  return &self->base;
}
