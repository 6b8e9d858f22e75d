/* A frame's way: in at gst_dloral_take_frame () in the streaming thread, out at
 * gst_dloral_push_item () in the pusher's (the same one when async-depth is 0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#include "dloralerror.h"

#define GST_CAT_DEFAULT gst_dloral_debug

/* Frames are converted by at most this many threads in each direction. */
#define MAX_CONVERT_THREADS 4

/* --- The engine's stream ------------------------------------------------- */

/* Whether conditions have changed since the stream was begun. */
static gboolean
gst_dloral_set_stream (GstDloral * self, DloralStream * stream,
    const GstVideoInfo * in)
{
  DloralState *state = &self->state;
  gboolean retune;
  DloralTuner *old_tuner;
  DloralStream *old;

  g_mutex_lock (&state->lock);
  old = state->stream;
  old_tuner = state->tuner;
  state->stream = stream;
  state->tuner = stream ?
      dloral_tuner_new (GST_ELEMENT_CAST (self), stream) : NULL;
  retune = state->retune;
  if (stream && state->flushing)
    dloral_stream_set_flushing (stream, TRUE);
  g_mutex_unlock (&state->lock);

  state->stream_width = stream ? in->width : 0;
  state->stream_height = stream ? in->height : 0;
  g_clear_pointer (&old_tuner, dloral_tuner_free);
  g_clear_pointer (&old, dloral_stream_free);
  return retune;
}

/* As they are set now. The prompt is returned, to be freed; FALSE: there is one,
 * but the model has nothing to read it with. With the lock. */
static gboolean
gst_dloral_dup_conditions (GstDloral * self, DloralConditions * conditions)
{
  gboolean ok;

  GST_OBJECT_LOCK (self);
  ok = self->settings.prompt == NULL || self->state.reads_prompts;
  conditions->prompt = ok ? g_strdup (self->settings.prompt) : NULL;
  conditions->consistency_strength = self->settings.consistency_strength;
  conditions->detail_strength = self->settings.detail_strength;
  GST_OBJECT_UNLOCK (self);
  return ok;
}

static void
gst_dloral_warn_of_prompt (GstDloral * self)
{
  GST_ELEMENT_WARNING (self, LIBRARY, SETTINGS,
      ("The model file has no text encoder to read the prompt with; what is "
          "stored in the file is used instead."), (NULL));
}

void
gst_dloral_tune (GstDloral * self)
{
  DloralState *state = &self->state;
  DloralConditions conditions;
  gboolean readable = TRUE;

  g_mutex_lock (&state->lock);
  state->retune = TRUE;
  if (state->tuner) {
    readable = gst_dloral_dup_conditions (self, &conditions);
    dloral_tuner_set (state->tuner, &conditions);
    g_free ((gchar *) conditions.prompt);
  }
  g_mutex_unlock (&state->lock);

  if (!readable)
    gst_dloral_warn_of_prompt (self);
}

void
gst_dloral_reset_stream (GstDloral * self, const GstVideoInfo * in)
{
  DloralState *state = &self->state;

  g_clear_pointer (&state->convert, dloral_convert_free);
  if (!in || in->width != state->stream_width
      || in->height != state->stream_height)
    gst_dloral_set_stream (self, NULL, NULL);
}

static void
gst_dloral_post_compile_progress (GstDloral * self, GstProgressType type,
    const gchar * format, ...)
{
  va_list args;
  gchar *text;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  gst_element_post_message (GST_ELEMENT_CAST (self),
      gst_message_new_progress (GST_OBJECT_CAST (self), type, "compile",
          text));
  g_free (text);
}

/* It could not be made, or not for frames of that format. */
static void
gst_dloral_post_stream_error (GstDloral * self, const GError * error)
{
  gchar *text = NULL;

  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY))
    text = g_strdup_printf ("There is not enough memory for frames of %dx%d.",
        self->state.in.width, self->state.in.height);
  dloral_element_post_error (GST_ELEMENT_CAST (self), text, error);
}

static gboolean
gst_dloral_compile (GstDloral * self, DloralModel * model)
{
  DloralState *state = &self->state;
  const GstVideoInfo *in = &state->in;
  DloralStreamParams params = {
    .width = in->width,
    .height = in->height,
    .deep = dloral_convert_is_deep (in, &state->out),
    .color_fix = state->settings.color_fix,
    .async_depth = state->settings.async_depth,
    .vae = state->settings.vae,
    .temporal_window = state->settings.temporal_window,
    .tile_size = state->settings.tile_size,
    .tile_overlap = state->settings.tile_overlap,
    .scene_cut_threshold = state->settings.scene_cut_threshold,
  };
  DloralStream *stream;
  GError *error = NULL;
  gboolean readable;

  g_mutex_lock (&state->lock);
  state->reads_prompts = dloral_model_has_text_encoder (model);
  state->retune = FALSE;
  readable = gst_dloral_dup_conditions (self, &params.conditions);
  g_mutex_unlock (&state->lock);
  if (!readable)
    gst_dloral_warn_of_prompt (self);
  gst_dloral_post_compile_progress (self, GST_PROGRESS_TYPE_START,
      "Preparing for frames of %dx%d", in->width, in->height);
  stream = dloral_stream_new (model, &params, &error);
  g_free ((gchar *) params.conditions.prompt);
  if (!stream) {
    gst_dloral_post_compile_progress (self, GST_PROGRESS_TYPE_ERROR, "%s",
        error->message);
    gst_dloral_post_stream_error (self, error);
    g_clear_error (&error);
    return FALSE;
  }
  if (gst_dloral_set_stream (self, stream, in))
    gst_dloral_tune (self);
  gst_dloral_post_compile_progress (self, GST_PROGRESS_TYPE_COMPLETE,
      "Ready for frames of %dx%d", in->width, in->height);
  return TRUE;
}

/* Tells the stream what frames are like. */
static gboolean
gst_dloral_set_formats (GstDloral * self)
{
  DloralState *state = &self->state;
  DloralConvert *convert = dloral_convert_new (&state->in, &state->out,
      MIN (g_get_num_processors (), MAX_CONVERT_THREADS));
  GError *error = NULL;

  if (dloral_stream_set_formats (state->stream,
          dloral_convert_get_in (convert), dloral_convert_get_out (convert),
          &error)) {
    state->convert = convert;
    return TRUE;
  }
  dloral_convert_free (convert);
  gst_dloral_post_stream_error (self, error);
  g_clear_error (&error);
  return FALSE;
}

/* Waits for the model, makes what is missing for the caps at hand. */
static GstFlowReturn
gst_dloral_ensure_stream (GstDloral * self)
{
  DloralState *state = &self->state;
  DloralModel *model;
  gboolean flushing;

  if (state->stream && state->convert)
    return GST_FLOW_OK;

  model = dloral_loader_wait (state->loader);
  g_mutex_lock (&state->lock);
  flushing = state->flushing;
  if (model) {
    state->stats.device = dloral_model_get_device_name (model);
    state->stats.precision = dloral_model_get_precision_name (model);
  }
  g_mutex_unlock (&state->lock);
  if (!model)
    return flushing ? GST_FLOW_FLUSHING : GST_FLOW_ERROR;
  state->on_cuda = g_str_equal (dloral_model_get_device_name (model), "cuda");

  if (!state->stream && !gst_dloral_compile (self, model))
    return GST_FLOW_ERROR;
  return gst_dloral_set_formats (self) ? GST_FLOW_OK : GST_FLOW_ERROR;
}

/* --- In ------------------------------------------------------------------ */

GstFlowReturn
gst_dloral_transform (GstBaseTransform * trans, GstBuffer * inbuf,
    GstBuffer * outbuf)
{
  GstDloral *self = GST_DLORAL (trans);
  DloralState *state = &self->state;
  GstVideoFrame in, out;

  if (!dloral_convert_has_alpha (state->convert))
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
 * timestamps, flags, metas and alpha from there, and upstream has its buffer
 * back at once. */
static GstFlowReturn
gst_dloral_prepare_output (GstDloral * self, GstBuffer * inbuf,
    GstBuffer ** outbuf)
{
  GstBaseTransform *trans = GST_BASE_TRANSFORM (self);
  DloralState *state = &self->state;
  GstFlowReturn flow;

  flow = GST_DLORAL_PARENT_CLASS (self)->prepare_output_buffer (trans, inbuf,
      outbuf);
  if (flow != GST_FLOW_OK)
    return flow;
  if (state->lost)
    GST_BUFFER_FLAG_SET (*outbuf, GST_BUFFER_FLAG_DISCONT);
  state->lost = FALSE;

  flow = gst_dloral_transform (trans, inbuf, *outbuf);
  if (flow != GST_FLOW_OK) {
    GST_ELEMENT_ERROR (self, STREAM, FORMAT, (NULL),
        ("an output buffer could not be written"));
    gst_clear_buffer (outbuf);
  }
  return flow;
}

/* The input's pixels into the engine's frame, from wherever they are. */
static gboolean
gst_dloral_put_frame (GstDloral * self, DloralFrame * frame,
    GstBuffer * inbuf)
{
  DloralState *state = &self->state;
  GError *error = NULL;
  GstVideoFrame in;

  if (state->on_cuda && dloral_cuda_memory_is_frame (inbuf)) {
    if (dloral_cuda_memory_put (state->stream, frame, &state->in, inbuf,
            &error))
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

/* With a converter and a stream. */
static GstFlowReturn
gst_dloral_submit_frame (GstDloral * self, GstBuffer * inbuf)
{
  DloralState *state = &self->state;
  GstClockTime entered = g_get_monotonic_time () * GST_USECOND;
  DloralFrame *frame = dloral_stream_acquire (state->stream);
  GstBuffer *outbuf = NULL;
  GstFlowReturn flow;
  DloralItem *item;

  if (!frame)
    return GST_FLOW_FLUSHING;
  flow = gst_dloral_put_frame (self, frame, inbuf) ?
      gst_dloral_prepare_output (self, inbuf, &outbuf) : GST_FLOW_ERROR;
  if (flow != GST_FLOW_OK) {
    dloral_stream_cancel (state->stream, frame);
    return flow;
  }
  frame->hr_stays = state->on_cuda && dloral_cuda_memory_is_frame (outbuf)
      && dloral_convert_is_direct (state->convert);
  frame->discont = state->discont;
  state->discont = FALSE;
  g_mutex_lock (&state->lock);
  state->stats.frames_in++;
  g_mutex_unlock (&state->lock);

  item = g_new0 (DloralItem, 1);
  item->buffer = outbuf;
  item->entered = entered;
  dloral_stream_submit (state->stream, frame);
  return dloral_pusher_add (state->pusher, item);
}

GstFlowReturn
gst_dloral_take_frame (GstDloral * self, GstBuffer * inbuf)
{
  DloralState *state = &self->state;
  GstFlowReturn flow = dloral_pusher_get_flow (state->pusher);

  if (flow == GST_FLOW_OK)
    flow = gst_dloral_ensure_stream (self);
  if (flow == GST_FLOW_OK) {
    if (GST_BUFFER_IS_DISCONT (inbuf))
      state->discont = TRUE;
    flow = gst_dloral_submit_frame (self, inbuf);
  }
  state->flow_reported = flow != GST_FLOW_OK;
  return flow;
}

/* --- Out ----------------------------------------------------------------- */

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

  g_mutex_lock (&state->lock);
  for (i = 0; i < DLORAL_N_STAGES; i++)
    state->stats.stage_ns[i] += frame->stage_ns[i];
  state->stats.frames_out++;
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
  if (!frame->error && dloral_cuda_memory_take (state->stream, frame,
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
  gboolean at_once = state->settings.async_depth == 0;
  GstFlowReturn flow = GST_FLOW_OK;
  DloralFrame *frame = dloral_stream_collect (state->stream, at_once);

  if (!frame) {
    at_once = TRUE;
    frame = dloral_stream_collect (state->stream, TRUE);
  }
  if (!frame)
    return GST_FLOW_FLUSHING;
  if (!drop)
    flow = gst_dloral_finish_frame (self, frame, item->buffer);
  if (!drop && flow == GST_FLOW_OK) {
    if (frame->plain)
      gst_dloral_note_plain (self);
    gst_dloral_note_frame (self, frame, item, at_once);
  }
  dloral_stream_release (state->stream, frame);
  return flow;
}

static GstFlowReturn
gst_dloral_push_buffer (GstDloral * self, GstBuffer * buffer)
{
  DloralState *state = &self->state;

  if (GST_BUFFER_PTS_IS_VALID (buffer)) {
    g_mutex_lock (&state->lock);
    state->position = GST_BUFFER_PTS (buffer);
    if (GST_BUFFER_DURATION_IS_VALID (buffer))
      state->position += GST_BUFFER_DURATION (buffer);
    g_mutex_unlock (&state->lock);
  }
  return gst_pad_push (GST_BASE_TRANSFORM_SRC_PAD (self), buffer);
}

GstFlowReturn
gst_dloral_push_item (gpointer owner, DloralItem * item, gboolean drop)
{
  GstDloral *self = owner;
  GstFlowReturn flow = GST_FLOW_OK;

  if (item->event) {
    gst_pad_push_event (GST_BASE_TRANSFORM_SRC_PAD (self),
        g_steal_pointer (&item->event));
  } else {
    flow = gst_dloral_collect_frame (self, item, drop);
    if (flow == GST_FLOW_OK && !drop)
      flow = gst_dloral_push_buffer (self, g_steal_pointer (&item->buffer));
  }
  if (flow != GST_FLOW_OK)
    GST_DEBUG_OBJECT (self, "pushing: %s", gst_flow_get_name (flow));
  dloral_item_free (item);
  return flow;
}

/* --- Waiting and flushing ------------------------------------------------ */

gboolean
gst_dloral_drain (GstDloral * self)
{
  return dloral_pusher_drain (self->state.pusher);
}

void
gst_dloral_start_flush (GstDloral * self)
{
  DloralState *state = &self->state;

  g_mutex_lock (&state->lock);
  state->flushing = TRUE;
  if (state->loader)
    dloral_loader_set_interrupted (state->loader, TRUE);
  if (state->pusher)
    dloral_pusher_start_flush (state->pusher);
  if (state->stream)
    dloral_stream_set_flushing (state->stream, TRUE);
  g_mutex_unlock (&state->lock);
}

/* Downstream learns of what stays true after a flush. */
static void
gst_dloral_keep_event (gpointer event, gpointer self)
{
  gst_pad_store_sticky_event (GST_BASE_TRANSFORM_SRC_PAD (self), event);
}

void
gst_dloral_stop_flush (GstDloral * self)
{
  DloralState *state = &self->state;

  dloral_pusher_stop_flush (state->pusher, gst_dloral_keep_event, self);
  state->discont = TRUE;
  state->lost = FALSE;

  g_mutex_lock (&state->lock);
  state->flushing = FALSE;
  state->position = GST_CLOCK_TIME_NONE;
  dloral_loader_set_interrupted (state->loader, FALSE);
  if (state->stream)
    dloral_stream_set_flushing (state->stream, FALSE);
  g_mutex_unlock (&state->lock);
}
