/* Pictures to other sizes and to tensors: upsample, shrink, from_picture.
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
  const DloralPictureKernels *kernels;
  Filter *rows, *columns;       /* [h · scale], [w · scale] */
  gsize pixel;                  /* bytes */
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

/* Output columns [first, last) one by one: those near the edges, where sources
 * without weight are not to be read. */
static void
filter_columns (const Upsample * self, guint8 * dst, const guint8 * src,
    int first, int last)
{
  int n = self->base.op->src[0]->w;

  for (int x = first; x < last; x++) {
    const Filter *filter = &self->columns[x];
    const void *pixels[TAPS];

    for (int t = 0; t < TAPS; t++)
      pixels[t] = src + MIN (filter->first + t, n - 1) * self->pixel;
    self->kernels->filter_down (dst + x * self->pixel, pixels, filter->weight,
        3);
  }
}

/* Copies n pixels to every scale-th of dst. Sizes are constants, for which no
 * function is called. */
static inline void
spread_pixels (guint8 * dst, int scale, const guint8 * src, int n, gsize pixel)
{
  for (gsize i = 0; i < (gsize) n; i++)
    if (pixel == 3)
      memcpy (dst + 3 * i * scale, src + 3 * i, 3);
    else
      memcpy (dst + 6 * i * scale, src + 6 * i, 6);
}

/* A row of w · scale pixels from one of w. Away from the edges every scale-th
 * output has the same weights: filter those as one run, then spread them. */
static void
filter_row (const Upsample * self, guint8 * dst, const guint8 * src, int w)
{
  int scale = self->base.op->u.upsample.scale;
  guint8 *phase = dst + w * scale * self->pixel;
  int inner = MAX (0, w - 4);

  for (int p = 0; inner > 0 && p < scale; p++) {
    const Filter *filter = &self->columns[2 * scale + p];

    self->kernels->filter_across (phase, src + filter->first * self->pixel,
        filter->weight, 3 * (gsize) inner);
    spread_pixels (dst + (2 * scale + p) * self->pixel, scale, phase, inner,
        self->pixel);
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
  const void *rows[TAPS];

  for (int t = 0; t < TAPS; t++)
    rows[t] = wide + MIN (filter->first + t, src->h - 1) * self->row_size;
  self->kernels->filter_down (dst, rows, filter->weight, 3 * width);
  for (int x = width; x < self->base.op->dst->w; x++)
    memcpy (dst + x * self->pixel, dst + (width - 1) * self->pixel,
        self->pixel);
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
      filter_row (self, wide + y * self->row_size, in + y * src->w
          * self->pixel, src->w);
#pragma omp for
    for (int y = 0; y < dst->h; y++)
      filter_column (self, out + y * dst->w * self->pixel, wide, y);
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

  self->kernels = dloral_picture_kernels_get (src->dtype);
  self->pixel = 3 * dloral_dtype_size (src->dtype);
  self->rows = filters_new (src->h, scale);
  self->columns = filters_new (src->w, scale);
  /* The row and, behind it, one run of filter_row (). */
  self->row_size = dloral_align (self->pixel * src->w * (scale + 1));
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
  float half = op->src[0]->dtype == DLORAL_U16 ? 32767.5f : 127.5f;
  int last = op->src[0]->w - 1;

  for (int x = 0; x < op->dst->w; x++) {
    int first = shrink_first (x, op->u.shrink.factor);

    for (int k = 0; k < 3; k++) {
      float sum = 0;

      for (int t = 0; t < TAPS; t++)
        sum += weight[t] * row[3 * (gsize) CLAMP (first + t, 0, last) + k];
      dst[3 * (gsize) x + k] = sum / half - 1;
    }
  }
}

static void
shrink_row (const DloralOp * op, float *dst, float *row, const guint8 * src,
    int y)
{
  const DloralTensor *t = op->src[0];
  gsize row_size = 3 * (gsize) t->w * dloral_dtype_size (t->dtype);
  int first = shrink_first (y, op->u.shrink.factor);
  const void *rows[TAPS];
  float weight[TAPS];

  shrink_weights (op->u.shrink.factor, weight);
  for (int i = 0; i < TAPS; i++)
    rows[i] = src + CLAMP (first + i, 0, t->h - 1) * row_size;
  dloral_picture_kernels_get (t->dtype)->blend (row, rows, weight,
      3 * (gsize) t->w);
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
  const DloralTensor *t = op->dst, *s = op->src[0];
  const DloralPictureKernels *kernels = dloral_picture_kernels_get (s->dtype);
  gsize row_size = 3 * (gsize) s->w * dloral_dtype_size (s->dtype);
  int patch = op->u.from_picture.patch;
  gsize element = dloral_dtype_size (t->dtype);
  gsize length = 3 * (gsize) patch * t->w, piece = 3 * patch * element;

  for (int dy = 0; dy < patch; dy++) {
    guint8 *d = dst + (gsize) y * t->w * t->c * element + dy * piece;

    kernels->from_levels[dloral_kernel_type (t->dtype)] (line,
        src + ((gsize) y * patch + dy) * row_size, length);
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
