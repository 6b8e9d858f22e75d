/* 8-bit pictures to other sizes and to tensors: upsample, shrink, from_picture.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "strips.h"

#include <math.h>

#define TAPS 4

/* Keys' cubic with parameter a. */
static double
cubic (double x, double a)
{
  x = fabs (x);
  if (x < 1)
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2)
    return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/* --- upsample ------------------------------------------------------------- */

/* One output coordinate: sources first … first + 3, weights with 22 bits
 * after the point; a weight is 0 where the source lies outside. */
typedef struct
{
  int first;
  gint32 weight[TAPS];
} Filter;

typedef struct
{
  DloralCpuOp base;
  Filter *rows, *columns;       /* [h · scale], [w · scale] */
  gsize row_size;               /* bytes of a row in scratch */
} Upsample;

/* As Pillow does it: weights are cut off at the picture's edge, divided by
 * their sum, and rounded away from zero at a half. */
static Filter
filter_make (int i, int n_in, int scale)
{
  double center = (i + 0.5) / scale, weight[TAPS], sum = 0;
  int first = MAX (0, (int) (center - 2 + 0.5));
  int n = MIN (n_in, (int) (center + 2 + 0.5)) - first;
  Filter filter = { first, { 0 } };

  for (int t = 0; t < n; t++)
    sum += weight[t] = cubic (first + t - center + 0.5, -0.5);
  for (int t = 0; t < n; t++)
    filter.weight[t] = lround (weight[t] / sum * (1 << 22));
  return filter;
}

static Filter *
filters_new (int n_in, int scale)
{
  Filter *filters = g_new (Filter, (gsize) n_in * scale);

  for (int i = 0; i < n_in * scale; i++)
    filters[i] = filter_make (i, n_in, scale);
  return filters;
}

/* Output columns [first, last) one by one: those near the edges. */
static void
filter_columns (const Upsample * self, guint8 * dst, const guint8 * src,
    int first, int last)
{
  for (int x = first; x < last; x++) {
    const Filter *filter = &self->columns[x];

    for (int k = 0; k < 3; k++) {
      gint32 sum = 1 << 21;

      for (int t = 0; t < TAPS; t++)
        if (filter->weight[t] != 0)
          sum += filter->weight[t] * src[3 * (filter->first + t) + k];
      dst[3 * x + k] = CLAMP (sum >> 22, 0, 255);
    }
  }
}

/* A row of w · scale pixels from one of w. Away from the edges every scale-th
 * output has the same weights: filter those as one run, then spread them. */
static void
filter_row (const Upsample * self, guint8 * dst, const guint8 * src, int w)
{
  const DloralKernels *kernels = dloral_kernels_get ();
  int scale = self->base.op->u.upsample.scale;
  guint8 *phase = dst + (gsize) 3 * w * scale;
  int inner = MAX (0, w - 4);

  for (int p = 0; inner > 0 && p < scale; p++) {
    const Filter *filter = &self->columns[2 * scale + p];

    kernels->filter_across (phase, src + 3 * filter->first, filter->weight,
        3 * (gsize) inner);
    for (int i = 0; i < inner; i++)
      memcpy (dst + 3 * ((gsize) (i + 2) * scale + p), phase + 3 * i, 3);
  }
  filter_columns (self, dst, src, 0, MIN (2, w) * scale);
  filter_columns (self, dst, src, (MIN (2, w) + inner) * scale, w * scale);
}

/* Output row y, from the rows that filter_row () made. */
static void
filter_column (const Upsample * self, guint8 * dst, const guint8 * wide,
    int y)
{
  const DloralTensor *src = self->base.op->src[0];
  int scale = self->base.op->u.upsample.scale;
  const Filter *filter = &self->rows[MIN (y, src->h * scale - 1)];
  gsize width = MIN (self->base.op->dst->w, src->w * scale);
  const guint8 *rows[TAPS];

  for (int t = 0; t < TAPS; t++)
    rows[t] = wide + MIN (filter->first + t, src->h - 1) * self->row_size;
  dloral_kernels_get ()->filter_down (dst, rows, filter->weight, 3 * width);
  for (int x = width; x < self->base.op->dst->w; x++)
    memcpy (dst + 3 * (gsize) x, dst + 3 * (width - 1), 3);
}

static gboolean
upsample_run (DloralCpuOp * base, const DloralCpuRun * run, GError ** error)
{
  Upsample *self = (Upsample *) base;
  const DloralTensor *src = base->op->src[0], *dst = base->op->dst;
  const guint8 *in = dloral_cpu_get_data (run, src);
  guint8 *out = dloral_cpu_get_data (run, dst), *wide = run->scratch;

#pragma omp parallel num_threads (run->threads)
  {
#pragma omp for
    for (int y = 0; y < src->h; y++)
      filter_row (self, wide + y * self->row_size, in + 3 * (gsize) y * src->w,
          src->w);
#pragma omp for
    for (int y = 0; y < dst->h; y++)
      filter_column (self, out + 3 * (gsize) y * dst->w, wide, y);
  }
  return TRUE;
}

static void
upsample_free (DloralCpuOp * base)
{
  Upsample *self = (Upsample *) base;

  g_free (self->rows);
  g_free (self->columns);
  g_free (self);
}

DloralCpuOp *
dloral_cpu_upsample_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  Upsample *self = g_new0 (Upsample, 1);
  const DloralTensor *src = op->src[0];
  int scale = op->u.upsample.scale;

  self->rows = filters_new (src->h, scale);
  self->columns = filters_new (src->w, scale);
  /* The row and, behind it, one run of filter_row (). */
  self->row_size = dloral_align (3 * (gsize) src->w * (scale + 1));
  self->base.op = op;
  self->base.scratch_size = self->row_size * src->h;
  self->base.run = upsample_run;
  self->base.free = upsample_free;
  return &self->base;
}

/* --- shrink --------------------------------------------------------------- */

/* Every output pixel has the same weights: factors are even or 1. */
static void
shrink_weights (int factor, float weight[TAPS])
{
  double share = factor > 1 ? 0.5 : 0;

  for (int t = 0; t < TAPS; t++)
    weight[t] = cubic (t - 1 - share, -0.75);
}

/* First of the four sources of output i; may be −1. */
static int
shrink_first (int i, int factor)
{
  return i * factor + (factor > 1 ? factor / 2 - 1 : 0) - 1;
}

/* dst [w][3] from a row that is already between its four source rows. */
static void
shrink_across (const DloralOp * op, float *dst, const float *row,
    const float weight[TAPS])
{
  int last = op->src[0]->w - 1;

  for (int x = 0; x < op->dst->w; x++) {
    int first = shrink_first (x, op->u.shrink.factor);

    for (int k = 0; k < 3; k++) {
      float sum = 0;

      for (int t = 0; t < TAPS; t++)
        sum += weight[t] * row[3 * (gsize) CLAMP (first + t, 0, last) + k];
      dst[3 * (gsize) x + k] = sum / 127.5f - 1;
    }
  }
}

static void
shrink_row (const DloralOp * op, float *dst, float *row, const guint8 * src,
    int y)
{
  const DloralTensor *t = op->src[0];
  int first = shrink_first (y, op->u.shrink.factor);
  const guint8 *rows[TAPS];
  float weight[TAPS];

  shrink_weights (op->u.shrink.factor, weight);
  for (int i = 0; i < TAPS; i++)
    rows[i] = src + 3 * (gsize) CLAMP (first + i, 0, t->h - 1) * t->w;
  dloral_kernels_get ()->blend (row, rows, weight, 3 * (gsize) t->w);
  shrink_across (op, dst + 3 * (gsize) y * op->dst->w, row, weight);
}

static gboolean
shrink_run (DloralCpuOp * self, const DloralCpuRun * run, GError ** error)
{
  const DloralOp *op = self->op;
  const guint8 *src = dloral_cpu_get_data (run, op->src[0]);
  float *dst = dloral_cpu_get_data (run, op->dst);
  gsize row_size = self->scratch_size / DLORAL_STRIPS;

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++)
    for (int y = dloral_strip_start (strip, op->dst->h);
        y < (int) dloral_strip_start (strip + 1, op->dst->h); y++)
      shrink_row (op, dst, (float *) (run->scratch + strip * row_size), src,
          y);
  return TRUE;
}

DloralCpuOp *
dloral_cpu_shrink_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  DloralCpuOp *self = g_new0 (DloralCpuOp, 1);

  self->op = op;
  self->scratch_size = DLORAL_STRIPS
      * dloral_align (3 * (gsize) op->src[0]->w * sizeof (float));
  self->run = shrink_run;
  return self;
}

/* --- from_picture --------------------------------------------------------- */

/* Row y of dst: its patch's lines, each converted whole and then dealt out. */
static void
from_picture_row (const DloralOp * op, guint8 * dst, guint8 * line,
    const guint8 * src, int y)
{
  const DloralTensor *t = op->dst;
  int patch = op->u.from_picture.patch;
  gsize element = dloral_dtype_size (t->dtype);
  gsize length = 3 * (gsize) patch * t->w, piece = 3 * patch * element;

  for (int dy = 0; dy < patch; dy++) {
    guint8 *d = dst + (gsize) y * t->w * t->c * element + dy * piece;

    dloral_kernels_get ()->from_bytes[dloral_kernel_type (t->dtype)] (line,
        src + ((gsize) y * patch + dy) * 3 * op->src[0]->w, length);
    dloral_copy_pieces (d, t->c * element, line, piece, piece, t->w);
  }
}

static gboolean
from_picture_run (DloralCpuOp * self, const DloralCpuRun * run,
    GError ** error)
{
  const DloralOp *op = self->op;
  const guint8 *src = dloral_cpu_get_data (run, op->src[0]);
  guint8 *dst = dloral_cpu_get_data (run, op->dst);
  gsize line_size = self->scratch_size / DLORAL_STRIPS;

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++)
    for (int y = dloral_strip_start (strip, op->dst->h);
        y < (int) dloral_strip_start (strip + 1, op->dst->h); y++)
      from_picture_row (op, dst, run->scratch + strip * line_size, src, y);
  return TRUE;
}

DloralCpuOp *
dloral_cpu_from_picture_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  DloralCpuOp *self = g_new0 (DloralCpuOp, 1);

  self->op = op;
  self->scratch_size = DLORAL_STRIPS * dloral_align (3 * (gsize)
      op->u.from_picture.patch * op->dst->w
      * dloral_dtype_size (op->dst->dtype));
  self->run = from_picture_run;
  return self;
}
