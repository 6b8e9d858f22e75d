/* Tensors to another size or side by side: resize, pool, concat.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "strips.h"

#include <math.h>

/* --- resize --------------------------------------------------------------- */

/* An output coordinate: source indices and the second one's share. */
typedef struct
{
  int first, second;
  float share;
} Tap;

typedef struct
{
  DloralCpuOp base;
  Tap *rows, *columns;          /* [dst h], [dst w] */
} Resize;

static double
source_position (int i, int n_in, int n_out, DloralResizeMode mode)
{
  if (mode == DLORAL_RESIZE_BILINEAR)
    return MAX (0, (i + 0.5) * n_in / n_out - 0.5);
  return n_out > 1 ? (double) i * (n_in - 1) / (n_out - 1) : 0;
}

static Tap *
taps_new (int n_in, int n_out, DloralResizeMode mode)
{
  Tap *taps = g_new (Tap, n_out);

  for (int i = 0; i < n_out; i++) {
    double at = mode == DLORAL_RESIZE_NEAREST ?
        (double) ((gint64) i * n_in / n_out)
        : source_position (i, n_in, n_out, mode);

    taps[i].first = MIN ((int) at, n_in - 1);
    taps[i].second = MIN (taps[i].first + 1, n_in - 1);
    taps[i].share = at - taps[i].first;
  }
  return taps;
}

static void
resize_nearest_row (const Resize * self, const DloralCpuRun * run, int y)
{
  const DloralTensor *src = self->base.op->src[0], *dst = self->base.op->dst;
  gsize pixel = dst->c * dloral_dtype_size (dst->dtype);
  const guint8 *s = dloral_cpu_get_data (run, src);
  guint8 *d = dloral_cpu_get_data (run, dst);

  s += (gsize) self->rows[y].first * src->w * pixel;
  d += (gsize) y * dst->w * pixel;
  for (int x = 0; x < dst->w; x++)
    memcpy (d + x * pixel, s + self->columns[x].first * pixel, pixel);
}

/* dst [w][c] from a row that is already between its two source rows. */
static void
resize_across (const Resize * self, float *dst, const float *row)
{
  const DloralOp *op = self->base.op;
  int c = op->dst->c;

  for (int x = 0; x < op->dst->w; x++) {
    const Tap *tap = &self->columns[x];
    const float *a = row + (gsize) tap->first * c;
    const float *b = row + (gsize) tap->second * c;

    for (int k = 0; k < c; k++)
      dst[(gsize) x * c + k] = (a[k] + (b[k] - a[k]) * tap->share)
          * op->u.resize.gain[k % 4] + op->u.resize.offset[k % 4];
  }
}

static void
resize_bilinear_row (const Resize * self, const DloralCpuRun * run,
    float *row, int y)
{
  const DloralTensor *src = self->base.op->src[0], *dst = self->base.op->dst;
  const float *s = dloral_cpu_get_data (run, src);
  float *d = dloral_cpu_get_data (run, dst);
  gsize length = (gsize) src->w * src->c;
  const Tap *tap = &self->rows[y];

  dloral_kernels_get ()->lerp (row, s + tap->first * length,
      s + tap->second * length, tap->share, length);
  resize_across (self, d + (gsize) y * dst->w * dst->c, row);
}

static gboolean
resize_run (DloralCpuOp * base, const DloralCpuRun * run, GError ** error)
{
  Resize *self = (Resize *) base;
  const DloralOp *op = base->op;
  gsize row_size = base->scratch_size / DLORAL_STRIPS;

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++)
    for (int y = dloral_strip_start (strip, op->dst->h);
        y < (int) dloral_strip_start (strip + 1, op->dst->h); y++) {
      if (op->u.resize.mode == DLORAL_RESIZE_NEAREST)
        resize_nearest_row (self, run, y);
      else
        resize_bilinear_row (self, run,
            (float *) (run->scratch + strip * row_size), y);
    }
  return TRUE;
}

static void
resize_free (DloralCpuOp * base)
{
  Resize *self = (Resize *) base;

  g_free (self->rows);
  g_free (self->columns);
  g_free (self);
}

DloralCpuOp *
dloral_cpu_resize_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  Resize *self = g_new0 (Resize, 1);
  const DloralTensor *src = op->src[0];

  self->rows = taps_new (src->h, op->dst->h, op->u.resize.mode);
  self->columns = taps_new (src->w, op->dst->w, op->u.resize.mode);
  self->base.op = op;
  if (op->u.resize.mode != DLORAL_RESIZE_NEAREST)
    self->base.scratch_size = DLORAL_STRIPS
        * dloral_align ((gsize) src->w * src->c * sizeof (float));
  self->base.run = resize_run;
  self->base.free = resize_free;
  return &self->base;
}

/* --- pool ----------------------------------------------------------------- */

static inline float
read_element (const void *data, gsize i, DloralDtype dtype)
{
  guint32 bits;
  float value;

  if (dtype == DLORAL_F32)
    return ((const float *) data)[i];
  bits = (guint32) ((const guint16 *) data)[i] << 16;
  memcpy (&value, &bits, sizeof value);
  return value;
}

/* Row y of 2 × 2 means, into f32. */
static void
pool_row (const DloralOp * op, const void *src, float *dst, int y)
{
  const DloralTensor *s = op->src[0];
  gsize step = (gsize) s->w * s->c;

  for (int x = 0; x < op->dst->w; x++)
    for (int k = 0; k < s->c; k++) {
      gsize i = 2 * y * step + 2 * (gsize) x * s->c + k;

      dst[(gsize) x * s->c + k] = 0.25f * (read_element (src, i, s->dtype)
          + read_element (src, i + s->c, s->dtype)
          + read_element (src, i + step, s->dtype)
          + read_element (src, i + step + s->c, s->dtype));
    }
}

static gboolean
pool_run (DloralCpuOp * self, const DloralCpuRun * run, GError ** error)
{
  const DloralOp *op = self->op;
  const DloralTensor *dst = op->dst;
  const DloralKernels *kernels = dloral_kernels_get ();
  const void *src = dloral_cpu_get_data (run, op->src[0]);
  guint8 *out = dloral_cpu_get_data (run, dst);
  gsize length = (gsize) dst->w * dst->c;
  gsize row_size = self->scratch_size / DLORAL_STRIPS;

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++) {
    float *row = (float *) (run->scratch + strip * row_size);

    for (int y = dloral_strip_start (strip, dst->h);
        y < (int) dloral_strip_start (strip + 1, dst->h); y++) {
      pool_row (op, src, row, y);
      kernels->convert[dloral_kernel_type (dst->dtype)][DLORAL_KERNEL_F32]
          (out + y * length * dloral_dtype_size (dst->dtype), length, row,
          length, length, 1);
    }
  }
  return TRUE;
}

DloralCpuOp *
dloral_cpu_pool_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  DloralCpuOp *self = g_new0 (DloralCpuOp, 1);

  self->op = op;
  self->scratch_size = DLORAL_STRIPS
      * dloral_align ((gsize) op->dst->w * op->dst->c * sizeof (float));
  self->run = pool_run;
  return self;
}

/* --- concat --------------------------------------------------------------- */

static gboolean
concat_run (DloralCpuOp * self, const DloralCpuRun * run, GError ** error)
{
  const DloralOp *op = self->op;
  const DloralTensor *dst = op->dst;
  const DloralKernels *kernels = dloral_kernels_get ();
  DloralKernelType to = dloral_kernel_type (dst->dtype);
  guint8 *out = dloral_cpu_get_data (run, dst);
  gsize pixels = (gsize) dst->h * dst->w;

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++) {
    gsize first = dloral_strip_start (strip, pixels), at = first * dst->c;
    gsize n = dloral_strip_start (strip + 1, pixels) - first;

    for (int i = 0; i < op->n_src; at += op->src[i]->c, i++) {
      const DloralTensor *src = op->src[i];
      const guint8 *data = dloral_cpu_get_data (run, src);

      kernels->convert[to][dloral_kernel_type (src->dtype)] (out +
          at * dloral_dtype_size (dst->dtype), dst->c,
          data + first * src->c * dloral_dtype_size (src->dtype), src->c,
          src->c, n);
    }
  }
  return TRUE;
}

DloralCpuOp *
dloral_cpu_concat_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  DloralCpuOp *self = g_new0 (DloralCpuOp, 1);

  self->op = op;
  self->run = concat_run;
  return self;
}
