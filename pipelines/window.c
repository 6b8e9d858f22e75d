/* The part of a file that is worked on, see window.h.
 *
 * Unless there is a jump, what comes before the part is read and decoded all
 * the same: no demuxer's seek is exact in every container. One that goes too far
 * is told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "window.h"
#include "chapters.h"

typedef struct
{
  Window *window;
  GstPad *pad;
  WindowKind kind;
  GstSegment segment;           /* the one that came */
  gboolean ended;               /* under the window's lock */
  guint64 n_seen;               /* since the jump */
} Watch;

/* --- The end ------------------------------------------------------------- */

/* The end of the part is the end of the stream, for what comes next; not for
 * the pad, which may still get tags. */
static void
end_one (Watch * self)
{
  GstPad *peer;
  gboolean ended;

  g_mutex_lock (&self->window->lock);
  ended = self->ended;
  self->ended = TRUE;
  g_mutex_unlock (&self->window->lock);
  if (ended || !(peer = gst_pad_get_peer (self->pad)))
    return;
  gst_pad_send_event (peer, gst_event_new_eos ());
  gst_object_unref (peer);
}

/* Subtitles may be far apart: they end with the video, not with the first that
 * comes too late. */
static void
end (Watch * self)
{
  Window *window = self->window;
  g_autoptr (GPtrArray) others = NULL;

  end_one (self);
  if (self->kind != WINDOW_VIDEO)
    return;
  g_mutex_lock (&window->lock);
  others = g_ptr_array_copy (window->subtitles, NULL, NULL);
  g_mutex_unlock (&window->lock);
  for (guint i = 0; i < others->len; i++)
    end_one (g_ptr_array_index (others, i));
}

static gboolean
has_ended (Watch * self)
{
  gboolean ended;

  g_mutex_lock (&self->window->lock);
  ended = self->ended;
  g_mutex_unlock (&self->window->lock);
  return ended;
}

/* The first frame after a jump has to be one that is not wanted yet, or the
 * first that is. */
static gboolean
has_overshot (Watch * self, GstClockTime time)
{
  Window *window = self->window;

  if (!window->jump || self->kind != WINDOW_VIDEO || self->n_seen++ > 0
      || time <= window->start + window->skip)
    return FALSE;
  g_atomic_int_set (&window->overshot, 1);
  return TRUE;
}

static gboolean
is_too_late (const Window * window, GstClockTime time)
{
  return time >= window->stop || g_atomic_int_get (&window->closed);
}

static GstPadProbeReturn
hold (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  return GST_PAD_PROBE_OK;
}

/* Whatever comes has to wait. */
static gulong
block (GstPad * pad)
{
  return gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BLOCK_DOWNSTREAM, hold,
      NULL, NULL);
}

/* Tells upstream that no more is wanted. av1dec takes that for a failure, so
 * decoders have to wait until all is over. */
static GstPadProbeReturn
refuse (Watch * self, GstPadProbeInfo * info)
{
  if (self->kind == WINDOW_VIDEO) {
    block (self->pad);
    return GST_PAD_PROBE_DROP;
  }
  gst_buffer_unref (GST_PAD_PROBE_INFO_BUFFER (info));
  GST_PAD_PROBE_INFO_FLOW_RETURN (info) = GST_FLOW_EOS;
  return GST_PAD_PROBE_HANDLED;
}

/* --- What passes --------------------------------------------------------- */

static void
move (const Watch * self, GstBuffer * buffer, GstClockTime time,
    GstClockTime late)
{
  const Window *window = self->window;
  GstClockTime dts = gst_segment_to_running_time (&self->segment,
      GST_FORMAT_TIME, GST_BUFFER_DTS (buffer));

  if (GST_BUFFER_DURATION_IS_VALID (buffer)) {
    GST_BUFFER_DURATION (buffer) -= late;
    if (self->kind == WINDOW_SUBTITLES)
      GST_BUFFER_DURATION (buffer) = MIN (GST_BUFFER_DURATION (buffer),
          window->stop - time - late);
  }
  GST_BUFFER_PTS (buffer) = time + late - window->start;
  GST_BUFFER_DTS (buffer) = GST_CLOCK_TIME_IS_VALID (dts)
      && dts >= window->start ? dts - window->start : GST_CLOCK_TIME_NONE;
}

static GstPadProbeReturn
on_buffer (Watch * self, GstPadProbeInfo * info)
{
  const Window *window = self->window;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  GstClockTime time, late = 0;

  if (self->segment.format != GST_FORMAT_TIME
      || !GST_BUFFER_PTS_IS_VALID (buffer))
    return GST_PAD_PROBE_OK;
  time = gst_segment_to_running_time (&self->segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (buffer));
  if (!GST_CLOCK_TIME_IS_VALID (time))
    return GST_PAD_PROBE_DROP;
  if (is_too_late (window, time) || has_overshot (self, time)) {
    end (self);
    return refuse (self, info);
  }
  if (self->kind == WINDOW_VIDEO && time < window->start + window->skip)
    return GST_PAD_PROBE_DROP;
  if (time < window->start) {
    late = window->start - time;
    if (self->kind != WINDOW_SUBTITLES || !GST_BUFFER_DURATION_IS_VALID (buffer)
        || GST_BUFFER_DURATION (buffer) <= late)
      return GST_PAD_PROBE_DROP;
  }
  buffer = gst_buffer_make_writable (buffer);
  move (self, buffer, time, late);
  GST_PAD_PROBE_INFO_DATA (info) = buffer;
  return GST_PAD_PROBE_OK;
}

/* A stream in which nothing is said for a while. */
static GstPadProbeReturn
on_gap (Watch * self, GstPadProbeInfo * info)
{
  const Window *window = self->window;
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstClockTime time, duration;

  gst_event_parse_gap (event, &time, &duration);
  time = gst_segment_to_running_time (&self->segment, GST_FORMAT_TIME, time);
  if (!GST_CLOCK_TIME_IS_VALID (time) || time < window->start)
    return GST_PAD_PROBE_DROP;
  if (is_too_late (window, time)) {
    end (self);
    return GST_PAD_PROBE_DROP;
  }
  gst_event_unref (event);
  GST_PAD_PROBE_INFO_DATA (info) = gst_event_new_gap (time - window->start,
      duration);
  return GST_PAD_PROBE_OK;
}

/* After a jump running time would count from there. */
static void
undo_jump (GstSegment * segment, GstClockTimeDiff offset)
{
  gst_segment_init (segment, GST_FORMAT_TIME);
  segment->start = MAX (-offset, 0);
  segment->base = MAX (offset, 0);
}

static void
on_segment (Watch * self, GstPadProbeInfo * info)
{
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  GstSegment segment;
  GstEvent *plain;

  gst_event_copy_segment (event, &self->segment);
  if (self->segment.format != GST_FORMAT_TIME)
    return;
  if (self->window->jump)
    undo_jump (&self->segment, self->window->jump->offset);
  gst_segment_init (&segment, GST_FORMAT_TIME);
  plain = gst_event_new_segment (&segment);
  gst_event_set_seqnum (plain, gst_event_get_seqnum (event));
  gst_event_unref (event);
  GST_PAD_PROBE_INFO_DATA (info) = plain;
}

static void
on_toc (const Watch * self, GstPadProbeInfo * info)
{
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT (info);
  gboolean updated;
  GstToc *toc, *cut;

  gst_event_parse_toc (event, &toc, &updated);
  cut = chapters_cut (toc, self->window->start, self->window->stop);
  GST_PAD_PROBE_INFO_DATA (info) = gst_event_new_toc (cut, updated);
  gst_toc_unref (cut);
  gst_toc_unref (toc);
  gst_event_unref (event);
}

static GstPadProbeReturn
on_data (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Watch *self = user_data;

  if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
    return has_ended (self) ? refuse (self, info) : on_buffer (self, info);
  if (has_ended (self))
    return GST_PAD_PROBE_DROP;
  switch (GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info))) {
    case GST_EVENT_SEGMENT:
      on_segment (self, info);
      return GST_PAD_PROBE_OK;
    case GST_EVENT_TOC:
      on_toc (self, info);
      return GST_PAD_PROBE_OK;
    case GST_EVENT_GAP:
      return on_gap (self, info);
    default:
      return GST_PAD_PROBE_OK;
  }
}

/* --- The window ---------------------------------------------------------- */

void
window_init (Window * self, GstClockTime start, GstClockTime stop,
    GstClockTime skip, const WindowJump * jump)
{
  *self = (Window) {.start = start, .stop = stop, .skip = skip,.jump = jump };
  g_mutex_init (&self->lock);
  self->subtitles = g_ptr_array_new ();
}

void
window_clear (Window * self)
{
  g_ptr_array_unref (self->subtitles);
  g_mutex_clear (&self->lock);
}

void
window_watch (Window * self, GstPad * pad, WindowKind kind)
{
  Watch *watch = g_new0 (Watch, 1);

  watch->window = self;
  watch->pad = pad;
  watch->kind = kind;
  gst_segment_init (&watch->segment, GST_FORMAT_UNDEFINED);
  if (kind == WINDOW_SUBTITLES) {
    g_mutex_lock (&self->lock);
    g_ptr_array_add (self->subtitles, watch);
    g_mutex_unlock (&self->lock);
  }
  gst_pad_add_probe (pad,
      GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_data,
      watch, g_free);
  if (kind == WINDOW_VIDEO && self->jump)
    self->block = block (pad);
}

/* What comes next is to know nothing of it. */
static GstPadProbeReturn
drop (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  return GST_PAD_PROBE_DROP;
}

gboolean
window_jump (Window * self, GstPad * pad)
{
  gulong flush = gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_EVENT_FLUSH, drop,
      NULL, NULL);
  gboolean ok = gst_pad_send_event (pad, gst_event_new_seek (1,
          GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_KEY_UNIT
          | GST_SEEK_FLAG_SNAP_BEFORE, GST_SEEK_TYPE_SET, self->jump->key,
          GST_SEEK_TYPE_NONE, 0));

  gst_pad_remove_probe (pad, flush);
  gst_pad_remove_probe (pad, self->block);
  return ok;
}

void
window_close (Window * self)
{
  g_atomic_int_set (&self->closed, 1);
}
