/* What downstream says of frames that came too late, and what that means for
 * the next ones. The base class could leave frames out by itself, but not have
 * them enlarged instead, and it counts frames that it does not see leave.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#define GST_CAT_DEFAULT gst_dloral_debug

void
gst_dloral_note_qos (GstDloral * self, GstEvent * event)
{
  DloralState *state = &self->state;
  GstClockTime timestamp;
  GstClockTimeDiff diff;
  gdouble proportion;

  gst_event_parse_qos (event, NULL, &proportion, &diff, &timestamp);
  if (!GST_CLOCK_TIME_IS_VALID (timestamp))
    return;
  g_mutex_lock (&state->lock);
  state->proportion = proportion;
  state->earliest = diff < 0 && (GstClockTime) -diff > timestamp ? 0
      : timestamp + diff;
  g_mutex_unlock (&state->lock);
}

void
gst_dloral_forget_qos (GstDloral * self)
{
  DloralState *state = &self->state;

  g_mutex_lock (&state->lock);
  state->proportion = 1;
  state->earliest = GST_CLOCK_TIME_NONE;
  g_mutex_unlock (&state->lock);
}

static GstClockTime
gst_dloral_get_running_time (GstDloral * self, GstBuffer * buffer)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;

  return segment->format == GST_FORMAT_TIME ?
      gst_segment_to_running_time (segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (buffer)) : GST_CLOCK_TIME_NONE;
}

gboolean
gst_dloral_is_late (GstDloral * self, GstBuffer * inbuf)
{
  DloralState *state = &self->state;
  GstClockTime time = gst_dloral_get_running_time (self, inbuf);
  gboolean late;

  if (!gst_base_transform_is_qos_enabled (GST_BASE_TRANSFORM (self)))
    return FALSE;
  g_mutex_lock (&state->lock);
  late = GST_CLOCK_TIME_IS_VALID (time)
      && GST_CLOCK_TIME_IS_VALID (state->earliest) && time <= state->earliest;
  g_mutex_unlock (&state->lock);
  return late;
}

void
gst_dloral_drop_frame (GstDloral * self, GstBuffer * inbuf)
{
  DloralState *state = &self->state;
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GstClockTime time = gst_dloral_get_running_time (self, inbuf);
  GstClockTime stream_time = segment->format == GST_FORMAT_TIME ?
      gst_segment_to_stream_time (segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (inbuf)) : GST_CLOCK_TIME_NONE;
  GstClockTimeDiff jitter = 0;
  GstMessage *message;
  gboolean first;

  state->lost = TRUE;
  g_mutex_lock (&state->lock);
  first = state->stats.frames_dropped++ == 0;
  message = gst_message_new_qos (GST_OBJECT_CAST (self), state->live, time,
      stream_time, GST_BUFFER_PTS (inbuf), GST_BUFFER_DURATION (inbuf));
  if (GST_CLOCK_TIME_IS_VALID (time)
      && GST_CLOCK_TIME_IS_VALID (state->earliest))
    jitter = GST_CLOCK_DIFF (time, state->earliest);
  gst_message_set_qos_values (message, jitter, state->proportion, 1000000);
  gst_message_set_qos_stats (message, GST_FORMAT_BUFFERS,
      state->stats.frames_out, state->stats.frames_dropped);
  g_mutex_unlock (&state->lock);
  gst_element_post_message (GST_ELEMENT_CAST (self), message);
  if (first)
    GST_WARNING_OBJECT (self, "frames are dropped: this machine restores fewer "
        "of this size than come in");
}
