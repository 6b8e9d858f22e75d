/* Times of the engine: stages without profiling, then operators with it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "bench.h"
#include "engine/stream.h"

#define WARM_UP 4

void
bench_draw (guint8 *rgb, gsize stride, int width, int height, int t)
{
  for (int y = 0; y < height; y++)
    for (int x = 0; x < 3 * width; x++)
      rgb[y * stride + x] = 128 + 90 * sin (.05 * x + .2 * y + .3 * t);
}

/* One frame; its stages' times go to ns. */
static gboolean
run_frame (DloralStream *stream, int width, int height, int t, gint64 *ns,
    GError **error)
{
  DloralFrame *frame = dloral_stream_acquire (stream);
  gboolean ok;

  bench_draw (frame->lq, frame->lq_stride, width, height, t);
  dloral_stream_submit (stream, frame);
  frame = dloral_stream_collect (stream, TRUE);
  memcpy (ns, frame->stage_ns, sizeof frame->stage_ns);
  ok = frame->error == NULL;
  if (!ok)
    g_propagate_error (error, g_steal_pointer (&frame->error));
  dloral_stream_release (stream, frame);
  return ok;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

double
bench_median (double *x, int n)
{
  qsort (x, n, sizeof *x, compare_doubles);
  return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Medians over the frames; the frame's is the median of the sums. */
static gboolean
time_stages (BenchEngine *r, DloralStream *stream, int frames, GError **error)
{
  g_autofree double *ms = g_new0 (double, (DLORAL_N_STAGES + 1) * frames);
  double *sums = ms + DLORAL_N_STAGES * frames;
  gint64 ns[DLORAL_N_STAGES];

  for (int t = -WARM_UP; t < frames; t++) {
    if (!run_frame (stream, r->width, r->height, t, ns, error))
      return FALSE;
    for (int s = 0; t >= 0 && s < DLORAL_N_STAGES; s++) {
      ms[s * frames + t] = ns[s] / 1e6;
      sums[t] += ns[s] / 1e6;
    }
  }
  for (int s = 0; s < DLORAL_N_STAGES; s++)
    r->stages[s].ms = bench_median (ms + s * frames, frames);
  r->frame.ms = bench_median (sums, frames);
  return TRUE;
}

static char *
describe (const DloralGraph *g, const DloralOp *op)
{
  const DloralTensor *x = op->src[0], *y = op->dst;
  g_autofree char *kernel = op->kind != DLORAL_OP_CONV ? NULL :
      g_strdup_printf (" %dx%d", op->weight->kh, op->weight->kw);

  return g_strdup_printf ("%s %s%s %s %dx%dx%d -> %dx%dx%d", g->name,
      dloral_op_kind_get_name (op->kind), kernel ? kernel : "",
      op->scope ? op->scope : "", x->w, x->h, x->c, y->w, y->h, y->c);
}

/* In the graph's type, as most are packed. */
static double
get_weight_bytes (const DloralGraph *g, const DloralWeight *weight)
{
  return weight ? (double) dloral_weight_get_length (weight)
      * dloral_dtype_size (g->act_dtype) : 0;
}

static double
get_bytes (const DloralGraph *g, const DloralOp *op)
{
  double bytes = dloral_tensor_get_size (op->dst);

  for (int i = 0; i < op->n_src; i++)
    bytes += dloral_tensor_get_size (op->src[i]);
  return bytes + get_weight_bytes (g, op->weight)
      + get_weight_bytes (g, op->bias);
}

static int
compare_operators (gconstpointer a, gconstpointer b)
{
  return compare_doubles (&((const BenchOperator *) b)->ms,
      &((const BenchOperator *) a)->ms);
}

/* Adds a stage's operators, and what they say about the stage. */
static void
add_operators (BenchEngine *r, const DloralGraph *g, const DloralOpTime *times,
    int frames, BenchStage *stage)
{
  double all = 0, outside = 0;

  for (guint i = 0; i < g->ops->len; i++) {
    const DloralOp *op = g->ops->pdata[i];
    BenchOperator o = {.name = describe (g, op),
      .ms = times[i].seconds / frames * 1e3,
      .flop = dloral_op_get_flops (op),.bytes = get_bytes (g, op),
      .library = times[i].library
    };

    g_array_append_val (r->operators, o);
    all += o.ms;
    outside += o.library ? 0 : o.ms;
    stage->flop += o.flop;
    r->frame.flop += o.flop;
  }
  stage->outside = outside / all;
  r->frame.outside += outside;
}

static gboolean
time_operators (BenchEngine *r, DloralStream *stream, int frames,
    GError **error)
{
  const DloralOpTime *times[DLORAL_N_STAGES];
  const DloralGraph *graphs[DLORAL_N_STAGES];
  gint64 ns[DLORAL_N_STAGES];
  double all = 0;

  for (int s = 0; s < DLORAL_N_STAGES; s++)
    graphs[s] = dloral_stream_profile (stream, s, TRUE, &times[s]);
  for (int t = 0; t < frames; t++)
    if (!run_frame (stream, r->width, r->height, t, ns, error))
      return FALSE;
  for (int s = 0; s < DLORAL_N_STAGES; s++)
    add_operators (r, graphs[s], times[s], frames, &r->stages[s]);
  for (guint i = 0; i < r->operators->len; i++)
    all += g_array_index (r->operators, BenchOperator, i).ms;
  r->frame.outside /= all;
  g_array_sort (r->operators, compare_operators);
  return TRUE;
}

static void
clear_operator (gpointer data)
{
  g_free (((BenchOperator *) data)->name);
}

BenchEngine *
bench_stream (const DloralModel *model, DloralStream *stream, int width,
    int height, int frames, GError **error)
{
  BenchEngine *r = g_new0 (BenchEngine, 1);

  r->width = width;
  r->height = height;
  r->precision = g_strdup (dloral_model_get_precision_name (model));
  r->memory = dloral_stream_get_memory (stream);
  r->operators = g_array_new (FALSE, FALSE, sizeof (BenchOperator));
  g_array_set_clear_func (r->operators, clear_operator);
  if (!time_stages (r, stream, frames, error)
      || !time_operators (r, stream, frames, error))
    g_clear_pointer (&r, bench_engine_free);
  return r;
}

BenchEngine *
bench_engine (const BenchParams *p, int width, int height, GError **error)
{
  DloralModelParams model_params = {.path = p->model,
    .precision = p->precision,.threads = p->threads
  };
  DloralStreamParams stream_params = {.width = width,.height = height,
    DLORAL_STREAM_DEFAULTS
  };
  DloralModel *model = dloral_model_open (&model_params, error);
  DloralStream *stream;
  BenchEngine *r = NULL;

  if (model == NULL)
    return NULL;
  stream = dloral_stream_new (model, &stream_params, error);
  if (stream) {
    r = bench_stream (model, stream, width, height, p->frames, error);
    dloral_stream_free (stream);
  }
  dloral_model_unref (model);
  return r;
}

void
bench_engine_free (BenchEngine *r)
{
  g_array_unref (r->operators);
  g_free (r->precision);
  g_free (r);
}
