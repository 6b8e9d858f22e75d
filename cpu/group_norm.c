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

static gsize
strip_length (int strip, gsize pixels)
{
  return dloral_strip_start (strip + 1, pixels)
      - dloral_strip_start (strip, pixels);
}

static void
measure_strip (const GroupNorm * self, const DloralCpuRun * run,
    const Scratch * scratch, int strip)
{
  const DloralOp *op = self->base.op;
  gsize pixels = (gsize) op->dst->h * op->dst->w;
  gsize first = dloral_strip_start (strip, pixels);
  gsize n = strip_length (strip, pixels);
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

/* Mean and variance of `size` channels from `first` on. */
static void
join_moments (const GroupNorm * self, const Scratch * scratch, int first,
    int size, double *mean, double *variance)
{
  const DloralOp *op = self->base.op;
  gsize pixels = (gsize) op->dst->h * op->dst->w;
  double sum = 0, m2 = 0;

  for (int strip = 0; strip < DLORAL_STRIPS; strip++) {
    gsize n = strip_length (strip, pixels), at = strip * self->c + first;

    for (gsize i = at; n > 0 && i < at + size; i++)
      sum += n * scratch->mean[i];
  }
  *mean = sum / size / pixels;
  for (int strip = 0; strip < DLORAL_STRIPS; strip++) {
    gsize n = strip_length (strip, pixels), at = strip * self->c + first;

    for (gsize i = at; n > 0 && i < at + size; i++)
      m2 += scratch->m2[i]
          + n * (scratch->mean[i] - *mean) * (scratch->mean[i] - *mean);
  }
  *variance = m2 / size / pixels;
}

/* Which source a channel comes from. */
static const DloralTensor *
get_source (const DloralOp * op, int channel)
{
  return op->src[channel >= op->src[0]->c];
}

/* y = (x − mean) / deviation · gamma + beta as (x − center) · scale + shift:
 * center is the mean in f32 (the kernels take 0 for bf16), and what it misses
 * goes into the shift. */
static void
fold_group (const GroupNorm * self, const Scratch * scratch, int group)
{
  const DloralOp *op = self->base.op;
  int size = self->c / op->u.group_norm.groups, first = group * size;
  double mean, variance;

  join_moments (self, scratch, first, size, &mean, &variance);
  for (int i = first; i < first + size; i++) {
    double scale = self->gamma[i] / sqrt (variance + op->u.group_norm.eps);

    scratch->center[i] = get_source (op, i)->dtype == DLORAL_BF16 ? 0 : mean;
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
  gsize n = strip_length (strip, pixels);
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
