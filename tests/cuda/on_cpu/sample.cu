/* Kernels with which libcuda.so.1's own test tries it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/kernels/common.cuh"

/* y[block] = sum of the block's part of x */
KERNEL (256, sample_sum, (const float *x, float *y, int n))
{
  __shared__ float partial[32];
  int i = blockIdx.x * blockDim.x + threadIdx.x, n_warps = blockDim.x / 32;
  float sum = i < n ? x[i] : 0;

  for (int step = 16; step > 0; step /= 2)
    sum += __shfl_xor_sync (0xffffffff, sum, step);
  if (threadIdx.x % 32 == 0)
    partial[threadIdx.x / 32] = sum;
  __syncthreads ();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < n_warps ? partial[threadIdx.x] : 0;
    for (int step = 16; step > 0; step /= 2)
      sum += __shfl_down_sync (0xffffffff, sum, step);
    if (threadIdx.x == 0)
      y[blockIdx.x] = sum;
  }
}
