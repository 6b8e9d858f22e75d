/* States, messages and properties: whatever is going on, the element stops, and
 * starts again.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <string.h>

#define SOURCE "videotestsrc num-buffers=50 ! video/x-raw, format=I420, " \
    "width=32, height=16 ! "

static GstElement *
make_pipeline (const gchar * properties)
{
  gchar *text = g_strdup_printf (SOURCE "dloral name=d model=%s %s ! "
      "fakesink sync=false", FAKE_MODEL_GOOD, properties);
  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch (text, &error);

  fail_unless (pipeline && !error, "%s", text);
  g_free (text);
  return pipeline;
}

static void
expect_nothing_left (void)
{
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.held), 0);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.streams), 0);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.models), 0);
}

static void
stop (GstElement * pipeline)
{
  fail_unless_equals_int (gst_element_set_state (pipeline, GST_STATE_NULL),
      GST_STATE_CHANGE_SUCCESS);
  expect_nothing_left ();
}

static const gchar *const depths[] = {
  "async-depth=0", "async-depth=1", "async-depth=4"
};

/* --- Stopping ------------------------------------------------------------ */

/* Started and stopped again and again, at any moment. */
GST_START_TEST (test_cycles)
{
  GstElement *pipeline;
  guint i;

  harness_setup ();
  fake_engine.open_us = 5000;
  fake_engine.frame_us = 2000;
  pipeline = make_pipeline (depths[__i__]);
  for (i = 0; i < 25; i++) {
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    g_usleep (1000 * i);
    if (i % 3 == 1)
      gst_element_set_state (pipeline, GST_STATE_PAUSED);
    if (i % 5 == 2)
      gst_element_set_state (pipeline, GST_STATE_READY);
    else
      stop (pipeline);
  }
  stop (pipeline);
  gst_object_unref (pipeline);
}

GST_END_TEST;

/* From beginning to end, twice. */
GST_START_TEST (test_play_twice)
{
  GstElement *pipeline, *element;
  GstBus *bus;
  guint i;

  harness_setup ();
  pipeline = make_pipeline (depths[__i__]);
  element = gst_bin_get_by_name (GST_BIN (pipeline), "d");
  bus = gst_element_get_bus (pipeline);
  for (i = 0; i < 2; i++) {
    GstMessage *message;
    GstStructure *stats;
    guint64 frames;

    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
        GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    fail_unless (message && GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS);
    gst_message_unref (message);
    g_object_get (element, "stats", &stats, NULL);
    fail_unless (gst_structure_get_uint64 (stats, "frames-out", &frames));
    fail_unless_equals_uint64 (frames, 50);
    gst_structure_free (stats);
    gst_element_set_state (pipeline, GST_STATE_READY);
  }
  stop (pipeline);
  gst_object_unref (bus);
  gst_object_unref (element);
  gst_object_unref (pipeline);
}

GST_END_TEST;

/* With downstream blocked in its preroll and every slot in use. */
GST_START_TEST (test_stop_when_full)
{
  GstElement *pipeline;

  harness_setup ();
  pipeline = make_pipeline (depths[__i__]);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  fail_unless_equals_int (gst_element_get_state (pipeline, NULL, NULL,
          20 * GST_SECOND), GST_STATE_CHANGE_SUCCESS);
  /* One is prerolled, and as many as there is room for follow. */
  harness_wait_for (&fake_engine.frames, __i__ == 0 ? 1 : __i__ == 1 ? 3 : 6);
  stop (pipeline);
  gst_object_unref (pipeline);
}

GST_END_TEST;

/* While a frame is computed that takes its time. */
GST_START_TEST (test_stop_when_slow)
{
  GstElement *pipeline;

  harness_setup ();
  fake_engine.frame_us = 200000;
  pipeline = make_pipeline (depths[__i__]);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  harness_wait_for (&fake_engine.frames, 1);
  stop (pipeline);
  fail_unless (fake_engine.frames <= 3);
  gst_object_unref (pipeline);
}

GST_END_TEST;

/* Seeks, playing and paused, one after the other; then to the end. (Without a
 * flush only while playing: a paused pipeline would wait for ever.) */
GST_START_TEST (test_seeks)
{
  GstElement *pipeline;
  GstMessage *message;
  GstBus *bus;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 500;
  pipeline = make_pipeline (depths[__i__]);
  gst_element_set_state (pipeline, GST_STATE_PAUSED);
  for (i = 0; i < 30; i++) {
    gboolean playing = i / 7 % 2;
    GstSeekFlags flags = playing && i % 4 == 3 ? 0 : GST_SEEK_FLAG_FLUSH;

    if (i % 7 == 0)
      gst_element_set_state (pipeline, playing ? GST_STATE_PLAYING
          : GST_STATE_PAUSED);
    fail_unless_equals_int (gst_element_get_state (pipeline, NULL, NULL,
            20 * GST_SECOND), GST_STATE_CHANGE_SUCCESS);
    gst_element_seek_simple (pipeline, GST_FORMAT_TIME, flags,
        (i * 37 % 40) * 33 * GST_MSECOND);
    g_usleep (500 * (i % 5));
  }
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  bus = gst_element_get_bus (pipeline);
  message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  fail_unless (message && GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS);
  gst_message_unref (message);
  gst_object_unref (bus);
  stop (pipeline);
  gst_object_unref (pipeline);
}

GST_END_TEST;

/* --- Loading ------------------------------------------------------------- */

/* The change of state does not wait for the model; stopping leaves nothing. */
GST_START_TEST (test_loading_does_not_block)
{
  GstElement *element;

  harness_setup ();
  fake_engine.open_us = G_USEC_PER_SEC;
  element = gst_element_factory_make ("dloral", NULL);
  g_object_set (element, "model", FAKE_MODEL_GOOD, NULL);
  gst_element_set_state (element, GST_STATE_PAUSED);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.models), 0);
  gst_element_set_state (element, GST_STATE_NULL);
  expect_nothing_left ();
  gst_object_unref (element);
}

GST_END_TEST;

/* Types of the progress messages of one code, in order, up to its end. */
static gchar *
collect_progress (GstBus * bus, const gchar * code)
{
  GString *types = g_string_new (NULL);
  GstProgressType type = GST_PROGRESS_TYPE_START;

  while (type < GST_PROGRESS_TYPE_COMPLETE) {
    GstMessage *message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
        GST_MESSAGE_PROGRESS);
    gchar *c, *text;

    fail_unless (message != NULL, "%s has no end", code);
    gst_message_parse_progress (message, &type, &c, &text);
    fail_unless (text[0] != '\0');
    if (g_str_equal (c, code))
      g_string_append_printf (types, "%d ", type);
    else
      type = GST_PROGRESS_TYPE_START;
    g_free (c);
    g_free (text);
    gst_message_unref (message);
  }
  return g_string_free (types, FALSE);
}

static void
expect_progress (GstBus * bus, const gchar * code, GstProgressType end,
    gboolean continued)
{
  gchar *types = collect_progress (bus, code);
  gchar *expected = continued ?
      g_strdup_printf ("%d %d %d ", GST_PROGRESS_TYPE_START,
      GST_PROGRESS_TYPE_CONTINUE, end)
      : g_strdup_printf ("%d %d ", GST_PROGRESS_TYPE_START, end);

  fail_unless_equals_string (types, expected);
  g_free (expected);
  g_free (types);
}

GST_START_TEST (test_progress)
{
  static const struct
  {
    const gchar *model;
    GstProgressType end;
  } cases[] = {
    {FAKE_MODEL_GOOD, GST_PROGRESS_TYPE_COMPLETE},
    {FAKE_MODEL_BROKEN, GST_PROGRESS_TYPE_ERROR},
  };
  GstElement *element;
  GstBus *bus;

  harness_setup ();
  element = gst_element_factory_make ("dloral", NULL);
  bus = gst_bus_new ();
  gst_element_set_bus (element, bus);
  g_object_set (element, "model", cases[__i__].model, NULL);
  gst_element_set_state (element, GST_STATE_PAUSED);
  expect_progress (bus, "load", cases[__i__].end, TRUE);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  gst_object_unref (element);
}

GST_END_TEST;

/* Stopping in the middle is said too, and is no error. */
GST_START_TEST (test_progress_cancelled)
{
  GstElement *element;
  GstBus *bus;

  harness_setup ();
  fake_engine.open_us = G_USEC_PER_SEC;
  element = gst_element_factory_make ("dloral", NULL);
  bus = gst_bus_new ();
  gst_element_set_bus (element, bus);
  g_object_set (element, "model", FAKE_MODEL_BROKEN, NULL);
  gst_element_set_state (element, GST_STATE_PAUSED);
  harness_wait_for (&fake_engine.opens, 1);
  gst_element_set_state (element, GST_STATE_READY);
  expect_progress (bus, "load", GST_PROGRESS_TYPE_CANCELED, TRUE);
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR) == NULL);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  gst_object_unref (element);
}

GST_END_TEST;

/* Making ready for a size is announced as well. */
GST_START_TEST (test_progress_compile)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = harness_new (NULL, NULL);
  bus = harness_get_bus (h);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  gst_harness_push (h, harness_frame (SMALL_CAPS, 0));
  harness_expect_frame (h, 0);
  expect_progress (bus, "compile", GST_PROGRESS_TYPE_COMPLETE, FALSE);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  harness_end (h);
}

GST_END_TEST;

/* Results that are no numbers are counted, said once, and no reason to stop. */
GST_START_TEST (test_plain_frames)
{
  GstStructure *stats;
  GstMessage *message;
  GstHarness *h;
  guint64 plain;
  GstBus *bus;
  guint i;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  bus = harness_get_bus (h);
  fake_engine.plain = TRUE;
  for (i = 0; i < 3; i++) {
    gst_harness_push (h, harness_frame (SMALL_CAPS, i));
    harness_expect_frame (h, i);
  }
  fake_engine.plain = FALSE;
  gst_harness_push (h, harness_frame (SMALL_CAPS, 3));
  harness_expect_frame (h, 3);
  gst_harness_get (h, "dloral", "stats", &stats, NULL);
  fail_unless (gst_structure_get_uint64 (stats, "frames-plain", &plain));
  fail_unless_equals_uint64 (plain, 3);
  gst_structure_free (stats);
  message = gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING);
  fail_unless (message != NULL);
  gst_message_unref (message);
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING) == NULL);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  harness_end (h);
}

GST_END_TEST;

/* --- Properties ---------------------------------------------------------- */

GST_START_TEST (test_properties)
{
  GstElement *element;
  GParamSpec **specs;
  guint n, i;

  harness_setup ();
  element = gst_element_factory_make ("dloral", NULL);
  gst_util_set_object_arg (G_OBJECT (element), "precision", "bf16");
  gst_util_set_object_arg (G_OBJECT (element), "device", "cpu");
  gst_util_set_object_arg (G_OBJECT (element), "color-fix", "wavelet");
  gst_util_set_object_arg (G_OBJECT (element), "vae", "tiny");
  gst_util_set_object_arg (G_OBJECT (element), "auto-prompt", "scene");
  gst_util_set_object_arg (G_OBJECT (element), "overload", "drop");
  g_object_set (element, "bypass", TRUE, "skip-static", TRUE, "threads", 3, "cuda-device-id", 1, "tune", TRUE,
      "async-depth", 7, "model", "a",
      "prompt", "a", "tagger", "a", "consistency-strength", 0.5, "detail-strength", 0.0,
      "temporal-window", 0, "tile-size", 48, "tile-overlap", 4,
      "scene-cut-threshold", 0.0, NULL);
  specs = g_object_class_list_properties (G_OBJECT_GET_CLASS (element), &n);
  for (i = 0; i < n; i++) {
    GValue value = G_VALUE_INIT;

    if (specs[i]->owner_type != G_OBJECT_TYPE (element))
      continue;
    fail_unless (strlen (g_param_spec_get_blurb (specs[i])) > 5);
    g_value_init (&value, specs[i]->value_type);
    g_object_get_property (G_OBJECT (element), specs[i]->name, &value);
    if (!g_str_equal (specs[i]->name, "stats"))
      fail_if (g_param_value_defaults (specs[i], &value), "%s",
          specs[i]->name);
    g_value_unset (&value);
  }
  g_free (specs);
  gst_object_unref (element);
}

GST_END_TEST;

GST_START_TEST (test_stats)
{
  GstHarness *h;
  GstStructure *stats;
  guint64 in, out, latency, restore, memory;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 3000;
  h = harness_new (SMALL_CAPS, NULL);
  for (i = 0; i < 3; i++)
    gst_harness_push (h, harness_frame (SMALL_CAPS, i));
  gst_harness_push_event (h, gst_event_new_eos ());
  g_object_get (h->element, "stats", &stats, NULL);
  fail_unless (gst_structure_get (stats, "frames-in", G_TYPE_UINT64, &in,
          "frames-out", G_TYPE_UINT64, &out, "latency", G_TYPE_UINT64, &latency,
          "restore-time", G_TYPE_UINT64, &restore, "memory", G_TYPE_UINT64,
          &memory, NULL));
  fail_unless_equals_uint64 (in, 3);
  fail_unless_equals_uint64 (out, 3);
  fail_unless (latency >= 3 * GST_MSECOND);
  fail_unless_equals_uint64 (restore, 1000);
  fail_unless_equals_uint64 (memory, 3000);
  fail_unless_equals_string (gst_structure_get_string (stats, "device"),
      "fake");
  fail_unless_equals_string (gst_structure_get_string (stats, "precision"),
      "u8");
  gst_structure_free (stats);
  harness_end (h);
}

GST_END_TEST;

/* What applications and autopluggers look at. */
GST_START_TEST (test_class)
{
  GstElementFactory *factory;

  harness_setup ();
  factory = gst_element_factory_find ("dloral");
  fail_unless_equals_string (gst_element_factory_get_metadata (factory,
          GST_ELEMENT_METADATA_KLASS), "Filter/Effect/Video");
  fail_unless_equals_int (gst_plugin_feature_get_rank (GST_PLUGIN_FEATURE
          (factory)), GST_RANK_NONE);
  gst_object_unref (factory);
}

GST_END_TEST;

static Suite *
states_suite (void)
{
  Suite *s = suite_create ("states");
  TCase *tc = tcase_create ("states");
  const gint n = G_N_ELEMENTS (depths);

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_cycles, 0, n);
  tcase_add_loop_test (tc, test_play_twice, 0, n);
  tcase_add_loop_test (tc, test_stop_when_full, 0, n);
  tcase_add_loop_test (tc, test_stop_when_slow, 0, n);
  tcase_add_loop_test (tc, test_seeks, 0, n);
  tcase_add_test (tc, test_loading_does_not_block);
  tcase_add_loop_test (tc, test_progress, 0, 2);
  tcase_add_test (tc, test_progress_cancelled);
  tcase_add_test (tc, test_progress_compile);
  tcase_add_test (tc, test_plain_frames);
  tcase_add_test (tc, test_properties);
  tcase_add_test (tc, test_stats);
  tcase_add_test (tc, test_class);
  return s;
}

GST_CHECK_MAIN (states);
