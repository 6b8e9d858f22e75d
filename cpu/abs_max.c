/* The largest magnitude in a tensor. As bits, magnitudes are in order, and what is
 * no number lies above all that are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "strips.h"

static guint32
find_f32 (const guint32 *bits, gsize n)
{
  guint32 max = 0;

  for (gsize i = 0; i < n; i++)
    max = MAX (max, bits[i] & 0x7fffffff);
  return max;
}

static guint32
find_bf16 (const guint16 *bits, gsize n)
{
  guint16 max = 0;

  for (gsize i = 0; i < n; i++)
    max = MAX (max, bits[i] & 0x7fff);
  return (guint32) max << 16;
}

static gboolean
abs_max_run (DloralCpuOp *self, const DloralCpuRun *run, GError **error)
{
  const DloralTensor *s = self->op->src[0];
  const guint8 *src = dloral_cpu_get_data (run, s);
  gsize n = (gsize) s->h * s->w * s->c;
  guint32 max = 0;

#pragma omp parallel for num_threads (run->threads) reduction (max: max)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++) {
    gsize first = dloral_strip_start (strip, n);
    gsize length = dloral_strip_start (strip + 1, n) - first;
    const guint8 *part = src + first * dloral_dtype_size (s->dtype);
    guint32 found = s->dtype == DLORAL_F32 ?
        find_f32 ((const guint32 *) part, length) :
        find_bf16 ((const guint16 *) part, length);

    max = MAX (max, found);
  }
  memcpy (dloral_cpu_get_data (run, self->op->dst), &max, sizeof max);
  return TRUE;
}

DloralCpuOp *
dloral_cpu_abs_max_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  DloralCpuOp *self = g_new0 (DloralCpuOp, 1);

  self->op = op;
  self->run = abs_max_run;
  return self;
}
