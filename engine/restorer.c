/* Restoring steps and what they are conditioned on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "restorer.h"

#include "compute.h"
#include "text.h"

#include <string.h>

#define MAX_STEPS (DLORAL_MAX_WINDOW + 1)

struct _DloralRestorer
{
  DloralModel *model;
  DloralGraph *graphs[MAX_STEPS];       /* by the number of past frames */
  DloralPlan *plans[MAX_STEPS];
  int n_steps;
  GPtrArray *kv;                /* device memory, one a cross-attention */
  gsize kv_size;                /* of all */
  gpointer *bindings;           /* scratch for a run */
};

static gboolean
compile (DloralRestorer *r, const DloralGeometry *geo,
    const double *strengths, const gint *cancelled, GError **error)
{
  DloralModel *m = r->model;

  for (int past = 0; past <= geo->window; past++) {
    r->graphs[past] = dloral_restore_graph (m, geo, strengths, past,
        cancelled, error);
    if (r->graphs[past] == NULL)
      return FALSE;
    r->plans[past] = m->backend->compile (m->device, r->graphs[past], error);
    if (r->plans[past] == NULL)
      return FALSE;
    r->n_steps++;
  }
  return TRUE;
}

/* --- The prompt ------------------------------------------------------------- */

/* embeds [tokens][cross_attention_dim]: the prompt's, or the stored one's. */
static gboolean
embed_prompt (DloralModel *model, const char *prompt, float *embeds,
    const gint *cancelled, GError **error)
{
  const DloralEntry *stored =
      dloral_safetensors_find (model->file, "prompt_embeds");

  if (prompt)
    return dloral_text_encode (model, prompt, embeds, cancelled, error);
  dloral_entry_read_f32 (stored, 0, stored->shape[0] * stored->shape[1],
      embeds);
  return TRUE;
}

static gboolean
allocate_kv (DloralRestorer *r, const DloralGraph *g, GError **error)
{
  for (int i = DLORAL_CONDITION_KV; i < g->n_bindings; i++) {
    gsize size = dloral_tensor_get_size (dloral_graph_get_bound (g, i));
    gpointer kv = r->model->backend->alloc (r->model->device, size, error);

    if (kv == NULL)
      return FALSE;
    g_ptr_array_add (r->kv, kv);
    r->kv_size += size;
  }
  return TRUE;
}

/* Keys and values of the prompt. */
static gboolean
run_condition (DloralRestorer *r, const DloralGraph *g, const char *prompt,
    GError **error)
{
  DloralModel *m = r->model;
  g_autofree float *embeds = g_new (float,
      (gsize) m->tokens * m->config.unet.cross_attention_dim);

  return embed_prompt (m, prompt, embeds, g->cancelled, error)
      && allocate_kv (r, g, error)
      && dloral_compute (m, g, embeds, r->kv->pdata, NULL, error);
}

static gboolean
condition (DloralRestorer *r, const DloralGeometry *geo,
    const double *strengths, const char *prompt, const gint *cancelled,
    GError **error)
{
  DloralGraph *g;
  gboolean ok;

  if (r->model->tokens == 0)
    return prompt == NULL || embed_prompt (r->model, prompt, NULL,
        cancelled, error);
  g = dloral_condition_graph (r->model, geo, strengths, cancelled, error);
  ok = g && run_condition (r, g, prompt, error);
  dloral_graph_free (g);
  return ok;
}

/* --- Restorers --------------------------------------------------------------- */

static gboolean
check_strength (double strength, const char *name, GError **error)
{
  if (strength >= 0 && strength <= 2)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
      "A %s strength of %g cannot be used: choose one from 0 to 2.", name,
      strength);
  return FALSE;
}

DloralRestorer *
dloral_restorer_new (DloralModel *model, const DloralGeometry *geo,
    const DloralConditions *conditions, const gint *cancelled, GError **error)
{
  const double strengths[DLORAL_N_ADAPTERS] = {
    conditions->consistency_strength, conditions->detail_strength
  };
  DloralRestorer *r;

  if (!check_strength (strengths[0], "consistency", error) ||
      !check_strength (strengths[1], "detail", error))
    return NULL;
  r = g_new0 (DloralRestorer, 1);
  r->model = dloral_model_ref (model);
  r->kv = g_ptr_array_new ();
  if (!compile (r, geo, strengths, cancelled, error) || !condition (r, geo,
          strengths, conditions->prompt, cancelled, error)) {
    dloral_restorer_free (r);
    return NULL;
  }
  r->bindings = g_new (gpointer,
      DLORAL_RESTORE_PAST + 2 * geo->window + r->kv->len);
  return r;
}

void
dloral_restorer_free (DloralRestorer *r)
{
  const DloralBackend *backend;

  if (r == NULL)
    return;
  backend = r->model->backend;
  for (int i = 0; i < MAX_STEPS; i++) {
    if (r->plans[i])
      backend->plan_free (r->plans[i]);
    dloral_graph_free (r->graphs[i]);
  }
  for (guint i = 0; i < r->kv->len; i++)
    backend->free (r->model->device, r->kv->pdata[i]);
  g_ptr_array_unref (r->kv);
  dloral_model_unref (r->model);
  g_free (r->bindings);
  g_free (r);
}

gsize
dloral_restorer_get_arena_size (const DloralRestorer *r)
{
  gsize size = 0;

  for (int i = 0; i < r->n_steps; i++)
    size = MAX (size, r->model->backend->plan_get_arena_size (r->plans[i]));
  return size;
}

gsize
dloral_restorer_get_memory (const DloralRestorer *r)
{
  return r->kv_size;
}

gboolean
dloral_restorer_run (DloralRestorer *r, int past, DloralQueue *queue,
    gpointer arena, gpointer const *bindings, GError **error)
{
  int n = DLORAL_RESTORE_PAST + 2 * past;

  memcpy (r->bindings, bindings, n * sizeof *bindings);
  if (r->kv->len > 0)
    memcpy (r->bindings + n, r->kv->pdata, r->kv->len * sizeof *bindings);
  return r->model->backend->run (r->plans[past], queue, arena, r->bindings,
      error);
}

const DloralGraph *
dloral_restorer_get_graph (const DloralRestorer *r, int past)
{
  return r->graphs[past];
}

DloralPlan *
dloral_restorer_get_plan (const DloralRestorer *r, int past)
{
  return r->plans[past];
}
