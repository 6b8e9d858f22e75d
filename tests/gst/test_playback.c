/* What players do to an element: segments and rates, seeks, gaps, streams of one
 * frame and of none, clocks that jump, sizes from one end to the other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

static const gchar *const depths[] = { "async-depth=0", "async-depth=2" };

static void
push_segment (GstHarness * h, gdouble rate, GstClockTime start,
    GstClockTime stop)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.rate = rate;
  segment.start = segment.time = segment.position = start;
  segment.stop = stop;
  gst_harness_push_event (h, gst_event_new_segment (&segment));
}

static void
push_at (GstHarness * h, guint n, GstClockTime time)
{
  GstBuffer *buffer = harness_frame (SMALL_CAPS, n);

  GST_BUFFER_PTS (buffer) = time;
  fail_unless_equals_int (gst_harness_push (h, buffer), GST_FLOW_OK);
}

static void
expect_at (GstHarness * h, guint n, GstClockTime time)
{
  GstBuffer *buffer = gst_harness_pull (h);

  fail_unless (buffer != NULL);
  fail_unless_equals_uint64 (GST_BUFFER_OFFSET (buffer), n);
  fail_unless_equals_uint64 (GST_BUFFER_PTS (buffer), time);
  fail_unless_equals_int (harness_get_level (buffer,
          "video/x-raw, format=RGB, width=128, height=64"), 16 + 4 * n);
  gst_buffer_unref (buffer);
}

static gint64
query_position (GstHarness * h)
{
  gint64 position = -1;

  gst_pad_peer_query_position (h->sinkpad, GST_FORMAT_TIME, &position);
  return position;
}

/* The next event of that type that came out, which must be there. */
static GstEvent *
pull_event (GstHarness * h, GstEventType type)
{
  GstEvent *event;

  while ((event = gst_harness_try_pull_event (h))) {
    if (GST_EVENT_TYPE (event) == type)
      return event;
    gst_event_unref (event);
  }
  fail ("no %s came", gst_event_type_get_name (type));
  return NULL;
}

/* --- Rates ------------------------------------------------------------------- */

static const gdouble rates[] = { 2.0, 0.5, -1.0, -2.0 };

/* Segments pass as they are, frames in the order they come: backwards too. */
GST_START_TEST (test_rates)
{
  gdouble rate = rates[__i__ / 2];
  const GstSegment *segment;
  GstHarness *h;
  GstEvent *event;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 1000;
  h = harness_new (SMALL_CAPS, depths[__i__ % 2]);
  push_segment (h, rate, 0, 10 * FRAME_DURATION);
  for (i = 0; i < 10; i++)
    push_at (h, i, (rate < 0 ? 9 - i : i) * FRAME_DURATION);
  gst_harness_push_event (h, gst_event_new_eos ());
  for (i = 0; i < 10; i++)
    expect_at (h, i, (rate < 0 ? 9 - i : i) * FRAME_DURATION);
  fail_unless_equals_int64 (query_position (h),
      rate < 0 ? 0 : 10 * FRAME_DURATION);
  event = pull_event (h, GST_EVENT_SEGMENT);    /* the harness's own */
  gst_event_unref (event);
  event = pull_event (h, GST_EVENT_SEGMENT);
  gst_event_parse_segment (event, &segment);
  fail_unless_equals_float (segment->rate, rate);
  gst_event_unref (event);
  gst_event_unref (pull_event (h, GST_EVENT_EOS));
  harness_end (h);
}

GST_END_TEST;

/* --- Seeks --------------------------------------------------------------------- */

/* Without a flush every frame before the seek comes; with one those that were on
 * their way do not. Either way what follows has a past of its own. */
GST_START_TEST (test_seek)
{
  gboolean flushing = __i__ / 2;
  GstHarness *h;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 2000;
  h = harness_new (SMALL_CAPS, depths[__i__ % 2]);
  for (i = 0; i < 6; i++)
    push_at (h, i, i * FRAME_DURATION);
  if (flushing) {
    gst_harness_push_event (h, gst_event_new_flush_start ());
    gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
    while (gst_harness_buffers_in_queue (h) > 0)
      gst_buffer_unref (gst_harness_pull (h));
  } else {
    gst_harness_push_event (h,
        gst_event_new_segment_done (GST_FORMAT_TIME, 6 * FRAME_DURATION));
  }
  push_segment (h, 1, 30 * FRAME_DURATION, GST_CLOCK_TIME_NONE);
  for (i = 30; i < 34; i++)
    push_at (h, i, i * FRAME_DURATION);
  gst_harness_push_event (h, gst_event_new_eos ());
  for (i = flushing ? 30 : 0; i < 34; i = i == 5 ? 30 : i + 1)
    expect_at (h, i, i * FRAME_DURATION);
  fail_unless_equals_int64 (query_position (h), 34 * FRAME_DURATION);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.disconts), 2);
  harness_end (h);
}

GST_END_TEST;

static gpointer
push_until_refused (gpointer h)
{
  GstFlowReturn flow = GST_FLOW_OK;
  guint i;

  for (i = 0; flow == GST_FLOW_OK && i < 10; i++)
    flow = gst_harness_push (h, harness_frame (SMALL_CAPS, i));
  return GINT_TO_POINTER (flow);
}

#define AGES (60 * G_USEC_PER_SEC)

/* A flush has not to wait for a slow model's frame, nor has a stop: in its thread
 * or ours. */
GST_START_TEST (test_quick)
{
  gboolean stop = __i__ / 2;
  GstHarness *h;
  GThread *thread;
  gint64 began;

  harness_setup ();
  fake_engine.frame_us = AGES;
  h = harness_new (SMALL_CAPS, depths[__i__ % 2]);
  thread = g_thread_new ("upstream", push_until_refused, h);
  harness_wait_for (&fake_engine.streams, 1);
  g_usleep (50000);
  began = g_get_monotonic_time ();
  if (stop) {
    gst_element_set_state (h->element, GST_STATE_READY);
  } else {
    gst_harness_push_event (h, gst_event_new_flush_start ());
    gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  }
  fail_unless_equals_int (GPOINTER_TO_INT (g_thread_join (thread)),
      GST_FLOW_FLUSHING);
  fail_unless (g_get_monotonic_time () - began < G_USEC_PER_SEC);
  fail_unless_equals_int (gst_harness_buffers_in_queue (h), 0);
  harness_end (h);
}

GST_END_TEST;

/* Nor for a model that is being read, made ready or steered. */
GST_START_TEST (test_quick_stop)
{
  GstHarness *h;
  gint64 began;

  harness_setup ();
  fake_engine.open_us = __i__ == 0 ? AGES : 0;
  fake_engine.compile_us = __i__ == 1 ? AGES : 0;
  h = harness_new (SMALL_CAPS, NULL);
  harness_wait_for (__i__ == 0 ? &fake_engine.opens : &fake_engine.models, 1);
  if (__i__ == 2) {
    push_at (h, 0, 0);
    fake_engine.open_us = AGES;
    gst_harness_set (h, "dloral", "detail-strength", 0.5, NULL);
  }
  g_usleep (20000);
  began = g_get_monotonic_time ();
  gst_element_set_state (h->element, GST_STATE_READY);
  fail_unless (g_get_monotonic_time () - began < G_USEC_PER_SEC);
  harness_end (h);
}

GST_END_TEST;

/* --- Short streams --------------------------------------------------------------- */

/* Nothing, a single picture, and each again after the end. */
GST_START_TEST (test_short)
{
  guint n = __i__ / 2, round, i;
  GstHarness *h;

  harness_setup ();
  h = harness_new (SMALL_CAPS, depths[__i__ % 2]);
  for (round = 0; round < 2; round++) {
    gst_harness_push_event (h, gst_event_new_stream_start ("short"));
    push_segment (h, 1, 0, GST_CLOCK_TIME_NONE);
    for (i = 0; i < n; i++)
      push_at (h, i, i * FRAME_DURATION);
    gst_harness_push_event (h, gst_event_new_eos ());
    for (i = 0; i < n; i++)
      expect_at (h, i, i * FRAME_DURATION);
    gst_event_unref (pull_event (h, GST_EVENT_EOS));
    fail_unless_equals_int (gst_harness_buffers_in_queue (h), 0);
  }
  harness_end (h);
}

GST_END_TEST;

/* EOS when not even caps came. */
GST_START_TEST (test_end_before_caps)
{
  GstHarness *h;

  harness_setup ();
  h = harness_new (NULL, depths[__i__]);
  gst_harness_play (h);
  gst_harness_push_event (h, gst_event_new_stream_start ("empty"));
  fail_unless (gst_harness_push_event (h, gst_event_new_eos ()));
  gst_event_unref (pull_event (h, GST_EVENT_EOS));
  harness_end (h);
}

GST_END_TEST;

/* --- Times ------------------------------------------------------------------------ */

/* None, twice the same, backwards, far ahead: they are upstream's business and
 * leave as they came. */
GST_START_TEST (test_times)
{
  static const GstClockTime times[] = { 0, 0, 5 * GST_SECOND, GST_SECOND,
    GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE, 100 * 3600 * GST_SECOND, 1
  };
  GstHarness *h;
  guint i;

  harness_setup ();
  h = harness_new (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < G_N_ELEMENTS (times); i++)
    push_at (h, i, times[i]);
  gst_harness_push_event (h, gst_event_new_eos ());
  for (i = 0; i < G_N_ELEMENTS (times); i++)
    expect_at (h, i, times[i]);
  harness_end (h);
}

GST_END_TEST;

/* A gap between two frames stays between them. */
GST_START_TEST (test_gap)
{
  GstHarness *h;
  GstEvent *event;
  GstClockTime time;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 3000;
  h = harness_new (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < 2; i++)
    push_at (h, i, i * FRAME_DURATION);
  gst_harness_push_event (h, gst_event_new_gap (2 * FRAME_DURATION,
          8 * FRAME_DURATION));
  push_at (h, 10, 10 * FRAME_DURATION);
  gst_harness_push_event (h, gst_event_new_eos ());
  expect_at (h, 0, 0);
  expect_at (h, 1, FRAME_DURATION);
  expect_at (h, 10, 10 * FRAME_DURATION);
  event = pull_event (h, GST_EVENT_GAP);
  gst_event_parse_gap (event, &time, NULL);
  fail_unless_equals_uint64 (time, 2 * FRAME_DURATION);
  gst_event_unref (event);
  harness_end (h);
}

GST_END_TEST;

/* --- Sizes ------------------------------------------------------------------------ */

static const gint sizes[][2] = {
  {16, 16}, {17, 31}, {4096, 16}, {16, 4096}, {333, 129}, {1280, 720},
};

GST_START_TEST (test_sizes)
{
  const gint *size = sizes[__i__];
  gchar *in = g_strdup_printf ("video/x-raw, format=I420, width=%d, height=%d, "
      "framerate=25/1", size[0], size[1]);
  gchar *out = g_strdup_printf ("video/x-raw, format=I420, width=%d, height=%d",
      4 * size[0], 4 * size[1]);
  GstHarness *h;
  guint i;

  harness_setup ();
  h = harness_new (in, NULL);
  for (i = 0; i < 3; i++) {
    GstBuffer *buffer;

    gst_harness_set (h, "dloral", "bypass", i == 1, NULL);
    fail_unless_equals_int (gst_harness_push (h, harness_frame (in, 20)),
        GST_FLOW_OK);
    buffer = gst_harness_pull (h);
    fail_unless (ABS ((gint) harness_get_level (buffer, out) - 96) <= 1);
    gst_buffer_unref (buffer);
  }
  harness_end (h);
  g_free (in);
  g_free (out);
}

GST_END_TEST;

/* --- Latency ---------------------------------------------------------------------- */

/* Whatever upstream says comes first, then ours; before any frame that is what may
 * be in flight. */
GST_START_TEST (test_latency)
{
  gboolean live = __i__ % 2, is_live;
  guint depth = __i__ / 2;
  GstClockTime min, max;
  GstHarness *h;
  GstQuery *query = gst_query_new_latency ();

  harness_setup ();
  h = harness_new (NULL, NULL);
  gst_harness_set (h, "dloral", "async-depth", depth, NULL);
  gst_element_set_state (h->element, GST_STATE_NULL);
  gst_harness_play (h);
  gst_harness_set_live (h, live);
  gst_harness_set_upstream_latency (h, 7 * GST_MSECOND);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  fail_unless (gst_pad_peer_query (h->sinkpad, query));
  gst_query_parse_latency (query, &is_live, &min, &max);
  fail_unless_equals_int (is_live, live);
  fail_unless_equals_uint64 (min, 7 * GST_MSECOND + depth * FRAME_DURATION);
  fail_unless (!GST_CLOCK_TIME_IS_VALID (max) || max >= min);
  gst_query_unref (query);
  harness_end (h);
}

GST_END_TEST;

static Suite *
playback_suite (void)
{
  Suite *s = suite_create ("playback");
  TCase *tc = tcase_create ("all");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_rates, 0, 2 * G_N_ELEMENTS (rates));
  tcase_add_loop_test (tc, test_seek, 0, 4);
  tcase_add_loop_test (tc, test_quick, 0, 4);
  tcase_add_loop_test (tc, test_quick_stop, 0, 3);
  tcase_add_loop_test (tc, test_short, 0, 4);
  tcase_add_loop_test (tc, test_end_before_caps, 0, G_N_ELEMENTS (depths));
  tcase_add_loop_test (tc, test_times, 0, G_N_ELEMENTS (depths));
  tcase_add_loop_test (tc, test_gap, 0, G_N_ELEMENTS (depths));
  tcase_add_loop_test (tc, test_sizes, 0, G_N_ELEMENTS (sizes));
  tcase_add_loop_test (tc, test_latency, 0, 2 * 9);
  return s;
}

GST_CHECK_MAIN (playback);
