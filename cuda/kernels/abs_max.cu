/* The largest magnitude in a tensor. As bits, magnitudes are in order, and what is
 * no number lies above all that are. Only a calibration asks, so one block is
 * enough.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "abs_max.h"
#include "vectors.cuh"

#define THREADS DLORAL_ABS_MAX_THREADS

__device__ __forceinline__ unsigned
warp_max (unsigned x)
{
#pragma unroll
  for (int lane = WARP / 2; lane > 0; lane /= 2)
    x = max (x, __shfl_xor_sync (~0u, x, lane));
  return x;
}

/* Of the thread's share: every THREADS-th V neighbours. */
template <int V, typename T>
__device__ __forceinline__ unsigned
find_max (const T *x, size_t n)
{
  unsigned found = 0;

  for (size_t i = (size_t) threadIdx.x * V; i < n; i += THREADS * V) {
    Vector<f32, V> v = to_float (load<V> (x + i));

#pragma unroll
    for (int k = 0; k < V; k++)
      found = max (found, __float_as_uint (v.e[k]) & 0x7fffffff);
  }
  return found;
}

/* What the threads of the block found, all together. */
__device__ __forceinline__ void
store_max (unsigned found, float *y)
{
  __shared__ unsigned of_warps[THREADS / WARP];

  found = warp_max (found);
  if (threadIdx.x % WARP == 0)
    of_warps[threadIdx.x / WARP] = found;
  __syncthreads ();
  if (threadIdx.x < WARP) {
    found = warp_max (of_warps[threadIdx.x]);
    if (threadIdx.x == 0)
      *y = __uint_as_float (found);
  }
}

/* y = max |x [n]| */
#define KERNELS(T) \
  KERNEL (DLORAL_ABS_MAX_THREADS, abs_max_##T, \
      (const T *x, size_t n, float *y)) \
  { \
    store_max (n % 8 == 0 ? find_max<8> (x, n) : find_max<1> (x, n), y); \
  }

KERNELS (f32)
KERNELS (bf16)
KERNELS (f16)
