/* The element's class: start and stop, and the chain's two steps.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

/**
 * SECTION:element-dloral
 * @title: dloral
 * @short_description: restores video and enlarges it up to four times
 *
 * dloral restores low-quality video with DLoRAL, a one-step diffusion model
 * that looks at the current and the previous frame, and enlarges it four times.
 * When downstream asks for less, any size from that of the input up is made of
 * the four times larger picture.
 *
 * Without the #GstDloral:model property, a small model that comes with the
 * plugin is used. Loading it does not hold up the change of state: it happens
 * in a thread of its own, which posts progress messages. The first frame waits
 * for it; frames of a live source do so for two seconds at most, and then leave
 * merely enlarged until it is there. When their size changes they do so at once.
 *
 * Most properties may change while playing. What a change needs is prepared
 * beside the frames, which go on as before until it is ready; one that cannot be
 * had is said in a warning, and nothing changes.
 *
 * Up to #GstDloral:async-depth frames are computed while further ones come in.
 * They leave in order, each as soon as it is finished. The latency this means
 * is measured and announced. #GstDloral:overload says what becomes of frames that
 * come faster than they can be restored. Those that downstream calls too late by
 * QoS events are dropped (or enlarged, with overload=bypass), unless the property
 * qos is set to false.
 *
 * ## Example launch line
 * |[
 * gst-launch-1.0 filesrc location=small.mp4 ! decodebin ! videoconvert ! dloral ! videoconvert ! autovideosink
 * ]|
 * Plays a file, four times as large.
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=100 ! video/x-raw,width=160,height=90 ! dloral ! video/x-raw,width=320,height=180 ! videoconvert ! autovideosink
 * ]|
 * Shows test pictures twice as large.
 *
 * Since: 0.1
 */

#include "gstdloralprivate.h"

#include <string.h>

#include "dloralcaps.h"

GST_DEBUG_CATEGORY (gst_dloral_debug);
#define GST_CAT_DEFAULT gst_dloral_debug

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink",
    GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS (DLORAL_SINK_CAPS));

static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src",
    GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS (DLORAL_SRC_CAPS));

G_DEFINE_TYPE (GstDloral, gst_dloral, GST_TYPE_BASE_TRANSFORM);
GST_ELEMENT_REGISTER_DEFINE (dloral, "dloral", GST_RANK_NONE, GST_TYPE_DLORAL);

/* A live stream's first frames wait for the model for this long after the
 * start, in microseconds. */
#define MAX_LIVE_WAIT (2 * G_USEC_PER_SEC)

/* What takes longer to be seen to be wrong with the model is an error after the
 * start, in microseconds. */
#define MAX_START_WAIT (G_USEC_PER_SEC / 5)

/* --- Start and stop ------------------------------------------------------ */

static gboolean
gst_dloral_stop (GstBaseTransform * trans)
{
  GstDloral *self = GST_DLORAL (trans);
  DloralState *state = &self->state;
  DloralPusher *pusher;
  DloralPreparer *preparer;

  gst_dloral_start_flush (self);
  g_mutex_lock (&state->lock);
  pusher = g_steal_pointer (&state->pusher);
  preparer = g_steal_pointer (&state->preparer);
  g_mutex_unlock (&state->lock);

  dloral_pusher_free (pusher);
  gst_dloral_reset_session (self, NULL, NULL);
  dloral_preparer_free (preparer);
  return TRUE;
}

/* The sink pad is open already: what comes in before this is over is refused, by
 * the streaming thread's check of `pusher` under its own lock. */
static gboolean
gst_dloral_start (GstBaseTransform * trans)
{
  GstDloral *self = GST_DLORAL (trans);
  DloralState *state = &self->state;
  DloralSettings settings;

  GST_OBJECT_LOCK (self);
  settings = self->settings;
  settings.model = settings.prompt = settings.tagger = NULL;    /* read when they
                                                                 * are needed */
  GST_OBJECT_UNLOCK (self);

  GST_PAD_STREAM_LOCK (GST_BASE_TRANSFORM_SINK_PAD (trans));
  g_mutex_lock (&state->lock);
  state->settings = settings;
  state->patience = g_get_monotonic_time () + MAX_LIVE_WAIT;
  state->discont = TRUE;
  state->lost = state->flow_reported = FALSE;
  state->flushing = state->live = FALSE;
  state->position = GST_CLOCK_TIME_NONE;
  state->beginning = DLORAL_BEGINNING_VIDEO;
  gst_video_info_init (&state->in);
  gst_video_info_init (&state->out);
  memset (&state->latency, 0, sizeof state->latency);
  state->stats = (DloralStats) { .device = "", .precision = "" };
  state->pusher = dloral_pusher_new (gst_dloral_push_item,
      gst_dloral_discard_item, self, settings.async_depth > 0);
  state->preparer = dloral_preparer_new (GST_ELEMENT_CAST (self));
  g_mutex_unlock (&state->lock);
  GST_PAD_STREAM_UNLOCK (GST_BASE_TRANSFORM_SINK_PAD (trans));

  gst_dloral_forget_qos (self);
  gst_dloral_wish (self);
  /* gst-launch-1.0 hangs if an error comes before its main loop runs, which is
   * after this. */
  if (dloral_preparer_has_failed (state->preparer,
          g_get_monotonic_time () + MAX_START_WAIT)) {
    gst_dloral_stop (trans);
    return FALSE;
  }
  return TRUE;
}

static GstStateChangeReturn
gst_dloral_change_state (GstElement * element, GstStateChange transition)
{
  /* The base class waits for the streaming thread before it stops us, so that
   * thread must stop waiting first. */
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    gst_dloral_start_flush (GST_DLORAL (element));
  return GST_ELEMENT_CLASS (gst_dloral_parent_class)->change_state (element,
      transition);
}

static void
gst_dloral_set_context (GstElement * element, GstContext * context)
{
  GstDloral *self = GST_DLORAL (element);
  gint device;

  GST_OBJECT_LOCK (self);
  device = self->settings.cuda_device_id;
  GST_OBJECT_UNLOCK (self);
  dloral_cuda_memory_set_context (element, context, device, &self->cuda);
  GST_ELEMENT_CLASS (gst_dloral_parent_class)->set_context (element, context);
}

/* --- Chain --------------------------------------------------------------- */

static GstFlowReturn
gst_dloral_submit_input_buffer (GstBaseTransform * trans, gboolean is_discont,
    GstBuffer * inbuf)
{
  GstDloral *self = GST_DLORAL (trans);

  if (!self->state.pusher) {
    gst_buffer_unref (inbuf);
    return GST_FLOW_FLUSHING;
  }
  /* is_discont stays set until the base class pushes something, which it never
   * does here. */
  if ((GST_BUFFER_IS_DISCONT (inbuf)
          || gst_pad_needs_reconfigure (GST_BASE_TRANSFORM_SRC_PAD (trans)))
      && !gst_dloral_drain (self)) {
    gst_buffer_unref (inbuf);
    return GST_FLOW_FLUSHING;
  }
  return GST_BASE_TRANSFORM_CLASS
      (gst_dloral_parent_class)->submit_input_buffer (trans, is_discont,
      inbuf);
}

/* Nothing comes out here: the pusher pushes. */
static GstFlowReturn
gst_dloral_generate_output (GstBaseTransform * trans, GstBuffer ** outbuf)
{
  GstBuffer *inbuf = g_steal_pointer (&trans->queued_buf);
  GstFlowReturn flow;

  *outbuf = NULL;
  if (!inbuf)
    return GST_FLOW_OK;
  flow = gst_dloral_take_frame (GST_DLORAL (trans), inbuf);
  gst_buffer_unref (inbuf);
  return flow;
}

/* --- Class --------------------------------------------------------------- */

static void
gst_dloral_finalize (GObject * object)
{
  GstDloral *self = GST_DLORAL (object);

  g_free (self->settings.model);
  g_free (self->settings.prompt);
  g_free (self->settings.tagger);
  g_mutex_clear (&self->state.lock);
  gst_clear_object (&self->cuda);
  G_OBJECT_CLASS (gst_dloral_parent_class)->finalize (object);
}

static void
gst_dloral_class_init (GstDloralClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);

  GST_DEBUG_CATEGORY_INIT (gst_dloral_debug, "dloral", 0,
      "video super-resolution by one-step diffusion");

  object_class->finalize = gst_dloral_finalize;
  gst_dloral_install_properties (object_class);

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class,
      "DLoRAL video super-resolution", "Filter/Effect/Video",
      "Restores video and enlarges it four times by one-step diffusion",
      "The gst-dloral developers");
  element_class->set_context = GST_DEBUG_FUNCPTR (gst_dloral_set_context);
  element_class->change_state = GST_DEBUG_FUNCPTR (gst_dloral_change_state);

  trans_class->start = GST_DEBUG_FUNCPTR (gst_dloral_start);
  trans_class->stop = GST_DEBUG_FUNCPTR (gst_dloral_stop);
  trans_class->submit_input_buffer =
      GST_DEBUG_FUNCPTR (gst_dloral_submit_input_buffer);
  trans_class->generate_output =
      GST_DEBUG_FUNCPTR (gst_dloral_generate_output);
  trans_class->transform = GST_DEBUG_FUNCPTR (gst_dloral_transform);
  gst_dloral_install_negotiation (trans_class);
  gst_dloral_install_events (trans_class);
}

static void
gst_dloral_init (GstDloral * self)
{
  gst_dloral_init_settings (&self->settings);
  self->state.stats = (DloralStats) { .device = "", .precision = "" };
  self->state.position = GST_CLOCK_TIME_NONE;
  g_mutex_init (&self->state.lock);

  /* Upstream need not start with the size that downstream would like. */
  gst_base_transform_set_prefer_passthrough (GST_BASE_TRANSFORM (self), FALSE);
  gst_dloral_install_event_function (self);
  gst_base_transform_set_qos_enabled (GST_BASE_TRANSFORM (self), TRUE);
}
