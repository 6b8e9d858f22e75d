/* The decoder's tensor to a picture, and its colours corrected against the
 * upsampled LQ frame.
 *
 * As the published code does it, which knows pictures of 8 bits: without a
 * correction the value is rounded to a level; with one it is truncated to a level
 * first, corrected from there, and then rounded.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "strips.h"

#include <math.h>

/* The wavelet correction's levels; level i has dilation 2^i. */
#define WAVELET_LEVELS 5
#define WAVELET_REACH (1 << (WAVELET_LEVELS - 1))

typedef struct
{
  DloralCpuOp base;
  const DloralPictureKernels *kernels;
  int max_level;
  gsize line_size;              /* bytes of a strip's line in scratch */
  gsize plane_size;             /* bytes of a picture of f32 */
} ToPicture;

/* What a run knows. */
typedef struct
{
  const ToPicture *self;
  const guint8 *src, *lq;
  guint8 *dst;
  guint8 *lines;                /* [strips][line_size] */
  float *planes[2];             /* [height][width][3], wavelet only */
} Job;

/* Levels of a picture's row, all and those that are visible; bytes of the
 * former. */
static gsize
row_levels (const ToPicture * self)
{
  return 3 * (gsize) self->base.op->dst->w;
}

static gsize
visible_levels (const ToPicture * self)
{
  return 3 * (gsize) self->base.op->u.to_picture.width;
}

static gsize
row_bytes (const ToPicture * self)
{
  return row_levels (self) * dloral_dtype_size (self->base.op->dst->dtype);
}

/* --- tensor to levels ---------------------------------------------------- */

/* The lines of one row of patches: each is gathered, then converted whole. */
static gboolean
convert_patches (const Job * job, guint8 * line, int y)
{
  const DloralOp *op = job->self->base.op;
  const DloralTensor *t = op->src[0];
  int patch = op->u.to_picture.patch;
  gsize element = dloral_dtype_size (t->dtype), piece = 3 * patch * element;
  float bias = op->u.to_picture.color_fix == DLORAL_COLOR_FIX_NONE ? 0.5f : 0;
  gboolean finite = TRUE;

  for (int dy = 0; dy < patch; dy++) {
    const guint8 *s = job->src + (gsize) y * t->w * t->c * element
        + dy * piece;
    gsize at = ((gsize) y * patch + dy) * row_bytes (job->self);

    dloral_copy_pieces (line, piece, s, t->c * element, piece, t->w);
    finite &= job->self->kernels->to_levels[dloral_kernel_type (t->dtype)]
        (job->dst + at, line, op->u.to_picture.lq_residual ? job->lq + at :
        NULL, bias, row_levels (job->self));
  }
  return finite;
}

static gboolean
convert_strip (const Job * job, int strip)
{
  int h = job->self->base.op->src[0]->h;
  gboolean finite = TRUE;

  for (int y = dloral_strip_start (strip, h);
      y < (int) dloral_strip_start (strip + 1, h); y++)
    finite &= convert_patches (job,
        job->lines + strip * job->self->line_size, y);
  return finite;
}

/* --- adain --------------------------------------------------------------- */

/* Sums over the visible part of the result and of the LQ frame. Whole levels
 * make them exact. */
typedef struct
{
  guint64 sum[2][3], square[2][3];
} Statistics;

static void
measure_row (const Job * job, Statistics * statistics, int y)
{
  const guint8 *pictures[2] = { job->dst, job->lq };

  for (int i = 0; i < 2; i++)
    job->self->kernels->moments (pictures[i] + y * row_bytes (job->self),
        job->self->base.op->u.to_picture.width, statistics->sum[i],
        statistics->square[i]);
}

static void
statistics_add (Statistics * total, const Statistics * more)
{
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 3; k++) {
      total->sum[i][k] += more->sum[i][k];
      total->square[i][k] += more->square[i][k];
    }
}

/* Mean and deviation in levels; the published variance is unbiased and has 1e−5
 * added on the scale of [0, 1]. */
static void
statistics_get (const Statistics * statistics, int i, int k, double n,
    double max_level, double *mean, double *deviation)
{
  double sum = statistics->sum[i][k], square = statistics->square[i][k];
  double variance = n > 1 ? (square - sum * sum / n) / (n - 1) : 0;

  *mean = sum / n;
  *deviation = sqrt (variance + 1e-5 * max_level * max_level);
}

static void
adain_fold (const Job * job, const Statistics * statistics, float gain[3],
    float offset[3])
{
  const DloralOp *op = job->self->base.op;
  double n = (double) op->u.to_picture.height * op->u.to_picture.width;

  for (int k = 0; k < 3; k++) {
    double mean[2], deviation[2], scale;

    for (int i = 0; i < 2; i++)
      statistics_get (statistics, i, k, n, job->self->max_level, &mean[i],
          &deviation[i]);
    scale = deviation[1] / deviation[0];
    gain[k] = scale;
    offset[k] = mean[1] - mean[0] * scale;
  }
}

static void
correct_adain (const Job * job, int threads)
{
  const DloralOp *op = job->self->base.op;
  int height = op->u.to_picture.height, width = op->u.to_picture.width;
  Statistics total = { 0 };
  float gain[3], offset[3];

#pragma omp parallel num_threads (threads)
  {
    Statistics mine = { 0 };

#pragma omp for
    for (int y = 0; y < height; y++)
      measure_row (job, &mine, y);
#pragma omp critical (dloral_statistics)
    statistics_add (&total, &mine);
#pragma omp barrier
#pragma omp single
    adain_fold (job, &total, gain, offset);
#pragma omp for
    for (int y = 0; y < height; y++)
      job->self->kernels->affine (job->dst + y * row_bytes (job->self), width,
          gain, offset);
  }
}

/* --- wavelet ------------------------------------------------------------- */

/* The result's high frequencies and the source's low ones: what is added is
 * the low part of their difference, so one picture is filtered, not two. */
static void
difference_row (const Job * job, int y)
{
  gsize at = y * row_bytes (job->self), n = visible_levels (job->self);

  job->self->kernels->difference (job->planes[0] + y * n, job->lq + at,
      job->dst + at, n);
}

/* Repeats the first and last pixel of a line of n floats `reach` times. */
static void
line_extend (float *line, gsize n, int reach)
{
  for (int i = 1; i <= reach; i++) {
    memcpy (line - 3 * i, line, 3 * sizeof *line);
    memcpy (line + n + 3 * (i - 1), line + n - 3, 3 * sizeof *line);
  }
}

/* Row y of dst: src under (1 2 1)² / 16 with the dilation, edges repeated. */
static void
blur_row (const Job * job, float *dst, const float *src, float *line,
    int dilation, int y)
{
  const DloralKernels *kernels = dloral_kernels_get ();
  int last = job->self->base.op->u.to_picture.height - 1;
  gsize n = visible_levels (job->self);

  line += 3 * WAVELET_REACH;
  kernels->binomial (line, src + MAX (y - dilation, 0) * n, src + y * n,
      src + MIN (y + dilation, last) * n, n);
  line_extend (line, n, dilation);
  kernels->binomial (dst + y * n, line - 3 * dilation, line,
      line + 3 * dilation, n);
}

static void
blur_strip (const Job * job, int level, int strip)
{
  int height = job->self->base.op->u.to_picture.height;

  for (int y = dloral_strip_start (strip, height);
      y < (int) dloral_strip_start (strip + 1, height); y++)
    blur_row (job, job->planes[(level + 1) % 2], job->planes[level % 2],
        (float *) (job->lines + strip * job->self->line_size), 1 << level, y);
}

static void
correct_wavelet (const Job * job, int threads)
{
  const gsize n = visible_levels (job->self);
  int height = job->self->base.op->u.to_picture.height;

#pragma omp parallel num_threads (threads)
  {
#pragma omp for
    for (int y = 0; y < height; y++)
      difference_row (job, y);
    for (int level = 0; level < WAVELET_LEVELS; level++) {
#pragma omp for
      for (int strip = 0; strip < DLORAL_STRIPS; strip++)
        blur_strip (job, level, strip);
    }
#pragma omp for
    for (int y = 0; y < height; y++)
      job->self->kernels->add (job->dst + y * row_bytes (job->self),
          job->planes[WAVELET_LEVELS % 2] + y * n, n);
  }
}

/* --- what is not a number -------------------------------------------------- */

static gboolean
is_finite (const float * x, gsize n)
{
  float sum = 0;

#pragma omp simd reduction (+: sum)
  for (gsize i = 0; i < n; i++)
    sum += x[i] * 0.0f;
  return sum == 0;
}

/* --- operator ------------------------------------------------------------ */

static gboolean
to_picture_run (DloralCpuOp * base, const DloralCpuRun * run, GError ** error)
{
  ToPicture *self = (ToPicture *) base;
  const DloralOp *op = base->op;
  Job job = { self, dloral_cpu_get_data (run, op->src[0]),
    dloral_cpu_get_data (run, op->src[1]), dloral_cpu_get_data (run, op->dst),
    run->scratch, { NULL, NULL }
  };
  const DloralTensor *also = op->n_src > 2 ? op->src[2] : NULL;
  gboolean finite = also == NULL || is_finite (dloral_cpu_get_data (run, also),
      (gsize) also->h * also->w * also->c);

#pragma omp parallel for num_threads (run->threads) reduction (&: finite)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++)
    finite &= convert_strip (&job, strip);
  *(guint8 *) dloral_cpu_get_data (run, op->u.to_picture.finite) = finite;
  if (!finite)
    memcpy (job.dst, job.lq, dloral_tensor_get_size (op->dst));
  else if (op->u.to_picture.color_fix == DLORAL_COLOR_FIX_ADAIN)
    correct_adain (&job, run->threads);
  else if (op->u.to_picture.color_fix == DLORAL_COLOR_FIX_WAVELET) {
    for (int i = 0; i < 2; i++)
      job.planes[i] = (float *) (run->scratch
          + DLORAL_STRIPS * self->line_size + i * self->plane_size);
    correct_wavelet (&job, run->threads);
  }
  return TRUE;
}

DloralCpuOp *
dloral_cpu_to_picture_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  ToPicture *self = g_new0 (ToPicture, 1);

  self->base.op = op;
  self->kernels = dloral_picture_kernels_get (op->dst->dtype);
  self->max_level = op->dst->dtype == DLORAL_U16 ? 65535 : 255;
  self->line_size = dloral_align ((row_levels (self)
          + 2 * 3 * WAVELET_REACH) * sizeof (float));
  if (op->u.to_picture.color_fix == DLORAL_COLOR_FIX_WAVELET)
    self->plane_size = dloral_align (op->u.to_picture.height
        * visible_levels (self) * sizeof (float));
  self->base.scratch_size = DLORAL_STRIPS * self->line_size
      + 2 * self->plane_size;
  self->base.run = to_picture_run;
  return &self->base;
}
