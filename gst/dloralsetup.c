/* What frames of the caps at hand are restored with, and when there is
 * something new.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#include "dloralerror.h"

#define GST_CAT_DEFAULT gst_dloral_debug

/* Frames are converted by at most this many threads in each direction. */
#define MAX_CONVERT_THREADS 4

/* --- Wishes -------------------------------------------------------------- */

/* With the lock. Strings are copies. */
static void
gst_dloral_get_wish (GstDloral * self, DloralWish * wish)
{
  const DloralState *state = &self->state;
  const DloralSettings *fixed = &state->settings, *now = &self->settings;

  GST_OBJECT_LOCK (self);
  wish->model = (DloralModelParams) {
    .path = g_strdup (now->model),
    .device = fixed->device,
    .precision = now->precision,
    .threads = fixed->threads,
    .cuda_device_id = fixed->cuda_device_id,
    .tune = fixed->tune,
  };
  wish->auto_prompt = now->auto_prompt;
  wish->tagger = g_strdup (now->tagger);
  wish->stream = (DloralStreamParams) {
    .width = state->in.width,
    .height = state->in.height,
    .deep = dloral_convert_is_deep (&state->in, &state->out),
    .color_fix = now->color_fix,
    .async_depth = fixed->async_depth,
    .vae = now->vae,
    .temporal_window = now->temporal_window,
    .tile_size = now->tile_size,
    .tile_overlap = now->tile_overlap,
    .scene_cut_threshold = now->scene_cut_threshold,
    .conditions = {
      .prompt = g_strdup (now->prompt),
      .consistency_strength = now->consistency_strength,
      .detail_strength = now->detail_strength,
    },
  };
  GST_OBJECT_UNLOCK (self);
}

void
gst_dloral_wish (GstDloral * self)
{
  DloralState *state = &self->state;
  DloralWish wish;

  g_mutex_lock (&state->lock);
  if (state->preparer) {
    gst_dloral_get_wish (self, &wish);
    dloral_preparer_wish (state->preparer, &wish);
    g_free ((gchar *) wish.model.path);
    g_free ((gchar *) wish.tagger);
    g_free ((gchar *) wish.stream.conditions.prompt);
  }
  g_mutex_unlock (&state->lock);
}

/* --- Sessions ------------------------------------------------------------- */

/* Takes the session; NULL: none. Nothing may be on its way. */
static void
gst_dloral_set_session (GstDloral * self, DloralSession * session)
{
  DloralState *state = &self->state;
  DloralSession *old;

  g_mutex_lock (&state->lock);
  old = state->session;
  state->session = session;
  if (session) {
    dloral_stream_set_flushing (session->stream, state->flushing);
    state->stats.device = dloral_model_get_device_name (session->model);
    state->stats.precision = dloral_model_get_precision_name (session->model);
  }
  g_mutex_unlock (&state->lock);

  state->discont = TRUE;
  state->last = NULL;
  g_clear_pointer (&state->convert, dloral_convert_free);
  g_clear_pointer (&old, dloral_session_unref);
}

void
gst_dloral_reset_session (GstDloral * self, const GstVideoInfo * in,
    const GstVideoInfo * out)
{
  DloralState *state = &self->state;

  g_clear_pointer (&state->convert, dloral_convert_free);
  g_clear_pointer (&state->enlarger, gst_video_converter_free);
  gst_clear_buffer (&state->restored);
  state->last = NULL;
  if (state->session && (!in || in->width != state->session->width
          || in->height != state->session->height
          || dloral_convert_is_deep (in, out) != state->session->deep))
    gst_dloral_set_session (self, NULL);
}

/* Whether upstream goes on without waiting for us. */
static gboolean
gst_dloral_is_live (GstDloral * self)
{
  GstQuery *query = gst_query_new_latency ();
  gboolean live = FALSE;

  if (gst_pad_peer_query (GST_BASE_TRANSFORM_SINK_PAD (self), query))
    gst_query_parse_latency (query, &live, NULL, NULL);
  gst_query_unref (query);
  return live;
}

/* Until when frames may wait for a session. */
static gint64
gst_dloral_get_patience (GstDloral * self)
{
  if (self->state.session)
    return 0;
  return gst_dloral_is_live (self) ? self->state.patience : G_MAXINT64;
}

/* Tells the stream what frames are like. */
static GstFlowReturn
gst_dloral_set_formats (GstDloral * self)
{
  DloralState *state = &self->state;
  DloralConvert *convert = dloral_convert_new (&state->in, &state->out,
      MIN (g_get_num_processors (), MAX_CONVERT_THREADS));
  GError *error = NULL;
  gchar *text = NULL;

  if (dloral_stream_set_formats (state->session->stream,
          dloral_convert_get_in (convert), dloral_convert_get_out (convert),
          &error)) {
    state->convert = convert;
    return GST_FLOW_OK;
  }
  dloral_convert_free (convert);
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY))
    text = g_strdup_printf ("There is not enough memory for frames of %dx%d.",
        state->in.width, state->in.height);
  dloral_element_post_error (GST_ELEMENT_CAST (self), text, error);
  g_error_free (error);
  return GST_FLOW_ERROR;
}

GstFlowReturn
gst_dloral_ensure_session (GstDloral * self)
{
  DloralState *state = &self->state;
  DloralSession *next = dloral_preparer_take (state->preparer,
      gst_dloral_get_patience (self));

  if (next && !gst_dloral_drain (self)) {
    dloral_session_unref (next);
    return GST_FLOW_FLUSHING;
  }
  if (next) {
    GST_DEBUG_OBJECT (self, "frames of %dx%d are restored by another session",
        next->width, next->height);
    gst_dloral_set_session (self, next);
    state->patience = 0;
  }
  if (state->session)
    return state->convert ? GST_FLOW_OK : gst_dloral_set_formats (self);
  if (gst_dloral_is_flushing (self))
    return GST_FLOW_FLUSHING;
  return dloral_preparer_has_failed (state->preparer, 0) ? GST_FLOW_ERROR
      : GST_FLOW_OK;
}
