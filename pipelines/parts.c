/* Restored and encoded video in files of its own, see parts.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "parts.h"

#include <gio/gio.h>

void
part_free (gpointer part)
{
  Part *self = part;

  g_free (self->path);
  g_free (self->caps);
  g_free (self);
}

/* --- Looking through ----------------------------------------------------- */

typedef struct
{
  GstClockTime time;
  gboolean is_key;
} Frame;

typedef struct
{
  GArray *frames;               /* in the order in which they were encoded */
  char *caps;                   /* of the first; NULL: there is none */
} Content;

static void
on_handoff (GstElement * sink, GstBuffer * buffer, GstPad * pad,
    Content * content)
{
  GstEvent *event = gst_pad_get_sticky_event (pad, GST_EVENT_SEGMENT, 0);
  Frame frame = { 0, !GST_BUFFER_FLAG_IS_SET (buffer,
        GST_BUFFER_FLAG_DELTA_UNIT) };
  const GstSegment *segment;
  g_autoptr (GstCaps) caps = NULL;

  if (!event)
    return;
  if (content->frames->len == 0 && (caps = gst_pad_get_current_caps (pad)))
    content->caps = gst_caps_to_string (caps);
  gst_event_parse_segment (event, &segment);
  frame.time = gst_segment_to_running_time (segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (buffer));
  gst_event_unref (event);
  g_array_append_val (content->frames, frame);
}

/* What can be read of a file. */
static Content
read_content (const char *path)
{
  Content content = { g_array_new (FALSE, FALSE, sizeof (Frame)), NULL };
  GstElement *pipeline = gst_parse_launch ("filesrc name=in ! gdpdepay"
      " ! fakesink name=out sync=false signal-handoffs=true", NULL);
  GstElement *in = gst_bin_get_by_name (GST_BIN (pipeline), "in");
  GstElement *out = gst_bin_get_by_name (GST_BIN (pipeline), "out");
  GstBus *bus = gst_element_get_bus (pipeline);

  g_object_set (in, "location", path, NULL);
  g_signal_connect (out, "handoff", G_CALLBACK (on_handoff), &content);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  gst_clear_message (&(GstMessage *) { gst_bus_timed_pop_filtered (bus,
          GST_CLOCK_TIME_NONE, GST_MESSAGE_EOS | GST_MESSAGE_ERROR) });
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (bus);
  gst_object_unref (in);
  gst_object_unref (out);
  gst_object_unref (pipeline);
  return content;
}

/* The latest time among the first n. */
static GstClockTime
latest (const GArray * frames, guint n)
{
  GstClockTime time = 0;

  for (guint i = 0; i < n; i++)
    time = MAX (time, g_array_index (frames, Frame, i).time);
  return time;
}

static void
add_to_end (PartEnd * end, GstClockTime time)
{
  if (!GST_CLOCK_TIME_IS_VALID (end->last) || time > end->last) {
    end->before = end->last;
    end->last = time;
  } else if (time < end->last && (!GST_CLOCK_TIME_IS_VALID (end->before)
          || time > end->before)) {
    end->before = time;
  }
}

void
part_scan (Part * part, gboolean is_whole, PartEnd * end)
{
  Content content = read_content (part->path);
  g_autoptr (GArray) frames = content.frames;
  const Frame *frame = (const Frame *) frames->data;
  guint n = frames->len;

  if (!is_whole) {
    while (n > 0 && !(frame[n - 1].is_key
            && latest (frames, n - 1) < frame[n - 1].time))
      n--;
    n = n > 0 ? n - 1 : 0;
  }
  g_free (part->caps);
  part->caps = content.caps;
  part->n_kept = n;
  for (guint i = 0; i < n; i++)
    add_to_end (end, frame[i].time);
}

/* --- Joining ------------------------------------------------------------- */

/* Lets so many buffers pass. */
static GstPadProbeReturn
count_down (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  guint *n_left = user_data;

  if (*n_left == 0)
    return GST_PAD_PROBE_DROP;
  --*n_left;
  return GST_PAD_PROBE_OK;
}

static gboolean
add_part (GstBin * bin, GstElement * concat, const Part * part,
    GError ** error)
{
  GstElement *in = gst_element_factory_make ("filesrc", NULL);
  GstElement *depay = gst_element_factory_make ("gdpdepay", NULL);
  guint *n_left = g_new (guint, 1);
  GstPad *pad;

  *n_left = part->n_kept;
  g_object_set (in, "location", part->path, NULL);
  gst_bin_add_many (bin, in, depay, NULL);
  pad = gst_element_get_static_pad (depay, "src");
  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count_down, n_left,
      g_free);
  gst_object_unref (pad);
  if (gst_element_link_many (in, depay, concat, NULL))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
      "\"%s\" cannot be read back", part->path);
  return FALSE;
}

GstElement *
parts_new_source (GPtrArray * parts, GError ** error)
{
  GstElement *source = gst_parse_bin_from_description ("concat name=concat "
      "adjust-base=false ! queue max-size-buffers=0 max-size-time=0", TRUE,
      error);
  GstElement *concat;
  gboolean ok = TRUE;

  if (!source)
    return NULL;
  concat = gst_bin_get_by_name (GST_BIN (source), "concat");
  for (guint i = 0; ok && i < parts->len; i++)
    ok = add_part (GST_BIN (source), concat, g_ptr_array_index (parts, i),
        error);
  gst_object_unref (concat);
  if (!ok)
    gst_clear_object (&source);
  return source;
}
