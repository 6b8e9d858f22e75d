/* More frames than the model can restore, frames that are late, frames before the
 * model is there, frames that are all the same.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <gst/video/gstvideometa.h>

#define OTHER_CAPS "video/x-raw, format=RGB, width=48, height=20, " \
    "framerate=25/1"

/* An hour at 30 frames a second. */
#define HOUR_FRAMES 108000

typedef struct
{
  guint64 in, out, dropped, discarded, bypassed, plain, repeated;
} Stats;

static Stats
get_stats (GstHarness * h)
{
  GstStructure *s;
  Stats stats;

  gst_harness_get (h, "dloral", "stats", &s, NULL);
  fail_unless (gst_structure_get (s, "frames-in", G_TYPE_UINT64, &stats.in,
          "frames-out", G_TYPE_UINT64, &stats.out,
          "frames-dropped", G_TYPE_UINT64, &stats.dropped,
          "frames-discarded", G_TYPE_UINT64, &stats.discarded,
          "frames-bypassed", G_TYPE_UINT64, &stats.bypassed,
          "frames-plain", G_TYPE_UINT64, &stats.plain,
          "frames-repeated", G_TYPE_UINT64, &stats.repeated, NULL));
  gst_structure_free (s);
  return stats;
}

static void
push_frame (GstHarness * h, guint n)
{
  fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS, n)),
      GST_FLOW_OK);
}

static void
finish (GstHarness * h)
{
  gst_harness_push_event (h, gst_event_new_eos ());
}

/* --- Overload -------------------------------------------------------------- */

/* Frames that are too many are left out, the next one says so, and the
 * application hears of it. */
GST_START_TEST (test_drop)
{
  GstHarness *h;
  GstMessage *message;
  GstBuffer *buffer;
  guint i, n_discont = 0;
  gint64 last = -1;
  guint64 dropped;
  GstBus *bus;
  Stats stats;

  harness_setup ();
  fake_engine.frame_us = 30000;
  h = harness_new (SMALL_CAPS, "overload=drop");
  bus = harness_get_bus (h);
  for (i = 0; i < 12; i++)
    push_frame (h, i);
  finish (h);
  stats = get_stats (h);
  fail_unless_equals_uint64 (stats.in, 12);
  fail_unless_equals_uint64 (stats.in, stats.out + stats.dropped);
  fail_unless (stats.dropped > 0);
  fail_unless (stats.out >= 3);
  while ((buffer = gst_harness_try_pull (h))) {
    guint64 n = GST_BUFFER_OFFSET (buffer);

    fail_unless ((gint64) n > last);
    fail_unless_equals_int (harness_get_level (buffer,
            "video/x-raw, format=RGB, width=128, height=64"), 16 + 4 * n);
    if ((gint64) n > last + 1)
      fail_unless (GST_BUFFER_IS_DISCONT (buffer));
    n_discont += GST_BUFFER_IS_DISCONT (buffer);
    last = n;
    gst_buffer_unref (buffer);
  }
  fail_unless (n_discont <= stats.dropped);
  message = gst_bus_pop_filtered (bus, GST_MESSAGE_QOS);
  fail_unless (message != NULL);
  gst_message_parse_qos_stats (message, NULL, NULL, &dropped);
  fail_unless_equals_uint64 (dropped, 1);
  gst_message_unref (message);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  harness_end (h);
}

GST_END_TEST;

/* Or leave enlarged, in their place. */
GST_START_TEST (test_bypass_when_behind)
{
  GstHarness *h;
  Stats stats;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 30000;
  h = harness_new (SMALL_CAPS, "overload=bypass");
  for (i = 0; i < 12; i++)
    push_frame (h, i);
  finish (h);
  for (i = 0; i < 12; i++)
    harness_expect_frame (h, i);
  stats = get_stats (h);
  fail_unless_equals_uint64 (stats.out, 12);
  fail_unless (stats.bypassed > 0);
  fail_unless_equals_uint64 (g_atomic_int_get (&fake_engine.frames),
      stats.out - stats.bypassed);
  harness_end (h);
}

GST_END_TEST;

static const gchar *const policies[] = {
  "overload=block", "overload=drop", "overload=bypass"
};

static GstPadProbeReturn
be_slow (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  g_usleep (10000);
  return GST_PAD_PROBE_OK;
}

/* Downstream that takes its time is no overload of the model. */
GST_START_TEST (test_slow_downstream)
{
  GstHarness *h;
  Stats stats;
  guint i;

  harness_setup ();
  h = harness_new (SMALL_CAPS, policies[__i__]);
  gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, be_slow, NULL,
      NULL);
  push_frame (h, 0);
  for (i = 1; i < 20; i++) {
    g_usleep (500);
    push_frame (h, i);
  }
  finish (h);
  stats = get_stats (h);
  fail_unless_equals_uint64 (stats.out, 20);
  fail_unless_equals_uint64 (stats.bypassed, 0);
  harness_end (h);
}

GST_END_TEST;

/* A source twice as fast as the model, for as many frames as an hour has: the
 * latency is that of a full ring and does not grow. */
GST_START_TEST (test_hour)
{
  const guint frame_us = 400, depth = 2;
  GstClockTime early = 0, latest;
  GstHarness *h;
  Stats stats;
  guint i;

  harness_setup ();
  fake_engine.frame_us = frame_us;
  h = harness_new (SMALL_CAPS, policies[__i__]);
  gst_harness_set (h, "dloral", "async-depth", depth, NULL);
  gst_harness_set_drop_buffers (h, TRUE);
  for (i = 0; i < HOUR_FRAMES; i++) {
    push_frame (h, i);
    if (i == HOUR_FRAMES / 10)
      early = gst_harness_query_latency (h);
  }
  latest = gst_harness_query_latency (h);
  finish (h);
  stats = get_stats (h);
  fail_unless_equals_uint64 (stats.in, HOUR_FRAMES);
  fail_unless_equals_uint64 (stats.in, stats.out + stats.dropped);
  fail_unless ((stats.dropped > 0) == (__i__ == 1));
  fail_unless ((stats.bypassed > 0) == (__i__ == 2));
  fail_unless (latest >= frame_us * GST_USECOND);
  /* Threads may be kept waiting for the processor. */
  fail_unless (latest < early + 200 * GST_MSECOND,
      "%" GST_TIME_FORMAT " after %" GST_TIME_FORMAT, GST_TIME_ARGS (latest),
      GST_TIME_ARGS (early));
  harness_end (h);
}

GST_END_TEST;

/* --- Late frames ------------------------------------------------------------ */

static void
send_qos (GstHarness * h, GstClockTime time, GstClockTimeDiff late)
{
  gst_harness_push_upstream_event (h, gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW,
          2.0, late, time));
}

/* What downstream would throw away is not computed; with overload=bypass it
 * comes all the same. */
GST_START_TEST (test_late)
{
  GstHarness *h;
  GstEvent *event;
  Stats stats;
  guint i;

  harness_setup ();
  h = harness_new (SMALL_CAPS, policies[__i__]);
  push_frame (h, 0);
  send_qos (h, 0, 2 * FRAME_DURATION);
  event = gst_harness_pull_upstream_event (h);
  while (GST_EVENT_TYPE (event) != GST_EVENT_QOS) {
    gst_event_unref (event);
    event = gst_harness_pull_upstream_event (h);
  }
  gst_event_unref (event);
  for (i = 1; i < 5; i++)
    push_frame (h, i);
  finish (h);
  stats = get_stats (h);
  fail_unless_equals_uint64 (stats.dropped, __i__ == 2 ? 0 : 2);
  fail_unless_equals_uint64 (stats.bypassed, __i__ == 2 ? 2 : 0);
  fail_unless_equals_uint64 (stats.out, __i__ == 2 ? 5 : 3);
  harness_end (h);
}

GST_END_TEST;

/* Frames that come before the time are not late; after a flush none is; and with
 * qos=false nobody asks. */
GST_START_TEST (test_not_late)
{
  GstHarness *h;
  GstSegment segment;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_frame (h, 0);
  send_qos (h, FRAME_DURATION, -(GstClockTimeDiff) FRAME_DURATION);
  push_frame (h, 1);
  send_qos (h, 100 * FRAME_DURATION, 0);
  gst_harness_push_event (h, gst_event_new_flush_start ());
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  push_frame (h, 2);
  gst_harness_set (h, "dloral", "qos", FALSE, NULL);
  send_qos (h, 100 * FRAME_DURATION, 0);
  push_frame (h, 3);
  finish (h);
  fail_unless_equals_uint64 (get_stats (h).dropped, 0);
  harness_end (h);
}

GST_END_TEST;

/* --- Before the model is ready ------------------------------------------------ */

/* A live stream of another size does not stand still; a file waits. */
GST_START_TEST (test_other_size)
{
  gboolean live = __i__;
  GstHarness *h;
  Stats stats;
  gint64 began, longest = 0;
  guint i;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  gst_harness_set_live (h, live);
  push_frame (h, 0);
  harness_expect_frame (h, 0);
  fake_engine.compile_us = 400000;
  gst_harness_set_src_caps_str (h, OTHER_CAPS);
  for (i = 1; i < 80; i++) {
    GstBuffer *buffer;

    began = g_get_monotonic_time ();
    fail_unless_equals_int (gst_harness_push (h, harness_frame (OTHER_CAPS,
                i % 50)), GST_FLOW_OK);
    buffer = gst_harness_pull (h);
    longest = MAX (longest, g_get_monotonic_time () - began);
    fail_unless_equals_int (harness_get_level (buffer,
            "video/x-raw, format=RGB, width=192, height=80"),
        16 + 4 * (i % 50));
    gst_buffer_unref (buffer);
    g_usleep (10000);
  }
  stats = get_stats (h);
  fail_unless_equals_uint64 (stats.out, 80);
  fail_unless (live == (stats.bypassed > 10));
  fail_unless (live == (longest < 300000));
  /* In the end they are restored again. */
  fail_unless (stats.bypassed < 79);
  harness_end (h);
}

GST_END_TEST;

/* At the start a live stream waits for a moment only. */
GST_START_TEST (test_slow_start)
{
  GstHarness *h;
  Stats stats;

  harness_setup ();
  fake_engine.open_us = 3 * G_USEC_PER_SEC;
  h = harness_new (SMALL_CAPS, NULL);
  gst_harness_set_live (h, TRUE);
  push_frame (h, 0);
  harness_expect_frame (h, 0);
  stats = get_stats (h);
  fail_unless_equals_uint64 (stats.bypassed, 1);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.models), 0);
  harness_wait_for (&fake_engine.streams, 1);
  g_usleep (50000);
  push_frame (h, 1);
  harness_expect_frame (h, 1);
  fail_unless_equals_uint64 (get_stats (h).bypassed, 1);
  harness_end (h);
}

GST_END_TEST;

/* --- Bypass ------------------------------------------------------------------ */

GST_START_TEST (test_bypass)
{
  GstHarness *h;
  guint i;

  harness_setup ();
  h = harness_new (SMALL_CAPS, "bypass=true");
  for (i = 0; i < 9; i++) {
    gst_harness_set (h, "dloral", "bypass", i / 3 != 1, NULL);
    push_frame (h, i);
    harness_expect_frame (h, i);
  }
  fail_unless_equals_uint64 (get_stats (h).bypassed, 6);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.frames), 3);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.disconts), 1);
  harness_end (h);
}

GST_END_TEST;

/* --- Static pictures ----------------------------------------------------------- */

/* Frame number n with the picture of number `like`. */
static GstBuffer *
make_frame (guint n, guint like)
{
  GstBuffer *buffer = harness_frame (SMALL_CAPS, like);

  GST_BUFFER_PTS (buffer) = n * FRAME_DURATION;
  GST_BUFFER_OFFSET (buffer) = n;
  gst_buffer_add_video_region_of_interest_meta (buffer, "face", n, 0, 1, 1);
  return buffer;
}

static const gchar *const depths[] = { "async-depth=0", "async-depth=1",
  "async-depth=2", "async-depth=5"
};

GST_START_TEST (test_skip_static)
{
  static const guint pictures[] = { 1, 1, 2, 2, 2, 1, 3, 3 };
  gchar *properties = g_strdup_printf ("skip-static=true %s", depths[__i__]);
  GstHarness *h;
  guint i;

  harness_setup ();
  h = harness_new (SMALL_CAPS, properties);
  for (i = 0; i < G_N_ELEMENTS (pictures); i++)
    gst_harness_push (h, make_frame (i, pictures[i]));
  finish (h);
  for (i = 0; i < G_N_ELEMENTS (pictures); i++) {
    GstBuffer *buffer = gst_harness_pull (h);
    GstVideoRegionOfInterestMeta *region;

    fail_unless_equals_uint64 (GST_BUFFER_PTS (buffer), i * FRAME_DURATION);
    fail_unless_equals_uint64 (GST_BUFFER_OFFSET (buffer), i);
    fail_unless_equals_int (harness_get_level (buffer,
            "video/x-raw, format=RGB, width=128, height=64"),
        16 + 4 * pictures[i]);
    region = gst_buffer_get_video_region_of_interest_meta_id (buffer, 0);
    fail_unless (region != NULL);
    fail_unless_equals_int (region->x, 4 * i);
    gst_buffer_unref (buffer);
  }
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.frames), 4);
  fail_unless_equals_uint64 (get_stats (h).repeated, 4);
  harness_end (h);
  g_free (properties);
}

GST_END_TEST;

/* Who draws on what they were given does not draw on the next one. */
GST_START_TEST (test_skip_static_written)
{
  GstHarness *h;
  GstBuffer *buffer;

  harness_setup ();
  h = harness_new (SMALL_CAPS, "skip-static=true");
  gst_harness_push (h, make_frame (0, 5));
  buffer = gst_buffer_make_writable (gst_harness_pull (h));
  gst_buffer_memset (buffer, 0, 0, -1);
  gst_harness_push (h, make_frame (1, 5));
  gst_buffer_unref (buffer);
  buffer = gst_harness_pull (h);
  fail_unless_equals_int (harness_get_level (buffer,
          "video/x-raw, format=RGB, width=128, height=64"), 16 + 4 * 5);
  gst_buffer_unref (buffer);
  fail_unless_equals_uint64 (get_stats (h).repeated, 1);
  harness_end (h);
}

GST_END_TEST;

/* A frame after a cut in time is computed, and so is the first after a flush;
 * without the property every frame is. */
GST_START_TEST (test_skip_static_not)
{
  GstHarness *h;
  GstBuffer *buffer;
  GstSegment segment;

  harness_setup ();
  h = harness_new (SMALL_CAPS, "skip-static=true");
  gst_harness_push (h, make_frame (0, 5));
  buffer = make_frame (1, 5);
  GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DISCONT);
  gst_harness_push (h, buffer);
  gst_harness_push_event (h, gst_event_new_flush_start ());
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  gst_harness_push (h, make_frame (2, 5));
  gst_harness_set (h, "dloral", "skip-static", FALSE, NULL);
  gst_harness_push (h, make_frame (3, 5));
  finish (h);
  fail_unless_equals_uint64 (get_stats (h).repeated, 0);
  harness_end (h);
}

GST_END_TEST;

/* --- Sums ----------------------------------------------------------------------- */

/* What a flush throws away is counted as well. */
GST_START_TEST (test_sums)
{
  GstHarness *h;
  GstSegment segment;
  Stats stats;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 20000;
  h = harness_new (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < 6; i++)
    push_frame (h, i);
  gst_harness_push_event (h, gst_event_new_flush_start ());
  fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS, 6)),
      GST_FLOW_FLUSHING);
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (h, gst_event_new_segment (&segment));
  push_frame (h, 7);
  finish (h);
  stats = get_stats (h);
  fail_unless_equals_uint64 (stats.in, 7);
  fail_unless_equals_uint64 (stats.in, stats.out + stats.discarded);
  fail_unless (__i__ == 0 || stats.discarded > 0);
  harness_end (h);
}

GST_END_TEST;

static Suite *
live_suite (void)
{
  Suite *s = suite_create ("live");
  TCase *tc = tcase_create ("all");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_drop);
  tcase_add_test (tc, test_bypass_when_behind);
  tcase_add_loop_test (tc, test_slow_downstream, 0, G_N_ELEMENTS (policies));
  tcase_add_loop_test (tc, test_hour, 1, G_N_ELEMENTS (policies));
  tcase_add_loop_test (tc, test_late, 0, G_N_ELEMENTS (policies));
  tcase_add_test (tc, test_not_late);
  tcase_add_loop_test (tc, test_other_size, 0, 2);
  tcase_add_test (tc, test_slow_start);
  tcase_add_test (tc, test_bypass);
  tcase_add_loop_test (tc, test_skip_static, 0, G_N_ELEMENTS (depths));
  tcase_add_test (tc, test_skip_static_written);
  tcase_add_test (tc, test_skip_static_not);
  tcase_add_loop_test (tc, test_sums, 0, G_N_ELEMENTS (depths));
  return s;
}

GST_CHECK_MAIN (live);
