/* Speed and memory of the element: a test source, the element, no display.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <gst/gst.h>

#include "bench.h"

/* Output frames before the clock starts: the model loads, buffers fill. */
#define WARM_UP 8

typedef struct
{
  GstElement *dloral;
  BenchSoak soak;
  int frames, last;             /* so far, and in all */
  gint64 started, ended;        /* microseconds */
  gsize rss_early, rss_late;
  BenchLatency latency_early, latency_late;
  guint64 bypassed;
} Counter;

static void
note (BenchLatency *latency, const GstStructure *stats, int n)
{
  guint64 ns = 0;

  gst_structure_get_uint64 (stats, "latency", &ns);
  latency->mean += ns * 1e-6 / n;
  latency->max = MAX (latency->max, ns * 1e-6);
}

/* Of the first frames and of the last ones. */
static void
note_stats (Counter *c)
{
  int n = c->soak.early;
  GstStructure *stats;

  if (c->frames > n && c->frames <= c->last - n)
    return;
  g_object_get (c->dloral, "stats", &stats, NULL);
  if (c->frames <= n)
    note (&c->latency_early, stats, n);
  if (c->frames > c->last - n)
    note (&c->latency_late, stats, n);
  gst_structure_get_uint64 (stats, "frames-bypassed", &c->bypassed);
  gst_structure_free (stats);
}

/* Called for every output frame, in the order of frames. */
static GstPadProbeReturn
count (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Counter *c = data;

  c->frames++;
  c->ended = g_get_monotonic_time ();
  if (c->frames == WARM_UP)
    c->started = c->ended;
  if (c->soak.early)
    note_stats (c);
  if (c->frames == c->soak.early)
    c->rss_early = bench_read_memory ("VmRSS:");
  return GST_PAD_PROBE_OK;
}

static gboolean
play (GstElement *pipeline, GError **error)
{
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *message;
  gboolean ok;

  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  ok = GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS;
  if (!ok)
    gst_message_parse_error (message, error, NULL);
  gst_message_unref (message);
  gst_object_unref (bus);
  return ok;
}

static GstElement *
make_pipeline (const BenchParams *p, int width, int height, int fps,
    GError **error)
{
  g_autofree char *description = g_strdup_printf ("videotestsrc "
      "num-buffers=%d horizontal-speed=2 is-live=%d ! "
      "video/x-raw,format=I420,width=%d,height=%d,framerate=%d/1 ! "
      "dloral name=dloral model=\"%s\" precision=%s threads=%d overload=%s ! "
      "fakesink name=sink sync=false", p->frames + WARM_UP, fps > 0, width,
      height, fps > 0 ? fps : 30, p->model, p->precision_name, p->threads,
      fps > 0 ? "bypass" : "block");
  GstElement *pipeline;

  if (!gst_registry_scan_path (gst_registry_get (), PLUGIN_DIR)
      && !gst_registry_check_feature_version (gst_registry_get (), "dloral",
          0, 0, 0)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_NOT_FOUND,
        "%s holds no plugin: build it first", PLUGIN_DIR);
    return NULL;
  }
  pipeline = gst_parse_launch (description, error);
  if (pipeline && *error)
    g_clear_pointer (&pipeline, gst_object_unref);
  return pipeline;
}

gboolean
bench_element (const BenchParams *p, int width, int height,
    const BenchSoak *soak, BenchElement *result, GError **error)
{
  Counter c = {.soak = *soak,.last = p->frames + WARM_UP };
  GError *problem = NULL;
  GstElement *pipeline = make_pipeline (p, width, height, soak->fps, &problem);
  GstElement *sink;
  GstPad *pad;

  if (pipeline) {
    c.dloral = gst_bin_get_by_name (GST_BIN (pipeline), "dloral");
    sink = gst_bin_get_by_name (GST_BIN (pipeline), "sink");
    pad = gst_element_get_static_pad (sink, "sink");
    gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, count, &c, NULL);
    play (pipeline, &problem);
    c.rss_late = bench_read_memory ("VmRSS:");
    gst_element_set_state (pipeline, GST_STATE_NULL);
    gst_object_unref (pad);
    gst_object_unref (sink);
    gst_object_unref (c.dloral);
    gst_object_unref (pipeline);
  }
  if (problem) {
    g_propagate_error (error, problem);
    return FALSE;
  }
  result->fps = (c.frames - WARM_UP) * 1e6 / (c.ended - c.started);
  result->rss_early = c.rss_early;
  result->rss_late = c.rss_late;
  result->latency_early = c.latency_early;
  result->latency_late = c.latency_late;
  result->bypassed = c.bypassed;
  return TRUE;
}
