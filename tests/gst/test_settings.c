/* Properties that reach the engine, before and while frames are played.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#define OTHER_CAPS "video/x-raw, format=RGB, width=48, height=20, " \
    "framerate=25/1"

static const gchar *const depths[] = { "async-depth=0", "async-depth=2" };

static void
push_and_pull (GstHarness * h, guint n)
{
  fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS, n)),
      GST_FLOW_OK);
  harness_expect_frame (h, n);
}

GST_START_TEST (test_defaults)
{
  GstHarness *h;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_and_pull (h, 0);
  fail_unless_equals_int (fake_engine.params.temporal_window, 1);
  fail_unless_equals_int (fake_engine.params.tile_size, 0);
  fail_unless_equals_int (fake_engine.params.tile_overlap, 0);
  fail_unless_equals_float (fake_engine.params.scene_cut_threshold, 15);
  fail_unless_equals_float
      (fake_engine.params.conditions.consistency_strength, 1);
  fail_unless_equals_float (fake_engine.params.conditions.detail_strength, 1);
  fail_unless_equals_int (fake_engine.changes, 0);
  harness_end (h);
}

GST_END_TEST;

GST_START_TEST (test_all)
{
  GstHarness *h;

  harness_setup ();
  h = harness_new (SMALL_CAPS, "temporal-window=3 tile-size=64 tile-overlap=12 "
      "scene-cut-threshold=4.5 consistency-strength=0.25 detail-strength=1.5");
  push_and_pull (h, 0);
  fail_unless_equals_int (fake_engine.params.temporal_window, 3);
  fail_unless_equals_int (fake_engine.params.tile_size, 64);
  fail_unless_equals_int (fake_engine.params.tile_overlap, 12);
  fail_unless_equals_float (fake_engine.params.scene_cut_threshold, 4.5);
  fail_unless_equals_float
      (fake_engine.params.conditions.consistency_strength, 0.25);
  fail_unless_equals_float (fake_engine.params.conditions.detail_strength,
      1.5);
  fail_unless_equals_int (fake_engine.changes, 0);
  harness_end (h);
}

GST_END_TEST;

/* A change of the conditions reaches the stream that is there. */
GST_START_TEST (test_change)
{
  GstHarness *h;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_and_pull (h, 0);
  gst_harness_set (h, "dloral", "detail-strength", 0.5, NULL);
  harness_wait_for (&fake_engine.changes, 1);
  push_and_pull (h, 1);
  fail_unless_equals_float (fake_engine.params.conditions.detail_strength,
      0.5);
  fail_unless_equals_float
      (fake_engine.params.conditions.consistency_strength, 1);
  fail_unless_equals_int (fake_engine.streams_made, 1);
  harness_end (h);
}

GST_END_TEST;

/* Of anything else, another stream takes over when it is ready; frames go on
 * meanwhile. */
GST_START_TEST (test_switch)
{
  GstHarness *h;
  guint n;

  harness_setup ();
  h = harness_new (SMALL_CAPS, depths[__i__]);
  push_and_pull (h, 0);
  fake_engine.open_us = fake_engine.compile_us = 100000;
  gst_harness_set (h, "dloral", "temporal-window", 2, "model",
      FAKE_MODEL_OTHER, NULL);
  for (n = 1; fake_engine.params.temporal_window == 1; n++) {
    fail_unless (n < 500, "waited in vain");
    push_and_pull (h, n);
    g_usleep (5000);
  }
  fail_unless (n > 10);
  fail_unless_equals_string (fake_engine.path, FAKE_MODEL_OTHER);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.models), 1);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.streams), 1);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.disconts), 2);
  harness_end (h);
}

GST_END_TEST;

/* A model that cannot be had is said, and the old one goes on; for another size of
 * frames, too. */
GST_START_TEST (test_switch_fails)
{
  GstHarness *h;
  GstMessage *message;
  GstBus *bus;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_and_pull (h, 0);
  bus = harness_get_bus (h);
  gst_harness_set (h, "dloral", "model", FAKE_MODEL_BROKEN, NULL);
  message = gst_bus_timed_pop_filtered (bus, 10 * GST_SECOND,
      GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  fail_unless (message != NULL);
  fail_unless_equals_int (GST_MESSAGE_TYPE (message), GST_MESSAGE_WARNING);
  gst_message_unref (message);
  push_and_pull (h, 1);
  gst_harness_set (h, "dloral", "detail-strength", 0.25, NULL);
  harness_wait_for (&fake_engine.changes, 1);
  push_and_pull (h, 2);
  gst_harness_set_src_caps_str (h, OTHER_CAPS);
  gst_harness_push (h, harness_frame (OTHER_CAPS, 3));
  gst_buffer_unref (gst_harness_pull (h));
  fail_unless (gst_bus_pop_filtered (bus, GST_MESSAGE_WARNING |
          GST_MESSAGE_ERROR) == NULL);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  harness_end (h);
}

GST_END_TEST;

/* There and back while the first is still being made: nothing waits for what is
 * not wanted any more. */
GST_START_TEST (test_switch_sizes)
{
  GstHarness *h;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_and_pull (h, 0);
  fake_engine.compile_us = 50000;
  gst_harness_set_src_caps_str (h, OTHER_CAPS);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  push_and_pull (h, 1);
  gst_harness_set_src_caps_str (h, OTHER_CAPS);
  g_usleep (20000);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  push_and_pull (h, 2);
  harness_end (h);
}

GST_END_TEST;

/* While a change is being prepared frames go on, further changes do not add
 * up, and the last one wins. */
GST_START_TEST (test_many_changes)
{
  GstHarness *h;
  guint i, n;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_and_pull (h, 0);
  fake_engine.open_us = 500000;
  for (i = 1; i <= 20; i++)
    gst_harness_set (h, "dloral", "consistency-strength", i * 0.1, NULL);
  push_and_pull (h, 1);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.changes), 0);
  for (n = 2; fake_engine.params.conditions.consistency_strength < 2; n++) {
    fail_unless (n < 50, "waited in vain");
    g_usleep (100000);
    push_and_pull (h, n);
  }
  fail_unless (g_atomic_int_get (&fake_engine.changes) <= 2);
  harness_end (h);
}

GST_END_TEST;

/* One that cannot be had is said, and the rest goes on. */
GST_START_TEST (test_change_fails)
{
  GstHarness *h;
  GstMessage *message;
  GError *error;
  GstBus *bus;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  bus = harness_get_bus (h);
  push_and_pull (h, 0);
  fake_engine.fail_conditions = TRUE;
  gst_harness_set (h, "dloral", "detail-strength", 0.5, NULL);
  message = gst_bus_timed_pop_filtered (bus, 10 * GST_SECOND,
      GST_MESSAGE_WARNING);
  fail_unless (message != NULL);
  gst_message_parse_warning (message, &error, NULL);
  fail_unless (g_error_matches (error, GST_RESOURCE_ERROR,
          GST_RESOURCE_ERROR_NO_SPACE_LEFT));
  g_error_free (error);
  gst_message_unref (message);
  gst_object_unref (bus);
  push_and_pull (h, 1);
  fail_unless_equals_float (fake_engine.params.conditions.detail_strength, 1);
  harness_end (h);
}

GST_END_TEST;

/* A prompt goes to models that read it; others say so, and all else is done. */
GST_START_TEST (test_prompt)
{
  GstHarness *h;

  harness_setup ();
  fake_engine.text_encoder = TRUE;
  h = harness_new (SMALL_CAPS, "prompt=snow");
  push_and_pull (h, 0);
  fail_unless_equals_string (fake_engine.params.conditions.prompt, "snow");
  gst_harness_set (h, "dloral", "prompt", "rain, fog", NULL);
  harness_wait_for (&fake_engine.changes, 1);
  push_and_pull (h, 1);
  fail_unless_equals_string (fake_engine.params.conditions.prompt,
      "rain, fog");
  gst_harness_set (h, "dloral", "prompt", NULL, NULL);
  harness_wait_for (&fake_engine.changes, 2);
  push_and_pull (h, 2);
  fail_unless (fake_engine.params.conditions.prompt == NULL);
  harness_end (h);
}

GST_END_TEST;

static void
expect_settings_warning (GstBus * bus)
{
  GstMessage *message = gst_bus_timed_pop_filtered (bus, 10 * GST_SECOND,
      GST_MESSAGE_WARNING);
  GError *error;

  fail_unless (message != NULL);
  gst_message_parse_warning (message, &error, NULL);
  fail_unless (g_error_matches (error, GST_LIBRARY_ERROR,
          GST_LIBRARY_ERROR_SETTINGS));
  g_error_free (error);
  gst_message_unref (message);
}

GST_START_TEST (test_prompt_unread)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = harness_new (NULL, "prompt=snow detail-strength=0.5");
  bus = harness_get_bus (h);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  push_and_pull (h, 0);
  expect_settings_warning (bus);
  fail_unless (fake_engine.params.conditions.prompt == NULL);
  fail_unless_equals_float (fake_engine.params.conditions.detail_strength,
      0.5);
  gst_harness_set (h, "dloral", "prompt", "rain", NULL);
  expect_settings_warning (bus);
  push_and_pull (h, 1);
  fail_unless (fake_engine.params.conditions.prompt == NULL);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  harness_end (h);
}

GST_END_TEST;

static Suite *
settings_suite (void)
{
  Suite *s = suite_create ("settings");
  TCase *tc = tcase_create ("all");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_defaults);
  tcase_add_test (tc, test_all);
  tcase_add_test (tc, test_change);
  tcase_add_loop_test (tc, test_switch, 0, G_N_ELEMENTS (depths));
  tcase_add_test (tc, test_switch_fails);
  tcase_add_test (tc, test_switch_sizes);
  tcase_add_test (tc, test_many_changes);
  tcase_add_test (tc, test_change_fails);
  tcase_add_test (tc, test_prompt);
  tcase_add_test (tc, test_prompt_unread);
  return s;
}

GST_CHECK_MAIN (settings);
