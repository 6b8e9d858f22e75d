/* The latency that is announced.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include "dlorallatency.h"

/* The first measurement counts, and more than is announced counts at once. */
GST_START_TEST (test_rises)
{
  DloralLatency latency = { .count = 0, };

  fail_unless (dloral_latency_add (&latency, 1000));
  fail_unless_equals_uint64 (latency.announced, 1050);
  fail_if (dloral_latency_add (&latency, 1050));
  fail_if (dloral_latency_add (&latency, 10));
  fail_unless (dloral_latency_add (&latency, 1051));
  fail_unless_equals_uint64 (latency.announced, 1051 + 1051 / 20);
}

GST_END_TEST;

/* Less counts when a whole window was a quarter lower. */
GST_START_TEST (test_falls)
{
  DloralLatency latency = { .count = 0, };
  guint i;

  dloral_latency_add (&latency, 10000);
  for (i = 0; i < 3 * DLORAL_LATENCY_WINDOW; i++)
    fail_if (dloral_latency_add (&latency, 7600));
  for (i = 0; i < DLORAL_LATENCY_WINDOW - 1; i++)
    fail_if (dloral_latency_add (&latency, 5000), "%u", i);
  fail_unless (dloral_latency_add (&latency, 5000));
  fail_unless_equals_uint64 (latency.announced, 5250);
}

GST_END_TEST;

/* Before a frame was measured: what may be in flight. With no framerate there
 * is nothing to say. */
GST_START_TEST (test_before)
{
  GstHarness *h;

  harness_setup ();
  h = harness_new (SMALL_CAPS, "async-depth=3");
  gst_harness_set_upstream_latency (h, 7 * GST_MSECOND);
  fail_unless_equals_uint64 (gst_harness_query_latency (h),
      7 * GST_MSECOND + 3 * FRAME_DURATION);
  harness_end (h);

  h = harness_new ("video/x-raw, format=RGB, width=32, height=16, "
      "framerate=0/1", "async-depth=3");
  fail_unless_equals_uint64 (gst_harness_query_latency (h), 0);
  harness_end (h);
}

GST_END_TEST;

static const gchar *const depths[] = { "async-depth=0", "async-depth=2" };

/* Then what it took, announced by a message where upstream is live; whatever
 * the framerate says. */
GST_START_TEST (test_measured)
{
  const gchar *caps = "video/x-raw, format=RGB, width=32, height=16, "
      "framerate=0/1";
  GstHarness *h;
  GstBus *bus;
  GstMessage *message;
  GstClockTime latency;

  harness_setup ();
  fake_engine.frame_us = 20000;
  h = harness_new (caps, depths[__i__]);
  gst_harness_set_live (h, TRUE);
  bus = harness_get_bus (h);
  gst_harness_query_latency (h);
  gst_harness_push (h, harness_frame (caps, 0));
  gst_buffer_unref (gst_harness_pull (h));
  message = gst_bus_pop_filtered (bus, GST_MESSAGE_LATENCY);
  fail_unless (message != NULL);
  gst_message_unref (message);
  latency = gst_harness_query_latency (h);
  fail_unless (latency >= 20 * GST_MSECOND);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  harness_end (h);
}

GST_END_TEST;

#define SLOWNESS 200000

/* Downstream that keeps a frame waiting is not counted as ours. */
static GstPadProbeReturn
be_slow (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  g_usleep (SLOWNESS);
  return GST_PAD_PROBE_OK;
}

GST_START_TEST (test_slow_downstream)
{
  GstHarness *h;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 10000;
  h = harness_new (SMALL_CAPS, "async-depth=4");
  gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, be_slow, NULL,
      NULL);
  for (i = 0; i < 7; i++)
    gst_harness_push (h, harness_frame (SMALL_CAPS, i));
  gst_harness_push_event (h, gst_event_new_eos ());
  /* Waiting in line behind the probe takes twice as long and more. */
  fail_unless (gst_harness_query_latency (h) >= 10 * GST_MSECOND);
  fail_unless (gst_harness_query_latency (h) < 2 * SLOWNESS * GST_USECOND);
  harness_end (h);
}

GST_END_TEST;

static Suite *
latency_suite (void)
{
  Suite *s = suite_create ("latency");
  TCase *tc = tcase_create ("latency");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_rises);
  tcase_add_test (tc, test_falls);
  tcase_add_test (tc, test_before);
  tcase_add_loop_test (tc, test_measured, 0, 2);
  tcase_add_test (tc, test_slow_downstream);
  return s;
}

GST_CHECK_MAIN (latency);
