/* How fast the engine is on a GPU: the first start, frames one at a time and in
 * flight, stages, operators, memory. One size and setting a run, so that a start is
 * a process's first; prints a JSON object. bench/gpu runs it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cuda/driver.h"

#define PICTURES 8              /* drawn beforehand, that frames are copied from */
#define WARM_UP 8
#define OPERATORS 10

typedef struct
{
  char *model, *size, *vae, *precision;
  int frames, depth;
  gboolean tune;
} Options;

typedef struct
{
  int width, height;            /* LQ */
  guint8 *pictures;             /* [PICTURES][height][width][3] */
  DloralModel *model;
  DloralStreamParams params;
  int plain;                    /* frames whose result was not a number */
} Bench;

/* --- Frames ------------------------------------------------------------------------- */

static void
submit (Bench *bench, DloralStream *stream, int t)
{
  DloralFrame *frame = dloral_stream_acquire (stream);
  gsize row = 3 * bench->width;
  const guint8 *picture =
      bench->pictures + (t % PICTURES) * row * bench->height;

  for (int y = 0; y < bench->height; y++)
    memcpy (frame->lq + y * frame->lq_stride, picture + y * row, row);
  dloral_stream_submit (stream, frame);
}

static gboolean
collect (Bench *bench, DloralStream *stream, GError **error)
{
  DloralFrame *frame = dloral_stream_collect (stream, TRUE);
  gboolean ok = frame->error == NULL;

  if (!ok)
    g_propagate_error (error, g_steal_pointer (&frame->error));
  bench->plain += frame->plain;
  dloral_stream_release (stream, frame);
  return ok;
}

/* Keeps `depth` frames in flight. After the warm-up, seconds from submit to collect
 * go to `latency`, from one collect to the next to `interval` [frames]. */
static gboolean
run (Bench *bench, DloralStream *stream, int depth, int frames,
    double *latency, double *interval, GError **error)
{
  int all = WARM_UP + frames;
  g_autofree gint64 *submitted = g_new (gint64, all);
  gint64 before = 0, now = 0;

  for (int in = 0, out = 0; out < all; out++) {
    for (; in < all && in - out < MAX (depth, 1); in++) {
      submitted[in] = g_get_monotonic_time ();
      submit (bench, stream, in);
    }
    if (!collect (bench, stream, error))
      return FALSE;
    now = g_get_monotonic_time ();
    if (out >= WARM_UP) {
      latency[out - WARM_UP] = (now - submitted[out]) * 1e-6;
      interval[out - WARM_UP] = (now - before) * 1e-6;
    }
    before = now;
  }
  return TRUE;
}

/* --- Results ------------------------------------------------------------------------ */

static void
add_number (JsonBuilder *b, const char *name, double value)
{
  json_builder_set_member_name (b, name);
  json_builder_add_double_value (b, value);
}

/* Median and p99, in ms, of seconds [n], which this sorts. */
static void
add_spread (JsonBuilder *b, const char *name, double *seconds, int n)
{
  g_autofree char *p99 = g_strconcat (name, "_p99_ms", NULL);
  g_autofree char *median = g_strconcat (name, "_ms", NULL);

  add_number (b, median, 1e3 * bench_median (seconds, n));
  add_number (b, p99, 1e3 * seconds[(int) ceil (.99 * n) - 1]);
}

static gboolean
measure_flight (Bench *bench, DloralStream *stream, int frames, JsonBuilder *b,
    GError **error)
{
  int depth = bench->params.async_depth;
  g_autofree double *latency = g_new (double, frames);
  g_autofree double *interval = g_new (double, frames);
  g_autofree char *name = g_strdup_printf ("depth_%d", depth);
  double seconds = 0;

  if (!run (bench, stream, depth, frames, latency, interval, error))
    return FALSE;
  for (int i = 0; i < frames; i++)
    seconds += interval[i];
  json_builder_set_member_name (b, name);
  json_builder_begin_object (b);
  add_number (b, "fps", frames / seconds);
  add_spread (b, "latency", latency, frames);
  add_spread (b, "interval", interval, frames);
  json_builder_end_object (b);
  return TRUE;
}

/* Device memory in use, by everyone. */
static gboolean
measure_memory (JsonBuilder *b, GError **error)
{
  const DloralDriver *driver = dloral_driver_get (error);
  CUcontext context;
  gsize unused = 0, total = 0;
  gboolean ok;

  if (driver == NULL || !DLORAL_DRIVER_CALL (driver, error,
          cuDevicePrimaryCtxRetain, &context, 0))
    return FALSE;
  ok = DLORAL_DRIVER_CALL (driver, error, cuCtxPushCurrent, context)
      && DLORAL_DRIVER_CALL (driver, error, cuMemGetInfo, &unused, &total)
      && DLORAL_DRIVER_CALL (driver, error, cuCtxPopCurrent, &context);
  driver->cuDevicePrimaryCtxRelease (0);
  add_number (b, "device_memory", total - unused);
  return ok;
}

/* Until the first frame is there. */
static DloralStream *
measure_start (Bench *bench, const DloralModelParams *params, JsonBuilder *b,
    GError **error)
{
  gint64 begin = g_get_monotonic_time (), opened, built;
  DloralStream *stream;

  bench->model = dloral_model_open (params, error);
  if (bench->model == NULL)
    return NULL;
  opened = g_get_monotonic_time ();
  stream = dloral_stream_new (bench->model, &bench->params, error);
  if (stream == NULL)
    return NULL;
  built = g_get_monotonic_time ();
  submit (bench, stream, 0);
  if (!collect (bench, stream, error)) {
    dloral_stream_free (stream);
    return NULL;
  }
  add_number (b, "open_s", (opened - begin) * 1e-6);
  add_number (b, "build_s", (built - opened) * 1e-6);
  add_number (b, "first_frame_s", (g_get_monotonic_time () - built) * 1e-6);
  return stream;
}

/* One frame at a time: latency, stages, operators. */
static gboolean
measure_single (Bench *bench, DloralStream *stream, int frames, JsonBuilder *b,
    GError **error)
{
  BenchEngine *engine;

  if (!measure_flight (bench, stream, frames, b, error))
    return FALSE;
  engine = bench_stream (bench->model, stream, bench->width, bench->height,
      frames, error);
  if (engine == NULL)
    return FALSE;
  bench_add_json (b, engine, OPERATORS);
  bench_engine_free (engine);
  return TRUE;
}

static gboolean
measure (Bench *bench, const Options *o, const DloralModelParams *params,
    JsonBuilder *b, GError **error)
{
  DloralStream *stream = measure_start (bench, params, b, error);
  gboolean ok = stream != NULL;

  if (ok && o->frames > 0) {
    ok = measure_single (bench, stream, o->frames, b, error);
    g_clear_pointer (&stream, dloral_stream_free);
    bench->params.async_depth = o->depth;
    if (ok)
      stream = dloral_stream_new (bench->model, &bench->params, error);
    ok = stream && measure_flight (bench, stream, o->frames, b, error);
  }
  ok = ok && measure_memory (b, error);
  add_number (b, "plain", bench->plain);
  g_clear_pointer (&stream, dloral_stream_free);
  return ok;
}

/* --- The program -------------------------------------------------------------------- */

static gboolean
read_options (const Options *o, Bench *bench, DloralModelParams *params)
{
  static const char *const precisions[] = { "auto", "f32", "bf16", "f16", "fp8",
    NULL };
  char rest;
  int precision = 0;

  while (precisions[precision] && g_strcmp0 (precisions[precision],
          o->precision ? o->precision : "auto") != 0)
    precision++;
  if (o->model == NULL || o->size == NULL || precisions[precision] == NULL
      || sscanf (o->size, "%dx%d%c", &bench->width, &bench->height, &rest) != 2)
    return FALSE;
  *params = (DloralModelParams) {.path = o->model,.device = DLORAL_DEVICE_CUDA,
    .precision = precision,.cuda_device_id = -1,.tune = o->tune
  };
  bench->params = (DloralStreamParams) {.width = bench->width,
    .height = bench->height,.vae = g_strcmp0 (o->vae, "tiny") == 0 ?
        DLORAL_VAE_TINY : DLORAL_VAE_FULL, DLORAL_STREAM_DEFAULTS
  };
  return TRUE;
}

static gboolean
bench_gpu (const Options *o, GError **error)
{
  g_autoptr (JsonBuilder) b = json_builder_new ();
  g_autofree char *text = NULL;
  DloralModelParams params;
  Bench bench = { 0 };
  gsize size;
  gboolean ok;
  JsonNode *root;

  if (!read_options (o, &bench, &params)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT, "--model FILE and "
        "--size WIDTHxHEIGHT are needed; --help lists the rest");
    return FALSE;
  }
  size = 3 * (gsize) bench.width * bench.height;
  bench.pictures = g_malloc (PICTURES * size);
  for (int t = 0; t < PICTURES; t++)
    bench_draw (bench.pictures + t * size, 3 * bench.width, bench.width,
        bench.height, t);
  json_builder_begin_object (b);
  ok = measure (&bench, o, &params, b, error);
  json_builder_end_object (b);
  if (ok) {
    root = json_builder_get_root (b);
    text = json_to_string (root, FALSE);
    printf ("%s\n", text);
    json_node_unref (root);
  }
  g_clear_pointer (&bench.model, dloral_model_unref);
  g_free (bench.pictures);
  return ok;
}

int
main (int argc, char **argv)
{
  Options o = {.frames = 100,.depth = 3 };
  GOptionEntry entries[] = {
    {"model", 0, 0, G_OPTION_ARG_FILENAME, &o.model, "model file", "FILE"},
    {"size", 0, 0, G_OPTION_ARG_STRING, &o.size, "LQ frame size", "WxH"},
    {"vae", 0, 0, G_OPTION_ARG_STRING, &o.vae, "full or tiny (full)", "NAME"},
    {"precision", 0, 0, G_OPTION_ARG_STRING, &o.precision,
        "auto, f32, bf16, f16 or fp8 (auto)", "NAME"},
    {"depth", 0, 0, G_OPTION_ARG_INT, &o.depth,
        "frames in flight, after one at a time (3)", "N"},
    {"frames", 0, 0, G_OPTION_ARG_INT, &o.frames,
        "frames to measure, 0: only the start (100)", "N"},
    {"tune", 0, 0, G_OPTION_ARG_NONE, &o.tune,
        "choose implementations by timing them", NULL},
    {NULL}
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error)
      || !bench_gpu (&o, &error))
    g_printerr ("bench-gpu: %s\n", error->message);
  g_free (o.model);
  g_free (o.size);
  g_free (o.vae);
  g_free (o.precision);
  return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
