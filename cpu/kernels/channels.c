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
convert (void *restrict dst, gsize dst_step, const void *restrict src,
    gsize src_step, int c, gsize pixels, DloralKernelType to,
    DloralKernelType from)
{
  for (gsize p = 0; p < pixels; p++) {
    void *restrict d = element_at (dst, p * dst_step, to);
    const void *restrict s = element_at (src, p * src_step, from);

#pragma omp simd
    for (int i = 0; i < c; i++)
      element_set (d, i, element_get (s, i, from), to);
  }
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

/* e^x for x in [−87, 88], relative error below 2e−7: x = n·ln 2 + r, a
 * polynomial in r, and n added to the exponent. */
INLINE float
exponential (float x)
{
  const float magic = 12582912.0f;      /* 1.5 · 2^23: rounds to an integer */
  float shifted = x * 1.44269504f + magic;
  float n = shifted - magic;
  float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;

  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return bits_to_float (float_to_bits (p) + (float_to_bits (shifted) << 23));
}

INLINE float
silu (float x)
{
  float e = -x;

  e = e > 87.0f ? 87.0f : e;
  e = e < -87.0f ? -87.0f : e;
  return x / (1.0f + exponential (e));
}

INLINE void
normalise_pixels (void *restrict dst, gsize dst_step,
    const void *restrict src, int c, gsize pixels, const float *restrict mean,
    const float *restrict scale, const float *restrict shift, gboolean act,
    DloralKernelType to, DloralKernelType from)
{
  for (gsize p = 0; p < pixels; p++) {
    void *restrict d = element_at (dst, p * dst_step, to);
    const void *restrict s = element_at (src, p * c, from);

#pragma omp simd
    for (int i = 0; i < c; i++) {
      float y = (element_get (s, i, from) - mean[i]) * scale[i] + shift[i];

      element_set (d, i, act ? silu (y) : y, to);
    }
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
