/* The way out of frames and events, in the pusher's thread (the streaming thread
 * when async-depth is 0); and how to wait for it, or to clear it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#include "dloralerror.h"

#define GST_CAT_DEFAULT gst_dloral_debug

/* --- Frames of the engine ------------------------------------------------- */

/* Counts a frame that the model failed on. The first one is said. */
static void
gst_dloral_note_plain (GstDloral * self)
{
  DloralState *state = &self->state;
  gboolean first;

  g_mutex_lock (&state->lock);
  first = state->stats.frames_plain++ == 0;
  g_mutex_unlock (&state->lock);
  if (first)
    GST_ELEMENT_WARNING (self, STREAM, FAILED,
        ("The model's result is not a number; frames leave enlarged but not "
            "restored. Try precision=f32, or check the model file."), (NULL));
}

/* Notes how a finished frame did. measured: it leaves the moment it is
 * finished, so that its latency is ours and not downstream's. */
static void
gst_dloral_note_frame (GstDloral * self, const DloralFrame * frame,
    const DloralItem * item, gboolean measured)
{
  DloralState *state = &self->state;
  gboolean announce = FALSE;
  gint i;

  if (frame->cut)
    gst_dloral_note_beginning (self, DLORAL_BEGINNING_SCENE);
  g_mutex_lock (&state->lock);
  for (i = 0; i < DLORAL_N_STAGES; i++)
    state->stats.stage_ns[i] += frame->stage_ns[i];
  state->stats.frames_computed++;
  if (measured) {
    state->stats.latency = g_get_monotonic_time () * GST_USECOND
        - item->entered;
    announce = dloral_latency_add (&state->latency, state->stats.latency)
        && state->live;
  }
  g_mutex_unlock (&state->lock);

  if (announce)
    gst_element_post_message (GST_ELEMENT_CAST (self),
        gst_message_new_latency (GST_OBJECT_CAST (self)));
}

/* The engine's picture into the output buffer. */
static GstFlowReturn
gst_dloral_write_output (GstDloral * self, DloralFrame * frame,
    GstBuffer * outbuf)
{
  GstVideoFrame out;
  /* The alpha is there already. */
  GstMapFlags flags = dloral_convert_has_alpha (self->state.convert) ?
      GST_MAP_READWRITE : GST_MAP_WRITE;

  if (!gst_video_frame_map (&out, &self->state.out, outbuf, flags)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT, (NULL),
        ("an output buffer could not be written"));
    return GST_FLOW_ERROR;
  }
  dloral_convert_take (self->state.convert, frame->hr, frame->hr_stride, &out);
  gst_video_frame_unmap (&out);
  return GST_FLOW_OK;
}

/* The picture of a finished frame to wherever its output buffer is. */
static GstFlowReturn
gst_dloral_finish_frame (GstDloral * self, DloralFrame * frame,
    GstBuffer * outbuf)
{
  DloralState *state = &self->state;

  if (!frame->error && !frame->hr_stays)
    return gst_dloral_write_output (self, frame, outbuf);
  if (!frame->error && dloral_cuda_memory_take (state->session->stream, frame,
          &state->out, outbuf, &frame->error))
    return GST_FLOW_OK;
  dloral_element_post_error (GST_ELEMENT_CAST (self), NULL, frame->error);
  return GST_FLOW_ERROR;
}

/* Takes the oldest frame out of the engine and completes its buffer. */
static GstFlowReturn
gst_dloral_collect_frame (GstDloral * self, DloralItem * item, gboolean drop)
{
  DloralState *state = &self->state;
  DloralStream *stream = state->session->stream;
  gboolean at_once = state->settings.async_depth == 0;
  GstFlowReturn flow = GST_FLOW_OK;
  DloralFrame *frame = dloral_stream_collect (stream, at_once);

  gst_clear_buffer (&state->restored);
  if (!frame) {
    at_once = TRUE;
    frame = dloral_stream_collect (stream, TRUE);
  }
  if (!frame)
    return GST_FLOW_FLUSHING;
  if (!drop)
    flow = gst_dloral_finish_frame (self, frame, item->buffer);
  if (!drop && flow == GST_FLOW_OK) {
    if (frame->plain)
      gst_dloral_note_plain (self);
    gst_dloral_note_frame (self, frame, item, at_once);
    if (item->keep)
      state->restored = gst_buffer_ref (item->buffer);
  }
  dloral_stream_release (stream, frame);
  return flow;
}

/* --- Frames without it ----------------------------------------------------- */

/* FALSE: the frame before did not come so far. */
static gboolean
gst_dloral_repeat_picture (GstDloral * self, GstBuffer * outbuf)
{
  GstBuffer *restored = self->state.restored;
  GstVideoMeta *meta;

  if (!restored || !gst_buffer_copy_into (outbuf, restored,
          GST_BUFFER_COPY_MEMORY, 0, -1))
    return FALSE;
  meta = gst_buffer_get_video_meta (restored);
  if (meta)
    gst_buffer_add_video_meta_full (outbuf, meta->flags, meta->format,
        meta->width, meta->height, meta->n_planes, meta->offset,
        meta->stride);
  return TRUE;
}

/* --- Out ------------------------------------------------------------------- */

/* Where it ends, in stream time; played backwards, where it begins. */
static GstClockTime
gst_dloral_get_position (GstDloral * self, GstBuffer * buffer)
{
  const GstSegment *segment = &GST_BASE_TRANSFORM (self)->segment;
  GstClockTime end = GST_BUFFER_PTS (buffer);

  if (segment->format != GST_FORMAT_TIME || !GST_CLOCK_TIME_IS_VALID (end))
    return GST_CLOCK_TIME_NONE;
  if (GST_BUFFER_DURATION_IS_VALID (buffer) && segment->rate > 0)
    end += GST_BUFFER_DURATION (buffer);
  return gst_segment_to_stream_time (segment, GST_FORMAT_TIME, end);
}

static GstFlowReturn
gst_dloral_push_buffer (GstDloral * self, DloralItem * item)
{
  DloralState *state = &self->state;
  GstBuffer *buffer = g_steal_pointer (&item->buffer);
  GstClockTime position = gst_dloral_get_position (self, buffer);

  g_mutex_lock (&state->lock);
  if (GST_CLOCK_TIME_IS_VALID (position))
    state->position = position;
  state->stats.frames_out++;
  if (item->kind == DLORAL_ITEM_COMPLETE)
    state->stats.frames_bypassed++;
  if (item->kind == DLORAL_ITEM_REPEATED)
    state->stats.frames_repeated++;
  g_mutex_unlock (&state->lock);
  return gst_pad_push (GST_BASE_TRANSFORM_SRC_PAD (self), buffer);
}

/* The buffer's picture; GST_FLOW_CUSTOM_SUCCESS: there is none, go on. */
static GstFlowReturn
gst_dloral_complete_item (GstDloral * self, DloralItem * item, gboolean drop)
{
  if (item->kind == DLORAL_ITEM_COMPUTED)
    return gst_dloral_collect_frame (self, item, drop);
  if (item->kind == DLORAL_ITEM_REPEATED && !drop
      && !gst_dloral_repeat_picture (self, item->buffer))
    return GST_FLOW_CUSTOM_SUCCESS;
  return GST_FLOW_OK;
}

GstFlowReturn
gst_dloral_push_item (gpointer owner, DloralItem * item, gboolean drop)
{
  GstDloral *self = owner;
  GstFlowReturn flow;

  if (item->kind == DLORAL_ITEM_EVENT) {
    gst_pad_push_event (GST_BASE_TRANSFORM_SRC_PAD (self),
        g_steal_pointer (&item->event));
    dloral_item_free (item);
    return GST_FLOW_OK;
  }
  flow = gst_dloral_complete_item (self, item, drop);
  if (flow == GST_FLOW_OK && !drop)
    flow = gst_dloral_push_buffer (self, item);
  if (flow != GST_FLOW_OK)
    GST_LOG_OBJECT (self, "pushing: %s", gst_flow_get_name (flow));
  gst_dloral_discard_item (self, item);
  return flow == GST_FLOW_CUSTOM_SUCCESS ? GST_FLOW_OK : flow;
}

/* Counts what is left of it: a buffer that did not leave. Downstream still learns
 * of what stays true after a flush. */
void
gst_dloral_discard_item (gpointer owner, DloralItem * item)
{
  GstDloral *self = owner;

  if (item->event && GST_EVENT_IS_STICKY (item->event))
    gst_pad_store_sticky_event (GST_BASE_TRANSFORM_SRC_PAD (self),
        item->event);
  if (item->buffer) {
    g_mutex_lock (&self->state.lock);
    self->state.stats.frames_discarded++;
    g_mutex_unlock (&self->state.lock);
  }
  dloral_item_free (item);
}

/* --- Waiting and flushing ------------------------------------------------ */

gboolean
gst_dloral_drain (GstDloral * self)
{
  return dloral_pusher_drain (self->state.pusher);
}

gboolean
gst_dloral_is_flushing (GstDloral * self)
{
  DloralState *state = &self->state;
  gboolean flushing;

  g_mutex_lock (&state->lock);
  flushing = state->flushing || !state->pusher;
  g_mutex_unlock (&state->lock);
  return flushing;
}

void
gst_dloral_start_flush (GstDloral * self)
{
  DloralState *state = &self->state;

  g_mutex_lock (&state->lock);
  state->flushing = TRUE;
  if (state->preparer)
    dloral_preparer_set_interrupted (state->preparer, TRUE);
  if (state->pusher)
    dloral_pusher_start_flush (state->pusher);
  if (state->session)
    dloral_stream_set_flushing (state->session->stream, TRUE);
  g_mutex_unlock (&state->lock);
}

void
gst_dloral_stop_flush (GstDloral * self)
{
  DloralState *state = &self->state;

  dloral_pusher_stop_flush (state->pusher);
  state->discont = TRUE;
  state->lost = FALSE;
  state->last = NULL;
  gst_clear_buffer (&state->restored);

  g_mutex_lock (&state->lock);
  state->flushing = FALSE;
  state->position = GST_CLOCK_TIME_NONE;
  dloral_preparer_set_interrupted (state->preparer, FALSE);
  if (state->session)
    dloral_stream_set_flushing (state->session->stream, FALSE);
  g_mutex_unlock (&state->lock);
  gst_dloral_forget_qos (self);
}
