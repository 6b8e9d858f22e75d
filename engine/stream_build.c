/* Plans and memory of a stream: made for one frame size, in tiles where memory is
 * short.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stream_private.h"

#include <string.h>

#include "tiles.h"

/* --- Making one ------------------------------------------------------------ */

static gpointer
allocate (DloralStream *s, gsize size, GError **error)
{
  gpointer p = s->model->backend->alloc (s->model->device, size, error);

  if (p) {
    g_ptr_array_add (s->memory, p);
    s->memory_size += size;
  }
  return p;
}

static gboolean
compile_stage (DloralStream *s, DloralCompiled *stage, DloralGraph *graph,
    GError **error)
{
  stage->graph = graph;
  if (graph)
    stage->plan = s->model->backend->compile (s->model->device, graph, error);
  return stage->plan != NULL;
}

static gboolean
compile (DloralStream *s, const DloralStreamParams *params, GError **error)
{
  const gint *cancelled = params->cancelled;

  s->restorer = dloral_restorer_new (s->model, &s->geo, &params->conditions,
      cancelled, error);
  return s->restorer != NULL
      && compile_stage (s, &s->encode,
      dloral_encode_graph (s->model, &s->geo, cancelled, error), error)
      && compile_stage (s, &s->decode,
      dloral_decode_graph (s->model, &s->geo, FALSE, cancelled, error), error)
      && (s->decode.graph->n_bindings == DLORAL_DECODE_MEMORY
      || compile_stage (s, &s->decode_first,
          dloral_decode_graph (s->model, &s->geo, TRUE, cancelled, error),
          error));
}

/* What each stage's plans need to run. */
static void
get_arena_sizes (const DloralStream *s, gsize *sizes)
{
  const DloralBackend *backend = s->model->backend;

  sizes[ENCODE] = backend->plan_get_arena_size (s->encode.plan);
  sizes[RESTORE] = dloral_restorer_get_arena_size (s->restorer);
  sizes[DECODE] = backend->plan_get_arena_size (s->decode.plan);
  if (s->decode_first.plan)
    sizes[DECODE] = MAX (sizes[DECODE],
        backend->plan_get_arena_size (s->decode_first.plan));
}

static gboolean
allocate_arenas (DloralStream *s, GError **error)
{
  gsize sizes[N_STEPS] = { 0 }, largest = DLORAL_ALIGN;

  get_arena_sizes (s, sizes);
  s->restore_arena_size = sizes[RESTORE];
  for (int i = ENCODE; i <= DECODE; i++)
    largest = MAX (largest, sizes[i]);
  for (int i = ENCODE; i <= DECODE; i++) {
    if (i > ENCODE && !s->model->backend->discrete)
      s->arenas[i] = s->arenas[ENCODE];
    else
      s->arenas[i] = allocate (s, s->model->backend->discrete ?
          MAX (sizes[i], DLORAL_ALIGN) : largest, error);
    if (s->arenas[i] == NULL)
      return FALSE;
  }
  return TRUE;
}

/* Memory for a tensor that is bound but not the caller's. */
static gboolean
allocate_bound (DloralStream *s, gpointer *memory, const DloralGraph *graph,
    int binding, GError **error)
{
  *memory = allocate (s, dloral_tensor_get_size (dloral_graph_get_bound (graph,
              binding)), error);
  return *memory != NULL;
}

/* As many as may be in use at once. Where slots come round, the latents do so with
 * a whole number of turns: the fewer combinations of the two there are, the fewer
 * a device has to get to know. */
static int
get_n_latents (const DloralStream *s)
{
  int n = s->geo.window + s->n_slots;

  return !s->model->backend->discrete ? s->geo.window + 1 :
      (n + s->n_slots - 1) / s->n_slots * s->n_slots;
}

static gboolean
allocate_latents (DloralStream *s, GError **error)
{
  const DloralGraph *encode = s->encode.graph;

  s->n_latents = get_n_latents (s);
  s->small = g_new0 (gpointer, s->n_latents);
  s->latent = g_new0 (gpointer, s->n_latents);
  for (int i = 0; i < s->n_latents; i++)
    if (!allocate_bound (s, &s->small[i], encode, DLORAL_ENCODE_SMALL, error)
        || !allocate_bound (s, &s->latent[i], encode, DLORAL_ENCODE_LATENT,
            error))
      return FALSE;
  return TRUE;
}

static gboolean
allocate_state (DloralStream *s, GError **error)
{
  const DloralGraph *restore = dloral_restorer_get_graph (s->restorer, 0);

  s->memory_size += dloral_restorer_get_memory (s->restorer);
  return allocate_latents (s, error)
      && allocate_bound (s, &s->flow, restore, DLORAL_RESTORE_FLOW, error)
      && allocate_bound (s, &s->aligned, restore, DLORAL_RESTORE_ALIGNED, error)
      && allocate_bound (s, &s->fused, restore, DLORAL_RESTORE_FUSED, error);
}

/* What the decoder remembers, of the frame before and of this one. */
static gboolean
allocate_remembered (DloralStream *s, GError **error)
{
  const DloralGraph *g = s->decode.graph;

  for (int i = DLORAL_DECODE_MEMORY; i < g->n_bindings; i++) {
    gpointer memory;

    if (!allocate_bound (s, &memory, g, i, error))
      return FALSE;
    g_ptr_array_add (s->remembered[(i - DLORAL_DECODE_MEMORY) % 2], memory);
  }
  return TRUE;
}

/* Between LQ frame and picture. Where frames are never in flight together, one
 * of each serves all slots. */
static gboolean
allocate_between (DloralStream *s, DloralSlot *slot, GError **error)
{
  if (slot > s->slots && !s->model->backend->discrete) {
    slot->hr = s->slots->hr;
    slot->x0 = s->slots->x0;
    return TRUE;
  }
  return allocate_bound (s, &slot->hr, s->encode.graph, DLORAL_ENCODE_HR, error)
      && allocate_bound (s, &slot->x0, s->decode.graph, DLORAL_DECODE_X0,
      error);
}

static gboolean
make_events (DloralStream *s, DloralSlot *slot, GError **error)
{
  const DloralBackend *backend = s->model->backend;

  for (int i = 0; i < N_STEPS; i++)
    if ((slot->begun[i] = backend->event_new (s->model->device, error)) == NULL
        || (slot->done[i] = backend->event_new (s->model->device, error))
        == NULL)
      return FALSE;
  return TRUE;
}

static gboolean
make_slots (DloralStream *s, GError **error)
{
  s->n_slots = MAX (1, s->async_depth) + 1;
  s->slots = g_new0 (DloralSlot, s->n_slots);
  for (int i = 0; i < s->n_slots; i++) {
    DloralSlot *slot = &s->slots[i];

    if (!allocate_between (s, slot, error) || !make_events (s, slot, error))
      return FALSE;
    g_queue_push_tail (&s->idle, slot);
  }
  return TRUE;
}

/* The later a stage, the nearer its frame is to being late. */
static gboolean
make_queues (DloralStream *s, GError **error)
{
  for (int i = 0; i < N_QUEUES; i++) {
    s->queues[i] = s->model->backend->queue_new (s->model->device,
        i >= DECODE, error);
    if (s->queues[i] == NULL)
      return FALSE;
  }
  return TRUE;
}

/* --- Clearing it ----------------------------------------------------------- */

static void
clear_slots (DloralStream *s)
{
  const DloralBackend *backend = s->model->backend;

  for (int i = 0; i < s->n_slots; i++) {
    DloralSlot *slot = &s->slots[i];

    for (int step = 0; step < N_STEPS; step++) {
      g_clear_pointer (&slot->begun[step], backend->event_free);
      g_clear_pointer (&slot->done[step], backend->event_free);
    }
    dloral_restorer_free (slot->retired);
    g_clear_error (&slot->frame.error);
  }
  g_queue_clear (&s->idle);
  g_clear_pointer (&s->slots, g_free);
  s->n_slots = 0;
}

void
dloral_compiled_clear (DloralCompiled *stage, const DloralBackend *backend)
{
  if (stage->plan)
    backend->plan_free (stage->plan);
  dloral_graph_free (stage->graph);
  memset (stage, 0, sizeof *stage);
}

static void
clear_plans (DloralStream *s)
{
  DloralCompiled *stages[] = { &s->encode, &s->decode, &s->decode_first };

  for (guint i = 0; i < G_N_ELEMENTS (stages); i++)
    dloral_compiled_clear (stages[i], s->model->backend);
  g_clear_pointer (&s->restorer, dloral_restorer_free);
  g_clear_pointer (&s->edges, dloral_edges_free);
}

static void
clear_memory (DloralStream *s)
{
  const DloralBackend *backend = s->model->backend;

  for (guint i = 0; i < s->memory->len; i++)
    backend->free (s->model->device, s->memory->pdata[i]);
  g_ptr_array_set_size (s->memory, 0);
  g_ptr_array_set_size (s->remembered[0], 0);
  g_ptr_array_set_size (s->remembered[1], 0);
  g_clear_pointer (&s->small, g_free);
  g_clear_pointer (&s->latent, g_free);
  s->memory_size = 0;
}

/* Queues first: nothing runs any more then. */
void
dloral_stream_clear (DloralStream *s)
{
  for (int i = 0; i < N_QUEUES; i++)
    g_clear_pointer (&s->queues[i], s->model->backend->queue_free);
  clear_slots (s);
  clear_plans (s);
  clear_memory (s);
}

/* --- The whole ------------------------------------------------------------- */

/* Everything that depends on the tiles' size. */
static gboolean
stream_build (DloralStream *s, const DloralStreamParams *params, int tile,
    GError **error)
{
  s->geo.tile = tile;
  s->geo.overlap = params->tile_overlap > 0 ? params->tile_overlap :
      tile * DLORAL_TILE_OVERLAP / DLORAL_TILE_SIZE;
  if (compile (s, params, error) && allocate_arenas (s, error) &&
      make_slots (s, error) && dloral_stream_set_edges (s, NULL, NULL, error) &&
      allocate_state (s, error) &&
      allocate_remembered (s, error) && make_queues (s, error))
    return TRUE;
  dloral_stream_clear (s);
  return FALSE;
}

/* Smaller tiles need less memory, as long as it is theirs that counts. */
gboolean
dloral_stream_build (DloralStream *s, const DloralStreamParams *params,
    GError **error)
{
  int tile = dloral_tiles_choose (&s->model->config, s->geo.latent_height,
      s->geo.latent_width, params->tile_size);
  GError *failure = NULL;

  while (!stream_build (s, params, tile, &failure)) {
    int smaller = params->tile_size > 0 ? 0 :
        dloral_tiles_choose_smaller (s->geo.latent_height,
        s->geo.latent_width, tile);

    if (smaller == 0 ||
        !g_error_matches (failure, DLORAL_ERROR, DLORAL_ERROR_MEMORY)) {
      g_propagate_error (error, failure);
      return FALSE;
    }
    g_clear_error (&failure);
    tile = smaller;
  }
  return TRUE;
}
