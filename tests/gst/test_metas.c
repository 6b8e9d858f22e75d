/* What is attached to frames, and the buffers they come in.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <gst/video/video-overlay-composition.h>

static const gchar *const depths[] = { "async-depth=0", "async-depth=3" };

/* --- Metas --------------------------------------------------------------- */

static void
add_metas (GstBuffer * buffer, guint n)
{
  GstCaps *reference = gst_caps_from_string ("timestamp/x-unix");
  GstVideoRegionOfInterestMeta *region;
  guint8 caption[3] = { 0xfc, n, 0x80 };

  region = gst_buffer_add_video_region_of_interest_meta (buffer, "face", 3, 5,
      8, 6);
  region->id = n;
  region->parent_id = 77;
  gst_video_region_of_interest_meta_add_param (region,
      gst_structure_new ("detection", "confidence", G_TYPE_INT, n, NULL));
  gst_buffer_add_reference_timestamp_meta (buffer, reference, n, 1);
  gst_buffer_add_video_caption_meta (buffer,
      GST_VIDEO_CAPTION_TYPE_CEA708_RAW, caption, 3);
  gst_buffer_add_video_time_code_meta_full (buffer, 25, 1, NULL,
      GST_VIDEO_TIME_CODE_FLAGS_NONE, 1, 2, 3, n, 0);
  gst_caps_unref (reference);
}

static void
expect_metas (GstBuffer * buffer, guint n, gint width, gint height)
{
  GstVideoRegionOfInterestMeta *region =
      gst_buffer_get_video_region_of_interest_meta_id (buffer, n);
  GstVideoTimeCodeMeta *code = gst_buffer_get_video_time_code_meta (buffer);
  GstVideoCaptionMeta *caption = gst_buffer_get_video_caption_meta (buffer);
  GstStructure *detection;
  gint confidence;

  fail_unless (region != NULL);
  fail_unless_equals_int (region->parent_id, 77);
  fail_unless_equals_int (region->x, 3 * width / 32);
  fail_unless_equals_int (region->y, 5 * height / 16);
  fail_unless_equals_int (region->w, 8 * width / 32);
  fail_unless_equals_int (region->h, 6 * height / 16);
  detection = gst_video_region_of_interest_meta_get_param (region,
      "detection");
  fail_unless (detection
      && gst_structure_get_int (detection, "confidence", &confidence));
  fail_unless_equals_int (confidence, n);
  fail_unless_equals_uint64 (gst_buffer_get_reference_timestamp_meta (buffer,
          NULL)->timestamp, n);
  fail_unless (code && code->tc.frames == n);
  fail_unless (caption && caption->data[1] == n);
  fail_unless_equals_int (gst_buffer_get_n_meta (buffer,
          GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE), 1);
}

static const gint sizes[][2] = { {128, 64}, {64, 64} };

GST_START_TEST (test_metas)
{
  const gint *size = sizes[__i__ / 2];
  gchar *peer = g_strdup_printf ("video/x-raw, width=%d, height=%d", size[0],
      size[1]);
  GstHarness *h;
  guint i;

  harness_setup ();
  h = harness_new (NULL, depths[__i__ % 2]);
  gst_harness_set_sink_caps_str (h, peer);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  for (i = 0; i < 6; i++) {
    GstBuffer *buffer = harness_frame (SMALL_CAPS, i);

    add_metas (buffer, i);
    fail_unless_equals_int (gst_harness_push (h, buffer), GST_FLOW_OK);
  }
  for (i = 0; i < 6; i++) {
    GstBuffer *buffer = gst_harness_pull (h);

    expect_metas (buffer, i, size[0], size[1]);
    gst_buffer_unref (buffer);
  }
  harness_end (h);
  g_free (peer);
}

GST_END_TEST;

/* The part of a frame that is to be seen grows along. */
GST_START_TEST (test_crop)
{
  GstBuffer *buffer = harness_frame (SMALL_CAPS, 0);
  GstVideoCropMeta *crop = gst_buffer_add_video_crop_meta (buffer);
  GstHarness *h;

  harness_setup ();
  crop->x = 2;
  crop->y = 1;
  crop->width = 20;
  crop->height = 8;
  h = harness_new (SMALL_CAPS, NULL);
  gst_harness_push (h, buffer);
  buffer = gst_harness_pull (h);
  crop = gst_buffer_get_video_crop_meta (buffer);
  fail_unless (crop != NULL);
  fail_unless_equals_int (crop->x, 8);
  fail_unless_equals_int (crop->y, 4);
  fail_unless_equals_int (crop->width, 80);
  fail_unless_equals_int (crop->height, 32);
  gst_buffer_unref (buffer);
  harness_end (h);
}

GST_END_TEST;

/* --- Buffers ------------------------------------------------------------- */

typedef struct
{
  GstBufferPool *pool;
  guint max;
  gboolean video_meta;
} Offer;

/* Downstream that offers a pool. */
static GstPadProbeReturn
answer_allocation (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstQuery *query = GST_PAD_PROBE_INFO_QUERY (info);
  Offer *offer = user_data;
  GstVideoInfo video;
  GstCaps *caps;

  if (GST_QUERY_TYPE (query) != GST_QUERY_ALLOCATION)
    return GST_PAD_PROBE_OK;
  gst_query_parse_allocation (query, &caps, NULL);
  gst_video_info_from_caps (&video, caps);
  gst_query_add_allocation_pool (query, offer->pool, video.size, 0,
      offer->max);
  if (offer->video_meta)
    gst_query_add_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  return GST_PAD_PROBE_HANDLED;
}

static GstHarness *
new_with_offer (Offer * offer, const gchar * properties)
{
  GstHarness *h = harness_new (NULL, properties);

  offer->pool = gst_video_buffer_pool_new ();
  gst_pad_add_probe (h->sinkpad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM,
      answer_allocation, offer, NULL);
  gst_harness_set_src_caps_str (h, SMALL_CAPS);
  return h;
}

/* A pool that is large enough is used, one that is not is not: downstream that
 * keeps what it has shall not stop us. */
GST_START_TEST (test_pool)
{
  static const struct
  {
    guint max;
    gboolean used;
  } cases[] = { {0, TRUE}, {5, TRUE}, {4, FALSE}, {1, FALSE} };
  Offer offer = { NULL, cases[__i__].max, FALSE };
  GstHarness *h;
  GstBuffer *buffer;
  guint i;

  harness_setup ();
  h = new_with_offer (&offer, "async-depth=3");
  for (i = 0; i < 5; i++)
    fail_unless_equals_int (gst_harness_push (h, harness_frame (SMALL_CAPS, i)),
        GST_FLOW_OK);
  for (i = 0; i < 5; i++) {
    buffer = gst_harness_pull (h);
    fail_unless_equals_int (buffer->pool == offer.pool, cases[__i__].used);
    gst_buffer_unref (buffer);
  }
  harness_end (h);
  gst_object_unref (offer.pool);
}

GST_END_TEST;

/* A pool whose rows are padded, as GL's and V4L2's are. */
GST_START_TEST (test_padded_pool)
{
  Offer offer = { NULL, 0, TRUE };
  GstHarness *h;
  GstBuffer *buffer;
  GstVideoMeta *meta;

  harness_setup ();
  h = new_with_offer (&offer, NULL);
  gst_harness_push (h, harness_frame (SMALL_CAPS, 9));
  buffer = gst_harness_pull (h);
  meta = gst_buffer_get_video_meta (buffer);
  fail_unless (meta != NULL);
  fail_unless_equals_int (harness_get_level (buffer,
          "video/x-raw, format=RGB, width=128, height=64"), 16 + 4 * 9);
  gst_buffer_unref (buffer);
  harness_end (h);
  gst_object_unref (offer.pool);
}

GST_END_TEST;

static void
note_end (gpointer user_data, GstMiniObject * object)
{
  g_atomic_int_inc ((gint *) user_data);
}

/* Upstream has its buffer back while the frame is still being computed. */
GST_START_TEST (test_input_returns_early)
{
  GstBuffer *buffer = harness_frame (SMALL_CAPS, 0);
  GstHarness *h;
  gint freed = 0;

  harness_setup ();
  fake_engine.frame_us = 300000;
  h = harness_new (SMALL_CAPS, "async-depth=1");
  gst_mini_object_weak_ref (GST_MINI_OBJECT (buffer), note_end, &freed);
  gst_harness_push (h, buffer);
  fail_unless_equals_int (g_atomic_int_get (&freed), 1);
  fail_unless_equals_int (gst_harness_buffers_in_queue (h), 0);
  harness_expect_frame (h, 0);
  harness_end (h);
}

GST_END_TEST;

static Suite *
metas_suite (void)
{
  Suite *s = suite_create ("metas");
  TCase *tc = tcase_create ("metas");

  suite_add_tcase (s, tc);
  tcase_add_loop_test (tc, test_metas, 0, 4);
  tcase_add_test (tc, test_crop);
  tcase_add_loop_test (tc, test_pool, 0, 4);
  tcase_add_test (tc, test_padded_pool);
  tcase_add_test (tc, test_input_returns_early);
  return s;
}

GST_CHECK_MAIN (metas);
