/* Group normalisation, with SiLU where it follows: one pass for the statistics,
 * one to normalise. Two sources are taken as one tensor, side by side.
 *
 * Statistics are per strip and channel a mean and a sum of squared differences
 * from it, joined in double: precise even where the mean is far from zero.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "strips.h"

#include <math.h>

typedef struct
{
  DloralCpuOp base;
  int c;                        /* of all sources */
  float *gamma, *beta;          /* [c] */
} GroupNorm;

/* What a run keeps in scratch. */
typedef struct
{
  double *mean, *m2;            /* [strips][c] */
  float *center, *scale, *shift;        /* [c] */
} Scratch;

static Scratch
scratch_get (const GroupNorm * self, guint8 * memory)
{
  gsize n = (gsize) DLORAL_STRIPS * self->c;
  Scratch s;

  s.mean = (double *) memory;
  s.m2 = s.mean + n;
  s.center = (float *) (s.m2 + n);
  s.scale = s.center + self->c;
  s.shift = s.scale + self->c;
  return s;
}

static gsize
scratch_get_size (const GroupNorm * self)
{
  return self->c * (DLORAL_STRIPS * 2 * sizeof (double) + 3 * sizeof (float));
}

/* Joins (n, mean, m2) of more values to those of a set. */
static void
moments_join (double *n, double *mean, double *m2, double more_n,
    double more_mean, double more_m2)
{
  double total = *n + more_n, delta = more_mean - *mean;

  *m2 += more_m2 + delta * delta * *n * more_n / total;
  *mean += delta * more_n / total;
  *n = total;
}

static void
measure_strip (const GroupNorm * self, const DloralCpuRun * run,
    const Scratch * scratch, int strip)
{
  const DloralOp *op = self->base.op;
  gsize pixels = (gsize) op->dst->h * op->dst->w;
  gsize first = dloral_strip_start (strip, pixels);
  gsize n = dloral_strip_start (strip + 1, pixels) - first;
  gsize at = (gsize) strip * self->c;

  if (n == 0)
    return;
  for (int i = 0; i < op->n_src; at += op->src[i]->c, i++) {
    const DloralTensor *src = op->src[i];
    const guint8 *data = dloral_cpu_get_data (run, src);

    dloral_kernels_get ()->moments[dloral_kernel_type (src->dtype)] (data +
        first * src->c * dloral_dtype_size (src->dtype), src->c, n,
        scratch->mean + at, scratch->m2 + at);
  }
}

/* y = (x − mean) / deviation · gamma + beta as (x − center) · scale + shift:
 * center is the mean in f32, what it misses goes into the shift. */
static void
fold_group (const GroupNorm * self, const Scratch * scratch, int group)
{
  const DloralOp *op = self->base.op;
  gsize pixels = (gsize) op->dst->h * op->dst->w;
  int size = self->c / op->u.group_norm.groups, first = group * size;
  double n = 0, mean = 0, m2 = 0, inverse;

  for (int strip = 0; strip < DLORAL_STRIPS; strip++) {
    gsize count = dloral_strip_start (strip + 1, pixels)
        - dloral_strip_start (strip, pixels);

    for (int i = first; count > 0 && i < first + size; i++) {
      gsize at = (gsize) strip * self->c + i;

      moments_join (&n, &mean, &m2, count, scratch->mean[at],
          scratch->m2[at]);
    }
  }
  inverse = 1 / sqrt (m2 / n + op->u.group_norm.eps);
  for (int i = first; i < first + size; i++) {
    double scale = self->gamma[i] * inverse;

    scratch->center[i] = mean;
    scratch->scale[i] = scale;
    scratch->shift[i] = self->beta[i] - (mean - scratch->center[i]) * scale;
  }
}

static void
normalise_strip (const GroupNorm * self, const DloralCpuRun * run,
    const Scratch * scratch, int strip)
{
  const DloralOp *op = self->base.op;
  const DloralKernelType to = dloral_kernel_type (op->dst->dtype);
  gsize pixels = (gsize) op->dst->h * op->dst->w;
  gsize first = dloral_strip_start (strip, pixels);
  gsize n = dloral_strip_start (strip + 1, pixels) - first;
  guint8 *dst = dloral_cpu_get_data (run, op->dst);
  int at = 0;

  for (int i = 0; i < op->n_src; at += op->src[i]->c, i++) {
    const DloralTensor *src = op->src[i];
    const guint8 *data = dloral_cpu_get_data (run, src);

    dloral_kernels_get ()->normalise[to][dloral_kernel_type (src->dtype)] (dst +
        (first * self->c + at) * dloral_dtype_size (op->dst->dtype), self->c,
        data + first * src->c * dloral_dtype_size (src->dtype), src->c, n,
        scratch->center + at, scratch->scale + at, scratch->shift + at,
        op->u.group_norm.act == DLORAL_ACT_SILU);
  }
}

static gboolean
group_norm_run (DloralCpuOp * base, const DloralCpuRun * run, GError ** error)
{
  GroupNorm *self = (GroupNorm *) base;
  Scratch scratch = scratch_get (self, run->scratch);

#pragma omp parallel num_threads (run->threads)
  {
#pragma omp for
    for (int strip = 0; strip < DLORAL_STRIPS; strip++)
      measure_strip (self, run, &scratch, strip);
#pragma omp for
    for (int group = 0; group < base->op->u.group_norm.groups; group++)
      fold_group (self, &scratch, group);
#pragma omp for
    for (int strip = 0; strip < DLORAL_STRIPS; strip++)
      normalise_strip (self, run, &scratch, strip);
  }
  return TRUE;
}

static void
group_norm_free (DloralCpuOp * base)
{
  GroupNorm *self = (GroupNorm *) base;

  g_free (self->gamma);
  g_free (self->beta);
  g_free (self);
}

DloralCpuOp *
dloral_cpu_group_norm_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  GroupNorm *self = g_new0 (GroupNorm, 1);

  self->c = op->dst->c;
  self->gamma = dloral_weight_dup (op->weight, self->c);
  self->beta = dloral_weight_dup (op->bias, self->c);
  self->base.op = op;
  self->base.scratch_size = scratch_get_size (self);
  self->base.run = group_norm_run;
  self->base.free = group_norm_free;
  return &self->base;
}
