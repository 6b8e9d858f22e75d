/* Rows of frames to rows of pictures and back, for one type of pictures: video.c
 * includes this once for each, having said what differs.
 *
 *   NAME (x)      a name for this type
 *   Level         a sample of a picture
 *   Sample        one of a frame, and sums of a few of them
 *   Product       one times a coefficient
 *   LEVEL_BITS    of a picture
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#define MAX_LEVEL ((1 << LEVEL_BITS) - 1)
/* After the point of the coefficients to YUV. */
#define BITS DLORAL_VIDEO_BITS (LEVEL_BITS)
#define ROUND(bits) (1 << ((bits) - 1))

/* --- Samples ---------------------------------------------------------------- */

/* n samples of row y. */
static void
NAME (load_row) (const DloralVideoFormat *f, const uint8_t *frame,
    int component, int y, Sample *dst, int n)
{
  const DloralVideoComponent *c = &f->components[component];
  const uint8_t *src = frame + c->offset + (size_t) y * c->stride;
  const int step = c->step, shift = f->shift, mask = (1 << f->depth) - 1;

  if (LEVEL_BITS > 8 && f->depth > 8)
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
NAME (store_row) (const DloralVideoFormat *f, uint8_t *frame, int component,
    int y, const Sample *src, int n)
{
  const DloralVideoComponent *c = &f->components[component];
  uint8_t *dst = frame + c->offset + (size_t) y * c->stride;
  const int step = c->step, shift = f->shift;

  if (LEVEL_BITS > 8 && f->depth > 8)
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

/* --- YUV and grey to RGB ---------------------------------------------------- */

/* Chroma in quarters [n], with a sample repeated on either side, to every luma
 * column, in sixteenths. */
static void
NAME (spread_row) (const DloralVideoFormat *f, Sample *row, int n, Sample *dst)
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
NAME (load_chroma) (const DloralVideoFormat *f, const uint8_t *frame,
    int component, int y, Sample *row, Sample *dst)
{
  const int n = dloral_video_get_chroma (f->width, f->w_sub);
  const Tap tap = find_tap (f, y);
  Sample *near = row + 1, *far = row + n + 2;

  NAME (load_row) (f, frame, component, tap.near, near, n);
  if (tap.quarters > 0) {
    NAME (load_row) (f, frame, component, tap.far, far, n);
    for (int x = 0; x < n; x++)
      near[x] = near[x] * (4 - tap.quarters) + far[x] * tap.quarters;
  } else {
    for (int x = 0; x < n; x++)
      near[x] *= 4;
  }
  NAME (spread_row) (f, row, n, dst);
}

/* luma [width]; u, v [width], in sixteenths. */
static void
NAME (convert_row) (const DloralVideoFormat *f, const Sample *luma,
    const Sample *u, const Sample *v, Level *rgb)
{
  const DloralVideoMatrix m = f->matrix;
  const int bits = m.to_bits + 4;

  for (int x = 0; x < f->width; x++) {
    const Product y = (Product) 16 * m.y * (luma[x] - m.luma_offset)
        + ROUND (bits);
    const Product cb = u[x] - 16 * m.chroma_offset;
    const Product cr = v[x] - 16 * m.chroma_offset;

    rgb[3 * x] = clamp ((y + m.rv * cr) >> bits, 0, MAX_LEVEL);
    rgb[3 * x + 1] = clamp ((y + m.gu * cb + m.gv * cr) >> bits, 0, MAX_LEVEL);
    rgb[3 * x + 2] = clamp ((y + m.bu * cb) >> bits, 0, MAX_LEVEL);
  }
}

/* scratch [6 · width + 2] */
static void
NAME (unpack_yuv) (const DloralVideoFormat *f, const uint8_t *frame,
    Level *rgb, int y, Sample *scratch)
{
  Sample *luma = scratch, *u = luma + f->width, *v = u + f->width;

  NAME (load_row) (f, frame, 0, y, luma, f->width);
  if (f->kind == DLORAL_VIDEO_YUV) {
    NAME (load_chroma) (f, frame, 1, y, v + f->width, u);
    NAME (load_chroma) (f, frame, 2, y, v + f->width, v);
  } else {
    for (int x = 0; x < f->width; x++)
      u[x] = v[x] = 16 * f->matrix.chroma_offset;
  }
  NAME (convert_row) (f, luma, u, v, rgb);
}

/* --- RGB to YUV and grey ---------------------------------------------------- */

static void
NAME (pack_luma) (const DloralVideoFormat *f, const Level *rgb, uint8_t *frame,
    int y, Sample *luma)
{
  const DloralVideoMatrix m = f->matrix;

  for (int x = 0; x < f->width; x++) {
    const Product r = rgb[3 * x], g = rgb[3 * x + 1], b = rgb[3 * x + 2];

    luma[x] = m.luma_offset + ((m.yr * r + m.yg * g + m.yb * b + ROUND (BITS))
        >> BITS);
  }
  NAME (store_row) (f, frame, 0, y, luma, f->width);
}

/* The mean of the rows that chroma row c covers, in quarters: sum [width][3]. */
static void
NAME (sum_rows) (const DloralVideoFormat *f, const uint8_t *rgb, size_t stride,
    int c, Sample *sum)
{
  const int y = c << f->h_sub, last = f->height - 1;
  const int next = f->h_sub ? clamp (y + 1, 0, last) : y;
  const int first = !f->v_cosited ? next : clamp (y - 1, 0, last);
  const Level *mid = (const Level *) (rgb + y * stride);
  const Level *after = (const Level *) (rgb + next * stride);
  const Level *before = f->h_sub ? (const Level *) (rgb + first * stride) : mid;

  for (int x = 0; x < 3 * f->width; x++)
    sum[x] = before[x] + 2 * mid[x] + after[x];
}

/* Chroma of the columns a sample covers. sum: [width][3], in quarters. */
static void
NAME (sum_columns) (const DloralVideoFormat *f, const Sample *sum, Sample *u,
    Sample *v)
{
  const DloralVideoMatrix m = f->matrix;
  const int last = f->width - 1, max = (1 << f->depth) - 1;
  const int n = dloral_video_get_chroma (f->width, f->w_sub), bits = BITS + 4;

  for (int x = 0; x < n; x++) {
    const int mid = x << f->w_sub;
    const int after = f->w_sub ? clamp (mid + 1, 0, last) : mid;
    const int before = !f->w_sub ? mid : f->h_cosited ?
        clamp (mid - 1, 0, last) : after;
    const Product r = sum[3 * before] + 2 * sum[3 * mid] + sum[3 * after];
    const Product g = sum[3 * before + 1] + 2 * sum[3 * mid + 1]
        + sum[3 * after + 1];
    const Product b = sum[3 * before + 2] + 2 * sum[3 * mid + 2]
        + sum[3 * after + 2];

    u[x] = clamp (m.chroma_offset + ((m.ur * r + m.ug * g + m.ub * b
                + ROUND (bits)) >> bits), 0, max);
    v[x] = clamp (m.chroma_offset + ((m.vr * r + m.vg * g + m.vb * b
                + ROUND (bits)) >> bits), 0, max);
  }
}

/* Row c of chroma. scratch [5 · width] */
static void
NAME (pack_chroma) (const DloralVideoFormat *f, const uint8_t *rgb,
    size_t stride, uint8_t *frame, int c, Sample *scratch)
{
  const int n = dloral_video_get_chroma (f->width, f->w_sub);
  Sample *u = scratch, *v = u + f->width, *sum = v + f->width;

  NAME (sum_rows) (f, rgb, stride, c, sum);
  NAME (sum_columns) (f, sum, u, v);
  NAME (store_row) (f, frame, 1, c, u, n);
  NAME (store_row) (f, frame, 2, c, v, n);
}

static void
NAME (pack_yuv) (const DloralVideoFormat *f, const uint8_t *rgb, size_t stride,
    uint8_t *frame, int y, Sample *scratch)
{
  NAME (pack_luma) (f, (const Level *) (rgb + y * stride), frame, y, scratch);
  if (f->kind == DLORAL_VIDEO_YUV && (y & f->h_sub) == 0)
    NAME (pack_chroma) (f, rgb, stride, frame, y >> f->h_sub, scratch);
}

/* --- RGB in any order -------------------------------------------------------- */

/* Whether a row of the frame is one of a picture. */
static int
NAME (is_plain) (const DloralVideoFormat *f)
{
  const size_t size = sizeof (Level);

  return f->depth == LEVEL_BITS && !f->limited
      && f->components[0].step == 3 * (int) size
      && f->components[1].offset == f->components[0].offset + size
      && f->components[2].offset == f->components[0].offset + 2 * size;
}

static void
NAME (unpack_rgb) (const DloralVideoFormat *f, const uint8_t *frame, Level *rgb,
    int y)
{
  const uint8_t *r = COMPONENT (frame, 0), *g = COMPONENT (frame, 1);
  const uint8_t *b = COMPONENT (frame, 2);
  const int step = f->components[0].step, n = 3 * f->width;
  const Range range = get_range (f);

  if (LEVEL_BITS > 8 && f->depth > 8) {
    for (int x = 0; x < f->width; x++) {
      rgb[3 * x] = r[step * x] | r[step * x + 1] << 8;
      rgb[3 * x + 1] = g[step * x] | g[step * x + 1] << 8;
      rgb[3 * x + 2] = b[step * x] | b[step * x + 1] << 8;
    }
  } else {
    for (int x = 0; x < f->width; x++) {
      rgb[3 * x] = r[step * x];
      rgb[3 * x + 1] = g[step * x];
      rgb[3 * x + 2] = b[step * x];
    }
  }
  if (range.size != MAX_LEVEL)
    for (int x = 0; x < n; x++)
      rgb[x] = ((Product) (clamp (rgb[x], range.black, range.white)
              - range.black) * MAX_LEVEL + range.size / 2) / range.size;
}

/* scratch: [3 · width] */
static void
NAME (pack_rgb) (const DloralVideoFormat *f, const Level *rgb, uint8_t *frame,
    int y, Level *scratch)
{
  uint8_t *r = COMPONENT (frame, 0), *g = COMPONENT (frame, 1);
  uint8_t *b = COMPONENT (frame, 2);
  const int step = f->components[0].step, n = 3 * f->width;
  const Range range = get_range (f);

  if (range.size != MAX_LEVEL) {
    for (int x = 0; x < n; x++)
      scratch[x] = range.black + ((Product) rgb[x] * range.size
          + MAX_LEVEL / 2) / MAX_LEVEL;
    rgb = scratch;
  }
  for (int x = 0; x < f->width; x++) {
    r[step * x] = rgb[3 * x];
    g[step * x] = rgb[3 * x + 1];
    b[step * x] = rgb[3 * x + 2];
  }
  if (LEVEL_BITS > 8 && f->depth > 8)
    for (int x = 0; x < f->width; x++) {
      r[step * x + 1] = rgb[3 * x] >> 8;
      g[step * x + 1] = rgb[3 * x + 1] >> 8;
      b[step * x + 1] = rgb[3 * x + 2] >> 8;
    }
  if (f->opaque >= 0)
    fill_opaque (f, frame, y);
}

/* --- Frames ------------------------------------------------------------------ */

static void
NAME (unpack) (const DloralVideoFormat *f, const uint8_t *frame, uint8_t *rgb,
    size_t stride, int first, int last, Sample *scratch)
{
  const int plain = f->kind == DLORAL_VIDEO_RGB && NAME (is_plain) (f);

  for (int y = first; y < last; y++) {
    Level *row = (Level *) (rgb + y * stride);

    if (plain)
      memcpy (row, COMPONENT (frame, 0), 3 * f->width * sizeof *row);
    else if (f->kind == DLORAL_VIDEO_RGB)
      NAME (unpack_rgb) (f, frame, row, y);
    else
      NAME (unpack_yuv) (f, frame, row, y, scratch);
  }
}

static void
NAME (pack) (const DloralVideoFormat *f, const uint8_t *rgb, size_t stride,
    uint8_t *frame, int first, int last, Sample *scratch)
{
  const int plain = f->kind == DLORAL_VIDEO_RGB && NAME (is_plain) (f);

  for (int y = first; y < last; y++) {
    const Level *row = (const Level *) (rgb + y * stride);

    if (plain)
      memcpy (COMPONENT (frame, 0), row, 3 * f->width * sizeof *row);
    else if (f->kind == DLORAL_VIDEO_RGB)
      NAME (pack_rgb) (f, row, frame, y, (Level *) scratch);
    else
      NAME (pack_yuv) (f, rgb, stride, frame, y, scratch);
  }
}

#undef MAX_LEVEL
#undef BITS
#undef ROUND
#undef NAME
#undef Level
#undef Sample
#undef Product
#undef LEVEL_BITS
