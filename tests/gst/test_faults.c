/* Downstream whose memory runs out, and clocks that jump.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <gst/check/gsttestclock.h>

#define N_GOOD 3                /* buffers that can be had */

static const gchar *const depths[] = {
  "async-depth=0", "async-depth=1", "async-depth=3"
};

static gint left;               /* atomic: what can still be had */

/* --- A pool whose buffers run out ------------------------------------------------ */

typedef GstVideoBufferPool PoorPool;
typedef GstVideoBufferPoolClass PoorPoolClass;

G_DEFINE_TYPE (PoorPool, poor_pool, GST_TYPE_VIDEO_BUFFER_POOL);

static GstFlowReturn
poor_pool_acquire (GstBufferPool * pool, GstBuffer ** buffer,
    GstBufferPoolAcquireParams * params)
{
  if (g_atomic_int_add (&left, -1) <= 0)
    return GST_FLOW_ERROR;
  return GST_BUFFER_POOL_CLASS (poor_pool_parent_class)->acquire_buffer (pool,
      buffer, params);
}

static void
poor_pool_class_init (PoorPoolClass * klass)
{
  GST_BUFFER_POOL_CLASS (klass)->acquire_buffer = poor_pool_acquire;
}

static void
poor_pool_init (PoorPool * pool)
{
}

/* --- An allocator whose memory runs out -------------------------------------------- */

typedef GstAllocator PoorAllocator;
typedef GstAllocatorClass PoorAllocatorClass;

G_DEFINE_TYPE (PoorAllocator, poor_allocator, GST_TYPE_ALLOCATOR);

/* System memory, of the system's allocator. */
static GstMemory *
poor_allocator_alloc (GstAllocator * allocator, gsize size,
    GstAllocationParams * params)
{
  if (g_atomic_int_add (&left, -1) <= 0)
    return NULL;
  return gst_allocator_alloc (NULL, size, params);
}

static void
poor_allocator_class_init (PoorAllocatorClass * klass)
{
  klass->alloc = poor_allocator_alloc;
}

static void
poor_allocator_init (PoorAllocator * allocator)
{
}

/* --- Both ---------------------------------------------------------------------------- */

static GstPadProbeReturn
offer_pool (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (info);
  GstBufferPool *pool;

  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return GST_PAD_PROBE_OK;
  pool = g_object_new (poor_pool_get_type (), NULL);
  gst_query_add_allocation_pool (query, pool, 0, 0, 0);
  gst_object_unref (pool);
  return GST_PAD_PROBE_HANDLED;
}

static GstPadProbeReturn
offer_allocator (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (info);
  GstAllocator *allocator;

  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return GST_PAD_PROBE_OK;
  allocator = g_object_new (poor_allocator_get_type (), NULL);
  gst_query_add_allocation_param (query, allocator, NULL);
  gst_object_unref (allocator);
  return GST_PAD_PROBE_HANDLED;
}

static const GstPadProbeCallback offers[] = { offer_pool, offer_allocator };

/* Frames that have a buffer leave, the first that has none ends the stream with
 * an error; when there is memory again, the element starts again. */
GST_START_TEST (test_no_memory)
{
  GstFlowReturn flow = GST_FLOW_OK;
  GstHarness *h;
  GstBus *bus;
  guint i;

  harness_setup ();
  g_atomic_int_set (&left, N_GOOD);
  h = harness_new (NULL, depths[__i__ / 4]);
  gst_harness_set (h, "dloral", "bypass", __i__ / 2 % 2, NULL);
  bus = harness_get_bus (h);
  gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM,
      offers[__i__ % 2], NULL, NULL);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  for (i = 0; i < 10 && flow == GST_FLOW_OK; i++)
    flow = gst_harness_push (h, harness_frame (SMALL_CAPS, i));
  fail_unless_equals_int (flow, GST_FLOW_ERROR);
  fail_unless_equals_int (i, N_GOOD + 1);
  harness_expect_error (bus, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NO_SPACE_LEFT);
  for (i = 0; i < N_GOOD; i++)
    harness_expect_frame (h, i);

  gst_element_set_state (h->element, GST_STATE_NULL);
  g_atomic_int_set (&left, 1000);
  gst_harness_play (h);
  gst_harness_push_event (h, gst_event_new_stream_start ("again"));
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS, 7)),
      GST_FLOW_OK);
  harness_expect_frame (h, 7);
  harness_end (h);
}

GST_END_TEST;

/* --- Clocks ------------------------------------------------------------------------ */

/* The pipeline's clock goes an hour ahead and back to its beginning: no frame is
 * lost, late or changed by that. */
GST_START_TEST (test_clock_jumps)
{
  static const GstClockTime times[] = { 0, 3600 * GST_SECOND, 0,
    40 * GST_MSECOND, 2 * 3600 * GST_SECOND, 1
  };
  GstHarness *h;
  GstClock *clock;
  guint i;

  harness_setup ();
  h = harness_new (SMALL_CAPS, depths[__i__]);
  for (i = 0; i < G_N_ELEMENTS (times); i++) {
    clock = gst_test_clock_new_with_start_time (times[i]);
    gst_element_set_clock (h->element, clock);
    gst_object_unref (clock);
    fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS,
                i)), GST_FLOW_OK);
    harness_expect_frame (h, i);
  }
  harness_end (h);
}

GST_END_TEST;

static Suite *
faults_suite (void)
{
  Suite *s = suite_create ("faults");
  TCase *tc = tcase_create ("faults");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_no_memory, 0, 4 * G_N_ELEMENTS (depths));
  tcase_add_loop_test (tc, test_clock_jumps, 0, G_N_ELEMENTS (depths));
  return s;
}

GST_CHECK_MAIN (faults);
