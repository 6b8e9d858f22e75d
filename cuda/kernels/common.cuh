/* What all kernels start from: element types by the engine's names, conversion to
 * and from float, and the two macros by which a kernel declares itself and its
 * dynamic shared memory, so that tests can compile the same file for the CPU.
 *
 * A kernel's name ends in the types of its tensors: group_norm_bf16_f32.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

/* KERNEL (256, name, (const float *x, float *y)) { … }: at most 256 threads a
 * block. */
#define KERNEL(threads, name, parameters) \
  extern "C" __global__ void __launch_bounds__ (threads) name parameters

/* SHARED (float, tile): dynamic shared memory, the one a kernel may have. */
#define SHARED(type, name) \
  extern __shared__ __align__ (16) unsigned char shared_bytes[]; \
  type *const name = reinterpret_cast<type *> (shared_bytes)
#else
#include "cuda_on_cpu.h"
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef float f32;
typedef __nv_bfloat16 bf16;
typedef __half f16;

__device__ __forceinline__ float to_float (f32 x) { return x; }
__device__ __forceinline__ float to_float (bf16 x) { return __bfloat162float (x); }
__device__ __forceinline__ float to_float (f16 x) { return __half2float (x); }

__device__ __forceinline__ void store (f32 *p, float x) { *p = x; }
__device__ __forceinline__ void store (bf16 *p, float x) { *p = __float2bfloat16 (x); }
__device__ __forceinline__ void store (f16 *p, float x) { *p = __float2half (x); }

/* The highest level of pictures of a type. */
template <typename P> constexpr int MAX_LEVEL = (1 << 8 * sizeof (P)) - 1;

/* N neighbouring elements, moved as one where N · size is 4, 8 or 16 bytes and
 * the address a multiple of that. */
template <typename T, int N> struct alignas (N * sizeof (T)) Vector
{
  T e[N];
};

/* FOR_TYPES (X): X (a, b) for every pair of types an operator may read and
 * write: one of the three in both, or that one and f32. */
#define FOR_TYPES(X) \
  X (f32, f32) X (bf16, bf16) X (f16, f16) \
  X (f32, bf16) X (bf16, f32) X (f32, f16) X (f16, f32)
