/* What the programs of this folder share that show or record as they go, see
 * live.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "live.h"

#include "output.h"
#include "signals.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <gst/pbutils/pbutils.h>
#include <gst/video/video.h>
#include <signal.h>
#include <string.h>

/* A source that gives no frame for so long has failed: before the first one, as
 * rtspsrc tries UDP for 5 s, and after. */
#define MAX_START_S 10
#define MAX_PAUSE_S 5

/* What is on its way when Ctrl-C is pressed has so long to be written. */
#define MAX_FINISH_S 30

/* Jitter of a camera in the same building; rtspsrc itself waits 2 s. */
#define RTSP_LATENCY_MS 200

/* --- Errors -------------------------------------------------------------- */

/* Waits for the frames that are being restored, so not in the main loop. */
static void
send_eos (GstElement * restore, gpointer user_data)
{
  GstPad *sink = gst_element_get_static_pad (restore, "sink");

  gst_pad_send_event (sink, gst_event_new_eos ());
  gst_object_unref (sink);
}

static gboolean
on_unfinished (gpointer user_data)
{
  Live *self = user_data;

  if (!self->error)
    self->error = g_error_new (G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
        "\"%s\" could not be finished", self->out);
  g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

/* Ends the stream, so that the file is whole. */
static void
finish (Live * self)
{
  if (self->finishing)
    return;
  self->finishing = TRUE;
  gst_element_call_async (self->restore, send_eos, NULL, NULL);
  g_timeout_add_seconds (MAX_FINISH_S, on_unfinished, self);
}

/* The first failure counts. After G_IO_ERROR_CONNECTION_CLOSED, of the source, a
 * recording is finished. */
static void
fail (Live * self, int code, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
fail (Live * self, int code, const char *format, ...)
{
  va_list args;

  if (!self->error) {
    va_start (args, format);
    self->error = g_error_new_valist (G_IO_ERROR, code, format, args);
    va_end (args);
  }
  if (code == G_IO_ERROR_CONNECTION_CLOSED && self->out
      && g_atomic_int_get (&self->n_frames) > 0)
    finish (self);
  else
    g_main_loop_quit (self->loop);
}

static const char *
get_advice (Live * self, const GError * error)
{
  if (error->domain != GST_RESOURCE_ERROR)
    return source_get_advice (self->text);
  switch (error->code) {
    case GST_RESOURCE_ERROR_BUSY:
      return "close the program that uses it";
    case GST_RESOURCE_ERROR_NOT_AUTHORIZED:
      return "give the right name and password, as rtsp://NAME:PASSWORD@HOST/";
    case GST_RESOURCE_ERROR_READ:
      return "it may have vanished: connect it again and start anew";
    default:
      return source_get_advice (self->text);
  }
}

/* A person may close the window; the sink takes it for an error. */
static gboolean
is_closed_window (GstObject * from, const GError * error)
{
  return GST_IS_VIDEO_SINK (from) && g_error_matches (error,
      GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND);
}

static void
fail_from_message (Live * self, GstMessage * message)
{
  GstObject *from = GST_MESSAGE_SRC (message);
  g_autoptr (GError) error = NULL;
  gsize n;

  gst_message_parse_error (message, &error, NULL);
  g_strdelimit (error->message, "\n", ' ');
  n = strlen (error->message);
  while (n > 0 && strchr (". ", error->message[n - 1]))
    error->message[--n] = '\0';

  if (is_closed_window (from, error))
    live_quit (self);
  else if (self->missing)
    fail (self, G_IO_ERROR_FAILED, "\"%s\" cannot be decoded: install the"
        " GStreamer plugin for %s", self->text, self->missing);
  else if (g_str_equal (GST_OBJECT_NAME (from), "out"))
    fail (self, G_IO_ERROR_FAILED, "\"%s\" cannot be written: %s; make room,"
        " or write elsewhere", self->out, error->message);
  else if (GST_OBJECT_FLAG_IS_SET (from, GST_ELEMENT_FLAG_SINK))
    fail (self, G_IO_ERROR_FAILED, "what is restored goes nowhere: %s; see that"
        " the display, or PipeWire, runs", error->message);
  else if (from == GST_OBJECT (self->restore))
    fail (self, G_IO_ERROR_FAILED, "dloral: %s", error->message);
  else if (g_error_matches (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED))
    fail (self, G_IO_ERROR_CONNECTION_CLOSED, "no video comes from \"%s\": %s",
        self->text, source_get_advice (self->text));
  else
    fail (self, G_IO_ERROR_CONNECTION_CLOSED, "\"%s\": %s; %s", self->text,
        error->message, get_advice (self, error));
}

/* --- Beginning ----------------------------------------------------------- */

void
live_init (void)
{
  /* A write past a limit is to fail, not to kill. */
  signal (SIGXFSZ, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  gst_init (NULL, NULL);
  gst_pb_utils_init ();
}

gboolean
live_parse (Live * self, int *argc, char ***argv, const GOptionEntry * entries,
    GError ** error)
{
  const GOptionEntry own[] = {
    {"out", 0, 0, G_OPTION_ARG_FILENAME, &self->out, NULL, NULL},
    {"size", 0, 0, G_OPTION_ARG_STRING, &self->size, NULL, NULL},
    {NULL}
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_help_enabled (context, FALSE);
  settings_add (&self->settings, context);
  g_option_context_add_main_entries (context, own, NULL);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error)
      || !settings_check (&self->settings, error))
    return FALSE;
  if (*argc <= 2)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
      "one source at a time: \"%s\" is too much", (*argv)[2]);
  return FALSE;
}

static gboolean
is_live (GstPad * pad)
{
  GstQuery *query = gst_query_new_latency ();
  gboolean live = FALSE;

  if (gst_pad_peer_query (pad, query))
    gst_query_parse_latency (query, &live, NULL, NULL);
  gst_query_unref (query);
  return live;
}

/* A camera does not wait until a frame is restored; a file does, unless one
 * looks on. */
static GstPadProbeReturn
before_restore (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Live *self = user_data;

  if (g_atomic_int_add (&self->n_frames, 1) == 0 && is_live (pad)) {
    g_atomic_int_set (&self->is_live, TRUE);
    gst_util_set_object_arg (G_OBJECT (self->restore), "overload", "drop");
  }
  return GST_PAD_PROBE_OK;
}

static void
set_up_restore (Live * self)
{
  GstPad *sink = gst_element_get_static_pad (self->restore, "sink");

  settings_apply (&self->settings, self->restore);
  if (self->drop)
    gst_util_set_object_arg (G_OBJECT (self->restore), "overload", "drop");
  gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_BUFFER, before_restore, self,
      NULL);
  gst_object_unref (sink);
}

static void
on_source_setup (GstElement * decode, GstElement * source, gpointer user_data)
{
  const char *type = G_OBJECT_TYPE_NAME (source);

  if (strcmp (type, "GstRTSPSrc") == 0)
    g_object_set (source, "latency", RTSP_LATENCY_MS, NULL);
}

/* Frames that come before the clock runs are of no time. */
static GstPadProbeReturn
stamp (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Live *self = user_data;
  GstBuffer *buffer;

  if (!g_atomic_int_get (&self->is_started))
    return GST_PAD_PROBE_DROP;
  buffer = gst_buffer_make_writable (GST_PAD_PROBE_INFO_BUFFER (info));
  GST_PAD_PROBE_INFO_DATA (info) = buffer;
  GST_BUFFER_PTS (buffer) =
      gst_element_get_current_running_time (self->pipeline);
  GST_BUFFER_DTS (buffer) = GST_CLOCK_TIME_NONE;
  return GST_PAD_PROBE_OK;
}

static void
set_up_stamps (Live * self, GstElement * source)
{
  GstPad *pad = gst_element_get_static_pad (source, "src");

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, stamp, self, NULL);
  gst_object_unref (pad);
}

static void
set_up_source (Live * self)
{
  GstElement *source = gst_bin_get_by_name (GST_BIN (self->pipeline), "source");

  if (self->source.stamp)
    set_up_stamps (self, source);

  if (self->source.property)
    g_object_set (source, self->source.property, self->source.value, NULL);
  if (g_signal_lookup ("source-setup", G_OBJECT_TYPE (source)))
    g_signal_connect (source, "source-setup", G_CALLBACK (on_source_setup),
        NULL);
  gst_object_unref (source);
}

static void
set_up_out (Live * self)
{
  GstElement *out = gst_bin_get_by_name (GST_BIN (self->pipeline), "out");

  g_object_set (out, "location", self->out, NULL);
  gst_object_unref (out);
}

gboolean
live_build (Live * self, const char *filter, const char *sink, GError ** error)
{
  g_autofree char *launch = NULL;

  if (!source_init (&self->source, self->text, self->size, error))
    return FALSE;
  if (self->out)
    sink = output_describe_file (self->out, error);
  else if (!sink)
    sink = output_choose_window (error);
  if (!sink)
    return FALSE;
  launch = g_strdup_printf ("%s ! dloral name=restore ! %s ! %s",
      self->source.launch, filter, sink);
  self->pipeline = gst_parse_launch_full (launch, NULL,
      GST_PARSE_FLAG_FATAL_ERRORS, error);
  if (!self->pipeline) {
    g_prefix_error (error, "GStreamer lacks something, scripts/setup live"
        " installs it: ");
    return FALSE;
  }
  self->restore = gst_bin_get_by_name (GST_BIN (self->pipeline), "restore");
  self->loop = g_main_loop_new (NULL, FALSE);
  set_up_source (self);
  set_up_restore (self);
  if (self->out)
    set_up_out (self);
  return TRUE;
}

void
live_clear (Live * self)
{
  gst_clear_object (&self->restore);
  gst_clear_object (&self->pipeline);
  source_clear (&self->source);
  g_clear_pointer (&self->loop, g_main_loop_unref);
  g_clear_pointer (&self->missing, g_free);
  g_clear_pointer (&self->out, g_free);
  settings_clear (&self->settings);
  g_clear_pointer (&self->size, g_free);
  g_clear_error (&self->error);
}

/* --- Running ------------------------------------------------------------- */

/* The second time all is left as it is. */
static void
on_signal (gpointer user_data)
{
  Live *self = user_data;

  if (!self->out)
    live_quit (self);
  else if (self->interrupted || g_atomic_int_get (&self->n_frames) == 0)
    fail (self, G_IO_ERROR_CANCELLED, "interrupted");
  else
    finish (self);
  self->interrupted = TRUE;
}

static void
on_preroll (Live * self)
{
  gint64 time = self->start * GST_SECOND;

  self->start = 0;
  if (time > 0)
    gst_element_seek_simple (self->pipeline, GST_FORMAT_TIME,
        GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_KEY_UNIT
        | GST_SEEK_FLAG_SNAP_BEFORE, time);
}

static void
on_eos (Live * self)
{
  if (self->finishing || !self->repeat || !gst_element_seek_simple (self->pipeline,
          GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, 0))
    live_quit (self);
}

static gboolean
on_message (GstBus * bus, GstMessage * message, gpointer user_data)
{
  Live *self = user_data;

  switch (GST_MESSAGE_TYPE (message)) {
    case GST_MESSAGE_EOS:
      on_eos (self);
      break;
    case GST_MESSAGE_ERROR:
      fail_from_message (self, message);
      break;
    case GST_MESSAGE_ASYNC_DONE:
      on_preroll (self);
      break;
    case GST_MESSAGE_LATENCY:
      gst_bin_recalculate_latency (GST_BIN (self->pipeline));
      break;
    case GST_MESSAGE_APPLICATION:
      g_main_loop_quit (self->loop);
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
  Live *self = user_data;
  int n = g_atomic_int_get (&self->n_frames);
  guint limit = n > 0 ? MAX_PAUSE_S : MAX_START_S;

  if (self->finishing || n != self->n_seen || (n > 0 && !g_atomic_int_get (&self->is_live)))
    self->n_silent_ticks = 0;
  else if (++self->n_silent_ticks > limit)
    fail (self, G_IO_ERROR_CONNECTION_CLOSED, "\"%s\" gave no%s picture for %u seconds: %s",
        self->text, n > 0 ? " further" : "", limit, source_get_advice (self->text));
  self->n_seen = n;
  return G_SOURCE_CONTINUE;
}

void
live_quit (Live * self)
{
  GstStructure *done = gst_structure_new_empty ("done");

  gst_element_post_message (self->pipeline,
      gst_message_new_application (GST_OBJECT (self->pipeline), done));
}

/* pipewiresrc waits half a minute for a camera: not in the main loop. */
static void
start (GstElement * pipeline, gpointer user_data)
{
  Live *self = user_data;

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  g_atomic_int_set (&self->is_started, TRUE);
}

/* What hangs in its start would hang here, too; the process ends anyway. */
static void
stop (Live * self)
{
  if (g_atomic_int_get (&self->is_started))
    gst_element_set_state (self->pipeline, GST_STATE_NULL);
  else
    gst_object_ref (self->pipeline);
}

gboolean
live_run (Live * self, GError ** error)
{
  g_autoptr (GstClock) clock = gst_system_clock_obtain ();
  GstBus *bus = gst_element_get_bus (self->pipeline);
  guint sources[] = {
    gst_bus_add_watch (bus, on_message, self),
    g_timeout_add_seconds (1, on_tick, self),
  };

  signals_watch (on_signal, self);
  /* That of a camera would stop with it. */
  gst_pipeline_use_clock (GST_PIPELINE (self->pipeline), clock);
  gst_element_call_async (self->pipeline, start, self, NULL);
  g_main_loop_run (self->loop);
  stop (self);
  for (guint i = 0; i < G_N_ELEMENTS (sources); i++)
    g_source_remove (sources[i]);
  gst_object_unref (bus);

  if (self->out && self->n_frames == 0)
    g_unlink (self->out);       /* empty */
  if (!self->error && self->n_frames == 0 && !self->interrupted)
    fail (self, G_IO_ERROR_FAILED, "there is no picture in \"%s\"; %s",
        self->text, source_get_advice (self->text));
  if (!self->error)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}
