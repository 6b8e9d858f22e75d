/* Prompts that a tagger finds in frames: which it looks at, what becomes of what it
 * finds, and that frames never wait for it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#define WIDE_CAPS "video/x-raw, format=RGB, width=48, height=20, " \
    "framerate=25/1"
#define LONG (60 * G_USEC_PER_SEC)

static GstHarness *
start (const gchar * properties, GstBus ** bus)
{
  GstHarness *h;

  fake_engine.text_encoder = TRUE;
  h = harness_new (NULL, properties);
  *bus = harness_get_bus (h);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  return h;
}

static void
end (GstHarness * h, GstBus * bus)
{
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  harness_end (h);
}

static void
push_and_pull (GstHarness * h, guint n)
{
  fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS, n)),
      GST_FLOW_OK);
  harness_expect_frame (h, n);
}

static void
expect_tags (GstBus * bus, const gchar * tags, const gchar * prompt)
{
  GstMessage *message = gst_bus_timed_pop_filtered (bus, 10 * GST_SECOND,
      GST_MESSAGE_ELEMENT);
  const GstStructure *s;

  fail_unless (message != NULL);
  s = gst_message_get_structure (message);
  fail_unless (gst_structure_has_name (s, "dloral-tags"));
  fail_unless_equals_string (gst_structure_get_string (s, "tags"), tags);
  fail_unless_equals_string (gst_structure_get_string (s, "prompt"), prompt);
  gst_message_unref (message);
}

/* Nothing of that type was posted. */
static void
expect_none (GstBus * bus, GstMessageType type)
{
  fail_unless (gst_bus_pop_filtered (bus, type) == NULL);
}

static void
expect_warning (GstBus * bus)
{
  GstMessage *message = gst_bus_timed_pop_filtered (bus, 10 * GST_SECOND,
      GST_MESSAGE_WARNING);

  fail_unless (message != NULL);
  gst_message_unref (message);
}

static void
expect_stats (GstHarness * h, const gchar * tags)
{
  GstStructure *stats;

  gst_harness_get (h, "dloral", "stats", &stats, NULL);
  fail_unless_equals_string (gst_structure_get_string (stats, "tags"), tags);
  gst_structure_free (stats);
}

static void
expect_prompt (const gchar * prompt)
{
  fail_unless_equals_string (fake_engine.params.conditions.prompt, prompt);
}

GST_START_TEST (test_off)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = start ("prompt=snow", &bus);
  push_and_pull (h, 0);
  push_and_pull (h, 1);
  expect_prompt ("snow");
  expect_stats (h, "");
  fail_unless_equals_int (fake_engine.tagger_opens, 0);
  end (h, bus);
}

GST_END_TEST;

/* Once, with what the application says behind it; then it is closed. */
GST_START_TEST (test_first_frame)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  fake_engine.cut = 2;
  h = start ("auto-prompt=first-frame prompt=snow", &bus);
  push_and_pull (h, 0);
  expect_tags (bus, "level-16", "level-16, snow,");
  expect_stats (h, "level-16");
  for (guint n = 1; n < 6; n++) {
    push_and_pull (h, n);
    expect_prompt ("level-16, snow,");
  }
  gst_harness_set (h, "dloral", "prompt", NULL, NULL);
  harness_wait_for (&fake_engine.changes, 2);
  push_and_pull (h, 6);
  expect_prompt ("level-16, ,");
  fail_unless_equals_int (fake_engine.tagged, 1);
  fail_unless_equals_int (fake_engine.taggers, 0);
  expect_none (bus, GST_MESSAGE_ELEMENT | GST_MESSAGE_WARNING);
  end (h, bus);
}

GST_END_TEST;

/* Frames go on as before; who stops need not wait either. */
GST_START_TEST (test_slow)
{
  GstHarness *h;
  GstBus *bus;
  gint64 before;

  harness_setup ();
  fake_engine.tag_us = LONG;
  h = start ("auto-prompt=first-frame prompt=snow", &bus);
  for (guint n = 0; n < 20; n++) {
    push_and_pull (h, n);
    expect_prompt ("snow");
  }
  expect_stats (h, "");
  harness_wait_for (&fake_engine.tagger_opens, 1);
  before = g_get_monotonic_time ();
  end (h, bus);
  fail_unless (g_get_monotonic_time () - before < 10 * G_USEC_PER_SEC);
  fail_unless_equals_int (fake_engine.tags_cancelled, 1);
}

GST_END_TEST;

/* A frame after each cut, by a tagger that stays. */
GST_START_TEST (test_scene)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  fake_engine.cut = 3;
  h = start ("auto-prompt=scene async-depth=0", &bus);
  push_and_pull (h, 0);
  expect_tags (bus, "level-16", "level-16, ,");
  for (guint n = 1; n < 4; n++)
    push_and_pull (h, n);       /* the last one is known to be a cut now */
  push_and_pull (h, 4);
  expect_tags (bus, "level-32", "level-32, ,");
  push_and_pull (h, 5);
  expect_prompt ("level-32, ,");
  expect_stats (h, "level-32");
  fail_unless_equals_int (fake_engine.tagged, 2);
  fail_unless_equals_int (fake_engine.tagger_opens, 1);
  fail_unless_equals_int (fake_engine.taggers, 1);
  end (h, bus);
}

GST_END_TEST;

/* The same again is no news. */
GST_START_TEST (test_same)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = start ("auto-prompt=scene async-depth=0", &bus);
  fake_engine.cut = 1;
  push_and_pull (h, 0);
  expect_tags (bus, "level-16", "level-16, ,");
  for (gint i = 2; i < 5; i++) {
    push_and_pull (h, 0);
    push_and_pull (h, 0);
    harness_wait_for (&fake_engine.tagged, i);
  }
  fail_unless_equals_int (fake_engine.changes, 1);
  end (h, bus);
}

GST_END_TEST;

static void
push_segment (GstHarness * h)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  fail_unless (gst_harness_push_event (h, gst_event_new_segment (&segment)));
}

/* Another video is looked at anew; after a seek only with "scene". */
GST_START_TEST (test_beginnings)
{
  static const gchar *const modes[] = { "auto-prompt=first-frame",
    "auto-prompt=scene"
  };
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = start (modes[__i__], &bus);
  push_and_pull (h, 0);
  expect_tags (bus, "level-16", "level-16, ,");
  push_segment (h);
  push_and_pull (h, 1);
  if (__i__ == 1)
    expect_tags (bus, "level-20", "level-20, ,");
  fail_unless (gst_harness_push_event (h, gst_event_new_stream_start ("b")));
  push_segment (h);
  push_and_pull (h, 2);
  expect_tags (bus, "level-24", "level-24, ,");
  push_and_pull (h, 3);
  fail_unless_equals_int (fake_engine.tagged, 2 + __i__);
  end (h, bus);
}

GST_END_TEST;

static void
set_mode (GstHarness * h, const gchar * mode)
{
  GstElement *element = gst_harness_find_element (h, "dloral");

  gst_util_set_object_arg (G_OBJECT (element), "auto-prompt", mode);
  gst_object_unref (element);
}

GST_START_TEST (test_on_and_off)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = start ("prompt=snow", &bus);
  push_and_pull (h, 0);
  set_mode (h, "scene");
  push_and_pull (h, 1);
  expect_tags (bus, "level-20", "level-20, snow,");
  set_mode (h, "off");
  harness_wait_for (&fake_engine.changes, 2);
  push_and_pull (h, 2);
  expect_prompt ("snow");
  expect_stats (h, "");
  fail_unless_equals_int (fake_engine.taggers, 0);
  end (h, bus);
}

GST_END_TEST;

/* One warning, frames go on; with a tagger that can be opened all is well. */
GST_START_TEST (test_failure)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = start ("auto-prompt=scene tagger=nowhere async-depth=0", &bus);
  fake_engine.cut = 1;
  push_and_pull (h, 0);
  expect_warning (bus);
  for (guint n = 1; n < 10; n++)
    push_and_pull (h, n);
  expect_none (bus, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  gst_harness_set (h, "dloral", "tagger", FAKE_TAGGER_GOOD, NULL);
  push_and_pull (h, 10);
  expect_tags (bus, "level-56, good-tagger", "level-56, good-tagger, ,");
  end (h, bus);
}

GST_END_TEST;

GST_START_TEST (test_unread)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = start ("auto-prompt=first-frame", &bus);
  fake_engine.text_encoder = FALSE;
  push_and_pull (h, 0);
  expect_warning (bus);
  push_and_pull (h, 1);
  expect_none (bus, GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  fail_unless_equals_int (fake_engine.tagger_opens, 0);
  end (h, bus);
}

GST_END_TEST;

/* Whatever else is wished for meanwhile goes first, and nothing is lost. */
GST_START_TEST (test_changes_meanwhile)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  fake_engine.tag_us = LONG;
  h = start ("auto-prompt=first-frame", &bus);
  push_and_pull (h, 0);
  harness_wait_for (&fake_engine.tagger_opens, 1);
  gst_harness_set (h, "dloral", "detail-strength", 0.5, NULL);
  harness_wait_for (&fake_engine.changes, 1);
  harness_wait_for (&fake_engine.tags_cancelled, 1);
  gst_harness_set_src_caps_str (h, WIDE_CAPS);
  fail_unless_equals_int (gst_harness_push (h, harness_frame (WIDE_CAPS, 1)),
      GST_FLOW_OK);
  gst_buffer_unref (gst_harness_pull (h));
  harness_wait_for (&fake_engine.tags_cancelled, 2);
  g_atomic_int_set (&fake_engine.tag_us, 0);
  gst_harness_set (h, "dloral", "model", FAKE_MODEL_OTHER, NULL);
  expect_tags (bus, "level-16", "level-16, ,");
  expect_stats (h, "level-16");
  end (h, bus);
}

GST_END_TEST;

static Suite *
prompts_suite (void)
{
  Suite *s = suite_create ("prompts");
  TCase *tc = tcase_create ("all");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_off);
  tcase_add_test (tc, test_first_frame);
  tcase_add_test (tc, test_slow);
  tcase_add_test (tc, test_scene);
  tcase_add_test (tc, test_same);
  tcase_add_loop_test (tc, test_beginnings, 0, 2);
  tcase_add_test (tc, test_on_and_off);
  tcase_add_test (tc, test_failure);
  tcase_add_test (tc, test_unread);
  tcase_add_test (tc, test_changes_meanwhile);
  return s;
}

GST_CHECK_MAIN (prompts);
