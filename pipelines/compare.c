/* compare SOURCE [OPTION...]: a split picture, left bicubic, right dloral, in a
 * window or in a file. pipelines/compare is the command that people run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "live.h"
#include "picture.h"
#include "splitview.h"

#include <gio/gio.h>
#include <stdio.h>

#define TEXT "textoverlay shaded-background=true "
#define SPLIT \
  LIVE_QUEUE " ! splitview name=split" \
  " ! " TEXT "halignment=left valignment=top text=bicubic" \
  " ! " TEXT "halignment=right valignment=top text=dloral" \
  " ! " TEXT "halignment=left valignment=bottom name=figures"

/* How often the figures change: as fast as one can read. */
#define FIGURES_US (G_USEC_PER_SEC / 2)

typedef struct
{
  Live live;
  View view;
  char *png, *center;
  double at;                    /* seconds */

  /* Of the thread that draws. */
  GstElement *figures;
  gint64 counted_since;         /* monotonic µs */
  guint n_drawn;                /* since then */

  GstSample *picture;           /* for `png` */
} Compare;

/* --- Figures ------------------------------------------------------------- */

static void
show_figures (Compare * self, double rate)
{
  GString *text = g_string_new (NULL);
  GstStructure *stats;
  guint64 latency = 0, dropped = 0;

  g_object_get (self->live.restore, "stats", &stats, NULL);
  gst_structure_get_uint64 (stats, "latency", &latency);
  gst_structure_get_uint64 (stats, "frames-dropped", &dropped);
  gst_structure_free (stats);
  if (latency > 0)
    g_string_append_printf (text, "latency %.0f ms", latency / 1e6);
  if (rate > 0)
    g_string_append_printf (text, "  %.1f frames/s", rate);
  if (dropped > 0)
    g_string_append_printf (text, "  %" G_GUINT64_FORMAT " dropped", dropped);
  g_object_set (self->figures, "text", text->str, NULL);
  g_string_free (text, TRUE);
}

static GstPadProbeReturn
before_figures (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Compare *self = user_data;
  gint64 now = g_get_monotonic_time ();
  gint64 passed = now - self->counted_since;

  if (self->counted_since == 0)
    show_figures (self, 0);
  else if (passed >= FIGURES_US)
    show_figures (self, (self->n_drawn + 1) * 1e6 / passed);
  else {
    self->n_drawn++;
    return GST_PAD_PROBE_OK;
  }
  self->counted_since = now;
  self->n_drawn = 0;
  return GST_PAD_PROBE_OK;
}

/* --- A picture ----------------------------------------------------------- */

/* The first frame that is late enough. */
static GstPadProbeReturn
take_picture (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Compare *self = user_data;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  g_autoptr (GstEvent) event = NULL;
  g_autoptr (GstCaps) caps = NULL;
  const GstSegment *segment;
  GstClockTime time;

  event = gst_pad_get_sticky_event (pad, GST_EVENT_SEGMENT, 0);
  if (self->picture || !event)
    return GST_PAD_PROBE_OK;
  gst_event_parse_segment (event, &segment);
  time = gst_segment_to_stream_time (segment, GST_FORMAT_TIME,
      GST_BUFFER_PTS (buffer));
  /* Times of files are rounded, to milliseconds at the worst. */
  if (GST_CLOCK_TIME_IS_VALID (time)
      && time + GST_MSECOND / 2 < self->at * GST_SECOND)
    return GST_PAD_PROBE_OK;
  caps = gst_pad_get_current_caps (pad);
  self->picture = gst_sample_new (buffer, caps, NULL, NULL);
  live_quit (&self->live);
  return GST_PAD_PROBE_OK;
}

static gboolean
write_picture (Compare * self, GError ** error)
{
  if (self->picture)
    return picture_write_sample (self->picture, self->png, error);
  if (self->live.interrupted)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "interrupted");
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" ends before %g seconds: give an earlier --at",
        self->live.text, self->at);
  return FALSE;
}

/* --- Running ------------------------------------------------------------- */

static void
watch (Compare * self, const char *element, const char *name,
    GstPadProbeCallback callback)
{
  GstElement *found = gst_bin_get_by_name (GST_BIN (self->live.pipeline),
      element);
  GstPad *pad = gst_element_get_static_pad (found, name);

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, callback, self, NULL);
  gst_object_unref (pad);
  gst_object_unref (found);
}

static void
set_up_view (Compare * self)
{
  GstBin *bin = GST_BIN (self->live.pipeline);
  GstElement *split = gst_bin_get_by_name (bin, "split");
  GstPad *sink = gst_element_get_static_pad (self->live.restore, "sink");

  split_view_set (SPLIT_VIEW (split), &self->view);
  split_view_watch (sink);
  gst_object_unref (sink);
  gst_object_unref (split);
}

static gboolean
parse_view (Compare * self, GError ** error)
{
  View *view = &self->view;
  char end;

  if (view->divider < 0 || view->divider > 1)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "--divider takes a number from 0, the left edge, to 1");
  else if (view->zoom < 1 || view->zoom > SPLIT_VIEW_MAX_ZOOM)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "--zoom takes a number from 1 to %g", SPLIT_VIEW_MAX_ZOOM);
  else if (self->center && sscanf (self->center, "%lf,%lf%c", &view->x,
          &view->y, &end) != 2)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "--center takes two numbers from 0 to 1, as 0.5,0.25");
  else if (self->at < 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "--at takes seconds from the beginning");
  else if (self->png && self->live.out)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "give --png or --out, not both");
  else
    return TRUE;
  return FALSE;
}

static gboolean
parse (Compare * self, int argc, char **argv, GError ** error)
{
  const GOptionEntry entries[] = {
    {"png", 0, 0, G_OPTION_ARG_FILENAME, &self->png, NULL, NULL},
    {"at", 0, 0, G_OPTION_ARG_DOUBLE, &self->at, NULL, NULL},
    {"divider", 0, 0, G_OPTION_ARG_DOUBLE, &self->view.divider, NULL, NULL},
    {"zoom", 0, 0, G_OPTION_ARG_DOUBLE, &self->view.zoom, NULL, NULL},
    {"center", 0, 0, G_OPTION_ARG_STRING, &self->center, NULL, NULL},
    {NULL}
  };

  self->view = (View) { 0.5, 1, 0.5, 0.5 };
  if (!live_parse (&self->live, &argc, &argv, entries, error)
      || !parse_view (self, error))
    return FALSE;
  self->live.text = argc > 1 ? argv[1] : "test";
  self->live.drop = self->live.repeat = !self->png && !self->live.out;
  self->live.start = self->png ? self->at : 0;
  return TRUE;
}

static gboolean
build (Compare * self, GError ** error)
{
  if (!live_build (&self->live, SPLIT " ! " LIVE_QUEUE,
          self->png ? "fakesink name=picture" : NULL, error))
    return FALSE;
  self->figures = gst_bin_get_by_name (GST_BIN (self->live.pipeline),
      "figures");
  watch (self, "figures", "video_sink", before_figures);
  if (self->png)
    watch (self, "picture", "sink", take_picture);
  set_up_view (self);
  return TRUE;
}

static gboolean
compare (Compare * self, int argc, char **argv, GError ** error)
{
  return parse (self, argc, argv, error)
      && build (self, error)
      && live_run (&self->live, error)
      && (!self->png || write_picture (self, error));
}

static void
compare_clear (Compare * self)
{
  gst_clear_object (&self->figures);
  g_clear_pointer (&self->picture, gst_sample_unref);
  live_clear (&self->live);
  g_free (self->png);
  g_free (self->center);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Compare self = { 0 };
  gboolean ok;

  live_init ();
  split_view_register ();
  ok = compare (&self, argc, argv, &error);
  compare_clear (&self);
  if (!ok)
    fprintf (stderr, "compare: %s\n", error->message);
  return ok ? 0 : 1;
}
