/* A stream: the ring of frames, the state that links one frame to the next, and
 * the three stages in order.
 *
 * State in time is exactly the latents of the frames that the retrieval looks
 * back at, and their pictures at latent size, which live in a ring with those of
 * the current frame, so that every frame is encoded once; and what a decoder
 * remembers of the frame before.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stream.h"

#include <string.h>

#include "restorer.h"
#include "scene.h"
#include "tiles.h"

typedef struct
{
  DloralFrame frame;            /* first: the caller's view of the slot */
  guint epoch;                  /* of the flush it was submitted under */
} Slot;

typedef struct
{
  DloralGraph *graph;
  DloralPlan *plan;
} Stage;

struct _DloralStream
{
  DloralModel *model;
  DloralGeometry geo;
  int async_depth;
  double scene_cut_threshold;

  /* Compiled stages; device memory. Touched by whoever computes. */
  Stage encode, decode;
  Stage decode_first;           /* without a past; if the decoder remembers */
  DloralRestorer *restorer;
  GPtrArray *memory;            /* of the device, for freeing */
  gsize memory_size;
  gpointer arena;
  gsize arena_size;
  gpointer hr, x0, flow, aligned, fused;
  gpointer small[DLORAL_MAX_WINDOW + 1], latent[DLORAL_MAX_WINDOW + 1];
  int current;                  /* index into small, latent */
  int n_past;                   /* frames of this scene before, in the ring */
  /* What the decoder remembers, one an entry, of the frame before and of this
   * one in turn; owned by `memory`. */
  GPtrArray *remembered[2];
  int remembering;              /* which of them is this frame's */
  gboolean remembers;           /* the other one is the frame's before */
  gboolean have_flow;           /* of the last frame */
  DloralScene scene;

  /* The ring, under the lock. */
  GMutex lock;
  GCond changed;
  Slot *slots;
  int n_slots;
  GQueue idle, submitted, finished;     /* Slot */
  guint epoch;
  gboolean forget, flushing, stopping;
  DloralRestorer *next_restorer;        /* NULL: none is waiting */
  GThread *worker;              /* NULL where async_depth is 0 */
};

/* --- One frame ------------------------------------------------------------- */

static gboolean
run (DloralStream *s, DloralPlan *plan, gpointer const *bindings, gint64 *ns,
    GError **error)
{
  gint64 start = g_get_monotonic_time ();
  gboolean ok = s->model->backend->run (plan, s->arena, bindings, error);

  *ns = (g_get_monotonic_time () - start) * 1000;
  return ok;
}

static gboolean
encode (DloralStream *s, DloralFrame *f)
{
  gpointer bindings[] = {
    [DLORAL_ENCODE_LQ] = f->lq,
    [DLORAL_ENCODE_HR] = s->hr,
    [DLORAL_ENCODE_SMALL] = s->small[s->current],
    [DLORAL_ENCODE_LATENT] = s->latent[s->current],
  };

  return run (s, s->encode.plan, bindings,
      &f->stage_ns[DLORAL_STAGE_ENCODE], &f->error);
}

/* The slot of the ring of latents that is `back` frames old. */
static int
get_past (const DloralStream *s, int back)
{
  int n = s->geo.window + 1;

  return (s->current - back + n) % n;
}

static gboolean
restore (DloralStream *s, DloralFrame *f)
{
  gpointer bindings[DLORAL_RESTORE_PAST + 2 * DLORAL_MAX_WINDOW] = {
    [DLORAL_RESTORE_SMALL] = s->small[s->current],
    [DLORAL_RESTORE_LATENT] = s->latent[s->current],
    [DLORAL_RESTORE_FLOW] = s->flow,
    [DLORAL_RESTORE_ALIGNED] = s->aligned,
    [DLORAL_RESTORE_FUSED] = s->fused,
    [DLORAL_RESTORE_X0] = s->x0,
  };
  gint64 start = g_get_monotonic_time ();
  gboolean ok;

  for (int i = 0; i < s->n_past; i++) {
    bindings[DLORAL_RESTORE_PAST + 2 * i] = s->small[get_past (s, i + 1)];
    bindings[DLORAL_RESTORE_PAST + 2 * i + 1] = s->latent[get_past (s, i + 1)];
  }
  s->have_flow = s->n_past > 0 && s->geo.tile == 0;
  ok = dloral_restorer_run (s->restorer, s->n_past, s->arena, bindings,
      &f->error);
  f->stage_ns[DLORAL_STAGE_RESTORE] = (g_get_monotonic_time () - start) * 1000;
  return ok;
}

static gboolean
decode (DloralStream *s, DloralFrame *f)
{
  guint n = s->remembered[0]->len;
  const Stage *stage = n > 0 && !s->remembers ? &s->decode_first : &s->decode;
  gpointer *bindings = g_newa (gpointer, DLORAL_DECODE_MEMORY + 2 * n);

  bindings[DLORAL_DECODE_X0] = s->x0;
  bindings[DLORAL_DECODE_HR] = s->hr;
  bindings[DLORAL_DECODE_OUT] = (gpointer) f->hr;
  s->remembering = !s->remembering;
  for (guint i = 0; i < n; i++) {
    bindings[DLORAL_DECODE_MEMORY + 2 * i] =
        s->remembered[!s->remembering]->pdata[i];
    bindings[DLORAL_DECODE_MEMORY + 2 * i + 1] =
        s->remembered[s->remembering]->pdata[i];
  }
  if (run (s, stage->plan, bindings, &f->stage_ns[DLORAL_STAGE_DECODE],
          &f->error))
    return TRUE;
  f->plain = g_error_matches (f->error, DLORAL_ERROR, DLORAL_ERROR_NOT_FINITE);
  if (f->plain)
    g_clear_error (&f->error);
  return FALSE;
}

static gboolean
begins_scene (DloralStream *s, const DloralFrame *f, gboolean first)
{
  if (s->scene_cut_threshold <= 0)
    return first;
  return dloral_scene_score (&s->scene, f->lq, f->lq_stride, first)
      >= s->scene_cut_threshold || first;
}

/* The order of things, once a frame. One that fails, or whose result is none,
 * leaves no past. */
static void
compute (DloralStream *s, DloralFrame *f, gboolean forget)
{
  if (begins_scene (s, f, f->discont || forget)) {
    s->n_past = 0;
    s->remembers = FALSE;
  }
  f->plain = FALSE;
  s->current = (s->current + 1) % (s->geo.window + 1);
  s->remembers = encode (s, f) && restore (s, f) && decode (s, f);
  s->n_past = s->remembers ? MIN (s->n_past + 1, s->geo.window) : 0;
}

/* What was made of new conditions comes in between two frames. */
static void
take_restorer (DloralStream *s)
{
  DloralRestorer *old = NULL;

  g_mutex_lock (&s->lock);
  if (s->next_restorer) {
    old = s->restorer;
    s->restorer = g_steal_pointer (&s->next_restorer);
  }
  g_mutex_unlock (&s->lock);
  dloral_restorer_free (old);
}

/* --- The ring -------------------------------------------------------------- */

/* Computes the oldest submitted frame, with the lock held on both ends. */
static void
compute_oldest (DloralStream *s)
{
  Slot *slot = g_queue_pop_head (&s->submitted);
  gboolean forget = s->forget;

  s->forget = FALSE;
  g_mutex_unlock (&s->lock);
  take_restorer (s);
  compute (s, &slot->frame, forget);
  g_mutex_lock (&s->lock);
  if (slot->epoch == s->epoch) {
    g_queue_push_tail (&s->finished, slot);
  } else {
    g_clear_error (&slot->frame.error);
    g_queue_push_tail (&s->idle, slot);
  }
  g_cond_broadcast (&s->changed);
}

static gpointer
work (gpointer data)
{
  DloralStream *s = data;

  g_mutex_lock (&s->lock);
  while (!s->stopping) {
    if (g_queue_is_empty (&s->submitted))
      g_cond_wait (&s->changed, &s->lock);
    else
      compute_oldest (s);
  }
  g_mutex_unlock (&s->lock);
  return NULL;
}

DloralFrame *
dloral_stream_acquire (DloralStream *s)
{
  Slot *slot = NULL;

  g_mutex_lock (&s->lock);
  while (!s->flushing && (slot = g_queue_pop_head (&s->idle)) == NULL)
    g_cond_wait (&s->changed, &s->lock);
  g_mutex_unlock (&s->lock);
  if (slot == NULL)
    return NULL;
  slot->frame.discont = FALSE;
  slot->frame.user_data = NULL;
  return &slot->frame;
}

void
dloral_stream_submit (DloralStream *s, DloralFrame *frame)
{
  Slot *slot = (Slot *) frame;

  g_mutex_lock (&s->lock);
  slot->epoch = s->epoch;
  g_queue_push_tail (&s->submitted, slot);
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
}

static void
give_back (DloralStream *s, DloralFrame *frame)
{
  g_clear_error (&frame->error);
  g_mutex_lock (&s->lock);
  g_queue_push_tail (&s->idle, (Slot *) frame);
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
}

void
dloral_stream_cancel (DloralStream *s, DloralFrame *frame)
{
  give_back (s, frame);
}

void
dloral_stream_release (DloralStream *s, DloralFrame *frame)
{
  give_back (s, frame);
}

DloralFrame *
dloral_stream_collect (DloralStream *s, gboolean wait)
{
  Slot *slot = NULL;

  g_mutex_lock (&s->lock);
  if (s->worker == NULL && !s->flushing &&
      g_queue_is_empty (&s->finished) && !g_queue_is_empty (&s->submitted))
    compute_oldest (s);
  while (!s->flushing && (slot = g_queue_pop_head (&s->finished)) == NULL &&
      wait)
    g_cond_wait (&s->changed, &s->lock);
  g_mutex_unlock (&s->lock);
  return slot ? &slot->frame : NULL;
}

static void
discard (DloralStream *s, GQueue *queue)
{
  Slot *slot;

  while ((slot = g_queue_pop_head (queue)) != NULL) {
    g_clear_error (&slot->frame.error);
    g_queue_push_tail (&s->idle, slot);
  }
}

void
dloral_stream_set_flushing (DloralStream *s, gboolean flushing)
{
  g_mutex_lock (&s->lock);
  if (s->flushing && !flushing) {
    s->epoch++;
    s->forget = TRUE;
    discard (s, &s->submitted);
    discard (s, &s->finished);
  }
  s->flushing = flushing;
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
}

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
compile_stage (DloralStream *s, Stage *stage, DloralGraph *graph,
    GError **error)
{
  stage->graph = graph;
  if (graph)
    stage->plan = s->model->backend->compile (s->model->device, graph, error);
  return stage->plan != NULL;
}

static gboolean
compile (DloralStream *s, const DloralConditions *conditions, GError **error)
{
  s->restorer = dloral_restorer_new (s->model, &s->geo, conditions, error);
  return s->restorer != NULL
      && compile_stage (s, &s->encode,
      dloral_encode_graph (s->model, &s->geo, error), error)
      && compile_stage (s, &s->decode,
      dloral_decode_graph (s->model, &s->geo, FALSE, error), error)
      && (s->decode.graph->n_bindings == DLORAL_DECODE_MEMORY
      || compile_stage (s, &s->decode_first,
          dloral_decode_graph (s->model, &s->geo, TRUE, error), error));
}

/* Plans of a stream run one after another: one arena serves all. */
static gboolean
allocate_arena (DloralStream *s, GError **error)
{
  const DloralBackend *backend = s->model->backend;

  s->arena_size = MAX (dloral_restorer_get_arena_size (s->restorer),
      MAX (backend->plan_get_arena_size (s->encode.plan),
          backend->plan_get_arena_size (s->decode.plan)));
  if (s->decode_first.plan)
    s->arena_size = MAX (s->arena_size,
        backend->plan_get_arena_size (s->decode_first.plan));
  s->arena_size = MAX (s->arena_size, DLORAL_ALIGN);
  s->arena = allocate (s, s->arena_size, error);
  return s->arena != NULL;
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

static gboolean
allocate_state (DloralStream *s, GError **error)
{
  const DloralGraph *encode = s->encode.graph;
  const DloralGraph *restore = dloral_restorer_get_graph (s->restorer, 0);

  s->memory_size += dloral_restorer_get_memory (s->restorer);
  for (int i = 0; i <= s->geo.window; i++)
    if (!allocate_bound (s, &s->small[i], encode, DLORAL_ENCODE_SMALL, error)
        || !allocate_bound (s, &s->latent[i], encode, DLORAL_ENCODE_LATENT,
            error))
      return FALSE;
  return allocate_bound (s, &s->hr, encode, DLORAL_ENCODE_HR, error)
      && allocate_bound (s, &s->flow, restore, DLORAL_RESTORE_FLOW, error)
      && allocate_bound (s, &s->aligned, restore, DLORAL_RESTORE_ALIGNED, error)
      && allocate_bound (s, &s->fused, restore, DLORAL_RESTORE_FUSED, error)
      && allocate_bound (s, &s->x0, restore, DLORAL_RESTORE_X0, error);
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

static gboolean
allocate_slots (DloralStream *s, GError **error)
{
  gsize lq_stride = (gsize) s->geo.width * 3;
  gsize hr_stride = (gsize) s->geo.hr_width * 3;

  s->n_slots = MAX (1, s->async_depth) + 1;
  s->slots = g_new0 (Slot, s->n_slots);
  for (int i = 0; i < s->n_slots; i++) {
    DloralFrame *f = &s->slots[i].frame;

    f->lq_stride = lq_stride;
    f->hr_stride = hr_stride;
    f->lq = allocate (s, lq_stride * s->geo.height, error);
    f->hr = f->lq ? allocate (s, hr_stride * s->geo.hr_height, error) : NULL;
    if (f->hr == NULL)
      return FALSE;
    g_queue_push_tail (&s->idle, &s->slots[i]);
  }
  return TRUE;
}

static gboolean
check_size (const DloralStreamParams *params, GError **error)
{
  if (MIN (params->width, params->height) >= 16 &&
      MAX (params->width, params->height) <= 8192 && params->async_depth >= 0)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
      "A frame of %d×%d cannot be restored: each side must have 16 to 8192 "
      "pixels.", params->width, params->height);
  return FALSE;
}

static gboolean
check_times (const DloralStreamParams *params, GError **error)
{
  if (params->temporal_window >= 0 &&
      params->temporal_window <= DLORAL_MAX_WINDOW)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
      "A temporal window of %d frames cannot be used: choose one from 0 to %d.",
      params->temporal_window, DLORAL_MAX_WINDOW);
  return FALSE;
}

static void
stream_clear (DloralStream *s)
{
  const DloralBackend *backend = s->model->backend;
  Stage *stages[] = { &s->encode, &s->decode, &s->decode_first };

  for (guint i = 0; i < G_N_ELEMENTS (stages); i++) {
    if (stages[i]->plan)
      backend->plan_free (stages[i]->plan);
    dloral_graph_free (stages[i]->graph);
    memset (stages[i], 0, sizeof *stages[i]);
  }
  g_clear_pointer (&s->restorer, dloral_restorer_free);
  for (guint i = 0; i < s->memory->len; i++)
    backend->free (s->model->device, s->memory->pdata[i]);
  g_ptr_array_set_size (s->memory, 0);
  g_ptr_array_set_size (s->remembered[0], 0);
  g_ptr_array_set_size (s->remembered[1], 0);
  s->memory_size = 0;
  g_queue_clear (&s->idle);
  g_clear_pointer (&s->slots, g_free);
  s->n_slots = 0;
}

/* Everything that depends on the tiles' size. */
static gboolean
stream_build (DloralStream *s, const DloralStreamParams *params, int tile,
    GError **error)
{
  s->geo.tile = tile;
  s->geo.overlap = params->tile_overlap > 0 ? params->tile_overlap :
      tile * DLORAL_TILE_OVERLAP / DLORAL_TILE_SIZE;
  if (compile (s, &params->conditions, error) && allocate_arena (s, error) &&
      allocate_state (s, error) && allocate_remembered (s, error) &&
      allocate_slots (s, error))
    return TRUE;
  stream_clear (s);
  return FALSE;
}

/* Smaller tiles need less memory, as long as it is theirs that counts. */
static gboolean
stream_build_to_fit (DloralStream *s, const DloralStreamParams *params,
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

DloralStream *
dloral_stream_new (DloralModel *model, const DloralStreamParams *params,
    GError **error)
{
  DloralStream *s;

  if (!check_size (params, error) || !check_times (params, error))
    return NULL;
  s = g_new0 (DloralStream, 1);
  s->model = dloral_model_ref (model);
  s->async_depth = params->async_depth;
  s->scene_cut_threshold = params->scene_cut_threshold;
  s->memory = g_ptr_array_new ();
  s->remembered[0] = g_ptr_array_new ();
  s->remembered[1] = g_ptr_array_new ();
  g_mutex_init (&s->lock);
  g_cond_init (&s->changed);
  dloral_scene_init (&s->scene, params->height, (gsize) params->width * 3);
  dloral_geometry_init (&s->geo, &model->config, params);
  if (!stream_build_to_fit (s, params, error)) {
    dloral_stream_free (s);
    return NULL;
  }
  if (s->async_depth > 0)
    s->worker = g_thread_new ("dloral-worker", work, s);
  return s;
}

gboolean
dloral_stream_set_conditions (DloralStream *s,
    const DloralConditions *conditions, GError **error)
{
  DloralRestorer *next = dloral_restorer_new (s->model, &s->geo, conditions,
      error), *unused;

  if (next == NULL)
    return FALSE;
  /* Shapes are the same, so this holds; the arena is not the stream's to grow
   * while a frame is being computed in it. */
  g_assert (dloral_restorer_get_arena_size (next) <= s->arena_size);
  g_mutex_lock (&s->lock);
  unused = s->next_restorer;
  s->next_restorer = next;
  g_mutex_unlock (&s->lock);
  dloral_restorer_free (unused);
  return TRUE;
}

static void
stop_worker (DloralStream *s)
{
  g_mutex_lock (&s->lock);
  s->stopping = TRUE;
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
  if (s->worker)
    g_thread_join (s->worker);
}

void
dloral_stream_free (DloralStream *s)
{
  stop_worker (s);
  for (int i = 0; i < s->n_slots; i++)
    g_clear_error (&s->slots[i].frame.error);
  stream_clear (s);
  dloral_restorer_free (s->next_restorer);
  g_queue_clear (&s->submitted);
  g_queue_clear (&s->finished);
  g_ptr_array_unref (s->memory);
  g_ptr_array_unref (s->remembered[0]);
  g_ptr_array_unref (s->remembered[1]);
  dloral_scene_clear (&s->scene);
  dloral_model_unref (s->model);
  g_mutex_clear (&s->lock);
  g_cond_clear (&s->changed);
  g_free (s);
}

gsize
dloral_stream_get_memory (const DloralStream *s)
{
  return s->memory_size;
}

/* --- Looking inside -------------------------------------------------------- */

float *
dloral_stream_dup_tensor (DloralStream *s, const char *name, int *h, int *w,
    int *c)
{
  const struct
  {
    const char *name;
    gconstpointer data;
    int c;
  } tensors[] = {
    { "latent", s->latent[s->current], s->model->config.vae.latent_channels },
    { "flow", s->flow, 2 },
    { "aligned", s->aligned, s->model->config.vae.latent_channels },
    { "fused", s->fused, s->model->config.vae.latent_channels },
    { "x0", s->x0, s->model->config.vae.latent_channels },
  };

  if ((!s->have_flow && g_str_equal (name, "flow")) || (s->geo.tile > 0
          && (g_str_equal (name, "aligned") || g_str_equal (name, "fused"))))
    return NULL;
  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    if (g_str_equal (tensors[i].name, name)) {
      *h = s->geo.latent_height;
      *w = s->geo.latent_width;
      *c = tensors[i].c;
      return g_memdup2 (tensors[i].data,
          (gsize) *h * *w * *c * sizeof (float));
    }
  return NULL;
}

const DloralGraph *
dloral_stream_profile (DloralStream *s, DloralStage stage, gboolean enable,
    const DloralOpTime **times)
{
  const Stage *own = stage == DLORAL_STAGE_ENCODE ? &s->encode : &s->decode;
  int past = s->geo.window;
  DloralPlan *plan = stage == DLORAL_STAGE_RESTORE ?
      dloral_restorer_get_plan (s->restorer, past) : own->plan;

  *times = s->model->backend->plan_profile (plan, enable);
  return stage == DLORAL_STAGE_RESTORE ?
      dloral_restorer_get_graph (s->restorer, past) : own->graph;
}
