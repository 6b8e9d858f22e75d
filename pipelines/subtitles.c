/* Subtitles of text, see subtitles.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "subtitles.h"

#include <string.h>

typedef struct
{
  gboolean keep_tags;
  gboolean is_markup;           /* the caps that came said so */
} Plain;

static const struct
{
  const char *entity;
  char character;
} entities[] = {
  {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'},
  {"&apos;", '\''}, {"&#39;", '\''},
};

/* The length of the tag that text begins with, 0 if with none. */
static gsize
tag_length (const char *text)
{
  const char *name = text + (text[1] == '/' ? 2 : 1);
  const char *end;

  if (text[0] != '<' || !g_ascii_isalpha (*name))
    return 0;
  end = strchr (name, '>');
  return end ? end + 1 - text : 0;
}

/* Appends the character that text begins with, gives the length of what stood
 * for it. */
static gsize
append_character (GString * plain, const char *text)
{
  for (guint i = 0; i < G_N_ELEMENTS (entities); i++) {
    if (g_str_has_prefix (text, entities[i].entity)) {
      g_string_append_c (plain, entities[i].character);
      return strlen (entities[i].entity);
    }
  }
  g_string_append_c (plain, *text);
  return 1;
}

static GString *
make_plain (const char *text, gboolean keep_tags)
{
  GString *plain = g_string_new (NULL);
  gsize length;

  while (*text) {
    length = tag_length (text);
    if (length == 0) {
      text += append_character (plain, text);
      continue;
    }
    if (keep_tags)
      g_string_append_len (plain, text, length);
    text += length;
  }
  return plain;
}

static void
on_buffer (const Plain * self, GstPadProbeInfo * info)
{
  GstBuffer *old = GST_PAD_PROBE_INFO_BUFFER (info), *buffer;
  g_autofree char *text = NULL;
  GString *plain;
  gsize size = gst_buffer_get_size (old), plain_size;

  text = g_malloc0 (size + 1);
  gst_buffer_extract (old, 0, text, size);
  plain = make_plain (text, self->keep_tags);
  plain_size = plain->len;
  buffer = gst_buffer_new_wrapped (g_string_free (plain, FALSE), plain_size);
  gst_buffer_copy_into (buffer, old, GST_BUFFER_COPY_METADATA, 0, -1);
  gst_buffer_unref (old);
  GST_PAD_PROBE_INFO_DATA (info) = buffer;
}

static void
on_caps (Plain * self, GstPadProbeInfo * info)
{
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  const GstStructure *s;
  GstCaps *caps;

  gst_event_parse_caps (event, &caps);
  s = gst_caps_get_structure (caps, 0);
  self->is_markup = gst_structure_has_name (s, "text/x-raw")
      && g_strcmp0 (gst_structure_get_string (s, "format"),
      "pango-markup") == 0;
  if (!self->is_markup)
    return;
  caps = gst_caps_copy (caps);
  gst_caps_set_simple (caps, "format", G_TYPE_STRING, "utf8", NULL);
  GST_PAD_PROBE_INFO_DATA (info) = gst_event_new_caps (caps);
  gst_caps_unref (caps);
  gst_event_unref (event);
}

/* What comes is not what goes on, so it is not for downstream to say whether it
 * is accepted. */
static GstPadProbeReturn
on_query (GstQuery * query)
{
  if (GST_QUERY_TYPE (query) != GST_QUERY_ACCEPT_CAPS)
    return GST_PAD_PROBE_OK;
  gst_query_set_accept_caps_result (query, TRUE);
  return GST_PAD_PROBE_HANDLED;
}

static GstPadProbeReturn
on_data (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Plain *self = user_data;

  if (info->type & GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM)
    return on_query (GST_PAD_PROBE_INFO_QUERY (info));
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    if (self->is_markup)
      on_buffer (self, info);
  } else if (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info))
      == GST_EVENT_CAPS) {
    on_caps (self, info);
  }
  return GST_PAD_PROBE_OK;
}

void
subtitles_make_plain (GstPad * pad, gboolean keep_tags)
{
  Plain *self = g_new0 (Plain, 1);

  self->keep_tags = keep_tags;
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER
      | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM
      | GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, on_data, self, g_free);
}
