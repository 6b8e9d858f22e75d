/* Frames through the element: all of them, in order, with what they carry.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

static const guint depths[] = { 0, 1, 2, 5 };

/* An element of the loop's depth with frames of SMALL_CAPS. */
static GstHarness *
new_of_depth (guint depth)
{
  gchar *text = g_strdup_printf ("async-depth=%u", depth);
  GstHarness *h = harness_new (SMALL_CAPS, text);

  g_free (text);
  return h;
}

/* Everything that goes in comes out, the first frame too, in order. */
GST_START_TEST (test_all_frames)
{
  const guint n_frames = 20;
  GstHarness *h;
  guint i;

  harness_setup ();
  h = new_of_depth (depths[__i__]);
  for (i = 0; i < n_frames; i++)
    fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS, i)),
        GST_FLOW_OK);
  fail_unless (gst_harness_push_event (h, gst_event_new_eos ()));
  fail_unless_equals_int (gst_harness_buffers_in_queue (h), n_frames);
  for (i = 0; i < n_frames; i++)
    harness_expect_frame (h, i);
  fail_unless (fake_engine.most_in_flight <= (gint) MAX (1, depths[__i__]) + 1);
  fail_unless_equals_int (fake_engine.disconts, 1);
  harness_end (h);
}

GST_END_TEST;

static Suite *
flow_suite (void)
{
  Suite *s = suite_create ("flow");
  TCase *tc = tcase_create ("flow");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_all_frames, 0, G_N_ELEMENTS (depths));
  return s;
}

GST_CHECK_MAIN (flow);
