/* Parts of a tensor: cut out, laid on top of each other, put into another
 * order. A thread has one column of dst, in a few rows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "matrix.cuh"
#include "tiles.h"
#include "vectors.cuh"

#define EACH DLORAL_TILES_EACH

/* Calls f<T> (p) for units of p.size bytes. */
#define FOR_UNITS(f, p) \
  switch (p.size) { \
    case 1: \
      return f<uint8_t> (p); \
    case 2: \
      return f<uint16_t> (p); \
    case 4: \
      return f<uint32_t> (p); \
    case 8: \
      return f<uint2> (p); \
    default: \
      return f<uint4> (p); \
  }

template <typename T>
__device__ __forceinline__ void
crop_units (const DloralCrop &p)
{
  Share s = find_share (p.h, p.w, EACH);
  const T *src = static_cast<const T *> (p.src) + s.column;
  T *dst = static_cast<T *> (p.dst) + s.column, x[EACH];

#pragma unroll
  for (int i = 0; i < EACH; i++)
    if (i < s.n)
      x[i] = src[(size_t) (s.row + i * s.step) * p.src_w];
#pragma unroll
  for (int i = 0; i < EACH; i++)
    if (i < s.n)
      dst[(size_t) (s.row + i * s.step) * p.w] = x[i];
}

KERNEL (DLORAL_MATRIX_THREADS, crop, (const DloralCrop p))
{
  FOR_UNITS (crop_units, p)
}

template <typename T>
__device__ __forceinline__ void
paste_units (const DloralPaste &p)
{
  Share s = find_share (p.h, p.w, EACH);
  unsigned x = s.column - p.x;
  T value[EACH];

#pragma unroll
  for (int i = 0; i < EACH; i++) {
    int row = s.row + i * s.step;
    unsigned y = row - p.y;

    value[i] = T ();
    if (i < s.n && y < (unsigned) p.part_h && x < (unsigned) p.part_w)
      value[i] = static_cast<const T *> (p.part)[(size_t) y * p.part_w + x];
    else if (i < s.n && p.below)
      value[i] = static_cast<const T *> (p.below)[(size_t) row * p.w
          + s.column];
  }
#pragma unroll
  for (int i = 0; i < EACH; i++)
    if (i < s.n)
      static_cast<T *> (p.dst)[(size_t) (s.row + i * s.step) * p.w
          + s.column] = value[i];
}

KERNEL (DLORAL_MATRIX_THREADS, paste, (const DloralPaste p))
{
  FOR_UNITS (paste_units, p)
}

/* Units are V values of f32. */
template <int V>
__device__ __forceinline__ void
add_weighted (const DloralPaste &p)
{
  typedef Vector<f32, V> Unit;
  Share s = find_share (p.h, p.w, EACH);
  unsigned x = s.column - p.x;

#pragma unroll
  for (int i = 0; i < EACH; i++) {
    int row = s.row + i * s.step;
    unsigned y = row - p.y;
    size_t at = (size_t) row * p.w + s.column;
    Unit sum = {};

    if (i >= s.n)
      continue;
    if (p.below)
      sum = static_cast<const Unit *> (p.below)[at];
    if (y < (unsigned) p.part_h && x < (unsigned) p.part_w) {
      Unit part = static_cast<const Unit *> (p.part)[(size_t) y * p.part_w
          + x];
      float weight = p.weights[(size_t) y * (p.part_w / p.pixel)
          + x / p.pixel];

      for (int k = 0; k < V; k++)
        sum.e[k] += weight * part.e[k];
    }
    static_cast<Unit *> (p.dst)[at] = sum;
  }
}

KERNEL (DLORAL_MATRIX_THREADS, paste_weighted, (const DloralPaste p))
{
  if (p.size == 16)
    add_weighted<4> (p);
  else
    add_weighted<1> (p);
}

template <typename T>
__device__ __forceinline__ void
gather_units (const DloralGather &p)
{
  Share s = find_share (p.h, p.w, EACH);
  const T *src = static_cast<const T *> (p.src) + s.column;
  T *dst = static_cast<T *> (p.dst) + s.column, x[EACH];

#pragma unroll
  for (int i = 0; i < EACH; i++)
    if (i < s.n)
      x[i] = src[(size_t) (int) p.rows[s.row + i * s.step] * p.w];
#pragma unroll
  for (int i = 0; i < EACH; i++)
    if (i < s.n)
      dst[(size_t) (s.row + i * s.step) * p.w] = x[i];
}

KERNEL (DLORAL_MATRIX_THREADS, gather, (const DloralGather p))
{
  FOR_UNITS (gather_units, p)
}
