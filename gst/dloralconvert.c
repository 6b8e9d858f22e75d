/* Packed RGB in any order is copied byte by byte, YUV and grey go through
 * dloralyuv.c; changes of size are GstVideoConverter's work.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralconvert.h"
#include "dloralcaps.h"
#include "dloralyuv.h"

#include <string.h>

/* Frames of fewer pixels are not worth a second thread. */
#define MIN_PIXELS_PER_THREAD (320 * 180)

struct _DloralConvert
{
  GstVideoInfo in, out;
  DloralMatrix in_matrix, out_matrix;   /* where the format is not RGB */
  gboolean in_limited, out_limited;     /* where it is: levels 16 ... 235 */
  GstVideoInfo hr, fit;         /* RGB, 4 times the size of `in`; of `out` */

  GstVideoConverter *resize;    /* hr -> fit; NULL where they are the same */
  guint8 *fitted;               /* [fit.height][fit.stride], or NULL */
  GstVideoConverter *alpha;     /* in -> out, for the alpha alone; or NULL */
};

/* --- Packed RGB ---------------------------------------------------------- */

/* Levels of one row, 0 ... 255 to 16 ... 235 or back. */
static void
dloral_rgb_limit_row (guint8 * rgb, gint n)
{
  gint i;

  for (i = 0; i < n; i++)
    rgb[i] = 16 + (rgb[i] * 219 + 127) / 255;
}

static void
dloral_rgb_expand_row (guint8 * rgb, gint n)
{
  gint i;

  for (i = 0; i < n; i++) {
    gint level = ((CLAMP (rgb[i], 16, 235) - 16) * 255 + 109) / 219;

    rgb[i] = level;
  }
}

static void
dloral_rgb_unpack_row (const guint8 * src, const GstVideoInfo * info,
    guint8 * rgb, gint width)
{
  const gint step = GST_VIDEO_INFO_COMP_PSTRIDE (info, 0);
  const guint8 *r = src + GST_VIDEO_INFO_COMP_POFFSET (info, 0);
  const guint8 *g = src + GST_VIDEO_INFO_COMP_POFFSET (info, 1);
  const guint8 *b = src + GST_VIDEO_INFO_COMP_POFFSET (info, 2);
  gint x;

  for (x = 0; x < width; x++) {
    rgb[3 * x] = r[step * x];
    rgb[3 * x + 1] = g[step * x];
    rgb[3 * x + 2] = b[step * x];
  }
}

static void
dloral_rgb_pack_row (const guint8 * rgb, const GstVideoInfo * info,
    guint8 * dst, gint width)
{
  const gint step = GST_VIDEO_INFO_COMP_PSTRIDE (info, 0);
  guint8 *r = dst + GST_VIDEO_INFO_COMP_POFFSET (info, 0);
  guint8 *g = dst + GST_VIDEO_INFO_COMP_POFFSET (info, 1);
  guint8 *b = dst + GST_VIDEO_INFO_COMP_POFFSET (info, 2);
  gint x;

  for (x = 0; x < width; x++) {
    r[step * x] = rgb[3 * x];
    g[step * x] = rgb[3 * x + 1];
    b[step * x] = rgb[3 * x + 2];
  }
}

/* Offset in a pixel of the byte that is no colour: alpha or padding. Those of
 * the four are 0 + 1 + 2 + 3. */
static gint
dloral_info_get_fourth_offset (const GstVideoInfo * info)
{
  return 6 - GST_VIDEO_INFO_COMP_POFFSET (info, 0)
      - GST_VIDEO_INFO_COMP_POFFSET (info, 1)
      - GST_VIDEO_INFO_COMP_POFFSET (info, 2);
}

static void
dloral_rgb_set_opaque (guint8 * dst, const GstVideoInfo * info, gint width)
{
  guint8 *a = dst + dloral_info_get_fourth_offset (info);
  gint x;

  for (x = 0; x < width; x++)
    a[4 * x] = 255;
}

static void
dloral_rgb_unpack (GstVideoFrame * in, gboolean limited, guint8 * rgb,
    gsize stride)
{
  const GstVideoInfo *info = &in->info;
  const guint8 *src = GST_VIDEO_FRAME_PLANE_DATA (in, 0);
  gint y;

  for (y = 0; y < info->height; y++) {
    if (GST_VIDEO_INFO_FORMAT (info) == GST_VIDEO_FORMAT_RGB)
      memcpy (rgb, src, 3 * (gsize) info->width);
    else
      dloral_rgb_unpack_row (src, info, rgb, info->width);
    if (limited)
      dloral_rgb_expand_row (rgb, 3 * info->width);
    src += GST_VIDEO_FRAME_PLANE_STRIDE (in, 0);
    rgb += stride;
  }
}

static void
dloral_rgb_pack (const guint8 * rgb, gsize stride, gboolean limited,
    GstVideoFrame * out, gboolean keep_alpha)
{
  const GstVideoInfo *info = &out->info;
  guint8 *dst = GST_VIDEO_FRAME_PLANE_DATA (out, 0);
  const gsize length = 3 * (gsize) info->width;
  guint8 *row = limited ? g_malloc (length) : NULL;
  gint y;

  for (y = 0; y < info->height; y++) {
    const guint8 *src = rgb + y * stride;

    if (limited) {
      src = memcpy (row, src, length);
      dloral_rgb_limit_row (row, length);
    }
    if (GST_VIDEO_INFO_FORMAT (info) == GST_VIDEO_FORMAT_RGB)
      memcpy (dst, src, length);
    else
      dloral_rgb_pack_row (src, info, dst, info->width);
    if (GST_VIDEO_INFO_COMP_PSTRIDE (info, 0) == 4 && !keep_alpha)
      dloral_rgb_set_opaque (dst, info, info->width);
    dst += GST_VIDEO_FRAME_PLANE_STRIDE (out, 0);
  }
  g_free (row);
}

/* --- Converters ---------------------------------------------------------- */

/* RGB as the engine has it, with the colours of `like`. */
static void
dloral_info_set_rgb (GstVideoInfo * info, const GstVideoInfo * like,
    gint width, gint height)
{
  gst_video_info_set_format (info, GST_VIDEO_FORMAT_RGB, width, height);
  info->colorimetry = like->colorimetry;
  info->colorimetry.range = GST_VIDEO_COLOR_RANGE_0_255;
  info->colorimetry.matrix = GST_VIDEO_COLOR_MATRIX_RGB;
  info->fps_n = like->fps_n;    /* the converter insists that they be equal */
  info->fps_d = like->fps_d;
}

/* A frame around memory that is not a buffer's. */
static GstVideoFrame
dloral_frame_wrap (const GstVideoInfo * info, const guint8 * data, gsize stride)
{
  GstVideoFrame frame = { .info = *info, };

  frame.data[0] = (gpointer) data;
  frame.info.stride[0] = stride;
  return frame;
}

/* Catmull-Rom with as many taps as shrinking needs not to alias. Transfer
 * function and primaries are left alone. */
static GstVideoConverter *
dloral_converter_new (const GstVideoInfo * in, const GstVideoInfo * out,
    guint threads)
{
  guint pixels = MAX (in->width * in->height, out->width * out->height);
  guint useful = CLAMP (pixels / MIN_PIXELS_PER_THREAD, 1, threads);

  return gst_video_converter_new (in, out, gst_structure_new ("convert",
          GST_VIDEO_CONVERTER_OPT_RESAMPLER_METHOD,
          GST_TYPE_VIDEO_RESAMPLER_METHOD, GST_VIDEO_RESAMPLER_METHOD_CUBIC,
          GST_VIDEO_RESAMPLER_OPT_CUBIC_B, G_TYPE_DOUBLE, 0.0,
          GST_VIDEO_RESAMPLER_OPT_CUBIC_C, G_TYPE_DOUBLE, 0.5,
          GST_VIDEO_CONVERTER_OPT_DITHER_METHOD,
          GST_TYPE_VIDEO_DITHER_METHOD, GST_VIDEO_DITHER_NONE,
          GST_VIDEO_CONVERTER_OPT_GAMMA_MODE,
          GST_TYPE_VIDEO_GAMMA_MODE, GST_VIDEO_GAMMA_MODE_NONE,
          GST_VIDEO_CONVERTER_OPT_PRIMARIES_MODE,
          GST_TYPE_VIDEO_PRIMARIES_MODE, GST_VIDEO_PRIMARIES_MODE_NONE,
          GST_VIDEO_CONVERTER_OPT_THREADS, G_TYPE_UINT, useful, NULL));
}

DloralConvert *
dloral_convert_new (const GstVideoInfo * in, const GstVideoInfo * out,
    guint threads)
{
  DloralConvert *c = g_new0 (DloralConvert, 1);

  c->in = *in;
  c->out = *out;
  dloral_matrix_init (&c->in_matrix, &in->colorimetry);
  dloral_matrix_init (&c->out_matrix, &out->colorimetry);
  c->in_limited = in->colorimetry.range == GST_VIDEO_COLOR_RANGE_16_235;
  c->out_limited = out->colorimetry.range == GST_VIDEO_COLOR_RANGE_16_235;
  dloral_info_set_rgb (&c->hr, in, in->width * DLORAL_SCALE,
      in->height * DLORAL_SCALE);
  dloral_info_set_rgb (&c->fit, in, out->width, out->height);

  if (c->hr.width != c->fit.width || c->hr.height != c->fit.height) {
    c->resize = dloral_converter_new (&c->hr, &c->fit, threads);
    c->fitted = g_malloc (c->fit.size);
  }
  if (GST_VIDEO_INFO_HAS_ALPHA (in) && GST_VIDEO_INFO_HAS_ALPHA (out))
    c->alpha = dloral_converter_new (in, out, threads);
  return c;
}

void
dloral_convert_free (DloralConvert * c)
{
  g_clear_pointer (&c->resize, gst_video_converter_free);
  g_clear_pointer (&c->alpha, gst_video_converter_free);
  g_free (c->fitted);
  g_free (c);
}

gboolean
dloral_convert_has_alpha (const DloralConvert * c)
{
  return c->alpha != NULL;
}

void
dloral_convert_scale_alpha (DloralConvert * c, GstVideoFrame * in,
    GstVideoFrame * out)
{
  gst_video_converter_frame (c->alpha, in, out);
}

void
dloral_convert_to_rgb (DloralConvert * c, GstVideoFrame * in, guint8 * rgb,
    gsize stride)
{
  if (GST_VIDEO_INFO_IS_RGB (&c->in))
    dloral_rgb_unpack (in, c->in_limited, rgb, stride);
  else
    dloral_yuv_to_rgb (&c->in_matrix, in, rgb, stride);
}

void
dloral_convert_from_rgb (DloralConvert * c, const guint8 * rgb, gsize stride,
    GstVideoFrame * out)
{
  if (c->resize) {
    gsize fit_stride = GST_VIDEO_INFO_PLANE_STRIDE (&c->fit, 0);
    GstVideoFrame hr = dloral_frame_wrap (&c->hr, rgb, stride);
    GstVideoFrame fit = dloral_frame_wrap (&c->fit, c->fitted, fit_stride);

    gst_video_converter_frame (c->resize, &hr, &fit);
    rgb = c->fitted;
    stride = fit_stride;
  }
  if (GST_VIDEO_INFO_IS_RGB (&c->out))
    dloral_rgb_pack (rgb, stride, c->out_limited, out, c->alpha != NULL);
  else
    dloral_yuv_from_rgb (&c->out_matrix, out, rgb, stride);
}
