/* Plans: operators launched one by one the first time, recorded as a CUDA graph
 * for each combination of memory the second time, replayed ever after.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "plan.h"

#include "op.h"
#include "queue.h"

#include <string.h>

/* Combinations of arena and bindings that stay recorded. A stream has as many as
 * its rings have common multiples; the oldest goes for a new one. */
#define MAX_RECORDINGS 512

typedef struct
{
  gpointer *memory;             /* [1 + n_bindings]: the arena first */
  CUgraphExec exec;
} Recording;

struct _DloralPlan
{
  DloralDevice *device;
  const DloralGraph *graph;
  DloralCudaOp **ops;           /* [graph->ops->len], NULL: not compiled yet */
  gsize scratch_offset, scratch_size;
  gboolean warm;                /* has run: libraries have loaded what they load
                                 * at first use, which must not be recorded */
  GArray *recordings;           /* Recording, oldest first */
  DloralOpTime *times;          /* [graph->ops->len] */
  CUevent *marks;               /* [graph->ops->len + 1], while profiling */
};

static const DloralCudaOpNew constructors[DLORAL_N_OPS] = {
  [DLORAL_OP_CONV] = dloral_cuda_conv_new,
  [DLORAL_OP_LINEAR] = dloral_cuda_linear_new,
  [DLORAL_OP_GROUP_NORM] = dloral_cuda_group_norm_new,
  [DLORAL_OP_LAYER_NORM] = dloral_cuda_layer_norm_new,
  [DLORAL_OP_ATTENTION] = dloral_cuda_attention_new,
  [DLORAL_OP_RESIZE] = dloral_cuda_resize_new,
  [DLORAL_OP_POOL] = dloral_cuda_pool_new,
  [DLORAL_OP_WARP] = dloral_cuda_warp_new,
  [DLORAL_OP_CONCAT] = dloral_cuda_concat_new,
  [DLORAL_OP_CROP] = dloral_cuda_crop_new,
  [DLORAL_OP_PASTE] = dloral_cuda_paste_new,
  [DLORAL_OP_GATHER] = dloral_cuda_gather_new,
  [DLORAL_OP_RETRIEVAL] = dloral_cuda_retrieval_new,
  [DLORAL_OP_UNPACK] = dloral_cuda_unpack_new,
  [DLORAL_OP_PACK] = dloral_cuda_pack_new,
  [DLORAL_OP_UPSAMPLE] = dloral_cuda_upsample_new,
  [DLORAL_OP_SHRINK] = dloral_cuda_shrink_new,
  [DLORAL_OP_FROM_PICTURE] = dloral_cuda_from_picture_new,
  [DLORAL_OP_TO_PICTURE] = dloral_cuda_to_picture_new,
  [DLORAL_OP_ABS_MAX] = dloral_cuda_abs_max_new,
};

/* --- Compiling ------------------------------------------------------------------ */

static gboolean
make_ops (DloralPlan *plan, guint *failed, GError **error)
{
  const GPtrArray *ops = plan->graph->ops;

  for (guint i = 0; i < ops->len; i++) {
    const DloralOp *op = ops->pdata[i];

    if (dloral_check_cancelled (plan->graph->cancelled, error))
      plan->ops[i] = constructors[op->kind] (plan->device, op, error);
    if (plan->ops[i] == NULL) {
      *failed = i;
      return FALSE;
    }
    plan->ops[i]->cancelled = plan->graph->cancelled;
  }
  return TRUE;
}

static gboolean
compile_ops (DloralPlan *plan, GError **error)
{
  const GPtrArray *ops = plan->graph->ops;
  guint failed;

  if (!make_ops (plan, &failed, error) || !dloral_cuda_prepare (plan->device,
          plan->ops, ops->len, plan->graph->cancelled, &failed, error)) {
    const DloralOp *op = ops->pdata[failed];

    g_prefix_error (error, "operator '%s' of '%s': ",
        dloral_op_kind_get_name (op->kind), plan->graph->name);
    return FALSE;
  }
  for (guint i = 0; i < ops->len; i++) {
    plan->times[i].library = plan->ops[i]->library;
    plan->scratch_size = MAX (plan->scratch_size, plan->ops[i]->scratch_size);
  }
  return TRUE;
}

DloralPlan *
dloral_cuda_compile (DloralDevice *device, const DloralGraph *graph,
    GError **error)
{
  DloralPlan *plan = g_new0 (DloralPlan, 1);

  plan->device = device;
  plan->graph = graph;
  plan->ops = g_new0 (DloralCudaOp *, graph->ops->len);
  plan->times = g_new0 (DloralOpTime, graph->ops->len);
  plan->recordings = g_array_new (FALSE, FALSE, sizeof (Recording));
  plan->scratch_offset = (graph->arena_size + 255) / 256 * 256;
  if (dloral_device_enter (device, error)
      && dloral_device_leave (device, compile_ops (plan, error), error))
    return plan;
  dloral_cuda_plan_free (plan);
  return NULL;
}

const char *
dloral_cuda_plan_describe (const DloralPlan *plan, guint i)
{
  return plan->ops[i]->how ? plan->ops[i]->how : "own";
}

static void
drop_recording (DloralPlan *plan, guint i)
{
  Recording *r = &g_array_index (plan->recordings, Recording, i);

  plan->device->driver->cuGraphExecDestroy (r->exec);
  g_free (r->memory);
  g_array_remove_index (plan->recordings, i);
}

static void
drop_marks (DloralPlan *plan)
{
  for (guint i = 0; plan->marks && i <= plan->graph->ops->len; i++)
    if (plan->marks[i])
      plan->device->driver->cuEventDestroy (plan->marks[i]);
  g_clear_pointer (&plan->marks, g_free);
}

static void
free_ops (DloralPlan *plan)
{
  for (guint i = 0; i < plan->graph->ops->len; i++)
    if (plan->ops[i])
      dloral_cuda_op_free (plan->ops[i]);
}

/* Where the context cannot be entered the driver frees nothing, but what is the
 * host's goes all the same. */
void
dloral_cuda_plan_free (DloralPlan *plan)
{
  gboolean entered = dloral_device_enter (plan->device, NULL);

  while (plan->recordings->len > 0)
    drop_recording (plan, plan->recordings->len - 1);
  drop_marks (plan);
  free_ops (plan);
  if (entered)
    dloral_device_leave (plan->device, TRUE, NULL);
  g_array_unref (plan->recordings);
  g_free (plan->ops);
  g_free (plan->times);
  g_free (plan);
}

gsize
dloral_cuda_plan_get_arena_size (const DloralPlan *plan)
{
  return plan->scratch_offset + plan->scratch_size;
}

/* --- Running -------------------------------------------------------------------- */

static gboolean
mark (DloralPlan *plan, guint i, CUstream stream, GError **error)
{
  return plan->marks == NULL || DLORAL_DRIVER_CALL (plan->device->driver,
      error, cuEventRecord, plan->marks[i], stream);
}

static gboolean
launch_ops (DloralPlan *plan, const DloralCudaRun *run, GError **error)
{
  for (guint i = 0; i < plan->graph->ops->len; i++)
    if (!mark (plan, i, run->stream, error) ||
        !plan->ops[i]->launch (plan->ops[i], run, error))
      return FALSE;
  return mark (plan, plan->graph->ops->len, run->stream, error);
}

static gboolean
add_times (DloralPlan *plan, const DloralCudaRun *run, GError **error)
{
  const DloralDriver *driver = run->driver;

  if (!DLORAL_DRIVER_CALL (driver, error, cuStreamSynchronize, run->stream))
    return FALSE;
  for (guint i = 0; i < plan->graph->ops->len; i++) {
    float ms;

    if (!DLORAL_DRIVER_CALL (driver, error, cuEventElapsedTime, &ms,
            plan->marks[i], plan->marks[i + 1]))
      return FALSE;
    plan->times[i].seconds += ms / 1e3;
  }
  return TRUE;
}

static Recording *
find_recording (DloralPlan *plan, const DloralCudaRun *run)
{
  gsize size = plan->graph->n_bindings * sizeof (gpointer);

  for (guint i = 0; i < plan->recordings->len; i++) {
    Recording *r = &g_array_index (plan->recordings, Recording, i);

    if (r->memory[0] == (gpointer) run->arena &&
        memcmp (r->memory + 1, run->bindings, size) == 0)
      return r;
  }
  return NULL;
}

/* Launches into a stream that records. Whatever happens, it records no more
 * afterwards. */
static gboolean
record_graph (DloralPlan *plan, const DloralCudaRun *run, CUgraph *graph,
    GError **error)
{
  const DloralDriver *driver = run->driver;
  gboolean ok;

  if (!DLORAL_DRIVER_CALL (driver, error, cuStreamBeginCapture, run->stream,
          CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
    return FALSE;
  ok = launch_ops (plan, run, error);
  return DLORAL_DRIVER_CALL (driver, ok ? error : NULL, cuStreamEndCapture,
      run->stream, graph) && ok;
}

static Recording *
record (DloralPlan *plan, const DloralCudaRun *run, GError **error)
{
  const DloralDriver *driver = run->driver;
  Recording r = { NULL, NULL };
  CUgraph graph = NULL;
  gboolean ok = record_graph (plan, run, &graph, error)
      && DLORAL_DRIVER_CALL (driver, error, cuGraphInstantiateWithFlags,
      &r.exec, graph, 0);

  if (graph)
    driver->cuGraphDestroy (graph);
  if (!ok)
    return NULL;
  r.memory = g_new (gpointer, 1 + plan->graph->n_bindings);
  r.memory[0] = (gpointer) run->arena;
  memcpy (r.memory + 1, run->bindings,
      plan->graph->n_bindings * sizeof (gpointer));
  if (plan->recordings->len == MAX_RECORDINGS)
    drop_recording (plan, 0);
  g_array_append_val (plan->recordings, r);
  return &g_array_index (plan->recordings, Recording,
      plan->recordings->len - 1);
}

static gboolean
run_ops (DloralPlan *plan, DloralQueue *queue, DloralCudaRun *run,
    GError **error)
{
  Recording *recording;

  run->cudnn = dloral_queue_get_cudnn (queue, error);
  if (run->cudnn == NULL)
    return FALSE;
  if (plan->marks)
    return launch_ops (plan, run, error) && add_times (plan, run, error);
  if (!plan->warm) {
    plan->warm = launch_ops (plan, run, error);
    return plan->warm;
  }
  recording = find_recording (plan, run);
  if (recording == NULL)
    recording = record (plan, run, error);
  return recording && DLORAL_DRIVER_CALL (run->driver, error, cuGraphLaunch,
      recording->exec, run->stream);
}

gboolean
dloral_cuda_run (DloralPlan *plan, DloralQueue *queue, gpointer arena,
    gpointer const *bindings, GError **error)
{
  DloralDevice *device = plan->device;
  DloralCudaRun run = {
    .driver = device->driver,
    .arena = (CUdeviceptr) arena,
    .scratch = (CUdeviceptr) arena + plan->scratch_offset,
    .bindings = bindings,
    .stream = queue->stream,
  };

  return dloral_device_enter (device, error)
      && dloral_device_leave (device, run_ops (plan, queue, &run, error),
      error);
}

/* --- Profiling ------------------------------------------------------------------- */

static gboolean
make_marks (DloralPlan *plan)
{
  guint n = plan->graph->ops->len + 1;

  plan->marks = g_new0 (CUevent, n);
  for (guint i = 0; i < n; i++)
    if (!DLORAL_DRIVER_CALL (plan->device->driver, NULL, cuEventCreate,
            &plan->marks[i], CU_EVENT_DEFAULT))
      return FALSE;
  return TRUE;
}

const DloralOpTime *
dloral_cuda_plan_profile (DloralPlan *plan, gboolean enable)
{
  gboolean enabled = plan->marks != NULL;

  if (enable == enabled || !dloral_device_enter (plan->device, NULL))
    return plan->times;
  for (guint i = 0; enable && i < plan->graph->ops->len; i++)
    plan->times[i].seconds = 0;
  if (!enable || !make_marks (plan))
    drop_marks (plan);
  dloral_device_leave (plan->device, TRUE, NULL);
  return plan->times;
}
