/* y = e4m3 (scale · x): to the nearest, ties to even; what is too large becomes the
 * largest there is. On the way from memory to memory, so a thread moves 16 bytes
 * at a time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "quantize.h"
#include "vectors.cuh"

#ifdef __CUDACC__
#include <cuda_fp8.h>
#endif

#define EACH DLORAL_QUANTIZE_EACH

KERNEL (DLORAL_QUANTIZE_THREADS, quantize_bf16, (const DloralQuantizeParams p))
{
  size_t i = ((size_t) blockIdx.x * DLORAL_QUANTIZE_THREADS + threadIdx.x)
      * EACH;
  Vector<uint16_t, EACH / 2> pairs;

  if (i >= p.n)
    return;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    Vector<f32, EACH / 2> x = to_float (load<EACH / 2>
        (static_cast<const bf16 *> (p.x) + i + half * EACH / 2));

#pragma unroll
    for (int k = 0; k < EACH / 4; k++)
      pairs.e[half * EACH / 4 + k] = __nv_cvt_float2_to_fp8x2 (make_float2
          (p.scale * x.e[2 * k], p.scale * x.e[2 * k + 1]), __NV_SATFINITE,
          __NV_E4M3);
  }
  *reinterpret_cast<Vector<uint16_t, EACH / 2> *> (static_cast<u8 *> (p.y) + i)
      = pairs;
}
