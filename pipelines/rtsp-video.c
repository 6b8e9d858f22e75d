/* What pipelines/rtsp restores, see rtsp-video.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "rtsp-video.h"

#include "feed.h"

#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/video/video.h>

/* Frames that cannot be restored in time are left out: to let them pass enlarged
 * would make the picture flicker, and a viewer minds fewer frames less. Key frames
 * are asked for, see below. */
#define PIPELINE \
  "dloral name=restore overload=drop" \
  " ! queue max-size-buffers=2 max-size-bytes=0 max-size-time=0" \
  " ! videoconvert ! video/x-raw,format=I420" \
  " ! x264enc name=encode tune=zerolatency speed-preset=superfast" \
  " key-int-max=3000" \
  " ! video/x-h264,profile=main,stream-format=byte-stream,alignment=au" \
  " ! appsink name=out sync=false async=false enable-last-sample=false"

/* At 30 frames/s. */
#define BITS_PER_PIXEL 0.1
#define MAX_KBIT_S 20000

/* A client that lost something sees a whole picture again after the first. */
#define KEY_INTERVAL_MS 2000
#define MIN_KEY_INTERVAL_MS 500

struct _RtspVideo
{
  RtspVideoParams params;
  GstElement *pipeline, *restore, *encode;
  GstAppSink *out;
  Feed *feed;
  guint watch, timer;
  gboolean was_there;
  int is_there;                 /* atomic */

  GMutex lock;                  /* what follows */
  GstElement *outlet;
  gboolean needs_key_frame;     /* the outlet has got nothing yet */
  gboolean resumes;             /* dloral has missed frames */
  gint64 last_key;              /* when one was asked for, monotonic time */
  guint key_timer;
};

/* --- Streaming threads ----------------------------------------------------------- */

static GstPadProbeReturn
before_restore (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  RtspVideo *self = user_data;
  gboolean wanted, resumes;
  GstBuffer *buffer;

  g_mutex_lock (&self->lock);
  wanted = self->outlet != NULL;
  resumes = wanted && self->resumes;
  self->resumes = !wanted;
  g_mutex_unlock (&self->lock);
  if (!wanted)
    return GST_PAD_PROBE_DROP;
  if (resumes) {
    buffer = gst_buffer_make_writable (GST_PAD_PROBE_INFO_BUFFER (info));
    GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DISCONT);
    GST_PAD_PROBE_INFO_DATA (info) = buffer;
  }
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
before_encode (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  RtspVideo *self = user_data;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstVideoInfo video;
  GstCaps *caps;
  double rate;

  if (GST_EVENT_TYPE (event) != GST_EVENT_CAPS)
    return GST_PAD_PROBE_OK;
  gst_event_parse_caps (event, &caps);
  if (gst_video_info_from_caps (&video, caps)) {
    rate = BITS_PER_PIXEL * 30 * video.width * video.height / 1000;
    g_object_set (self->encode, "bitrate", (guint) CLAMP (rate, 64,
            MAX_KBIT_S), NULL);
  }
  return GST_PAD_PROBE_OK;
}

/* x264enc's own times begin at 1000 hours. */
static void
push (GstElement * outlet, GstSample * sample)
{
  GstBuffer *buffer = gst_buffer_copy (gst_sample_get_buffer (sample));
  GstSample *copy;

  GST_BUFFER_PTS (buffer) =
      gst_segment_to_running_time (gst_sample_get_segment (sample),
      GST_FORMAT_TIME, GST_BUFFER_PTS (buffer));
  GST_BUFFER_DTS (buffer) = GST_CLOCK_TIME_NONE;
  copy = gst_sample_new (buffer, gst_sample_get_caps (sample), NULL, NULL);
  gst_app_src_push_sample (GST_APP_SRC (outlet), copy);
  gst_sample_unref (copy);
  gst_buffer_unref (buffer);
}

static GstFlowReturn
on_sample (GstAppSink * out, gpointer user_data)
{
  RtspVideo *self = user_data;
  GstSample *sample = gst_app_sink_pull_sample (out);
  gboolean is_key;

  if (!sample)
    return GST_FLOW_OK;
  is_key = !GST_BUFFER_FLAG_IS_SET (gst_sample_get_buffer (sample),
      GST_BUFFER_FLAG_DELTA_UNIT);
  g_mutex_lock (&self->lock);
  if (self->outlet && (is_key || !self->needs_key_frame)) {
    self->needs_key_frame = FALSE;
    push (self->outlet, sample);
  }
  g_mutex_unlock (&self->lock);
  gst_sample_unref (sample);
  return GST_FLOW_OK;
}

/* --- From any thread ---------------------------------------------------------------- */

gboolean
rtsp_video_is_there (RtspVideo * self)
{
  return g_atomic_int_get (&self->is_there);
}

GstClockTime
rtsp_video_get_base_time (RtspVideo * self)
{
  return gst_element_get_base_time (self->pipeline);
}

static void
send_key_request (RtspVideo * self)
{
  GstPad *pad = gst_element_get_static_pad (GST_ELEMENT (self->out), "sink");

  gst_pad_push_event (pad,
      gst_video_event_new_upstream_force_key_unit (GST_CLOCK_TIME_NONE, TRUE,
          0));
  gst_object_unref (pad);
}

static gboolean
on_key_timer (gpointer user_data)
{
  RtspVideo *self = user_data;

  g_mutex_lock (&self->lock);
  self->key_timer = 0;
  self->last_key = g_get_monotonic_time ();
  g_mutex_unlock (&self->lock);
  send_key_request (self);
  return G_SOURCE_REMOVE;
}

void
rtsp_video_request_key_frame (RtspVideo * self)
{
  gint64 now = g_get_monotonic_time (), wait;
  gboolean send = FALSE;

  g_mutex_lock (&self->lock);
  wait = MIN_KEY_INTERVAL_MS - (now - self->last_key) / 1000;
  if (wait <= 0) {
    self->last_key = now;
    send = TRUE;
  } else if (!self->key_timer) {
    self->key_timer = g_timeout_add (wait, on_key_timer, self);
  }
  g_mutex_unlock (&self->lock);
  if (send)
    send_key_request (self);
}

static gboolean
on_timer (gpointer self)
{
  rtsp_video_request_key_frame (self);
  return G_SOURCE_CONTINUE;
}

void
rtsp_video_set_outlet (RtspVideo * self, GstElement * appsrc)
{
  g_mutex_lock (&self->lock);
  gst_object_replace ((GstObject **) & self->outlet, GST_OBJECT (appsrc));
  self->needs_key_frame = TRUE;
  g_mutex_unlock (&self->lock);
  rtsp_video_request_key_frame (self);
}

void
rtsp_video_remove_outlet (RtspVideo * self, GstElement * appsrc)
{
  g_mutex_lock (&self->lock);
  if (self->outlet == appsrc)
    gst_clear_object (&self->outlet);
  g_mutex_unlock (&self->lock);
}

/* --- The main thread ---------------------------------------------------------------- */

static void
on_came (gpointer user_data, gboolean with_audio)
{
  RtspVideo *self = user_data;
  gboolean first = !self->was_there;

  self->was_there = TRUE;
  g_atomic_int_set (&self->is_there, TRUE);
  if (first)
    self->params.ready (self->params.user_data);
}

static void
on_lost (gpointer user_data)
{
  RtspVideo *self = user_data;

  g_atomic_int_set (&self->is_there, FALSE);
}

static void
on_feed_failed (gpointer user_data, const GError * error)
{
  RtspVideo *self = user_data;

  self->params.failed (self->params.user_data, error);
}

static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer user_data)
{
  RtspVideo *self = user_data;
  g_autoptr (GError) error = NULL;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_ERROR:
      gst_message_parse_error (message, &error, NULL);
      g_prefix_error (&error, "%s: ",
          GST_MESSAGE_SRC (message) == GST_OBJECT (self->restore) ? "dloral" :
          GST_MESSAGE_SRC_NAME (message));
      g_strdelimit (error->message, "\n", ' ');
      self->params.failed (self->params.user_data, error);
      break;
    case GST_MESSAGE_LATENCY:
      gst_bin_recalculate_latency (GST_BIN (self->pipeline));
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

/* --- Life ------------------------------------------------------------------------------ */

static void
add_probe (RtspVideo * self, GstElement * element, GstPadProbeType type,
    GstPadProbeCallback callback)
{
  GstPad *pad = gst_element_get_static_pad (element, "sink");

  gst_pad_add_probe (pad, type, callback, self, NULL);
  gst_object_unref (pad);
}

static gboolean
add_feed (RtspVideo * self, GError ** error)
{
  GstPad *sink = gst_element_get_static_pad (self->restore, "sink");
  FeedParams params = {
    .program = "rtsp",
    .text = self->params.text,
    .size = self->params.size,
    .video = sink,
    .came = on_came,
    .lost = on_lost,
    .failed = on_feed_failed,
    .user_data = self,
  };

  self->feed = feed_new (self->pipeline, &params, error);
  gst_object_unref (sink);
  return self->feed != NULL;
}

static void
set_up (RtspVideo * self)
{
  GstAppSinkCallbacks callbacks = {.new_sample = on_sample };
  GstBus *bus = gst_element_get_bus (self->pipeline);
  GstElement *out = gst_bin_get_by_name (GST_BIN (self->pipeline), "out");

  self->out = GST_APP_SINK (out);
  self->restore = gst_bin_get_by_name (GST_BIN (self->pipeline), "restore");
  self->encode = gst_bin_get_by_name (GST_BIN (self->pipeline), "encode");
  self->watch = gst_bus_add_watch (bus, on_message, self);
  gst_object_unref (bus);
  settings_apply (self->params.settings, self->restore);
  add_probe (self, self->restore, GST_PAD_PROBE_TYPE_BUFFER, before_restore);
  add_probe (self, self->encode, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      before_encode);
  gst_app_sink_set_callbacks (self->out, &callbacks, self, NULL);
}

RtspVideo *
rtsp_video_new (const RtspVideoParams * params, GError ** error)
{
  GstElement *pipeline = gst_parse_launch_full (PIPELINE, NULL,
      GST_PARSE_FLAG_FATAL_ERRORS, error);
  RtspVideo *self;

  if (!pipeline) {
    g_prefix_error (error, "GStreamer lacks something, scripts/setup rtsp"
        " installs it: ");
    return NULL;
  }
  self = g_new0 (RtspVideo, 1);
  self->params = *params;
  self->pipeline = gst_object_ref_sink (pipeline);
  g_mutex_init (&self->lock);
  set_up (self);
  if (add_feed (self, error))
    return self;
  rtsp_video_free (self);
  return NULL;
}

void
rtsp_video_start (RtspVideo * self)
{
  /* Why it fails comes over the bus. */
  if (gst_element_set_state (self->pipeline, GST_STATE_PLAYING)
      == GST_STATE_CHANGE_FAILURE)
    return;
  self->timer = g_timeout_add (KEY_INTERVAL_MS, on_timer, self);
  feed_start (self->feed);
}

void
rtsp_video_free (RtspVideo * self)
{
  if (self->feed)
    feed_free (self->feed);
  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  g_source_remove (self->watch);
  if (self->timer)
    g_source_remove (self->timer);
  if (self->key_timer)
    g_source_remove (self->key_timer);
  gst_clear_object (&self->outlet);
  gst_object_unref (self->out);
  gst_object_unref (self->encode);
  gst_object_unref (self->restore);
  gst_object_unref (self->pipeline);
  g_mutex_clear (&self->lock);
  g_free (self);
}
