/* The restoring branch, see video.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "video.h"

#include <string.h>

/* Pictures are turned upright and deinterlaced, one frame for a frame; no
 * element here adds, drops or restamps one. What encodes them follows. */
#define VIDEO \
  "videoflip video-direction=auto ! deinterlace fields=top ! videoconvert" \
  " ! dloral name=restore" \
  " ! queue max-size-buffers=2 max-size-bytes=0 max-size-time=0" \
  " ! videoconvert ! videoscale" \
  " ! capsfilter name=format"

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
  Video *self = user_data;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GstClockTime time = running_time (pad, buffer);
  GstClockTime duration;

  g_mutex_lock (&self->lock);
  duration = self->duration;
  g_mutex_unlock (&self->lock);
  if (duration == 0)
    duration = query_duration (self->window, pad);

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
fix_format (Video * self, GstCaps * caps)
{
  GstElement *filter = gst_bin_get_by_name (GST_BIN (self->bin), "format");
  GstElement *encode = gst_bin_get_by_name (GST_BIN (self->bin), "encode");
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
    tracks_take_note (self->tracks, g_strdup_printf ("%s takes 8 bits only: "
            "the video's %u bits became 8", self->encoder->factory,
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

static GstPadProbeReturn
after_restore_frame (Video * self, GstPad * pad, GstBuffer * buffer)
{
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GstStructure *s = gst_caps_get_structure (caps, 0);
  GstClockTime time = running_time (pad, buffer);

  picture_offer_after (&self->picture, buffer, caps);
  if (GST_CLOCK_TIME_IS_VALID (self->done) && time <= self->done)
    return GST_PAD_PROBE_DROP;

  g_mutex_lock (&self->lock);
  self->n_frames++;
  if (self->width == 0) {
    gst_structure_get_int (s, "width", &self->width);
    gst_structure_get_int (s, "height", &self->height);
  }
  if (GST_CLOCK_TIME_IS_VALID (time))
    self->position = time;
  g_mutex_unlock (&self->lock);
  return GST_PAD_PROBE_OK;
}

static GstPadProbeReturn
after_restore (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Video *self = user_data;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstCaps *caps;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    return after_restore_frame (self, pad, GST_PAD_PROBE_INFO_BUFFER (info));
  if (GST_EVENT_TYPE (event) == GST_EVENT_CAPS && self->width == 0) {
    gst_event_parse_caps (event, &caps);
    fix_format (self, caps);
  }
  return GST_PAD_PROBE_OK;
}

/* What may still differ then, as a framerate that is only a hint, would start
 * the encoder anew, and the muxer refuse. */
static GstPadProbeReturn
before_encode (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Video *self = user_data;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    self->encoding = TRUE;
  else if (self->encoding
      && GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info)) == GST_EVENT_CAPS)
    return GST_PAD_PROBE_DROP;
  return GST_PAD_PROBE_OK;
}

/* --- Making it ----------------------------------------------------------- */

static void
watch_pad (Video * self, const char *element_name, const char *name,
    GstPadProbeType type, GstPadProbeCallback watch)
{
  GstElement *element = gst_bin_get_by_name (GST_BIN (self->bin), element_name);
  GstPad *pad = gst_element_get_static_pad (element, name);

  gst_pad_add_probe (pad, type, watch, self, NULL);
  gst_object_unref (pad);
  gst_object_unref (element);
}

void
video_init (Video * self)
{
  g_mutex_init (&self->lock);
  picture_init (&self->picture);
}

static void
set_properties (Video * self)
{
  GstElement *restore = gst_bin_get_by_name (GST_BIN (self->bin), "restore");

  for (char **p = self->properties; p && *p; p++) {
    g_auto (GStrv) pair = g_strsplit (*p, "=", 2);

    gst_util_set_object_arg (G_OBJECT (restore), pair[0], pair[1]);
  }
  gst_object_unref (restore);
}

gboolean
video_build (Video * self, GError ** error)
{
  const GstPadProbeType both =
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM;
  g_autofree char *description = g_strconcat (VIDEO " ! ",
      self->encoder->description, " ! ", self->encoder->caps,
      " ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0", NULL);

  self->bin = gst_parse_bin_from_description_full (description, TRUE, NULL,
      GST_PARSE_FLAG_FATAL_ERRORS, error);
  if (!self->bin)
    return FALSE;
  set_properties (self);
  watch_pad (self, "restore", "sink", GST_PAD_PROBE_TYPE_BUFFER,
      before_restore);
  watch_pad (self, "restore", "src", both, after_restore);
  watch_pad (self, "encode", "sink", both, before_encode);
  return TRUE;
}

void
video_clear (Video * self)
{
  picture_clear (&self->picture);
  g_mutex_clear (&self->lock);
}
