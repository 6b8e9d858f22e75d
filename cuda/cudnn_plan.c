/* From a graph to its plan: one made before, one on disk, or the first engine of
 * cuDNN's heuristics that will do; the fastest of several where that is asked.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_private.h"

#include <math.h>

#define MAX_NOTES 16
#define MAX_CONFIGS 64

/* How many plans are timed, and bytes that none may want of the device. */
#define MAX_TIMED 6
#define MAX_WORKSPACE ((gint64) 256 << 20)

/* --- One plan ------------------------------------------------------------------ */

DloralCudnnPlan *
dloral_cudnn_plan_wrap (DloralCudnn *cudnn, cudnnBackendDescriptor_t plan,
    const char *engine, GError **error)
{
  int64_t workspace = 0, n = 0;
  DloralCudnnPlan *p;

  if (!dloral_cudnn_check (cudnn->api, cudnn->api->cudnnBackendGetAttribute
          (plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
              &n, &workspace), "plan's workspace", error)) {
    cudnn->api->cudnnBackendDestroyDescriptor (plan);
    return NULL;
  }
  p = g_new0 (DloralCudnnPlan, 1);
  p->cudnn = cudnn;
  p->references = 1;
  p->plan = plan;
  p->workspace = workspace;
  p->engine = g_strdup (engine);
  p->description = workspace == 0 ? g_strdup (engine) :
      g_strdup_printf ("%s, %d KiB", engine, (int) ((workspace + 1023) / 1024));
  return p;
}

/* Of a plan that nobody else knows. */
static void
plan_destroy (DloralCudnnPlan *p)
{
  p->cudnn->api->cudnnBackendDestroyDescriptor (p->plan);
  g_free (p->key);
  g_free (p->engine);
  g_free (p->description);
  g_free (p);
}

void
dloral_cudnn_plan_free (DloralCudnnPlan *p)
{
  DloralCudnn *cudnn;
  gboolean last;

  if (p == NULL)
    return;
  cudnn = p->cudnn;
  g_mutex_lock (&cudnn->lock);
  last = --p->references == 0;
  if (last)
    g_hash_table_remove (cudnn->plans, p->key);
  g_mutex_unlock (&cudnn->lock);
  if (last)
    plan_destroy (p);
}

gsize
dloral_cudnn_plan_get_workspace (const DloralCudnnPlan *p)
{
  return p->workspace;
}

const char *
dloral_cudnn_plan_describe (const DloralCudnnPlan *p)
{
  return p->description;
}

/* --- Choosing an engine -------------------------------------------------------- */

/* The engine of a configuration: its number, and whether its results are what
 * the graph asks for. */
static gboolean
inspect (const DloralCudnnGraph *g, cudnnBackendDescriptor_t config,
    gint64 *number)
{
  const DloralCudnnApi *api = g->cudnn->api;
  cudnnBackendDescriptor_t engine = NULL;
  cudnnBackendNumericalNote_t notes[MAX_NOTES];
  int64_t n = 0, n_notes = 0;
  gboolean fits = TRUE;

  if (api->cudnnBackendCreateDescriptor (CUDNN_BACKEND_ENGINE_DESCRIPTOR,
          &engine) != CUDNN_STATUS_SUCCESS)
    return FALSE;
  if (api->cudnnBackendGetAttribute (config, CUDNN_ATTR_ENGINECFG_ENGINE,
          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n, &engine)
      != CUDNN_STATUS_SUCCESS || api->cudnnBackendGetAttribute (engine,
          CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, number)
      != CUDNN_STATUS_SUCCESS || api->cudnnBackendGetAttribute (engine,
          CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
          MAX_NOTES, &n_notes, notes) != CUDNN_STATUS_SUCCESS)
    fits = FALSE;
  for (int i = 0; i < MIN (n_notes, MAX_NOTES); i++)
    if (notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION
        || notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC
        || (g->exact && (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE
                || notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS)))
      fits = FALSE;
  api->cudnnBackendDestroyDescriptor (engine);
  return fits;
}

static DloralCudnnPlan *
make_plan (const DloralCudnnGraph *g, cudnnBackendDescriptor_t config,
    gint64 engine, GError **error)
{
  const DloralCudnnApi *api = g->cudnn->api;
  cudnnBackendDescriptor_t plan = NULL;
  g_autofree char *name =
      g_strdup_printf ("%" G_GINT64_FORMAT, engine);
  cudnnStatus_t status = api->cudnnBackendCreateDescriptor
      (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan);

  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendSetAttribute (plan,
        CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendSetAttribute (plan,
        CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
        &g->cudnn->device);
  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendFinalize (plan);
  if (dloral_cudnn_check (api, status, "plan", error))
    return dloral_cudnn_plan_wrap (g->cudnn, plan, name, error);
  if (plan)
    api->cudnnBackendDestroyDescriptor (plan);
  return NULL;
}

/* The plans of the first configurations that make one, no more than `wanted`; fewer
 * where it is cancelled. */
static int
make_plans (const DloralCudnnGraph *g, int n,
    const cudnnBackendDescriptor_t *configs, int wanted,
    DloralCudnnPlan **plans, GError **error)
{
  int made = 0;

  for (int i = 0; i < n && made < wanted
      && dloral_check_cancelled (g->cancelled, NULL); i++) {
    DloralCudnnPlan *plan;
    gint64 engine = -1;

    if (!inspect (g, configs[i], &engine))
      continue;
    plan = make_plan (g, configs[i], engine, error && *error ? NULL : error);
    if (plan && plan->workspace > MAX_WORKSPACE)
      plan_destroy (plan);
    else if (plan)
      plans[made++] = plan;
  }
  return made;
}

/* The fastest of several; frees the others. */
static DloralCudnnPlan *
keep_fastest (const DloralCudnnGraph *g, int n, DloralCudnnPlan **plans)
{
  double seconds = INFINITY;
  int best = 0;

  for (int i = 0; i < n; i++) {
    double time = dloral_cudnn_time (plans[i], g->memory);

    if (time < seconds) {
      seconds = time;
      best = i;
    }
  }
  for (int i = 0; i < n; i++)
    if (i != best)
      plan_destroy (plans[i]);
  return plans[best];
}

/* The first configuration that makes a plan, or the fastest of the first few;
 * others make theirs meanwhile, but not while it is timed. NULL once it is cancelled,
 * since what would be chosen is kept. */
static DloralCudnnPlan *
choose (const DloralCudnnGraph *g, int n,
    const cudnnBackendDescriptor_t *configs, GError **error)
{
  gboolean tune = g->cudnn->tune && g->cudnn->driver;
  DloralCudnnPlan *plans[MAX_TIMED], *best;
  int made;

  g_rw_lock_reader_lock (&g->cudnn->quiet);
  made = make_plans (g, n, configs, tune ? MAX_TIMED : 1, plans, error);
  g_rw_lock_reader_unlock (&g->cudnn->quiet);
  if (!dloral_check_cancelled (g->cancelled, NULL))
    while (made > 0)
      plan_destroy (plans[--made]);
  if (made == 0)
    return NULL;
  g_clear_error (error);
  if (!tune)
    return plans[0];
  dloral_cudnn_set_quiet (g->cudnn, TRUE);
  best = keep_fastest (g, made, plans);
  dloral_cudnn_set_quiet (g->cudnn, FALSE);
  return best;
}

/* The configurations that cuDNN proposes, best first. */
static int
propose (DloralCudnnGraph *g, cudnnBackendDescriptor_t graph,
    cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t *configs)
{
  const DloralCudnnApi *api = g->cudnn->api;
  cudnnBackendDescriptor_t h = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  int64_t n = 0;

  dloral_cudnn_graph_set (g, h, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
  dloral_cudnn_graph_set (g, h, CUDNN_ATTR_ENGINEHEUR_MODE,
      CUDNN_TYPE_HEUR_MODE, 1, &mode);
  dloral_cudnn_graph_set (g, h, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &g->cudnn->device);
  dloral_cudnn_graph_close (g, h);
  if (g->error || api->cudnnBackendGetAttribute (h,
          CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n,
          NULL) != CUDNN_STATUS_SUCCESS)
    return 0;
  n = MIN (n, MAX_CONFIGS);
  for (int i = 0; i < n; i++)
    configs[i] = dloral_cudnn_graph_make (g,
        CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  if (g->error || n == 0 || api->cudnnBackendGetAttribute (h,
          CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n, &n,
          configs) != CUDNN_STATUS_SUCCESS)
    return 0;
  return (int) MIN (n, MAX_CONFIGS);
}

static cudnnBackendDescriptor_t
close_graph (DloralCudnnGraph *g)
{
  cudnnBackendDescriptor_t d = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);

  dloral_cudnn_graph_set (g, d, CUDNN_ATTR_OPERATIONGRAPH_OPS,
      CUDNN_TYPE_BACKEND_DESCRIPTOR, g->operations->len, g->operations->data);
  dloral_cudnn_graph_close (g, d);
  return d;
}

/* One mode after the other, since a failure of one (which it has where it knows
 * no engine) says nothing of the other. */
static DloralCudnnPlan *
find_engine (DloralCudnnGraph *g, GError **error)
{
  static const cudnnBackendHeurMode_t modes[] = {
    CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK
  };
  cudnnBackendDescriptor_t configs[MAX_CONFIGS];
  cudnnBackendDescriptor_t graph = close_graph (g);
  DloralCudnnPlan *plan = NULL;
  GError *failure = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (modes) && !plan && graph && !g->error;
      i++) {
    int n = propose (g, graph, modes[i], configs);

    plan = choose (g, n, configs, failure ? NULL : &failure);
    if (g->error && failure == NULL)
      failure = g_steal_pointer (&g->error);
    g_clear_error (&g->error);
  }
  if (plan)
    g_clear_error (&failure);
  else if (!dloral_check_cancelled (g->cancelled, error))
    g_clear_error (&g->error);
  else if (g->error)
    g_propagate_error (error, g_steal_pointer (&g->error));
  else if (failure)
    g_propagate_error (error, g_steal_pointer (&failure));
  else
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "cuda: cuDNN has no engine for: %s", g->text->str);
  g_clear_error (&failure);
  return plan;
}

/* --- Finishing a graph --------------------------------------------------------- */

static void
graph_free (DloralCudnnGraph *g)
{
  for (guint i = g->descriptors->len; i-- > 0;)
    g->cudnn->api->cudnnBackendDestroyDescriptor (g->descriptors->pdata[i]);
  g_ptr_array_unref (g->descriptors);
  g_ptr_array_unref (g->tensors);
  g_array_unref (g->operations);
  g_array_unref (g->memory);
  g_string_free (g->text, TRUE);
  g_clear_error (&g->error);
  g_free (g);
}

static DloralCudnnPlan *
load_or_find (DloralCudnnGraph *g, GError **error)
{
  DloralCudnnPlan *plan = dloral_cudnn_cache_load (g->cudnn, g->text->str);

  if (plan)
    return plan;
  plan = find_engine (g, error);
  if (plan)
    dloral_cudnn_cache_store (plan, g->text->str);
  return plan;
}

/* With the lock held, but not while the plan is made; who else wants this one
 * meanwhile waits for it, and tries again if it could not be made. */
static DloralCudnnPlan *
find_plan (DloralCudnnGraph *g, GError **error)
{
  DloralCudnn *cudnn = g->cudnn;
  DloralCudnnPlan *plan;

  while ((plan = g_hash_table_lookup (cudnn->plans, g->text->str)) == NULL
      && g_hash_table_contains (cudnn->making, g->text->str))
    g_cond_wait (&cudnn->made, &cudnn->lock);
  if (plan) {
    plan->references++;
    return plan;
  }
  g_hash_table_add (cudnn->making, g->text->str);
  g_mutex_unlock (&cudnn->lock);
  plan = load_or_find (g, error);
  g_mutex_lock (&cudnn->lock);
  g_hash_table_remove (cudnn->making, g->text->str);
  g_cond_broadcast (&cudnn->made);
  if (plan) {
    plan->key = g_strdup (g->text->str);
    g_hash_table_insert (cudnn->plans, plan->key, plan);
  }
  return plan;
}

DloralCudnnPlan *
dloral_cudnn_graph_finish (DloralCudnnGraph *g, GError **error)
{
  DloralCudnnPlan *plan = NULL;

  if (g->error) {
    g_propagate_error (error, g_steal_pointer (&g->error));
  } else {
    g_mutex_lock (&g->cudnn->lock);
    plan = find_plan (g, error);
    g_mutex_unlock (&g->cudnn->lock);
  }
  graph_free (g);
  return plan;
}

/* --- Running ------------------------------------------------------------------- */

static cudnnStatus_t
set_pack (const DloralCudnnApi *api, cudnnBackendDescriptor_t pack, int n,
    const gint64 *uids, gpointer const *addresses, gpointer workspace)
{
  cudnnStatus_t status = api->cudnnBackendSetAttribute (pack,
      CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids);

  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendSetAttribute (pack,
        CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n,
        addresses);
  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendSetAttribute (pack,
        CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  return status == CUDNN_STATUS_SUCCESS ? api->cudnnBackendFinalize (pack) :
      status;
}

gboolean
dloral_cudnn_plan_run (const DloralCudnnPlan *p, cudnnHandle_t handle, int n,
    const gint64 *uids, gpointer const *addresses, gpointer workspace,
    GError **error)
{
  const DloralCudnnApi *api = p->cudnn->api;
  cudnnBackendDescriptor_t pack = NULL;
  cudnnStatus_t status = api->cudnnBackendCreateDescriptor
      (CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);

  if (status == CUDNN_STATUS_SUCCESS)
    status = set_pack (api, pack, n, uids, addresses, workspace);
  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendExecute (handle, p->plan, pack);
  if (!dloral_cudnn_check (api, status, "cudnnBackendExecute", error)) {
    if (pack)
      api->cudnnBackendDestroyDescriptor (pack);
    return FALSE;
  }
  api->cudnnBackendDestroyDescriptor (pack);
  return TRUE;
}
