/* The part of a file that is worked on, see window.h.
 *
 * What comes before the part is read and decoded all the same: no demuxer's
 * seek is exact in every container.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "window.h"

typedef struct
{
  const Window *window;
  gboolean may_clip;
  GstSegment segment;           /* the one that came */
  gboolean ended;
} Watch;

/* The end of the part is the end of the stream, for what comes next; not for
 * the pad, which may still get tags. */
static void
end (Watch * self, GstPad * pad)
{
  GstPad *peer = gst_pad_get_peer (pad);

  self->ended = TRUE;
  if (!peer)
    return;
  gst_pad_send_event (peer, gst_event_new_eos ());
  gst_object_unref (peer);
}

/* Tells upstream that no more is wanted. */
static GstPadProbeReturn
refuse (GstPadProbeInfo * info)
{
  gst_buffer_unref (GST_PAD_PROBE_INFO_BUFFER (info));
  GST_PAD_PROBE_INFO_FLOW_RETURN (info) = GST_FLOW_EOS;
  return GST_PAD_PROBE_HANDLED;
}

static GstPadProbeReturn
on_buffer (Watch * self, GstPad * pad, GstPadProbeInfo * info)
{
  const Window *window = self->window;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  GstClockTime time, dts, late = 0;

  if (self->segment.format != GST_FORMAT_TIME
      || !GST_BUFFER_PTS_IS_VALID (buffer))
    return GST_PAD_PROBE_OK;
  time = gst_segment_to_running_time (&self->segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (buffer));
  if (!GST_CLOCK_TIME_IS_VALID (time))
    return GST_PAD_PROBE_DROP;
  if (time >= window->stop) {
    end (self, pad);
    return refuse (info);
  }
  if (time < window->start) {
    late = window->start - time;
    if (!self->may_clip || !GST_BUFFER_DURATION_IS_VALID (buffer)
        || GST_BUFFER_DURATION (buffer) <= late)
      return GST_PAD_PROBE_DROP;
  }

  buffer = gst_buffer_make_writable (buffer);
  dts = gst_segment_to_running_time (&self->segment, GST_FORMAT_TIME,
      GST_BUFFER_DTS (buffer));
  GST_BUFFER_PTS (buffer) = time + late - window->start;
  GST_BUFFER_DTS (buffer) = GST_CLOCK_TIME_IS_VALID (dts)
      && dts >= window->start ? dts - window->start : GST_CLOCK_TIME_NONE;
  if (late > 0)
    GST_BUFFER_DURATION (buffer) -= late;
  GST_PAD_PROBE_INFO_DATA (info) = buffer;
  return GST_PAD_PROBE_OK;
}

/* A stream in which nothing is said for a while. */
static GstPadProbeReturn
on_gap (Watch * self, GstPad * pad, GstPadProbeInfo * info)
{
  const Window *window = self->window;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstClockTime time, duration;

  gst_event_parse_gap (event, &time, &duration);
  time = gst_segment_to_running_time (&self->segment, GST_FORMAT_TIME, time);
  if (!GST_CLOCK_TIME_IS_VALID (time) || time < window->start)
    return GST_PAD_PROBE_DROP;
  if (time >= window->stop) {
    end (self, pad);
    return GST_PAD_PROBE_DROP;
  }
  gst_event_unref (event);
  GST_PAD_PROBE_INFO_DATA (info) = gst_event_new_gap (time - window->start,
      duration);
  return GST_PAD_PROBE_OK;
}

static void
on_segment (Watch * self, GstPadProbeInfo * info)
{
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstSegment segment;
  GstEvent *plain;

  gst_event_copy_segment (event, &self->segment);
  if (self->segment.format != GST_FORMAT_TIME)
    return;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  plain = gst_event_new_segment (&segment);
  gst_event_set_seqnum (plain, gst_event_get_seqnum (event));
  gst_event_unref (event);
  GST_PAD_PROBE_INFO_DATA (info) = plain;
}

static GstPadProbeReturn
on_data (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Watch *self = user_data;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    return self->ended ? refuse (info) : on_buffer (self, pad, info);
  if (self->ended)
    return GST_PAD_PROBE_DROP;
  switch (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info))) {
    case GST_EVENT_SEGMENT:
      on_segment (self, info);
      return GST_PAD_PROBE_OK;
    case GST_EVENT_GAP:
      return on_gap (self, pad, info);
    default:
      return GST_PAD_PROBE_OK;
  }
}

void
window_watch (GstPad * pad, const Window * window, gboolean may_clip)
{
  Watch *self = g_new0 (Watch, 1);

  self->window = window;
  self->may_clip = may_clip;
  gst_segment_init (&self->segment, GST_FORMAT_UNDEFINED);
  gst_pad_add_probe (pad,
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_data,
      self, g_free);
}
