/* A file in, the same file with its video restored out, see transcode.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transcode.h"

#include <gio/gio.h>
#include <gst/pbutils/pbutils.h>
#include <string.h>

/* Compressed data may pile up while the muxer waits for the other stream. */
#define UNLIMITED "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"

/* Pictures are turned upright and deinterlaced, one frame for a frame; no
 * element here adds, drops or restamps one. What encodes them follows. */
#define VIDEO \
  "videoflip video-direction=auto ! deinterlace fields=top ! videoconvert" \
  " ! dloral name=restore" \
  " ! queue max-size-buffers=2 max-size-bytes=0 max-size-time=0" \
  " ! videoconvert ! videoscale" \
  " ! capsfilter name=format"

static const char *const muxers[] = {
  [CONTAINER_MATROSKA] = "matroskamux",
  [CONTAINER_MP4] = "mp4mux",
  [CONTAINER_WEBM] = "webmmux",
};

#define TICK_MS 100

/* A reader that has stopped has its stream shown within this, or never. */
#define MAX_SILENT_TICKS (5000 / TICK_MS)

struct _Transcode
{
  const TranscodeParams *params;
  GMainLoop *loop;
  GstElement *pipeline, *mux;
  GstElement *video;            /* the bin described by VIDEO */
  Tracks tracks;
  Progress progress;
  Picture picture;
  gboolean has_video;
  gboolean encoding;            /* a frame has reached the encoder */
  char *missing;                /* description of a plugin that is not there */
  GError *error;                /* the first one */
  guint n_silent_ticks;

  GMutex lock;                  /* guards what follows */
  GPtrArray *readers;           /* sink pads of decodebin's elements */
  guint n_frames;
  int width, height;
  GstClockTime position, duration;
};

/* --- Errors -------------------------------------------------------------- */

static void
fail (Transcode * self, int code, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
fail (Transcode * self, int code, const char *format, ...)
{
  va_list args;

  if (!self->error) {
    va_start (args, format);
    self->error = g_error_new_valist (G_IO_ERROR, code, format, args);
    va_end (args);
  }
  g_main_loop_quit (self->loop);
}

static void
fail_to_write (Transcode * self, const GError * error, const char *debug)
{
  /* filesink's detail, on a line of its own, ends in what the system said. */
  const char *detail = debug ? strchr (debug, '\n') : NULL;
  const char *cause = detail ? g_strrstr (detail, ": ") : NULL;

  if (g_error_matches (error, GST_RESOURCE_ERROR,
          GST_RESOURCE_ERROR_NO_SPACE_LEFT))
    fail (self, G_IO_ERROR_NO_SPACE, "no space is left for the result");
  else
    fail (self, G_IO_ERROR_FAILED, "the result cannot be written: %s",
        cause ? cause + 2 : error->message);
}

/* Names the file; GStreamer's own sentences mostly do not. */
static void
fail_from_message (Transcode * self, GstMessage * message)
{
  const char *in = self->params->in;
  g_autoptr (GError) error = NULL;
  g_autofree char *debug = NULL;

  gst_message_parse_error (message, &error, &debug);
  g_strdelimit (error->message, "\n", ' ');
  if (strcmp (GST_OBJECT_NAME (GST_MESSAGE_SRC (message)), "out") == 0)
    fail_to_write (self, error, debug);
  else if (self->missing && !self->has_video)
    fail (self, G_IO_ERROR_FAILED,
        "\"%s\" cannot be decoded: there is no plugin for %s", in,
        self->missing);
  else if (error->domain == GST_STREAM_ERROR && !self->has_video)
    fail (self, G_IO_ERROR_FAILED, "there is no video to be read in \"%s\": "
        "%s", in, error->message);
  else
    fail (self, G_IO_ERROR_FAILED, "\"%s\": %s", in, error->message);
}

/* --- Video --------------------------------------------------------------- */

static GstClockTime
running_time (GstPad * pad, GstBuffer * buffer)
{
  GstClockTime time = GST_CLOCK_TIME_NONE;
  const GstSegment *segment;
  GstEvent *event;

  event = gst_pad_get_sticky_event (pad, GST_EVENT_SEGMENT, 0);
  if (!event)
    return time;
  gst_event_parse_segment (event, &segment);
  if (segment->format == GST_FORMAT_TIME)
    time = gst_segment_to_running_time (segment, GST_FORMAT_TIME,
        GST_BUFFER_PTS (buffer));
  gst_event_unref (event);
  return time;
}

/* Of the part that is worked on, 0 when it is not known. */
static GstClockTime
query_duration (const Window * window, GstPad * pad)
{
  gint64 duration;

  if (!gst_pad_peer_query_duration (pad, GST_FORMAT_TIME, &duration)
      || duration <= 0)
    return 0;
  return MIN ((GstClockTime) duration, window->stop)
      - MIN ((GstClockTime) duration, window->start);
}

static GstPadProbeReturn
before_restore (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Transcode *self = user_data;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GstClockTime time = running_time (pad, buffer);
  GstClockTime duration;

  g_mutex_lock (&self->lock);
  duration = self->duration;
  g_mutex_unlock (&self->lock);
  if (duration == 0)
    duration = query_duration (&self->params->window, pad);

  picture_offer_before (&self->picture, buffer, caps,
      duration > 0 && GST_CLOCK_TIME_IS_VALID (time) && time >= duration / 2);

  g_mutex_lock (&self->lock);
  self->duration = duration;
  g_mutex_unlock (&self->lock);
  return GST_PAD_PROBE_OK;
}

/* A container holds video of one size and format: later frames are scaled to
 * the size of the first. */
static void
fix_format (Transcode * self, GstCaps * caps)
{
  GstElement *filter = gst_bin_get_by_name (GST_BIN (self->video), "format");
  GstElement *encode = gst_bin_get_by_name (GST_BIN (self->video), "encode");
  g_autoptr (GstCaps) fixed = gst_caps_new_empty_simple ("video/x-raw");
  const GstStructure *s = gst_caps_get_structure (caps, 0);
  static const char *const fields[] = { "width", "height",
    "pixel-aspect-ratio"
  };
  GstVideoInfo info;
  guint depth = 8;
  const char *format;

  if (gst_video_info_from_caps (&info, caps))
    depth = GST_VIDEO_INFO_COMP_DEPTH (&info, 0);
  format = encoder_choose_format (encode, depth);
  if (depth > 8 && !strstr (format, "10"))
    tracks_take_note (&self->tracks, g_strdup_printf ("%s takes 8 bits only: "
            "the video's %u bits became 8", self->params->encoder->factory,
            depth));
  gst_caps_set_simple (fixed, "format", G_TYPE_STRING, format, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++) {
    if (gst_structure_has_field (s, fields[i]))
      gst_caps_set_value (fixed, fields[i],
          gst_structure_get_value (s, fields[i]));
  }
  g_object_set (filter, "caps", fixed, NULL);
  gst_object_unref (filter);
  gst_object_unref (encode);
}

static void
after_restore_frame (Transcode * self, GstPad * pad, GstBuffer * buffer)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GstStructure *s = gst_caps_get_structure (caps, 0);
  GstClockTime time = running_time (pad, buffer);

  picture_offer_after (&self->picture, buffer, caps);
  g_mutex_lock (&self->lock);
  self->n_frames++;
  if (self->width == 0) {
    gst_structure_get_int (s, "width", &self->width);
    gst_structure_get_int (s, "height", &self->height);
  }
  if (GST_CLOCK_TIME_IS_VALID (time))
    self->position = time;
  g_mutex_unlock (&self->lock);
}

static GstPadProbeReturn
after_restore (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Transcode *self = user_data;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstCaps *caps;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    after_restore_frame (self, pad, GST_PAD_PROBE_INFO_BUFFER (info));
  } else if (GST_EVENT_TYPE (event) == GST_EVENT_CAPS && self->width == 0) {
    gst_event_parse_caps (event, &caps);
    fix_format (self, caps);
  }
  return GST_PAD_PROBE_OK;
}

/* matroskademux lets time begin at the first block it meets and moves the
 * beginning when another stream has an earlier one, so that the first frames
 * shift. Timestamps in Matroska count from 0: say so. */
static GstPadProbeReturn
count_from_zero (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstSegment segment;
  GstEvent *plain;

  if (GST_EVENT_TYPE (event) != GST_EVENT_SEGMENT)
    return GST_PAD_PROBE_OK;
  gst_segment_init (&segment, GST_FORMAT_TIME);
  plain = gst_event_new_segment (&segment);
  gst_event_set_seqnum (plain, gst_event_get_seqnum (event));
  gst_event_unref (event);
  GST_PAD_PROBE_INFO_DATA (info) = plain;
  return GST_PAD_PROBE_OK;
}

static void
on_demuxer_pad (GstElement * demuxer, GstPad * pad, gpointer user_data)
{
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, count_from_zero,
      NULL, NULL);
}

/* What may still differ then, as a framerate that is only a hint, would start
 * the encoder anew, and the muxer refuse. */
static GstPadProbeReturn
before_encode (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Transcode *self = user_data;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    self->encoding = TRUE;
  else if (self->encoding
      && GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == GST_EVENT_CAPS)
    return GST_PAD_PROBE_DROP;
  return GST_PAD_PROBE_OK;
}

/* mp4mux would round timestamps to a clock fit for a constant frame rate: take
 * a multiple of that rate, and at least 90 kHz for when it is not constant. */
static GstPadProbeReturn
set_timescale (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  int n = 0, d = 1;
  GstCaps *caps;

  if (GST_EVENT_TYPE (event) != GST_EVENT_CAPS)
    return GST_PAD_PROBE_OK;
  gst_event_parse_caps (event, &caps);
  gst_structure_get_fraction (gst_caps_get_structure (caps, 0), "framerate",
      &n, &d);
  if (n <= 0 || n > 90000)
    n = 90000;
  g_object_set (pad, "trak-timescale", n * ((90000 + n - 1) / n), NULL);
  return GST_PAD_PROBE_REMOVE;
}

static void
watch_pad (Transcode * self, const char *element_name, const char *name,
    GstPadProbeType type, GstPadProbeCallback watch)
{
  GstElement *element = gst_bin_get_by_name (GST_BIN (self->pipeline),
      element_name);
  GstPad *pad = gst_element_get_static_pad (element, name);

  gst_pad_add_probe (pad, type, watch, self, NULL);
  gst_object_unref (pad);
  gst_object_unref (element);
}

/* --- Pipeline ------------------------------------------------------------ */

static void
on_element_added (GstBin * decode, GstElement * element, Transcode * self)
{
  GstElementFactory *factory = gst_element_get_factory (element);
  GstPad *sink = gst_element_get_static_pad (element, "sink");

  if (sink) {
    g_mutex_lock (&self->lock);
    g_ptr_array_add (self->readers, sink);
    g_mutex_unlock (&self->lock);
  }
  if (factory && strcmp (GST_OBJECT_NAME (factory), "matroskademux") == 0)
    g_signal_connect (element, "pad-added", G_CALLBACK (on_demuxer_pad), NULL);
}

static void
on_pad_added (GstElement * decode, GstPad * pad, Transcode * self)
{
  g_autoptr (GstCaps) caps = gst_pad_query_caps (pad, NULL);
  const char *name = gst_structure_get_name (gst_caps_get_structure (caps, 0));
  GstPad *sink;

  if (!g_str_has_prefix (name, "video/")) {
    tracks_link (&self->tracks, pad, caps);
  } else if (!self->has_video) {
    window_watch (pad, &self->params->window, FALSE);
    sink = gst_element_get_static_pad (self->video, "sink");
    self->has_video = gst_pad_link (pad, sink) == GST_PAD_LINK_OK;
    gst_object_unref (sink);
  } else {
    tracks_take_note (&self->tracks, g_strdup ("a further video stream was "
            "left out: only the first is restored"));
  }
}

/* FALSE stops decodebin there and gives the pad as it is. */
static gboolean
on_autoplug_continue (GstElement * decode, GstPad * pad, GstCaps * caps,
    Transcode * self)
{
  return !tracks_is_ready (&self->tracks, caps);
}

static void
on_no_more_pads (GstElement * decode, Transcode * self)
{
  if (!self->has_video)
    GST_ELEMENT_ERROR (self->pipeline, STREAM, WRONG_TYPE,
        ("it has no video stream"), (NULL));
}

static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer user_data)
{
  Transcode *self = user_data;
  g_autofree char *text = NULL;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_EOS:
      g_main_loop_quit (self->loop);
      break;
    case GST_MESSAGE_ERROR:
      fail_from_message (self, message);
      break;
    case GST_MESSAGE_PROGRESS:
      gst_message_parse_progress (message, NULL, NULL, &text);
      if (self->progress.tty)
        progress_note (&self->progress, text);
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

/* Whether an element that reads the file by itself has come to its end. */
static gboolean
has_stopped_reading (Transcode * self)
{
  gboolean stopped = FALSE;
  GstPad *pad;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->readers->len; i++) {
    pad = g_ptr_array_index (self->readers, i);
    GST_OBJECT_LOCK (pad);
    stopped |= GST_PAD_TASK (pad)
        && gst_task_get_state (GST_PAD_TASK (pad)) == GST_TASK_PAUSED;
    GST_OBJECT_UNLOCK (pad);
  }
  g_mutex_unlock (&self->lock);
  return stopped;
}

/* decodebin keeps to itself what an element says while it is being started; a
 * demuxer that is quick to fail then fails in silence. */
static void
break_silence (Transcode * self)
{
  if (self->has_video || !has_stopped_reading (self))
    self->n_silent_ticks = 0;
  else if (++self->n_silent_ticks > MAX_SILENT_TICKS)
    fail (self, G_IO_ERROR_FAILED, "there is no video to be read in \"%s\": "
        "it ends where one should begin", self->params->in);
}

static gboolean
on_tick (gpointer user_data)
{
  Transcode *self = user_data;
  GstClockTime position, duration;
  guint n;

  g_mutex_lock (&self->lock);
  n = self->n_frames;
  position = self->position;
  duration = self->duration;
  g_mutex_unlock (&self->lock);

  if (n > 0)
    progress_show (&self->progress, n, position, duration);
  break_silence (self);
  return G_SOURCE_CONTINUE;
}

static GstElement *
add_element (Transcode * self, const char *factory, const char *name,
    GError ** error)
{
  GstElement *element = gst_element_factory_make (factory, name);

  if (!element) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
        "GStreamer has no element \"%s\" here", factory);
    return NULL;
  }
  gst_bin_add (GST_BIN (self->pipeline), element);
  return element;
}

static gboolean
add_video (Transcode * self, GError ** error)
{
  g_autofree char *description = g_strconcat (VIDEO " ! ",
      self->params->encoder->description, " ! " UNLIMITED, NULL);

  self->video = gst_parse_bin_from_description_full (description, TRUE, NULL,
      GST_PARSE_FLAG_FATAL_ERRORS, error);
  if (!self->video)
    return FALSE;
  gst_bin_add (GST_BIN (self->pipeline), self->video);

  watch_pad (self, "restore", "sink", GST_PAD_PROBE_TYPE_BUFFER,
      before_restore);
  watch_pad (self, "restore", "src",
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      after_restore);
  watch_pad (self, "encode", "sink",
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      before_encode);

  gst_element_link_pads (self->video, "src", self->mux, "video_%u");
  if (self->params->container == CONTAINER_MP4)
    watch_pad (self, "mux", "video_0", GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
        set_timescale);
  return TRUE;
}

static gboolean
build (Transcode * self, GError ** error)
{
  GstElement *in, *decode, *out;

  self->pipeline = gst_object_ref_sink (gst_pipeline_new (NULL));
  if (!(in = add_element (self, "filesrc", "in", error))
      || !(decode = add_element (self, "decodebin", "decode", error))
      || !(self->mux = add_element (self, muxers[self->params->container],
              "mux", error))
      || !(out = add_element (self, "filesink", "out", error))
      || !add_video (self, error))
    return FALSE;

  self->tracks.pipeline = GST_BIN (self->pipeline);
  self->tracks.mux = self->mux;
  self->tracks.container = self->params->container;
  self->tracks.window = &self->params->window;
  g_object_set (in, "location", self->params->in, NULL);
  g_object_set (out, "location", self->params->out, NULL);
  /* Frames in a decoder's own memory would not reach the next element. */
  g_object_set (decode, "force-sw-decoders", TRUE, NULL);
  gst_element_link (in, decode);
  gst_element_link (self->mux, out);
  g_signal_connect (decode, "element-added", G_CALLBACK (on_element_added),
      self);
  g_signal_connect (decode, "autoplug-continue",
      G_CALLBACK (on_autoplug_continue), self);
  g_signal_connect (decode, "pad-added", G_CALLBACK (on_pad_added), self);
  g_signal_connect (decode, "no-more-pads", G_CALLBACK (on_no_more_pads), self);
  return TRUE;
}

Transcode *
transcode_new (const TranscodeParams * params, GError ** error)
{
  Transcode *self = g_new0 (Transcode, 1);

  self->params = params;
  self->loop = g_main_loop_new (NULL, FALSE);
  g_mutex_init (&self->lock);
  self->readers = g_ptr_array_new_with_free_func (gst_object_unref);
  progress_init (&self->progress);
  picture_init (&self->picture);
  tracks_init (&self->tracks);
  if (!build (self, error))
    g_clear_pointer (&self, transcode_free);
  return self;
}

void
transcode_free (Transcode * self)
{
  gst_object_unref (self->pipeline);
  g_ptr_array_unref (self->readers);
  picture_clear (&self->picture);
  tracks_clear (&self->tracks);
  g_mutex_clear (&self->lock);
  g_main_loop_unref (self->loop);
  g_clear_error (&self->error);
  g_free (self->missing);
  g_free (self);
}

/* --- Running ------------------------------------------------------------- */

static void
on_cancelled (GCancellable * cancellable, Transcode * self)
{
  fail (self, G_IO_ERROR_CANCELLED, "interrupted");
}

gboolean
transcode_run (Transcode * self, GCancellable * cancellable,
    TranscodeResult * result, GError ** error)
{
  GstBus *bus = gst_element_get_bus (self->pipeline);
  guint watch = gst_bus_add_watch (bus, on_message, self);
  guint tick = g_timeout_add (TICK_MS, on_tick, self);
  gint64 start = g_get_monotonic_time ();
  gulong cancelled = g_signal_connect (cancellable, "cancelled",
      G_CALLBACK (on_cancelled), self);

  gst_element_set_state (self->pipeline, GST_STATE_PLAYING);
  g_main_loop_run (self->loop);
  result->seconds = (g_get_monotonic_time () - start) / 1e6;
  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  progress_clear (&self->progress);
  g_signal_handler_disconnect (cancellable, cancelled);
  g_source_remove (tick);
  g_source_remove (watch);
  gst_object_unref (bus);

  result->n_frames = self->n_frames;
  result->width = self->width;
  result->height = self->height;
  if (self->n_frames == 0)
    fail (self, G_IO_ERROR_FAILED, self->params->window.start > 0
        ? "\"%s\" has no frame in the part that was asked for"
        : "no frame of \"%s\" could be decoded", self->params->in);
  if (self->missing)
    tracks_take_note (&self->tracks, g_strdup_printf ("a stream was left out: "
            "there is no plugin for %s", self->missing));
  if (!self->error) {
    tracks_say_notes (&self->tracks);
    return TRUE;
  }
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}

Picture *
transcode_get_picture (Transcode * self)
{
  return &self->picture;
}
