/* A file in, the same file with its video restored out, see transcode.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transcode.h"
#include "join.h"
#include "reader.h"

#include <gio/gio.h>
#include <string.h>

static const char *const muxers[] = {
  [CONTAINER_MATROSKA] = "matroskamux",
  [CONTAINER_MP4] = "mp4mux",
  [CONTAINER_WEBM] = "webmmux",
};

struct _Transcode
{
  const TranscodeParams *params;
  GMainLoop *loop;
  GstElement *pipeline, *mux;
  Reader reader;
  Video video;
  Join join;
  Window window;
  Tracks tracks;
  Progress progress;
  GstPad *video_pad;            /* the reader's */
  gboolean interrupted;         /* the streams are made to end */
  gboolean at_end;              /* all of the result is written */
  GError *error;                /* the first one */
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

static void
fail_from_message (Transcode * self, GstMessage * message)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *debug = NULL;

  if (strcmp (GST_OBJECT_NAME (GST_MESSAGE_SRC (message)), "out") == 0) {
    gst_message_parse_error (message, &error, &debug);
    fail_to_write (self, error, debug);
    return;
  }
  error = reader_parse_error (&self->reader, message);
  fail (self, error->code, "%s", error->message);
}

/* --- Timestamps ---------------------------------------------------------- */

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

/* --- Pipeline ------------------------------------------------------------ */

static gboolean
link_video (Transcode * self, GstPad * pad)
{
  GstPad *sink;
  gboolean ok;

  self->video_pad = gst_object_ref (pad);
  if (self->params->stage == STAGE_INDEX)
    return index_link (self->params->index, GST_BIN (self->pipeline), pad);
  window_watch (&self->window, pad, WINDOW_VIDEO);
  if (self->params->stage != STAGE_PART)
    tracks_watch_file (&self->tracks, pad);
  if (self->params->stage == STAGE_JOIN)
    return join_link (&self->join, pad);
  sink = gst_element_get_static_pad (self->video.bin, "sink");
  ok = gst_pad_link (pad, sink) == GST_PAD_LINK_OK;
  gst_object_unref (sink);
  return ok;
}

static gboolean
has_tracks (const Transcode * self)
{
  return self->params->stage == STAGE_ALL
      || self->params->stage == STAGE_JOIN;
}

static void
on_pad_added (GstElement * decode, GstPad * pad, Transcode * self)
{
  g_autoptr (GstCaps) caps = gst_pad_query_caps (pad, NULL);
  const char *name = gst_structure_get_name (gst_caps_get_structure (caps, 0));
  gboolean is_video = g_str_has_prefix (name, "video/")
      || g_str_has_prefix (name, "image/");

  if (is_video && !self->reader.has_video)
    self->reader.has_video = link_video (self, pad);
  else if (!has_tracks (self))
    return;
  else if (is_video)
    tracks_take_note (&self->tracks, g_strdup ("a further video stream was "
            "left out: only the first is restored"));
  else
    tracks_link (&self->tracks, pad, caps);
}

/* FALSE stops decodebin there and gives the pad as it is. */
static gboolean
on_autoplug_continue (GstElement * decode, GstPad * pad, GstCaps * caps,
    Transcode * self)
{
  const GstStructure *s = gst_caps_get_structure (caps, 0);

  gboolean is_video = g_str_has_prefix (gst_structure_get_name (s), "video/");

  if (is_video && self->params->stage == STAGE_INDEX)
    return !reader_gives_frames (&self->reader, pad, caps);
  /* What a parser has cut is a stream, not a container. */
  if (is_video && self->params->stage == STAGE_JOIN
      && gst_structure_has_field (s, "parsed"))
    return FALSE;
  if (!has_tracks (self))
    return !g_str_has_prefix (gst_structure_get_name (s), "audio/");
  return !tracks_is_ready (&self->tracks, caps);
}

static gboolean
jump (gpointer user_data)
{
  Transcode *self = user_data;

  if (!window_jump (&self->window, self->video_pad))
    fail (self, G_IO_ERROR_NOT_SUPPORTED, "\"%s\" cannot be read but from its "
        "beginning", self->params->in);
  return G_SOURCE_REMOVE;
}

static void
on_no_more_pads (GstElement * decode, Transcode * self)
{
  if (self->params->jump && self->reader.has_video)
    g_idle_add (jump, self);
}

static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer user_data)
{
  Transcode *self = user_data;
  g_autofree char *text = NULL;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_EOS:
      self->at_end = TRUE;
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
      reader_take_note (&self->reader, message);
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

static gboolean
on_tick (gpointer user_data)
{
  Transcode *self = user_data;
  GstClockTime position, duration;
  guint n;

  g_mutex_lock (&self->video.lock);
  n = self->video.n_frames;
  position = self->video.position;
  duration = self->video.duration;
  g_mutex_unlock (&self->video.lock);

  if (n > 0 && self->params->stage != STAGE_JOIN)
    progress_show (&self->progress, n, position, duration);
  if (reader_is_silent (&self->reader))
    fail (self, G_IO_ERROR_INVALID_DATA, "there is no video to be read in "
        "\"%s\": it ends where one should begin", self->params->in);
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

/* The muxer, or what stands for one in a part. */
static gboolean
add_mux (Transcode * self, GError ** error)
{
  const char *factory = self->params->stage == STAGE_PART ? "gdppay"
      : muxers[self->params->container];

  self->mux = add_element (self, factory, "mux", error);
  if (!self->mux)
    return FALSE;
  self->tracks.pipeline = GST_BIN (self->pipeline);
  self->tracks.mux = self->mux;
  self->tracks.container = self->params->container;
  self->tracks.window = &self->window;
  return TRUE;
}

/* A part holds what the data protocol can hold; tags and the like are the whole
 * file's. */
static GstPadProbeReturn
keep_needed (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  const char *id;

  switch (GST_EVENT_TYPE (event)) {
    case GST_EVENT_STREAM_START:
      /* tsdemux adds an object, which could not be read back. */
      gst_event_parse_stream_start (event, &id);
      GST_PAD_PROBE_INFO_DATA (info) = gst_event_new_stream_start (id);
      gst_event_unref (event);
      return GST_PAD_PROBE_OK;
    case GST_EVENT_CAPS:
    case GST_EVENT_SEGMENT:
    case GST_EVENT_EOS:
      return GST_PAD_PROBE_OK;
    default:
      return GST_PAD_PROBE_DROP;
  }
}

static gboolean
link_part (Transcode * self)
{
  GstPad *pad = gst_element_get_static_pad (self->mux, "sink");

  g_object_set (self->mux, "crc-header", TRUE, "crc-payload", TRUE, NULL);
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, keep_needed,
      NULL, NULL);
  gst_object_unref (pad);
  return gst_element_link (self->video.bin, self->mux);
}

/* The encoded video: from the branch that makes it or from parts. */
static gboolean
add_video (Transcode * self, GError ** error)
{
  GstElement *source;
  GstPad *pad;

  if (self->params->stage == STAGE_JOIN) {
    self->join = (Join) {.pipeline = GST_BIN (self->pipeline),
      .mux = self->mux,.video = &self->video
    };
    source = join_build (&self->join, self->params->parts, error);
    if (!source)
      return FALSE;
  } else {
    if (!video_build (&self->video, error))
      return FALSE;
    source = self->video.bin;
  }
  gst_bin_add (GST_BIN (self->pipeline), source);

  if (self->params->stage == STAGE_PART)
    return link_part (self);
  gst_element_link_pads (source, "src", self->mux, "video_%u");
  if (self->params->container == CONTAINER_MP4) {
    pad = gst_element_get_static_pad (self->mux, "video_0");
    gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, set_timescale,
        self, NULL);
    gst_object_unref (pad);
  }
  return TRUE;
}

/* Where the result comes from and goes to. */
static gboolean
add_result (Transcode * self, GError ** error)
{
  GstElement *out;

  if (!add_mux (self, error)
      || !(out = add_element (self, "filesink", "out", error))
      || !add_video (self, error))
    return FALSE;
  g_object_set (out, "location", self->params->out, NULL);
  gst_element_link (self->mux, out);
  return TRUE;
}

static gboolean
build (Transcode * self, GError ** error)
{
  GstElement *decode;

  self->pipeline = gst_object_ref_sink (gst_pipeline_new (NULL));
  self->reader.in = self->params->in;
  self->reader.pipeline = GST_BIN (self->pipeline);
  if (!reader_build (&self->reader, error)
      || (self->params->stage != STAGE_INDEX && !add_result (self, error)))
    return FALSE;
  decode = self->reader.decode;
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
  reader_init (&self->reader);
  progress_init (&self->progress);
  video_init (&self->video);
  tracks_init (&self->tracks);
  window_init (&self->window, params->start, params->stop, params->lead,
      params->jump);
  self->video.encoder = params->encoder;
  self->video.window = &self->window;
  self->video.tracks = &self->tracks;
  self->video.done = params->done;
  self->video.properties = params->properties;
  if (!build (self, error))
    g_clear_pointer (&self, transcode_free);
  return self;
}

void
transcode_free (Transcode * self)
{
  gst_object_unref (self->pipeline);
  gst_clear_object (&self->video_pad);
  reader_clear (&self->reader);
  video_clear (&self->video);
  tracks_clear (&self->tracks);
  window_clear (&self->window);
  g_main_loop_unref (self->loop);
  g_clear_error (&self->error);
  g_free (self);
}

/* --- Running ------------------------------------------------------------- */

/* The first time what has been done is brought to a whole result, where there
 * is any. */
static void
on_cancelled (GCancellable * cancellable, Transcode * self)
{
  if (self->interrupted || transcode_count_frames (self) == 0
      || self->params->stage == STAGE_JOIN) {
    fail (self, G_IO_ERROR_CANCELLED, "interrupted");
    return;
  }
  self->interrupted = TRUE;
  window_close (&self->window);
}

static void
run_loop (Transcode * self, GCancellable * cancellable)
{
  GstBus *bus = gst_element_get_bus (self->pipeline);
  guint watch = gst_bus_add_watch (bus, on_message, self);
  guint tick = g_timeout_add (READER_TICK_MS, on_tick, self);
  gulong cancelled = g_signal_connect (cancellable, "cancelled",
      G_CALLBACK (on_cancelled), self);

  gst_element_set_state (self->pipeline, GST_STATE_PLAYING);
  g_main_loop_run (self->loop);
  gst_element_set_state (self->pipeline, GST_STATE_NULL);
  progress_clear (&self->progress);
  g_signal_handler_disconnect (cancellable, cancelled);
  g_source_remove (tick);
  g_source_remove (watch);
  gst_object_unref (bus);
  while (g_idle_remove_by_data (self));
}

static void
check_result (Transcode * self)
{
  const TranscodeParams *params = self->params;

  if (self->window.overshot)
    fail (self, G_IO_ERROR_NOT_SUPPORTED, "\"%s\" cannot be read from %.2f s "
        "on", params->in, params->lead / (double) GST_SECOND);
  if (params->stage != STAGE_INDEX && self->video.n_frames == 0
      && !GST_CLOCK_TIME_IS_VALID (params->done))
    fail (self, G_IO_ERROR_INVALID_DATA, params->start > 0
        ? "\"%s\" has no frame in the part that was asked for"
        : "no frame of \"%s\" could be decoded", params->in);
  if (self->reader.missing)
    tracks_take_note (&self->tracks, g_strdup_printf ("a stream was left out: "
            "there is no plugin for %s", self->reader.missing));
  if (!self->error)
    tracks_say_notes (&self->tracks);
  if (self->interrupted)
    fail (self, G_IO_ERROR_CANCELLED, "interrupted");
}

gboolean
transcode_run (Transcode * self, GCancellable * cancellable,
    TranscodeResult * result, GError ** error)
{
  gint64 start = g_get_monotonic_time ();

  run_loop (self, cancellable);
  result->seconds = (g_get_monotonic_time () - start) / 1e6;
  result->n_frames = self->video.n_frames;
  result->width = self->video.width;
  result->height = self->video.height;
  result->is_whole = self->at_end && !self->error;
  check_result (self);
  if (!self->error)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}

guint
transcode_count_frames (Transcode * self)
{
  guint n;

  g_mutex_lock (&self->video.lock);
  n = self->video.n_frames;
  g_mutex_unlock (&self->video.lock);
  return n;
}

Picture *
transcode_get_picture (Transcode * self)
{
  return &self->video.picture;
}
