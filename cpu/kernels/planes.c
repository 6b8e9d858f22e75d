/* Loops over f32 planes: interpolation, blurring, transposition, warping.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "level.h"

#include <math.h>

static void
lerp (float *restrict dst, const float *restrict a, const float *restrict b,
    float t, gsize n)
{
  for (gsize i = 0; i < n; i++)
    dst[i] = a[i] + (b[i] - a[i]) * t;
}

static void
binomial (float *restrict dst, const float *a, const float *b, const float *c,
    gsize n)
{
#pragma omp simd
  for (gsize i = 0; i < n; i++)
    dst[i] = 0.25f * (a[i] + c[i]) + 0.5f * b[i];
}

/* Swaps the blocks of `size` columns and rows off the diagonal, in every block
 * of twice that size. */
INLINE void
swap_blocks (Vector *block, int size)
{
  Mask upper, lower;

  for (int j = 0; j < LANES; j++) {
    upper[j] = j & size ? LANES + j - size : j;
    lower[j] = j & size ? LANES + j : j + size;
  }
  for (int i = 0; i < LANES; i++) {
    Vector a = block[i], b;

    if (i & size)
      continue;
    b = block[i + size];
    block[i] = __builtin_shuffle (a, b, upper);
    block[i + size] = __builtin_shuffle (a, b, lower);
  }
}

INLINE void
transpose_block (float *dst, gsize dst_step, const float *src, gsize src_step)
{
  Vector block[LANES];

  for (int i = 0; i < LANES; i++)
    block[i] = vector_load (src + i * src_step);
  swap_blocks (block, 1);
  swap_blocks (block, 2);
  if (LANES > 4)
    swap_blocks (block, 4);
  if (LANES > 8)
    swap_blocks (block, 8);
  for (int i = 0; i < LANES; i++)
    vector_store (dst + i * dst_step, block[i]);
}

static void
transpose (float *dst, gsize dst_step, const float *src, gsize src_step,
    int rows, int columns)
{
  int whole_rows = rows / LANES * LANES;
  int whole_columns = columns / LANES * LANES;

  for (int i = 0; i < whole_rows; i += LANES)
    for (int j = 0; j < whole_columns; j += LANES)
      transpose_block (dst + j * dst_step + i, dst_step,
          src + i * src_step + j, src_step);
  for (int i = 0; i < rows; i++)
    for (int j = i < whole_rows ? whole_columns : 0; j < columns; j++)
      dst[j * dst_step + i] = src[i * src_step + j];
}

/* dst [c] = src at (x, y). Coordinates are first brought so near to the
 * picture that they fit an int; beyond its edge a corner counts for nothing. */
INLINE void
sample (float *restrict dst, const float *restrict src, int h, int w, int c,
    float x, float y, gboolean border)
{
  float low = border ? 0 : -2, margin = border ? -1 : 1;
  float cx = fminf (fmaxf (x, low), w + margin);
  float cy = fminf (fmaxf (y, low), h + margin);
  float fx = floorf (cx), fy = floorf (cy);
  int x0 = fx, y0 = fy;
  float wx[2] = { 1 - (cx - fx), cx - fx };
  float wy[2] = { 1 - (cy - fy), cy - fy };
  const float *corner[4];
  float weight[4];

  for (int i = 0; i < 4; i++) {
    int xi = x0 + (i & 1), yi = y0 + (i >> 1);
    gboolean inside = xi >= 0 && xi < w && yi >= 0 && yi < h;

    weight[i] = inside ? wx[i & 1] * wy[i >> 1] : 0;
    corner[i] = inside ? src + ((gsize) yi * w + xi) * c : src;
  }
  for (int k = 0; k < c; k++)
    dst[k] = weight[0] * corner[0][k] + weight[1] * corner[1][k]
        + weight[2] * corner[2][k] + weight[3] * corner[3][k];
}

INLINE void
warp_rows (float *dst, const float *src, const float *flow, int h, int w,
    int c, int first, int last, gboolean border)
{
  for (int y = first; y < last; y++)
    for (int x = 0; x < w; x++) {
      gsize i = (gsize) y * w + x;

      sample (dst + i * c, src, h, w, c, x + flow[2 * i],
          y + flow[2 * i + 1], border);
    }
}

static void
warp (float *dst, const float *src, const float *flow, int h, int w, int c,
    int first, int last, gboolean border)
{
  if (c == 3)
    warp_rows (dst, src, flow, h, w, 3, first, last, border);
  else if (c == 4)
    warp_rows (dst, src, flow, h, w, 4, first, last, border);
  else if (c == 16)
    warp_rows (dst, src, flow, h, w, 16, first, last, border);
  else
    warp_rows (dst, src, flow, h, w, c, first, last, border);
}

void
KERNEL (planes_init) (DloralKernels * kernels)
{
  kernels->lerp = lerp;
  kernels->binomial = binomial;
  kernels->transpose = transpose;
  kernels->warp = warp;
}
