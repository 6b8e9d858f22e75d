/* Parts of a tensor: cut out, laid on top of each other with weights, put into
 * another order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "strips.h"

/* --- crop ----------------------------------------------------------------- */

static gboolean
crop_run (DloralCpuOp *self, const DloralCpuRun *run, GError **error)
{
  const DloralOp *op = self->op;
  const DloralTensor *s = op->src[0], *d = op->dst;
  const guint8 *src = dloral_cpu_get_data (run, s);
  guint8 *dst = dloral_cpu_get_data (run, d);
  gsize pixel = d->c * dloral_dtype_size (d->dtype);

#pragma omp parallel for num_threads (run->threads)
  for (int y = 0; y < d->h; y++)
    memcpy (dst + (gsize) y * d->w * pixel, src +
        ((gsize) (op->u.crop.y + y) * s->w + op->u.crop.x) * pixel,
        d->w * pixel);
  return TRUE;
}

DloralCpuOp *
dloral_cpu_crop_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  DloralCpuOp *self = g_new0 (DloralCpuOp, 1);

  self->op = op;
  self->run = crop_run;
  return self;
}

/* --- paste ---------------------------------------------------------------- */

typedef struct
{
  DloralCpuOp base;
  float *weights;               /* [h][w] of the part; NULL: it replaces */
} Paste;

static void
add_weighted (float *dst, const float *src, const float *weights, int w, int c)
{
  for (int x = 0; x < w; x++)
    for (int k = 0; k < c; k++)
      dst[x * c + k] += weights[x] * src[x * c + k];
}

/* Row y of dst: what is below, then the part's row if it has one there. */
static void
paste_row (const Paste *self, const DloralCpuRun *run, int y)
{
  const DloralOp *op = self->base.op;
  const DloralTensor *s = op->src[0], *d = op->dst;
  gsize pixel = d->c * dloral_dtype_size (d->dtype);
  gsize row = d->w * pixel, part_row = s->w * pixel;
  guint8 *dst = (guint8 *) dloral_cpu_get_data (run, d) + y * row;
  int part_y = y - op->u.paste.y;
  const guint8 *src;

  if (op->n_src > 1)
    memcpy (dst, (guint8 *) dloral_cpu_get_data (run, op->src[1]) + y * row,
        row);
  else
    memset (dst, 0, row);
  if (part_y < 0 || part_y >= s->h)
    return;
  src = (guint8 *) dloral_cpu_get_data (run, s) + part_y * part_row;
  dst += op->u.paste.x * pixel;
  if (self->weights)
    add_weighted ((float *) dst, (const float *) src,
        self->weights + (gsize) part_y * s->w, s->w, s->c);
  else
    memcpy (dst, src, part_row);
}

static gboolean
paste_run (DloralCpuOp *base, const DloralCpuRun *run, GError **error)
{
#pragma omp parallel for num_threads (run->threads)
  for (int y = 0; y < base->op->dst->h; y++)
    paste_row ((Paste *) base, run, y);
  return TRUE;
}

static void
paste_free (DloralCpuOp *base)
{
  Paste *self = (Paste *) base;

  g_free (self->weights);
  g_free (self);
}

DloralCpuOp *
dloral_cpu_paste_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  Paste *self = g_new0 (Paste, 1);

  self->base.op = op;
  self->base.run = paste_run;
  self->base.free = paste_free;
  if (op->weight)
    self->weights = dloral_weight_dup (op->weight,
        (gsize) op->src[0]->h * op->src[0]->w);
  return &self->base;
}

/* --- gather --------------------------------------------------------------- */

typedef struct
{
  DloralCpuOp base;
  int *rows;                    /* [rows of dst], of src */
} Gather;

static gboolean
gather_run (DloralCpuOp *base, const DloralCpuRun *run, GError **error)
{
  const Gather *self = (Gather *) base;
  const DloralOp *op = base->op;
  gsize size = op->src[0]->c * dloral_dtype_size (op->dst->dtype);
  const guint8 *src = dloral_cpu_get_data (run, op->src[0]);
  guint8 *dst = dloral_cpu_get_data (run, op->dst);

#pragma omp parallel for num_threads (run->threads)
  for (int i = 0; i < op->weight->o; i++)
    memcpy (dst + i * size, src + self->rows[i] * size, size);
  return TRUE;
}

static void
gather_free (DloralCpuOp *base)
{
  g_free (((Gather *) base)->rows);
  g_free (base);
}

DloralCpuOp *
dloral_cpu_gather_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Gather *self = g_new0 (Gather, 1);
  g_autofree float *rows = dloral_weight_dup (op->weight, op->weight->o);

  self->base.op = op;
  self->base.run = gather_run;
  self->base.free = gather_free;
  self->rows = g_new (int, op->weight->o);
  for (int i = 0; i < op->weight->o; i++)
    self->rows[i] = rows[i];
  return &self->base;
}
