/* Loops over pictures of one type: pictures.c includes this once for each, having
 * said what differs.
 *
 *   NAME (x)      a name for this type; NAME (filter) is there already
 *   Level         a sample of a picture
 *   MAX_LEVEL     the highest
 *   GET, SET      LANES of them as floats, and such truncated
 *   Square        holds sums of squares of a while
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define HALF_LEVEL (MAX_LEVEL / 2.0f)

static void
NAME (filter_across) (void *dst, const void *src, const gint32 k[4], gsize n)
{
  const Level *s = src;

  NAME (filter) (dst, s, s + 3, s + 6, s + 9, k, n);
}

static void
NAME (filter_down) (void *dst, const void *const rows[4], const gint32 k[4],
    gsize n)
{
  NAME (filter) (dst, rows[0], rows[1], rows[2], rows[3], k, n);
}

static void
NAME (blend) (float *restrict dst, const void *const rows[4],
    const float k[4], gsize n)
{
  const Level *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
  const float k0 = k[0], k1 = k[1], k2 = k[2], k3 = k[3];

#pragma omp simd
  for (gsize i = 0; i < n; i++)
    dst[i] = k0 * r0[i] + k1 * r1[i] + k2 * r2[i] + k3 * r3[i];
}

INLINE void
NAME (from_levels) (void *dst, const Level * src, gsize n, DloralKernelType to)
{
  gsize i = 0;

  for (; i + LANES <= n; i += LANES)
    elements_set (dst, i, GET (src + i) * (1 / HALF_LEVEL) - 1.0f, to);
  for (; i < n; i++)
    element_set (dst, i, src[i] * (1 / HALF_LEVEL) - 1.0f, to);
}

/* 0 … MAX_LEVEL; NaN gives 0. */
INLINE float
NAME (clamp) (float v)
{
  v = v > 0.0f ? v : 0.0f;
  return v < MAX_LEVEL ? v : MAX_LEVEL;
}

INLINE Vector
NAME (clamp_all) (Vector v)
{
  return VECTOR_MIN (vector_relu (v), vector_set (MAX_LEVEL));
}

/* Zero times what is not finite is not zero. */
INLINE gboolean
NAME (to_levels_from) (Level * dst, const void *src, const Level * lq,
    float bias, gsize n, DloralKernelType from)
{
  Vector nought = vector_set (0);
  float rest = 0;
  gsize i = 0;

  for (; i + LANES <= n; i += LANES) {
    Vector base = lq ? GET (lq + i) : vector_set (HALF_LEVEL);
    Vector x = elements_get (src, i, from);

    nought += x * 0.0f;
    SET (dst + i, NAME (clamp_all) (x * HALF_LEVEL + base) + bias);
  }
  for (; i < n; i++) {
    float x = element_get (src, i, from);

    rest += x * 0.0f;
    dst[i] = (gint32) (NAME (clamp) (x * HALF_LEVEL + (lq ? lq[i]
                : HALF_LEVEL)) + bias);
  }
  for (int l = 0; l < LANES; l++)
    rest += nought[l];
  return rest == 0;
}

INLINE gboolean
NAME (to_levels) (void *dst, const void *src, const void *lq, float bias,
    gsize n, DloralKernelType from)
{
  return lq ? NAME (to_levels_from) (dst, src, lq, bias, n, from)
      : NAME (to_levels_from) (dst, src, NULL, bias, n, from);
}

static void
NAME (from_levels_f32) (void *dst, const void *src, gsize n)
{
  NAME (from_levels) (dst, src, n, DLORAL_KERNEL_F32);
}

static void
NAME (from_levels_bf16) (void *dst, const void *src, gsize n)
{
  NAME (from_levels) (dst, src, n, DLORAL_KERNEL_BF16);
}

static gboolean
NAME (to_levels_f32) (void *dst, const void *src, const void *lq, float bias,
    gsize n)
{
  return NAME (to_levels) (dst, src, lq, bias, n, DLORAL_KERNEL_F32);
}

static gboolean
NAME (to_levels_bf16) (void *dst, const void *src, const void *lq, float bias,
    gsize n)
{
  return NAME (to_levels) (dst, src, lq, bias, n, DLORAL_KERNEL_BF16);
}

static void
NAME (moments) (const void *src, gsize n, guint64 sums[3], guint64 squares[3])
{
  const Level *levels = src;
  gsize length = 3 * n, i = 0;

  while (i + RGB_BLOCK <= length) {
    guint32 sum[RGB_BLOCK] = { 0 };
    Square square[RGB_BLOCK] = { 0 };
    gsize end = MIN (length, i + (gsize) RGB_BLOCK * 65536);

    for (; i + RGB_BLOCK <= end; i += RGB_BLOCK)
      for (int l = 0; l < RGB_BLOCK; l++) {
        guint32 v = levels[i + l];

        sum[l] += v;
        square[l] += (Square) v * v;
      }
    for (int l = 0; l < RGB_BLOCK; l++) {
      sums[l % 3] += sum[l];
      squares[l % 3] += square[l];
    }
  }
  for (; i < length; i++) {
    sums[i % 3] += levels[i];
    squares[i % 3] += (Square) levels[i] * levels[i];
  }
}

static void
NAME (affine) (void *picture, gsize n, const float gain[3],
    const float offset[3])
{
  Level *levels = picture;
  gsize length = 3 * n, i = 0;
  float g[RGB_BLOCK], o[RGB_BLOCK];

  for (int l = 0; l < RGB_BLOCK; l++) {
    g[l] = gain[l % 3];
    o[l] = offset[l % 3];
  }
  for (; i + RGB_BLOCK <= length; i += RGB_BLOCK)
    for (int l = 0; l < RGB_BLOCK; l += LANES)
      SET (levels + i + l, NAME (clamp_all) (GET (levels + i + l)
              * vector_load (g + l) + vector_load (o + l)) + 0.5f);
  for (; i < length; i++)
    levels[i] = (gint32) (NAME (clamp) (levels[i] * gain[i % 3]
            + offset[i % 3]) + 0.5f);
}

static void
NAME (difference) (float *dst, const void *a, const void *b, gsize n)
{
  const Level *from = a, *less = b;
  gsize i = 0;

  for (; i + LANES <= n; i += LANES)
    vector_store (dst + i, GET (from + i) - GET (less + i));
  for (; i < n; i++)
    dst[i] = (gint32) from[i] - (gint32) less[i];
}

static void
NAME (add) (void *picture, const float *x, gsize n)
{
  Level *levels = picture;
  gsize i = 0;

  for (; i + LANES <= n; i += LANES)
    SET (levels + i, NAME (clamp_all) (GET (levels + i)
            + vector_load (x + i)) + 0.5f);
  for (; i < n; i++)
    levels[i] = (gint32) (NAME (clamp) (levels[i] + x[i]) + 0.5f);
}

static void
NAME (init) (DloralPictureKernels * kernels)
{
  kernels->filter_across = NAME (filter_across);
  kernels->filter_down = NAME (filter_down);
  kernels->blend = NAME (blend);
  kernels->from_levels[DLORAL_KERNEL_F32] = NAME (from_levels_f32);
  kernels->from_levels[DLORAL_KERNEL_BF16] = NAME (from_levels_bf16);
  kernels->to_levels[DLORAL_KERNEL_F32] = NAME (to_levels_f32);
  kernels->to_levels[DLORAL_KERNEL_BF16] = NAME (to_levels_bf16);
  kernels->moments = NAME (moments);
  kernels->affine = NAME (affine);
  kernels->difference = NAME (difference);
  kernels->add = NAME (add);
}

#undef HALF_LEVEL
#undef NAME
#undef Level
#undef MAX_LEVEL
#undef GET
#undef SET
#undef Square
