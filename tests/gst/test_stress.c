/* Everything at once: frames of changing sizes and formats, changes of state,
 * properties, flushes, queries and upstream events, each in a thread of its
 * own. What counts is that nothing breaks, hangs or is left over.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <gst/video/video-event.h>

#define SECONDS 2

static const gchar *const caps[] = {
  SMALL_CAPS,
  "video/x-raw, format=RGB, width=48, height=20, framerate=25/1",
  "video/x-raw, format=I420, width=32, height=16, framerate=0/1",
  "video/x-raw, format=NV12, width=33, height=17, framerate=30/1",
};

typedef struct
{
  GstHarness *h;
  GstHarnessThread *threads[16];
  guint n_threads;
  GMutex streaming;             /* held while frames are pushed */
  GRand *rand;                  /* the streaming thread's */
  guint frames;
  gint failed;                  /* atomic: frames refused for no reason */
} Stress;

/* --- What the threads do --------------------------------------------------- */

static void
push_segment (GstHarness * h)
{
  GstSegment segment;

  gst_segment_init (&segment, GST_FORMAT_TIME);
  gst_harness_push_event (h, gst_event_new_segment (&segment));
}

/* Some frames, then perhaps other caps, all from the one streaming thread that
 * there is. */
static void
stream (gpointer thread, gpointer user_data)
{
  Stress *s = user_data;
  GstHarness *h = s->h;
  const gchar *text = caps[g_rand_int_range (s->rand, 0, G_N_ELEMENTS (caps))];
  GstCaps *in = gst_caps_from_string (text);
  guint i, n = g_rand_int_range (s->rand, 1, 6);

  g_mutex_lock (&s->streaming);
  gst_harness_push_event (h, gst_event_new_stream_start ("stress"));
  gst_harness_push_event (h, gst_event_new_caps (in));
  push_segment (h);
  for (i = 0; i < n; i++) {
    GstFlowReturn flow = gst_harness_push (h, harness_frame (text,
            s->frames++ % 50));

    if (flow != GST_FLOW_OK && flow != GST_FLOW_FLUSHING
        && flow != GST_FLOW_NOT_NEGOTIATED && flow != GST_FLOW_EOS)
      g_atomic_int_inc (&s->failed);
    if (i == 2)
      gst_harness_push_event (h, gst_event_new_gap (0, GST_SECOND));
  }
  if (g_rand_int_range (s->rand, 0, 10) == 0)
    gst_harness_push_event (h, gst_event_new_eos ());
  g_mutex_unlock (&s->streaming);
  gst_caps_unref (in);
}

/* As whoever seeks does: the streaming thread is stopped in between. */
static void
flush (gpointer thread, gpointer user_data)
{
  Stress *s = user_data;

  gst_harness_push_event (s->h, gst_event_new_flush_start ());
  g_mutex_lock (&s->streaming);
  gst_harness_push_event (s->h, gst_event_new_flush_stop (TRUE));
  push_segment (s->h);
  g_mutex_unlock (&s->streaming);
}

/* As pipelines do: upstream has stopped when an element starts. */
static void
change_state (gpointer thread, gpointer user_data)
{
  static gint count = 0;
  GstState down[] = { GST_STATE_PAUSED, GST_STATE_READY, GST_STATE_NULL };
  Stress *s = user_data;

  gst_element_set_state (s->h->element, down[g_atomic_int_add (&count, 1) % 3]);
  g_mutex_lock (&s->streaming);
  gst_element_set_state (s->h->element, GST_STATE_PLAYING);
  g_mutex_unlock (&s->streaming);
}

static void
query (gpointer thread, gpointer user_data)
{
  GstHarness *h = ((Stress *) user_data)->h;
  GstStructure *stats;
  GstCaps *unwanted;
  gint64 position;

  gst_harness_query_latency (h);
  gst_pad_peer_query_position (h->sinkpad, GST_FORMAT_TIME, &position);
  unwanted = gst_pad_peer_query_caps (h->srcpad, NULL);
  gst_caps_unref (unwanted);
  gst_harness_get (h, "dloral", "stats", &stats, NULL);
  gst_structure_free (stats);
}

static void
send_upstream (gpointer thread, gpointer user_data)
{
  GstHarness *h = ((Stress *) user_data)->h;
  gst_harness_push_upstream_event (h, gst_event_new_qos (GST_QOS_TYPE_UNDERFLOW,
          1.5, 0, 0));
  gst_harness_push_upstream_event (h, gst_event_new_reconfigure ());
  gst_harness_push_upstream_event (h,
      gst_event_new_navigation (gst_structure_new ("application/x-gst-navigation",
              "event", G_TYPE_STRING, "mouse-move", "pointer_x", G_TYPE_DOUBLE,
              5.0, "pointer_y", G_TYPE_DOUBLE, 5.0, NULL)));
}

static void
set_properties (gpointer thread, gpointer user_data)
{
  GstHarness *h = ((Stress *) user_data)->h;
  static gint count = 0;
  guint n = g_atomic_int_add (&count, 1);
  static const gchar *const models[] = { FAKE_MODEL_GOOD, FAKE_MODEL_OTHER,
    FAKE_MODEL_BROKEN
  };

  gst_harness_set (h, "dloral", "overload", n % 3, "bypass", n % 7 == 0,
      "skip-static", n % 2, "detail-strength", n % 5 * 0.4, NULL);
  if (n % 16 == 0)
    gst_harness_set (h, "dloral", "temporal-window", n / 16 % 6, NULL);
  if (n % 64 == 0)
    gst_harness_set (h, "dloral", "model", models[n / 64 % 2], NULL);
}

/* What comes out must be taken, or the harness keeps it. */
static void
pull (gpointer thread, gpointer user_data)
{
  GstHarness *h = ((Stress *) user_data)->h;
  GstBuffer *buffer;
  GstEvent *event;

  while ((buffer = gst_harness_try_pull (h)))
    gst_buffer_unref (buffer);
  while ((event = gst_harness_try_pull_event (h)))
    gst_event_unref (event);
  while ((event = gst_harness_try_pull_upstream_event (h)))
    gst_event_unref (event);
}

/* --- The tests ---------------------------------------------------------------- */

static void
add (Stress * s, GFunc act, gulong pause_us)
{
  s->threads[s->n_threads++] = gst_harness_stress_custom_start (s->h, NULL,
      act, s, pause_us);
}

static void
begin (Stress * s, const gchar * properties)
{
  harness_setup ();
  fake_engine.frame_us = 200;
  fake_engine.open_us = fake_engine.compile_us = 500;
  *s = (Stress) { .h = harness_new (SMALL_CAPS, properties), .rand =
        g_rand_new_with_seed (6) };
  g_mutex_init (&s->streaming);
  stream (NULL, s);             /* no flush before there is a stream */
  add (s, stream, 100);
  add (s, pull, 1000);
  add (s, query, 700);
  add (s, send_upstream, 900);
  add (s, set_properties, 300);
}

/* And afterwards it works as ever. */
static void
end (Stress * s)
{
  guint i, done = 0;

  g_usleep (SECONDS * G_USEC_PER_SEC);
  for (i = 0; i < s->n_threads; i++)
    done += gst_harness_stress_thread_stop (s->threads[i]);
  fail_unless (done > 100);
  fail_unless_equals_int (g_atomic_int_get (&s->failed), 0);
  gst_element_set_state (s->h->element, GST_STATE_PLAYING);
  flush (NULL, s);
  pull (NULL, s);
  gst_harness_set (s->h, "dloral", "bypass", FALSE, "overload", 0, NULL);
  gst_harness_push_event (s->h, gst_event_new_stream_start ("after"));
  gst_harness_set_src_caps_str (s->h, SMALL_CAPS);
  push_segment (s->h);
  fail_unless_equals_int (gst_harness_push (s->h, harness_frame (SMALL_CAPS,
              1)), GST_FLOW_OK);
  harness_expect_frame (s->h, 1);
  harness_end (s->h);
  g_mutex_clear (&s->streaming);
  g_rand_free (s->rand);
}

static const gchar *const depths[] = {
  "async-depth=0", "async-depth=1", "async-depth=3"
};

GST_START_TEST (test_streaming)
{
  Stress s;

  begin (&s, depths[__i__]);
  end (&s);
}

GST_END_TEST;

GST_START_TEST (test_flushes)
{
  Stress s;

  begin (&s, depths[__i__]);
  add (&s, flush, 3000);
  end (&s);
}

GST_END_TEST;

GST_START_TEST (test_states)
{
  Stress s;

  begin (&s, depths[__i__]);
  add (&s, change_state, 5000);
  end (&s);
}

GST_END_TEST;

static Suite *
stress_suite (void)
{
  Suite *s = suite_create ("stress");
  TCase *tc = tcase_create ("all");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_streaming, 0, G_N_ELEMENTS (depths));
  tcase_add_loop_test (tc, test_flushes, 0, G_N_ELEMENTS (depths));
  tcase_add_loop_test (tc, test_states, 0, G_N_ELEMENTS (depths));
  return s;
}

GST_CHECK_MAIN (stress);
