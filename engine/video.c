/* A row at a time: chroma to the luma's grid, then the matrix; and the other
 * way round. Pictures of 8 and of 16 bits have functions of their own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "video.h"

#include <string.h>

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

typedef struct
{
  int black, white, size;       /* levels; the last is the difference */
} Range;

/* Of RGB, grey and luma. */
static Range
get_range (const DloralVideoFormat *f)
{
  const int up = f->depth - 8, black = f->limited ? 16 << up : 0;
  const int white = f->limited ? 235 << up : (1 << f->depth) - 1;

  return (Range) { black, white, white - black };
}

/* luma, chroma: levels of the format to one of a picture's. */
static void
set_coefficients (DloralVideoMatrix *m, double kr, double kb, double luma,
    double chroma, int bits)
{
  const double kg = 1 - kr - kb;
  const int to = m->to_bits;

  m->y = to_fixed (1 / luma, to);
  m->rv = to_fixed (2 * (1 - kr) / chroma, to);
  m->gu = to_fixed (-2 * kb * (1 - kb) / kg / chroma, to);
  m->gv = to_fixed (-2 * kr * (1 - kr) / kg / chroma, to);
  m->bu = to_fixed (2 * (1 - kb) / chroma, to);

  m->yr = to_fixed (kr * luma, bits);
  m->yb = to_fixed (kb * luma, bits);
  m->yg = to_fixed (luma, bits) - m->yr - m->yb;

  /* Rows of chroma add up to nothing: grey stays grey. */
  m->ur = to_fixed (-kr / (1 - kb) / 2 * chroma, bits);
  m->ub = to_fixed (chroma / 2, bits);
  m->ug = -m->ur - m->ub;
  m->vr = to_fixed (chroma / 2, bits);
  m->vb = to_fixed (-kb / (1 - kr) / 2 * chroma, bits);
  m->vg = -m->vr - m->vb;
}

void
dloral_video_format_init_matrix (DloralVideoFormat *f)
{
  const int up = f->depth - 8, bits = f->deep ? 16 : 8;
  const double white = (1 << bits) - 1;
  const Range range = get_range (f);

  f->matrix.luma_offset = range.black;
  f->matrix.chroma_offset = 128 << up;
  f->matrix.to_bits = DLORAL_VIDEO_BITS (8) + up;
  set_coefficients (&f->matrix, f->kr, f->kb, range.size / white,
      (f->limited ? 224 << up : range.size) / white,
      DLORAL_VIDEO_BITS (bits));
}

void
dloral_video_format_init_rgb (DloralVideoFormat *f, int width, int height,
    int deep)
{
  const int size = deep ? 2 : 1;

  memset (f, 0, sizeof *f);
  f->kind = DLORAL_VIDEO_RGB;
  f->width = width;
  f->height = height;
  f->size = (size_t) 3 * size * width * height;
  f->deep = deep;
  f->depth = 8 * size;
  f->opaque = -1;
  for (int i = 0; i < 3; i++)
    f->components[i] = (DloralVideoComponent) { i * size, 3 * size * width,
      3 * size };
}

size_t
dloral_video_get_scratch_size (const DloralVideoFormat *f)
{
  return (6 * (size_t) f->width + 2)
      * (f->deep ? sizeof (int32_t) : sizeof (int16_t));
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
        line[i * w + x] = (src[x * c->step] | src[x * c->step + 1] << 8) >> down;
    else
      for (int x = 0; x < w; x++)
        line[i * w + x] = src[x * c->step];
  }
  return n * w;
}

/* --- Rows -------------------------------------------------------------------- */

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

/* Where a component of row y begins. */
#define COMPONENT(frame, i) \
  ((frame) + f->components[i].offset + (size_t) y * f->components[i].stride)

static void
fill_opaque (const DloralVideoFormat *f, uint8_t *frame, int y)
{
  uint8_t *a = frame + f->opaque + (size_t) y * f->components[0].stride;
  const int step = f->components[0].step;

  for (int x = 0; x < f->width; x++)
    a[step * x] = 255;
  if (f->depth > 8)
    for (int x = 0; x < f->width; x++)
      a[step * x + 1] = 255;
}

#define NAME(x) x##_8
#define Level uint8_t
#define Sample int16_t
#define Product int
#define LEVEL_BITS 8
#include "video_rows.h"

#define NAME(x) x##_16
#define Level uint16_t
#define Sample int32_t
#define Product int64_t
#define LEVEL_BITS 16
#include "video_rows.h"

/* --- Frames ------------------------------------------------------------------ */

void
dloral_video_unpack (const DloralVideoFormat *f, const uint8_t *frame,
    void *rgb, size_t stride, int first, int last, void *scratch)
{
  if (f->deep)
    unpack_16 (f, frame, rgb, stride, first, last, scratch);
  else
    unpack_8 (f, frame, rgb, stride, first, last, scratch);
}

void
dloral_video_pack (const DloralVideoFormat *f, const void *rgb, size_t stride,
    uint8_t *frame, int first, int last, void *scratch)
{
  if (f->deep)
    pack_16 (f, rgb, stride, frame, first, last, scratch);
  else
    pack_8 (f, rgb, stride, frame, first, last, scratch);
}
