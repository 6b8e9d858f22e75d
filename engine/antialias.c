/* Two passes, across and then down, each a weighted sum of what lies within a
 * triangle as wide as two samples of the smaller grid.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "antialias.h"

#include <math.h>
#include <string.h>

/* Which samples make each sample of the result, and how much of each. */
typedef struct
{
  int most;                     /* samples that make one */
  int *first, *n;               /* [n_out] */
  float *weights;               /* [n_out][most] */
} Taps;

static void
fill_tap (Taps *t, int i, int n_in, double scale)
{
  double reach = MAX (scale, 1), center = scale * (i + 0.5), sum = 0;
  int first = MAX ((int) (center - reach + 0.5), 0);
  int end = MIN ((int) (center + reach + 0.5), n_in);
  float *weights = t->weights + (gsize) i * t->most;

  t->first[i] = first;
  t->n[i] = end - first;
  for (int j = 0; j < t->n[i]; j++) {
    weights[j] = MAX (0, 1 - fabs ((first + j - center + 0.5) / reach));
    sum += weights[j];
  }
  for (int j = 0; j < t->n[i]; j++)
    weights[j] /= sum;
}

static void
taps_init (Taps *t, int n_in, int n_out)
{
  double scale = (double) n_in / n_out;

  t->most = 2 * (int) ceil (MAX (scale, 1)) + 1;
  t->first = g_new (int, n_out);
  t->n = g_new (int, n_out);
  t->weights = g_new (float, (gsize) n_out * t->most);
  for (int i = 0; i < n_out; i++)
    fill_tap (t, i, n_in, scale);
}

static void
taps_clear (Taps *t)
{
  g_free (t->first);
  g_free (t->n);
  g_free (t->weights);
}

static void
read_row (gconstpointer src, DloralDtype type, gsize n, float *row)
{
  for (gsize i = 0; i < n; i++)
    row[i] = type == DLORAL_U8 ? ((const guint8 *) src)[i] / 255.f
        : ((const guint16 *) src)[i] / 65535.f;
}

/* row [w][3] → dst [size][3] */
static void
shrink_row (const Taps *t, const float *row, int size, float *dst)
{
  for (int x = 0; x < size; x++) {
    const float *weights = t->weights + (gsize) x * t->most;
    const float *from = row + 3 * t->first[x];
    float sum[3] = { 0 };

    for (int j = 0; j < t->n[x]; j++)
      for (int c = 0; c < 3; c++)
        sum[c] += weights[j] * from[3 * j + c];
    memcpy (dst + 3 * x, sum, sizeof sum);
  }
}

/* Row y of the result of rows [h][3 · size]. */
static void
shrink_down (const Taps *t, const float *rows, int size, int y, float *dst)
{
  const float *weights = t->weights + (gsize) y * t->most;

  memset (dst, 0, 3 * size * sizeof *dst);
  for (int j = 0; j < t->n[y]; j++)
    for (int i = 0; i < 3 * size; i++)
      dst[i] += weights[j] * rows[(gsize) (t->first[y] + j) * 3 * size + i];
}

void
dloral_antialias (gconstpointer src, DloralDtype type, int h, int w, int size,
    const float *mean, const float *deviation, float *dst)
{
  g_autofree float *row = g_new (float, (gsize) 3 * w);
  g_autofree float *rows = g_new (float, (gsize) 3 * h * size);
  Taps across, down;

  taps_init (&across, w, size);
  taps_init (&down, h, size);
  for (int y = 0; y < h; y++) {
    read_row ((const guint8 *) src
        + (gsize) 3 * y * w * dloral_dtype_size (type), type, (gsize) 3 * w,
        row);
    shrink_row (&across, row, size, rows + (gsize) 3 * y * size);
  }
  for (int y = 0; y < size; y++, dst += 3 * size) {
    shrink_down (&down, rows, size, y, dst);
    for (int i = 0; i < 3 * size; i++)
      dst[i] = (dst[i] - mean[i % 3]) / deviation[i % 3];
  }
  taps_clear (&across);
  taps_clear (&down);
}
