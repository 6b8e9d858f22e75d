/* A picture or latent sampled where a flow points, bilinear. A thread has a few
 * channels of one position.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "vectors.cuh"
#include "warp.h"

#define THREADS DLORAL_WARP_THREADS

struct Params
{
  const float *src, *flow;      /* [h][w][c], [h][w][2] */
  float *dst;                   /* [h][w][c] */
  int h, w, c;
  bool border;
};

/* A coordinate: two neighbouring indices, and how much each counts; one outside
 * counts for nothing and is replaced by 0. */
struct Taps
{
  int index[2];
  float weight[2];
};

/* `at` is first brought so near to the picture that it fits an int; NaN too. */
__device__ __forceinline__ Taps
find_taps (float at, int length, bool border)
{
  float near = border ? fminf (fmaxf (at, 0), length - 1)
      : fminf (fmaxf (at, -2), length + 1);
  float low = floorf (near);
  int first = int (low);
  Taps t = { { first, first + 1 }, { 1 - (near - low), near - low } };

#pragma unroll
  for (int i = 0; i < 2; i++)
    if (t.index[i] < 0 || t.index[i] >= length) {
      t.index[i] = 0;
      t.weight[i] = 0;
    }
  return t;
}

template <int V>
__device__ __forceinline__ void
warp_pixel (const Params &p)
{
  int units = p.c / V, i = blockIdx.x * THREADS + threadIdx.x, x = i / units;
  int y = blockIdx.y, channel = i % units * V;

  if (x >= p.w)
    return;
  size_t pixel = (size_t) y * p.w + x;
  Vector<f32, 2> flow = load<2> (p.flow + pixel * 2);
  Taps row = find_taps (y + flow.e[1], p.h, p.border);
  Taps column = find_taps (x + flow.e[0], p.w, p.border);
  Vector<f32, V> corner[4], sum = {};

#pragma unroll
  for (int j = 0; j < 4; j++)
    corner[j] = load<V> (p.src + ((size_t) row.index[j / 2] * p.w
            + column.index[j % 2]) * p.c + channel);
#pragma unroll
  for (int j = 0; j < 4; j++)
#pragma unroll
    for (int k = 0; k < V; k++)
      sum.e[k] += row.weight[j / 2] * column.weight[j % 2] * corner[j].e[k];
  store (p.dst + pixel * p.c + channel, sum);
}

/* vector: channels moved as one, 1 or 4. */
KERNEL (THREADS, warp, (const float *src, const float *flow, float *dst, int h,
        int w, int c, int border, int vector))
{
  const Params p = { src, flow, dst, h, w, c, border != 0 };

  if (vector > 1)
    warp_pixel<4> (p);
  else
    warp_pixel<1> (p);
}
