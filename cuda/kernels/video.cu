/* Bytes of video frames to pictures and back, in the integers of
 * engine/video_rows.h: equal to the bit. To unpack, a thread has one pixel; to
 * pack, one sample of chroma and the pixels that it covers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "common.cuh"
#include "engine/video.h"
#include "video.h"

#define ROUND(bits) (1 << ((bits) - 1))

typedef DloralVideoFormat Format;

/* What a sample is multiplied in for pictures of a type, and the bits after the
 * point of coefficients to YUV. */
template <typename P> struct Picture;
template <> struct Picture<u8>
{
  typedef int Product;
  static constexpr int bits = DLORAL_VIDEO_BITS (8);
};
template <> struct Picture<u16>
{
  typedef long long Product;
  static constexpr int bits = DLORAL_VIDEO_BITS (16);
};

template <typename P> using Product = typename Picture<P>::Product;

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

/* Only pictures of 16 bits are of frames with more than 8. */
template <typename P> __device__ __forceinline__ int
load_sample (const Format &f, const u8 *frame, int component, int y, int x)
{
  const u8 *p = frame + sample_at (f, component, y, x);

  return sizeof (P) > 1 && f.depth > 8 ?
      (p[0] | p[1] << 8) >> f.shift & ((1 << f.depth) - 1) : p[0];
}

template <typename P> __device__ __forceinline__ void
store_sample (const Format &f, u8 *frame, int component, int y, int x,
    int value)
{
  u8 *p = frame + sample_at (f, component, y, x);

  if (sizeof (P) > 1 && f.depth > 8) {
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
template <typename P> __device__ __forceinline__ int
load_chroma (const Format &f, const u8 *frame, int component, const Tap &row,
    const Tap &column)
{
  const int quarters[2] = {
    load_sample<P> (f, frame, component, row.near, column.near)
        * (4 - row.quarters)
        + load_sample<P> (f, frame, component, row.far, column.near)
        * row.quarters,
    load_sample<P> (f, frame, component, row.near, column.far)
        * (4 - row.quarters)
        + load_sample<P> (f, frame, component, row.far, column.far)
        * row.quarters,
  };

  return quarters[0] * (4 - column.quarters) + quarters[1] * column.quarters;
}

template <typename P> __device__ __forceinline__ void
unpack_yuv (const Format &f, const u8 *frame, int y, int x, P *rgb)
{
  const DloralVideoMatrix &m = f.matrix;
  const int bits = m.to_bits + 4;
  const Product<P> luma = Product<P> (16) * m.y * (load_sample<P> (f, frame, 0,
          y, x) - m.luma_offset) + ROUND (bits);
  Product<P> cb = 0, cr = 0;

  if (f.kind == DLORAL_VIDEO_YUV) {
    const Tap row = find_tap (y, f.height, f.h_sub, f.v_cosited);
    const Tap column = find_tap (x, f.width, f.w_sub, f.h_cosited);

    cb = load_chroma<P> (f, frame, 1, row, column) - 16 * m.chroma_offset;
    cr = load_chroma<P> (f, frame, 2, row, column) - 16 * m.chroma_offset;
  }
  rgb[0] = clamp ((luma + m.rv * cr) >> bits, 0, MAX_LEVEL<P>);
  rgb[1] = clamp ((luma + m.gu * cb + m.gv * cr) >> bits, 0, MAX_LEVEL<P>);
  rgb[2] = clamp ((luma + m.bu * cb) >> bits, 0, MAX_LEVEL<P>);
}

/* Levels of RGB in a frame. */
struct Range
{
  int black, white, size;       /* the last is the difference */
};

__device__ __forceinline__ Range
get_range (const Format &f)
{
  const int up = f.depth - 8, black = f.limited ? 16 << up : 0;
  const int white = f.limited ? 235 << up : (1 << f.depth) - 1;

  return { black, white, white - black };
}

template <typename P> __device__ __forceinline__ void
unpack_rgb (const Format &f, const u8 *frame, int y, int x, P *rgb)
{
  const Range range = get_range (f);

#pragma unroll
  for (int i = 0; i < 3; i++) {
    const unsigned level = clamp (load_sample<P> (f, frame, i, y, x),
        range.black, range.white) - range.black;

    rgb[i] = range.size == MAX_LEVEL<P> ? level :
        (level * MAX_LEVEL<P> + range.size / 2) / range.size;
  }
}

/* rgb [height][width][3] */
template <typename P> __device__ __forceinline__ void
unpack (const Format &f, const u8 *frame, P *rgb)
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

#define UNPACK(P)                                                             \
KERNEL (DLORAL_VIDEO_THREADS, unpack_##P, (const DloralVideoFormat f,         \
        const u8 *__restrict__ frame, P *__restrict__ rgb))                   \
{                                                                             \
  unpack (f, frame, rgb);                                                     \
}
UNPACK (u8)
UNPACK (u16)

/* --- pack --------------------------------------------------------------------- */

struct Colors
{
  int r, g, b;
};

template <typename P> __device__ __forceinline__ Colors
load_pixel (const P *rgb, size_t stride, int y, int x)
{
  const P *p = rgb + y * stride + 3 * (size_t) x;

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

template <typename P> __device__ __forceinline__ Colors
sum_column (const P *rgb, size_t stride, const Cover &rows, int x)
{
  return add (load_pixel (rgb, stride, rows.before, x),
      load_pixel (rgb, stride, rows.mid, x),
      load_pixel (rgb, stride, rows.after, x));
}

/* red · color.r + … */
template <typename P> __device__ __forceinline__ Product<P>
mix (int red, int green, int blue, const Colors &color)
{
  return Product<P> (red) * color.r + Product<P> (green) * color.g
      + Product<P> (blue) * color.b;
}

template <typename P> __device__ __forceinline__ void
pack_chroma (const Format &f, const P *rgb, size_t stride, u8 *frame, int cy,
    int cx)
{
  const DloralVideoMatrix &m = f.matrix;
  const int bits = Picture<P>::bits + 4, max = (1 << f.depth) - 1;
  const Cover rows = find_cover (cy, f.height, f.h_sub, f.v_cosited);
  const Cover columns = find_cover (cx, f.width, f.w_sub, f.h_cosited);
  const Colors s = add (sum_column (rgb, stride, rows, columns.before),
      sum_column (rgb, stride, rows, columns.mid),
      sum_column (rgb, stride, rows, columns.after));

  store_sample<P> (f, frame, 1, cy, cx, clamp (m.chroma_offset
          + ((mix<P> (m.ur, m.ug, m.ub, s) + ROUND (bits)) >> bits), 0, max));
  store_sample<P> (f, frame, 2, cy, cx, clamp (m.chroma_offset
          + ((mix<P> (m.vr, m.vg, m.vb, s) + ROUND (bits)) >> bits), 0, max));
}

template <typename P> __device__ __forceinline__ void
pack_luma (const Format &f, const P *rgb, size_t stride, u8 *frame, int y,
    int x)
{
  const DloralVideoMatrix &m = f.matrix;
  const int bits = Picture<P>::bits;

  store_sample<P> (f, frame, 0, y, x, m.luma_offset + ((mix<P> (m.yr, m.yg,
                  m.yb, load_pixel (rgb, stride, y, x)) + ROUND (bits))
          >> bits));
}

template <typename P> __device__ __forceinline__ void
pack_rgb (const Format &f, const P *rgb, size_t stride, u8 *frame, int y,
    int x)
{
  const P *p = rgb + y * stride + 3 * (size_t) x;
  const Range range = get_range (f);

#pragma unroll
  for (int i = 0; i < 3; i++)
    store_sample<P> (f, frame, i, y, x, range.black + (unsigned (p[i])
            * range.size + MAX_LEVEL<P> / 2) / MAX_LEVEL<P>);
  if (f.opaque >= 0) {
    u8 *a = frame + f.opaque + (size_t) y * f.components[0].stride
        + (size_t) x * f.components[0].step;

    a[0] = 255;
    if (sizeof (P) > 1 && f.depth > 8)
      a[1] = 255;
  }
}

/* rgb [≥ height][stride] */
template <typename P> __device__ __forceinline__ void
pack (const Format &f, const P *rgb, size_t stride, u8 *frame)
{
  const int cx = blockIdx.x * DLORAL_VIDEO_THREADS + threadIdx.x;
  const int cy = blockIdx.y;

  if (cx >= get_chroma (f.width, f.w_sub))
    return;
  if (f.kind == DLORAL_VIDEO_RGB) {
    pack_rgb (f, rgb, stride, frame, cy, cx);
    return;
  }
  /* Not unrolled, for on some GPUs registers would be spilled. */
  for (int y = cy << f.h_sub; y < min ((cy + 1) << f.h_sub, f.height); y++)
#pragma unroll 1
    for (int x = cx << f.w_sub; x < min ((cx + 1) << f.w_sub, f.width); x++)
      pack_luma (f, rgb, stride, frame, y, x);
  if (f.kind == DLORAL_VIDEO_YUV)
    pack_chroma (f, rgb, stride, frame, cy, cx);
}

#define PACK(P)                                                               \
KERNEL (DLORAL_VIDEO_THREADS, pack_##P, (const DloralVideoFormat f,           \
        const P *__restrict__ rgb, size_t stride, u8 *__restrict__ frame))    \
{                                                                             \
  pack (f, rgb, stride, frame);                                               \
}
PACK (u8)
PACK (u16)
