/* Loops over pixels of many channels: conversion, statistics, normalisation.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "level.h"

/* Channels whose sums are held at once, and pixels summed in f32 before the
 * sums go to double. */
#define BLOCK 64
#define RUN 64

INLINE void
convert_pixels (void *restrict dst, gsize dst_step, const void *restrict src,
    gsize src_step, int c, gsize pixels, DloralKernelType to,
    DloralKernelType from)
{
  int whole = c / LANES * LANES;

  for (gsize p = 0; p < pixels; p++) {
    void *d = element_at (dst, p * dst_step, to);
    const void *s = element_at (src, p * src_step, from);

    for (int i = 0; i < whole; i += LANES)
      elements_set (d, i, elements_get (s, i, from), to);
    for (int i = whole; i < c; i++)
      element_set (d, i, element_get (s, i, from), to);
  }
}

/* Flow, colours and small latents have few channels: constants let their loop
 * vanish. */
INLINE void
convert (void *dst, gsize dst_step, const void *src, gsize src_step, int c,
    gsize pixels, DloralKernelType to, DloralKernelType from)
{
  if (c == 2)
    convert_pixels (dst, dst_step, src, src_step, 2, pixels, to, from);
  else if (c == 3)
    convert_pixels (dst, dst_step, src, src_step, 3, pixels, to, from);
  else if (c == 4)
    convert_pixels (dst, dst_step, src, src_step, 4, pixels, to, from);
  else
    convert_pixels (dst, dst_step, src, src_step, c, pixels, to, from);
}

/* Sums of x − pivot and of its square over at most RUN pixels of `n` ≤ BLOCK
 * channels. The pivot keeps the squares small where the mean is far from 0. */
INLINE void
sum_run (const void *restrict src, gsize step, gsize pixels, int n,
    const float *restrict pivot, float *restrict sum, float *restrict square,
    DloralKernelType type)
{
  memset (sum, 0, n * sizeof *sum);
  memset (square, 0, n * sizeof *square);
  for (gsize p = 0; p < pixels; p++) {
    const void *restrict s = element_at (src, p * step, type);

#pragma omp simd
    for (int i = 0; i < n; i++) {
      float x = element_get (s, i, type) - pivot[i];

      sum[i] += x;
      square[i] += x * x;
    }
  }
}

/* mean and m2 of `n` ≤ BLOCK channels of all pixels. */
INLINE void
block_moments (const void *src, gsize step, gsize pixels, int n,
    double *mean, double *m2, DloralKernelType type)
{
  float pivot[BLOCK], sum[BLOCK], square[BLOCK];
  double total[BLOCK] = { 0 }, total_square[BLOCK] = { 0 };

  for (int i = 0; i < n; i++)
    pivot[i] = element_get (src, i, type);
  for (gsize p = 0; p < pixels; p += RUN) {
    const void *s = element_at (src, p * step, type);
    gsize run = MIN (RUN, pixels - p);

    if (n == BLOCK)
      sum_run (s, step, run, BLOCK, pivot, sum, square, type);
    else
      sum_run (s, step, run, n, pivot, sum, square, type);
    for (int i = 0; i < n; i++) {
      total[i] += sum[i];
      total_square[i] += square[i];
    }
  }
  for (int i = 0; i < n; i++) {
    mean[i] = pivot[i] + total[i] / pixels;
    m2[i] = MAX (0, total_square[i] - total[i] * total[i] / pixels);
  }
}

INLINE void
moments (const void *src, int c, gsize pixels, double *mean, double *m2,
    DloralKernelType type)
{
  for (int i = 0; i < c; i += BLOCK)
    block_moments (element_at (src, i, type), c, pixels, MIN (BLOCK, c - i),
        mean + i, m2 + i, type);
}

/* 2^t: a polynomial in the fraction of t, its integer part added to the
 * exponent. Relative error below 2e−4 for bf16, else below 2e−7. */
INLINE Vector
power_of_two (Vector t, DloralKernelType to)
{
  Vector f, p;
#ifdef __AVX512DQ__
  f = (Vector) _mm512_reduce_ps ((__m512) t, _MM_FROUND_TO_NEAREST_INT);
#else
  const float magic = 12582912.0f;      /* 1.5 · 2^23: rounds to an integer */
  Vector shifted;

  t = VECTOR_MAX (VECTOR_MIN (t, vector_set (126)), vector_set (-126));
  shifted = t + magic;
  f = t - (shifted - magic);
#endif
  if (to == DLORAL_KERNEL_BF16)
    p = (5.500893e-2f * f + 2.4221096e-1f) * f + 6.9328293e-1f;
  else
    p = (((1.3264727e-3f * f + 9.6715126e-3f) * f + 5.5507337e-2f) * f
        + 2.4022242e-1f) * f + 6.9314698e-1f;
  p = p * f + 1;
#ifdef __AVX512DQ__
  return (Vector) _mm512_scalef_ps ((__m512) p, (__m512) (t - f));
#else
  return (Vector) ((Mask) p + ((Mask) shifted << 23));
#endif
}

/* x / (1 + e^−x). The inverse has bits enough for bf16, else a step of Newton's
 * doubles them, for which it must not be zero. */
INLINE Vector
silu (Vector x, DloralKernelType to)
{
  Vector t = x * -1.44269504f, d, r;

  if (to != DLORAL_KERNEL_BF16)
    t = VECTOR_MIN (t, vector_set (126));
  d = power_of_two (t, to) + 1;
  r = VECTOR_INVERT (d);
  if (to != DLORAL_KERNEL_BF16)
    r *= 2 - d * r;
  return x * r;
}

/* bf16 has no bits that a mean taken out first would save. */
INLINE Vector
normalise_vector (Vector x, const float *mean, const float *scale,
    const float *shift, gboolean act, DloralKernelType to,
    DloralKernelType from)
{
  Vector y;

  if (from != DLORAL_KERNEL_BF16)
    x -= vector_load (mean);
  y = x * vector_load (scale) + vector_load (shift);
  return act ? silu (y, to) : y;
}

/* The last n < LANES channels of one pixel. */
INLINE void
normalise_rest (void *restrict dst, const void *restrict src, int n,
    const float *mean, const float *scale, const float *shift, gboolean act,
    DloralKernelType to, DloralKernelType from)
{
  float y[4][LANES] = { 0 };

  for (int i = 0; i < n; i++) {
    y[0][i] = element_get (src, i, from);
    y[1][i] = mean[i];
    y[2][i] = scale[i];
    y[3][i] = shift[i];
  }
  vector_store (y[0], normalise_vector (vector_load (y[0]), y[1], y[2], y[3],
          act, to, from));
  for (int i = 0; i < n; i++)
    element_set (dst, i, y[0][i], to);
}

INLINE void
normalise_pixels (void *restrict dst, gsize dst_step,
    const void *restrict src, int c, gsize pixels, const float *mean,
    const float *scale, const float *shift, gboolean act,
    DloralKernelType to, DloralKernelType from)
{
  int whole = c / LANES * LANES;

  for (gsize p = 0; p < pixels; p++) {
    void *d = element_at (dst, p * dst_step, to);
    const void *s = element_at (src, p * c, from);

    for (int i = 0; i < whole; i += LANES)
      elements_set (d, i, normalise_vector (elements_get (s, i, from),
              mean + i, scale + i, shift + i, act, to, from), to);
    if (whole < c)
      normalise_rest (element_at (d, whole, to), element_at (s, whole, from),
          c - whole, mean + whole, scale + whole, shift + whole, act, to,
          from);
  }
}

INLINE void
normalise (void *dst, gsize dst_step, const void *src, int c, gsize pixels,
    const float *mean, const float *scale, const float *shift, gboolean act,
    DloralKernelType to, DloralKernelType from)
{
  if (act)
    normalise_pixels (dst, dst_step, src, c, pixels, mean, scale, shift, TRUE,
        to, from);
  else
    normalise_pixels (dst, dst_step, src, c, pixels, mean, scale, shift,
        FALSE, to, from);
}

#define FOR_TYPES(to, TO, from, FROM)                                         \
static void                                                                   \
convert_##to##_##from (void *dst, gsize dst_step, const void *src,            \
    gsize src_step, int c, gsize pixels)                                      \
{                                                                             \
  convert (dst, dst_step, src, src_step, c, pixels, DLORAL_KERNEL_##TO,       \
      DLORAL_KERNEL_##FROM);                                                  \
}                                                                             \
                                                                              \
static void                                                                   \
normalise_##to##_##from (void *dst, gsize dst_step, const void *src, int c,   \
    gsize pixels, const float *mean, const float *scale, const float *shift,  \
    gboolean act)                                                             \
{                                                                             \
  normalise (dst, dst_step, src, c, pixels, mean, scale, shift, act,          \
      DLORAL_KERNEL_##TO, DLORAL_KERNEL_##FROM);                              \
}

FOR_TYPES (f32, F32, f32, F32)
FOR_TYPES (f32, F32, bf16, BF16)
FOR_TYPES (bf16, BF16, f32, F32)
FOR_TYPES (bf16, BF16, bf16, BF16)

static void
moments_f32 (const void *src, int c, gsize pixels, double *mean, double *m2)
{
  moments (src, c, pixels, mean, m2, DLORAL_KERNEL_F32);
}

static void
moments_bf16 (const void *src, int c, gsize pixels, double *mean, double *m2)
{
  moments (src, c, pixels, mean, m2, DLORAL_KERNEL_BF16);
}

void
KERNEL (channels_init) (DloralKernels * kernels)
{
  const DloralKernelType f32 = DLORAL_KERNEL_F32, bf16 = DLORAL_KERNEL_BF16;

  kernels->convert[f32][f32] = convert_f32_f32;
  kernels->convert[f32][bf16] = convert_f32_bf16;
  kernels->convert[bf16][f32] = convert_bf16_f32;
  kernels->convert[bf16][bf16] = convert_bf16_bf16;
  kernels->normalise[f32][f32] = normalise_f32_f32;
  kernels->normalise[f32][bf16] = normalise_f32_bf16;
  kernels->normalise[bf16][f32] = normalise_bf16_f32;
  kernels->normalise[bf16][bf16] = normalise_bf16_bf16;
  kernels->moments[f32] = moments_f32;
  kernels->moments[bf16] = moments_bf16;
}
