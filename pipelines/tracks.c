/* Sound and subtitles, see tracks.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tracks.h"
#include "subtitles.h"

#include <gst/pbutils/pbutils.h>
#include <stdio.h>

/* Compressed data may pile up while the muxer waits for the other stream. */
#define UNLIMITED "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"

/* For audio that the container cannot carry as it is. */
static const struct
{
  const char *element, *name;
} audio_encoders[] = {
  [CONTAINER_MATROSKA] = {"flacenc", "FLAC"},
  [CONTAINER_MP4] = {"avenc_aac bitrate=192000", "AAC"},
  [CONTAINER_WEBM] = {"opusenc bitrate=160000", "Opus"},
};

static const char *const suffixes[] = {
  [CONTAINER_MATROSKA] = ".mkv",
  [CONTAINER_MP4] = ".mp4",
  [CONTAINER_WEBM] = ".webm",
};

void
tracks_init (Tracks * self)
{
  g_mutex_init (&self->lock);
  self->notes = g_ptr_array_new_with_free_func (g_free);
}

void
tracks_clear (Tracks * self)
{
  g_ptr_array_unref (self->notes);
  g_mutex_clear (&self->lock);
}

/* --- What is said -------------------------------------------------------- */

void
tracks_take_note (Tracks * self, char *note)
{
  g_mutex_lock (&self->lock);
  if (g_ptr_array_find_with_equal_func (self->notes, note, g_str_equal, NULL))
    g_free (note);
  else
    g_ptr_array_add (self->notes, note);
  g_mutex_unlock (&self->lock);
}

void
tracks_say_notes (Tracks * self)
{
  for (guint i = 0; i < self->notes->len; i++)
    fprintf (stderr, "%s: %s\n", g_get_prgname (),
        (const char *) g_ptr_array_index (self->notes, i));
  g_ptr_array_set_size (self->notes, 0);
}

static char *
describe (GstCaps * caps)
{
  char *text = gst_pb_utils_get_codec_description (caps);

  return text ? text
      : g_strdup (gst_structure_get_name (gst_caps_get_structure (caps, 0)));
}

static void
note_left_out (Tracks * self, GstCaps * caps)
{
  g_autofree char *what = describe (caps);

  tracks_take_note (self, g_strdup_printf ("a stream was left out: %s is "
          "nothing that can be put in a %s file", what,
          suffixes[self->container]));
}

static GstPadProbeReturn
on_event (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Tracks *self = user_data;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstTagList *tags;

  if (GST_EVENT_TYPE (event) == GST_EVENT_TAG) {
    gst_event_parse_tag (event, &tags);
    if (gst_tag_list_get_tag_size (tags, GST_TAG_ATTACHMENT) > 0)
      tracks_take_note (self, g_strdup ("attached files, which may be fonts, "
              "were left out"));
  } else if (GST_EVENT_TYPE (event) == GST_EVENT_TOC
      && self->container == CONTAINER_MP4) {
    tracks_take_note (self, g_strdup ("the chapters were left out: put them in "
            "a .mkv file"));
  }
  return GST_PAD_PROBE_OK;
}

void
tracks_watch_file (Tracks * self, GstPad * pad)
{
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_event, self,
      NULL);
}

/* --- Audio --------------------------------------------------------------- */

/* FALSE while a parser has yet to cut the stream into whole frames or to find
 * its headers. matroskademux gives FLAC headers that muxers refuse. */
static gboolean
is_complete (const GstStructure * s)
{
  gboolean framed = FALSE;

  if (gst_structure_get_boolean (s, "framed", &framed) && framed)
    return TRUE;
  if (gst_structure_get_boolean (s, "parsed", &framed) && framed)
    return TRUE;
  if (gst_structure_has_name (s, "audio/x-flac"))
    return FALSE;
  return gst_structure_has_field (s, "codec_data")
      || gst_structure_has_field (s, "streamheader");
}

static gboolean
is_aac (const GstStructure * s)
{
  int version = 0;

  return gst_structure_has_name (s, "audio/mpeg")
      && gst_structure_get_int (s, "mpegversion", &version)
      && (version == 2 || version == 4);
}

static gboolean
is_accepted (Tracks * self, GstCaps * caps, const char *pad)
{
  GstPadTemplate *template = gst_element_get_pad_template (self->mux, pad);
  g_autoptr (GstCaps) accepted = gst_pad_template_get_caps (template);

  return gst_caps_can_intersect (caps, accepted);
}

/* TRUE when the container can take this audio as it is. */
static gboolean
can_carry_audio (Tracks * self, GstCaps * caps)
{
  const GstStructure *s = gst_caps_get_structure (caps, 0);

  if (gst_structure_has_name (s, "audio/x-raw") || !is_complete (s))
    return FALSE;
  if (is_aac (s))               /* aacparse makes it fit */
    return self->container != CONTAINER_WEBM;
  return is_accepted (self, caps, "audio_%u");
}

/* --- Both ---------------------------------------------------------------- */

/* TRUE when the muxer took a stream from the pad by way of `description`. */
static gboolean
link_branch (Tracks * self, GstPad * pad, const char *description,
    const char *mux_pad, GstPadLinkCheck check)
{
  g_autoptr (GError) error = NULL;
  GstElement *branch;
  GstPad *sink;
  gboolean ok;

  branch = gst_parse_bin_from_description (description, TRUE, &error);
  if (!branch) {
    GST_ELEMENT_ERROR (self->pipeline, CORE, MISSING_PLUGIN,
        ("the sound cannot be encoded: %s", error->message), (NULL));
    return FALSE;
  }
  gst_bin_add (self->pipeline, branch);
  sink = gst_element_get_static_pad (branch, "sink");
  ok = gst_element_link_pads (branch, "src", self->mux, mux_pad)
      && gst_pad_link_full (pad, sink, check) == GST_PAD_LINK_OK;
  gst_object_unref (sink);
  if (!ok)
    GST_ELEMENT_ERROR (self->pipeline, CORE, NEGOTIATION,
        ("a stream does not fit the container"), (NULL));
  gst_element_sync_state_with_parent (branch);
  return ok;
}

static void
link_audio (Tracks * self, GstPad * pad, GstCaps * caps)
{
  const GstStructure *s = gst_caps_get_structure (caps, 0);
  g_autofree char *description = NULL;

  window_watch (self->window, pad, WINDOW_AUDIO);
  if (can_carry_audio (self, caps)) {
    link_branch (self, pad, is_aac (s) ? "aacparse ! " UNLIMITED : UNLIMITED,
        "audio_%u", GST_PAD_LINK_CHECK_DEFAULT);
    return;
  }
  description = g_strdup_printf ("audioconvert ! audioresample ! %s ! "
      UNLIMITED, audio_encoders[self->container].element);
  link_branch (self, pad, description, "audio_%u", GST_PAD_LINK_CHECK_DEFAULT);
  tracks_take_note (self, g_strdup_printf ("sound that a %s file does not take "
          "as it is was encoded as %s", suffixes[self->container],
          audio_encoders[self->container].name));
}

static gboolean
is_subtitle (const char *name)
{
  return g_str_has_prefix (name, "text/")
      || g_str_has_prefix (name, "subpicture/")
      || g_str_has_prefix (name, "subtitle/")
      || g_str_equal (name, "application/x-ssa")
      || g_str_equal (name, "application/x-ass");
}

static gboolean
can_carry_subtitles (Tracks * self, GstCaps * caps)
{
  const GstStructure *s = gst_caps_get_structure (caps, 0);

  if (self->container == CONTAINER_WEBM)
    return FALSE;               /* WebVTT only, which webmmux does not write */
  return gst_structure_has_name (s, "text/x-raw")
      || is_accepted (self, caps, "subtitle_%u");
}

static void
link_subtitles (Tracks * self, GstPad * pad, GstCaps * caps)
{
  if (!can_carry_subtitles (self, caps)) {
    note_left_out (self, caps);
    return;
  }
  window_watch (self->window, pad, WINDOW_SUBTITLES);
  subtitles_make_plain (pad, self->container == CONTAINER_MATROSKA);
  /* The caps change on their way. */
  link_branch (self, pad, UNLIMITED, "subtitle_%u", GST_PAD_LINK_CHECK_NOTHING);
}

gboolean
tracks_is_ready (Tracks * self, GstCaps * caps)
{
  const char *name = gst_structure_get_name (gst_caps_get_structure (caps, 0));

  if (g_str_has_prefix (name, "audio/"))
    return can_carry_audio (self, caps);
  return is_subtitle (name) && can_carry_subtitles (self, caps);
}

void
tracks_link (Tracks * self, GstPad * pad, GstCaps * caps)
{
  const char *name = gst_structure_get_name (gst_caps_get_structure (caps, 0));

  if (g_str_has_prefix (name, "audio/"))
    link_audio (self, pad, caps);
  else if (is_subtitle (name))
    link_subtitles (self, pad, caps);
  else
    note_left_out (self, caps);
}
