/* A frame's way in: what becomes of it, and that begun. Its way out is
 * dloraloutput.c's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#include "dloralerror.h"

#define GST_CAT_DEFAULT gst_dloral_debug

/* Enlarging by a converter uses at most this many threads. */
#define MAX_ENLARGE_THREADS 4

static void
gst_dloral_count (GstDloral * self, guint64 * sum)
{
  g_mutex_lock (&self->state.lock);
  (*sum)++;
  g_mutex_unlock (&self->state.lock);
}

/* --- Output buffers ------------------------------------------------------ */

GstFlowReturn
gst_dloral_transform (GstBaseTransform * trans, GstBuffer * inbuf,
    GstBuffer * outbuf)
{
  GstDloral *self = GST_DLORAL (trans);
  DloralState *state = &self->state;
  GstVideoFrame in, out;

  if (!state->convert || !dloral_convert_has_alpha (state->convert))
    return GST_FLOW_OK;
  if (!gst_video_frame_map (&in, &state->in, inbuf, GST_MAP_READ))
    return GST_FLOW_ERROR;
  if (!gst_video_frame_map (&out, &state->out, outbuf, GST_MAP_WRITE)) {
    gst_video_frame_unmap (&in);
    return GST_FLOW_ERROR;
  }
  dloral_convert_scale_alpha (state->convert, &in, &out);
  gst_video_frame_unmap (&out);
  gst_video_frame_unmap (&in);
  return GST_FLOW_OK;
}

/* The output buffer is made while the input is at hand: it takes its
 * timestamps, flags and metas from there. */
static GstFlowReturn
gst_dloral_make_output (GstDloral * self, GstBuffer * inbuf,
    GstBuffer ** outbuf)
{
  DloralState *state = &self->state;
  GstFlowReturn flow = GST_DLORAL_PARENT_CLASS (self)->prepare_output_buffer
      (GST_BASE_TRANSFORM (self), inbuf, outbuf);

  if (flow == GST_FLOW_ERROR)
    GST_ELEMENT_ERROR (self, RESOURCE, NO_SPACE_LEFT,
        ("There is no memory for an output frame."),
        ("no buffer from the pool in use"));
  if (flow != GST_FLOW_OK)
    return flow;
  if (state->lost)
    GST_BUFFER_FLAG_SET (*outbuf, GST_BUFFER_FLAG_DISCONT);
  state->lost = FALSE;
  return GST_FLOW_OK;
}

static GstFlowReturn
gst_dloral_fail_output (GstDloral * self)
{
  GST_ELEMENT_ERROR (self, STREAM, FORMAT, (NULL),
      ("an output buffer could not be written"));
  return GST_FLOW_ERROR;
}

static DloralItem *
gst_dloral_new_item (DloralItemKind kind, GstBuffer * buffer)
{
  DloralItem *item = g_new0 (DloralItem, 1);

  item->kind = kind;
  item->buffer = buffer;
  return item;
}

/* --- Enlarged ------------------------------------------------------------- */

static gboolean
gst_dloral_enlarge (GstDloral * self, GstBuffer * inbuf, GstBuffer * outbuf)
{
  DloralState *state = &self->state;
  GstVideoFrame in, out;

  if (!state->enlarger)
    state->enlarger = dloral_converter_new (&state->in, &state->out,
        MIN (g_get_num_processors (), MAX_ENLARGE_THREADS));
  if (!state->enlarger
      || !gst_video_frame_map (&in, &state->in, inbuf, GST_MAP_READ))
    return FALSE;
  if (!gst_video_frame_map (&out, &state->out, outbuf, GST_MAP_WRITE)) {
    gst_video_frame_unmap (&in);
    return FALSE;
  }
  gst_video_converter_frame (state->enlarger, &in, &out);
  gst_video_frame_unmap (&out);
  gst_video_frame_unmap (&in);
  return TRUE;
}

/* What does not wait for the model. */
static GstFlowReturn
gst_dloral_bypass_frame (GstDloral * self, GstBuffer * inbuf,
    DloralItem ** item)
{
  GstBuffer *outbuf = NULL;
  GstFlowReturn flow = gst_dloral_make_output (self, inbuf, &outbuf);

  if (flow != GST_FLOW_OK)
    return flow;
  if (!gst_dloral_enlarge (self, inbuf, outbuf)) {
    gst_buffer_unref (outbuf);
    return gst_dloral_fail_output (self);
  }
  *item = gst_dloral_new_item (DLORAL_ITEM_COMPLETE, outbuf);
  return GST_FLOW_OK;
}

/* --- Restored ------------------------------------------------------------- */

/* The input's pixels into the engine's frame, from wherever they are. */
static gboolean
gst_dloral_put_frame (GstDloral * self, DloralFrame * frame,
    GstBuffer * inbuf)
{
  DloralState *state = &self->state;
  GError *error = NULL;
  GstVideoFrame in;

  if (state->session->on_cuda && dloral_cuda_memory_is_frame (inbuf)) {
    if (dloral_cuda_memory_put (state->session->stream, frame, &state->in,
            inbuf, &error))
      return TRUE;
    dloral_element_post_error (GST_ELEMENT_CAST (self), NULL, error);
    g_error_free (error);
    return FALSE;
  }
  if (!gst_video_frame_map (&in, &state->in, inbuf, GST_MAP_READ)) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT,
        ("A frame is smaller than its format says."),
        ("%" GST_PTR_FORMAT, inbuf));
    return FALSE;
  }
  dloral_convert_put (state->convert, &in, frame->lq);
  gst_video_frame_unmap (&in);
  return TRUE;
}

/* Its picture will be the one before. */
static GstFlowReturn
gst_dloral_repeat_frame (GstDloral * self, GstBuffer * inbuf,
    DloralItem ** item)
{
  GstBuffer *outbuf = gst_buffer_new ();

  if (!GST_DLORAL_PARENT_CLASS (self)->copy_metadata (GST_BASE_TRANSFORM
          (self), inbuf, outbuf)) {
    gst_buffer_unref (outbuf);
    return gst_dloral_fail_output (self);
  }
  if (self->state.lost)
    GST_BUFFER_FLAG_SET (outbuf, GST_BUFFER_FLAG_DISCONT);
  self->state.lost = FALSE;
  *item = gst_dloral_new_item (DLORAL_ITEM_REPEATED, outbuf);
  return GST_FLOW_OK;
}

/* Gives a filled frame to the engine. */
static GstFlowReturn
gst_dloral_submit_frame (GstDloral * self, DloralFrame * frame,
    GstBuffer * inbuf, DloralItem ** item)
{
  DloralState *state = &self->state;
  GstBuffer *outbuf = NULL;
  GstFlowReturn flow = gst_dloral_make_output (self, inbuf, &outbuf);

  if (flow != GST_FLOW_OK)
    return flow;
  if (gst_dloral_transform (GST_BASE_TRANSFORM (self), inbuf, outbuf) !=
      GST_FLOW_OK) {
    gst_buffer_unref (outbuf);
    return gst_dloral_fail_output (self);
  }
  frame->hr_stays = state->session->on_cuda
      && dloral_cuda_memory_is_frame (outbuf)
      && dloral_convert_is_direct (state->convert);
  frame->discont = state->discont;
  state->discont = FALSE;
  *item = gst_dloral_new_item (DLORAL_ITEM_COMPUTED, outbuf);
  dloral_stream_submit (state->session->stream, frame);
  return GST_FLOW_OK;
}

static GstFlowReturn
gst_dloral_restore_frame (GstDloral * self, GstBuffer * inbuf,
    gboolean skip_static, DloralItem ** item)
{
  DloralState *state = &self->state;
  DloralStream *stream = state->session->stream;
  GstClockTime entered = g_get_monotonic_time () * GST_USECOND;
  DloralFrame *frame = dloral_stream_acquire (stream);
  GstFlowReturn flow = GST_FLOW_ERROR;

  if (!frame)
    return GST_FLOW_FLUSHING;
  if (gst_dloral_put_frame (self, frame, inbuf)) {
    if (skip_static && state->last && !state->discont
        && dloral_stream_is_repeat (stream, frame, state->last)) {
      dloral_stream_cancel (stream, frame);
      return gst_dloral_repeat_frame (self, inbuf, item);
    }
    gst_dloral_offer_sample (self, inbuf);
    flow = gst_dloral_submit_frame (self, frame, inbuf, item);
  }
  if (flow != GST_FLOW_OK) {
    dloral_stream_cancel (stream, frame);
    return flow;
  }
  (*item)->entered = entered;
  (*item)->keep = skip_static;
  state->last = skip_static ? frame : NULL;
  return GST_FLOW_OK;
}

/* --- Which of them -------------------------------------------------------- */

/* item: what goes to the pusher; NULL: nothing, the frame was dropped. */
static GstFlowReturn
gst_dloral_handle_frame (GstDloral * self, GstBuffer * inbuf,
    DloralItem ** item)
{
  DloralState *state = &self->state;
  gboolean late = gst_dloral_is_late (self, inbuf), bypass, skip_static;
  DloralOverload overload;
  GstFlowReturn flow;

  GST_OBJECT_LOCK (self);
  overload = self->settings.overload;
  bypass = self->settings.bypass;
  skip_static = self->settings.skip_static;
  GST_OBJECT_UNLOCK (self);

  if (late && overload != DLORAL_OVERLOAD_BYPASS) {
    gst_dloral_drop_frame (self, inbuf);
    return GST_FLOW_OK;
  }
  if (bypass) {
    state->discont = TRUE;
    return gst_dloral_bypass_frame (self, inbuf, item);
  }
  flow = gst_dloral_ensure_session (self);
  if (flow != GST_FLOW_OK)
    return flow;
  if (late || !state->session)
    return gst_dloral_bypass_frame (self, inbuf, item);
  if (overload == DLORAL_OVERLOAD_BLOCK
      || !dloral_stream_is_behind (state->session->stream))
    return gst_dloral_restore_frame (self, inbuf, skip_static, item);
  if (overload == DLORAL_OVERLOAD_BYPASS)
    return gst_dloral_bypass_frame (self, inbuf, item);
  gst_dloral_drop_frame (self, inbuf);
  return GST_FLOW_OK;
}

GstFlowReturn
gst_dloral_take_frame (GstDloral * self, GstBuffer * inbuf)
{
  DloralState *state = &self->state;
  GstFlowReturn flow = dloral_pusher_get_flow (state->pusher);
  DloralItem *item = NULL;

  if (flow == GST_FLOW_OK) {
    if (GST_BUFFER_IS_DISCONT (inbuf))
      state->discont = TRUE;
    gst_dloral_count (self, &state->stats.frames_in);
    flow = gst_dloral_handle_frame (self, inbuf, &item);
    GST_LOG_OBJECT (self, "%s %" GST_PTR_FORMAT, !item ? "left out" :
        item->kind == DLORAL_ITEM_COMPUTED ? "to be restored" :
        item->kind == DLORAL_ITEM_COMPLETE ? "enlarged" : "repeated", inbuf);
    if (flow != GST_FLOW_OK)
      gst_dloral_count (self, &state->stats.frames_discarded);
    if (item)
      flow = dloral_pusher_add (state->pusher, item);
  }
  state->flow_reported = flow != GST_FLOW_OK;
  return flow;
}
