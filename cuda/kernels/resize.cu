/* Tensors to another size or side by side: resize, pool, concat. A thread has
 * a few neighbouring channels of dst.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "resize.h"
#include "matrix.cuh"
#include "vectors.cuh"

#define THREADS DLORAL_RESIZE_THREADS

/* --- nearest -------------------------------------------------------------- */

/* A pixel is `units` elements of T. A thread writes one of them, in
 * DLORAL_RESIZE_ROWS rows. */
template <typename T>
__device__ __forceinline__ void
copy_nearest (const T *src, T *dst, int units, int h, int w, int dst_h,
    int dst_w)
{
  constexpr int R = DLORAL_RESIZE_ROWS;
  unsigned i = blockIdx.x * THREADS + threadIdx.x, x = i / units;
  unsigned first = blockIdx.y * R;
  size_t from = (size_t) (x * w / dst_w) * units + i % units;
  T value[R];

  if (x >= (unsigned) dst_w)
    return;
#pragma unroll
  for (int r = 0; r < R; r++) {
    unsigned y = min (first + r, dst_h - 1u);

    value[r] = src[(size_t) (y * h / dst_h) * w * units + from];
  }
#pragma unroll
  for (int r = 0; r < R; r++)
    if (first + r < (unsigned) dst_h)
      dst[(size_t) (first + r) * dst_w * units + i] = value[r];
}

/* Pixels of any type, as `units` of `size` bytes: 1, 2, 4, 8 or 16. */
KERNEL (THREADS, resize_nearest, (const void *src, void *dst, int size,
        int units, int h, int w, int dst_h, int dst_w))
{
#define COPY(T) \
  copy_nearest (static_cast<const T *> (src), static_cast<T *> (dst), units, h, \
      w, dst_h, dst_w)
  switch (size) {
    case 1:
      return COPY (uint8_t);
    case 2:
      return COPY (uint16_t);
    case 4:
      return COPY (uint32_t);
    case 8:
      return COPY (uint2);
    default:
      return COPY (uint4);
  }
#undef COPY
}

/* --- bilinear ------------------------------------------------------------- */

/* An output coordinate: source indices and the second one's share. */
struct Tap
{
  int first, second;
  float share;
};

/* In whole numbers, so that large pictures lose nothing: the position is
 * n / d. */
__device__ __forceinline__ Tap
find_tap (unsigned i, unsigned length, unsigned dst_length, bool aligned)
{
  unsigned n = aligned ? i * (length - 1) : (2 * i + 1) * length;
  unsigned d = aligned ? max (dst_length - 1, 1u) : 2 * dst_length;

  if (!aligned)
    n -= min (n, dst_length);   /* half a pixel */
  return { int (n / d), int (min (n / d + 1, length - 1)),
    float (n % d) / float (d) };
}

template <int V>
__device__ __forceinline__ void
resize_bilinear_vector (const DloralBilinear &p, const float *src, float *dst)
{
  int units = p.c / V, i = blockIdx.x * THREADS + threadIdx.x, x = i / units;
  int k = i % units * V;

  if (x >= p.dst_w)
    return;
  Tap row = find_tap (blockIdx.y, p.h, p.dst_h, p.aligned);
  Tap column = find_tap (x, p.w, p.dst_w, p.aligned);
  const float *top = src + (size_t) row.first * p.w * p.c + k;
  const float *bottom = src + (size_t) row.second * p.w * p.c + k;
  Vector<f32, V> a = load<V> (top + column.first * p.c);
  Vector<f32, V> b = load<V> (top + column.second * p.c);
  Vector<f32, V> c = load<V> (bottom + column.first * p.c);
  Vector<f32, V> d = load<V> (bottom + column.second * p.c);

  for (int e = 0; e < V; e++) {
    float left = a.e[e] + (c.e[e] - a.e[e]) * row.share;
    float right = b.e[e] + (d.e[e] - b.e[e]) * row.share;

    a.e[e] = (left + (right - left) * column.share) * p.gain[(k + e) % 4]
        + p.offset[(k + e) % 4];
  }
  store (dst + ((size_t) blockIdx.y * p.dst_w + x) * p.c + k, a);
}

KERNEL (THREADS, resize_bilinear, (const DloralBilinear p, const float *src,
        float *dst))
{
  if (p.vector > 1)
    resize_bilinear_vector<4> (p, src, dst);
  else
    resize_bilinear_vector<1> (p, src, dst);
}

/* --- pool ----------------------------------------------------------------- */

/* h, w: of src. */
template <typename S, typename D>
__device__ __forceinline__ void
pool (const S *src, D *dst, int h, int w, int c)
{
  int i = blockIdx.x * THREADS + threadIdx.x, x = i / c;
  size_t step = (size_t) w * c;

  if (x >= w / 2)
    return;
  src += 2 * blockIdx.y * step + (size_t) x * c + i;
  store (dst + (size_t) blockIdx.y * (w / 2) * c + i, 0.25f
      * (to_float (src[0]) + to_float (src[c]) + to_float (src[step])
          + to_float (src[step + c])));
}

#define POOL(S, D) \
  KERNEL (THREADS, pool_##S##_##D, (const S *src, D *dst, int h, int w, int c)) \
  { \
    pool (src, dst, h, w, c); \
  }

FOR_TYPES (POOL)

/* --- concat --------------------------------------------------------------- */

/* Rows of a thread. */
#define EACH DLORAL_CONCAT_EACH

/* V elements of a few rows. src, dst: of the first; the next are src_step and
 * dst_step elements further on. */
template <int V, typename S, typename D>
__device__ __forceinline__ void
convert_rows (int n, const S *src, size_t src_step, D *dst, size_t dst_step)
{
  Vector<S, V> x[EACH];

#pragma unroll
  for (int i = 0; i < EACH; i++)
    x[i] = load<V> (src + (i < n ? i : 0) * src_step);
#pragma unroll
  for (int i = 0; i < EACH; i++)
    if (i < n)
      store (dst + i * dst_step, to_float (x[i]));
}

/* from: the source; channel: the first of V in it. */
template <int V, typename S, typename D>
__device__ __forceinline__ void
concat_rows (const DloralConcat &p, const Share &s,
    const DloralConcatSource &from, int channel)
{
  convert_rows<V> (s.n,
      static_cast<const S *> (from.data) + (size_t) s.row * from.c + channel,
      (size_t) s.step * from.c,
      static_cast<D *> (p.dst) + (size_t) s.row * p.c + s.column * V,
      (size_t) s.step * p.c);
}

template <typename T, int V>
__device__ __forceinline__ void
concat (const DloralConcat &p)
{
  Share s = find_share (p.rows, p.c / V, EACH);
  DloralConcatSource from = p.src[0];
  int channel = s.column * V;

  if (s.n == 0)
    return;
#pragma unroll
  for (int i = 1, first = p.src[0].c; i < 4; first += p.src[i].c, i++)
    if (s.column * V >= first && p.src[i].c > 0) {
      from = p.src[i];
      channel = s.column * V - first;
    }
  if (sizeof (T) == sizeof (f32) || (from.is_f32 && p.dst_is_f32))
    concat_rows<V, f32, f32> (p, s, from, channel);
  else if (from.is_f32)
    concat_rows<V, f32, T> (p, s, from, channel);
  else if (p.dst_is_f32)
    concat_rows<V, T, f32> (p, s, from, channel);
  else
    concat_rows<V, T, T> (p, s, from, channel);
}

#define CONCAT(T) \
  KERNEL (DLORAL_MATRIX_THREADS, concat_##T, (const DloralConcat p)) \
  { \
    if (p.vector > 1) \
      concat<T, 8> (p); \
    else \
      concat<T, 1> (p); \
  }

CONCAT (f32)
CONCAT (bf16)
CONCAT (f16)
