/* The frames of a file's video without decoding them, see index.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "index.h"

#include <gio/gio.h>

/* The first one counts; takes `problem`. */
static void
take_problem (Index * self, char *problem)
{
  if (self->problem)
    g_free (problem);
  else
    self->problem = problem;
}

/* --- Frames, in a streaming thread --------------------------------------- */

/* A frame that is shown from before the segment on is shown as the first. */
static GstClockTime
get_running_time (const Index * self, GstClockTime time, GstClockTime end)
{
  if (time < self->segment.start && end > self->segment.start)
    time = self->segment.start;
  return gst_segment_to_running_time (&self->segment, GST_FORMAT_TIME, time);
}

static void
add_frame (Index * self, GstBuffer * buffer)
{
  GstClockTime time = GST_BUFFER_PTS (buffer);
  GstClockTime end = time;
  IndexFrame frame = {
    .is_key = !GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_DELTA_UNIT),
  };

  if (GST_BUFFER_DURATION_IS_VALID (buffer))
    end += GST_BUFFER_DURATION (buffer);
  frame.time = get_running_time (self, time, end);
  if (!GST_CLOCK_TIME_IS_VALID (frame.time))
    return;                     /* decoders leave it out, too */
  frame.stream_time = gst_segment_to_stream_time (&self->segment,
      GST_FORMAT_TIME, time);
  g_array_append_val (self->frames, frame);
  self->end = MAX (self->end, frame.time + (end - time));
}

static GstPadProbeReturn
on_buffer (Index * self, GstBuffer * buffer)
{
  if (GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_DECODE_ONLY))
    return GST_PAD_PROBE_OK;
  if (GST_BUFFER_PTS_IS_VALID (buffer)
      && self->segment.format == GST_FORMAT_TIME)
    add_frame (self, buffer);
  else
    take_problem (self, g_strdup_printf ("frame %u has no time of its own",
            self->frames->len));
  return GST_PAD_PROBE_OK;
}

static void
on_segment (Index * self, GstEvent * event)
{
  GstClockTimeDiff offset;

  gst_event_copy_segment (event, &self->segment);
  offset = (GstClockTimeDiff) self->segment.base
      - (GstClockTimeDiff) self->segment.start;
  if (self->frames->len > 0 && offset != self->offset)
    take_problem (self, g_strdup_printf ("its timestamps jump after frame %u",
            self->frames->len));
  self->offset = offset;
}

static void
on_caps (Index * self, GstEvent * event)
{
  const GstStructure *s;
  GstCaps *caps;
  int width = 0, height = 0;

  gst_event_parse_caps (event, &caps);
  s = gst_caps_get_structure (caps, 0);
  gst_structure_get_int (s, "width", &width);
  gst_structure_get_int (s, "height", &height);
  if (self->width > 0 && (width != self->width || height != self->height))
    take_problem (self, g_strdup_printf ("its size changes from %d x %d to "
            "%d x %d after frame %u", self->width, self->height, width, height,
            self->frames->len));
  self->width = width;
  self->height = height;
}

static GstPadProbeReturn
on_data (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Index *self = user_data;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    return on_buffer (self, GST_PAD_PROBE_INFO_BUFFER (info));
  switch (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info))) {
    case GST_EVENT_SEGMENT:
      on_segment (self, GST_PAD_PROBE_INFO_EVENT (info));
      break;
    case GST_EVENT_CAPS:
      on_caps (self, GST_PAD_PROBE_INFO_EVENT (info));
      break;
    default:
      break;
  }
  return GST_PAD_PROBE_OK;
}

/* --- The index ----------------------------------------------------------- */

void
index_init (Index * self)
{
  *self = (Index) {.frames = g_array_new (FALSE, FALSE, sizeof (IndexFrame)) };
  gst_segment_init (&self->segment, GST_FORMAT_UNDEFINED);
}

void
index_clear (Index * self)
{
  g_array_unref (self->frames);
  g_free (self->problem);
}

gboolean
index_link (Index * self, GstBin * pipeline, GstPad * pad)
{
  GstElement *sink = gst_element_factory_make ("fakesink", NULL);
  GstPad *sink_pad = gst_element_get_static_pad (sink, "sink");
  gboolean ok;

  g_object_set (sink, "sync", FALSE, "async", FALSE, NULL);
  gst_pad_add_probe (sink_pad,
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_data,
      self, NULL);
  gst_bin_add (pipeline, sink);
  gst_element_sync_state_with_parent (sink);
  ok = gst_pad_link (pad, sink_pad) == GST_PAD_LINK_OK;
  gst_object_unref (sink_pad);
  return ok;
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const IndexFrame *left = a, *right = b;

  return (left->time > right->time) - (left->time < right->time);
}

gboolean
index_finish (Index * self, GError ** error)
{
  const IndexFrame *frame = (const IndexFrame *) self->frames->data;

  g_array_sort (self->frames, compare_times);
  for (guint i = 1; i < self->frames->len; i++) {
    if (frame[i].time == frame[i - 1].time)
      take_problem (self, g_strdup_printf ("two frames are to be seen at "
              "%.3f s", frame[i].time / (double) GST_SECOND));
  }
  if (self->frames->len == 0)
    take_problem (self, g_strdup ("it has no frames"));
  if (!self->problem)
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
      self->problem);
  return FALSE;
}
