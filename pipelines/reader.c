/* A file, demuxed and decoded, see reader.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "reader.h"

#include <gst/pbutils/pbutils.h>
#include <string.h>

/* A demuxer that has stopped has its stream shown within this, or never. */
#define MAX_SILENT_TICKS (5000 / READER_TICK_MS)

/* --- Timestamps ---------------------------------------------------------- */

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

/* --- Elements ------------------------------------------------------------ */

static void
on_element_added (GstBin * decode, GstElement * element, Reader * self)
{
  GstElementFactory *factory = gst_element_get_factory (element);
  GstPad *sink = gst_element_get_static_pad (element, "sink");

  if (sink) {
    g_mutex_lock (&self->lock);
    g_ptr_array_add (self->sinks, sink);
    g_mutex_unlock (&self->lock);
  }
  if (factory && strcmp (GST_OBJECT_NAME (factory), "matroskademux") == 0)
    g_signal_connect (element, "pad-added", G_CALLBACK (on_demuxer_pad), NULL);
}

static void
on_no_more_pads (GstElement * decode, Reader * self)
{
  if (!self->has_video)
    GST_ELEMENT_ERROR (self->pipeline, STREAM, WRONG_TYPE,
        ("it has no video stream"), (NULL));
}

static GstElement *
add_element (Reader * self, const char *factory, GError ** error)
{
  GstElement *element = gst_element_factory_make (factory, NULL);

  if (element)
    gst_bin_add (self->pipeline, element);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
        "GStreamer has no element \"%s\" here", factory);
  return element;
}

void
reader_init (Reader * self)
{
  *self = (Reader) { 0 };
  g_mutex_init (&self->lock);
  self->sinks = g_ptr_array_new_with_free_func (gst_object_unref);
}

gboolean
reader_build (Reader * self, GError ** error)
{
  GstElement *in = add_element (self, "filesrc", error);

  if (!in || !(self->decode = add_element (self, "decodebin", error)))
    return FALSE;
  g_object_set (in, "location", self->in, NULL);
  /* Frames in a decoder's own memory would not reach the next element. */
  g_object_set (self->decode, "force-sw-decoders", TRUE, NULL);
  gst_element_link (in, self->decode);
  g_signal_connect (self->decode, "element-added",
      G_CALLBACK (on_element_added), self);
  g_signal_connect (self->decode, "no-more-pads",
      G_CALLBACK (on_no_more_pads), self);
  return TRUE;
}

void
reader_clear (Reader * self)
{
  g_ptr_array_unref (self->sinks);
  g_mutex_clear (&self->lock);
  g_free (self->missing);
}

/* --- What is read ------------------------------------------------------- */

/* The name of what a pad of decodebin's belongs to inside of it. */
static char *
dup_factory_name (GstPad * pad)
{
  g_autoptr (GstPad) target = GST_IS_GHOST_PAD (pad)
      ? gst_ghost_pad_get_target (GST_GHOST_PAD (pad)) : gst_object_ref (pad);
  g_autoptr (GstElement) element =
      target ? gst_pad_get_parent_element (target) : NULL;
  GstElementFactory *factory = element ? gst_element_get_factory (element)
      : NULL;

  return g_strdup (factory ? GST_OBJECT_NAME (factory) : "");
}

gboolean
reader_gives_frames (Reader * self, GstPad * pad, GstCaps * caps)
{
  static const char *const demuxers[] = { "avidemux", "flvdemux",
    "matroskademux", "mxfdemux", "qtdemux", NULL
  };
  g_autofree char *name = dup_factory_name (pad);
  gboolean parsed = FALSE;

  gst_structure_get_boolean (gst_caps_get_structure (caps, 0), "parsed",
      &parsed);
  return parsed || g_strv_contains (demuxers, name);
}

/* --- What goes wrong ----------------------------------------------------- */

void
reader_take_note (Reader * self, GstMessage * message)
{
  if (!self->missing && gst_is_missing_plugin_message (message))
    self->missing = gst_missing_plugin_message_get_description (message);
}

/* Whether the file is to blame. */
static gboolean
is_about_data (Reader * self, GstMessage * message, const GError * error)
{
  GstObject *source = GST_MESSAGE_SRC (message);

  /* Decoders tell their library's failure as one of it. */
  return source == GST_OBJECT (self->pipeline)
      || ((error->domain == GST_STREAM_ERROR
          || error->domain == GST_LIBRARY_ERROR)
      && gst_object_has_as_ancestor (source, GST_OBJECT (self->decode)));
}

GError *
reader_parse_error (Reader * self, GstMessage * message)
{
  g_autoptr (GError) error = NULL;
  int code;

  gst_message_parse_error (message, &error, NULL);
  g_strdelimit (error->message, "\n", ' ');
  code = is_about_data (self, message, error) ? G_IO_ERROR_INVALID_DATA
      : G_IO_ERROR_FAILED;
  if (self->missing && !self->has_video)
    return g_error_new (G_IO_ERROR, G_IO_ERROR_FAILED,
        "\"%s\" cannot be decoded: there is no plugin for %s", self->in,
        self->missing);
  if (error->domain == GST_STREAM_ERROR && !self->has_video)
    return g_error_new (G_IO_ERROR, code,
        "there is no video to be read in \"%s\": %s", self->in,
        error->message);
  return g_error_new (G_IO_ERROR, code, "\"%s\": %s", self->in,
      error->message);
}

/* Whether an element that reads the file by itself has come to its end. */
static gboolean
has_stopped (Reader * self)
{
  gboolean stopped = FALSE;
  GstPad *pad;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->sinks->len; i++) {
    pad = g_ptr_array_index (self->sinks, i);
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
gboolean
reader_is_silent (Reader * self)
{
  if (self->has_video || !has_stopped (self))
    self->n_silent_ticks = 0;
  else
    self->n_silent_ticks++;
  return self->n_silent_ticks > MAX_SILENT_TICKS;
}
