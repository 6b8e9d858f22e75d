/* Observing a model: every graph gets an operator before each product, which finds
 * the largest magnitude of what is multiplied, and memory for what is found.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "observer.h"

#include <math.h>
#include <string.h>

/* In the place of the backend's device. */
typedef struct
{
  DloralBackend table;          /* the backend's, but for what is below */
  const DloralBackend *backend;
  DloralDevice *device;
  GHashTable *maxima;           /* char * → float *, both owned */
} Observer;

/* In the place of its plans. */
typedef struct
{
  Observer *observer;
  DloralGraph *graph;           /* the given one with operators that look */
  GPtrArray *names;             /* of what they look at; the graph's */
  DloralPlan *plan;
  gpointer *bindings;           /* [graph->n_bindings]; those of what is found
                                 * come last */
  gpointer found;               /* device memory, DLORAL_ALIGN bytes each */
  guint8 *copy;                 /* of `found` */
} Observed;

static const DloralBackend *
get_backend (DloralDevice *device)
{
  return ((Observer *) device)->backend;
}

static DloralDevice *
get_device (DloralDevice *device)
{
  return ((Observer *) device)->device;
}

/* --- Graphs -------------------------------------------------------------------- */

static void
copy_tensors (Observed *self, const DloralGraph *graph)
{
  for (guint i = 0; i < graph->tensors->len; i++) {
    const DloralTensor *t = graph->tensors->pdata[i];

    dloral_graph_tensor (self->graph, t->h, t->w, t->c, t->dtype)->binding =
        t->binding;
  }
  self->graph->n_bindings = graph->n_bindings;
}

static DloralTensor *
find_copy (const Observed *self, const DloralTensor *t)
{
  return self->graph->tensors->pdata[t->id];
}

static void
look_at (Observed *self, DloralTensor *x, const char *name)
{
  dloral_graph_append (self->graph, &(DloralOp) {
      .kind = DLORAL_OP_ABS_MAX, .n_src = 1, .src = { x },
      .dst = dloral_graph_bind (self->graph, 1, 1, 1, DLORAL_F32) });
  g_ptr_array_add (self->names, (gpointer) name);
}

/* Weights stay the given graph's, which outlives the plan. */
static void
make_graph (Observed *self, const DloralGraph *graph)
{
  self->graph = dloral_graph_new (graph->name, graph->act_dtype);
  copy_tensors (self, graph);
  for (guint i = 0; i < graph->ops->len; i++) {
    DloralOp op = *(const DloralOp *) graph->ops->pdata[i];

    for (int s = 0; s < op.n_src; s++)
      op.src[s] = find_copy (self, op.src[s]);
    op.dst = find_copy (self, op.dst);
    if (op.input)
      look_at (self, op.src[0], op.input);
    dloral_graph_append (self->graph, &op);
  }
  dloral_graph_plan (self->graph);
}

/* --- Plans --------------------------------------------------------------------- */

static void
plan_free (DloralPlan *plan)
{
  Observed *self = (Observed *) plan;
  Observer *observer = self->observer;

  if (self->plan)
    observer->backend->plan_free (self->plan);
  if (self->found)
    observer->backend->free (observer->device, self->found);
  dloral_graph_free (self->graph);
  g_ptr_array_unref (self->names);
  g_free (self->bindings);
  g_free (self->copy);
  g_free (self);
}

static gboolean
allocate (Observed *self, GError **error)
{
  const Observer *observer = self->observer;
  gsize n = self->names->len, size = n * DLORAL_ALIGN;

  self->bindings = g_new (gpointer, self->graph->n_bindings);
  if (n == 0)
    return TRUE;
  self->copy = g_malloc (size);
  self->found = observer->backend->alloc (observer->device, size, error);
  for (gsize i = 0; i < n; i++)
    self->bindings[self->graph->n_bindings - n + i] =
        (guint8 *) self->found + i * DLORAL_ALIGN;
  return self->found != NULL;
}

static DloralPlan *
compile (DloralDevice *device, const DloralGraph *graph, GError **error)
{
  Observed *self = g_new0 (Observed, 1);

  self->observer = (Observer *) device;
  self->names = g_ptr_array_new ();
  make_graph (self, graph);
  self->plan = get_backend (device)->compile (get_device (device), self->graph,
      error);
  if (self->plan && allocate (self, error))
    return (DloralPlan *) self;
  plan_free ((DloralPlan *) self);
  return NULL;
}

static gsize
plan_get_arena_size (const DloralPlan *plan)
{
  const Observed *self = (const Observed *) plan;

  return self->observer->backend->plan_get_arena_size (self->plan);
}

/* What is no number stays. */
static void
keep (Observed *self)
{
  for (guint i = 0; i < self->names->len; i++) {
    float *max = g_hash_table_lookup (self->observer->maxima,
        self->names->pdata[i]);
    float found;

    memcpy (&found, self->copy + i * DLORAL_ALIGN, sizeof found);
    if (max == NULL)
      g_hash_table_insert (self->observer->maxima,
          g_strdup (self->names->pdata[i]), g_memdup2 (&found, sizeof found));
    else if (!isnan (*max) && !(found <= *max))
      *max = found;
  }
}

static gboolean
run (DloralPlan *plan, DloralQueue *queue, gpointer arena,
    gpointer const *bindings, GError **error)
{
  Observed *self = (Observed *) plan;
  const DloralBackend *backend = self->observer->backend;
  gsize n = self->names->len;

  memcpy (self->bindings, bindings,
      (self->graph->n_bindings - n) * sizeof *bindings);
  if (!backend->run (self->plan, queue, arena, self->bindings, error))
    return FALSE;
  if (n == 0)
    return TRUE;
  if (!backend->download (queue, self->copy, self->found, n * DLORAL_ALIGN,
          error) || !backend->queue_finish (queue, error))
    return FALSE;
  keep (self);
  return TRUE;
}

/* --- What the device itself does ------------------------------------------------ */

static void
close_device (DloralDevice *device)
{
  Observer *observer = (Observer *) device;

  observer->backend->close (observer->device);
  g_hash_table_unref (observer->maxima);
  g_free (observer);
}

static DloralDtype
get_act_dtype (DloralDevice *device)
{
  return get_backend (device)->get_act_dtype (get_device (device));
}

static gpointer
alloc (DloralDevice *device, gsize size, GError **error)
{
  return get_backend (device)->alloc (get_device (device), size, error);
}

static void
free_memory (DloralDevice *device, gpointer memory)
{
  get_backend (device)->free (get_device (device), memory);
}

static gpointer
alloc_host (DloralDevice *device, gsize size, GError **error)
{
  return get_backend (device)->alloc_host (get_device (device), size, error);
}

static void
free_host (DloralDevice *device, gpointer memory)
{
  get_backend (device)->free_host (get_device (device), memory);
}

static DloralQueue *
queue_new (DloralDevice *device, gboolean urgent, GError **error)
{
  return get_backend (device)->queue_new (get_device (device), urgent, error);
}

static DloralEvent *
event_new (DloralDevice *device, GError **error)
{
  return get_backend (device)->event_new (get_device (device), error);
}

/* -------------------------------------------------------------------------------- */

void
dloral_observe (DloralModel *model)
{
  Observer *observer = g_new0 (Observer, 1);
  DloralBackend *table = &observer->table;

  observer->backend = model->backend;
  observer->device = model->device;
  observer->maxima = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      g_free);
  *table = *model->backend;
  table->open = NULL;           /* nobody asks for these three here */
  table->plan_profile = NULL;
  table->has_fp8 = NULL;
  table->close = close_device;
  table->get_act_dtype = get_act_dtype;
  table->compile = compile;
  table->plan_free = plan_free;
  table->plan_get_arena_size = plan_get_arena_size;
  table->alloc = alloc;
  table->free = free_memory;
  table->alloc_host = alloc_host;
  table->free_host = free_host;
  table->queue_new = queue_new;
  table->run = run;
  table->event_new = event_new;
  model->backend = table;
  model->device = (DloralDevice *) observer;
}

GHashTable *
dloral_observe_get_maxima (const DloralModel *model)
{
  return ((const Observer *) model->device)->maxima;
}
