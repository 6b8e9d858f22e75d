/* Dimension arithmetic, caps of the other pad, and what is chosen among them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <string.h>

#include "dloralcaps.h"

/* --- Sides --------------------------------------------------------------- */

/* `side` and the result as GStreamer writes them; "": nothing is possible. */
typedef struct
{
  const gchar *side;
  GstPadDirection from;
  const gchar *other;
} SideCase;

static const SideCase sides[] = {
  {"(int) 16", GST_PAD_SINK, "(int) [ 16, 64 ]"},
  {"(int) 17", GST_PAD_SINK, "(int) [ 17, 68 ]"},
  {"(int) 8192", GST_PAD_SINK, "(int) [ 8192, 32768 ]"},
  {"(int) 15", GST_PAD_SINK, ""},
  {"(int) 8193", GST_PAD_SINK, ""},
  {"(int) [ 1, 2147483647 ]", GST_PAD_SINK, "(int) [ 16, 32768 ]"},
  {"(int) [ 100, 200 ]", GST_PAD_SINK, "(int) [ 100, 800 ]"},
  {"(int) [ 1, 15 ]", GST_PAD_SINK, ""},
  {"(int) { 10, 20, 8192 }", GST_PAD_SINK,
      "(int) { [ 20, 80 ], [ 8192, 32768 ] }"},
  {"(int) { 10, 11 }", GST_PAD_SINK, ""},
  {"(int) 16", GST_PAD_SRC, "(int) 16"},
  {"(int) 15", GST_PAD_SRC, ""},
  {"(int) 64", GST_PAD_SRC, "(int) [ 16, 64 ]"},
  {"(int) 65", GST_PAD_SRC, "(int) [ 17, 65 ]"},
  {"(int) 68", GST_PAD_SRC, "(int) [ 17, 68 ]"},
  {"(int) 32768", GST_PAD_SRC, "(int) 8192"},
  {"(int) 32769", GST_PAD_SRC, ""},
  {"(int) [ 1, 2147483647 ]", GST_PAD_SRC, "(int) [ 16, 8192 ]"},
  {"(int) [ 401, 1000 ]", GST_PAD_SRC, "(int) [ 101, 1000 ]"},
  {"(int) [ 32769, 40000 ]", GST_PAD_SRC, ""},
  {"(int) { 640, 40000 }", GST_PAD_SRC, "(int) { [ 160, 640 ] }"},
  {"(string) wide", GST_PAD_SINK, ""},
};

static void
parse_side (const gchar * text, GValue * value)
{
  gchar *full = g_strdup_printf ("s, side=%s", text);
  GstStructure *s = gst_structure_from_string (full, NULL);

  fail_unless (s != NULL, "%s", full);
  g_value_init (value, G_VALUE_TYPE (gst_structure_get_value (s, "side")));
  g_value_copy (gst_structure_get_value (s, "side"), value);
  gst_structure_free (s);
  g_free (full);
}

GST_START_TEST (test_sides)
{
  const SideCase *c = &sides[__i__];
  GValue side = G_VALUE_INIT, other = G_VALUE_INIT, expected = G_VALUE_INIT;
  gboolean possible;

  parse_side (c->side, &side);
  possible = dloral_caps_transform_side (&side, c->from, &other);
  fail_unless_equals_int (possible, c->other[0] != '\0');
  if (possible) {
    gchar *got = gst_value_serialize (&other);

    parse_side (c->other, &expected);
    fail_unless_equals_int (G_VALUE_TYPE (&other), G_VALUE_TYPE (&expected));
    fail_unless_equals_int (gst_value_compare (&other, &expected),
        GST_VALUE_EQUAL);
    g_free (got);
    g_value_unset (&expected);
    g_value_unset (&other);
  } else {
    fail_if (G_IS_VALUE (&other));
  }
  g_value_unset (&side);
}

GST_END_TEST;

/* What goes one way can come back: every size that is said to be possible on
 * the other pad has this one among its own possibilities. */
GST_START_TEST (test_sides_agree)
{
  gint in, out;

  for (in = 16; in < 90; in++) {
    for (out = 16; out < 380; out++) {
      GValue i = G_VALUE_INIT, o = G_VALUE_INIT;
      GValue to = G_VALUE_INIT, back = G_VALUE_INIT;
      gboolean possible = out >= in && out <= 4 * in;

      g_value_init (&i, G_TYPE_INT);
      g_value_init (&o, G_TYPE_INT);
      g_value_set_int (&i, in);
      g_value_set_int (&o, out);
      fail_unless (dloral_caps_transform_side (&i, GST_PAD_SINK, &to));
      fail_unless (dloral_caps_transform_side (&o, GST_PAD_SRC, &back));
      fail_unless_equals_int (gst_value_intersect (NULL, &o, &to), possible);
      fail_unless_equals_int (gst_value_intersect (NULL, &i, &back), possible);
      g_value_unset (&to);
      g_value_unset (&back);
    }
  }
}

GST_END_TEST;

/* --- Caps ---------------------------------------------------------------- */

#ifdef HAVE_CUDA_MEMORY
#define N_MEMORIES 2
#else
#define N_MEMORIES 1
#endif

GST_START_TEST (test_transform)
{
  GstCaps *in = gst_caps_from_string ("video/x-raw, format=NV12, width=320, "
      "height=240, framerate=30/1, pixel-aspect-ratio=4/3, colorimetry=bt709");
  GstCaps *out = dloral_caps_transform (in, GST_PAD_SINK, NULL);
  const GstStructure *s = gst_caps_get_structure (out, 0);

  fail_unless_equals_int (gst_caps_get_size (out), 1 + N_MEMORIES);
  fail_unless_equals_string (gst_structure_get_string (s, "format"), "NV12");
  fail_unless_equals_string (gst_structure_get_string (s, "colorimetry"),
      "bt709");
  s = gst_caps_get_structure (out, 1);
  fail_if (gst_structure_has_field (s, "colorimetry"));
  fail_unless_equals_int (gst_value_list_get_size (gst_structure_get_value (s,
              "format")), 23);
  fail_unless (gst_structure_has_field (s, "pixel-aspect-ratio"));
  fail_unless (gst_structure_has_field (s, "framerate"));
  gst_caps_unref (out);
  gst_caps_unref (in);
}

GST_END_TEST;

GST_START_TEST (test_transform_filter)
{
  GstCaps *in = gst_caps_from_string ("video/x-raw, format=NV12, width=320, "
      "height=240");
  GstCaps *filter = gst_caps_from_string ("video/x-raw, format=RGB, "
      "width=[1, 1000]");
  GstCaps *out = dloral_caps_transform (in, GST_PAD_SINK, filter);
  GstCaps *expected = gst_caps_from_string ("video/x-raw, format=RGB, "
      "width=[320, 1000], height=[240, 960]");

  fail_unless (gst_caps_is_equal (out, expected));
  gst_caps_unref (expected);
  gst_caps_unref (out);
  gst_caps_unref (filter);
  gst_caps_unref (in);
}

GST_END_TEST;

/* Nothing is said of memory that is not the system's. */
GST_START_TEST (test_transform_features)
{
  GstCaps *in = gst_caps_from_string ("video/x-raw(memory:GLMemory), "
      "format=RGBA, width=320, height=240");
  GstCaps *out = dloral_caps_transform (in, GST_PAD_SINK, NULL);

  fail_unless (gst_caps_is_empty (out));
  gst_caps_unref (out);
  gst_caps_unref (in);
}

GST_END_TEST;

#ifdef HAVE_CUDA_MEMORY

static gboolean
is_cuda (GstCaps * caps, guint i)
{
  return gst_caps_features_contains (gst_caps_get_features (caps, i),
      "memory:CUDAMemory");
}

/* A frame in a GPU's memory stays there, if it can; and it may go to the system's,
 * in formats of which the GPU's library knows nothing. */
GST_START_TEST (test_transform_memory)
{
  GstCaps *in = gst_caps_from_string ("video/x-raw(memory:CUDAMemory), "
      "format=NV12, width=320, height=240");
  GstCaps *out = dloral_caps_transform (in, GST_PAD_SINK, NULL);
  GstCaps *wanted = gst_caps_from_string ("video/x-raw, format=GRAY8");

  fail_unless_equals_int (gst_caps_get_size (out), 3);
  fail_unless (is_cuda (out, 0) && is_cuda (out, 1) && !is_cuda (out, 2));
  fail_unless_equals_string (gst_structure_get_string (gst_caps_get_structure
          (out, 0), "format"), "NV12");
  fail_unless (gst_caps_can_intersect (out, wanted));
  gst_caps_set_features_simple (wanted,
      gst_caps_features_new ("memory:CUDAMemory", NULL));
  fail_if (gst_caps_can_intersect (out, wanted));
  gst_caps_unref (wanted);
  gst_caps_unref (out);
  gst_caps_unref (in);
}

GST_END_TEST;

/* in, what downstream can, whether CUDA's memory is chosen, in which format. */
static const struct
{
  const gchar *in, *peer;
  gboolean cuda;
  const gchar *format;
} memories[] = {
  {"video/x-raw, format=NV12", "video/x-raw(memory:CUDAMemory), format=NV12; "
        "video/x-raw, format=NV12", FALSE, "NV12"},
  {"video/x-raw(memory:CUDAMemory), format=NV12", "video/x-raw, format=NV12; "
        "video/x-raw(memory:CUDAMemory), format={ I420, NV12 }", TRUE, "NV12"},
  {"video/x-raw(memory:CUDAMemory), format=NV12", "video/x-raw, format=NV12; "
        "video/x-raw(memory:CUDAMemory), format=I420", TRUE, "I420"},
  {"video/x-raw(memory:CUDAMemory), format=RGBA", "video/x-raw, format=RGBA; "
        "video/x-raw(memory:CUDAMemory), format=NV12", FALSE, "RGBA"},
  {"video/x-raw(memory:CUDAMemory), format=NV12", "video/x-raw, format=I420",
      FALSE, "I420"},
};

GST_START_TEST (test_fixate_memory)
{
  gchar *text = g_strconcat (memories[__i__].in, ", width=64, height=48",
      NULL);
  GstCaps *in = gst_caps_from_string (text);
  GstCaps *peer = gst_caps_from_string (memories[__i__].peer);
  GstCaps *possible = dloral_caps_transform (in, GST_PAD_SINK, NULL), *out;

  out = dloral_caps_fixate (in, GST_PAD_SINK, gst_caps_intersect_full (peer,
          possible, GST_CAPS_INTERSECT_FIRST));
  fail_unless (gst_caps_is_fixed (out));
  fail_unless_equals_int (is_cuda (out, 0), memories[__i__].cuda);
  fail_unless_equals_string (gst_structure_get_string (gst_caps_get_structure
          (out, 0), "format"), memories[__i__].format);
  gst_caps_unref (out);
  gst_caps_unref (possible);
  gst_caps_unref (peer);
  gst_caps_unref (in);
  g_free (text);
}

GST_END_TEST;

#endif

/* --- Choice -------------------------------------------------------------- */

typedef struct
{
  const gchar *in;              /* after "video/x-raw, framerate=25/1, " */
  const gchar *peer;            /* what downstream can */
  const gchar *out;             /* what leaves; "": refused */
} ChoiceCase;

#define HDR "mastering-display-info=(string)35400:14600:8500:39850:6550:2300:" \
    "15635:16450:10000000:1, content-light-level=(string)1000:400"

static const ChoiceCase choices[] = {
  /* Size: four times, what is asked for, the shape kept. */
  {"format=RGB, width=33, height=17", "video/x-raw",
      "format=RGB, width=132, height=68"},
  {"format=RGB, width=32, height=16", "video/x-raw, width=96",
      "format=RGB, width=96, height=48"},
  {"format=RGB, width=32, height=16", "video/x-raw, height=40",
      "format=RGB, width=80, height=40"},
  {"format=RGB, width=32, height=16", "video/x-raw, width=[ 1, 100 ]",
      "format=RGB, width=100, height=50"},
  {"format=RGB, width=32, height=16", "video/x-raw, height={ 18, 32 }",
      "format=RGB, width=64, height=32"},
  {"format=RGB, width=32, height=16", "video/x-raw, width=32, height=16",
      "format=RGB, width=32, height=16"},
  {"format=RGB, width=32, height=16", "video/x-raw, width=100, height=20",
      "format=RGB, width=100, height=20"},
  {"format=RGB, width=32, height=16", "video/x-raw, width=129", ""},
  {"format=RGB, width=32, height=16", "video/x-raw, height=15", ""},
  /* Format: the same even when downstream names another first, else the one
   * that loses least. */
  {"format=NV12, width=32, height=16",
      "video/x-raw, format=I420; video/x-raw, format=NV12", "format=NV12"},
  {"format=NV12, width=32, height=16", "video/x-raw, format={ RGB, I420 }",
      "format=I420"},
  {"format=RGBA, width=32, height=16",
      "video/x-raw, format={ GRAY8, RGB, ARGB }", "format=ARGB"},
  {"format=YUY2, width=32, height=16", "video/x-raw, format={ GRAY8, RGB }",
      "format=RGB"},
  {"format=RGB, width=32, height=16", "video/x-raw, format={ I420, YUY2 }",
      "format=YUY2"},
  {"format=I422_10LE, width=32, height=16",
      "video/x-raw, format={ Y42B, I420_10LE, Y444_10LE }",
      "format=Y444_10LE"},
  {"format=GRAY16_LE, width=32, height=16",
      "video/x-raw, format={ I420, GRAY8, GRAY16_LE }", "format=GRAY16_LE"},
  {"format=P010_10LE, width=32, height=16",
      "video/x-raw, format={ I420, NV12, P010_10LE }", "format=P010_10LE"},
  {"format=NV12, width=32, height=16",
      "video/x-raw, format={ P010_10LE, I420 }", "format=I420"},
  {"format=RGB, width=32, height=16", "video/x-raw, format=Y41B", ""},
  /* Colours: the input's, said aloud. BT.601 stays BT.601 above 576 lines. */
  {"format=I420, width=720, height=480", "video/x-raw",
      "format=I420, width=2880, height=1920, colorimetry=bt601"},
  {"format=I420, width=1280, height=720", "video/x-raw", "colorimetry=bt709"},
  {"format=I420, width=720, height=480, colorimetry=2:0:0:0", "video/x-raw",
      "colorimetry=bt601"},
  {"format=I420, width=64, height=64, colorimetry=bt2020, "
        "chroma-site=mpeg2", "video/x-raw",
      "colorimetry=bt2020, chroma-site=mpeg2"},
  {"format=I420, width=64, height=64, colorimetry=bt601",
      "video/x-raw, colorimetry={ bt709, bt601 }", "colorimetry=bt601"},
  {"format=I420, width=64, height=64, colorimetry=bt601",
      "video/x-raw, colorimetry=bt709", "format=I420, colorimetry=bt709"},
  {"format=RGB, width=64, height=64", "video/x-raw", "colorimetry=sRGB"},
  {"format=I420, width=64, height=64, colorimetry=bt709",
      "video/x-raw, format=RGB", "format=RGB, colorimetry=1:1:5:1"},
  {"format=RGB, width=64, height=64", "video/x-raw, format=I420",
      "format=I420, colorimetry=2:4:7:1"},
  /* So do those of high dynamic range, and what is said of it. */
  {"format=P010_10LE, width=64, height=64, colorimetry=bt2100-pq, " HDR,
      "video/x-raw", "format=P010_10LE, colorimetry=bt2100-pq, " HDR},
  {"format=I420_10LE, width=64, height=64, colorimetry=bt2100-hlg, " HDR,
      "video/x-raw, format={ NV12, P010_10LE }",
      "format=P010_10LE, colorimetry=bt2100-hlg, " HDR},
  {"format=P010_10LE, width=64, height=64, colorimetry=bt2100-pq, " HDR,
      "video/x-raw, width=100, height=100",
      "format=P010_10LE, width=100, colorimetry=bt2100-pq, " HDR},
  /* Shape and time pass. */
  {"format=RGB, width=32, height=16, pixel-aspect-ratio=64/45", "video/x-raw",
      "pixel-aspect-ratio=64/45, framerate=25/1"},
  {"format=RGB, width=15, height=16", "video/x-raw", ""},
};

/* Whether `out` has every field of the structure written in `text`. */
static void
expect_fields (GstCaps * out, const gchar * text)
{
  gchar *full = g_strconcat ("video/x-raw, ", text, NULL);
  GstCaps *expected = gst_caps_from_string (full);

  fail_unless (expected != NULL, "%s", full);
  fail_unless (gst_caps_is_subset (out, expected),
      "%" GST_PTR_FORMAT " is not %" GST_PTR_FORMAT, out, expected);
  gst_caps_unref (expected);
  g_free (full);
}

GST_START_TEST (test_choices)
{
  const ChoiceCase *c = &choices[__i__];
  gchar *in = g_strconcat ("video/x-raw, framerate=25/1, ", c->in, NULL);
  GstHarness *h;

  harness_setup ();
  h = harness_new (NULL, NULL);
  gst_harness_set_sink_caps_str (h, c->peer);
  gst_harness_set_src_caps_str (h, in);
  if (c->out[0]) {
    GstCaps *out;

    fail_unless_equals_int (gst_harness_push (h, harness_frame (in, 0)),
        GST_FLOW_OK);
    gst_buffer_unref (gst_harness_pull (h));
    out = harness_get_out_caps (h);
    expect_fields (out, c->out);
    gst_caps_unref (out);
  } else {
    fail_unless_equals_int (gst_harness_push (h, gst_buffer_new ()),
        GST_FLOW_NOT_NEGOTIATED);
  }
  harness_end (h);
  g_free (in);
}

GST_END_TEST;

/* --- Fields --------------------------------------------------------------- */

static const gchar *const interlaced[] = {
  "video/x-raw, interlace-mode=interleaved", "video/x-raw, interlace-mode=mixed",
  "video/x-raw, interlace-mode=fields",
  "video/x-raw(format:Interlaced), interlace-mode=alternate",
};

/* Counts warnings that tell what to do. */
static void
count_advice (GstDebugCategory * category, GstDebugLevel level,
    const gchar * file, const gchar * function, gint line, GObject * object,
    GstDebugMessage * message, gpointer count)
{
  if (level == GST_LEVEL_WARNING
      && strstr (gst_debug_message_get (message), "\"deinterlace\""))
    g_atomic_int_inc ((gint *) count);
}

/* Refused, and the log says what to do. */
GST_START_TEST (test_interlaced)
{
  gchar *text = g_strconcat (interlaced[__i__], ", format=I420, width=64, "
      "height=48, framerate=25/1", NULL);
  gint count = 0;
  GstHarness *h;

  harness_setup ();
  gst_debug_set_threshold_for_name ("dloral", GST_LEVEL_WARNING);
  gst_debug_add_log_function (count_advice, &count, NULL);
  h = harness_new (NULL, NULL);
  gst_harness_set_sink_caps_str (h, "video/x-raw");
  gst_harness_set_src_caps_str (h, text);
  fail_unless_equals_int (gst_harness_push (h, gst_buffer_new ()),
      GST_FLOW_NOT_NEGOTIATED);
  fail_unless (g_atomic_int_get (&count) > 0);
  harness_end (h);
  gst_debug_remove_log_function (count_advice);
  gst_debug_unset_threshold_for_name ("dloral");
  g_free (text);
}

GST_END_TEST;

/* Upstream may bring anything between the size downstream wants and a quarter
 * of it. */
GST_START_TEST (test_query_upstream)
{
  GstHarness *h;
  GstCaps *caps, *expected;

  harness_setup ();
  h = harness_new (NULL, NULL);
  gst_harness_set_sink_caps_str (h, "video/x-raw, format=I420, width=641, "
      "height=480");
  caps = gst_pad_peer_query_caps (h->srcpad, NULL);
  expected = gst_caps_from_string ("video/x-raw, format=I420, "
      "width=[161, 641], height=[120, 480]");
  fail_unless (gst_caps_can_intersect (caps, expected));
  gst_caps_unref (expected);
  expected = gst_caps_from_string ("video/x-raw, width=160");
  fail_if (gst_caps_can_intersect (caps, expected));
  gst_caps_unref (expected);
  gst_caps_unref (caps);
  harness_end (h);
}

GST_END_TEST;

static Suite *
caps_suite (void)
{
  Suite *s = suite_create ("caps");
  TCase *tc = tcase_create ("caps");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_sides, 0, G_N_ELEMENTS (sides));
  tcase_add_test (tc, test_sides_agree);
  tcase_add_test (tc, test_transform);
  tcase_add_test (tc, test_transform_filter);
  tcase_add_test (tc, test_transform_features);
#ifdef HAVE_CUDA_MEMORY
  tcase_add_test (tc, test_transform_memory);
  tcase_add_loop_test (tc, test_fixate_memory, 0, G_N_ELEMENTS (memories));
#endif
  tcase_add_loop_test (tc, test_choices, 0, G_N_ELEMENTS (choices));
  tcase_add_loop_test (tc, test_interlaced, 0, G_N_ELEMENTS (interlaced));
  tcase_add_test (tc, test_query_upstream);
  return s;
}

GST_CHECK_MAIN (caps);
