/* Formats in the engine's words, and GstVideoConverter for what is left to do.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralconvert.h"
#include "dloralcaps.h"

#include <string.h>

/* Frames of fewer pixels are not worth a second thread. */
#define MIN_PIXELS_PER_THREAD (320 * 180)

struct _DloralConvert
{
  GstVideoInfo in, out;
  DloralVideoFormat in_format, out_format;
  gboolean direct;              /* the engine makes `out`, else RGB and the rest is
                                 * done here: */
  GstVideoInfo hr, fit;         /* RGB or, deep, ARGB64_LE; 4 times the size of `in`;
                                 * of `out` */
  DloralVideoFormat hr_format, fit_format;
  GstVideoConverter *resize;    /* hr -> fit; NULL where they are the same */
  guint8 *fitted;               /* [fit.height][fit.stride], or NULL */
  guint16 *picture;             /* deep: that as the engine has pictures */
  gpointer scratch;             /* to make `out` of that */
  GstVideoConverter *alpha;     /* in -> out, for the alpha alone; or NULL */
};

/* --- Formats ------------------------------------------------------------- */

gboolean
dloral_convert_is_deep (const GstVideoInfo * in, const GstVideoInfo * out)
{
  return GST_VIDEO_INFO_COMP_DEPTH (in, 0) > 8
      || GST_VIDEO_INFO_COMP_DEPTH (out, 0) > 8;
}

/* Offset in a pixel of the sample that is no colour: alpha or padding. Those of
 * the four are 0 + 1 + 2 + 3 samples. */
static gint
dloral_info_get_fourth_offset (const GstVideoInfo * info)
{
  gint sample = GST_VIDEO_INFO_COMP_DEPTH (info, 0) / 8;

  if (GST_VIDEO_INFO_COMP_PSTRIDE (info, 0) != 4 * sample)
    return -1;
  return 6 * sample - GST_VIDEO_INFO_COMP_POFFSET (info, 0)
      - GST_VIDEO_INFO_COMP_POFFSET (info, 1)
      - GST_VIDEO_INFO_COMP_POFFSET (info, 2);
}

static void
dloral_format_set_chroma (DloralVideoFormat * format,
    const GstVideoInfo * info)
{
  GstVideoChromaSite site = info->chroma_site;

  format->w_sub = GST_VIDEO_FORMAT_INFO_W_SUB (info->finfo, 1);
  format->h_sub = GST_VIDEO_FORMAT_INFO_H_SUB (info->finfo, 1);
  format->h_cosited = (site & GST_VIDEO_CHROMA_SITE_H_COSITED) != 0;
  format->v_cosited = (site & GST_VIDEO_CHROMA_SITE_V_COSITED) != 0;
}

static void
dloral_format_set_colors (DloralVideoFormat * format,
    const GstVideoColorimetry * colors)
{
  format->limited = colors->range == GST_VIDEO_COLOR_RANGE_16_235;
  if (!gst_video_color_matrix_get_Kr_Kb (colors->matrix, &format->kr,
          &format->kb))
    gst_video_color_matrix_get_Kr_Kb (GST_VIDEO_COLOR_MATRIX_BT601,
        &format->kr, &format->kb);
  dloral_video_format_init_matrix (format);
}

/* Bytes from a plane's start to the component's first sample. P010's V is said to
 * be one byte after U; it is one sample. */
static gsize
dloral_info_get_offset (const GstVideoInfo * info, gint component)
{
  gsize offset = GST_VIDEO_INFO_COMP_POFFSET (info, component);

  return GST_VIDEO_INFO_COMP_DEPTH (info, component) > 8 && offset % 2 ?
      2 * offset : offset;
}

void
dloral_convert_describe (const GstVideoInfo * info, gboolean deep,
    DloralVideoFormat * format)
{
  gboolean rgb = GST_VIDEO_INFO_IS_RGB (info);
  gboolean grey = GST_VIDEO_INFO_IS_GRAY (info);
  gint i;

  *format = (DloralVideoFormat) {
    .kind = rgb ? DLORAL_VIDEO_RGB : grey ? DLORAL_VIDEO_GREY
        : DLORAL_VIDEO_YUV,
    .width = info->width,
    .height = info->height,
    .deep = deep,
    .size = info->size,
    .opaque = rgb ? dloral_info_get_fourth_offset (info) : -1,
    .depth = GST_VIDEO_INFO_COMP_DEPTH (info, 0),
    .shift = info->finfo->shift[0],
  };
  for (i = 0; i < (grey ? 1 : 3); i++)
    format->components[i] = (DloralVideoComponent) {
      .offset = GST_VIDEO_INFO_PLANE_OFFSET (info,
          GST_VIDEO_INFO_COMP_PLANE (info, i)) + dloral_info_get_offset (info,
          i),
      .stride = GST_VIDEO_INFO_COMP_STRIDE (info, i),
      .step = GST_VIDEO_INFO_COMP_PSTRIDE (info, i),
    };
  if (format->kind == DLORAL_VIDEO_YUV)
    dloral_format_set_chroma (format, info);
  dloral_format_set_colors (format, &info->colorimetry);
}

/* --- Converters ---------------------------------------------------------- */

/* RGB that GStreamer can resize, with the colours of `like`. */
static void
dloral_info_set_rgb (GstVideoInfo * info, const GstVideoInfo * like,
    gboolean deep, gint width, gint height)
{
  gst_video_info_set_format (info, deep ? GST_VIDEO_FORMAT_ARGB64_LE :
      GST_VIDEO_FORMAT_RGB, width, height);
  info->colorimetry = like->colorimetry;
  info->colorimetry.range = GST_VIDEO_COLOR_RANGE_0_255;
  info->colorimetry.matrix = GST_VIDEO_COLOR_MATRIX_RGB;
  info->fps_n = like->fps_n;    /* the converter insists that they be equal */
  info->fps_d = like->fps_d;
}

/* A frame around memory that is not a buffer's. */
static GstVideoFrame
dloral_frame_wrap (const GstVideoInfo * info, const guint8 * data)
{
  GstVideoFrame frame = { .info = *info, };
  guint i;

  for (i = 0; i < GST_VIDEO_INFO_N_PLANES (info); i++)
    frame.data[i] = (guint8 *) data + GST_VIDEO_INFO_PLANE_OFFSET (info, i);
  return frame;
}

GstVideoConverter *
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

/* What is needed where the engine makes RGB. */
static void
dloral_convert_init_rest (DloralConvert * c, guint threads)
{
  const GstVideoInfo *in = &c->in, *out = &c->out;
  gboolean deep = c->out_format.deep;

  c->scratch = g_malloc (dloral_video_get_scratch_size (&c->out_format));
  dloral_info_set_rgb (&c->hr, in, deep, in->width * DLORAL_SCALE,
      in->height * DLORAL_SCALE);
  dloral_info_set_rgb (&c->fit, in, deep, out->width, out->height);
  if (deep) {
    dloral_convert_describe (&c->hr, TRUE, &c->hr_format);
    dloral_convert_describe (&c->fit, TRUE, &c->fit_format);
    c->picture = g_new (guint16, (gsize) 3 * out->width * out->height);
  }
  if (c->hr.width != c->fit.width || c->hr.height != c->fit.height) {
    c->resize = dloral_converter_new (&c->hr, &c->fit, threads);
    c->fitted = g_malloc (c->fit.size);
  }
  if (GST_VIDEO_INFO_HAS_ALPHA (in) && GST_VIDEO_INFO_HAS_ALPHA (out)) {
    c->alpha = dloral_converter_new (in, out, threads);
    c->out_format.opaque = -1;
  }
}

DloralConvert *
dloral_convert_new (const GstVideoInfo * in, const GstVideoInfo * out,
    guint threads)
{
  DloralConvert *c = g_new0 (DloralConvert, 1);
  gboolean deep = dloral_convert_is_deep (in, out);

  c->in = *in;
  c->out = *out;
  dloral_convert_describe (in, deep, &c->in_format);
  dloral_convert_describe (out, deep, &c->out_format);
  c->direct = out->width == in->width * DLORAL_SCALE
      && out->height == in->height * DLORAL_SCALE
      && !(GST_VIDEO_INFO_HAS_ALPHA (in) && GST_VIDEO_INFO_HAS_ALPHA (out));
  if (!c->direct)
    dloral_convert_init_rest (c, threads);
  return c;
}

void
dloral_convert_free (DloralConvert * c)
{
  g_clear_pointer (&c->resize, gst_video_converter_free);
  g_clear_pointer (&c->alpha, gst_video_converter_free);
  g_free (c->fitted);
  g_free (c->picture);
  g_free (c->scratch);
  g_free (c);
}

const DloralVideoFormat *
dloral_convert_get_in (const DloralConvert * c)
{
  return &c->in_format;
}

const DloralVideoFormat *
dloral_convert_get_out (const DloralConvert * c)
{
  return c->direct ? &c->out_format : c->picture ? &c->hr_format : NULL;
}

gboolean
dloral_convert_is_direct (const DloralConvert * c)
{
  return c->direct;
}

gboolean
dloral_convert_has_alpha (const DloralConvert * c)
{
  return c->alpha != NULL;
}

/* --- Frames -------------------------------------------------------------- */

void
dloral_convert_scale_alpha (DloralConvert * c, GstVideoFrame * in,
    GstVideoFrame * out)
{
  gst_video_converter_frame (c->alpha, in, out);
}

void
dloral_convert_put (DloralConvert * c, GstVideoFrame * in, guint8 * lq)
{
  GstVideoFrame frame = dloral_frame_wrap (&c->in, lq);

  gst_video_frame_copy (&frame, in);
}

/* RGB pictures to frames of their size. `out` may have other strides and offsets
 * than its format has by itself. */
static void
dloral_convert_pack (DloralConvert * c, gconstpointer rgb, gsize stride,
    GstVideoFrame * out)
{
  DloralVideoFormat format = c->out_format;
  guint8 *frame = GST_VIDEO_FRAME_PLANE_DATA (out, 0);
  guint i;

  for (i = 1; i < GST_VIDEO_FRAME_N_PLANES (out); i++)
    frame = MIN (frame, (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (out, i));
  for (i = 0; i < (format.kind == DLORAL_VIDEO_GREY ? 1 : 3); i++) {
    gint plane = GST_VIDEO_FRAME_COMP_PLANE (out, i);

    format.components[i].offset =
        (guint8 *) GST_VIDEO_FRAME_PLANE_DATA (out, plane) - frame
        + dloral_info_get_offset (&out->info, i);
    format.components[i].stride = GST_VIDEO_FRAME_COMP_STRIDE (out, i);
  }
  dloral_video_pack (&format, rgb, stride, frame, 0, format.height,
      c->scratch);
}

static void
dloral_convert_take_rgb (DloralConvert * c, const guint8 * rgb, gsize stride,
    GstVideoFrame * out)
{
  if (c->resize) {
    GstVideoFrame hr = dloral_frame_wrap (&c->hr, rgb);
    GstVideoFrame fit = dloral_frame_wrap (&c->fit, c->fitted);

    hr.info.stride[0] = stride;
    gst_video_converter_frame (c->resize, &hr, &fit);
    rgb = c->fitted;
    stride = GST_VIDEO_INFO_PLANE_STRIDE (&c->fit, 0);
  }
  if (c->picture) {
    stride = 3 * sizeof *c->picture * c->fit.width;
    dloral_video_unpack (&c->fit_format, rgb, c->picture, stride, 0,
        c->fit.height, c->scratch);
    dloral_convert_pack (c, c->picture, stride, out);
  } else {
    dloral_convert_pack (c, rgb, stride, out);
  }
}

void
dloral_convert_take (DloralConvert * c, const guint8 * hr, gsize stride,
    GstVideoFrame * out)
{
  if (c->direct) {
    GstVideoFrame frame = dloral_frame_wrap (&c->out, hr);

    gst_video_frame_copy (out, &frame);
  } else {
    dloral_convert_take_rgb (c, hr, stride, out);
  }
}
