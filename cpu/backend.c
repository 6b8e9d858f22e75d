/* The CPU backend: a table of constructors, and a loop over what they made.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/backend.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "op.h"
#include "queue.h"

/* Microseconds until another thread has joined in, on an idle processor. */
#define WAKE_TIME 40

struct _DloralPlan
{
  DloralDevice *device;
  const DloralGraph *graph;
  DloralCpuOp **ops;            /* [graph->ops->len], NULL: not compiled yet */
  gsize scratch_size;           /* the largest of any operator */
  DloralOpTime *times;          /* [graph->ops->len] */
  gboolean profiling;
};

static const DloralCpuOpNew constructors[DLORAL_N_OPS] = {
  [DLORAL_OP_CONV] = dloral_cpu_conv_new,
  [DLORAL_OP_LINEAR] = dloral_cpu_linear_new,
  [DLORAL_OP_GROUP_NORM] = dloral_cpu_group_norm_new,
  [DLORAL_OP_LAYER_NORM] = dloral_cpu_layer_norm_new,
  [DLORAL_OP_ATTENTION] = dloral_cpu_attention_new,
  [DLORAL_OP_RESIZE] = dloral_cpu_resize_new,
  [DLORAL_OP_POOL] = dloral_cpu_pool_new,
  [DLORAL_OP_WARP] = dloral_cpu_warp_new,
  [DLORAL_OP_CONCAT] = dloral_cpu_concat_new,
  [DLORAL_OP_CROP] = dloral_cpu_crop_new,
  [DLORAL_OP_PASTE] = dloral_cpu_paste_new,
  [DLORAL_OP_GATHER] = dloral_cpu_gather_new,
  [DLORAL_OP_RETRIEVAL] = dloral_cpu_retrieval_new,
  [DLORAL_OP_UNPACK] = dloral_cpu_unpack_new,
  [DLORAL_OP_PACK] = dloral_cpu_pack_new,
  [DLORAL_OP_UPSAMPLE] = dloral_cpu_upsample_new,
  [DLORAL_OP_SHRINK] = dloral_cpu_shrink_new,
  [DLORAL_OP_FROM_PICTURE] = dloral_cpu_from_picture_new,
  [DLORAL_OP_TO_PICTURE] = dloral_cpu_to_picture_new,
  [DLORAL_OP_ABS_MAX] = dloral_cpu_abs_max_new,
};

/* --- Device --------------------------------------------------------------- */

static gboolean
has_isa (dnnl_cpu_isa_t isa)
{
  return (dnnl_get_effective_cpu_isa () & isa) == isa;
}

static void
cpu_close (DloralDevice *device)
{
  dloral_team_free (device->team);
  if (device->weights)
    dloral_weights_free (device->weights);
  if (device->engine)
    dnnl_engine_destroy (device->engine);
  g_free (device);
}

static DloralDevice *
cpu_open (const DloralDeviceParams *params, GError **error)
{
  DloralDevice *device = g_new0 (DloralDevice, 1);
  dnnl_status_t status = dnnl_engine_create (&device->engine, dnnl_cpu, 0);

  if (status == dnnl_success)
    device->weights = dloral_weights_new (device->engine);
  else
    device->engine = NULL;
  if (device->weights == NULL) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "cpu: oneDNN cannot create an engine: %s", dnnl_status2str (status));
    cpu_close (device);
    return NULL;
  }
  device->shared_work = 2 * WAKE_TIME;
  device->threads = params->threads > 0 ? params->threads :
      omp_get_num_procs ();
  device->team = dloral_team_new (device->threads);
  device->amx = has_isa (dnnl_cpu_isa_avx512_core_amx);
  device->act_dtype = params->precision != DLORAL_PRECISION_F32
      && has_isa (dnnl_cpu_isa_avx512_core_bf16) ? DLORAL_BF16 : DLORAL_F32;
  return device;
}

static DloralDtype
cpu_get_act_dtype (DloralDevice *device)
{
  return device->act_dtype;
}

/* What the system can give without taking it from somebody else. It promises
 * more than that and ends the process later, so ask first. */
static gsize
get_available_memory (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, NULL)
      || (line = strstr (text, "MemAvailable:")) == NULL)
    return G_MAXSIZE;
  return (gsize) g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10)
      << 10;
}

static gpointer
cpu_alloc (DloralDevice *device, gsize size, GError **error)
{
  gsize available = get_available_memory ();
  gpointer memory;

  if (size <= available
      && posix_memalign (&memory, DLORAL_ALIGN, MAX (size, 1)) == 0)
    return memory;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY,
      "cpu: not enough memory: %" G_GSIZE_FORMAT " bytes are needed and %"
      G_GSIZE_FORMAT " are available; smaller frames need less", size,
      MIN (available, size));
  return NULL;
}

static void
cpu_free (DloralDevice *device, gpointer memory)
{
  free (memory);
}

/* --- Plan ----------------------------------------------------------------- */

static void
cpu_plan_free (DloralPlan *plan)
{
  guint i;

  for (i = 0; i < plan->graph->ops->len; i++) {
    DloralCpuOp *op = plan->ops[i];

    if (op && op->free)
      op->free (op);
    else
      g_free (op);
  }
  g_free (plan->ops);
  g_free (plan->times);
  g_free (plan);
}

/* A rough guess, in microseconds, of what one thread needs. */
static double
estimate_work (const DloralOp *op)
{
  gsize bytes = dloral_tensor_get_size (op->dst);
  int i;

  for (i = 0; i < op->n_src; i++)
    bytes += dloral_tensor_get_size (op->src[i]);
  return dloral_op_get_flops (op) / 1e5 + bytes / 6e3;
}

/* Primitives are generated for the number of threads that will run them, which
 * oneDNN takes from the thread that calls. */
static gboolean
compile_op (DloralPlan *plan, guint i, GError **error)
{
  const DloralOp *op = g_ptr_array_index (plan->graph->ops, i);
  DloralDevice *device = plan->device;
  int threads = estimate_work (op) > device->shared_work ? device->threads : 1;
  DloralCpuOp *made;

  omp_set_num_threads (threads);
  made = constructors[op->kind] (device, op, error);
  if (made == NULL)
    return FALSE;
  made->threads = threads;
  plan->ops[i] = made;
  plan->times[i].library = made->library;
  plan->scratch_size = MAX (plan->scratch_size, made->scratch_size);
  return TRUE;
}

static DloralPlan *
cpu_compile (DloralDevice *device, const DloralGraph *graph, GError **error)
{
  DloralPlan *plan = g_new0 (DloralPlan, 1);
  int threads = omp_get_max_threads ();
  gboolean ok = TRUE;
  guint i;

  plan->device = device;
  plan->graph = graph;
  plan->ops = g_new0 (DloralCpuOp *, graph->ops->len);
  plan->times = g_new0 (DloralOpTime, graph->ops->len);
  for (i = 0; i < graph->ops->len && ok; i++)
    ok = dloral_check_cancelled (graph->cancelled, error)
        && compile_op (plan, i, error);
  omp_set_num_threads (threads);
  if (!ok) {
    cpu_plan_free (plan);
    return NULL;
  }
  return plan;
}

static gsize
cpu_plan_get_arena_size (const DloralPlan *plan)
{
  return plan->graph->arena_size + plan->scratch_size;
}

static gboolean
run_op (const DloralPlan *plan, guint i, DloralCpuRun *run, GError **error)
{
  DloralCpuOp *op = plan->ops[i];

  run->threads = op->threads;
  omp_set_num_threads (op->threads);
  return op->run (op, run, error);
}

static gboolean
run_ops (DloralPlan *plan, const DloralQueue *queue, DloralCpuRun *run,
    GError **error)
{
  double start = omp_get_wtime (), now;
  guint i;

  for (i = 0; i < plan->graph->ops->len; i++) {
    if (!dloral_cpu_queue_check (queue, error)
        || !run_op (plan, i, run, error))
      return FALSE;
    if (!plan->profiling)
      continue;
    now = omp_get_wtime ();
    plan->times[i].seconds += now - start;
    start = now;
  }
  return TRUE;
}

static gboolean
cpu_run (DloralPlan *plan, DloralQueue *queue, gpointer arena,
    gpointer const *bindings, GError **error)
{
  DloralCpuRun run = {
    .arena = arena,
    .scratch = (guint8 *) arena + plan->graph->arena_size,
    .bindings = bindings,
  };
  int threads = omp_get_max_threads ();
  gboolean ok = run_ops (plan, queue, &run, error);

  omp_set_num_threads (threads);
  return ok;
}

static const DloralOpTime *
cpu_plan_profile (DloralPlan *plan, gboolean enable)
{
  guint i;

  if (enable && !plan->profiling)
    for (i = 0; i < plan->graph->ops->len; i++)
      plan->times[i].seconds = 0.0;
  plan->profiling = enable;
  return plan->times;
}

const DloralBackend dloral_cpu_backend = {
  .name = "cpu",
  .open = cpu_open,
  .close = cpu_close,
  .get_act_dtype = cpu_get_act_dtype,
  .compile = cpu_compile,
  .plan_free = cpu_plan_free,
  .plan_get_arena_size = cpu_plan_get_arena_size,
  .alloc = cpu_alloc,
  .free = cpu_free,
  .alloc_host = cpu_alloc,
  .free_host = cpu_free,
  .queue_new = dloral_cpu_queue_new,
  .queue_free = dloral_cpu_queue_free,
  .queue_interrupt = dloral_cpu_queue_interrupt,
  .queue_finish = dloral_cpu_queue_finish,
  .queue_wait = dloral_cpu_queue_wait,
  .run = cpu_run,
  .upload = dloral_cpu_copy,
  .download = dloral_cpu_copy,
  .event_new = dloral_cpu_event_new,
  .event_free = dloral_cpu_event_free,
  .event_record = dloral_cpu_event_record,
  .event_finish = dloral_cpu_event_finish,
  .event_is_past = dloral_cpu_event_is_past,
  .event_get_elapsed = dloral_cpu_event_get_elapsed,
  .plan_profile = cpu_plan_profile,
};
