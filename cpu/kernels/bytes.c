/* Loops over 8-bit pictures.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "level.h"

/* Bits after the point of the upsampling filter's coefficients. */
#define FIXED_BITS 22

/* Bytes after which red, green and blue are back in the same lanes. */
#define RGB_BLOCK 48

INLINE guint8
fixed_to_byte (gint32 sum)
{
  gint32 v = (sum + (1 << (FIXED_BITS - 1))) >> FIXED_BITS;

  v = v < 0 ? 0 : v;
  return v > 255 ? 255 : v;
}

INLINE void
filter (guint8 * restrict dst, const guint8 * r0, const guint8 * r1,
    const guint8 * r2, const guint8 * r3, const gint32 k[4], gsize n)
{
  const gint32 k0 = k[0], k1 = k[1], k2 = k[2], k3 = k[3];
  gsize i = 0;

  for (; i + LANES <= n; i += LANES) {
    Mask sum = k0 * bytes_widen (r0 + i) + k1 * bytes_widen (r1 + i)
        + k2 * bytes_widen (r2 + i) + k3 * bytes_widen (r3 + i)
        + (1 << (FIXED_BITS - 1));

    bytes_saturate (dst + i, sum >> FIXED_BITS);
  }
  for (; i < n; i++)
    dst[i] = fixed_to_byte (k0 * r0[i] + k1 * r1[i] + k2 * r2[i]
        + k3 * r3[i]);
}

static void
filter_across (guint8 * dst, const guint8 * src, const gint32 k[4], gsize n)
{
  filter (dst, src, src + 3, src + 6, src + 9, k, n);
}

static void
filter_down (guint8 * dst, const guint8 * const rows[4], const gint32 k[4],
    gsize n)
{
  filter (dst, rows[0], rows[1], rows[2], rows[3], k, n);
}

static void
blend (float *restrict dst, const guint8 * const rows[4], const float k[4],
    gsize n)
{
  const guint8 *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
  const float k0 = k[0], k1 = k[1], k2 = k[2], k3 = k[3];

#pragma omp simd
  for (gsize i = 0; i < n; i++)
    dst[i] = k0 * r0[i] + k1 * r1[i] + k2 * r2[i] + k3 * r3[i];
}

INLINE void
from_bytes (void *dst, const guint8 * src, gsize n, DloralKernelType to)
{
  gsize i = 0;

  for (; i + LANES <= n; i += LANES)
    elements_set (dst, i, bytes_get (src + i) * (1 / 127.5f) - 1.0f, to);
  for (; i < n; i++)
    element_set (dst, i, src[i] * (1 / 127.5f) - 1.0f, to);
}

/* 0 … 255; NaN gives 0. */
INLINE float
clamp_byte (float v)
{
  v = v > 0.0f ? v : 0.0f;
  return v < 255.0f ? v : 255.0f;
}

INLINE Vector
clamp_bytes (Vector v)
{
  return VECTOR_MIN (vector_relu (v), vector_set (255));
}

/* Zero times what is not finite is not zero. */
INLINE gboolean
to_bytes_from (guint8 * dst, const void *src, const guint8 * lq, float bias,
    gsize n, DloralKernelType from)
{
  Vector nought = vector_set (0);
  float rest = 0;
  gsize i = 0;

  for (; i + LANES <= n; i += LANES) {
    Vector base = lq ? bytes_get (lq + i) : vector_set (127.5f);
    Vector x = elements_get (src, i, from);

    nought += x * 0.0f;
    bytes_set (dst + i, clamp_bytes (x * 127.5f + base) + bias);
  }
  for (; i < n; i++) {
    float x = element_get (src, i, from);

    rest += x * 0.0f;
    dst[i] = (gint32) (clamp_byte (x * 127.5f + (lq ? lq[i] : 127.5f)) + bias);
  }
  for (int l = 0; l < LANES; l++)
    rest += nought[l];
  return rest == 0;
}

INLINE gboolean
to_bytes (guint8 * dst, const void *src, const guint8 * lq, float bias,
    gsize n, DloralKernelType from)
{
  return lq ? to_bytes_from (dst, src, lq, bias, n, from)
      : to_bytes_from (dst, src, NULL, bias, n, from);
}

static void
from_bytes_f32 (void *dst, const guint8 * src, gsize n)
{
  from_bytes (dst, src, n, DLORAL_KERNEL_F32);
}

static void
from_bytes_bf16 (void *dst, const guint8 * src, gsize n)
{
  from_bytes (dst, src, n, DLORAL_KERNEL_BF16);
}

static gboolean
to_bytes_f32 (guint8 * dst, const void *src, const guint8 * lq, float bias,
    gsize n)
{
  return to_bytes (dst, src, lq, bias, n, DLORAL_KERNEL_F32);
}

static gboolean
to_bytes_bf16 (guint8 * dst, const void *src, const guint8 * lq, float bias,
    gsize n)
{
  return to_bytes (dst, src, lq, bias, n, DLORAL_KERNEL_BF16);
}

static void
byte_moments (const guint8 * src, gsize n, guint64 sums[3],
    guint64 squares[3])
{
  gsize bytes = 3 * n, i = 0;

  while (i + RGB_BLOCK <= bytes) {
    guint32 sum[RGB_BLOCK] = { 0 }, square[RGB_BLOCK] = { 0 };
    /* 65536 squares of a byte fill 32 bits. */
    gsize end = MIN (bytes, i + (gsize) RGB_BLOCK * 65536);

    for (; i + RGB_BLOCK <= end; i += RGB_BLOCK)
      for (int l = 0; l < RGB_BLOCK; l++) {
        guint32 v = src[i + l];

        sum[l] += v;
        square[l] += v * v;
      }
    for (int l = 0; l < RGB_BLOCK; l++) {
      sums[l % 3] += sum[l];
      squares[l % 3] += square[l];
    }
  }
  for (; i < bytes; i++) {
    sums[i % 3] += src[i];
    squares[i % 3] += (guint32) src[i] * src[i];
  }
}

static void
byte_affine (guint8 * pixels, gsize n, const float gain[3],
    const float offset[3])
{
  gsize bytes = 3 * n, i = 0;
  float g[RGB_BLOCK], o[RGB_BLOCK];

  for (int l = 0; l < RGB_BLOCK; l++) {
    g[l] = gain[l % 3];
    o[l] = offset[l % 3];
  }
  for (; i + RGB_BLOCK <= bytes; i += RGB_BLOCK)
    for (int l = 0; l < RGB_BLOCK; l += LANES)
      bytes_set (pixels + i + l, clamp_bytes (bytes_get (pixels + i + l)
              * vector_load (g + l) + vector_load (o + l)) + 0.5f);
  for (; i < bytes; i++)
    pixels[i] = (gint32) (clamp_byte (pixels[i] * gain[i % 3]
            + offset[i % 3]) + 0.5f);
}

static void
byte_difference (float *dst, const guint8 * a, const guint8 * b, gsize n)
{
  gsize i = 0;

  for (; i + LANES <= n; i += LANES)
    vector_store (dst + i, bytes_get (a + i) - bytes_get (b + i));
  for (; i < n; i++)
    dst[i] = (gint32) a[i] - (gint32) b[i];
}

static void
byte_add (guint8 * dst, const float *x, gsize n)
{
  gsize i = 0;

  for (; i + LANES <= n; i += LANES)
    bytes_set (dst + i, clamp_bytes (bytes_get (dst + i)
            + vector_load (x + i)) + 0.5f);
  for (; i < n; i++)
    dst[i] = (gint32) (clamp_byte (dst[i] + x[i]) + 0.5f);
}

void
KERNEL (bytes_init) (DloralKernels * kernels)
{
  kernels->filter_across = filter_across;
  kernels->filter_down = filter_down;
  kernels->blend = blend;
  kernels->from_bytes[DLORAL_KERNEL_F32] = from_bytes_f32;
  kernels->from_bytes[DLORAL_KERNEL_BF16] = from_bytes_bf16;
  kernels->to_bytes[DLORAL_KERNEL_F32] = to_bytes_f32;
  kernels->to_bytes[DLORAL_KERNEL_BF16] = to_bytes_bf16;
  kernels->byte_moments = byte_moments;
  kernels->byte_affine = byte_affine;
  kernels->byte_difference = byte_difference;
  kernels->byte_add = byte_add;
}
