/* Layer norm: a row (the channels of one position) is read once, by a warp or,
 * where it is long, by several. Every thread keeps its part of it in shared
 * memory, as it came; mean and variance are taken one after the other, from
 * there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "layer_norm.h"
#include "vectors.cuh"

#define THREADS DLORAL_LAYER_NORM_THREADS

struct Params
{
  const float *gamma, *beta;    /* [c] */
  int rows, c;
  int warps;                    /* of a row: 1, 2, 4 or 8 */
  float eps;
};

/* The sum over a row's warps, in every thread. Every thread of the block calls;
 * sums: shared, [THREADS / WARP]. */
__device__ __forceinline__ float
row_sum (float x, int warps, float *sums)
{
  int warp = threadIdx.x / WARP;
  float sum = warp_sum (x);

  if (warps == 1)
    return sum;
  __syncthreads ();
  if (threadIdx.x % WARP == 0)
    sums[warp] = sum;
  __syncthreads ();
  sum = 0;
#pragma unroll 1
  for (int i = 0; i < warps; i++)
    sum += sums[warp / warps * warps + i];
  return sum;
}

/* A thread's part of a row: vectors `first`, `first` + step … up to n. */
struct Part
{
  int first, step, n;
};

/* src: [n]; kept: shared, [n]. T is a whole vector, of a type that the compiler
 * moves as one. */
template <typename T>
__device__ __forceinline__ void
keep (const Part &part, const T *src, T *kept)
{
  constexpr int B = 3;          /* vectors in flight */

#pragma unroll 1
  for (int i = part.first; i < part.n; i += B * part.step) {
    T x[B];

#pragma unroll
    for (int b = 0; b < B; b++)
      x[b] = src[i + b * part.step < part.n ? i + b * part.step : i];
#pragma unroll
    for (int b = 0; b < B; b++)
      if (i + b * part.step < part.n)
        kept[i + b * part.step] = x[b];
  }
}

/* V values' differences from a row's first one, `center`: of these, means are
 * precise however far the row is from zero. */
template <int V, typename T>
__device__ __forceinline__ Vector<f32, V>
load_centered (const T *kept, int i, float center)
{
  Vector<f32, V> x = to_float (load<V> (kept + i * V));

#pragma unroll
  for (int k = 0; k < V; k++)
    x.e[k] -= center;
  return x;
}

/* The sum over a thread's part. */
template <int V, typename T>
__device__ __forceinline__ float
sum_part (const Part &part, const T *kept, float center)
{
  float sum = 0;

  for (int i = part.first; i < part.n; i += part.step) {
    Vector<f32, V> x = load_centered<V> (kept, i, center);

#pragma unroll
    for (int k = 0; k < V; k++)
      sum += x.e[k];
  }
  return sum;
}

/* The same of squared differences from the mean. */
template <int V, typename T>
__device__ __forceinline__ float
sum_squares (const Part &part, const T *kept, float center, float mean)
{
  float sum = 0;

  for (int i = part.first; i < part.n; i += part.step) {
    Vector<f32, V> x = load_centered<V> (kept, i, center);

#pragma unroll
    for (int k = 0; k < V; k++)
      sum += (x.e[k] - mean) * (x.e[k] - mean);
  }
  return sum;
}

/* M: V elements of S. kept: shared, [THREADS / WARP / warps][c]. The warps of
 * rows beyond the last read the last, and write nothing. */
template <int V, typename M, typename S, typename D>
__device__ __forceinline__ void
normalise (const Params &p, const S *src, D *dst, float *sums, S *kept)
{
  int threads = p.warps * WARP, place = threadIdx.x / threads;
  int row = blockIdx.x * (THREADS / threads) + place;
  size_t start = (size_t) min (row, p.rows - 1) * p.c;
  Part part = { int (threadIdx.x % threads), threads, p.c / V };
  float center = to_float (src[start]), mean, scale;

  kept += place * p.c;
  keep (part, reinterpret_cast<const M *> (src + start),
      reinterpret_cast<M *> (kept));
  mean = row_sum (sum_part<V> (part, kept, center), p.warps, sums) / p.c;
  scale = rsqrtf (row_sum (sum_squares<V> (part, kept, center, mean), p.warps,
          sums) / p.c + p.eps);
  for (int i = part.first; i < part.n && row < p.rows; i += part.step) {
    Vector<f32, V> x = load_centered<V> (kept, i, center);
    Vector<f32, V> gamma = load<V> (p.gamma + i * V);
    Vector<f32, V> beta = load<V> (p.beta + i * V);

#pragma unroll
    for (int k = 0; k < V; k++)
      x.e[k] = (x.e[k] - mean) * (scale * gamma.e[k]) + beta.e[k];
    store (dst + start + i * V, x);
  }
}

/* vector: whether c is a multiple of 8. */
#define KERNELS(S, D) \
  KERNEL (THREADS, layer_norm_##S##_##D, (const S *src, D *dst, \
          const float *gamma, const float *beta, int rows, int c, int warps, \
          float eps, int vector)) \
  { \
    SHARED (float, sums); \
    S *kept = reinterpret_cast<S *> (sums + THREADS / WARP); \
    const Params p = { gamma, beta, rows, c, warps, eps }; \
    if (vector) \
      normalise<16 / sizeof (S), uint4> (p, src, dst, sums, kept); \
    else \
      normalise<1, S> (p, src, dst, sums, kept); \
  }

FOR_TYPES (KERNELS)
