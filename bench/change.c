/* Whether frames are late when the strengths change: frames come at half the rate
 * that could be computed, first in peace, then while another thread changes the
 * strengths every few frames.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "bench.h"

typedef struct
{
  DloralStream *stream;
  int n_changes;                /* made; atomic */
  int stopping;                 /* atomic */
  gint64 pause;                 /* µs between changes */
  GError *error;
} Changer;

static gpointer
change (gpointer data)
{
  Changer *c = data;

  while (!g_atomic_int_get (&c->stopping) && c->error == NULL) {
    DloralConditions conditions = { NULL, 1, c->n_changes % 2 ? 1 : 0.5 };

    if (dloral_stream_set_conditions (c->stream, &conditions, &c->error))
      g_atomic_int_inc (&c->n_changes);
    g_usleep (c->pause);
  }
  return NULL;
}

/* Submits `n` frames, one every `period` µs; `ms` [n] gets how long each took
 * from when it was due. */
static gboolean
pace (DloralStream *stream, int n, gint64 period, double *ms, GError **error)
{
  gint64 due = g_get_monotonic_time ();

  for (int i = 0; i < n; i++, due += period) {
    gint64 early = due - g_get_monotonic_time ();
    DloralFrame *frame;

    if (early > 0)
      g_usleep (early);
    frame = dloral_stream_acquire (stream);
    memset (frame->lq, 40 + i % 100, frame->lq_stride);
    dloral_stream_submit (stream, frame);
    frame = dloral_stream_collect (stream, TRUE);
    ms[i] = (g_get_monotonic_time () - due) / 1e3;
    if (frame->error) {
      g_propagate_error (error, g_steal_pointer (&frame->error));
      dloral_stream_release (stream, frame);
      return FALSE;
    }
    dloral_stream_release (stream, frame);
  }
  return TRUE;
}

static double
get_largest (const double *x, int n)
{
  double largest = 0;

  for (int i = 0; i < n; i++)
    largest = MAX (largest, x[i]);
  return largest;
}

static double
get_mean (const double *x, int n)
{
  double sum = 0;

  for (int i = 0; i < n; i++)
    sum += x[i];
  return sum / n;
}

static gboolean
measure (DloralStream *stream, int n, BenchChange *r, GError **error)
{
  g_autofree double *ms = g_new (double, n);
  Changer changer = {.stream = stream };
  gint64 period;
  GThread *thread;
  gboolean ok;

  if (!pace (stream, n, 0, ms, error) || !pace (stream, n, 0, ms, error))
    return FALSE;
  /* Due all at once, the last one waited for all. */
  r->frame_ms = ms[n - 1] / n;
  period = 2000 * r->frame_ms;
  changer.pause = 5 * period;
  if (!pace (stream, n, period, ms, error))
    return FALSE;
  r->mean_before = get_mean (ms, n);
  r->worst_before = get_largest (ms, n);
  thread = g_thread_new ("change", change, &changer);
  ok = pace (stream, n, period, ms, error);
  g_atomic_int_set (&changer.stopping, TRUE);
  g_thread_join (thread);
  r->n_changes = changer.n_changes;
  r->mean = get_mean (ms, n);
  r->worst = get_largest (ms, n);
  if (changer.error)
    g_propagate_error (ok ? error : NULL, changer.error);
  return ok && changer.error == NULL;
}

gboolean
bench_change (const BenchParams *p, int width, int height, BenchChange *result,
    GError **error)
{
  DloralModelParams model_params = {.path = p->model,
    .precision = p->precision,.threads = p->threads
  };
  DloralStreamParams stream_params = {.width = width,.height = height,
    .async_depth = 1, DLORAL_STREAM_DEFAULTS
  };
  DloralModel *model = dloral_model_open (&model_params, error);
  DloralStream *stream = model ?
      dloral_stream_new (model, &stream_params, error) : NULL;
  gboolean ok = stream && measure (stream, p->frames, result, error);

  if (stream)
    dloral_stream_free (stream);
  if (model)
    dloral_model_unref (model);
  return ok;
}
