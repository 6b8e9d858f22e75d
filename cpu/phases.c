/* Convolution of a source enlarged ×2: act (enlarged src * weight + bias), its four
 * phases one by one.
 *
 * oneDNN's fast convolutions write dense results only: those of even and odd
 * columns go to scratch memory, and from there in turns to the rows of dst.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/phases.h"
#include "product.h"
#include "strips.h"

typedef struct
{
  DloralCpuOp base;
  DloralPhases phases;
  DloralProduct products[DLORAL_N_PHASES];
  gsize part_size;              /* bytes of scratch for one phase's result */
} Phases;

/* Rows `first`, first + 2, … of dst from the even and the odd columns. */
static void
interleave (const Phases *self, const DloralCpuRun *run, int first)
{
  const DloralTensor *dst = self->base.op->dst;
  gsize pixel = dst->c * dloral_dtype_size (dst->dtype);
  gsize half = dst->w / 2 * pixel;      /* of a row */
  guint8 *to = (guint8 *) dloral_cpu_get_data (run, dst) + first * 2 * half;

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++)
    for (gsize y = dloral_strip_start (strip, dst->h / 2);
        y < dloral_strip_start (strip + 1, dst->h / 2); y++)
      for (int column = 0; column < 2; column++)
        dloral_copy_pieces (to + y * 4 * half + column * pixel, 2 * pixel,
            run->scratch + column * self->part_size + y * half, pixel, pixel,
            dst->w / 2);
}

static gboolean
phases_run (DloralCpuOp *base, const DloralCpuRun *run, GError **error)
{
  Phases *self = (Phases *) base;
  gconstpointer src = dloral_cpu_get_data (run, base->op->src[0]);

  for (int p = 0; p < DLORAL_N_PHASES; p++) {
    if (!dloral_product_run (&self->products[p], src, NULL,
            run->scratch + p % 2 * self->part_size,
            run->scratch + 2 * self->part_size, error))
      return FALSE;
    if (p % 2)
      interleave (self, run, p / 2);
  }
  return TRUE;
}

static void
phases_free (DloralCpuOp *base)
{
  Phases *self = (Phases *) base;

  for (int p = 0; p < DLORAL_N_PHASES; p++)
    dloral_product_clear (&self->products[p]);
  dloral_phases_clear (&self->phases);
  g_free (self);
}

static gboolean
init_products (Phases *self, DloralDevice *device, const DloralTensor *part,
    GError **error)
{
  const DloralOp *op = self->base.op;

  for (int p = 0; p < DLORAL_N_PHASES; p++) {
    const DloralPhase *phase = &self->phases.phase[p];
    const DloralProductParams params = {
      .op = op,
      .src = op->src[0],
      .dst = part,
      .weight = &phase->weight,
      .bias = op->bias,
      .stride = 1,
      .pad_top = phase->pad_top,
      .pad_left = phase->pad_left,
      .act = op->u.conv.act,
    };

    if (!dloral_product_init (&self->products[p], device, &params, error))
      return FALSE;
    self->base.scratch_size = MAX (self->base.scratch_size,
        2 * self->part_size + self->products[p].scratch_size);
  }
  return TRUE;
}

DloralCpuOp *
dloral_cpu_phases_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  const DloralTensor part = {.h = op->src[0]->h,.w = op->src[0]->w,
    .c = op->dst->c,.dtype = op->dst->dtype
  };
  Phases *self = g_new0 (Phases, 1);
  gboolean ok;

  self->base.op = op;
  self->base.library = TRUE;
  self->base.run = phases_run;
  self->base.free = phases_free;
  self->part_size = dloral_align (dloral_tensor_get_size (&part));
  dloral_phases_init (&self->phases, op->weight);
  ok = init_products (self, device, &part, error);
  dloral_phases_trim (&self->phases);
  if (ok)
    return &self->base;
  phases_free (&self->base);
  return NULL;
}
