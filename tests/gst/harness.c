/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Shared by the element's tests.
 */
#include "harness.h"

#include <string.h>

#include "gst/gstdloral.h"

/* A stop does not wait for a model that is being opened: the test before may have
 * ended with one. */
static void
harness_wait_until_idle (void)
{
  gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  while (g_atomic_int_get (&fake_engine.models) > 0) {
    fail_unless (g_get_monotonic_time () < end, "a model stays open");
    g_usleep (500);
  }
}

void
harness_setup (void)
{
  static gsize registered = 0;

  if (g_once_init_enter (&registered)) {
    fail_unless (GST_ELEMENT_REGISTER (dloral, NULL));
    g_once_init_leave (&registered, 1);
  }
  harness_wait_until_idle ();
  fake_engine_reset ();
}

GstHarness *
harness_new (const gchar * sink_caps, const gchar * properties)
{
  GstElement *element = gst_element_factory_make ("dloral", NULL);
  gchar **list = g_strsplit (properties ? properties : "", " ", -1), **p;
  GstHarness *h;

  g_object_set (element, "model", FAKE_MODEL_GOOD, NULL);
  for (p = list; *p; p++) {
    gchar **pair = g_strsplit (*p, "=", 2);

    gst_util_set_object_arg (G_OBJECT (element), pair[0], pair[1]);
    g_strfreev (pair);
  }
  g_strfreev (list);
  h = gst_harness_new_with_element (element, "sink", "src");
  gst_object_unref (element);
  gst_harness_set_live (h, FALSE);
  if (sink_caps)
    gst_harness_set_src_caps_str (h, sink_caps);
  return h;
}

void
harness_end (GstHarness * h)
{
  GstBus *bus = gst_element_get_bus (h->element);

  /* Messages that nobody took hold the element, which holds the bus. */
  if (bus) {
    gst_bus_set_flushing (bus, TRUE);
    gst_object_unref (bus);
  }
  gst_harness_teardown (h);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.held), 0);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.streams), 0);
  fail_unless_equals_int (g_atomic_int_get (&fake_engine.models), 0);
}

GstBus *
harness_get_bus (GstHarness * h)
{
  GstBus *bus = gst_bus_new ();

  gst_element_set_bus (h->element, bus);
  return bus;
}

void
harness_expect_error (GstBus * bus, GQuark domain, gint code)
{
  GstMessage *message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
      GST_MESSAGE_ERROR);
  GError *error = NULL;
  gchar *debug = NULL;

  fail_unless (message != NULL, "no error was posted");
  gst_message_parse_error (message, &error, &debug);
  fail_unless (g_error_matches (error, domain, code), "%s %d: %s",
      g_quark_to_string (error->domain), error->code, error->message);
  fail_unless (strlen (error->message) > 10);
  fail_unless (debug && strlen (debug) > 10);
  g_clear_error (&error);
  g_free (debug);
  gst_message_unref (message);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
}

GstBuffer *
harness_frame (const gchar * text, guint n)
{
  GstCaps *caps = gst_caps_from_string (text);
  GstVideoInfo info;
  GstBuffer *buffer;

  fail_unless (gst_video_info_from_caps (&info, caps));
  gst_caps_unref (caps);
  buffer = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (&info), NULL);
  gst_buffer_memset (buffer, 0, 16 + 4 * n, -1);
  GST_BUFFER_PTS (buffer) = n * FRAME_DURATION;
  GST_BUFFER_DURATION (buffer) = FRAME_DURATION;
  GST_BUFFER_OFFSET (buffer) = n;
  return buffer;
}

guint
harness_get_level (GstBuffer * buffer, const gchar * text)
{
  GstCaps *caps = gst_caps_from_string (text);
  GstVideoInfo info;
  GstVideoFrame frame;
  const guint8 *row;
  guint level;

  fail_unless (gst_video_info_from_caps (&info, caps));
  gst_caps_unref (caps);
  fail_unless (gst_video_frame_map (&frame, &info, buffer, GST_MAP_READ));
  row = GST_VIDEO_FRAME_COMP_DATA (&frame, 0);
  row += info.height / 2 * GST_VIDEO_FRAME_COMP_STRIDE (&frame, 0);
  level = row[info.width / 2 * GST_VIDEO_FRAME_COMP_PSTRIDE (&frame, 0)];
  gst_video_frame_unmap (&frame);
  return level;
}

void
harness_expect_frame (GstHarness * h, guint n)
{
  GstBuffer *buffer = gst_harness_pull (h);

  fail_unless (buffer != NULL, "frame %u did not come", n);
  fail_unless_equals_uint64 (GST_BUFFER_PTS (buffer), n * FRAME_DURATION);
  fail_unless_equals_uint64 (GST_BUFFER_DURATION (buffer), FRAME_DURATION);
  fail_unless_equals_uint64 (GST_BUFFER_OFFSET (buffer), n);
  fail_unless_equals_int (gst_buffer_get_size (buffer), 128 * 64 * 3);
  fail_unless_equals_int (harness_get_level (buffer,
          "video/x-raw, format=RGB, width=128, height=64"), 16 + 4 * n);
  gst_buffer_unref (buffer);
}

void
harness_wait_for (gint * atomic, gint value)
{
  gint64 end = g_get_monotonic_time () + 20 * G_TIME_SPAN_SECOND;

  while (g_atomic_int_get (atomic) < value) {
    fail_unless (g_get_monotonic_time () < end, "waited in vain");
    g_usleep (500);
  }
}

GstCaps *
harness_get_out_caps (GstHarness * h)
{
  GstCaps *caps = gst_pad_get_current_caps (h->sinkpad);

  fail_unless (caps != NULL);
  return caps;
}
