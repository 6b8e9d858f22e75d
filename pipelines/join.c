/* Parts that take the place of a file's own video, see join.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "join.h"
#include "parts.h"

static void
start_source (GstElement * source, gpointer user_data)
{
  gst_element_set_locked_state (source, FALSE);
  gst_element_sync_state_with_parent (source);
}

/* What is said of the whole file comes with the source's video, which goes
 * nowhere; the muxer is not to begin before it has that. */
static GstPadProbeReturn
on_source_video (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Join *self = user_data;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  gboolean is_event = info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM;
  GstTagList *tags;
  GstToc *toc;

  if (is_event && GST_EVENT_TYPE (event) == GST_EVENT_TAG) {
    gst_event_parse_tag (event, &tags);
    if (gst_tag_list_get_scope (tags) == GST_TAG_SCOPE_GLOBAL)
      gst_tag_setter_merge_tags (GST_TAG_SETTER (self->mux), tags,
          GST_TAG_MERGE_REPLACE);
  } else if (is_event && GST_EVENT_TYPE (event) == GST_EVENT_TOC
      && GST_IS_TOC_SETTER (self->mux)) {
    gst_event_parse_toc (event, &toc, NULL);
    gst_toc_setter_set_toc (GST_TOC_SETTER (self->mux), toc);
    gst_toc_unref (toc);
  } else if ((!is_event || GST_EVENT_TYPE (event) == GST_EVENT_EOS)
      && g_atomic_int_compare_and_exchange (&self->started, 0, 1)) {
    gst_element_call_async (self->source, start_source, NULL, NULL);
  }
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
count_frame (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Video *video = ((Join *) user_data)->video;
  g_autoptr (GstCaps) caps = NULL;
  GstStructure *s;

  g_mutex_lock (&video->lock);
  if (video->n_frames++ == 0 && (caps = gst_pad_get_current_caps (pad))) {
    s = gst_caps_get_structure (caps, 0);
    gst_structure_get_int (s, "width", &video->width);
    gst_structure_get_int (s, "height", &video->height);
  }
  g_mutex_unlock (&video->lock);
  return GST_PAD_PROBE_OK;
}

GstElement *
join_build (Join * self, GPtrArray * parts, GError ** error)
{
  GstPad *pad;

  self->source = parts_new_source (parts, error);
  if (!self->source)
    return NULL;
  gst_element_set_locked_state (self->source, TRUE);
  pad = gst_element_get_static_pad (self->source, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count_frame, self, NULL);
  gst_object_unref (pad);
  return self->source;
}

gboolean
join_link (Join * self, GstPad * pad)
{
  GstElement *sink = gst_element_factory_make ("fakesink", NULL);
  GstPad *sink_pad = gst_element_get_static_pad (sink, "sink");
  gboolean ok;

  g_object_set (sink, "sync", FALSE, "async", FALSE, NULL);
  gst_pad_add_probe (sink_pad,
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      on_source_video, self, NULL);
  gst_bin_add (self->pipeline, sink);
  gst_element_sync_state_with_parent (sink);
  ok = gst_pad_link (pad, sink_pad) == GST_PAD_LINK_OK;
  gst_object_unref (sink_pad);
  return ok;
}
