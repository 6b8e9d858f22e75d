/* Nothing of ours outlives a pipeline: buffers, events, caps, the element. The
 * "leaks" tracer, which the environment must name, counts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#define SOURCE "videotestsrc num-buffers=20 ! video/x-raw, format=I420, " \
    "width=32, height=16 ! dloral model=" FAKE_MODEL_GOOD " "

#define N_CYCLES 200

static const gchar *const pipelines[] = {
  SOURCE "! fakesink sync=false",
  SOURCE "async-depth=0 ! video/x-raw, width=64 ! fakesink sync=false",
  SOURCE "async-depth=4 ! identity error-after=5 ! fakesink sync=false",
  SOURCE "! video/x-raw, format=RGBA ! queue ! fakesink sync=false",
};

static GstTracer *
find_tracer (void)
{
  GList *tracers = gst_tracing_get_active_tracers (), *l;
  GstTracer *found = NULL;

  for (l = tracers; l; l = l->next) {
    if (g_str_equal (G_OBJECT_TYPE_NAME (l->data), "GstLeaksTracer"))
      found = gst_object_ref (l->data);
  }
  g_list_free_full (tracers, gst_object_unref);
  fail_unless (found != NULL, "run with GST_TRACERS=leaks");
  return found;
}

/* Until it ends, by EOS or by an error; stopped halfway where asked. */
static void
play (const gchar * text, gboolean halfway)
{
  GstElement *pipeline = gst_parse_launch (text, NULL);
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *message;

  fake_engine.frame_us = 1000;
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  if (halfway)
    harness_wait_for (&fake_engine.frames, 3);
  else if ((message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
              GST_MESSAGE_EOS | GST_MESSAGE_ERROR)))
    gst_message_unref (message);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (bus);
  gst_object_unref (pipeline);
}

/* Objects of a running pipeline; plugins, factories and templates stay. */
static gboolean
is_transient (const gchar * type)
{
  static const gchar *const types[] = {
    "GstBuffer", "GstEvent", "GstMessage", "GstQuery", "GstDloral", "GstPad",
    "GstPipeline", "GstVideoBufferPool", "GstSample",
  };
  guint i;

  for (i = 0; i < G_N_ELEMENTS (types); i++) {
    if (g_str_equal (type, types[i]))
      return TRUE;
  }
  return FALSE;
}

/* The type of some transient object that is alive, or NULL. */
static const gchar *
find_live (GstTracer * tracer)
{
  GstStructure *live = NULL;
  const GValue *list;
  guint i;

  g_signal_emit_by_name (tracer, "get-live-objects", &live);
  fail_unless (live != NULL);
  list = gst_structure_get_value (live, "live-objects-list");
  for (i = 0; list && i < gst_value_list_get_size (list); i++) {
    const GstStructure *s =
        gst_value_get_structure (gst_value_list_get_value (list, i));
    GValue *object = (GValue *) gst_structure_get_value (s, "object");

    if (is_transient (G_VALUE_TYPE_NAME (object)))
      return G_VALUE_TYPE_NAME (object);
  }
  /* `live` is not freed: its values own no reference (GStreamer 1.22). */
  return NULL;
}

/* Threads of GStreamer's own may hold the pipeline for a moment after it has
 * been stopped; to look while they let go of it is more than the tracer of 1.22
 * can bear. */
static void
expect_no_leaks (GstTracer * tracer)
{
  gint64 end = g_get_monotonic_time () + 10 * G_TIME_SPAN_SECOND;
  const gchar *left;

  do {
    g_usleep (200000);
    left = find_live (tracer);
    fail_if (left && g_get_monotonic_time () > end, "%s is left", left);
  } while (left);
}

GST_START_TEST (test_leaks)
{
  GstTracer *tracer = find_tracer ();

  harness_setup ();
  play (pipelines[__i__ / 2], __i__ % 2);
  expect_no_leaks (tracer);
  gst_object_unref (tracer);
}

GST_END_TEST;

/* Started and stopped again and again: while the model opens, with frames in
 * flight, with the ring full, paused, to every lower state. */
GST_START_TEST (test_cycles)
{
  static const GstState down[] = { GST_STATE_READY, GST_STATE_NULL };
  GstTracer *tracer = find_tracer ();
  GstElement *pipeline;
  guint i;

  harness_setup ();
  fake_engine.open_us = fake_engine.frame_us = 500;
  pipeline = gst_parse_launch ("videotestsrc ! video/x-raw, format=I420, "
      "width=32, height=16 ! dloral async-depth=3 model=" FAKE_MODEL_GOOD
      " ! fakesink sync=false", NULL);
  for (i = 0; i < N_CYCLES; i++) {
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
    if (i % 4 != 0)
      harness_wait_for (&fake_engine.frames, g_atomic_int_get
          (&fake_engine.frames) + i % 4);
    if (i % 3 == 1)
      gst_element_set_state (pipeline, GST_STATE_PAUSED);
    gst_element_set_state (pipeline, down[i / 4 % 2]);
    fail_unless_equals_int (g_atomic_int_get (&fake_engine.streams), 0);
  }
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  expect_no_leaks (tracer);
  gst_object_unref (tracer);
}

GST_END_TEST;

static Suite *
leaks_suite (void)
{
  Suite *s = suite_create ("leaks");
  TCase *tc = tcase_create ("leaks");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_leaks, 0, 2 * G_N_ELEMENTS (pipelines));
  tcase_add_test (tc, test_cycles);
  return s;
}

GST_CHECK_MAIN (leaks);
