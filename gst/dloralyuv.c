/* A row at a time: chroma to the luma's grid, then the matrix; and the other
 * way round.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralyuv.h"

#define BITS 14
#define ROUND(bits) (1 << ((bits) - 1))

/* --- Matrix -------------------------------------------------------------- */

static gint
dloral_to_fixed (gdouble x)
{
  return (gint) (x * (1 << BITS) + (x < 0 ? -0.5 : 0.5));
}

void
dloral_matrix_init (DloralMatrix * m, const GstVideoColorimetry * colorimetry)
{
  gboolean limited = colorimetry->range == GST_VIDEO_COLOR_RANGE_16_235;
  gdouble luma = limited ? 219.0 / 255 : 1, chroma = limited ? 224.0 / 255 : 1;
  gdouble kr, kb, kg;

  if (!gst_video_color_matrix_get_Kr_Kb (colorimetry->matrix, &kr, &kb))
    gst_video_color_matrix_get_Kr_Kb (GST_VIDEO_COLOR_MATRIX_BT601, &kr, &kb);
  kg = 1 - kr - kb;

  m->luma_offset = limited ? 16 : 0;
  m->chroma_offset = 128;

  m->y = dloral_to_fixed (1 / luma);
  m->rv = dloral_to_fixed (2 * (1 - kr) / chroma);
  m->gu = dloral_to_fixed (-2 * kb * (1 - kb) / kg / chroma);
  m->gv = dloral_to_fixed (-2 * kr * (1 - kr) / kg / chroma);
  m->bu = dloral_to_fixed (2 * (1 - kb) / chroma);

  m->yr = dloral_to_fixed (kr * luma);
  m->yb = dloral_to_fixed (kb * luma);
  m->yg = dloral_to_fixed (luma) - m->yr - m->yb;

  /* Rows of chroma add up to nothing: grey stays grey. */
  m->ur = dloral_to_fixed (-kr / (1 - kb) / 2 * chroma);
  m->ub = dloral_to_fixed (chroma / 2);
  m->ug = -m->ur - m->ub;
  m->vr = dloral_to_fixed (chroma / 2);
  m->vb = dloral_to_fixed (-kb / (1 - kr) / 2 * chroma);
  m->vg = -m->vr - m->vb;
}

/* --- Frames as three components ------------------------------------------ */

typedef struct
{
  guint8 *data;
  gint stride, step;            /* bytes to the next row, to the next sample */
  gint width, height;
} DloralPlane;

typedef struct
{
  DloralPlane y, u, v;
  gboolean grey;
  gint w_sub, h_sub;            /* 0 or 1 */
  gboolean h_cosited, v_cosited;
} DloralPlanes;

static DloralPlane
dloral_plane_of (GstVideoFrame * frame, gint c)
{
  return (DloralPlane) {
    .data = GST_VIDEO_FRAME_COMP_DATA (frame, c),
    .stride = GST_VIDEO_FRAME_COMP_STRIDE (frame, c),
    .step = GST_VIDEO_FRAME_COMP_PSTRIDE (frame, c),
    .width = GST_VIDEO_FRAME_COMP_WIDTH (frame, c),
    .height = GST_VIDEO_FRAME_COMP_HEIGHT (frame, c),
  };
}

static DloralPlanes
dloral_planes_of (GstVideoFrame * frame)
{
  const GstVideoInfo *info = &frame->info;
  DloralPlanes p = { .grey = GST_VIDEO_INFO_IS_GRAY (info), };

  p.y = dloral_plane_of (frame, 0);
  if (!p.grey) {
    p.u = dloral_plane_of (frame, 1);
    p.v = dloral_plane_of (frame, 2);
    p.w_sub = GST_VIDEO_FORMAT_INFO_W_SUB (info->finfo, 1);
    p.h_sub = GST_VIDEO_FORMAT_INFO_H_SUB (info->finfo, 1);
    p.h_cosited = (info->chroma_site & GST_VIDEO_CHROMA_SITE_H_COSITED) != 0;
    p.v_cosited = (info->chroma_site & GST_VIDEO_CHROMA_SITE_V_COSITED) != 0;
  }
  return p;
}

/* --- To RGB -------------------------------------------------------------- */

/* The two chroma samples around a luma position, and how many quarters of the
 * second one. */
typedef struct
{
  gint near, far, quarters;
} DloralTap;

static inline DloralTap
dloral_tap_at (gint pos, gint sub, gboolean cosited, gint n)
{
  gint near = pos >> sub, odd = pos & sub;
  gint far = odd ? near + 1 : cosited ? near : near - 1;

  return (DloralTap) {
    near, CLAMP (far, 0, n - 1),
    sub == 0 ? 0 : !cosited ? 1 : odd ? 2 : 0,
  };
}

/* One row of chroma at luma row y, then at every luma column: dst [width], in
 * sixteenths. `row` [plane width + 2]: scratch with a sample on either side. */
static void
dloral_chroma_upsample (const DloralPlane * plane, const DloralPlanes * p,
    gint y, gint16 * row, gint16 * dst)
{
  DloralTap v = dloral_tap_at (y, p->h_sub, p->v_cosited, plane->height);
  const guint8 *near = plane->data + (gssize) v.near * plane->stride;
  const guint8 *far = plane->data + (gssize) v.far * plane->stride;
  gint x, n = plane->width, width = p->y.width;

  for (x = 0; x < n; x++)
    row[x + 1] = near[x * plane->step] * (4 - v.quarters)
        + far[x * plane->step] * v.quarters;
  row[0] = row[1];
  row[n + 1] = row[n];

  if (p->w_sub == 0) {
    for (x = 0; x < width; x++)
      dst[x] = 4 * row[x + 1];
  } else if (p->h_cosited) {
    for (x = 0; x < width / 2; x++) {
      dst[2 * x] = 4 * row[x + 1];
      dst[2 * x + 1] = 2 * row[x + 1] + 2 * row[x + 2];
    }
    if (width & 1)
      dst[width - 1] = 4 * row[n];
  } else {
    for (x = 0; x < width / 2; x++) {
      dst[2 * x] = 3 * row[x + 1] + row[x];
      dst[2 * x + 1] = 3 * row[x + 1] + row[x + 2];
    }
    if (width & 1)
      dst[width - 1] = 3 * row[n] + row[n - 1];
  }
}

static inline guint8
dloral_clamp (gint x)
{
  return x < 0 ? 0 : x > 255 ? 255 : x;
}

/* u, v: [width], in sixteenths. */
static void
dloral_row_to_rgb (const DloralMatrix * m, const guint8 * y, gint step,
    const gint16 * u, const gint16 * v, guint8 * rgb, gint width)
{
  const DloralMatrix k = *m;
  gint x;

  for (x = 0; x < width; x++) {
    gint luma = 16 * k.y * (y[x * step] - k.luma_offset) + ROUND (BITS + 4);
    gint cb = u[x] - 16 * k.chroma_offset, cr = v[x] - 16 * k.chroma_offset;

    rgb[3 * x] = dloral_clamp ((luma + k.rv * cr) >> (BITS + 4));
    rgb[3 * x + 1] =
        dloral_clamp ((luma + k.gu * cb + k.gv * cr) >> (BITS + 4));
    rgb[3 * x + 2] = dloral_clamp ((luma + k.bu * cb) >> (BITS + 4));
  }
}

static void
dloral_row_fill (gint16 * row, gint16 value, gint n)
{
  while (n-- > 0)
    *row++ = value;
}

void
dloral_yuv_to_rgb (const DloralMatrix * m, GstVideoFrame * yuv, guint8 * rgb,
    gsize stride)
{
  DloralPlanes p = dloral_planes_of (yuv);
  gint y, width = p.y.width;
  gint16 *u = g_new (gint16, 3 * (gsize) width + 2);
  gint16 *v = u + width, *row = v + width;

  dloral_row_fill (u, 16 * m->chroma_offset, 2 * width);
  for (y = 0; y < p.y.height; y++) {
    if (!p.grey) {
      dloral_chroma_upsample (&p.u, &p, y, row, u);
      dloral_chroma_upsample (&p.v, &p, y, row, v);
    }
    dloral_row_to_rgb (m, p.y.data + (gssize) y * p.y.stride, p.y.step, u, v,
        rgb + y * stride, width);
  }
  g_free (u);
}

/* --- From RGB ------------------------------------------------------------ */

static void
dloral_row_to_luma (const DloralMatrix * m, const guint8 * rgb, guint8 * y,
    gint step, gint width)
{
  const DloralMatrix k = *m;
  gint x;

  for (x = 0; x < width; x++)
    y[x * step] = k.luma_offset + ((k.yr * rgb[3 * x] + k.yg * rgb[3 * x + 1]
            + k.yb * rgb[3 * x + 2] + ROUND (BITS)) >> BITS);
}

/* The mean of the rows that chroma row c covers, in quarters: dst [n]. */
static void
dloral_rows_sum (const DloralPlanes * p, const guint8 * rgb, gsize stride,
    gint c, guint16 * dst, gint n)
{
  gint last = p->y.height - 1, x;
  const guint8 *mid, *before, *after;

  mid = rgb + (gsize) (c << p->h_sub) * stride;
  before = after = mid;
  if (p->h_sub) {
    gint y = 2 * c;

    after = rgb + (gsize) MIN (y + 1, last) * stride;
    before = p->v_cosited ? rgb + (gsize) MAX (y - 1, 0) * stride : after;
  }
  for (x = 0; x < n; x++)
    dst[x] = before[x] + 2 * mid[x] + after[x];
}

/* Chroma of the columns a sample covers. sum: [width][3], in quarters. */
static void
dloral_sum_to_chroma (const DloralMatrix * m, const DloralPlanes * p,
    const guint16 * sum, guint8 * u, guint8 * v)
{
  const DloralMatrix k = *m;
  gint x, last = p->y.width - 1, n = p->u.width;

  for (x = 0; x < n; x++) {
    gint mid = x << p->w_sub;
    gint after = p->w_sub ? MIN (mid + 1, last) : mid;
    gint before = !p->w_sub ? mid : p->h_cosited ? MAX (mid - 1, 0) : after;
    gint r = sum[3 * before] + 2 * sum[3 * mid] + sum[3 * after];
    gint g = sum[3 * before + 1] + 2 * sum[3 * mid + 1] + sum[3 * after + 1];
    gint b = sum[3 * before + 2] + 2 * sum[3 * mid + 2] + sum[3 * after + 2];

    u[x * p->u.step] = dloral_clamp (k.chroma_offset
        + ((k.ur * r + k.ug * g + k.ub * b + ROUND (BITS + 4)) >> (BITS + 4)));
    v[x * p->v.step] = dloral_clamp (k.chroma_offset
        + ((k.vr * r + k.vg * g + k.vb * b + ROUND (BITS + 4)) >> (BITS + 4)));
  }
}

void
dloral_yuv_from_rgb (const DloralMatrix * m, GstVideoFrame * yuv,
    const guint8 * rgb, gsize stride)
{
  DloralPlanes p = dloral_planes_of (yuv);
  gint y, n = 3 * p.y.width;
  guint16 *sum;

  for (y = 0; y < p.y.height; y++)
    dloral_row_to_luma (m, rgb + y * stride,
        p.y.data + (gssize) y * p.y.stride, p.y.step, p.y.width);
  if (p.grey)
    return;

  sum = g_new (guint16, n);
  for (y = 0; y < p.u.height; y++) {
    dloral_rows_sum (&p, rgb, stride, y, sum, n);
    dloral_sum_to_chroma (m, &p, sum, p.u.data + (gssize) y * p.u.stride,
        p.v.data + (gssize) y * p.v.stride);
  }
  g_free (sum);
}
