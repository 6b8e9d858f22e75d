/* Colours there and back, to the level: against formulas in double precision.
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
describe (const GstVideoFrame * frame, guint i)
{
  GstVideoInfo info = frame->info;
  DloralVideoFormat format;

  fail_unless (gst_video_colorimetry_from_string (&info.colorimetry,
          matrices[i].colorimetry));
  dloral_convert_describe (&info, FALSE, &format);
  return format;
}

static void
pack (const DloralVideoFormat * format, GstVideoFrame * frame,
    const guint8 * rgb)
{
  gpointer scratch = g_malloc (dloral_video_get_scratch_size (format));

  dloral_video_pack (format, rgb, 3 * format->width, frame->data[0], 0,
      format->height, scratch);
  g_free (scratch);
}

static void
unpack (const DloralVideoFormat * format, GstVideoFrame * frame, guint8 * rgb)
{
  gpointer scratch = g_malloc (dloral_video_get_scratch_size (format));

  dloral_video_unpack (format, frame->data[0], rgb, 3 * format->width, 0,
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

static guint8
get_sample (GstVideoFrame * frame, gint c, gint x, gint y)
{
  return ((guint8 *) GST_VIDEO_FRAME_COMP_DATA (frame, c))
      [y * GST_VIDEO_FRAME_COMP_STRIDE (frame, c)
      + x * GST_VIDEO_FRAME_COMP_PSTRIDE (frame, c)];
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
  tcase_add_loop_test (tc, test_siting, 0, G_N_ELEMENTS (sites));
  tcase_add_loop_test (tc, test_tiny, 0, 4 * G_N_ELEMENTS (sites));
  tcase_add_test (tc, test_limited_rgb);
  return s;
}

GST_CHECK_MAIN (convert);
