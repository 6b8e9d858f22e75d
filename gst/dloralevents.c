/* Events keep their place between the frames; queries are answered with what is
 * measured.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#include <gst/video/navigation.h>

#define GST_CAT_DEFAULT gst_dloral_debug

/* --- From upstream ------------------------------------------------------- */

/* Whether an event changes what the base class or we do with frames. All others
 * may travel with the frames instead of waiting for them. */
static gboolean
gst_dloral_event_needs_drain (GstEvent * event)
{
  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_STREAM_START:
    case GST_EVENT_CAPS:
    case GST_EVENT_SEGMENT:
    case GST_EVENT_SEGMENT_DONE:
    case GST_EVENT_EOS:
      return TRUE;
    default:
      return FALSE;
  }
}

/* A frame may have failed downstream with nobody upstream left to hear of
 * it. */
static void
gst_dloral_report_flow (GstDloral * self)
{
  GstFlowReturn flow = dloral_pusher_get_flow (self->state.pusher);

  if ((flow == GST_FLOW_NOT_LINKED || flow < GST_FLOW_EOS)
      && !self->state.flow_reported)
    GST_ELEMENT_FLOW_ERROR (self, flow);
}

/* Once nothing is on its way any more. */
static void
gst_dloral_prepare_for_event (GstDloral * self, GstEvent * event)
{
  DloralState *state = &self->state;

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_EOS:
      gst_dloral_report_flow (self);
      break;
    case GST_EVENT_STREAM_START:
    case GST_EVENT_SEGMENT:
      dloral_pusher_forgive (state->pusher, GST_FLOW_EOS);
      state->discont = TRUE;
      gst_dloral_note_beginning (self,
          GST_EVENT_TYPE (event) == GST_EVENT_STREAM_START ?
          DLORAL_BEGINNING_VIDEO : DLORAL_BEGINNING_SCENE);
      g_mutex_lock (&state->lock);
      state->position = GST_CLOCK_TIME_NONE;
      g_mutex_unlock (&state->lock);
      break;
    default:
      break;
  }
}

static gboolean
gst_dloral_sink_event (GstBaseTransform * trans, GstEvent * event)
{
  GstDloral *self = GST_DLORAL (trans);

  if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_START) {
    gst_dloral_start_flush (self);
  } else if (GST_EVENT_IS_SERIALIZED (event) && !self->state.pusher) {
    gst_event_unref (event);    /* not started yet */
    return FALSE;
  } else if (GST_EVENT_TYPE (event) == GST_EVENT_FLUSH_STOP) {
    gst_dloral_stop_flush (self);
  } else if (gst_dloral_event_needs_drain (event)) {
    if (!gst_dloral_drain (self)) {
      gst_event_unref (event);
      return FALSE;
    }
    gst_dloral_prepare_for_event (self, event);
  } else if (GST_EVENT_IS_SERIALIZED (event)
      && dloral_pusher_add_event (self->state.pusher, event)) {
    return TRUE;
  }
  return GST_DLORAL_PARENT_CLASS (trans)->sink_event (trans, event);
}

/* The base class can only say that an event was not taken, which upstream would
 * read as an error where it was a flush or a stop. */
static GstFlowReturn
gst_dloral_sink_event_full (GstPad * pad, GstObject * parent, GstEvent * event)
{
  GstDloral *self = GST_DLORAL (parent);
  gboolean caps = GST_EVENT_TYPE (event) == GST_EVENT_CAPS;

  if (self->base_event (pad, parent, event))
    return GST_FLOW_OK;
  if (gst_dloral_is_flushing (self))
    return GST_FLOW_FLUSHING;
  return caps ? GST_FLOW_NOT_NEGOTIATED : GST_FLOW_ERROR;
}

void
gst_dloral_install_event_function (GstDloral * self)
{
  GstPad *pad = GST_BASE_TRANSFORM_SINK_PAD (self);

  self->base_event = GST_PAD_EVENTFUNC (pad);
  gst_pad_set_event_full_function (pad,
      GST_DEBUG_FUNCPTR (gst_dloral_sink_event_full));
}

/* --- From downstream ----------------------------------------------------- */

/* Downstream speaks of the large picture, upstream knows the small one. */
static GstEvent *
gst_dloral_scale_navigation (GstDloral * self, GstEvent * event)
{
  DloralState *state = &self->state;
  GstVideoInfo in, out;
  gdouble x, y;

  g_mutex_lock (&state->lock);
  in = state->in;
  out = state->out;
  g_mutex_unlock (&state->lock);

  if (out.width == 0 || !gst_navigation_event_get_coordinates (event, &x, &y))
    return event;
  event = gst_event_make_writable (event);
  gst_navigation_event_set_coordinates (event, x * in.width / out.width,
      y * in.height / out.height);
  return event;
}

static gboolean
gst_dloral_src_event (GstBaseTransform * trans, GstEvent * event)
{
  GstDloral *self = GST_DLORAL (trans);
  DloralState *state = &self->state;

  if (GST_EVENT_TYPE (event) == GST_EVENT_QOS) {
    gst_dloral_note_qos (self, event);
    return gst_pad_push_event (GST_BASE_TRANSFORM_SINK_PAD (self), event);
  }
  if (GST_EVENT_TYPE (event) == GST_EVENT_NAVIGATION) {
    event = gst_dloral_scale_navigation (self, event);
  } else if (GST_EVENT_TYPE (event) == GST_EVENT_RECONFIGURE) {
    g_mutex_lock (&state->lock);
    if (state->pusher)
      dloral_pusher_forgive (state->pusher, GST_FLOW_NOT_LINKED);
    g_mutex_unlock (&state->lock);
  }
  return GST_DLORAL_PARENT_CLASS (trans)->src_event (trans, event);
}

/* --- Queries ------------------------------------------------------------- */

/* Measured, once there is something to measure; before that as many frames as
 * may be in flight. */
static GstClockTime
gst_dloral_get_latency (GstDloral * self)
{
  DloralState *state = &self->state;
  GstClockTime latency = 0;

  g_mutex_lock (&state->lock);
  if (state->latency.count > 0)
    latency = state->latency.announced;
  else if (GST_VIDEO_INFO_FPS_N (&state->in) > 0)
    latency = gst_util_uint64_scale_int (state->settings.async_depth
        * GST_SECOND, GST_VIDEO_INFO_FPS_D (&state->in),
        GST_VIDEO_INFO_FPS_N (&state->in));
  g_mutex_unlock (&state->lock);
  return latency;
}

static gboolean
gst_dloral_query_latency (GstDloral * self, GstQuery * query)
{
  GstClockTime min, max, ours;
  gboolean live;

  if (!gst_pad_peer_query (GST_BASE_TRANSFORM_SINK_PAD (self), query))
    return FALSE;
  gst_query_parse_latency (query, &live, &min, &max);
  ours = gst_dloral_get_latency (self);
  GST_DEBUG_OBJECT (self, "%" GST_TIME_FORMAT " of ours after %"
      GST_TIME_FORMAT, GST_TIME_ARGS (ours), GST_TIME_ARGS (min));
  gst_query_set_latency (query, live, min + ours,
      GST_CLOCK_TIME_IS_VALID (max) ? max + ours : max);

  g_mutex_lock (&self->state.lock);
  self->state.live = live;
  g_mutex_unlock (&self->state.lock);
  return TRUE;
}

/* Where downstream is; upstream's only while nothing has left. The base class
 * would read its segment, which a flush may be resetting meanwhile. */
static gboolean
gst_dloral_query_position (GstDloral * self, GstQuery * query)
{
  GstClockTime position;
  GstFormat format;

  g_mutex_lock (&self->state.lock);
  position = self->state.position;
  g_mutex_unlock (&self->state.lock);

  gst_query_parse_position (query, &format, NULL);
  if (format != GST_FORMAT_TIME || !GST_CLOCK_TIME_IS_VALID (position))
    return gst_pad_peer_query (GST_BASE_TRANSFORM_SINK_PAD (self), query);
  gst_query_set_position (query, format, position);
  return TRUE;
}

static gboolean
gst_dloral_query (GstBaseTransform * trans, GstPadDirection direction,
    GstQuery * query)
{
  GstDloral *self = GST_DLORAL (trans);

  if (GST_QUERY_TYPE (query) == GST_QUERY_CONTEXT
      && dloral_cuda_memory_answer_query (GST_ELEMENT_CAST (self), query,
          self->cuda))
    return TRUE;
  if (direction == GST_PAD_SRC) {
    if (GST_QUERY_TYPE (query) == GST_QUERY_LATENCY)
      return gst_dloral_query_latency (self, query);
    if (GST_QUERY_TYPE (query) == GST_QUERY_POSITION)
      return gst_dloral_query_position (self, query);
  } else if (GST_QUERY_IS_SERIALIZED (query)
      && (!self->state.pusher || !gst_dloral_drain (self))) {
    return FALSE;
  }
  return GST_DLORAL_PARENT_CLASS (trans)->query (trans, direction,
      query);
}

void
gst_dloral_install_events (GstBaseTransformClass * klass)
{
  klass->sink_event = GST_DEBUG_FUNCPTR (gst_dloral_sink_event);
  klass->src_event = GST_DEBUG_FUNCPTR (gst_dloral_src_event);
  klass->query = GST_DEBUG_FUNCPTR (gst_dloral_query);
}
