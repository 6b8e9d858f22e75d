/* Pictures to other sizes and to tensors: upsample, shrink, from_picture.
 *
 * Tensors start at multiples of 64 bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "common.cuh"
#include "picture.h"

__device__ __forceinline__ int
clamp (int x, int low, int high)
{
  return min (max (x, low), high);
}

/* --- upsample ------------------------------------------------------------- */

/* A block makes the outputs of a tile of source pixels. First all the source
 * rows that it needs are filtered across and rounded to levels in shared memory,
 * then columns of those: in integers, so equal to Pillow's to the bit. */

#define ROWS DLORAL_UPSAMPLE_ROWS
#define COLUMNS DLORAL_UPSAMPLE_COLUMNS
#define TILE_ROWS (ROWS + DLORAL_UPSAMPLE_HALO)
#define TILE_LEVELS (3 * (COLUMNS + DLORAL_UPSAMPLE_HALO))
#define FIXED_BITS 22

typedef Vector<int, 4> Taps;
template <typename P> using Levels = Vector<P, 4>;

/* Index of the weights of source pixel i of n, phase 0. */
__device__ __forceinline__ int
taps_index (int i, int n, int scale)
{
  return (min (i, 2) * 3 + min (n - 1 - i, 2)) * scale;
}

__device__ __forceinline__ int
weigh (const Taps &taps, int a, int b, int c, int d)
{
  return taps.e[0] * a + taps.e[1] * b + taps.e[2] * c + taps.e[3] * d;
}

__device__ __forceinline__ u8
filter (const Taps &taps, u8 a, u8 b, u8 c, u8 d)
{
  const int sum = weigh (taps, a, b, c, d) + (1 << (FIXED_BITS - 1));

  return clamp (sum >> FIXED_BITS, 0, 255);
}

/* Both bytes of a level apart, since products of 38 bits would not fit. */
__device__ __forceinline__ u16
filter (const Taps &taps, u16 a, u16 b, u16 c, u16 d)
{
  const int high = weigh (taps, a >> 8, b >> 8, c >> 8, d >> 8);
  const int low = weigh (taps, a & 255, b & 255, c & 255, d & 255)
      + (1 << (FIXED_BITS - 1));

  return clamp ((high + (low >> 8)) >> (FIXED_BITS - 8), 0, 65535);
}

/* tile [TILE_ROWS][TILE_LEVELS] from row `top` and column `left`; what lies
 * outside the picture has no weight later. */
template <typename P> __device__ __forceinline__ void
load_tile (const DloralUpsample &job, P *tile, const P *src, int top, int left)
{
  for (int r = threadIdx.y; r < TILE_ROWS; r += ROWS) {
    const P *row = src + 3 * (size_t) job.src_w
        * clamp (top + r, 0, job.src_h - 1);

    for (int b = threadIdx.x; b < TILE_LEVELS; b += COLUMNS)
      tile[r * TILE_LEVELS + b] =
          row[3 * clamp (left + b / 3, 0, job.src_w - 1) + b % 3];
  }
}

/* wide [TILE_ROWS][COLUMNS · scale · 3] from the tile. */
template <typename P> __device__ __forceinline__ void
filter_across (const DloralUpsample &job, P *wide, const P *tile,
    const Taps *taps, int left)
{
  const int columns = COLUMNS * job.scale, last = job.src_w * job.scale - 1;

  for (int x = threadIdx.x; x < columns; x += COLUMNS) {
    const int at = min ((int) blockIdx.x * columns + x, last);
    const int i = at / job.scale, phase = at - i * job.scale;
    const Taps t = taps[taps_index (i, job.src_w, job.scale) + phase];
    const P *s = tile + 3 * (i - 2 + (2 * phase + 1 >= job.scale) - left);

    for (int r = threadIdx.y; r < TILE_ROWS; r += ROWS)
      for (int c = 0; c < 3; c++) {
        const P *p = s + r * TILE_LEVELS + c;

        wide[3 * (r * columns + x) + c] = filter (t, p[0], p[3], p[6], p[9]);
      }
  }
}

/* Four neighbouring samples from four rows. */
template <typename P> __device__ __forceinline__ Levels<P>
filter_rows (const Taps &taps, const Levels<P> *rows)
{
  Levels<P> result;

#pragma unroll
  for (int k = 0; k < 4; k++)
    result.e[k] = filter (taps, rows[0].e[k], rows[1].e[k], rows[2].e[k],
        rows[3].e[k]);
  return result;
}

/* n levels at most; a whole group at once where rows start at multiples of 4. */
template <typename P> __device__ __forceinline__ void
store_levels (P *dst, const Levels<P> &levels, int n, bool aligned)
{
  if (aligned && n >= 4) {
    *reinterpret_cast<Levels<P> *> (dst) = levels;
    return;
  }
#pragma unroll
  for (int k = 0; k < 4; k++)
    if (k < n)
      dst[k] = levels.e[k];
}

/* The outputs of one source row, 4 samples a thread. */
template <typename P> __device__ __forceinline__ void
filter_down (const DloralUpsample &job, P *dst, const P *wide,
    const Taps *taps, int top)
{
  const int scale = job.scale, pitch = 3 * COLUMNS * scale;
  const int row = blockIdx.y * ROWS + threadIdx.y;
  const int i = min (row, job.src_h - 1);
  const int width = 3 * job.dst_w, left = blockIdx.x * pitch;
  const bool aligned = width % 4 == 0;

  taps += taps_index (i, job.src_h, scale);
  for (int b = 4 * threadIdx.x; b < min (pitch, width - left);
      b += 4 * COLUMNS) {
    Levels<P> rows[5];

#pragma unroll
    for (int r = 0; r < 5; r++)
      rows[r] = *reinterpret_cast<const Levels<P> *> (wide
          + (i - 2 - top + r) * pitch + b);
    for (int p = 0; p < scale && row * scale + p < job.dst_h; p++) {
      const int phase = row < job.src_h ? p : scale - 1;
      const Taps t = taps[phase];

      store_levels<P> (dst + (size_t) (row * scale + p) * width + left + b,
          2 * phase + 1 < scale ? filter_rows<P> (t, rows)
          : filter_rows<P> (t, rows + 1), width - left - b, aligned);
    }
  }
}

template <typename P> __device__ __forceinline__ void
upsample (const DloralUpsample &job, Taps *taps, P *tile, P *wide,
    const P *src, P *dst)
{
  const int top = min ((int) blockIdx.y * ROWS, job.src_h - 1) - 2;
  const int left = min ((int) blockIdx.x * COLUMNS, job.src_w - 1) - 2;

  for (int i = threadIdx.y * COLUMNS + threadIdx.x;
      i < DLORAL_UPSAMPLE_PLACES * job.scale; i += ROWS * COLUMNS)
    for (int k = 0; k < 4; k++)
      taps[i].e[k] = job.taps[i].weight[k];
  load_tile (job, tile, src, top, left);
  __syncthreads ();
  filter_across (job, wide, tile, taps, left);
  __syncthreads ();
  filter_down (job, dst, wide, taps, top);
}

#define UPSAMPLE(P)                                                           \
KERNEL (ROWS * COLUMNS, upsample_##P, (const DloralUpsample job,              \
        const P *__restrict__ src, P *__restrict__ dst))                      \
{                                                                             \
  __shared__ Taps taps[DLORAL_UPSAMPLE_PLACES                              \
      * DLORAL_UPSAMPLE_MAX_SCALE];                                           \
  __shared__ P tile[TILE_ROWS * TILE_LEVELS];                                 \
  SHARED (P, wide);                                                           \
                                                                              \
  upsample<P> (job, taps, tile, wide, src, dst);                              \
}
UPSAMPLE (u8)
UPSAMPLE (u16)

/* --- shrink --------------------------------------------------------------- */

/* A thread a sample: of the picture's rows only some are read, and of those
 * neighbours share what a load brings. */
template <typename P> __device__ __forceinline__ void
shrink (const DloralShrink &job, const P *src, f32 *dst)
{
  const int i = blockIdx.x * DLORAL_SHRINK_THREADS + threadIdx.x;
  const int x = i / 3, y = blockIdx.y;
  float sum = 0;

  if (x >= job.dst_w)
    return;
#pragma unroll
  for (int r = 0; r < 4; r++) {
    const P *row = src + i % 3 + 3 * (size_t) job.src_w
        * clamp (y * job.factor + job.first + r, 0, job.src_h - 1);
    float line = 0;

#pragma unroll
    for (int t = 0; t < 4; t++)
      line += job.weight[t] * row[3 * clamp (x * job.factor + job.first + t,
              0, job.src_w - 1)];
    sum += job.weight[r] * line;
  }
  dst[(size_t) y * 3 * job.dst_w + i] = sum / (MAX_LEVEL<P> / 2.0f) - 1;
}

#define SHRINK(P)                                                             \
KERNEL (DLORAL_SHRINK_THREADS, shrink_##P, (const DloralShrink job,           \
        const P *__restrict__ src, f32 *__restrict__ dst))                    \
{                                                                             \
  shrink (job, src, dst);                                                     \
}
SHRINK (u8)
SHRINK (u16)

/* --- from_picture --------------------------------------------------------- */

/* A block's y is a row of patches, which is contiguous in dst: a thread makes
 * its group i, from one line of one patch. */
template <typename T, typename P, int LAYOUT> __device__ __forceinline__ void
convert (const DloralPatches &job, const P *src, T *dst)
{
  constexpr float half = MAX_LEVEL<P> / 2.0f;
  constexpr int N = DLORAL_PATCHES_GROUP (LAYOUT, sizeof (T));
  const int lines = LAYOUT ? LAYOUT : job.lines;
  const int line = (LAYOUT > 1 ? 3 * LAYOUT : job.line) / N;
  const int length = job.w * lines * line;
  const int i = blockIdx.x * DLORAL_FROM_PICTURE_THREADS + threadIdx.x;
  const bool rows = LAYOUT == DLORAL_PATCHES_ROWS;
  const int k = rows ? i : i % line, dy = rows ? 0 : i / line % lines;
  const int x = rows ? 0 : i / (line * lines);

  if (i >= length)
    return;
  src += (((size_t) blockIdx.y * lines + dy) * job.w + x) * line * N;
  const Vector<P, N> levels =
      reinterpret_cast<const Vector<P, N> *> (src)[k];
  Vector<T, N> result;

#pragma unroll
  for (int j = 0; j < N; j++)
    store (&result.e[j], (levels.e[j] - half) * (1 / half));
  reinterpret_cast<Vector<T, N> *> (dst)[(size_t) blockIdx.y * length + i] =
      result;
}

#define FROM_PICTURE(T, P)                                                    \
KERNEL (DLORAL_FROM_PICTURE_THREADS, from_picture_##T##_##P,                  \
        (const DloralPatches job,                                             \
        const P *__restrict__ src, T *__restrict__ dst))                      \
{                                                                             \
  switch (job.layout) {                                                       \
    case DLORAL_PATCHES_ROWS: convert<T, P, 1> (job, src, dst); break;        \
    case 2: convert<T, P, 2> (job, src, dst); break;                          \
    case 4: convert<T, P, 4> (job, src, dst); break;                          \
    case 8: convert<T, P, 8> (job, src, dst); break;                          \
    case 16: convert<T, P, 16> (job, src, dst); break;                        \
    default: convert<T, P, DLORAL_PATCHES_ANY> (job, src, dst);               \
  }                                                                           \
}
FROM_PICTURE (f32, u8)
FROM_PICTURE (bf16, u8)
FROM_PICTURE (f16, u8)
FROM_PICTURE (f32, u16)
FROM_PICTURE (bf16, u16)
FROM_PICTURE (f16, u16)
