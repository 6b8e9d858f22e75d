/* Pixels through the element: every format, odd sizes, other sizes, padded
 * rows, alpha.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static const gchar *const formats[] = {
  "I420", "NV12", "NV21", "YUY2", "UYVY", "Y42B", "Y444", "P010_10LE", "I420_10LE",
  "I422_10LE", "Y444_10LE", "RGB", "BGR", "RGBx", "BGRx", "xRGB", "xBGR", "RGBA", "BGRA",
  "ARGB", "ABGR", "GRAY8", "GRAY16_LE",
};

static const struct
{
  gint width, height;
} sizes[] = { {16, 16}, {17, 19}, {161, 91} };

/* --- Pictures ------------------------------------------------------------ */

#define N_BARS 4

static const guint8 bars[N_BARS][3] = {
  {200, 60, 50}, {40, 180, 70}, {50, 70, 210}, {230, 230, 225},
};

/* Narrow pictures have fewer: chroma must have room for its own colour. */
static gint
count_bars (gint width)
{
  return width < 100 ? 2 : N_BARS;
}

static GstVideoInfo
make_info (const gchar * format, gint width, gint height)
{
  GstVideoInfo info;

  gst_video_info_set_format (&info, gst_video_format_from_string (format),
      width, height);
  return info;
}

static void
fill_bars (GstVideoFrame * rgb)
{
  gint x, y, width = rgb->info.width;

  for (y = 0; y < rgb->info.height; y++) {
    guint8 *row = (guint8 *) rgb->data[0] + y * rgb->info.stride[0];

    for (x = 0; x < width; x++)
      memcpy (row + 3 * x, bars[x * count_bars (width) / width], 3);
  }
}

/* Colours, not places, are converted: this is GStreamer's own converter. */
static GstBuffer *
convert (GstBuffer * from, const GstVideoInfo * in, const GstVideoInfo * out)
{
  GstBuffer *to = gst_buffer_new_allocate (NULL, out->size, NULL);
  GstVideoConverter *converter = gst_video_converter_new (in, out, NULL);
  GstVideoFrame a, b;

  fail_unless (gst_video_frame_map (&a, in, from, GST_MAP_READ));
  fail_unless (gst_video_frame_map (&b, out, to, GST_MAP_WRITE));
  gst_video_converter_frame (converter, &a, &b);
  gst_video_frame_unmap (&a);
  gst_video_frame_unmap (&b);
  gst_video_converter_free (converter);
  return to;
}

static GstBuffer *
make_bars (const GstVideoInfo * info)
{
  GstVideoInfo rgb = make_info ("RGB", info->width, info->height);
  GstBuffer *picture = gst_buffer_new_allocate (NULL, rgb.size, NULL), *result;
  GstVideoFrame frame;

  fail_unless (gst_video_frame_map (&frame, &rgb, picture, GST_MAP_WRITE));
  fill_bars (&frame);
  gst_video_frame_unmap (&frame);
  result = convert (picture, &rgb, info);
  gst_buffer_unref (picture);
  return result;
}

/* Compares the middle of each of n bars, top to bottom. */
static void
expect_bars (GstBuffer * buffer, GstCaps * caps, gint n, gint tolerance)
{
  GstVideoInfo info, rgb;
  GstVideoFrame frame;
  GstBuffer *picture;
  gint bar, y, c;

  fail_unless (gst_video_info_from_caps (&info, caps));
  rgb = make_info ("RGB", info.width, info.height);
  rgb.fps_n = info.fps_n;
  rgb.fps_d = info.fps_d;
  picture = convert (buffer, &info, &rgb);
  fail_unless (gst_video_frame_map (&frame, &rgb, picture, GST_MAP_READ));
  for (y = 0; y < info.height; y++) {
    for (bar = 0; bar < n; bar++) {
      const guint8 *p = (guint8 *) frame.data[0] + y * frame.info.stride[0]
          + 3 * ((2 * bar + 1) * info.width / (2 * n));
      gint luma = (299 * bars[bar][0] + 587 * bars[bar][1]
          + 114 * bars[bar][2]) / 1000;

      for (c = 0; c < 3; c++) {
        gint expected = GST_VIDEO_INFO_IS_GRAY (&info) ? luma : bars[bar][c];

        fail_unless (abs (p[c] - expected) <= tolerance,
            "%s %dx%d row %d bar %d channel %d: %d, not %d",
            gst_video_format_to_string (GST_VIDEO_INFO_FORMAT (&info)),
            info.width, info.height, y, bar, c, p[c], expected);
      }
    }
  }
  gst_video_frame_unmap (&frame);
  gst_buffer_unref (picture);
}

static gchar *
make_caps (const gchar * format, gint width, gint height)
{
  return g_strdup_printf ("video/x-raw, format=%s, width=%d, height=%d, "
      "framerate=25/1", format, width, height);
}

/* Bars in, bars out, `width` x `height` to `peer`; returns the output. */
static GstBuffer *
pass_bars (const gchar * format, gint width, gint height, const gchar * peer,
    gint tolerance)
{
  gchar *text = make_caps (format, width, height);
  GstHarness *h = harness_new (NULL, NULL);
  GstVideoInfo info = make_info (format, width, height);
  GstBuffer *out;
  GstCaps *caps;

  gst_harness_set_sink_caps_str (h, peer);
  gst_harness_set_src_caps_str (h, text);
  fail_unless_equals_int (gst_harness_push (h, make_bars (&info)), GST_FLOW_OK);
  out = gst_harness_pull (h);
  fail_unless (out != NULL);
  caps = harness_get_out_caps (h);
  expect_bars (out, caps, count_bars (width), tolerance);
  gst_caps_unref (caps);
  harness_end (h);
  g_free (text);
  return out;
}

/* --- Formats and sizes --------------------------------------------------- */

static gint
get_tolerance (const gchar * format)
{
  return strchr (format, 'G') ? 1 : 5;  /* packed RGB and grey; YUV */
}

GST_START_TEST (test_format)
{
  const gchar *format = formats[__i__ / G_N_ELEMENTS (sizes)];
  gint width = sizes[__i__ % G_N_ELEMENTS (sizes)].width;
  gint height = sizes[__i__ % G_N_ELEMENTS (sizes)].height;
  GstVideoInfo out = make_info (format, 4 * width, 4 * height);
  GstBuffer *buffer;

  harness_setup ();
  buffer = pass_bars (format, width, height, "video/x-raw",
      get_tolerance (format));
  fail_unless_equals_int (gst_buffer_get_size (buffer), out.size);
  gst_buffer_unref (buffer);
}

GST_END_TEST;

/* Sizes from x1 to x4, even and odd. */
GST_START_TEST (test_other_size)
{
  static const gchar *const peers[] = {
    "video/x-raw, width=64, height=48", "video/x-raw, width=111, height=63",
    "video/x-raw, width=255, height=191", "video/x-raw, width=256, height=48",
  };
  const gchar *format = formats[__i__ / G_N_ELEMENTS (peers)];

  harness_setup ();
  gst_buffer_unref (pass_bars (format, 64, 48,
          peers[__i__ % G_N_ELEMENTS (peers)], get_tolerance (format) + 1));
}

GST_END_TEST;

/* A format to every other. */
GST_START_TEST (test_conversion)
{
  guint i;

  for (i = 0; i < G_N_ELEMENTS (formats); i++) {
    gchar *peer = g_strdup_printf ("video/x-raw, format=%s", formats[i]);

    harness_setup ();
    gst_buffer_unref (pass_bars (formats[__i__], 32, 18, peer, 7));
    g_free (peer);
  }
}

GST_END_TEST;

/* Pixels of a 4:1 picture stay where they were: the element shifts nothing. */
GST_START_TEST (test_registration)
{
  const gchar *text = "video/x-raw, format=RGB, width=20, height=17, "
      "framerate=25/1";
  GstHarness *h;
  GstBuffer *in, *out;
  GstMapInfo a, b;
  gint x, y, c;

  harness_setup ();
  h = harness_new (text, NULL);
  in = harness_frame (text, 0);
  gst_buffer_map (in, &a, GST_MAP_WRITE);
  for (x = 0; x < (gint) a.size; x++)
    a.data[x] = x * 37 + x / 60 * 11;
  gst_buffer_unmap (in, &a);
  gst_harness_push (h, gst_buffer_ref (in));
  out = gst_harness_pull (h);
  gst_buffer_map (in, &a, GST_MAP_READ);
  gst_buffer_map (out, &b, GST_MAP_READ);
  fail_unless_equals_int (b.size, 80 * 68 * 3);
  for (y = 0; y < 68; y++)
    for (x = 0; x < 80; x++)
      for (c = 0; c < 3; c++)
        fail_unless_equals_int (b.data[(y * 80 + x) * 3 + c],
            a.data[(y / 4 * 20 + x / 4) * 3 + c]);
  gst_buffer_unmap (in, &a);
  gst_buffer_unmap (out, &b);
  gst_buffer_unref (in);
  gst_buffer_unref (out);
  harness_end (h);
}

GST_END_TEST;

/* --- More than 8 bits ---------------------------------------------------- */

static const gchar *const deep_formats[] = {
  "P010_10LE", "I420_10LE", "I422_10LE", "Y444_10LE", "GRAY16_LE",
};

/* P010's V is said to be one byte after U; it is two. */
static guint8 *
get_sample (GstVideoFrame * frame, gint c, gint x, gint y)
{
  return (guint8 *) GST_VIDEO_FRAME_COMP_DATA (frame, c)
      + GST_VIDEO_FRAME_COMP_POFFSET (frame, c) % 2
      + y * GST_VIDEO_FRAME_COMP_STRIDE (frame, c)
      + x * GST_VIDEO_FRAME_COMP_PSTRIDE (frame, c);
}

/* One level everywhere; no colour. */
static GstBuffer *
make_level (const GstVideoInfo * info, guint level)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, info->size, NULL);
  GstVideoFrame frame;
  guint c, shift = info->finfo->shift[0];
  gint x, y;

  fail_unless (gst_video_frame_map (&frame, info, buffer, GST_MAP_WRITE));
  for (c = 0; c < GST_VIDEO_INFO_N_COMPONENTS (info); c++)
    for (y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (&frame, c); y++)
      for (x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH (&frame, c); x++)
        GST_WRITE_UINT16_LE (get_sample (&frame, c, x, y),
            (c == 0 ? level : 512) << shift);
  gst_video_frame_unmap (&frame);
  return buffer;
}

/* Every sample is the level, and all bits below it are 0. */
static void
expect_level (GstBuffer * buffer, GstCaps * caps, guint level)
{
  GstVideoInfo info;
  GstVideoFrame frame;
  guint c, shift;
  gint x, y;

  fail_unless (gst_video_info_from_caps (&info, caps));
  fail_unless (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READ));
  shift = info.finfo->shift[0];
  for (c = 0; c < GST_VIDEO_INFO_N_COMPONENTS (&info); c++)
    for (y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (&frame, c); y++)
      for (x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH (&frame, c); x++)
        fail_unless_equals_int (GST_READ_UINT16_LE (get_sample (&frame, c, x,
                    y)), (c == 0 ? level : 512) << shift);
  gst_video_frame_unmap (&frame);
}

/* Levels that 8 bits do not have come through, whatever the size. */
GST_START_TEST (test_deep)
{
  static const gchar *const sizes[] = {
    "video/x-raw", "video/x-raw, width=77, height=41",
    "video/x-raw, width=32, height=18",
  };
  const gchar *format = deep_formats[__i__ / G_N_ELEMENTS (sizes)];
  gchar *text = make_caps (format, 32, 18);
  GstVideoInfo info = make_info (format, 32, 18);
  gboolean grey = GST_VIDEO_INFO_IS_GRAY (&info);
  guint level;

  harness_setup ();
  for (level = grey ? 40001 : 601; level % 8 != 0; level++) {
    GstHarness *h = harness_new (NULL, NULL);
    GstBuffer *out;
    GstCaps *caps;

    gst_harness_set_sink_caps_str (h, sizes[__i__ % G_N_ELEMENTS (sizes)]);
    gst_harness_set_src_caps_str (h, text);
    fail_unless_equals_int (gst_harness_push (h, make_level (&info, level)),
        GST_FLOW_OK);
    out = gst_harness_pull (h);
    caps = harness_get_out_caps (h);
    expect_level (out, caps, level);
    gst_caps_unref (caps);
    gst_buffer_unref (out);
    harness_end (h);
  }
  g_free (text);
}

GST_END_TEST;

/* From 8 bits to 10 and back, while the stream plays. */
GST_START_TEST (test_depth_changes)
{
  static const gchar *const order[] = { "I420", "P010_10LE", "I420" };
  GstHarness *h;
  guint i;

  harness_setup ();
  h = harness_new (NULL, NULL);
  gst_harness_set_sink_caps_str (h, "video/x-raw");
  for (i = 0; i < G_N_ELEMENTS (order); i++) {
    gchar *text = make_caps (order[i], 32, 18);
    GstVideoInfo info = make_info (order[i], 32, 18);
    GstBuffer *out;
    GstCaps *caps;

    gst_harness_set_src_caps_str (h, text);
    fail_unless_equals_int (gst_harness_push (h, make_bars (&info)),
        GST_FLOW_OK);
    out = gst_harness_pull (h);
    caps = harness_get_out_caps (h);
    expect_bars (out, caps, count_bars (32), get_tolerance (order[i]));
    gst_caps_unref (caps);
    gst_buffer_unref (out);
    g_free (text);
  }
  fail_unless_equals_int (fake_engine.streams_made, 3);
  harness_end (h);
}

GST_END_TEST;

/* --- Colorimetry --------------------------------------------------------- */

/* YUV values come back as they were, whatever they are said to mean. */
GST_START_TEST (test_colorimetry)
{
  static const gchar *const colorimetries[] = {
    "bt601", "bt709", "bt2020", "smpte240m", "1:4:5:1", "1:3:5:1",
  };
  gchar *text = g_strdup_printf ("video/x-raw, format=I420, width=32, "
      "height=32, framerate=25/1, colorimetry=%s", colorimetries[__i__]);
  GstHarness *h;
  GstBuffer *in, *out;
  GstMapInfo map;

  harness_setup ();
  h = harness_new (text, NULL);
  in = gst_buffer_new_allocate (NULL, 32 * 32 * 3 / 2, NULL);
  gst_buffer_memset (in, 0, 120, 32 * 32);
  gst_buffer_memset (in, 32 * 32, 100, 16 * 16);
  gst_buffer_memset (in, 32 * 32 * 5 / 4, 150, 16 * 16);
  gst_harness_push (h, in);
  out = gst_harness_pull (h);
  gst_buffer_map (out, &map, GST_MAP_READ);
  fail_unless (abs (map.data[64 * 128 + 64] - 120) <= 1);
  fail_unless (abs (map.data[128 * 128 + 32 * 64 + 32] - 100) <= 1);
  fail_unless (abs (map.data[128 * 128 * 5 / 4 + 32 * 64 + 32] - 150) <= 1);
  gst_buffer_unmap (out, &map);
  gst_buffer_unref (out);
  harness_end (h);
  g_free (text);
}

GST_END_TEST;

/* --- Alpha --------------------------------------------------------------- */

/* Level of component c in the middle of the left or the right half. */
static guint
get_component (GstBuffer * buffer, GstCaps * caps, gint c, gboolean right)
{
  GstVideoInfo info;
  GstVideoFrame frame;
  const guint8 *row;
  guint value;

  fail_unless (gst_video_info_from_caps (&info, caps));
  fail_unless (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READ));
  row = GST_VIDEO_FRAME_COMP_DATA (&frame, c);
  row += info.height / 2 * GST_VIDEO_FRAME_COMP_STRIDE (&frame, c);
  value = row[(right ? 3 : 1) * info.width / 4
      * GST_VIDEO_FRAME_COMP_PSTRIDE (&frame, c)];
  gst_video_frame_unmap (&frame);
  return value;
}

/* Alpha 10 on the left, 200 on the right, colours 50, 100, 150. */
static GstBuffer *
make_translucent (const GstVideoInfo * info)
{
  static const guint8 levels[] = { 50, 100, 150 };
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, info->size, NULL);
  GstVideoFrame frame;
  gint x, y, c;

  fail_unless (gst_video_frame_map (&frame, info, buffer, GST_MAP_WRITE));
  for (c = 0; c < 4; c++)
    for (y = 0; y < info->height; y++)
      for (x = 0; x < info->width; x++)
        ((guint8 *) GST_VIDEO_FRAME_COMP_DATA (&frame, c))[y
            * GST_VIDEO_FRAME_COMP_STRIDE (&frame, c) + 4 * x] =
            c < 3 ? levels[c] : x < info->width / 2 ? 10 : 200;
  gst_video_frame_unmap (&frame);
  return buffer;
}

static const gchar *const alpha_formats[] = { "RGBA", "BGRA", "ARGB", "ABGR" };

static const gchar *const alpha_peers[] = {
  "video/x-raw", "video/x-raw, width=70, height=40",
  "video/x-raw, format={ RGBA, ARGB }"
};

GST_START_TEST (test_alpha)
{
  const gchar *format = alpha_formats[__i__ % G_N_ELEMENTS (alpha_formats)];
  gchar *text = make_caps (format, 32, 16);
  GstVideoInfo info = make_info (format, 32, 16);
  GstHarness *h;
  GstBuffer *out;
  GstCaps *caps;

  harness_setup ();
  h = harness_new (NULL, NULL);
  gst_harness_set_sink_caps_str (h,
      alpha_peers[__i__ / G_N_ELEMENTS (alpha_formats)]);
  gst_harness_set_src_caps_str (h, text);
  gst_harness_push (h, make_translucent (&info));
  out = gst_harness_pull (h);
  caps = harness_get_out_caps (h);
  fail_unless_equals_int (get_component (out, caps, 0, FALSE), 50);
  fail_unless_equals_int (get_component (out, caps, 1, TRUE), 100);
  fail_unless_equals_int (get_component (out, caps, 2, FALSE), 150);
  fail_unless_equals_int (get_component (out, caps, 3, FALSE), 10);
  fail_unless_equals_int (get_component (out, caps, 3, TRUE), 200);
  gst_caps_unref (caps);
  gst_buffer_unref (out);
  harness_end (h);
  g_free (text);
}

GST_END_TEST;

/* Without alpha in the input, and in padding, every byte is 255. */
GST_START_TEST (test_opaque)
{
  static const struct
  {
    const gchar *format;
    gint fourth;
  } cases[] = {
    {"RGBx", 3}, {"BGRx", 3}, {"xRGB", 0}, {"xBGR", 0},
    {"RGBA", 3}, {"BGRA", 3}, {"ARGB", 0}, {"ABGR", 0},
  };
  gchar *peer = g_strdup_printf ("video/x-raw, format=%s",
      cases[__i__ / 2].format);
  GstHarness *h;
  GstBuffer *out;
  GstMapInfo map;
  gsize i;

  if (__i__ % 2) {
    gchar *more = g_strconcat (peer, ", width=60, height=40", NULL);

    g_free (peer);
    peer = more;
  }
  harness_setup ();
  h = harness_new (NULL, NULL);
  gst_harness_set_sink_caps_str (h, peer);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  gst_harness_push (h, harness_frame (SMALL_CAPS, 3));
  out = gst_harness_pull (h);
  gst_buffer_map (out, &map, GST_MAP_READ);
  for (i = 0; i < map.size; i++)
    fail_unless_equals_int (map.data[i],
        (gint) (i % 4) == cases[__i__ / 2].fourth ? 255 : 16 + 4 * 3);
  gst_buffer_unmap (out, &map);
  gst_buffer_unref (out);
  harness_end (h);
  g_free (peer);
}

GST_END_TEST;

/* --- Layout -------------------------------------------------------------- */

/* Rows and planes anywhere in a padded buffer, as a GstVideoMeta says. */
GST_START_TEST (test_padded)
{
  const gchar *format = formats[__i__];
  gchar *text = make_caps (format, 18, 17);
  GstVideoInfo info = make_info (format, 18, 17), padded;
  GstVideoAlignment align;
  GstVideoFrame from, to;
  GstBuffer *plain, *buffer, *out;
  GstHarness *h;
  GstCaps *caps;

  harness_setup ();
  gst_video_alignment_reset (&align);
  align.padding_left = align.padding_right = 16;
  align.padding_top = align.padding_bottom = 8;
  padded = info;
  fail_unless (gst_video_info_align (&padded, &align));
  buffer = gst_buffer_new_allocate (NULL, padded.size, NULL);
  gst_buffer_memset (buffer, 0, 0xee, -1);
  gst_buffer_add_video_meta_full (buffer, GST_VIDEO_FRAME_FLAG_NONE,
      GST_VIDEO_INFO_FORMAT (&info), 18, 17, GST_VIDEO_INFO_N_PLANES (&info),
      padded.offset, padded.stride);
  plain = make_bars (&info);
  fail_unless (gst_video_frame_map (&from, &info, plain, GST_MAP_READ));
  fail_unless (gst_video_frame_map (&to, &info, buffer, GST_MAP_WRITE));
  gst_video_frame_copy (&to, &from);
  gst_video_frame_unmap (&from);
  gst_video_frame_unmap (&to);

  h = harness_new (text, NULL);
  fail_unless_equals_int (gst_harness_push (h, buffer), GST_FLOW_OK);
  out = gst_harness_pull (h);
  caps = harness_get_out_caps (h);
  expect_bars (out, caps, count_bars (18), get_tolerance (format));
  gst_caps_unref (caps);
  gst_buffer_unref (out);
  gst_buffer_unref (plain);
  harness_end (h);
  g_free (text);
}

GST_END_TEST;

static Suite *
formats_suite (void)
{
  Suite *s = suite_create ("formats");
  TCase *tc = tcase_create ("formats");
  const gint n = G_N_ELEMENTS (formats);

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_format, 0, n * G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tc, test_other_size, 0, n * 4);
  tcase_add_loop_test (tc, test_conversion, 0, n - 2);       /* not grey */
  tcase_add_test (tc, test_registration);
  tcase_add_loop_test (tc, test_deep, 0, 3 * G_N_ELEMENTS (deep_formats));
  tcase_add_test (tc, test_depth_changes);
  tcase_add_loop_test (tc, test_colorimetry, 0, 6);
  tcase_add_loop_test (tc, test_alpha, 0, 4 * G_N_ELEMENTS (alpha_peers));
  tcase_add_loop_test (tc, test_opaque, 0, 16);
  tcase_add_loop_test (tc, test_padded, 0, n);
  return s;
}

GST_CHECK_MAIN (formats);
