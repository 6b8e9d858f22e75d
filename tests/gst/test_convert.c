/* Colours there and back, to the level: against formulas in double precision, and
 * against GStreamer's converter.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <math.h>
#include <string.h>

#include "dloralconvert.h"

static const struct
{
  const gchar *colorimetry;
  gdouble kr, kb;
  gboolean limited;
} matrices[] = {
  {"2:4:16:4", 0.299, 0.114, TRUE},
  {"1:4:0:1", 0.299, 0.114, FALSE},
  {"2:3:5:1", 0.2126, 0.0722, TRUE},
  {"1:3:5:1", 0.2126, 0.0722, FALSE},
  {"2:6:13:7", 0.2627, 0.0593, TRUE},
};

/* The frame's format, with the colours of matrix i. */
static DloralVideoFormat
describe_of (const GstVideoFrame * frame, guint i, gboolean deep)
{
  GstVideoInfo info = frame->info;
  DloralVideoFormat format;

  fail_unless (gst_video_colorimetry_from_string (&info.colorimetry,
          matrices[i].colorimetry));
  dloral_convert_describe (&info, deep, &format);
  return format;
}

static DloralVideoFormat
describe (const GstVideoFrame * frame, guint i)
{
  return describe_of (frame, i, FALSE);
}

/* Bytes of a picture's row. */
static gsize
get_stride (const DloralVideoFormat * format)
{
  return (format->deep ? 6 : 3) * (gsize) format->width;
}

static void
pack (const DloralVideoFormat * format, GstVideoFrame * frame,
    gconstpointer rgb)
{
  gpointer scratch = g_malloc (dloral_video_get_scratch_size (format));

  dloral_video_pack (format, rgb, get_stride (format), frame->data[0], 0,
      format->height, scratch);
  g_free (scratch);
}

static void
unpack (const DloralVideoFormat * format, GstVideoFrame * frame, gpointer rgb)
{
  gpointer scratch = g_malloc (dloral_video_get_scratch_size (format));

  dloral_video_unpack (format, frame->data[0], rgb, get_stride (format), 0,
      format->height, scratch);
  g_free (scratch);
}

/* One pixel of RGB as Y, U, V, not rounded. */
static void
to_yuv (guint i, const guint8 * rgb, gdouble * yuv)
{
  gdouble kr = matrices[i].kr, kb = matrices[i].kb;
  gdouble y = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2];
  gboolean limited = matrices[i].limited;

  yuv[0] = limited ? 16 + y * 219 / 255 : y;
  yuv[1] = 128 + (rgb[2] - y) / (2 - 2 * kb) * (limited ? 224.0 / 255 : 1);
  yuv[2] = 128 + (rgb[0] - y) / (2 - 2 * kr) * (limited ? 224.0 / 255 : 1);
}

static void
map_new_frame (GstVideoFrame * frame, GstVideoFormat format, gint width,
    gint height, GstVideoChromaSite site)
{
  GstVideoInfo info;
  GstBuffer *buffer;

  gst_video_info_set_format (&info, format, width, height);
  info.chroma_site = site;
  buffer = gst_buffer_new_allocate (NULL, info.size, NULL);
  fail_unless (gst_video_frame_map (frame, &info, buffer, GST_MAP_READWRITE));
  gst_buffer_unref (buffer);    /* the frame keeps one */
}

static guint
get_sample (GstVideoFrame * frame, gint c, gint x, gint y)
{
  const guint8 *p = (guint8 *) GST_VIDEO_FRAME_COMP_DATA (frame, c)
      + y * GST_VIDEO_FRAME_COMP_STRIDE (frame, c)
      + x * GST_VIDEO_FRAME_COMP_PSTRIDE (frame, c);

  return GST_VIDEO_FRAME_COMP_DEPTH (frame, c) > 8 ? GST_READ_UINT16_LE (p) : *p;
}

/* Flat colours: every sample is the nearest level, and comes back within the
 * two roundings. */
GST_START_TEST (test_matrix)
{
  guint8 rgb[4 * 4 * 3], back[4 * 4 * 3];
  GstVideoFrame frame;
  DloralVideoFormat format;
  gint r, g, b, i;

  map_new_frame (&frame, GST_VIDEO_FORMAT_I420, 4, 4,
      GST_VIDEO_CHROMA_SITE_MPEG2);
  format = describe (&frame, __i__);
  for (r = 0; r < 256; r += 15) {
    for (g = 0; g < 256; g += 15) {
      for (b = 0; b < 256; b += 15) {
        gdouble yuv[3];

        for (i = 0; i < 16; i++)
          memcpy (rgb + 3 * i, (guint8[]) { r, g, b }, 3);
        to_yuv (__i__, rgb, yuv);
        pack (&format, &frame, rgb);
        for (i = 0; i < 3; i++)
          fail_unless (fabs (get_sample (&frame, i, 1, 1)
                  - CLAMP (yuv[i], 0, 255)) <= 0.51);
        unpack (&format, &frame, back);
        for (i = 0; i < 48; i++)
          fail_unless (ABS (back[i] - rgb[i]) <= 2);
      }
    }
  }
  gst_video_frame_unmap (&frame);
}

GST_END_TEST;

/* Grey stays grey: equal red, green and blue, no chroma. */
GST_START_TEST (test_grey)
{
  guint8 rgb[2 * 2 * 3], back[2 * 2 * 3];
  GstVideoFrame frame;
  DloralVideoFormat format;
  gint level, i;

  map_new_frame (&frame, GST_VIDEO_FORMAT_NV12, 2, 2,
      GST_VIDEO_CHROMA_SITE_UNKNOWN);
  format = describe (&frame, __i__);
  for (level = 0; level < 256; level++) {
    memset (rgb, level, sizeof rgb);
    pack (&format, &frame, rgb);
    fail_unless_equals_int (get_sample (&frame, 1, 0, 0), 128);
    fail_unless_equals_int (get_sample (&frame, 2, 0, 0), 128);
    unpack (&format, &frame, back);
    for (i = 0; i < 12; i++)
      fail_unless_equals_int (back[i], back[0]);
    fail_unless (ABS (back[0] - level) <= 1);
  }
  gst_video_frame_unmap (&frame);
}

GST_END_TEST;

/* --- 10 bits -------------------------------------------------------------- */

/* One pixel of RGB of 16 bits as Y, U, V of 10, not rounded. */
static void
to_deep_yuv (guint i, const guint16 * rgb, gdouble * yuv)
{
  gdouble kr = matrices[i].kr, kb = matrices[i].kb;
  gdouble r = rgb[0] / 65535.0, g = rgb[1] / 65535.0, b = rgb[2] / 65535.0;
  gdouble y = kr * r + (1 - kr - kb) * g + kb * b;
  gboolean limited = matrices[i].limited;

  yuv[0] = limited ? 64 + y * 876 : y * 1023;
  yuv[1] = 512 + (b - y) / (2 - 2 * kb) * (limited ? 896 : 1023);
  yuv[2] = 512 + (r - y) / (2 - 2 * kr) * (limited ? 896 : 1023);
}

/* Every sample is the nearest level of 10 bits, and comes back within the two
 * roundings, which are of such levels: 75 of 16 bits. */
GST_START_TEST (test_deep_matrix)
{
  const gint step = 65535 / 17;
  GstVideoFrame frame;
  DloralVideoFormat format;
  guint16 rgb[3], back[3];
  gint r, g, b, i;

  map_new_frame (&frame, GST_VIDEO_FORMAT_Y444_10LE, 1, 1,
      GST_VIDEO_CHROMA_SITE_UNKNOWN);
  format = describe_of (&frame, __i__, TRUE);
  for (r = 0; r <= 65535; r += step) {
    for (g = 0; g <= 65535; g += step) {
      for (b = 0; b <= 65535; b += step) {
        gdouble yuv[3];

        memcpy (rgb, (guint16[]) { r, g, b }, sizeof rgb);
        to_deep_yuv (__i__, rgb, yuv);
        pack (&format, &frame, rgb);
        unpack (&format, &frame, back);
        for (i = 0; i < 3; i++) {
          fail_unless (fabs (get_sample (&frame, i, 0, 0)
                  - CLAMP (yuv[i], 0, 1023)) <= 0.53);
          fail_unless (ABS (back[i] - rgb[i]) <= 150);
        }
      }
    }
  }
  gst_video_frame_unmap (&frame);
}

GST_END_TEST;

/* --- GStreamer's converter ------------------------------------------------- */

static const GstVideoFormat peers[] = {
  GST_VIDEO_FORMAT_NV21, GST_VIDEO_FORMAT_UYVY, GST_VIDEO_FORMAT_Y42B,
  GST_VIDEO_FORMAT_Y444, GST_VIDEO_FORMAT_P010_10LE,
  GST_VIDEO_FORMAT_I420_10LE, GST_VIDEO_FORMAT_I422_10LE,
  GST_VIDEO_FORMAT_Y444_10LE, GST_VIDEO_FORMAT_GRAY16_LE,
};

#define PEER_WIDTH 34
#define PEER_HEIGHT 18

/* Grey of all levels, tinted a little and everywhere the same, so that nothing
 * depends on where chroma lies. */
static void
fill_tinted (GstVideoFrame * argb, gboolean grey)
{
  gint x, y;

  for (y = 0; y < PEER_HEIGHT; y++) {
    guint16 *row = (guint16 *) ((guint8 *) argb->data[0]
        + y * argb->info.stride[0]);

    for (x = 0; x < PEER_WIDTH; x++) {
      gint level = 6000 + (y * PEER_WIDTH + x) * 7919 % 52000;

      row[4 * x] = 65535;
      row[4 * x + 1] = level + (grey ? 0 : 5000);
      row[4 * x + 2] = level;
      row[4 * x + 3] = level - (grey ? 0 : 4000);
    }
  }
}

static void
convert (GstVideoFrame * from, GstVideoFrame * to)
{
  GstVideoConverter *converter = gst_video_converter_new (&from->info,
      &to->info, gst_structure_new ("convert",
          GST_VIDEO_CONVERTER_OPT_DITHER_METHOD,
          GST_TYPE_VIDEO_DITHER_METHOD, GST_VIDEO_DITHER_NONE, NULL));

  gst_video_converter_frame (converter, from, to);
  gst_video_converter_free (converter);
}

/* The largest difference of a picture of 16 bits from ARGB64. */
static gint
compare_picture (const guint16 * rgb, const GstVideoFrame * argb)
{
  gint x, y, c, worst = 0;

  for (y = 0; y < PEER_HEIGHT; y++) {
    const guint16 *row = (guint16 *) ((guint8 *) argb->data[0]
        + y * argb->info.stride[0]);

    for (x = 0; x < PEER_WIDTH; x++)
      for (c = 0; c < 3; c++)
        worst = MAX (worst, ABS (rgb[3 * (y * PEER_WIDTH + x) + c]
                - row[4 * x + 1 + c]));
  }
  return worst;
}

/* What it makes of a picture we take for the same, and what we make of the same
 * picture it takes for that, within a few levels of the format: it cuts off what
 * we round. */
GST_START_TEST (test_peer)
{
  GstVideoFormat format = peers[__i__];
  guint16 *rgb = g_new (guint16, PEER_WIDTH * PEER_HEIGHT * 3);
  GstVideoFrame argb, frame, back;
  DloralVideoFormat described;
  gint i, level;

  map_new_frame (&argb, GST_VIDEO_FORMAT_ARGB64_LE, PEER_WIDTH, PEER_HEIGHT, 0);
  map_new_frame (&back, GST_VIDEO_FORMAT_ARGB64_LE, PEER_WIDTH, PEER_HEIGHT, 0);
  map_new_frame (&frame, format, PEER_WIDTH, PEER_HEIGHT,
      GST_VIDEO_CHROMA_SITE_MPEG2);
  dloral_convert_describe (&frame.info, TRUE, &described);
  level = 65536 >> GST_VIDEO_FRAME_COMP_DEPTH (&frame, 0);
  fill_tinted (&argb, GST_VIDEO_INFO_IS_GRAY (&frame.info));

  convert (&argb, &frame);
  unpack (&described, &frame, rgb);
  convert (&frame, &back);
  fail_unless (compare_picture (rgb, &back) <= 60 + 3 * level / 2);
  for (i = 0; i < PEER_WIDTH * PEER_HEIGHT; i++)
    memcpy (rgb + 3 * i, (guint16 *) ((guint8 *) argb.data[0]
            + i / PEER_WIDTH * argb.info.stride[0]) + 4 * (i % PEER_WIDTH) + 1,
        6);
  pack (&described, &frame, rgb);
  convert (&frame, &back);
  fail_unless (compare_picture (rgb, &back) <= 60 + 3 * level);
  gst_video_frame_unmap (&argb);
  gst_video_frame_unmap (&back);
  gst_video_frame_unmap (&frame);
  g_free (rgb);
}

GST_END_TEST;

/* --- Where chroma lies --------------------------------------------------- */

static const struct
{
  GstVideoFormat format;
  GstVideoChromaSite site;
  gdouble dx, dy;               /* of chroma sample 0 from luma sample 0 */
} sites[] = {
  {GST_VIDEO_FORMAT_I420, GST_VIDEO_CHROMA_SITE_UNKNOWN, 0.5, 0.5},
  {GST_VIDEO_FORMAT_I420, GST_VIDEO_CHROMA_SITE_MPEG2, 0, 0.5},
  {GST_VIDEO_FORMAT_NV12, GST_VIDEO_CHROMA_SITE_COSITED, 0, 0},
  {GST_VIDEO_FORMAT_NV12, GST_VIDEO_CHROMA_SITE_V_COSITED, 0.5, 0},
  {GST_VIDEO_FORMAT_YUY2, GST_VIDEO_CHROMA_SITE_H_COSITED, 0, 0},
  {GST_VIDEO_FORMAT_YUY2, GST_VIDEO_CHROMA_SITE_UNKNOWN, 0.5, 0},
};

#define RAMP_WIDTH 22
#define RAMP_HEIGHT 18

/* A ramp of blue against constant luma cannot be told from itself shifted,
 * except by its level: so chroma is where it should be, both ways. */
GST_START_TEST (test_siting)
{
  guint8 rgb[RAMP_HEIGHT][RAMP_WIDTH][3], back[RAMP_HEIGHT][RAMP_WIDTH][3];
  gint w_sub = 1, h_sub = sites[__i__].format != GST_VIDEO_FORMAT_YUY2, x, y;
  GstVideoFrame frame;
  DloralVideoFormat format;

  for (y = 0; y < RAMP_HEIGHT; y++)
    for (x = 0; x < RAMP_WIDTH; x++)
      memcpy (rgb[y][x], (guint8[]) { 100, 100, 20 + 6 * x + 4 * y }, 3);
  map_new_frame (&frame, sites[__i__].format, RAMP_WIDTH, RAMP_HEIGHT,
      sites[__i__].site);
  format = describe (&frame, 1);
  pack (&format, &frame, &rgb[0][0][0]);
  for (y = 1; y < (RAMP_HEIGHT >> h_sub) - 1; y++) {
    for (x = 1; x < (RAMP_WIDTH >> w_sub) - 1; x++) {
      gdouble blue = 20 + 6 * ((x << w_sub) + sites[__i__].dx)
          + 4 * ((y << h_sub) + sites[__i__].dy);
      gdouble u = 128 + (blue - 100) * (1 - 0.114) / (2 - 2 * 0.114);

      fail_unless (fabs (get_sample (&frame, 1, x, y) - u) <= 0.51);
    }
  }
  unpack (&format, &frame, &back[0][0][0]);
  for (y = 2; y < RAMP_HEIGHT - 2; y++)
    for (x = 2; x < RAMP_WIDTH - 2; x++)
      fail_unless (ABS (back[y][x][2] - rgb[y][x][2]) <= 2,
          "%d,%d: %d, not %d", x, y, back[y][x][2], rgb[y][x][2]);
  gst_video_frame_unmap (&frame);
}

GST_END_TEST;

/* Frames too small to have neighbours. */
GST_START_TEST (test_tiny)
{
  static const gint tiny[][2] = { {1, 1}, {2, 1}, {1, 2}, {3, 3} };
  guint8 rgb[3 * 3 * 3], back[3 * 3 * 3];
  const gint *size = tiny[__i__ / G_N_ELEMENTS (sites)];
  guint i = __i__ % G_N_ELEMENTS (sites);
  GstVideoFrame frame;
  DloralVideoFormat format;
  gint x;

  for (x = 0; x < 27; x++)
    rgb[x] = 50 + 30 * (x % 3);
  map_new_frame (&frame, sites[i].format, size[0], size[1], sites[i].site);
  format = describe (&frame, 1);
  pack (&format, &frame, rgb);
  unpack (&format, &frame, back);
  for (x = 0; x < size[0] * size[1] * 3; x++)
    fail_unless (ABS (back[x] - rgb[x]) <= 2);
  gst_video_frame_unmap (&frame);
}

GST_END_TEST;

/* --- Range of RGB -------------------------------------------------------- */

/* RGB of 16 ... 235 is expanded for the engine and comes back the same. */
GST_START_TEST (test_limited_rgb)
{
  GstVideoInfo in, out;
  GstVideoFrame frame, large;
  DloralVideoFormat small_format, large_format;
  guint8 rgb[16 * 16 * 3], hr[64 * 64 * 3];
  gint level;

  map_new_frame (&frame, GST_VIDEO_FORMAT_BGRx, 16, 16, 0);
  map_new_frame (&large, GST_VIDEO_FORMAT_BGRx, 64, 64, 0);
  in = frame.info;
  out = large.info;
  in.colorimetry.range = out.colorimetry.range = GST_VIDEO_COLOR_RANGE_16_235;
  dloral_convert_describe (&in, FALSE, &small_format);
  dloral_convert_describe (&out, FALSE, &large_format);
  for (level = 16; level <= 235; level++) {
    memset (frame.data[0], level, in.size);
    unpack (&small_format, &frame, rgb);
    fail_unless (fabs (rgb[100] - (level - 16) * 255 / 219.0) <= 0.51);
    memset (hr, rgb[100], sizeof hr);
    pack (&large_format, &large, hr);
    fail_unless_equals_int (get_sample (&large, 0, 30, 30), level);
  }
  gst_video_frame_unmap (&frame);
  gst_video_frame_unmap (&large);
}

GST_END_TEST;

static Suite *
convert_suite (void)
{
  Suite *s = suite_create ("convert");
  TCase *tc = tcase_create ("convert");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_matrix, 0, G_N_ELEMENTS (matrices));
  tcase_add_loop_test (tc, test_grey, 0, G_N_ELEMENTS (matrices));
  tcase_add_loop_test (tc, test_deep_matrix, 0, G_N_ELEMENTS (matrices));
  tcase_add_loop_test (tc, test_peer, 0, G_N_ELEMENTS (peers));
  tcase_add_loop_test (tc, test_siting, 0, G_N_ELEMENTS (sites));
  tcase_add_loop_test (tc, test_tiny, 0, 4 * G_N_ELEMENTS (sites));
  tcase_add_test (tc, test_limited_rgb);
  return s;
}

GST_CHECK_MAIN (convert);
