/* A graph computed once: memory, a queue and a plan for one run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "compute.h"

#include <string.h>

typedef struct
{
  DloralModel *model;
  const DloralGraph *graph;
  DloralPlan *plan;
  DloralQueue *queue;
  gpointer arena, input, result;        /* device memory */
} Job;

static gsize
get_size (const Job *job, int binding)
{
  return dloral_tensor_get_size (dloral_graph_get_bound (job->graph, binding));
}

static gpointer
allocate (const Job *job, gsize size, GError **error)
{
  return job->model->backend->alloc (job->model->device,
      MAX (size, DLORAL_ALIGN), error);
}

static gboolean
prepare (Job *job, gboolean with_result, GError **error)
{
  const DloralBackend *backend = job->model->backend;

  job->plan = backend->compile (job->model->device, job->graph, error);
  if (job->plan == NULL)
    return FALSE;
  job->queue = backend->queue_new (job->model->device, FALSE, error);
  return job->queue
      && (job->arena = allocate (job,
          backend->plan_get_arena_size (job->plan), error))
      && (job->input = allocate (job, get_size (job, 0), error))
      && (!with_result || (job->result = allocate (job, get_size (job, 1),
                  error)));
}

static gboolean
run (Job *job, gconstpointer input, gpointer const *outputs, gpointer result,
    GError **error)
{
  const DloralBackend *backend = job->model->backend;
  int n = job->graph->n_bindings;
  g_autofree gpointer *bindings = g_new (gpointer, n);

  bindings[0] = job->input;
  if (outputs)
    memcpy (bindings + 1, outputs, (n - 1) * sizeof *bindings);
  else
    bindings[1] = job->result;
  return backend->upload (job->queue, job->input, input, get_size (job, 0),
      error) && backend->run (job->plan, job->queue, job->arena, bindings,
      error) && (outputs || backend->download (job->queue, result,
          job->result, get_size (job, 1), error))
      && backend->queue_finish (job->queue, error);
}

static void
clear (Job *job)
{
  const DloralBackend *backend = job->model->backend;
  gpointer memory[] = { job->arena, job->input, job->result };

  if (job->queue)
    backend->queue_free (job->queue);
  if (job->plan)
    backend->plan_free (job->plan);
  for (guint i = 0; i < G_N_ELEMENTS (memory); i++)
    if (memory[i])
      backend->free (job->model->device, memory[i]);
}

gboolean
dloral_compute (DloralModel *model, const DloralGraph *graph,
    gconstpointer input, gpointer const *outputs, gpointer result,
    GError **error)
{
  Job job = { .model = model, .graph = graph };
  gboolean ok = prepare (&job, outputs == NULL, error)
      && dloral_check_cancelled (graph->cancelled, error)
      && run (&job, input, outputs, result, error);

  clear (&job);
  return ok;
}
