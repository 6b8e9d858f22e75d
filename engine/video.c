/* A row at a time: chroma to the luma's grid, then the matrix; and the other
 * way round.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "video.h"

#include <string.h>

#define BITS DLORAL_VIDEO_BITS
#define ROUND(bits) (1 << ((bits) - 1))

static inline int
clamp (int x, int low, int high)
{
  return x < low ? low : x > high ? high : x;
}

/* --- Formats ---------------------------------------------------------------- */

static int
to_fixed (double x, int bits)
{
  return (int) (x * (1 << bits) + (x < 0 ? -0.5 : 0.5));
}

/* luma, chroma: levels of the format to one of RGB. */
static void
set_coefficients (DloralVideoMatrix *m, double kr, double kb, double luma,
    double chroma)
{
  const double kg = 1 - kr - kb;
  const int to = m->to_bits;

  m->y = to_fixed (1 / luma, to);
  m->rv = to_fixed (2 * (1 - kr) / chroma, to);
  m->gu = to_fixed (-2 * kb * (1 - kb) / kg / chroma, to);
  m->gv = to_fixed (-2 * kr * (1 - kr) / kg / chroma, to);
  m->bu = to_fixed (2 * (1 - kb) / chroma, to);

  m->yr = to_fixed (kr * luma, BITS);
  m->yb = to_fixed (kb * luma, BITS);
  m->yg = to_fixed (luma, BITS) - m->yr - m->yb;

  /* Rows of chroma add up to nothing: grey stays grey. */
  m->ur = to_fixed (-kr / (1 - kb) / 2 * chroma, BITS);
  m->ub = to_fixed (chroma / 2, BITS);
  m->ug = -m->ur - m->ub;
  m->vr = to_fixed (chroma / 2, BITS);
  m->vb = to_fixed (-kb / (1 - kr) / 2 * chroma, BITS);
  m->vg = -m->vr - m->vb;
}

void
dloral_video_format_init_matrix (DloralVideoFormat *f)
{
  const int up = f->depth - 8, max = (1 << f->depth) - 1;

  f->matrix.luma_offset = f->limited ? 16 << up : 0;
  f->matrix.chroma_offset = 128 << up;
  f->matrix.to_bits = BITS + up;
  set_coefficients (&f->matrix, f->kr, f->kb,
      (f->limited ? 219 << up : max) / 255.0,
      (f->limited ? 224 << up : max) / 255.0);
}

void
dloral_video_format_init_rgb (DloralVideoFormat *f, int width, int height)
{
  memset (f, 0, sizeof *f);
  f->kind = DLORAL_VIDEO_RGB;
  f->width = width;
  f->height = height;
  f->size = (size_t) 3 * width * height;
  f->depth = 8;
  f->opaque = -1;
  for (int i = 0; i < 3; i++)
    f->components[i] = (DloralVideoComponent) { i, 3 * width, 3 };
}

size_t
dloral_video_get_scratch_size (const DloralVideoFormat *f)
{
  return (6 * (size_t) f->width + 2) * sizeof (int16_t);
}

/* --- Samples ---------------------------------------------------------------- */

/* n samples of row y. */
static void
load_row (const DloralVideoFormat *f, const uint8_t *frame, int component,
    int y, int16_t *dst, int n)
{
  const DloralVideoComponent *c = &f->components[component];
  const uint8_t *src = frame + c->offset + (size_t) y * c->stride;
  const int step = c->step, shift = f->shift, mask = (1 << f->depth) - 1;

  if (f->depth > 8)
    for (int x = 0; x < n; x++)
      dst[x] = (src[x * step] | src[x * step + 1] << 8) >> shift & mask;
  else if (step == 1)
    for (int x = 0; x < n; x++)
      dst[x] = src[x];
  else
    for (int x = 0; x < n; x++)
      dst[x] = src[x * step];
}

static void
store_row (const DloralVideoFormat *f, uint8_t *frame, int component, int y,
    const int16_t *src, int n)
{
  const DloralVideoComponent *c = &f->components[component];
  uint8_t *dst = frame + c->offset + (size_t) y * c->stride;
  const int step = c->step, shift = f->shift;

  if (f->depth > 8)
    for (int x = 0; x < n; x++) {
      dst[x * step] = src[x] << shift;
      dst[x * step + 1] = src[x] << shift >> 8;
    }
  else if (step == 1)
    for (int x = 0; x < n; x++)
      dst[x] = src[x];
  else
    for (int x = 0; x < n; x++)
      dst[x * step] = src[x];
}

int
dloral_video_read_line (const DloralVideoFormat *f, const uint8_t *frame,
    int y, uint8_t *line)
{
  const int n = f->kind == DLORAL_VIDEO_RGB ? 3 : 1, w = f->width;
  const int high = f->depth > 8, down = f->depth + f->shift - 8;

  for (int i = 0; i < n; i++) {
    const DloralVideoComponent *c = &f->components[i];
    const uint8_t *src = frame + c->offset + (size_t) y * c->stride;

    if (high)
      for (int x = 0; x < w; x++)
        line[x] = (src[x * c->step] | src[x * c->step + 1] << 8) >> down;
    else
      for (int x = 0; x < w; x++)
        line[i * w + x] = src[x * c->step];
  }
  return n * w;
}

/* --- YUV and grey to RGB ---------------------------------------------------- */

/* The two rows of chroma around luma row y, and how many quarters of the second
 * one. */
typedef struct
{
  int near, far, quarters;
} Tap;

static Tap
find_tap (const DloralVideoFormat *f, int y)
{
  const int last = dloral_video_get_chroma (f->height, f->h_sub) - 1;
  const int near = y >> f->h_sub, odd = y & f->h_sub;
  const int far = odd ? near + 1 : f->v_cosited ? near : near - 1;

  return (Tap) { near, clamp (far, 0, last),
    f->h_sub == 0 ? 0 : !f->v_cosited ? 1 : odd ? 2 : 0 };
}

/* Chroma in quarters [n], with a sample repeated on either side, to every luma
 * column, in sixteenths. */
static void
spread_row (const DloralVideoFormat *f, int16_t *row, int n, int16_t *dst)
{
  const int width = f->width, pairs = width / 2;

  row[0] = row[1];
  row[n + 1] = row[n];
  if (f->w_sub == 0) {
    for (int x = 0; x < width; x++)
      dst[x] = 4 * row[x + 1];
  } else if (f->h_cosited) {
    for (int x = 0; x < pairs; x++) {
      dst[2 * x] = 4 * row[x + 1];
      dst[2 * x + 1] = 2 * row[x + 1] + 2 * row[x + 2];
    }
    if (width & 1)
      dst[width - 1] = 4 * row[n];
  } else {
    for (int x = 0; x < pairs; x++) {
      dst[2 * x] = 3 * row[x + 1] + row[x];
      dst[2 * x + 1] = 3 * row[x + 1] + row[x + 2];
    }
    if (width & 1)
      dst[width - 1] = 3 * row[n] + row[n - 1];
  }
}

/* Chroma at luma row y, at every luma column: dst [width], in sixteenths. row
 * [2 · width + 2]: scratch. */
static void
load_chroma (const DloralVideoFormat *f, const uint8_t *frame, int component,
    int y, int16_t *row, int16_t *dst)
{
  const int n = dloral_video_get_chroma (f->width, f->w_sub);
  const Tap tap = find_tap (f, y);
  int16_t *near = row + 1, *far = row + n + 2;

  load_row (f, frame, component, tap.near, near, n);
  if (tap.quarters > 0) {
    load_row (f, frame, component, tap.far, far, n);
    for (int x = 0; x < n; x++)
      near[x] = near[x] * (4 - tap.quarters) + far[x] * tap.quarters;
  } else {
    for (int x = 0; x < n; x++)
      near[x] *= 4;
  }
  spread_row (f, row, n, dst);
}

/* luma [width]; u, v [width], in sixteenths. */
static void
convert_row (const DloralVideoFormat *f, const int16_t *luma, const int16_t *u,
    const int16_t *v, uint8_t *rgb)
{
  const DloralVideoMatrix m = f->matrix;
  const int bits = m.to_bits + 4;

  for (int x = 0; x < f->width; x++) {
    const int y = 16 * m.y * (luma[x] - m.luma_offset) + ROUND (bits);
    const int cb = u[x] - 16 * m.chroma_offset, cr = v[x] - 16 * m.chroma_offset;

    rgb[3 * x] = clamp ((y + m.rv * cr) >> bits, 0, 255);
    rgb[3 * x + 1] = clamp ((y + m.gu * cb + m.gv * cr) >> bits, 0, 255);
    rgb[3 * x + 2] = clamp ((y + m.bu * cb) >> bits, 0, 255);
  }
}

/* scratch [6 · width + 2] */
static void
unpack_yuv (const DloralVideoFormat *f, const uint8_t *frame, uint8_t *rgb,
    int y, int16_t *scratch)
{
  int16_t *luma = scratch, *u = luma + f->width, *v = u + f->width;

  load_row (f, frame, 0, y, luma, f->width);
  if (f->kind == DLORAL_VIDEO_YUV) {
    load_chroma (f, frame, 1, y, v + f->width, u);
    load_chroma (f, frame, 2, y, v + f->width, v);
  } else {
    for (int x = 0; x < f->width; x++)
      u[x] = v[x] = 16 * f->matrix.chroma_offset;
  }
  convert_row (f, luma, u, v, rgb);
}

/* --- RGB to YUV and grey ---------------------------------------------------- */

static void
pack_luma (const DloralVideoFormat *f, const uint8_t *rgb, uint8_t *frame,
    int y, int16_t *luma)
{
  const DloralVideoMatrix m = f->matrix;

  for (int x = 0; x < f->width; x++)
    luma[x] = m.luma_offset + ((m.yr * rgb[3 * x] + m.yg * rgb[3 * x + 1]
            + m.yb * rgb[3 * x + 2] + ROUND (BITS)) >> BITS);
  store_row (f, frame, 0, y, luma, f->width);
}

/* The mean of the rows that chroma row c covers, in quarters: sum [width][3]. */
static void
sum_rows (const DloralVideoFormat *f, const uint8_t *rgb, size_t stride, int c,
    int16_t *sum)
{
  const int y = c << f->h_sub, last = f->height - 1;
  const uint8_t *mid = rgb + y * stride, *before = mid, *after = mid;

  if (f->h_sub) {
    after = rgb + clamp (y + 1, 0, last) * stride;
    before = f->v_cosited ? rgb + clamp (y - 1, 0, last) * stride : after;
  }
  for (int x = 0; x < 3 * f->width; x++)
    sum[x] = before[x] + 2 * mid[x] + after[x];
}

/* Chroma of the columns a sample covers. sum: [width][3], in quarters. */
static void
sum_columns (const DloralVideoFormat *f, const int16_t *sum, int16_t *u,
    int16_t *v)
{
  const DloralVideoMatrix m = f->matrix;
  const int last = f->width - 1, max = (1 << f->depth) - 1;
  const int n = dloral_video_get_chroma (f->width, f->w_sub), bits = BITS + 4;

  for (int x = 0; x < n; x++) {
    const int mid = x << f->w_sub;
    const int after = f->w_sub ? clamp (mid + 1, 0, last) : mid;
    const int before = !f->w_sub ? mid : f->h_cosited ?
        clamp (mid - 1, 0, last) : after;
    const int r = sum[3 * before] + 2 * sum[3 * mid] + sum[3 * after];
    const int g = sum[3 * before + 1] + 2 * sum[3 * mid + 1]
        + sum[3 * after + 1];
    const int b = sum[3 * before + 2] + 2 * sum[3 * mid + 2]
        + sum[3 * after + 2];

    u[x] = clamp (m.chroma_offset + ((m.ur * r + m.ug * g + m.ub * b
                + ROUND (bits)) >> bits), 0, max);
    v[x] = clamp (m.chroma_offset + ((m.vr * r + m.vg * g + m.vb * b
                + ROUND (bits)) >> bits), 0, max);
  }
}

/* Row c of chroma. scratch [5 · width] */
static void
pack_chroma (const DloralVideoFormat *f, const uint8_t *rgb, size_t stride,
    uint8_t *frame, int c, int16_t *scratch)
{
  const int n = dloral_video_get_chroma (f->width, f->w_sub);
  int16_t *u = scratch, *v = u + f->width, *sum = v + f->width;

  sum_rows (f, rgb, stride, c, sum);
  sum_columns (f, sum, u, v);
  store_row (f, frame, 1, c, u, n);
  store_row (f, frame, 2, c, v, n);
}

static void
pack_yuv (const DloralVideoFormat *f, const uint8_t *rgb, size_t stride,
    uint8_t *frame, int y, int16_t *scratch)
{
  pack_luma (f, rgb + y * stride, frame, y, scratch);
  if (f->kind == DLORAL_VIDEO_YUV && (y & f->h_sub) == 0)
    pack_chroma (f, rgb, stride, frame, y >> f->h_sub, scratch);
}

/* --- RGB in any order -------------------------------------------------------- */

/* A format of RGB for loops over pixels: where each component of row y begins. */
#define COMPONENT(frame, i) \
  ((frame) + f->components[i].offset + (size_t) y * f->components[i].stride)

static int
is_plain (const DloralVideoFormat *f)
{
  return f->components[0].step == 3
      && f->components[1].offset == f->components[0].offset + 1
      && f->components[2].offset == f->components[0].offset + 2;
}

static void
unpack_rgb (const DloralVideoFormat *f, const uint8_t *frame, uint8_t *rgb,
    int y)
{
  const uint8_t *r = COMPONENT (frame, 0), *g = COMPONENT (frame, 1);
  const uint8_t *b = COMPONENT (frame, 2);
  const int step = f->components[0].step;

  if (is_plain (f)) {
    memcpy (rgb, r, 3 * (size_t) f->width);
  } else {
    for (int x = 0; x < f->width; x++) {
      rgb[3 * x] = r[step * x];
      rgb[3 * x + 1] = g[step * x];
      rgb[3 * x + 2] = b[step * x];
    }
  }
  if (f->limited)
    for (int x = 0; x < 3 * f->width; x++)
      rgb[x] = ((clamp (rgb[x], 16, 235) - 16) * 255 + 109) / 219;
}

/* scratch: [3 · width] bytes */
static void
pack_rgb (const DloralVideoFormat *f, const uint8_t *rgb, uint8_t *frame,
    int y, uint8_t *scratch)
{
  uint8_t *r = COMPONENT (frame, 0), *g = COMPONENT (frame, 1);
  uint8_t *b = COMPONENT (frame, 2);
  const int step = f->components[0].step;

  if (f->limited) {
    for (int x = 0; x < 3 * f->width; x++)
      scratch[x] = 16 + (rgb[x] * 219 + 127) / 255;
    rgb = scratch;
  }
  if (is_plain (f)) {
    memcpy (r, rgb, 3 * (size_t) f->width);
    return;
  }
  for (int x = 0; x < f->width; x++) {
    r[step * x] = rgb[3 * x];
    g[step * x] = rgb[3 * x + 1];
    b[step * x] = rgb[3 * x + 2];
  }
  if (f->opaque >= 0) {
    uint8_t *a = frame + f->opaque + (size_t) y * f->components[0].stride;

    for (int x = 0; x < f->width; x++)
      a[step * x] = 255;
  }
}

/* --- Frames ------------------------------------------------------------------ */

void
dloral_video_unpack (const DloralVideoFormat *f, const uint8_t *frame,
    uint8_t *rgb, size_t stride, int first, int last, void *scratch)
{
  for (int y = first; y < last; y++)
    if (f->kind == DLORAL_VIDEO_RGB)
      unpack_rgb (f, frame, rgb + y * stride, y);
    else
      unpack_yuv (f, frame, rgb + y * stride, y, scratch);
}

void
dloral_video_pack (const DloralVideoFormat *f, const uint8_t *rgb,
    size_t stride, uint8_t *frame, int first, int last, void *scratch)
{
  for (int y = first; y < last; y++)
    if (f->kind == DLORAL_VIDEO_RGB)
      pack_rgb (f, rgb + y * stride, frame, y, scratch);
    else
      pack_yuv (f, rgb, stride, frame, y, scratch);
}
