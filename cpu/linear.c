/* Linear layer: act (weight · src + bias) + residual at every position. GEGLU
 * is two products: the gate into scratch, then the values times the gate.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "product.h"

typedef struct
{
  DloralCpuOp base;
  DloralProduct product;
  DloralProduct gate;           /* GEGLU only */
  gsize gate_size;              /* bytes of scratch for its result */
} Linear;

static gboolean
linear_run (DloralCpuOp *base, const DloralCpuRun *run, GError **error)
{
  Linear *self = (Linear *) base;
  const DloralOp *op = base->op;
  gconstpointer src = dloral_cpu_get_data (run, op->src[0]);
  gconstpointer operand =
      op->n_src > 1 ? dloral_cpu_get_data (run, op->src[1]) : NULL;
  guint8 *scratch = run->scratch + self->gate_size;

  if (op->u.linear.geglu) {
    operand = run->scratch;
    if (!dloral_product_run (&self->gate, src, NULL, run->scratch, scratch,
            error))
      return FALSE;
  }
  return dloral_product_run (&self->product, src, operand,
      dloral_cpu_get_data (run, op->dst), scratch, error);
}

static void
linear_free (DloralCpuOp *base)
{
  Linear *self = (Linear *) base;

  dloral_product_clear (&self->product);
  dloral_product_clear (&self->gate);
  g_free (self);
}

/* The weight's second half makes the gate. */
static gboolean
init_gate (Linear *self, DloralDevice *device,
    const DloralProductParams *value, GError **error)
{
  DloralProductParams params = *value;

  params.first = value->dst->c;
  params.act = DLORAL_ACT_GELU;
  params.operand = NULL;
  params.multiply = FALSE;
  self->gate_size = dloral_align (dloral_tensor_get_size (value->dst));
  return dloral_product_init (&self->gate, device, &params, error);
}

static gboolean
init_products (Linear *self, DloralDevice *device, const DloralOp *op,
    GError **error)
{
  DloralProductParams params = {
    .op = op,
    .src = op->src[0],
    .dst = op->dst,
    .weight = op->weight,
    .bias = op->bias,
    .stride = 1,
    .act = op->u.linear.act,
    .operand = op->n_src > 1 ? op->src[1] : NULL,
  };

  if (op->u.linear.geglu) {
    params.operand = op->dst;
    params.multiply = TRUE;
    if (!init_gate (self, device, &params, error))
      return FALSE;
  }
  return dloral_product_init (&self->product, device, &params, error);
}

DloralCpuOp *
dloral_cpu_linear_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Linear *self = g_new0 (Linear, 1);

  self->base.op = op;
  self->base.library = TRUE;
  self->base.run = linear_run;
  self->base.free = linear_free;
  if (!init_products (self, device, op, error)) {
    linear_free (&self->base);
    return NULL;
  }
  self->base.scratch_size = self->gate_size +
      MAX (self->product.scratch_size, self->gate.scratch_size);
  return &self->base;
}
