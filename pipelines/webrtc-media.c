/* One participant's media, see webrtc-media.h. What GStreamer's threads have to
 * say goes over the pipeline's bus, which the main context empties.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "webrtc-media.h"

#include "webrtc-offer.h"

#include <gio/gio.h>
#include <gst/video/video.h>
#include <gst/webrtc/webrtc.h>

/* Compressed frames are never left out on their way in. Where decoded ones come
 * faster than they can be restored or coded, the older ones are dropped, so that
 * what is shown is never late. The second medium is what came, packed anew: the
 * page enlarges it. What was lost is made up for by a key frame: asking for single
 * packets again, the jitter buffer takes those of a slow sender for lost.
 * What is called leave and enter closes the circle, which GStreamer
 * does not allow to be linked. Needs: depay, decode, encode, pay, RTP, pay, RTP. */
#define PIPELINE \
  "webrtcbin name=rtc bundle-policy=max-bundle latency=200" \
  " proxysink name=leave proxysrc name=enter ! %s ! tee name=came ! %s" \
  " ! queue leaky=downstream max-size-buffers=1 max-size-bytes=0" \
  " max-size-time=0 ! dloral name=restore overload=drop ! %s" \
  " ! %s ! %s ! rtc.sink_0 came. ! %s ! %s ! rtc.sink_1"

#define RTP "application/x-rtp,media=video,clock-rate=90000,encoding-name=%s," \
  "payload=%d,ssrc=(uint)%u"

/* Of the video that goes out, at 30 frames/s. */
#define BITS_PER_PIXEL 0.1
#define MAX_BITRATE 8000000

/* Of the video that comes in. What comes out has to be coded, too. */
#define MAX_PIXELS (1280 * 720)

struct _WebrtcMedia
{
  WebrtcMediaCallbacks callbacks;
  gpointer user_data;
  GstElement *pipeline, *rtc, *restore;
  const WebrtcCodec *codec;
  guint watch;
};

/* --- To the main context --------------------------------------------------- */

static void
post (GstElement * rtc, GstStructure * s)
{
  gst_element_post_message (rtc, gst_message_new_application (GST_OBJECT (rtc),
          s));
}

static void
post_failure (GstElement * element, const char *message)
{
  post (element, gst_structure_new ("failed", "message", G_TYPE_STRING, message,
          NULL));
}

static void
on_candidate (GstElement * rtc, guint index, const char *candidate,
    gpointer user_data)
{
  post (rtc, gst_structure_new ("candidate", "index", G_TYPE_UINT, index,
          "candidate", G_TYPE_STRING, candidate, NULL));
}

static void
on_connection_state (GstElement * rtc, GParamSpec * pspec, gpointer user_data)
{
  GstWebRTCPeerConnectionState state;

  g_object_get (rtc, "connection-state", &state, NULL);
  if (state == GST_WEBRTC_PEER_CONNECTION_STATE_FAILED)
    post_failure (rtc, "No connection for the video could be made.");
}

/* --- Offer and answer ------------------------------------------------------ */

/* Whether it was done; if not, the participant is told. */
static gboolean
check_reply (GstPromise * promise, GstElement * rtc)
{
  const GstStructure *reply;
  g_autoptr (GError) error = NULL;
  g_autofree char *message = NULL;

  if (gst_promise_wait (promise) != GST_PROMISE_RESULT_REPLIED)
    return FALSE;               /* it is being stopped */
  reply = gst_promise_get_reply (promise);
  if (!reply || !gst_structure_has_field (reply, "error"))
    return TRUE;
  gst_structure_get (reply, "error", G_TYPE_ERROR, &error, NULL);
  message = g_strdup_printf ("The offer cannot be used: %s", error->message);
  post_failure (rtc, message);
  return FALSE;
}

static void
on_answer (GstPromise * promise, gpointer user_data)
{
  GstElement *rtc = user_data;
  GstWebRTCSessionDescription *answer = NULL;
  g_autofree char *text = NULL;

  if (check_reply (promise, rtc)
      && gst_structure_get (gst_promise_get_reply (promise), "answer",
          GST_TYPE_WEBRTC_SESSION_DESCRIPTION, &answer, NULL)) {
    g_signal_emit_by_name (rtc, "set-local-description", answer, NULL);
    text = gst_sdp_message_as_text (answer->sdp);
    post (rtc, gst_structure_new ("answer", "sdp", G_TYPE_STRING, text, NULL));
    gst_webrtc_session_description_free (answer);
  }
  gst_promise_unref (promise);
}

static void
on_offer_taken (GstPromise * promise, gpointer user_data)
{
  GstElement *rtc = user_data;

  if (check_reply (promise, rtc))
    g_signal_emit_by_name (rtc, "create-answer", NULL,
        gst_promise_new_with_change_func (on_answer, gst_object_ref (rtc),
            gst_object_unref));
  gst_promise_unref (promise);
}

/* Takes the SDP. */
static void
take_offer (WebrtcMedia * self, GstSDPMessage * sdp)
{
  GstWebRTCSessionDescription *offer =
      gst_webrtc_session_description_new (GST_WEBRTC_SDP_TYPE_OFFER, sdp);

  g_signal_emit_by_name (self->rtc, "set-remote-description", offer,
      gst_promise_new_with_change_func (on_offer_taken,
          gst_object_ref (self->rtc), gst_object_unref));
  gst_webrtc_session_description_free (offer);
}

/* --- Video ----------------------------------------------------------------- */

/* The camera's; nothing else is sent by a participant. */
static void
on_pad_added (GstElement * rtc, GstPad * pad, gpointer user_data)
{
  WebrtcMedia *self = user_data;
  GstElement *leave;
  GstPad *sink;

  if (GST_PAD_DIRECTION (pad) != GST_PAD_SRC)
    return;
  leave = gst_bin_get_by_name (GST_BIN (self->pipeline), "leave");
  sink = gst_element_get_static_pad (leave, "sink");
  if (gst_pad_link (pad, sink) != GST_PAD_LINK_OK)
    post_failure (rtc, "The video sent is not what was offered.");
  gst_object_unref (sink);
  gst_object_unref (leave);
}

static gboolean
get_info (GstPadProbeInfo * info, GstVideoInfo * video)
{
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstCaps *caps;

  if (GST_EVENT_TYPE (event) != GST_EVENT_CAPS)
    return FALSE;
  gst_event_parse_caps (event, &caps);
  return gst_video_info_from_caps (video, caps);
}

/* The browser chooses the size that it sends, and changes it as it likes. */
static GstPadProbeReturn
before_restore (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  WebrtcMedia *self = user_data;
  GstVideoInfo video;
  g_autofree char *message = NULL;

  if (!get_info (info, &video)
      || (gint64) video.width * video.height <= MAX_PIXELS)
    return GST_PAD_PROBE_OK;
  message = g_strdup_printf ("The camera's picture is too large: %dx%d. At "
      "most %d pixels can be restored here.", video.width, video.height,
      MAX_PIXELS);
  post_failure (self->rtc, message);
  return GST_PAD_PROBE_DROP;
}

static GstPadProbeReturn
before_encode (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  WebrtcMedia *self = user_data;
  GstElement *encoder = GST_PAD_PARENT (pad);
  GstVideoInfo video;
  double rate;

  if (get_info (info, &video)) {
    rate = BITS_PER_PIXEL * 30 * video.width * video.height;
    g_object_set (encoder, self->codec->bitrate_property,
        (int) (MIN (rate, MAX_BITRATE) / self->codec->bitrate_unit), NULL);
  }
  return GST_PAD_PROBE_OK;
}

static void
watch_caps (WebrtcMedia * self, const char *name, GstPadProbeCallback callback)
{
  GstElement *element = gst_bin_get_by_name (GST_BIN (self->pipeline), name);
  GstPad *pad = gst_element_get_static_pad (element, "sink");

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, callback, self,
      NULL);
  gst_object_unref (pad);
  gst_object_unref (element);
}

/* --- Messages -------------------------------------------------------------- */

static void
handle_application (WebrtcMedia * self, const GstStructure * s)
{
  guint index;

  if (gst_structure_has_name (s, "candidate")) {
    gst_structure_get_uint (s, "index", &index);
    self->callbacks.candidate (self->user_data,
        gst_structure_get_string (s, "candidate"), index);
  } else if (gst_structure_has_name (s, "answer")) {
    self->callbacks.answer (self->user_data, gst_structure_get_string (s,
            "sdp"));
  } else {
    self->callbacks.failed (self->user_data, gst_structure_get_string (s,
            "message"));
  }
}

/* The callbacks may free us, then nothing of ours is touched any more. */
static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer user_data)
{
  WebrtcMedia *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *debug = NULL;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_APPLICATION:
      handle_application (self, gst_message_get_structure (message));
      break;
    case GST_MESSAGE_LATENCY:
      gst_bin_recalculate_latency (GST_BIN (self->pipeline));
      break;
    case GST_MESSAGE_ERROR:
      gst_message_parse_error (message, &error, &debug);
      g_printerr ("webrtc: a participant's video ends: %s (%s)\n",
          error->message, GST_MESSAGE_SRC_NAME (message));
      self->callbacks.failed (self->user_data, error->message);
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

/* --- Making ----------------------------------------------------------------- */

static GstElement *
parse (const WebrtcOffer * offer, GError ** error)
{
  const WebrtcCodec *codec = offer->codec;
  /* The answer has to name them before the first packets exist. */
  guint32 ssrc = g_random_int_range (1, G_MAXINT32);
  g_autofree char *rtp0 = g_strdup_printf (RTP, codec->encoding,
      offer->payload[0], ssrc);
  g_autofree char *rtp1 = g_strdup_printf (RTP, codec->encoding,
      offer->payload[1], ssrc + 1);
  g_autofree char *text = g_strdup_printf (PIPELINE, codec->depay,
      codec->decode, codec->encode, codec->pay, rtp0, codec->pay, rtp1);

  return gst_parse_launch_full (text, NULL, GST_PARSE_FLAG_FATAL_ERRORS,
      error);
}

static void
close_circle (WebrtcMedia * self)
{
  GstElement *leave = gst_bin_get_by_name (GST_BIN (self->pipeline), "leave");
  GstElement *enter = gst_bin_get_by_name (GST_BIN (self->pipeline), "enter");

  g_object_set (enter, "proxysink", leave, NULL);
  gst_object_unref (enter);
  gst_object_unref (leave);
}

/* Media come and go where the page does: on loopback, unless told otherwise. */
static void
limit_address (WebrtcMedia * self, const char *address)
{
  GObject *ice;
  gboolean ok;

  g_object_get (self->rtc, "ice-agent", &ice, NULL);
  g_signal_emit_by_name (ice, "add-local-ip-address", address, &ok);
  g_object_unref (ice);
}

static void
set_up (WebrtcMedia * self, const WebrtcMediaParams * params)
{
  GstBus *bus = gst_element_get_bus (self->pipeline);

  self->watch = gst_bus_add_watch (bus, on_message, self);
  gst_object_unref (bus);
  self->rtc = gst_bin_get_by_name (GST_BIN (self->pipeline), "rtc");
  self->restore = gst_bin_get_by_name (GST_BIN (self->pipeline), "restore");
  close_circle (self);
  settings_apply (&params->settings, self->restore);
  if (params->stun)
    g_object_set (self->rtc, "stun-server", params->stun, NULL);
  if (params->address)
    limit_address (self, params->address);
  watch_caps (self, "restore", before_restore);
  watch_caps (self, "encode", before_encode);
  g_signal_connect (self->rtc, "on-ice-candidate", G_CALLBACK (on_candidate),
      NULL);
  g_signal_connect (self->rtc, "notify::connection-state",
      G_CALLBACK (on_connection_state), NULL);
  g_signal_connect (self->rtc, "pad-added", G_CALLBACK (on_pad_added), self);
}

WebrtcMedia *
webrtc_media_new (const WebrtcMediaParams * params, const char *text,
    const WebrtcMediaCallbacks * callbacks, gpointer user_data,
    GError ** error)
{
  WebrtcMedia *self;
  WebrtcOffer offer;
  GstElement *pipeline = NULL;

  if (webrtc_offer_parse (&offer, text, error))
    pipeline = parse (&offer, error);
  if (!pipeline) {
    webrtc_offer_clear (&offer);
    return NULL;
  }
  self = g_new0 (WebrtcMedia, 1);
  self->callbacks = *callbacks;
  self->user_data = user_data;
  self->codec = offer.codec;
  self->pipeline = gst_object_ref_sink (pipeline);
  set_up (self, params);
  gst_element_set_state (self->pipeline, GST_STATE_PLAYING);
  take_offer (self, g_steal_pointer (&offer.sdp));
  return self;
}

void
webrtc_media_free (WebrtcMedia * self)
{
  g_source_remove (self->watch);
  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  gst_object_unref (self->restore);
  gst_object_unref (self->rtc);
  gst_object_unref (self->pipeline);
  g_free (self);
}

/* --- While frames flow ------------------------------------------------------ */

void
webrtc_media_add_candidate (WebrtcMedia * self, const char *candidate,
    guint index)
{
  g_signal_emit_by_name (self->rtc, "add-ice-candidate", index, candidate);
}

void
webrtc_media_set_strengths (WebrtcMedia * self, double consistency,
    double detail)
{
  g_object_set (self->restore, "consistency-strength", consistency,
      "detail-strength", detail, NULL);
}

static void
get_size (GstElement * element, const char *name, int *width, int *height)
{
  GstPad *pad = gst_element_get_static_pad (element, name);
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GstStructure *s = caps ? gst_caps_get_structure (caps, 0) : NULL;

  *width = *height = 0;
  if (s) {
    gst_structure_get_int (s, "width", width);
    gst_structure_get_int (s, "height", height);
  }
  gst_object_unref (pad);
}

void
webrtc_media_get_stats (WebrtcMedia * self, WebrtcMediaStats * stats)
{
  GstStructure *s;

  g_object_get (self->restore, "stats", &s,
      "consistency-strength", &stats->consistency,
      "detail-strength", &stats->detail, NULL);
  gst_structure_get (s, "frames-in", G_TYPE_UINT64, &stats->frames_in,
      "frames-out", G_TYPE_UINT64, &stats->frames_out,
      "frames-dropped", G_TYPE_UINT64, &stats->frames_dropped,
      "frames-bypassed", G_TYPE_UINT64, &stats->frames_bypassed,
      "latency", G_TYPE_UINT64, &stats->latency,
      "device", G_TYPE_STRING, &stats->device,
      "precision", G_TYPE_STRING, &stats->precision, NULL);
  gst_structure_free (s);
  stats->codec = self->codec->encoding;
  get_size (self->restore, "sink", &stats->width, &stats->height);
  get_size (self->restore, "src", &stats->out_width, &stats->out_height);
}

void
webrtc_media_stats_clear (WebrtcMediaStats * stats)
{
  g_free (stats->device);
  g_free (stats->precision);
}

/* --- Before there are participants ------------------------------------------ */

static gboolean
check_elements (GError ** error)
{
  static const struct
  {
    const char *factory, *package;
  } needed[] = {
    { "webrtcbin", "gstreamer1.0-plugins-bad" },
    { "dtlsenc", "gstreamer1.0-plugins-bad" },
    { "srtpenc", "gstreamer1.0-plugins-bad" },
    { "rtpbin", "gstreamer1.0-plugins-good" },
    { "nicesrc", "gstreamer1.0-nice" },
    { "dloral", "this project and set GST_PLUGIN_PATH" },
  };
  g_autofree char *codecs = webrtc_offer_missing_codecs ();

  for (guint i = 0; i < G_N_ELEMENTS (needed); i++) {
    GstElementFactory *factory = gst_element_factory_find (needed[i].factory);

    if (!factory) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
          "GStreamer has no element \"%s\" here: install %s",
          needed[i].factory, needed[i].package);
      return FALSE;
    }
    gst_object_unref (factory);
  }
  if (codecs)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "GStreamer has "
        "elements for neither VP8 nor H.264 here, of %s", codecs);
  return !codecs;
}

/* Has the element open the model as it will have to for participants. */
static gboolean
check_model (const Settings * settings, GError ** error)
{
  GstElement *restore = gst_element_factory_make ("dloral", NULL);
  GstBus *bus = gst_bus_new ();
  GstMessage *message = NULL;

  settings_apply (settings, restore);
  gst_element_set_bus (restore, bus);
  if (gst_element_set_state (restore, GST_STATE_PAUSED)
      == GST_STATE_CHANGE_FAILURE)
    message = gst_bus_pop_filtered (bus, GST_MESSAGE_ERROR);
  gst_element_set_state (restore, GST_STATE_NULL);
  gst_element_set_bus (restore, NULL);
  gst_object_unref (restore);
  gst_object_unref (bus);
  if (!message)
    return TRUE;
  gst_message_parse_error (message, error, NULL);
  gst_message_unref (message);
  return FALSE;
}

gboolean
webrtc_media_check (const WebrtcMediaParams * params, GError ** error)
{
  return check_elements (error) && check_model (&params->settings, error);
}
