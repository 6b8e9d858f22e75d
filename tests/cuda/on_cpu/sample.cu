/* Kernels with which libcuda.so.1's own test tries it: right ones, and ones with
 * the mistakes it is to show.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/kernels/common.cuh"

/* --- right ---------------------------------------------------------------- */

__device__ __forceinline__ float
sum_warp (float x)
{
  for (int step = 16; step > 0; step /= 2)
    x += __shfl_xor_sync (0xffffffff, x, step);
  return x;
}

/* y[block] = sum of the block's part of x; whole warps */
KERNEL (256, sample_sum, (const float *x, float *y, int n))
{
  __shared__ float partial[8];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float sum = sum_warp (i < n ? x[i] : 0);

  if (threadIdx.x % 32 == 0)
    partial[threadIdx.x / 32] = sum;
  __syncthreads ();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0;
    for (int step = 16; step > 0; step /= 2)
      sum += __shfl_down_sync (0xffffffff, sum, step);
    if (threadIdx.x == 0)
      y[blockIdx.x] = sum;
  }
}

/* As sample_sum, then the block that is last adds up the blocks' sums. */
KERNEL (256, sample_sum_all, (const float *x, float *partial, unsigned *n_done,
      float *y, int n))
{
  SHARED (float, tile);
  __shared__ bool last;

  tile[threadIdx.x] = blockIdx.x * blockDim.x + threadIdx.x < n
      ? x[blockIdx.x * blockDim.x + threadIdx.x] : 0;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads ();
    if (threadIdx.x < half)
      tile[threadIdx.x] += tile[threadIdx.x + half];
  }
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = tile[0];
    __threadfence ();
    last = atomicAdd (n_done, 1u) == gridDim.x - 1;
    __threadfence ();
  }
  __syncthreads ();
  if (last && threadIdx.x == 0) {
    float sum = 0;

    for (int i = 0; i < gridDim.x; i++)
      sum += partial[i];
    *y = sum;
  }
}

/* Each thread of a grid and block of three dimensions adds one to its place. */
KERNEL (1024, sample_count, (int *y))
{
  int n_x = gridDim.x * blockDim.x, n_y = gridDim.y * blockDim.y;
  int x = blockIdx.x * blockDim.x + threadIdx.x;
  int y_ = blockIdx.y * blockDim.y + threadIdx.y;
  int z = blockIdx.z * blockDim.z + threadIdx.z;

  y[(z * n_y + y_) * n_x + x] += 1;
}

KERNEL (256, sample_to_float, (const u8 *x, float *half, float *bfloat16, int n))
{
  int i = blockIdx.x * blockDim.x + threadIdx.x;

  if (i < n) {
    half[i] = to_float (reinterpret_cast<const f16 *> (x)[i]);
    bfloat16[i] = to_float (reinterpret_cast<const bf16 *> (x)[i]);
  }
}

KERNEL (256, sample_from_float, (const float *x, f16 *half, bf16 *bfloat16,
      int n))
{
  int i = blockIdx.x * blockDim.x + threadIdx.x;

  if (i < n) {
    store (half + i, x[i]);
    store (bfloat16 + i, x[i]);
  }
}

/* y[operation][thread], of values thread + 100 */
KERNEL (64, sample_warp, (int *y))
{
  int i = threadIdx.x, n = blockDim.x, value = i + 100;

  y[i] = __shfl_sync (0xffffffff, value, 5);
  y[n + i] = __shfl_sync (0xffffffff, value, 1, 8);
  y[2 * n + i] = __shfl_up_sync (0xffffffff, value, 2);
  y[3 * n + i] = __shfl_down_sync (0xffffffff, value, 3, 16);
  y[4 * n + i] = __shfl_xor_sync (0xffffffff, value, 1);
  y[5 * n + i] = __ballot_sync (0xffffffff, i % 3 == 0);
  y[6 * n + i] = __any_sync (0xffffffff, i == 40);
  y[7 * n + i] = __all_sync (0xffffffff, i < 40);
  /* Halves of a warp on ways of their own. */
  if (i % 32 < 16)
    y[8 * n + i] = __shfl_sync (0x0000ffff, value, 3);
  else
    y[8 * n + i] = __shfl_sync (0xffff0000, value, 20);
}

/* Each lane hands the next what it wrote, by shared memory, twice. */
KERNEL (64, sample_sync_warp, (int *y))
{
  SHARED (int, tile);
  int i = threadIdx.x, next = i / 32 * 32 + (i + 1) % 32;

  tile[i] = i;
  __syncwarp ();
  int value = tile[next];
  __syncwarp ();
  tile[i] = value + 1;
  __syncwarp ();
  y[i] = tile[next];
}

/* y = { sum, maximum, bits } of 0 … threads - 1 */
KERNEL (256, sample_atomics, (int *sum, unsigned *maximum, unsigned *bits,
      float *average))
{
  int i = blockIdx.x * blockDim.x + threadIdx.x;

  atomicAdd (sum, i);
  atomicMax (maximum, unsigned (i));
  atomicOr (bits, 1u << i % 32);
  atomicAdd (average, 0.5f);
}

/* How many words of a block's shared memory are garbage, then uses them. */
KERNEL (32, sample_garbage, (int *y, int n))
{
  SHARED (unsigned, tile);
  __shared__ unsigned other[32];
  int count = other[threadIdx.x] == 0x7fbadbad;

  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    count += tile[i] == 0x7fbadbad;
    tile[i] = i;
  }
  other[threadIdx.x] = count;
  atomicAdd (y, count);
}

/* x[i] = a · x[i] + b */
KERNEL (256, sample_scale, (float *x, float a, float b, int n))
{
  int i = blockIdx.x * blockDim.x + threadIdx.x;

  if (i < n)
    x[i] = a * x[i] + b;
}

/* --- mistaken ------------------------------------------------------------- */

/* y[i] = i - 1, by way of shared memory, without the barrier it takes. */
KERNEL (256, sample_no_barrier, (int *y))
{
  SHARED (int, tile);
  int i = threadIdx.x;

  tile[i] = i;
  y[i] = i > 0 ? tile[i - 1] : -1;
}

KERNEL (256, sample_exit, (int *y))
{
  if (threadIdx.x >= 40)
    return;
  __syncthreads ();
  y[threadIdx.x] = 1;
}

KERNEL (256, sample_two_barriers, (int *y))
{
  if (threadIdx.x < 40)
    __syncthreads ();
  else
    __syncthreads ();
  y[threadIdx.x] = 1;
}

KERNEL (256, sample_absent_lane, (int *y))
{
  int value = threadIdx.x;

  if (threadIdx.x % 32 != 7)
    value = __shfl_xor_sync (0xffffffff, value, 1);
  y[threadIdx.x] = value;
}

KERNEL (256, sample_wrong_mask, (int *y))
{
  y[threadIdx.x] = __shfl_xor_sync (0x0000ffff, int (threadIdx.x), 1);
}

/* Writes one element beyond n: of shared memory, or of y. */
KERNEL (256, sample_beyond, (int *y, int n, int in_shared))
{
  SHARED (int, tile);

  if (threadIdx.x == 0 && in_shared)
    tile[n] = 1;
  else if (threadIdx.x == 0)
    y[n] = 1;
}

/* All blocks write the same element. */
KERNEL (32, sample_same_element, (int *y))
{
  if (threadIdx.x == 0)
    *y = blockIdx.x;
}

/* As sample_sum_all's hand-over, without the fence that takes. */
KERNEL (32, sample_no_fence, (int *partial, unsigned *n_done, int *y))
{
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = 1;
    if (atomicAdd (n_done, 1u) == gridDim.x - 1)
      *y = partial[0] + partial[1];
  }
}
