/* From a source to a stream by HLS, see restream-media.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "restream-media.h"

#include "feed.h"

#include <gio/gio.h>
#include <gst/app/gstappsink.h>
#include <gst/video/video.h>
#include <string.h>

/* What is on its way at the end has so long to be written. */
#define MAX_FINISH_S 30

/* Frames that coding is too slow for are left out before they are restored. Key
 * frames are only those that are asked for; GStreamer 1.22 forgets to ask for one while
 * the one before is still in the encoder, so that keeps none. */
#define PIPELINE \
  "queue name=video leaky=downstream max-size-buffers=0 max-size-bytes=0" \
  " max-size-time=500000000" \
  " ! videoconvert ! dloral name=restore overload=bypass" \
  " ! videoconvert ! video/x-raw,format=I420" \
  " ! x264enc name=encode pass=qual quantizer=20 speed-preset=veryfast" \
  " tune=zerolatency bframes=0 aud=false key-int-max=1073741824 vbv-buf-capacity=1000" \
  " option-string=scenecut=0" \
  " ! video/x-h264,profile=high,stream-format=avc" \
  " ! appsink name=video-out sync=false async=false" \
  " queue name=audio max-size-buffers=0 max-size-bytes=0" \
  " max-size-time=1000000000 ! audioconvert ! audioresample" \
  " ! audio/x-raw,rate=%d,channels=2 ! avenc_aac bitrate=128000" \
  " ! " HLS_AUDIO_CAPS " ! appsink name=audio-out sync=false async=false"

#define VBV_S 1.0

/* Of the video at most, at 30 frames/s. */
#define BITS_PER_PIXEL 0.15
#define MIN_BITRATE 500000
#define MAX_BITRATE 20000000

struct _RestreamMedia
{
  const RestreamMediaParams *params;
  Hls *hls;
  GstElement *pipeline, *restore;
  Feed *feed;
  guint watch, timeout;
  gboolean came, has_audio;

  /* Of the thread that codes: running time when the segment began, when the next one
   * does, and of the last frame. */
  GstClockTime start, next, last;
};

/* --- To the main context --------------------------------------------------------- */

static void
post_failure (RestreamMedia * self, const GError * error)
{
  gst_element_post_message (self->pipeline,
      gst_message_new_application (GST_OBJECT (self->pipeline),
          gst_structure_new ("failed", "error", G_TYPE_ERROR, error, NULL)));
}

static void
end (RestreamMedia * self, const GError * error)
{
  self->params->on_ended (self->params->user_data, error);
}

static void
fail_from_message (RestreamMedia * self, GstMessage * message)
{
  g_autoptr (GError) cause = NULL, error = NULL;

  gst_message_parse_error (message, &cause, NULL);
  g_strdelimit (cause->message, "\n", ' ');
  error = g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s",
      GST_MESSAGE_SRC (message) == GST_OBJECT (self->restore) ? "dloral"
      : GST_MESSAGE_SRC_NAME (message), cause->message);
  end (self, error);
}

static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer user_data)
{
  RestreamMedia *self = user_data;
  g_autoptr (GError) error = NULL;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_EOS:
      end (self, NULL);
      break;
    case GST_MESSAGE_ERROR:
      fail_from_message (self, message);
      break;
    case GST_MESSAGE_APPLICATION:
      gst_structure_get (gst_message_get_structure (message), "error",
          G_TYPE_ERROR, &error, NULL);
      end (self, error);
      break;
    case GST_MESSAGE_LATENCY:
      gst_bin_recalculate_latency (GST_BIN (self->pipeline));
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

/* --- What is coded ---------------------------------------------------------------- */

static GstFlowReturn
take_sample (GstAppSink * sink, RestreamMedia * self, gboolean is_video)
{
  GstSample *sample = gst_app_sink_pull_sample (sink);
  g_autoptr (GError) error = NULL;
  GstClockTime time;
  gboolean ok;

  if (!sample)
    return GST_FLOW_EOS;
  time = gst_segment_to_running_time (gst_sample_get_segment (sample),
      GST_FORMAT_TIME, GST_BUFFER_PTS (gst_sample_get_buffer (sample)));
  if (!GST_CLOCK_TIME_IS_VALID (time))
    ok = TRUE;
  else if (is_video)
    ok = hls_add_video (self->hls, sample, time,
        gst_element_get_current_running_time (self->pipeline), &error);
  else
    ok = hls_add_audio (self->hls, sample, time, &error);
  gst_sample_unref (sample);
  if (ok)
    return GST_FLOW_OK;
  post_failure (self, error);
  return GST_FLOW_EOS;
}

static GstFlowReturn
on_video (GstAppSink * sink, gpointer self)
{
  return take_sample (sink, self, TRUE);
}

static GstFlowReturn
on_audio (GstAppSink * sink, gpointer self)
{
  return take_sample (sink, self, FALSE);
}

/* --- What is to be coded ---------------------------------------------------------- */

/* By the size. In any time t there are at most t x bitrate + VBV bits. */
static void
set_bitrate (RestreamMedia * self, GstElement * encoder, GstCaps * caps)
{
  double segment = (double) self->params->segment / GST_SECOND, rate;
  GstVideoInfo info;

  if (!gst_video_info_from_caps (&info, caps))
    return;
  rate = CLAMP (BITS_PER_PIXEL * 30 * info.width * info.height, MIN_BITRATE,
      MAX_BITRATE);
  g_object_set (encoder, "bitrate", (guint) (rate / 1000), NULL);
  hls_set_bandwidth (self->hls, rate * (1 + VBV_S / segment));
}

/* Whether a segment begins with a frame of this running time: the one that is nearest
 * to a boundary. These do not move with the frames, so all segments are of the same
 * length, give or take a frame. */
static gboolean
begins_segment (RestreamMedia * self, GstClockTime time)
{
  GstClockTime length = self->params->segment, middle;

  if (!GST_CLOCK_TIME_IS_VALID (self->start)
      || time >= self->start + hls_get_max_duration (length))
    self->next = self->last = time;     /* a new stretch */
  middle = time + (MAX (time, self->last) - self->last) / 2;
  self->last = time;
  if (middle < self->next)
    return FALSE;
  while (self->next <= middle)
    self->next += length;
  self->start = time;
  return TRUE;
}

static void
request_key_frame (GstElement * encoder)
{
  GstPad *src = gst_element_get_static_pad (encoder, "src");

  gst_pad_send_event (src, gst_video_event_new_upstream_force_key_unit
      (GST_CLOCK_TIME_NONE, TRUE, 0));
  gst_object_unref (src);
}

static GstClockTime
get_running_time (GstPad * pad, GstBuffer * buffer)
{
  GstEvent *event = gst_pad_get_sticky_event (pad, GST_EVENT_SEGMENT, 0);
  const GstSegment *segment;
  GstClockTime time;

  if (!event)
    return GST_CLOCK_TIME_NONE;
  gst_event_parse_segment (event, &segment);
  time = gst_segment_to_running_time (segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (buffer));
  gst_event_unref (event);
  return time;
}

static GstPadProbeReturn
before_encode (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  RestreamMedia *self = user_data;
  GstElement *encoder = GST_PAD_PARENT (pad);
  GstClockTime time;
  GstCaps *caps;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    time = get_running_time (pad, GST_PAD_PROBE_INFO_BUFFER (info));
    if (GST_CLOCK_TIME_IS_VALID (time) && begins_segment (self, time))
      request_key_frame (encoder);
  } else if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == GST_EVENT_CAPS) {
    gst_event_parse_caps (GST_PAD_PROBE_INFO_EVENT (info), &caps);
    set_bitrate (self, encoder, caps);
    self->start = GST_CLOCK_TIME_NONE;
  }
  return GST_PAD_PROBE_OK;
}

/* --- Source ----------------------------------------------------------------------- */

/* Players choose their tracks at the beginning. */
static void
on_came (gpointer user_data, gboolean with_audio)
{
  RestreamMedia *self = user_data;

  if (!self->came && with_audio)
    hls_expect_audio (self->hls);
  else if (self->came && with_audio && !self->has_audio)
    g_printerr ("restream: the source has sound now: start anew to have it in the"
        " stream\n");
  if (!self->came || with_audio)
    self->has_audio = with_audio;
  self->came = TRUE;
}

static void
on_failed (gpointer user_data, const GError * error)
{
  end (user_data, error);
}

/* SRT's listener. */
static gboolean
waits_to_be_called (const char *source)
{
  GstUri *uri = gst_uri_from_string (source);
  const char *mode, *host;
  gboolean waits = FALSE;

  if (uri && g_strcmp0 (gst_uri_get_scheme (uri), "srt") == 0) {
    mode = gst_uri_get_query_value (uri, "mode");
    host = gst_uri_get_host (uri);
    waits = mode ? g_str_equal (mode, "listener") : !host || !*host;
  }
  if (uri)
    gst_uri_unref (uri);
  return waits;
}

static GstPad *
get_sink_pad (GstElement * pipeline, const char *name)
{
  GstElement *element = gst_bin_get_by_name (GST_BIN (pipeline), name);
  GstPad *pad = gst_element_get_static_pad (element, "sink");

  gst_object_unref (element);
  return pad;
}

static gboolean
connect_feed (RestreamMedia * self, GError ** error)
{
  FeedParams params = {
    .program = "restream",
    .text = self->params->source,
    .waits = waits_to_be_called (self->params->source),
    .video = get_sink_pad (self->pipeline, "video"),
    .audio = get_sink_pad (self->pipeline, "audio"),
    .came = on_came,
    .failed = on_failed,
    .user_data = self,
  };

  self->feed = feed_new (self->pipeline, &params, error);
  gst_object_unref (params.video);
  gst_object_unref (params.audio);
  return self->feed != NULL;
}

/* --- Making ----------------------------------------------------------------------- */

static void
set_up_sink (RestreamMedia * self, const char *name,
    GstFlowReturn (*new_sample) (GstAppSink *, gpointer))
{
  GstElement *sink = gst_bin_get_by_name (GST_BIN (self->pipeline), name);
  GstAppSinkCallbacks callbacks = {.new_sample = new_sample };

  gst_app_sink_set_callbacks (GST_APP_SINK (sink), &callbacks, self, NULL);
  gst_object_unref (sink);
}

static void
set_up (RestreamMedia * self)
{
  GstBus *bus = gst_element_get_bus (self->pipeline);
  GstPad *encode = get_sink_pad (self->pipeline, "encode");

  self->watch = gst_bus_add_watch (bus, on_message, self);
  gst_object_unref (bus);
  gst_pad_add_probe (encode, GST_PAD_PROBE_TYPE_BUFFER
      | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, before_encode, self, NULL);
  gst_object_unref (encode);
  self->restore = gst_bin_get_by_name (GST_BIN (self->pipeline), "restore");
  settings_apply (self->params->settings, self->restore);
  set_up_sink (self, "video-out", on_video);
  set_up_sink (self, "audio-out", on_audio);
}

RestreamMedia *
restream_media_new (const RestreamMediaParams * params, Hls * hls,
    GError ** error)
{
  g_autofree char *launch = g_strdup_printf (PIPELINE, HLS_AUDIO_RATE);
  GstElement *pipeline = gst_parse_launch_full (launch, NULL,
      GST_PARSE_FLAG_FATAL_ERRORS, error);
  RestreamMedia *self;

  if (!pipeline) {
    g_prefix_error (error, "GStreamer lacks something, scripts/setup restream"
        " installs it: ");
    return NULL;
  }
  self = g_new0 (RestreamMedia, 1);
  self->params = params;
  self->hls = hls;
  self->pipeline = gst_object_ref_sink (pipeline);
  self->start = GST_CLOCK_TIME_NONE;
  set_up (self);
  if (!connect_feed (self, error)) {
    restream_media_free (self);
    return NULL;
  }
  gst_element_set_state (self->pipeline, GST_STATE_PLAYING);
  feed_start (self->feed);
  return self;
}

void
restream_media_free (RestreamMedia * self)
{
  if (self->timeout)
    g_source_remove (self->timeout);
  g_source_remove (self->watch);
  g_clear_pointer (&self->feed, feed_free);
  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  gst_object_unref (self->restore);
  gst_object_unref (self->pipeline);
  g_free (self);
}

/* --- Ending ----------------------------------------------------------------------- */

static gboolean
on_unfinished (gpointer user_data)
{
  RestreamMedia *self = user_data;

  self->timeout = 0;
  end (self, NULL);
  return G_SOURCE_REMOVE;
}

/* Waits for the frames that are being restored, so not in the main context. */
static void
send_eos (GstElement * pipeline, gpointer user_data)
{
  const char *names[] = { "video", "audio" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    GstPad *pad = get_sink_pad (pipeline, names[i]);

    gst_pad_send_event (pad, gst_event_new_eos ());
    gst_object_unref (pad);
  }
}

void
restream_media_finish (RestreamMedia * self)
{
  g_clear_pointer (&self->feed, feed_free);
  gst_element_call_async (self->pipeline, send_eos, NULL, NULL);
  self->timeout = g_timeout_add_seconds (MAX_FINISH_S, on_unfinished, self);
}

gboolean
restream_media_is_finishing (RestreamMedia * self)
{
  return !self->feed;
}

void
restream_media_count (RestreamMedia * self, guint64 * frames,
    guint64 * bypassed)
{
  GstStructure *stats;

  g_object_get (self->restore, "stats", &stats, NULL);
  gst_structure_get (stats, "frames-out", G_TYPE_UINT64, frames,
      "frames-bypassed", G_TYPE_UINT64, bypassed, NULL);
  gst_structure_free (stats);
}
