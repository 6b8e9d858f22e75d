/* One life of a feed's source, see feed-source.h. Frames of a live source keep
 * the time at which they were taken; those of one that could be read faster wait
 * for theirs, the first being shown at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "feed-source.h"

#include <gio/gio.h>
#include <gst/app/gstappsink.h>
#include <gst/app/gstappsrc.h>
#include <gst/pbutils/pbutils.h>
#include <string.h>

/* A source that gives no frame for so long has failed: before the first one, as
 * rtspsrc tries UDP for 5 s, and after. */
#define MAX_START_S 15
#define MAX_PAUSE_S 5

/* Jitter of a camera in the same building; rtspsrc itself waits 2 s. */
#define RTSP_LATENCY_MS 200

#define SRT_TYPE "GstSRTSrc"

/* How far a frame's time may be from now before the times begin anew. */
#define MAX_AHEAD (10 * GST_SECOND)
#define MAX_BEHIND GST_SECOND
#define MAX_BEHIND_LIVE (5 * GST_SECOND)

/* What hangs longer is left alone. */
#define MAX_STOP_S 3

#define SINKS \
  "%s ! appsink name=video sync=false async=false max-buffers=1" \
  " enable-last-sample=false"
#define AUDIO_SINK \
  " appsink name=audio sync=false async=false max-buffers=8" \
  " enable-last-sample=false"

typedef struct
{
  GstElement *appsrc;
  GstAppSink *appsink;
  GstCaps *caps;                /* of the last buffer */
  GstClockTime last;            /* its running time */
  gboolean begun;
} Outlet;

struct _FeedSource
{
  FeedSourceParams params;      /* but for `source` and `outlets` */
  GstElement *pipeline;
  GstClock *clock;
  GstClockTime base_time;
  GMutex state;                 /* of the pipeline, while it changes */

  GMutex lock;                  /* what follows, streaming threads and main */
  GCond cond;
  gboolean stopped;             /* no frame is to go any further */
  gboolean closed;              /* the pipeline */
  Outlet outlets[FEED_N_KINDS];
  gboolean live, anchored;
  GstClockTimeDiff shift;       /* of its running time to that of the outlets */
  guint n_frames;
  gboolean has_video, has_audio;        /* pads */

  /* The main thread's own. */
  guint watch, tick;
  guint n_seen, n_silent_ticks;
  gboolean has_frame, has_pads;
  char *missing;                /* description of a plugin that is not there */
};

static void
free_source (gpointer data)
{
  FeedSource *self = data;

  for (guint i = 0; i < FEED_N_KINDS; i++) {
    gst_clear_caps (&self->outlets[i].caps);
    gst_clear_object (&self->outlets[i].appsrc);
    gst_clear_object (&self->outlets[i].appsink);
  }
  gst_clear_object (&self->pipeline);
  gst_clear_object (&self->clock);
  g_free (self->missing);
  g_mutex_clear (&self->state);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
}

static void
unref_source (gpointer self)
{
  g_atomic_rc_box_release_full (self, free_source);
}

/* To the main thread. */
static void
post (FeedSource * self, const char *what)
{
  GstObject *pipeline = GST_OBJECT (self->pipeline);

  gst_element_post_message (self->pipeline, gst_message_new_application (pipeline,
          gst_structure_new_empty (what)));
}

/* --- Handing over, in streaming threads -------------------------------------- */

static GstClockTime
get_now (FeedSource * self)
{
  return gst_clock_get_time (self->clock) - self->base_time;
}

static void
begin (FeedSource * self, Outlet * outlet)
{
  GstPad *pad = gst_element_get_static_pad (GST_ELEMENT (outlet->appsink),
      "sink");
  GstQuery *query = gst_query_new_latency ();
  GstClockTime min = 0;

  if (gst_pad_peer_query (pad, query))
    gst_query_parse_latency (query, &self->live, &min, NULL);
  g_object_set (outlet->appsrc, "min-latency", (gint64) min, NULL);
  gst_query_unref (query);
  gst_object_unref (pad);
}

/* The running time in the other pipeline; NONE: the frame is of no use. */
static GstClockTime
place (FeedSource * self, Outlet * outlet, GstSample * sample)
{
  GstClockTimeDiff now = get_now (self), time, ahead, behind;
  GstClockTime own = gst_segment_to_running_time (gst_sample_get_segment (sample),
      GST_FORMAT_TIME, GST_BUFFER_PTS (gst_sample_get_buffer (sample)));

  if (!GST_CLOCK_TIME_IS_VALID (own))
    own = now - self->shift;
  if (!self->anchored && !self->live)
    self->shift = now - own;
  self->anchored = TRUE;
  ahead = self->live ? 0 : MAX_AHEAD;
  behind = self->live ? MAX_BEHIND_LIVE : MAX_BEHIND;
  time = own + self->shift;
  if (time > now + ahead || time < now - behind) {
    self->shift += now - time;
    time = now;
  }
  if (time <= (GstClockTimeDiff) outlet->last)
    return GST_CLOCK_TIME_NONE;
  return time;
}

/* FALSE: it has been stopped meanwhile. */
static gboolean
wait_for (FeedSource * self, GstClockTime time)
{
  GstClockTime now;

  while (!self->stopped && (now = get_now (self)) < time)
    g_cond_wait_until (&self->cond, &self->lock,
        g_get_monotonic_time () + (time - now) / GST_USECOND + 1);
  return !self->stopped;
}

/* What a camera sends must not break the pipeline that has the outlets. */
static gboolean
is_accepted (Outlet * outlet, GstCaps * caps)
{
  GstPad *pad;
  gboolean ok;

  if (outlet->caps && gst_caps_is_equal (outlet->caps, caps))
    return TRUE;
  pad = gst_element_get_static_pad (outlet->appsrc, "src");
  ok = gst_pad_peer_query_accept_caps (pad, caps);
  gst_object_unref (pad);
  if (ok)
    gst_caps_replace (&outlet->caps, caps);
  return ok;
}

static void
push (Outlet * outlet, GstSample * sample, GstClockTime time)
{
  GstBuffer *buffer = gst_buffer_copy (gst_sample_get_buffer (sample));
  GstSample *copy;

  GST_BUFFER_PTS (buffer) = time;
  GST_BUFFER_DTS (buffer) = GST_CLOCK_TIME_NONE;
  if (outlet->begun)
    GST_BUFFER_FLAG_UNSET (buffer, GST_BUFFER_FLAG_DISCONT);
  else
    GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DISCONT);
  outlet->begun = TRUE;
  outlet->last = time;
  copy = gst_sample_new (buffer, gst_sample_get_caps (sample), NULL, NULL);
  gst_app_src_push_sample (GST_APP_SRC (outlet->appsrc), copy);
  gst_sample_unref (copy);
  gst_buffer_unref (buffer);
}

static void
hand_over (FeedSource * self, Outlet * outlet, GstSample * sample)
{
  GstClockTime time;

  if (!is_accepted (outlet, gst_sample_get_caps (sample))) {
    self->stopped = TRUE;
    post (self, "refused");
    return;
  }
  if (!outlet->begun)
    begin (self, outlet);
  time = place (self, outlet, sample);
  if (!GST_CLOCK_TIME_IS_VALID (time) || !wait_for (self, time))
    return;
  push (outlet, sample, time);
  if (outlet == &self->outlets[FEED_VIDEO] && self->n_frames++ == 0)
    post (self, "frame");
}

static GstFlowReturn
on_sample (GstAppSink * appsink, gpointer user_data)
{
  FeedSource *self = user_data;
  GstSample *sample = gst_app_sink_pull_sample (appsink);
  guint kind = appsink == self->outlets[FEED_VIDEO].appsink ? FEED_VIDEO
      : FEED_AUDIO;
  gboolean stopped;

  g_mutex_lock (&self->lock);
  if (sample && !self->stopped)
    hand_over (self, &self->outlets[kind], sample);
  stopped = self->stopped;
  g_mutex_unlock (&self->lock);
  g_clear_pointer (&sample, gst_sample_unref);
  return stopped ? GST_FLOW_FLUSHING : GST_FLOW_OK;
}

/* A sink without a stream never ends, so neither would the pipeline. */
static void
on_eos (GstAppSink * appsink, gpointer user_data)
{
  FeedSource *self = user_data;

  if (appsink == self->outlets[FEED_VIDEO].appsink)
    post (self, "end");
}

/* --- What the source shows of itself, in streaming threads --------------------- */

static void
link_audio (FeedSource * self, GstPad * pad)
{
  GstElement *appsink = GST_ELEMENT (self->outlets[FEED_AUDIO].appsink);
  GstPad *sink = appsink ? gst_element_get_static_pad (appsink, "sink") : NULL;

  if (sink && !gst_pad_is_linked (sink))
    gst_pad_link (pad, sink);
  gst_clear_object (&sink);
}

static void
on_pad_added (GstElement * source, GstPad * pad, gpointer user_data)
{
  FeedSource *self = user_data;
  g_autoptr (GstCaps) caps = gst_pad_query_caps (pad, NULL);
  const char *name = gst_caps_is_empty (caps) ? "" :
      gst_structure_get_name (gst_caps_get_structure (caps, 0));
  gboolean audio = g_str_equal (name, "audio/x-raw");

  g_mutex_lock (&self->lock);
  self->has_video |= g_str_equal (name, "video/x-raw");
  self->has_audio |= audio;
  g_mutex_unlock (&self->lock);
  if (audio)
    link_audio (self, pad);
}

static void
on_no_more_pads (GstElement * source, gpointer user_data)
{
  post (user_data, "pads");
}

static gboolean
on_select_stream (GstElement * rtsp, guint number, GstCaps * caps,
    gpointer user_data)
{
  FeedSource *self = user_data;
  const char *media = gst_structure_get_string (gst_caps_get_structure (caps, 0),
      "media");

  return g_strcmp0 (media, "video") == 0
      || (self->outlets[FEED_AUDIO].appsrc && g_strcmp0 (media, "audio") == 0);
}

static void
on_source_setup (GstElement * decode, GstElement * source, gpointer user_data)
{
  const char *type = G_OBJECT_TYPE_NAME (source);

  /* It would try again for ever, and not say why. */
  if (g_str_equal (type, SRT_TYPE))
    g_object_set (source, "auto-reconnect", FALSE, NULL);
  if (!g_str_equal (type, "GstRTSPSrc"))
    return;
  g_object_set (source, "latency", RTSP_LATENCY_MS, NULL);
  g_signal_connect (source, "select-stream", G_CALLBACK (on_select_stream),
      user_data);
}

/* --- Its end, in the main thread ------------------------------------------------ */

static void
end (FeedSource * self, GError * error)
{
  gsize n = strlen (error->message);

  g_strdelimit (error->message, "\n", ' ');
  while (n > 0 && strchr (". ", error->message[n - 1]))
    error->message[--n] = '\0';
  self->params.ended (self->params.user_data, error);
  g_error_free (error);
}

static void
end_without_video (FeedSource * self)
{
  if (self->missing)
    end (self, g_error_new (GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
            "it cannot be decoded: install the GStreamer plugin for %s",
            self->missing));
  else
    end (self, g_error_new_literal (GST_STREAM_ERROR,
            GST_STREAM_ERROR_WRONG_TYPE, "there is no video in it"));
}

/* Its own messages are the same for all failures; what failed is in the last line of
 * the details. */
static void
explain_srt (GError * error, const char *details)
{
  const char *line = details ? strrchr (details, '\n') : NULL;

  if (!line)
    return;
  g_free (error->message);
  error->message = g_strdup (line + 1);
  if (strstr (line, "passphrase") || strstr (line, "authenticate")) {
    error->domain = GST_RESOURCE_ERROR;
    error->code = GST_RESOURCE_ERROR_NOT_AUTHORIZED;
  }
}

static void
end_from_message (FeedSource * self, GstMessage * message)
{
  g_autofree char *details = NULL;
  GError *error;

  gst_message_parse_error (message, &error, &details);
  if (g_str_equal (G_OBJECT_TYPE_NAME (GST_MESSAGE_SRC (message)), SRT_TYPE))
    explain_srt (error, details);
  if (self->missing || g_error_matches (error, GST_CORE_ERROR,
          GST_CORE_ERROR_MISSING_PLUGIN)) {
    g_error_free (error);
    end_without_video (self);
  } else {
    end (self, error);
  }
}

static void
check_pads (FeedSource * self)
{
  gboolean has_video;

  g_mutex_lock (&self->lock);
  has_video = self->has_video;
  g_mutex_unlock (&self->lock);
  self->has_pads = TRUE;
  if (!has_video)
    end_without_video (self);
}

static void
handle_application (FeedSource * self, GstMessage * message)
{
  gboolean came = self->has_frame && self->has_pads;

  if (gst_message_has_name (message, "end")) {
    end (self, g_error_new_literal (GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED,
            "it has ended"));
    return;
  }
  if (gst_message_has_name (message, "refused")) {
    end (self, g_error_new_literal (GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
            "its pictures are too small, too large, or of a format that cannot"
            " be restored"));
    return;
  }
  if (gst_message_has_name (message, "frame"))
    self->has_frame = TRUE;
  else
    check_pads (self);
  if (!came && self->has_frame && self->has_pads)
    self->params.came (self->params.user_data, self->has_audio);
}

/* The source may be stopped in here; the watch keeps it until it returns. */
static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer user_data)
{
  FeedSource *self = user_data;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_APPLICATION:
      handle_application (self, message);
      break;
    case GST_MESSAGE_ERROR:
      end_from_message (self, message);
      break;
    case GST_MESSAGE_LATENCY:
      gst_bin_recalculate_latency (GST_BIN (self->pipeline));
      break;
    case GST_MESSAGE_ELEMENT:
      if (!self->missing && gst_is_missing_plugin_message (message))
        self->missing = gst_missing_plugin_message_get_description (message);
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

static gboolean
on_tick (gpointer user_data)
{
  FeedSource *self = user_data;
  guint n, limit;

  g_mutex_lock (&self->lock);
  n = self->n_frames;
  g_mutex_unlock (&self->lock);
  limit = n > 0 ? MAX_PAUSE_S : MAX_START_S;
  if (n != self->n_seen || (n == 0 && self->params.waits))
    self->n_silent_ticks = 0;
  else
    self->n_silent_ticks++;
  self->n_seen = n;
  if (self->n_silent_ticks > limit)
    end (self, g_error_new (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
            "no picture for %u seconds", limit));
  return G_SOURCE_CONTINUE;
}

/* --- Life -------------------------------------------------------------------- */

static void
set_up_outlet (FeedSource * self, guint kind, const char *name)
{
  GstAppSinkCallbacks callbacks = {.eos = on_eos,.new_sample = on_sample };
  Outlet *outlet = &self->outlets[kind];
  GstElement *sink = gst_bin_get_by_name (GST_BIN (self->pipeline), name);

  outlet->appsrc = gst_object_ref (self->params.outlets[kind]);
  outlet->appsink = GST_APP_SINK (sink);
  gst_app_sink_set_callbacks (outlet->appsink, &callbacks, self, NULL);
}

static void
set_up_source (FeedSource * self, const Source * source)
{
  GstElement *element = gst_bin_get_by_name (GST_BIN (self->pipeline),
      "source");

  if (source->property)
    g_object_set (element, source->property, source->value, NULL);
  if (g_signal_lookup ("source-setup", G_OBJECT_TYPE (element))) {
    g_signal_connect (element, "source-setup", G_CALLBACK (on_source_setup),
        self);
    g_signal_connect (element, "pad-added", G_CALLBACK (on_pad_added), self);
    g_signal_connect (element, "no-more-pads", G_CALLBACK (on_no_more_pads),
        self);
  } else {
    self->has_video = self->has_pads = TRUE;
  }
  gst_object_unref (element);
}

FeedSource *
feed_source_new (const FeedSourceParams * params, GError ** error)
{
  g_autofree char *launch = g_strdup_printf (SINKS "%s", params->source->launch,
      params->outlets[FEED_AUDIO] ? AUDIO_SINK : "");
  GstElement *pipeline = gst_parse_launch_full (launch, NULL,
      GST_PARSE_FLAG_FATAL_ERRORS, error);
  FeedSource *self;

  if (!pipeline)
    return NULL;
  self = g_atomic_rc_box_new0 (FeedSource);
  self->params = *params;
  self->pipeline = gst_object_ref_sink (pipeline);
  self->clock = gst_system_clock_obtain ();
  g_mutex_init (&self->state);
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  set_up_outlet (self, FEED_VIDEO, "video");
  if (params->outlets[FEED_AUDIO])
    set_up_outlet (self, FEED_AUDIO, "audio");
  set_up_source (self, params->source);
  return self;
}

static gboolean
is_stopped (FeedSource * self)
{
  gboolean stopped;

  g_mutex_lock (&self->lock);
  stopped = self->stopped;
  g_mutex_unlock (&self->lock);
  return stopped;
}

/* Some sources connect before this returns. */
static void
play (GstElement * pipeline, gpointer user_data)
{
  FeedSource *self = user_data;

  g_mutex_lock (&self->state);
  if (!is_stopped (self))
    gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_mutex_unlock (&self->state);
}

void
feed_source_start (FeedSource * self, GstClockTime base_time)
{
  GstBus *bus = gst_element_get_bus (self->pipeline);

  gst_pipeline_use_clock (GST_PIPELINE (self->pipeline), self->clock);
  gst_element_set_start_time (self->pipeline, GST_CLOCK_TIME_NONE);
  gst_element_set_base_time (self->pipeline, base_time);
  self->base_time = base_time;
  self->outlets[FEED_VIDEO].last = self->outlets[FEED_AUDIO].last =
      get_now (self);
  self->watch = gst_bus_add_watch_full (bus, G_PRIORITY_DEFAULT, on_message,
      g_atomic_rc_box_acquire (self), unref_source);
  self->tick = g_timeout_add_seconds_full (G_PRIORITY_DEFAULT, 1, on_tick,
      g_atomic_rc_box_acquire (self), unref_source);
  gst_element_call_async (self->pipeline, play, g_atomic_rc_box_acquire (self),
      unref_source);
  gst_object_unref (bus);
}

static void
close_pipeline (GstElement * pipeline, gpointer user_data)
{
  FeedSource *self = user_data;

  g_mutex_lock (&self->state);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  g_mutex_unlock (&self->state);
  g_mutex_lock (&self->lock);
  self->closed = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

static void
wait_until_closed (FeedSource * self)
{
  gint64 end = g_get_monotonic_time () + MAX_STOP_S * G_TIME_SPAN_SECOND;

  g_mutex_lock (&self->lock);
  while (!self->closed && g_cond_wait_until (&self->cond, &self->lock, end));
  g_mutex_unlock (&self->lock);
}

void
feed_source_stop (FeedSource * self)
{
  g_mutex_lock (&self->lock);
  self->stopped = TRUE;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  if (self->watch)
    g_source_remove (self->watch);
  if (self->tick)
    g_source_remove (self->tick);
  gst_element_call_async (self->pipeline, close_pipeline,
      g_atomic_rc_box_acquire (self), unref_source);
}

void
feed_source_free (FeedSource * self, gboolean wait)
{
  if (wait)
    wait_until_closed (self);
  unref_source (self);
}
