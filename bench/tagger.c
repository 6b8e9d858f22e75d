/* How long the tagger takes to look at a frame, and how much memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"

#define WIDTH 320
#define HEIGHT 180

/* From here on the most is counted anew. */
static void
forget_peak (void)
{
  FILE *file = fopen ("/proc/self/clear_refs", "w");

  if (file == NULL)
    return;
  fputs ("5", file);
  fclose (file);
}

/* Seconds, or a negative number and `error`. */
static double
look (DloralTagger *tagger, GError **error)
{
  DloralVideoFormat format;
  g_autofree guint8 *frame = g_malloc (3 * WIDTH * HEIGHT);
  g_autofree char *tags = NULL;
  gint64 before;

  dloral_video_format_init_rgb (&format, WIDTH, HEIGHT, FALSE);
  bench_draw (frame, 3 * WIDTH, WIDTH, HEIGHT, 0);
  before = g_get_monotonic_time ();
  tags = dloral_tagger_run (tagger, &format, frame, NULL, error);
  return tags ? (g_get_monotonic_time () - before) / 1e6 : -1;
}

static gboolean
measure (DloralModel *model, gboolean keep, BenchTaggerRun *run,
    GError **error)
{
  gsize resident = bench_read_memory ("VmRSS:");
  DloralTagger *tagger = dloral_tagger_new (model, NULL, keep, NULL, error);
  gboolean ok;

  if (tagger == NULL)
    return FALSE;
  forget_peak ();
  run->first = look (tagger, error);
  run->peak = bench_read_memory ("VmHWM:") - resident;
  run->after = bench_read_memory ("VmRSS:") - resident;
  ok = run->first >= 0;
  if (ok)
    ok = (run->second = look (tagger, error)) >= 0;
  dloral_tagger_free (tagger);
  return ok;
}

gboolean
bench_tagger (const BenchParams *params, BenchTagger *result, GError **error)
{
  DloralModel *model = dloral_model_open (&(DloralModelParams) {
      .path = params->model, .precision = params->precision,
      .threads = params->threads, .cuda_device_id = -1 }, error);
  gboolean ok;

  if (model == NULL)
    return FALSE;
  result->precision = dloral_model_get_precision_name (model);
  ok = measure (model, FALSE, &result->once, error)
      && measure (model, TRUE, &result->kept, error);
  dloral_model_unref (model);
  return ok;
}
