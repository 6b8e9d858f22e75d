/* A product in fp8, and the largest magnitude of its input: every call to the driver
 * and to cuDNN fails once on the way from the graph to the result. No crash, no
 * leak, an error where there is no result.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/backend.h"
#include "stand_ins.h"

#include <cuda.h>
#include <cudnn_graph.h>

#define SIDE 5
#define CHANNELS 16
#define N_BINDINGS 3

static const DloralBackend *const backend = &dloral_cuda_backend;

static void
fill (const DloralWeight *weight, float *dst)
{
  for (gsize i = 0; i < dloral_weight_get_length (weight); i++)
    dst[i] = (float) i / CHANNELS;
}

static DloralGraph *
make_graph (void)
{
  DloralGraph *g = dloral_graph_new ("fp8", DLORAL_BF16);
  DloralTensor *x = dloral_graph_bind (g, SIDE, SIDE, CHANNELS, DLORAL_BF16);

  dloral_graph_append (g, &(DloralOp) {
      .kind = DLORAL_OP_ABS_MAX, .n_src = 1, .src = { x },
      .dst = dloral_graph_bind (g, 1, 1, 1, DLORAL_F32) });
  dloral_graph_append (g, &(DloralOp) {
      .kind = DLORAL_OP_CONV, .n_src = 1, .src = { x },
      .dst = dloral_graph_bind (g, SIDE, SIDE, CHANNELS, DLORAL_BF16),
      .weight = dloral_graph_weight (g, (DloralWeight) {
          .key = g_strdup ("weight"), .o = CHANNELS, .i = CHANNELS, .kh = 3,
          .kw = 3, .fill = fill }),
      .bias = dloral_graph_weight (g, (DloralWeight) {
          .key = g_strdup ("bias"), .o = CHANNELS, .i = 1, .kh = 1, .kw = 1,
          .fill = fill }),
      .input_max = 1, .u.conv = { 1, 1, 1, DLORAL_ACT_SILU } });
  dloral_graph_plan (g);
  return g;
}

/* memory: the arena, then what is bound. */
static gboolean
run (DloralDevice *device, DloralPlan *plan, DloralQueue *queue,
    gpointer *memory, GError **error)
{
  gsize sizes[1 + N_BINDINGS] = { backend->plan_get_arena_size (plan),
    SIDE * SIDE * CHANNELS * 2, sizeof (float), SIDE * SIDE * CHANNELS * 2
  };

  for (int i = 0; i < 1 + N_BINDINGS; i++)
    if (!(memory[i] = backend->alloc (device, sizes[i], error)))
      return FALSE;
  return backend->run (plan, queue, memory[0], memory + 1, error)
      && backend->queue_finish (queue, error);
}

/* From the graph to the result, and everything away again. */
static gboolean
compute (DloralDevice *device, GError **error)
{
  DloralGraph *graph = make_graph ();
  DloralPlan *plan = backend->compile (device, graph, error);
  DloralQueue *queue = plan ? backend->queue_new (device, FALSE, error) : NULL;
  gpointer memory[1 + N_BINDINGS] = { NULL };
  gboolean ok = queue && run (device, plan, queue, memory, error);

  if (queue)
    backend->queue_free (queue);
  if (plan)
    backend->plan_free (plan);
  for (int i = 0; i < 1 + N_BINDINGS; i++)
    if (memory[i])
      backend->free (device, memory[i]);
  dloral_graph_free (graph);
  return ok;
}

static long
count_things (void)
{
  const StandIns *s = stand_ins_get ();

  return s->cuda_get_allocations () + s->cuda_get_handles ()
      + s->cudnn_get_descriptors ();
}

/* Until a call is not reached any more. Where there is a result all the same, it was
 * on the way to giving things back that something failed: they may stay. */
static void
fail_each (DloralDevice *device, void (*fail_at) (long call, int code),
    long (*get_calls) (void), int code)
{
  gboolean reached = TRUE;
  int n_failed = 0;

  for (long call = 1; reached; call++) {
    long before = get_calls (), things = count_things ();
    GError *error = NULL;
    gboolean ok;

    fail_at (call, code);
    ok = compute (device, &error);
    fail_at (0, 0);
    reached = get_calls () - before >= call;
    g_assert_true (ok == (error == NULL));
    if (!ok)
      g_assert_cmpint (count_things (), ==, things);
    n_failed += !ok;
    g_clear_error (&error);
  }
  g_assert_cmpint (n_failed, >, 0);
  g_assert_true (compute (device, NULL));
}

static void
test (gconstpointer data)
{
  const StandIns *s = stand_ins_get ();
  const DloralDeviceParams params = { .precision = DLORAL_PRECISION_FP8,
    .ordinal = -1 };
  DloralDevice *device;

  if (!stand_ins_enter_process (NULL))
    return;
  device = backend->open (&params, NULL);
  g_assert_nonnull (device);
  g_assert_true (backend->has_fp8 (device));
  if (data)
    fail_each (device, s->cudnn_fail_at, s->cudnn_get_calls,
        CUDNN_STATUS_EXECUTION_FAILED);
  else
    fail_each (device, s->cuda_fail_at, s->cuda_get_calls,
        CUDA_ERROR_OUT_OF_MEMORY);
  backend->close (device);
  s->cuda_reset ();             /* what has stayed */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/driver", GINT_TO_POINTER (FALSE), test);
  g_test_add_data_func ("/cudnn", GINT_TO_POINTER (TRUE), test);
  return g_test_run ();
}
