/* Neighbouring elements moved as one and taken as f32, and sums over a warp.
 *
 * Tensors start at multiples of DLORAL_ALIGN bytes, so N neighbours may be moved
 * as one wherever their index is a multiple of N.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "common.cuh"

#define WARP 32

template <int N, typename T>
__device__ __forceinline__ Vector<T, N>
load (const T *p)
{
  return *reinterpret_cast<const Vector<T, N> *> (p);
}

template <typename T, int N>
__device__ __forceinline__ Vector<f32, N>
to_float (const Vector<T, N> &v)
{
  Vector<f32, N> x;

#pragma unroll
  for (int i = 0; i < N; i++)
    x.e[i] = to_float (v.e[i]);
  return x;
}

template <typename T, int N>
__device__ __forceinline__ void
store (T *p, const Vector<f32, N> &x)
{
  Vector<T, N> v;

#pragma unroll
  for (int i = 0; i < N; i++)
    store (&v.e[i], x.e[i]);
  *reinterpret_cast<Vector<T, N> *> (p) = v;
}

/* The sum of what the 32 threads of a warp have, in each of them; every thread
 * of the warp calls. */
__device__ __forceinline__ float
warp_sum (float x)
{
#pragma unroll
  for (int lane = WARP / 2; lane > 0; lane /= 2)
    x += __shfl_xor_sync (~0u, x, lane);
  return x;
}

__device__ __forceinline__ float
silu (float x)
{
  return __fdividef (x, 1 + __expf (-x));
}
