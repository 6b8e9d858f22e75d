/* Frames through the element: all of them, in order, with what they carry; and
 * what happens when something fails.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

static const guint depths[] = { 0, 1, 2, 5 };

/* An element of the loop's depth with frames of `caps`. */
static GstHarness *
new_of_depth (const gchar * caps, guint depth)
{
  gchar *text = g_strdup_printf ("async-depth=%u", depth);
  GstHarness *h = harness_new (caps, text);

  g_free (text);
  return h;
}

/* Pushes small frames first ... last; returns what the last push did. */
static GstFlowReturn
push_frames (GstHarness * h, guint first, guint last)
{
  GstFlowReturn flow = GST_FLOW_OK;
  guint i;

  for (i = first; i <= last && flow == GST_FLOW_OK; i++)
    flow = gst_harness_push (h, harness_frame (SMALL_CAPS, i));
  return flow;
}

/* --- All frames ---------------------------------------------------------- */

/* Everything that goes in comes out, the first frame too, in order. */
GST_START_TEST (test_all_frames)
{
  const guint n_frames = 20;
  GstHarness *h;
  guint i;

  harness_setup ();
  h = new_of_depth (SMALL_CAPS, depths[__i__]);
  fail_unless_equals_int (push_frames (h, 0, n_frames - 1), GST_FLOW_OK);
  fail_unless (gst_harness_push_event (h, gst_event_new_eos ()));
  fail_unless_equals_int (gst_harness_buffers_in_queue (h), n_frames);
  for (i = 0; i < n_frames; i++)
    harness_expect_frame (h, i);
  fail_unless (fake_engine.most_in_flight <= (gint) MAX (1, depths[__i__]) + 1);
  fail_unless_equals_int (fake_engine.disconts, 1);
  harness_end (h);
}

GST_END_TEST;

/* A finished frame does not wait for the next one to come in. */
GST_START_TEST (test_leaves_at_once)
{
  GstHarness *h;
  guint i;

  harness_setup ();
  h = new_of_depth (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < 5; i++) {
    fail_unless_equals_int (push_frames (h, i, i), GST_FLOW_OK);
    harness_expect_frame (h, i);
  }
  harness_end (h);
}

GST_END_TEST;

/* With frames in flight the next one comes in while the first is computed;
 * without, it does not. */
GST_START_TEST (test_in_flight)
{
  GstHarness *h;

  harness_setup ();
  fake_engine.frame_us = 20000;
  h = new_of_depth (SMALL_CAPS, depths[__i__]);
  fail_unless_equals_int (push_frames (h, 0, 9), GST_FLOW_OK);
  fail_unless_equals_int (fake_engine.most_in_flight,
      depths[__i__] == 0 ? 1 : (gint) depths[__i__] + 1);
  harness_end (h);
}

GST_END_TEST;

/* --- What frames carry --------------------------------------------------- */

/* Times as they were: gaps, no duration, no time at all; flags and offsets. */
GST_START_TEST (test_times)
{
  static const struct
  {
    GstClockTime pts, dts, duration;
    guint flags;
  } frames[] = {
    {0, 0, 40, 0}, {40, 30, 45, GST_BUFFER_FLAG_DELTA_UNIT},
    {500, 400, GST_CLOCK_TIME_NONE, GST_BUFFER_FLAG_MARKER},
    {501, GST_CLOCK_TIME_NONE, 1, 0},
    {GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE, 0},
    {502, GST_CLOCK_TIME_NONE, 1, GST_BUFFER_FLAG_DROPPABLE},
  };
  const guint mask = GST_BUFFER_FLAG_DELTA_UNIT | GST_BUFFER_FLAG_MARKER
      | GST_BUFFER_FLAG_DROPPABLE | GST_BUFFER_FLAG_DISCONT;
  GstHarness *h;
  guint i;

  harness_setup ();
  h = new_of_depth (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < G_N_ELEMENTS (frames); i++) {
    GstBuffer *buffer = harness_frame (SMALL_CAPS, i);

    GST_BUFFER_PTS (buffer) = frames[i].pts;
    GST_BUFFER_DTS (buffer) = frames[i].dts;
    GST_BUFFER_DURATION (buffer) = frames[i].duration;
    GST_BUFFER_OFFSET_END (buffer) = 100 + i;
    GST_BUFFER_FLAG_SET (buffer, frames[i].flags);
    fail_unless_equals_int (gst_harness_push (h, buffer), GST_FLOW_OK);
  }
  for (i = 0; i < G_N_ELEMENTS (frames); i++) {
    GstBuffer *buffer = gst_harness_pull (h);

    fail_unless_equals_uint64 (GST_BUFFER_PTS (buffer), frames[i].pts);
    fail_unless_equals_uint64 (GST_BUFFER_DTS (buffer), frames[i].dts);
    fail_unless_equals_uint64 (GST_BUFFER_DURATION (buffer),
        frames[i].duration);
    fail_unless_equals_uint64 (GST_BUFFER_OFFSET (buffer), i);
    fail_unless_equals_uint64 (GST_BUFFER_OFFSET_END (buffer), 100 + i);
    fail_unless_equals_int (GST_BUFFER_FLAGS (buffer) & mask, frames[i].flags);
    gst_buffer_unref (buffer);
  }
  harness_end (h);
}

GST_END_TEST;

static const gchar *const rates[] = {
  "framerate=0/1", "framerate=0/1, max-framerate=60/1", "framerate=30000/1001",
  "framerate=25/1, pixel-aspect-ratio=16/11",
};

/* Framerate and pixel shape pass; none is needed. */
GST_START_TEST (test_rate)
{
  gchar *text = g_strdup_printf ("video/x-raw, format=RGB, width=32, "
      "height=16, %s", rates[__i__]);
  gchar *expected = g_strdup_printf ("video/x-raw, width=128, height=64, %s",
      rates[__i__]);
  GstCaps *subset = gst_caps_from_string (expected), *caps;
  GstHarness *h;
  guint i;

  harness_setup ();
  h = harness_new (text, NULL);
  fail_unless_equals_int (push_frames (h, 0, 5), GST_FLOW_OK);
  for (i = 0; i <= 5; i++)
    harness_expect_frame (h, i);
  caps = harness_get_out_caps (h);
  fail_unless (gst_caps_is_subset (caps, subset));
  gst_caps_unref (caps);
  gst_caps_unref (subset);
  harness_end (h);
  g_free (expected);
  g_free (text);
}

GST_END_TEST;

/* --- Failures of the engine ---------------------------------------------- */

/* One frame's failure stops the stream; the frames before it come out. */
GST_START_TEST (test_frame_error)
{
  GstHarness *h;
  GstBus *bus;
  guint i;

  harness_setup ();
  fake_engine.failing_frame = 3;
  fake_engine.frame_us = 1000;
  h = new_of_depth (SMALL_CAPS, depths[__i__]);
  bus = harness_get_bus (h);
  fail_unless_equals_int (push_frames (h, 0, 30), GST_FLOW_ERROR);
  harness_expect_error (bus, GST_LIBRARY_ERROR, GST_LIBRARY_ERROR_FAILED);
  for (i = 0; i < 3; i++)
    harness_expect_frame (h, i);
  fail_unless_equals_int (gst_harness_buffers_in_queue (h), 0);
  harness_end (h);
}

GST_END_TEST;

/* No room for the frames' size, or for their format. */
GST_START_TEST (test_stream_error)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  fake_engine.fail_stream = __i__ == 0;
  fake_engine.fail_formats = __i__ == 1;
  h = harness_new (NULL, NULL);
  bus = harness_get_bus (h);    /* before there is anything to prepare */
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  fail_unless_equals_int (push_frames (h, 0, 0), GST_FLOW_ERROR);
  harness_expect_error (bus, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NO_SPACE_LEFT);
  harness_end (h);
}

GST_END_TEST;

/* A model that cannot be had. */
static const struct
{
  const gchar *model;
  gint code;
} no_models[] = {
  {FAKE_MODEL_MISSING, GST_RESOURCE_ERROR_NOT_FOUND},
  {FAKE_MODEL_BROKEN, GST_RESOURCE_ERROR_READ},
  {FAKE_MODEL_HUGE, GST_RESOURCE_ERROR_NO_SPACE_LEFT},
};

/* Which takes a while to show. */
GST_START_TEST (test_model_error)
{
  gchar *text = g_strdup_printf ("model=%s", no_models[__i__].model);
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  fake_engine.open_us = 400000;
  h = harness_new (NULL, text);
  bus = harness_get_bus (h);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  fail_unless_equals_int (push_frames (h, 0, 0), GST_FLOW_ERROR);
  harness_expect_error (bus, GST_RESOURCE_ERROR, no_models[__i__].code);
  harness_end (h);
  g_free (text);
}

GST_END_TEST;

/* Which shows at once: there is no start. With another model there is. */
GST_START_TEST (test_no_start)
{
  GstElement *element;
  GstBus *bus;

  harness_setup ();
  element = gst_object_ref_sink (gst_element_factory_make ("dloral", NULL));
  for (guint round = 0; round < 2; round++) {
    bus = gst_bus_new ();
    gst_element_set_bus (element, bus);
    g_object_set (element, "model", no_models[__i__].model, NULL);
    fail_unless_equals_int (gst_element_set_state (element, GST_STATE_PAUSED),
        GST_STATE_CHANGE_FAILURE);
    harness_expect_error (bus, GST_RESOURCE_ERROR, no_models[__i__].code);
    gst_element_set_state (element, GST_STATE_NULL);

    g_object_set (element, "model", FAKE_MODEL_GOOD, NULL);
    fail_unless_equals_int (gst_element_set_state (element, GST_STATE_PAUSED),
        GST_STATE_CHANGE_SUCCESS);
    gst_element_set_state (element, GST_STATE_NULL);
  }
  gst_element_set_bus (element, NULL);
  gst_object_unref (element);
}

GST_END_TEST;

/* A frame that is shorter than its caps say. */
GST_START_TEST (test_short_buffer)
{
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  bus = harness_get_bus (h);
  fail_unless_equals_int (gst_harness_push (h,
          gst_buffer_new_allocate (NULL, 100, NULL)), GST_FLOW_ERROR);
  harness_expect_error (bus, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT);
  harness_end (h);
}

GST_END_TEST;

/* --- What downstream answers --------------------------------------------- */

typedef struct
{
  GstFlowReturn flow;           /* from buffer `first` on */
  gint first;
  gint seen;
} Refusal;

static GstPadProbeReturn
refuse (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Refusal *r = user_data;

  if (g_atomic_int_add (&r->seen, 1) < r->first)
    return GST_PAD_PROBE_OK;
  gst_buffer_unref (GST_PAD_PROBE_INFO_BUFFER (info));
  GST_PAD_PROBE_INFO_DATA (info) = NULL;
  GST_PAD_PROBE_INFO_FLOW_RETURN (info) = r->flow;
  return GST_PAD_PROBE_HANDLED;
}

static const GstFlowReturn refusals[] = {
  GST_FLOW_EOS, GST_FLOW_ERROR, GST_FLOW_NOT_LINKED, GST_FLOW_NOT_NEGOTIATED,
  GST_FLOW_FLUSHING,
};

/* Upstream hears of it, with the ring full or not. */
GST_START_TEST (test_downstream_refuses)
{
  Refusal r = { refusals[__i__ / 4], 2, 0 };
  GstHarness *h;

  harness_setup ();
  fake_engine.frame_us = 1000;
  h = new_of_depth (SMALL_CAPS, depths[__i__ % 4]);
  gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, refuse, &r, NULL);
  fail_unless_equals_int (push_frames (h, 0, 60), r.flow);
  harness_expect_frame (h, 0);
  harness_expect_frame (h, 1);
  harness_end (h);
}

GST_END_TEST;

/* When the last frame fails downstream, nobody upstream is told: we say so. */
GST_START_TEST (test_refused_at_eos)
{
  Refusal r = { GST_FLOW_NOT_NEGOTIATED, 0, 0 };
  GstHarness *h;
  GstBus *bus;

  harness_setup ();
  fake_engine.frame_us = 30000;
  h = harness_new (SMALL_CAPS, NULL);
  bus = harness_get_bus (h);
  gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, refuse, &r, NULL);
  fail_unless_equals_int (push_frames (h, 0, 0), GST_FLOW_OK);
  gst_harness_push_event (h, gst_event_new_eos ());
  harness_expect_error (bus, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED);
  harness_end (h);
}

GST_END_TEST;

/* After EOS from downstream, a new segment starts anew. */
GST_START_TEST (test_segment_after_eos)
{
  Refusal r = { GST_FLOW_EOS, 0, 0 };
  GstSegment segment;
  GstHarness *h;
  gulong probe;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  probe = gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, refuse, &r,
      NULL);
  fail_unless_equals_int (push_frames (h, 0, 60), GST_FLOW_EOS);
  gst_pad_remove_probe (h->sinkpad, probe);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  fail_unless_equals_int (push_frames (h, 7, 9), GST_FLOW_OK);
  harness_expect_frame (h, 7);
  harness_end (h);
}

GST_END_TEST;

static Suite *
flow_suite (void)
{
  Suite *s = suite_create ("flow");
  TCase *tc = tcase_create ("flow");
  const gint n = G_N_ELEMENTS (depths);

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_all_frames, 0, n);
  tcase_add_loop_test (tc, test_leaves_at_once, 0, n);
  tcase_add_loop_test (tc, test_in_flight, 0, n);
  tcase_add_loop_test (tc, test_times, 0, n);
  tcase_add_loop_test (tc, test_rate, 0, G_N_ELEMENTS (rates));
  tcase_add_loop_test (tc, test_frame_error, 0, n);
  tcase_add_loop_test (tc, test_stream_error, 0, 2);
  tcase_add_loop_test (tc, test_model_error, 0, G_N_ELEMENTS (no_models));
  tcase_add_loop_test (tc, test_no_start, 0, G_N_ELEMENTS (no_models));
  tcase_add_test (tc, test_short_buffer);
  tcase_add_loop_test (tc, test_downstream_refuses, 0,
      4 * G_N_ELEMENTS (refusals));
  tcase_add_test (tc, test_refused_at_eos);
  tcase_add_test (tc, test_segment_after_eos);
  return s;
}

GST_CHECK_MAIN (flow);
