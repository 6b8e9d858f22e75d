/* Bytes of video frames to pictures and back, in the integers of engine/video.c:
 * equal to the bit. To unpack, a thread has one pixel; to pack, one sample of
 * chroma and the pixels that it covers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "common.cuh"
#include "engine/video.h"
#include "video.h"

#define BITS DLORAL_VIDEO_BITS
#define ROUND(bits) (1 << ((bits) - 1))

typedef DloralVideoFormat Format;

__device__ __forceinline__ int
clamp (int x, int low, int high)
{
  return min (max (x, low), high);
}

/* dloral_video_get_chroma () for the device. */
__device__ __forceinline__ int
get_chroma (int n, int sub)
{
  return (n + sub) >> sub;
}

/* --- samples ---------------------------------------------------------------- */

__device__ __forceinline__ size_t
sample_at (const Format &f, int component, int y, int x)
{
  const DloralVideoComponent &c = f.components[component];

  return c.offset + (size_t) y * c.stride + (size_t) x * c.step;
}

__device__ __forceinline__ int
load_sample (const Format &f, const u8 *frame, int component, int y, int x)
{
  const u8 *p = frame + sample_at (f, component, y, x);

  return f.depth > 8 ? (p[0] | p[1] << 8) >> f.shift & ((1 << f.depth) - 1)
      : p[0];
}

__device__ __forceinline__ void
store_sample (const Format &f, u8 *frame, int component, int y, int x,
    int value)
{
  u8 *p = frame + sample_at (f, component, y, x);

  if (f.depth > 8) {
    p[0] = u8 (value << f.shift);
    p[1] = u8 (value << f.shift >> 8);
  } else {
    p[0] = u8 (value);
  }
}

/* --- unpack ------------------------------------------------------------------- */

/* The two samples of chroma around luma position `at` of n, and how many
 * quarters of the second one. */
struct Tap
{
  int near, far, quarters;
};

__device__ __forceinline__ Tap
find_tap (int at, int n, int sub, bool cosited)
{
  const int near = at >> sub, odd = at & sub;
  const int far = odd ? near + 1 : cosited ? near : near - 1;

  return { near, clamp (far, 0, get_chroma (n, sub) - 1),
    sub == 0 ? 0 : !cosited ? 1 : odd ? 2 : 0 };
}

/* In sixteenths. */
__device__ __forceinline__ int
load_chroma (const Format &f, const u8 *frame, int component, const Tap &row,
    const Tap &column)
{
  const int quarters[2] = {
    load_sample (f, frame, component, row.near, column.near)
        * (4 - row.quarters)
        + load_sample (f, frame, component, row.far, column.near)
        * row.quarters,
    load_sample (f, frame, component, row.near, column.far)
        * (4 - row.quarters)
        + load_sample (f, frame, component, row.far, column.far)
        * row.quarters,
  };

  return quarters[0] * (4 - column.quarters) + quarters[1] * column.quarters;
}

__device__ __forceinline__ void
unpack_yuv (const Format &f, const u8 *frame, int y, int x, u8 *rgb)
{
  const DloralVideoMatrix &m = f.matrix;
  const int bits = m.to_bits + 4;
  const int luma = 16 * m.y * (load_sample (f, frame, 0, y, x)
      - m.luma_offset) + ROUND (bits);
  int cb = 0, cr = 0;

  if (f.kind == DLORAL_VIDEO_YUV) {
    const Tap row = find_tap (y, f.height, f.h_sub, f.v_cosited);
    const Tap column = find_tap (x, f.width, f.w_sub, f.h_cosited);

    cb = load_chroma (f, frame, 1, row, column) - 16 * m.chroma_offset;
    cr = load_chroma (f, frame, 2, row, column) - 16 * m.chroma_offset;
  }
  rgb[0] = clamp ((luma + m.rv * cr) >> bits, 0, 255);
  rgb[1] = clamp ((luma + m.gu * cb + m.gv * cr) >> bits, 0, 255);
  rgb[2] = clamp ((luma + m.bu * cb) >> bits, 0, 255);
}

__device__ __forceinline__ void
unpack_rgb (const Format &f, const u8 *frame, int y, int x, u8 *rgb)
{
#pragma unroll
  for (int i = 0; i < 3; i++) {
    const int level = frame[sample_at (f, i, y, x)];

    rgb[i] = f.limited ? ((clamp (level, 16, 235) - 16) * 255 + 109) / 219
        : level;
  }
}

/* rgb [height][width][3] */
KERNEL (DLORAL_VIDEO_THREADS, unpack, (const DloralVideoFormat f,
        const u8 *__restrict__ frame, u8 *__restrict__ rgb))
{
  const int x = blockIdx.x * DLORAL_VIDEO_THREADS + threadIdx.x;
  const int y = blockIdx.y;

  if (x >= f.width)
    return;
  rgb += 3 * ((size_t) y * f.width + x);
  if (f.kind == DLORAL_VIDEO_RGB)
    unpack_rgb (f, frame, y, x, rgb);
  else
    unpack_yuv (f, frame, y, x, rgb);
}

/* --- pack --------------------------------------------------------------------- */

struct Colors
{
  int r, g, b;
};

__device__ __forceinline__ Colors
load_pixel (const u8 *rgb, size_t stride, int y, int x)
{
  const u8 *p = rgb + y * stride + 3 * (size_t) x;

  return { p[0], p[1], p[2] };
}

/* Twice the middle one and its neighbours. */
__device__ __forceinline__ Colors
add (const Colors &before, const Colors &mid, const Colors &after)
{
  return { before.r + 2 * mid.r + after.r, before.g + 2 * mid.g + after.g,
    before.b + 2 * mid.b + after.b };
}

/* Where the pixels around a sample of chroma are: those before, at and after
 * it. */
struct Cover
{
  int before, mid, after;
};

__device__ __forceinline__ Cover
find_cover (int c, int n, int sub, bool cosited)
{
  const int mid = c << sub, after = sub ? min (mid + 1, n - 1) : mid;

  return { !sub ? mid : cosited ? max (mid - 1, 0) : after, mid, after };
}

__device__ __forceinline__ Colors
sum_column (const u8 *rgb, size_t stride, const Cover &rows, int x)
{
  return add (load_pixel (rgb, stride, rows.before, x),
      load_pixel (rgb, stride, rows.mid, x),
      load_pixel (rgb, stride, rows.after, x));
}

__device__ __forceinline__ void
pack_chroma (const Format &f, const u8 *rgb, size_t stride, u8 *frame, int cy,
    int cx)
{
  const DloralVideoMatrix &m = f.matrix;
  const int bits = BITS + 4, max = (1 << f.depth) - 1;
  const Cover rows = find_cover (cy, f.height, f.h_sub, f.v_cosited);
  const Cover columns = find_cover (cx, f.width, f.w_sub, f.h_cosited);
  const Colors s = add (sum_column (rgb, stride, rows, columns.before),
      sum_column (rgb, stride, rows, columns.mid),
      sum_column (rgb, stride, rows, columns.after));

  store_sample (f, frame, 1, cy, cx, clamp (m.chroma_offset
          + ((m.ur * s.r + m.ug * s.g + m.ub * s.b + ROUND (bits)) >> bits),
          0, max));
  store_sample (f, frame, 2, cy, cx, clamp (m.chroma_offset
          + ((m.vr * s.r + m.vg * s.g + m.vb * s.b + ROUND (bits)) >> bits),
          0, max));
}

__device__ __forceinline__ void
pack_luma (const Format &f, const u8 *rgb, size_t stride, u8 *frame, int y,
    int x)
{
  const DloralVideoMatrix &m = f.matrix;
  const Colors p = load_pixel (rgb, stride, y, x);

  store_sample (f, frame, 0, y, x, m.luma_offset
      + ((m.yr * p.r + m.yg * p.g + m.yb * p.b + ROUND (BITS)) >> BITS));
}

__device__ __forceinline__ void
pack_rgb (const Format &f, const u8 *rgb, size_t stride, u8 *frame, int y,
    int x)
{
  const u8 *p = rgb + y * stride + 3 * (size_t) x;

#pragma unroll
  for (int i = 0; i < 3; i++)
    frame[sample_at (f, i, y, x)] = f.limited ? 16 + (p[i] * 219 + 127) / 255
        : p[i];
  if (f.opaque >= 0)
    frame[f.opaque + (size_t) y * f.components[0].stride
        + (size_t) x * f.components[0].step] = 255;
}

/* rgb [≥ height][stride] */
KERNEL (DLORAL_VIDEO_THREADS, pack, (const DloralVideoFormat f,
        const u8 *__restrict__ rgb, size_t stride, u8 *__restrict__ frame))
{
  const int cx = blockIdx.x * DLORAL_VIDEO_THREADS + threadIdx.x;
  const int cy = blockIdx.y;

  if (cx >= get_chroma (f.width, f.w_sub))
    return;
  if (f.kind == DLORAL_VIDEO_RGB) {
    pack_rgb (f, rgb, stride, frame, cy, cx);
    return;
  }
  for (int y = cy << f.h_sub; y < min ((cy + 1) << f.h_sub, f.height); y++)
    for (int x = cx << f.w_sub; x < min ((cx + 1) << f.w_sub, f.width); x++)
      pack_luma (f, rgb, stride, frame, y, x);
  if (f.kind == DLORAL_VIDEO_YUV)
    pack_chroma (f, rgb, stride, frame, cy, cx);
}
