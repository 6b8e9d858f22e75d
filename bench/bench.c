/* How fast the engine is, stage by stage and operator by operator, and the
 * element end to end; whether memory stays constant.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdlib.h>

#include <gst/gst.h>

#include "bench.h"

typedef struct
{
  BenchParams params;
  char *model, *precision;
  char **sizes;
  int n_operators, soak, live;
  gboolean json, no_element, change, tagger;
} Options;

static gboolean
parse_size (const char *text, int *width, int *height)
{
  char rest;

  if (sscanf (text, "%dx%d%c", width, height, &rest) == 2
      && *width >= 16 && *width <= 8192 && *height >= 16 && *height <= 8192)
    return TRUE;
  g_printerr ("bench: size '%s': expected WIDTHxHEIGHT, 16 to 8192 each\n",
      text);
  return FALSE;
}

static gboolean
parse_precision (const char *text, DloralPrecision *precision)
{
  static const char *const names[] = { "auto", "f32", "bf16", "f16", "fp8" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (text, names[i])) {
      *precision = i;
      return TRUE;
    }
  g_printerr ("bench: precision '%s': expected auto, f32, bf16, f16 or fp8\n", text);
  return FALSE;
}

static gboolean
fail (GError *error)
{
  g_printerr ("bench: %s\n", error->message);
  g_error_free (error);
  return FALSE;
}

static gboolean
measure (const Options *o, int width, int height)
{
  BenchElement element;
  GError *error = NULL;
  BenchEngine *engine = bench_engine (&o->params, width, height, &error);

  if (engine == NULL)
    return fail (error);
  if (!o->no_element && !bench_element (&o->params, width, height,
          &(BenchSoak) { 0 }, &element, &error)) {
    bench_engine_free (engine);
    return fail (error);
  }
  (o->json ? bench_print_json : bench_print) (engine,
      o->no_element ? NULL : &element, o->n_operators);
  fflush (stdout);
  bench_engine_free (engine);
  return TRUE;
}

/* Resident memory and latency at the beginning, which is a tenth of the frames
 * or a live stream's first minute, and at the end. */
static gboolean
soak (const Options *o, int width, int height)
{
  BenchParams params = o->params;
  BenchElement e;
  GError *error = NULL;
  int early = CLAMP (o->live ? 60 * o->live : o->soak / 10, 1, o->soak);

  params.frames = o->soak;
  if (!bench_element (&params, width, height,
          &(BenchSoak) {.early = early,.fps = o->live }, &e, &error))
    return fail (error);
  printf (o->json ? "{\"width\": %d, \"height\": %d, \"frames\": %d, "
      "\"fps\": %.2f, \"bypassed\": %" G_GUINT64_FORMAT ", \"early\": %d, "
      "\"rss_early_mib\": %.2f, \"latency_early_ms\": [%.2f, %.2f], "
      "\"rss_late_mib\": %.2f, \"latency_late_ms\": [%.2f, %.2f]}\n" :
      "%dx%d, %d frames at %.1f fps, %" G_GUINT64_FORMAT " bypassed; after %d: "
      "%.2f MiB resident, latency %.2f ms (at most %.2f); at the end: "
      "%.2f MiB, %.2f ms (at most %.2f)\n", width, height, o->soak, e.fps,
      e.bypassed, early, e.rss_early / 1048576., e.latency_early.mean,
      e.latency_early.max, e.rss_late / 1048576., e.latency_late.mean,
      e.latency_late.max);
  return TRUE;
}

static gboolean
change (const Options *o, int width, int height)
{
  BenchChange r;
  GError *error = NULL;

  if (!bench_change (&o->params, width, height, &r, &error))
    return fail (error);
  printf (o->json ? "{\"width\": %d, \"height\": %d, \"frame_ms\": %.2f, "
      "\"mean_before\": %.2f, \"worst_before\": %.2f, \"changes\": %d, "
      "\"mean\": %.2f, \"worst\": %.2f}\n" :
      "%dx%d, a frame takes %.2f ms: due every other, it is there after %.2f "
      "ms, at most %.2f; during %d changes of strength after %.2f, at most "
      "%.2f\n", width, height, r.frame_ms, r.mean_before, r.worst_before,
      r.n_changes, r.mean, r.worst);
  return TRUE;
}

static gboolean
tag (const Options *o)
{
  BenchTagger r;
  GError *error = NULL;

  if (!bench_tagger (&o->params, &r, &error))
    return fail (error);
  printf (o->json ? "{\"tagger\": \"%s\", \"once_s\": [%.2f, %.2f], "
      "\"once_peak_mib\": %.0f, \"once_after_mib\": %.0f, "
      "\"kept_s\": [%.2f, %.2f], \"kept_peak_mib\": %.0f, "
      "\"kept_after_mib\": %.0f}\n" :
      "tagger, %s: %.2f s, again %.2f s; at most %.0f MiB, %.0f MiB after it; "
      "kept: %.2f s, again %.2f s; at most %.0f MiB, %.0f MiB after it\n",
      r.precision, r.once.first, r.once.second, r.once.peak / 1048576.,
      r.once.after / 1048576., r.kept.first, r.kept.second,
      r.kept.peak / 1048576., r.kept.after / 1048576.);
  return TRUE;
}

static gboolean
run (const Options *o)
{
  static char *defaults[] = { "160x90", "320x180", NULL };
  static char *soak_defaults[] = { "64x48", NULL };
  char **sizes = o->sizes ? o->sizes : o->soak ? soak_defaults : defaults;
  gboolean ok = TRUE;

  if (o->tagger)
    return tag (o);
  for (; ok && *sizes; sizes++) {
    int width, height;

    ok = parse_size (*sizes, &width, &height) &&
        (o->change ? change : o->soak ? soak : measure) (o, width, height);
  }
  return ok;
}

int
main (int argc, char **argv)
{
  Options o = {.params.frames = 60,.n_operators = 8 };
  GOptionEntry entries[] = {
    {"model", 0, 0, G_OPTION_ARG_FILENAME, &o.model,
        "model file (the shipped one)", "FILE"},
    {"size", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.sizes,
        "LQ frame size, more than once if wanted (160x90, 320x180)", "WxH"},
    {"precision", 0, 0, G_OPTION_ARG_STRING, &o.precision,
        "auto, f32, bf16, f16 or fp8 (auto)", "NAME"},
    {"threads", 0, 0, G_OPTION_ARG_INT, &o.params.threads,
        "threads, 0 for all cores (0)", "N"},
    {"frames", 0, 0, G_OPTION_ARG_INT, &o.params.frames,
        "frames to measure (60)", "N"},
    {"operators", 0, 0, G_OPTION_ARG_INT, &o.n_operators,
        "how many of the slowest operators to name (8)", "N"},
    {"no-element", 0, 0, G_OPTION_ARG_NONE, &o.no_element,
        "the engine only", NULL},
    {"soak", 0, 0, G_OPTION_ARG_INT, &o.soak,
        "instead: memory and latency over N frames through the element (64x48)",
        "N"},
    {"live", 0, 0, G_OPTION_ARG_INT, &o.live,
        "for --soak: a live source of so many frames a second", "FPS"},
    {"change", 0, 0, G_OPTION_ARG_NONE, &o.change,
        "instead: how late frames are while the strengths change", NULL},
    {"tagger", 0, 0, G_OPTION_ARG_NONE, &o.tagger,
        "instead: seconds and memory that the model file's tagger takes", NULL},
    {"json", 0, 0, G_OPTION_ARG_NONE, &o.json,
        "one JSON object a size", NULL},
    {NULL}
  };
  GOptionContext *context = g_option_context_new (NULL);
  GError *error = NULL;
  gboolean ok;

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_group (context, gst_init_get_option_group ());
  ok = g_option_context_parse (context, &argc, &argv, &error);
  g_option_context_free (context);
  if (!ok) {
    fail (error);
    return EXIT_FAILURE;
  }
  o.params.model = o.model ? o.model : DEFAULT_MODEL;
  o.params.precision_name = o.precision ? o.precision : "auto";
  o.params.frames = MAX (o.params.frames, 2);
  ok = parse_precision (o.params.precision_name, &o.params.precision)
      && run (&o);
  g_free (o.model);
  g_free (o.precision);
  g_strfreev (o.sizes);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
