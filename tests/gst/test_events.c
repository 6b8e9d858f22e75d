/* Events and queries between frames: their place, what they wait for, what they
 * reset.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <gst/video/navigation.h>

/* --- What arrives downstream, in words ----------------------------------- */

static GMutex log_lock;

static const gchar *
name_of (GstEvent * event)
{
  return GST_EVENT_TYPE (event) == GST_EVENT_CUSTOM_DOWNSTREAM ? "custom"
      : GST_EVENT_TYPE_NAME (event);
}

static GstPadProbeReturn
write_log (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GString *log = user_data;

  g_mutex_lock (&log_lock);
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    g_string_append_printf (log, "%" G_GUINT64_FORMAT " ",
        GST_BUFFER_OFFSET (GST_PAD_PROBE_INFO_BUFFER (info)));
  else
    g_string_append_printf (log, "%s ",
        name_of (GST_PAD_PROBE_INFO_EVENT (info)));
  g_mutex_unlock (&log_lock);
  return GST_PAD_PROBE_OK;
}

static GString *
start_log (GstHarness * h)
{
  GString *log = g_string_new (NULL);

  gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER
      | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM | GST_PAD_PROBE_TYPE_EVENT_FLUSH,
      write_log, log, NULL);
  return log;
}

static void
push_frame (GstHarness * h, guint n)
{
  fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS, n)),
      GST_FLOW_OK);
}

static GstEvent *
make_segment (GstClockTime start)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  segment.start = segment.time = start;
  return gst_event_new_segment (&segment);
}

static GstEvent *
make_tags (void)
{
  return gst_event_new_tag (gst_tag_list_new (GST_TAG_TITLE, "title", NULL));
}

static GstEvent *
make_custom (void)
{
  return gst_event_new_custom (GST_EVENT_CUSTOM_DOWNSTREAM,
      gst_structure_new_empty ("probe"));
}

/* --- Order --------------------------------------------------------------- */

static const gchar *const depths[] = {
  "async-depth=0", "async-depth=1", "async-depth=4"
};

/* Every serialized event stays where it was between the frames. */
GST_START_TEST (test_order)
{
  GstHarness *h;
  GString *log;

  harness_setup ();
  fake_engine.frame_us = 4000;
  h = harness_new (SMALL_CAPS, depths[__i__]);
  log = start_log (h);
  push_frame (h, 0);
  gst_harness_push_event (h, make_tags ());
  push_frame (h, 1);
  push_frame (h, 2);
  gst_harness_push_event (h, make_custom ());
  gst_harness_push_event (h, gst_event_new_gap (0, GST_SECOND));
  push_frame (h, 3);
  gst_harness_push_event (h, make_segment (0));
  push_frame (h, 4);
  gst_harness_push_event (h,
      gst_event_new_segment_done (GST_FORMAT_TIME, GST_SECOND));
  push_frame (h, 5);
  gst_harness_push_event (h, gst_event_new_stream_start ("again"));
  push_frame (h, 6);
  gst_harness_push_event (h, gst_event_new_eos ());
  fail_unless_equals_string (log->str, "0 tag 1 2 custom gap 3 segment 4 "
      "segment-done 5 stream-start 6 eos ");
  harness_end (h);
  g_string_free (log, TRUE);
}

GST_END_TEST;

/* An event with nothing on its way before it does not wait for the next
 * frame. */
GST_START_TEST (test_event_at_once)
{
  GstHarness *h;
  GString *log;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_frame (h, 0);
  harness_expect_frame (h, 0);
  log = start_log (h);
  gst_harness_push_event (h, gst_event_new_gap (0, GST_SECOND));
  while (gst_harness_events_in_queue (h) < 4)
    g_usleep (100);
  fail_unless_equals_string (log->str, "gap ");
  harness_end (h);
  g_string_free (log, TRUE);
}

GST_END_TEST;

/* --- Caps ---------------------------------------------------------------- */

#define OTHER_CAPS "video/x-raw, format=RGB, width=48, height=20, " \
    "framerate=25/1"

/* Other caps in the middle: what is on its way leaves first, then it goes on
 * with a new past. */
GST_START_TEST (test_caps_change)
{
  GstHarness *h;
  GString *log;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 4000;
  h = harness_new (SMALL_CAPS, depths[__i__]);
  log = start_log (h);
  for (i = 0; i < 3; i++)
    push_frame (h, i);
  gst_harness_set_src_caps_str (h, OTHER_CAPS);
  for (i = 3; i < 5; i++)
    gst_harness_push (h, harness_frame (OTHER_CAPS, i));
  gst_harness_push_event (h, gst_event_new_eos ());
  fail_unless_equals_string (log->str, "0 1 2 caps segment 3 4 eos ");
  for (i = 0; i < 3; i++)
    harness_expect_frame (h, i);
  for (i = 3; i < 5; i++) {
    GstBuffer *buffer = gst_harness_pull (h);

    fail_unless_equals_int (gst_buffer_get_size (buffer), 192 * 80 * 3);
    fail_unless_equals_int (harness_get_level (buffer,
            "video/x-raw, format=RGB, width=192, height=80"), 16 + 4 * i);
    gst_buffer_unref (buffer);
  }
  fail_unless_equals_int (fake_engine.streams_made, 2);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.disconts), 2);
  harness_end (h);
  g_string_free (log, TRUE);
}

GST_END_TEST;

/* Another format of the same size needs no other stream. */
GST_START_TEST (test_format_change)
{
  const gchar *bgr = "video/x-raw, format=BGR, width=32, height=16, "
      "framerate=25/1";
  GstHarness *h;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_frame (h, 0);
  gst_harness_set_src_caps_str (h, bgr);
  gst_harness_push (h, harness_frame (bgr, 1));
  harness_expect_frame (h, 0);
  harness_expect_frame (h, 1);
  fail_unless_equals_int (fake_engine.streams_made, 1);
  harness_end (h);
}

GST_END_TEST;

/* Downstream changes its mind. */
GST_START_TEST (test_reconfigure)
{
  GstHarness *h;
  GstBuffer *buffer;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 4000;
  h = harness_new (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < 3; i++)
    push_frame (h, i);
  gst_harness_set_sink_caps_str (h, "video/x-raw, width=64, height=32");
  push_frame (h, 3);
  for (i = 0; i < 3; i++)
    harness_expect_frame (h, i);
  buffer = gst_harness_pull (h);
  fail_unless_equals_int (gst_buffer_get_size (buffer), 64 * 32 * 3);
  gst_buffer_unref (buffer);
  harness_end (h);
}

GST_END_TEST;

/* --- Flushes ------------------------------------------------------------- */

/* What is on its way is gone, and the past with it. */
GST_START_TEST (test_flush_while_full)
{
  GstHarness *h;
  guint i, left;

  harness_setup ();
  fake_engine.frame_us = 30000;
  h = harness_new (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < 5; i++)
    push_frame (h, i);
  harness_wait_for (&fake_engine.frames, 1);
  gst_harness_push_event (h, gst_event_new_flush_start ());
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  left = gst_harness_buffers_in_queue (h);
  for (i = 0; i < left; i++)
    harness_expect_frame (h, i);
  g_atomic_int_set (&fake_engine.frame_us, 0);
  gst_harness_push_event (h, make_segment (0));
  for (i = 10; i < 15; i++)
    push_frame (h, i);
  for (i = 10; i < 15; i++)
    harness_expect_frame (h, i);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.disconts), 2);
  harness_end (h);
}

GST_END_TEST;

static gpointer
push_one (gpointer h)
{
  return GINT_TO_POINTER (gst_harness_push (h, harness_frame (SMALL_CAPS, 0)));
}

/* A frame that waits for the model can be flushed, and the next one waits
 * again. */
GST_START_TEST (test_flush_while_loading)
{
  GstHarness *h;
  GThread *thread;

  harness_setup ();
  fake_engine.open_us = 2 * G_USEC_PER_SEC;
  h = harness_new (SMALL_CAPS, NULL);
  thread = g_thread_new ("push", push_one, h);
  g_usleep (50000);
  gst_harness_push_event (h, gst_event_new_flush_start ());
  fail_unless_equals_int (GPOINTER_TO_INT (g_thread_join (thread)),
      GST_FLOW_FLUSHING);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.models), 0);
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  gst_harness_push_event (h, make_segment (0));
  push_frame (h, 1);
  harness_expect_frame (h, 1);
  harness_end (h);
}

GST_END_TEST;

/* Tags outlive a flush, as they do in any pad. */
GST_START_TEST (test_flush_keeps_tags)
{
  GstHarness *h;
  GString *log;

  harness_setup ();
  fake_engine.frame_us = 30000;
  h = harness_new (SMALL_CAPS, "async-depth=4");
  push_frame (h, 0);
  gst_harness_push_event (h, make_tags ());
  gst_harness_push_event (h, gst_event_new_flush_start ());
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  log = start_log (h);
  gst_harness_push_event (h, make_segment (0));
  push_frame (h, 1);
  harness_expect_frame (h, 1);
  fail_unless (strstr (log->str, "tag ") != NULL, "%s", log->str);
  harness_end (h);
  g_string_free (log, TRUE);
}

GST_END_TEST;

static GstPadProbeReturn
flush_from_here (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstHarness *h = user_data;

  gst_pad_remove_probe (pad, GST_PAD_PROBE_INFO_ID (info));
  gst_harness_push_event (h, gst_event_new_flush_start ());
  gst_harness_push_event (h, gst_event_new_flush_stop (TRUE));
  gst_harness_push_event (h, make_segment (0));
  return GST_PAD_PROBE_DROP;
}

/* An application may seek in the thread that brings it a frame. */
GST_START_TEST (test_flush_from_downstream)
{
  GstHarness *h;

  harness_setup ();
  h = harness_new (SMALL_CAPS, depths[__i__]);
  gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, flush_from_here, h,
      NULL);
  push_frame (h, 0);
  /* Until that flush is over. */
  while (gst_harness_events_received (h) < 6)
    g_usleep (100);
  push_frame (h, 1);
  harness_expect_frame (h, 1);
  harness_end (h);
}

GST_END_TEST;

/* --- The past ------------------------------------------------------------ */

/* DISCONT leaves on the frame it came with and on no other; the engine forgets
 * the past there and at new segments. */
GST_START_TEST (test_discont)
{
  GstHarness *h;
  guint i;

  harness_setup ();
  fake_engine.frame_us = 2000;
  h = harness_new (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < 12; i++) {
    GstBuffer *buffer = harness_frame (SMALL_CAPS, i);

    if (i == 0 || i == 4)
      GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DISCONT);
    if (i == 8)
      gst_harness_push_event (h, make_segment (0));
    fail_unless_equals_int (gst_harness_push (h, buffer), GST_FLOW_OK);
  }
  for (i = 0; i < 12; i++) {
    GstBuffer *buffer = gst_harness_pull (h);

    fail_unless_equals_int (GST_BUFFER_IS_DISCONT (buffer), i == 0 || i == 4);
    gst_buffer_unref (buffer);
  }
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.disconts), 3);
  harness_end (h);
}

GST_END_TEST;

/* Where the base class drops a late frame (qos=true), the next one says so. */
GST_START_TEST (test_qos)
{
  GstHarness *h;
  GstBuffer *buffer;

  harness_setup ();
  h = harness_new (SMALL_CAPS, "qos=true");
  push_frame (h, 0);
  harness_expect_frame (h, 0);
  gst_harness_push_upstream_event (h, gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW,
          1.0, FRAME_DURATION, FRAME_DURATION));
  push_frame (h, 1);
  push_frame (h, 5);
  buffer = gst_harness_pull (h);
  fail_unless_equals_uint64 (GST_BUFFER_OFFSET (buffer), 5);
  fail_unless (GST_BUFFER_IS_DISCONT (buffer));
  gst_buffer_unref (buffer);
  harness_end (h);
}

GST_END_TEST;

/* --- Queries and upstream events ----------------------------------------- */

/* Whoever asks between two frames finds the first one gone. */
GST_START_TEST (test_query_drains)
{
  GstHarness *h;
  GstCaps *caps = gst_caps_from_string (SMALL_CAPS);
  GstQuery *query = __i__ ? gst_query_new_drain ()
      : gst_query_new_allocation (caps, TRUE);
  guint i;

  harness_setup ();
  fake_engine.frame_us = 10000;
  h = harness_new (SMALL_CAPS, "async-depth=4");
  for (i = 0; i < 4; i++)
    push_frame (h, i);
  gst_pad_peer_query (h->srcpad, query);
  fail_unless_equals_int (gst_harness_buffers_in_queue (h), 4);
  if (__i__ == 0)
    fail_unless (gst_query_find_allocation_meta (query,
            GST_VIDEO_META_API_TYPE, NULL));
  gst_query_unref (query);
  gst_caps_unref (caps);
  harness_end (h);
}

GST_END_TEST;

/* Where downstream is in the stream. */
GST_START_TEST (test_position)
{
  GstHarness *h;
  gint64 position;

  harness_setup ();
  h = harness_new (SMALL_CAPS, depths[__i__]);
  gst_harness_push_event (h, make_segment (0));
  push_frame (h, 5);
  harness_expect_frame (h, 5);
  fail_unless (gst_pad_peer_query_position (h->sinkpad, GST_FORMAT_TIME,
          &position));
  fail_unless_equals_int64 (position, 6 * FRAME_DURATION);
  harness_end (h);
}

GST_END_TEST;

/* A click on the large picture is one on the small picture. */
GST_START_TEST (test_navigation)
{
  GstHarness *h;
  GstEvent *event;
  gdouble x, y;

  harness_setup ();
  h = harness_new (SMALL_CAPS, NULL);
  push_frame (h, 0);
  harness_expect_frame (h, 0);
  while ((event = gst_harness_try_pull_upstream_event (h)))
    gst_event_unref (event);
  gst_harness_push_upstream_event (h,
      gst_navigation_event_new_mouse_move (100, 60,
          GST_NAVIGATION_MODIFIER_NONE));
  event = gst_harness_pull_upstream_event (h);
  fail_unless (gst_navigation_event_get_coordinates (event, &x, &y));
  fail_unless_equals_float (x, 25);
  fail_unless_equals_float (y, 15);
  gst_event_unref (event);
  harness_end (h);
}

GST_END_TEST;

static Suite *
events_suite (void)
{
  Suite *s = suite_create ("events");
  TCase *tc = tcase_create ("events");
  const gint n = G_N_ELEMENTS (depths);

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_order, 0, n);
  tcase_add_test (tc, test_event_at_once);
  tcase_add_loop_test (tc, test_caps_change, 0, n);
  tcase_add_test (tc, test_format_change);
  tcase_add_loop_test (tc, test_reconfigure, 0, n);
  tcase_add_loop_test (tc, test_flush_while_full, 0, n);
  tcase_add_test (tc, test_flush_while_loading);
  tcase_add_test (tc, test_flush_keeps_tags);
  tcase_add_loop_test (tc, test_flush_from_downstream, 1, n);
  tcase_add_loop_test (tc, test_discont, 0, n);
  tcase_add_test (tc, test_qos);
  tcase_add_loop_test (tc, test_query_drains, 0, 2);
  tcase_add_loop_test (tc, test_position, 0, n);
  tcase_add_test (tc, test_navigation);
  return s;
}

GST_CHECK_MAIN (events);
