/* Group normalisation over one or two tensors side by side, with SiLU where it
 * follows.
 *
 * group_norm_measure and group_norm_apply cut the tensor into slabs of channels
 * (whole groups) and chunks of pixels, so that any size fills the chip. The
 * first leaves the moments of every group in every chunk in p.partials, the
 * second joins those of its groups and normalises. A thread keeps to the same
 * few channels and goes from pixel to pixel. group_norm_whole has a group in
 * shared memory, for groups that fit.
 *
 * f32 is enough because no sum is taken far from zero: a thread's sums are of
 * differences from the first value it sees, a group's mean is told as its
 * difference from the group's very first value ("center"), and moments are
 * joined by the squared differences of their means.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "group_norm.h"
#include "vectors.cuh"

#define THREADS DLORAL_GROUP_NORM_THREADS
#define WARPS (THREADS / WARP)

/* A mean and the sum of squared differences from it. */
typedef Vector<f32, 2> Moments;

/* Where a channel comes from. */
struct Origin
{
  const void *data;             /* [pixels][c] */
  int c, channel;
  bool is_f32;                  /* where the kernel's type is not */
};

template <typename T>
__device__ __forceinline__ Origin
find_origin (const DloralGroupNorm &p, int channel)
{
  bool second = channel >= p.src[0].c;

  return { second ? p.src[1].data : p.src[0].data,
    second ? p.src[1].c : p.src[0].c,
    second ? channel - p.src[0].c : channel,
    sizeof (T) < sizeof (f32)
        && (second ? p.src[1].is_f32 : p.src[0].is_f32) };
}

/* The first value of a channel's group. */
template <typename T>
__device__ float
get_center (const DloralGroupNorm &p, int channel)
{
  Origin o = find_origin<T> (p, channel / p.size * p.size);

  if (o.is_f32)
    return static_cast<const f32 *> (o.data)[o.channel];
  return to_float (static_cast<const T *> (o.data)[o.channel]);
}

/* How the threads of a block share its slab: `columns` vectors of channels side
 * by side, in `rows` neighbouring pixels. */
struct Place
{
  int first, width;             /* channels of the slab */
  int columns, rows;
  int column, row;              /* this thread's; row >= rows: it has none */
  int pixel, pixels;            /* first of the chunk, and how many */
};

__device__ __forceinline__ Place
find_place (const DloralGroupNorm &p)
{
  Place at;

  at.first = blockIdx.x * p.slab;
  at.width = min (p.slab, p.c - at.first);
  at.columns = min (p.slab / p.vector, THREADS);
  at.rows = THREADS / at.columns;
  at.column = threadIdx.x % at.columns;
  at.row = threadIdx.x / at.columns;
  at.pixel = blockIdx.y * p.chunk;
  at.pixels = min (p.chunk, p.pixels - at.pixel);
  return at;
}

/* Pixels of a chunk in one of its rows. */
__device__ __forceinline__ int
count_pixels (const Place &at, int row)
{
  return at.pixels / at.rows + (row < at.pixels % at.rows);
}

/* Vectors that a thread has in flight, of so many bytes together. */
template <typename T, int V>
__device__ constexpr int
batch (int bytes)
{
  return V == 1 ? 4 : bytes / (V * sizeof (T));
}

/* --- measure -------------------------------------------------------------- */

/* Sums of n values' differences from `shift`. */
template <int V> struct Sums
{
  Vector<f32, V> shift, sum, square;
};

/* x: V channels of a thread's first pixel; its others are `step` elements apart.
 * Where a batch goes beyond the last, the first, which adds nothing, stands
 * in. */
template <int V, typename T>
__device__ __forceinline__ Sums<V>
sum_pixels (const T *x, int n, int step)
{
  constexpr int B = batch<T, V> (48);
  Sums<V> s = { to_float (load<V> (x)), {}, {} };
  const T *at = x;

#pragma unroll 1
  for (; n > 0; n -= B, at += B * step) {
    Vector<T, V> v[B];

#pragma unroll
    for (int b = 0; b < B; b++)
      v[b] = load<V> (b < n ? at + b * step : x);
#pragma unroll
    for (int b = 0; b < B; b++)
#pragma unroll
      for (int k = 0; k < V; k++) {
        float d = to_float (v[b].e[k]) - s.shift.e[k];

        s.sum.e[k] += d;
        s.square.e[k] += d * d;
      }
  }
  return s;
}

/* Moments of V channels of this thread's pixels. */
template <typename T, int V>
__device__ void
measure_channels (const DloralGroupNorm &p, const Place &at, int channel,
    Moments *moments)
{
  Origin o = find_origin<T> (p, channel);
  int n = count_pixels (at, at.row);
  size_t first = (size_t) (at.pixel + at.row) * o.c + o.channel;
  int step = at.rows * o.c;
  Sums<V> s = o.is_f32 ?
      sum_pixels<V> (static_cast<const f32 *> (o.data) + first, n, step) :
      sum_pixels<V> (static_cast<const T *> (o.data) + first, n, step);

#pragma unroll
  for (int k = 0; k < V; k++) {
    float mean = s.sum.e[k] / n;

    moments[k].e[0] = s.shift.e[k] - get_center<T> (p, channel + k) + mean;
    moments[k].e[1] = fmaxf (s.square.e[k] - s.sum.e[k] * mean, 0);
  }
}

/* One group from its channels in all rows, by a warp. moments: [row][slab], of
 * the group's first channel on. */
__device__ Moments
join_rows (const DloralGroupNorm &p, const Place &at, const Moments *moments)
{
  int n = min (at.rows, at.pixels) * p.size, lane = threadIdx.x % WARP;
  float sum = 0, square = 0, mean;

  for (int i = lane; i < n; i += WARP) {
    int row = i / p.size;

    sum += count_pixels (at, row)
        * moments[row * p.slab + i % p.size].e[0];
  }
  mean = warp_sum (sum) / ((float) at.pixels * p.size);
  for (int i = lane; i < n; i += WARP) {
    int row = i / p.size;
    Moments m = moments[row * p.slab + i % p.size];

    square += m.e[1] + count_pixels (at, row) * (m.e[0] - mean)
        * (m.e[0] - mean);
  }
  return { mean, warp_sum (square) };
}

/* moments: shared, [rows][slab]. */
template <typename T, int V>
__device__ __forceinline__ void
measure_slab (const DloralGroupNorm &p, const Place &at, Moments *moments)
{
  if (at.row < min (at.rows, at.pixels))
#pragma unroll 1
    for (int c = at.column * V; c < at.width; c += at.columns * V)
      measure_channels<T, V> (p, at, at.first + c,
          moments + at.row * p.slab + c);
}

template <typename T>
__device__ __forceinline__ void
measure (const DloralGroupNorm &p, Moments *moments)
{
  Place at = find_place (p);
  Moments *partials = reinterpret_cast<Moments *> (p.partials);

  if (p.vector > 1)
    measure_slab<T, 8> (p, at, moments);
  else
    measure_slab<T, 1> (p, at, moments);
  __syncthreads ();
  for (int g = threadIdx.x / WARP; g < at.width / p.size; g += WARPS) {
    Moments joined = join_rows (p, at, moments + g * p.size);

    if (threadIdx.x % WARP == 0)
      partials[(size_t) (at.first / p.size + g) * p.chunks + blockIdx.y] =
          joined;
  }
}

/* --- apply ---------------------------------------------------------------- */

/* y = (x - center) · scale + shift, by channel */
template <int V> struct Affine
{
  Vector<f32, V> center, scale, shift;
};

/* A group's mean (less its center) and 1 / deviation from the moments of all
 * chunks, by a warp. */
__device__ Moments
join_chunks (const DloralGroupNorm &p, int group)
{
  const Moments *partials = reinterpret_cast<const Moments *> (p.partials)
      + (size_t) group * p.chunks;
  int lane = threadIdx.x % WARP;
  float sum = 0, square = 0, mean;

  for (int i = lane; i < p.chunks; i += WARP)
    sum += partials[i].e[0] * min (p.chunk, p.pixels - i * p.chunk);
  mean = warp_sum (sum) / p.pixels;
  for (int i = lane; i < p.chunks; i += WARP) {
    Moments m = partials[i];
    float n = (float) min (p.chunk, p.pixels - i * p.chunk) * p.size;

    square += m.e[1] + n * (m.e[0] - mean) * (m.e[0] - mean);
  }
  square = warp_sum (square);
  return { mean, rsqrtf (square / p.pixels / p.size + p.eps) };
}

/* groups: shared, of the slab. */
template <typename T, int V>
__device__ __forceinline__ Affine<V>
get_affine (const DloralGroupNorm &p, const Place &at, int channel,
    const Moments *groups)
{
  Affine<V> a;

#pragma unroll
  for (int k = 0; k < V; k++) {
    Moments m = groups[(channel + k - at.first) / p.size];

    a.center.e[k] = get_center<T> (p, channel + k);
    a.scale.e[k] = m.e[1] * p.gamma[channel + k];
    a.shift.e[k] = p.beta[channel + k] - m.e[0] * a.scale.e[k];
  }
  return a;
}

template <int V>
__device__ __forceinline__ Vector<f32, V>
normalise (const Affine<V> &a, Vector<f32, V> x, bool with_silu)
{
#pragma unroll
  for (int k = 0; k < V; k++) {
    float y = (x.e[k] - a.center.e[k]) * a.scale.e[k] + a.shift.e[k];

    x.e[k] = with_silu ? silu (y) : y;
  }
  return x;
}

/* From a thread's last pixel to its first: what was measured last is still in
 * the L2 cache. x, y: V channels of the last; the others are so many elements
 * before. */
template <int V, typename S, typename D>
__device__ __forceinline__ void
normalise_pixels (const Affine<V> &a, bool with_silu, int n, const S *x,
    int x_step, D *y, int y_step)
{
  constexpr int B = batch<S, V> (32);

#pragma unroll 1
  for (; n > 0; n -= B, x -= B * x_step, y -= B * y_step) {
    Vector<S, V> v[B];

#pragma unroll
    for (int b = 0; b < B; b++)
      v[b] = load<V> (b < n ? x - b * x_step : x);
#pragma unroll
    for (int b = 0; b < B; b++)
      if (b < n)
        store (y - b * y_step, normalise (a, to_float (v[b]), with_silu));
  }
}

template <int V, typename S, typename D>
__device__ __forceinline__ void
apply_channels (const DloralGroupNorm &p, const Place &at, int channel,
    const Affine<V> &a)
{
  Origin o = find_origin<S> (p, channel);
  int n = count_pixels (at, at.row);
  size_t last = at.pixel + at.row + (n - 1) * at.rows;

  normalise_pixels (a, p.silu, n,
      static_cast<const S *> (o.data) + last * o.c + o.channel,
      at.rows * o.c,
      static_cast<D *> (p.dst) + last * p.c + channel,
      at.rows * p.c);
}

/* apply_channels for whatever types there are. */
template <typename T, int V>
__device__ __forceinline__ void
apply_any (const DloralGroupNorm &p, const Place &at, int channel,
    const Affine<V> &a)
{
  bool from_f32 = find_origin<T> (p, channel).is_f32;
  bool to_f32 = sizeof (T) < sizeof (f32) && p.dst_is_f32;

  if (from_f32 && to_f32)
    apply_channels<V, f32, f32> (p, at, channel, a);
  else if (from_f32)
    apply_channels<V, f32, T> (p, at, channel, a);
  else if (to_f32)
    apply_channels<V, T, f32> (p, at, channel, a);
  else
    apply_channels<V, T, T> (p, at, channel, a);
}

template <typename T, int V>
__device__ __forceinline__ void
apply_slab (const DloralGroupNorm &p, const Place &at, const Moments *groups)
{
  if (at.row < min (at.rows, at.pixels))
#pragma unroll 1
    for (int c = at.column * V; c < at.width; c += at.columns * V)
      apply_any<T, V> (p, at, at.first + c,
          get_affine<T, V> (p, at, at.first + c, groups));
}

/* groups: shared, [groups of a slab]. */
template <typename T>
__device__ __forceinline__ void
apply (const DloralGroupNorm &p, Moments *groups)
{
  Place at = find_place (p);

  for (int g = threadIdx.x / WARP; g < at.width / p.size; g += WARPS) {
    Moments m = join_chunks (p, at.first / p.size + g);

    if (threadIdx.x % WARP == 0)
      groups[g] = m;
  }
  __syncthreads ();
  if (p.vector > 1)
    apply_slab<T, 8> (p, at, groups);
  else
    apply_slab<T, 1> (p, at, groups);
}

/* --- whole ---------------------------------------------------------------- */

#define WHOLE DLORAL_GROUP_NORM_WHOLE_THREADS

/* The sum over the block, in every thread. warps: shared, [WHOLE / WARP]. */
__device__ float
block_sum (float x, float *warps)
{
  float sum = warp_sum (x);

  __syncthreads ();
  if (threadIdx.x % WARP == 0)
    warps[threadIdx.x / WARP] = sum;
  __syncthreads ();
  return warp_sum (threadIdx.x % WARP < WHOLE / WARP
      ? warps[threadIdx.x % WARP] : 0);
}

/* Puts `width` channels of every pixel, less `center`, into values
 * [pixels][size]. x: [pixels][c]. */
template <int V, typename T>
__device__ __forceinline__ void
gather (const DloralGroupNorm &p, const T *x, int c, int width, float center,
    float *values)
{
  constexpr int B = 4;
  int vectors = width / V, n = p.pixels * vectors;

  for (int i = threadIdx.x; i < n; i += B * WHOLE) {
    Vector<T, V> v[B];

#pragma unroll
    for (int b = 0; b < B; b++) {
      int j = min (i + b * WHOLE, n - 1);

      v[b] = load<V> (x + (size_t) (j / vectors) * c + j % vectors * V);
    }
#pragma unroll
    for (int b = 0; b < B; b++) {
      int j = i + b * WHOLE;
      Vector<f32, V> d = to_float (v[b]);

      for (int k = 0; k < V; k++)
        d.e[k] -= center;
      if (j < n)
        store (values + j / vectors * p.size + j % vectors * V, d);
    }
  }
}

/* All of a group, which may have channels of both sources. */
template <typename T, int V>
__device__ __forceinline__ void
gather_group (const DloralGroupNorm &p, int first, float center, float *values)
{
#pragma unroll 1
  for (int k = 0, width; k < p.size; k += width) {
    Origin o = find_origin<T> (p, first + k);

    width = min (o.c - o.channel, p.size - k);
    if (o.is_f32)
      gather<V> (p, static_cast<const f32 *> (o.data) + o.channel, o.c, width,
          center, values + k);
    else
      gather<V> (p, static_cast<const T *> (o.data) + o.channel, o.c, width,
          center, values + k);
  }
}

template <int V, typename D>
__device__ __forceinline__ void
scatter (const DloralGroupNorm &p, int first, Moments m, const float *values,
    D *y)
{
  int vectors = p.size / V;

  for (int i = threadIdx.x; i < p.pixels * vectors; i += WHOLE) {
    int channel = first + i % vectors * V;
    Affine<V> a = { {}, load<V> (p.gamma + channel), load<V> (p.beta +
            channel) };

    for (int k = 0; k < V; k++) {
      a.scale.e[k] *= m.e[1];
      a.shift.e[k] -= m.e[0] * a.scale.e[k];
    }
    store (y + (size_t) (i / vectors) * p.c + channel,
        normalise (a, load<V> (values + i * V), p.silu));
  }
}

/* warps: shared, [WHOLE / WARP]; values: shared, [pixels][size]. */
template <typename T, int V>
__device__ void
normalise_whole (const DloralGroupNorm &p, float *warps, float *values)
{
  int first = blockIdx.x * p.size, n = p.pixels * p.size;
  float center = get_center<T> (p, first), sum = 0, square = 0, mean;

  gather_group<T, V> (p, first, center, values);
  __syncthreads ();
  for (int i = threadIdx.x; i < n; i += WHOLE)
    sum += values[i];
  mean = block_sum (sum, warps) / n;
  for (int i = threadIdx.x; i < n; i += WHOLE)
    square += (values[i] - mean) * (values[i] - mean);
  Moments m = { mean, rsqrtf (block_sum (square, warps) / n + p.eps) };

  if (sizeof (T) < sizeof (f32) && p.dst_is_f32)
    scatter<V> (p, first, m, values, static_cast<f32 *> (p.dst));
  else
    scatter<V> (p, first, m, values, static_cast<T *> (p.dst));
}

/* -------------------------------------------------------------------------- */

#define KERNELS(T) \
  KERNEL (THREADS, group_norm_measure_##T, (const DloralGroupNorm p)) \
  { \
    SHARED (Moments, moments); \
    measure<T> (p, moments); \
  } \
  KERNEL (THREADS, group_norm_apply_##T, (const DloralGroupNorm p)) \
  { \
    SHARED (Moments, groups); \
    apply<T> (p, groups); \
  } \
  KERNEL (WHOLE, group_norm_whole_##T, (const DloralGroupNorm p)) \
  { \
    SHARED (float, shared); \
    if (p.vector > 1) \
      normalise_whole<T, 4> (p, shared, shared + WHOLE / WARP); \
    else \
      normalise_whole<T, 1> (p, shared, shared + WHOLE / WARP); \
  }

KERNELS (f32)
KERNELS (bf16)
KERNELS (f16)
