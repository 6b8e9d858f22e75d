/* A stream: the ring of frames, the state that links one frame to the next, and
 * the three stages in order.
 *
 * State in time is exactly the latents of the frames that the retrieval looks
 * back at, and their pictures at latent size, which live in a ring with those of
 * the current frame, so that every frame is encoded once; and what a decoder
 * remembers of the frame before.
 *
 * Each stage has a queue of its own, and so have the copies to and from the
 * device. Events between them say that a stage waits for the one before of the
 * same frame. Nothing has to wait for later frames to let go of what it writes:
 * whatever belongs to a frame belongs to its slot, and a slot comes round again
 * only when its frame is done; and the latents' ring has room for as many frames
 * as there are slots, and for what the oldest of them looks back at.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stream.h"

#include <string.h>

#include "restorer.h"
#include "scene.h"
#include "tiles.h"

/* What is done to a frame, in this order, each in a queue. */
typedef enum
{
  UPLOAD, ENCODE, RESTORE, DECODE, DOWNLOAD,
  N_STEPS
} Step;

typedef struct
{
  DloralFrame frame;            /* first: the caller's view of the slot */
  guint epoch;                  /* of the flush it was submitted under */
  gboolean in_flight;           /* until waited for */
  DloralEvent *begun[N_STEPS], *done[N_STEPS];
  /* Device memory; lq and out are the frame's own where there is no other. */
  gpointer lq, out;             /* out: and one byte, whether it is finite */
  gpointer hr, x0;
  DloralRestorer *retired;      /* the last frame to use it is this one's
                                 * predecessor */
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
  GPtrArray *memory, *host_memory;      /* of the device's, for freeing */
  gsize memory_size;
  DloralQueue *queues[N_STEPS];
  gpointer arenas[N_STEPS];     /* of the stages; one for all where they never
                                 * run beside each other */
  gsize restore_arena_size;
  gpointer flow, aligned, fused, x0;    /* x0: of the frame issued last */
  gpointer *small, *latent;     /* [n_latents] */
  int n_latents;
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
  GQueue idle, submitted, issued;       /* Slot */
  guint epoch;
  gboolean forget, flushing, stopping;
  DloralRestorer *next_restorer;        /* NULL: none is waiting */
  GThread *worker;              /* NULL where async_depth is 0 */
};

/* --- One frame ------------------------------------------------------------- */

static gboolean
run (DloralStream *s, Step step, DloralPlan *plan, gpointer const *bindings,
    GError **error)
{
  return s->model->backend->run (plan, s->queues[step], s->arenas[step],
      bindings, error);
}

static gboolean
upload (DloralStream *s, Slot *slot, GError **error)
{
  const DloralFrame *f = &slot->frame;

  return slot->lq == f->lq || s->model->backend->upload (s->queues[UPLOAD],
      slot->lq, f->lq, f->lq_stride * s->geo.height, error);
}

static gboolean
encode (DloralStream *s, Slot *slot, GError **error)
{
  gpointer bindings[] = {
    [DLORAL_ENCODE_LQ] = slot->lq,
    [DLORAL_ENCODE_HR] = slot->hr,
    [DLORAL_ENCODE_SMALL] = s->small[s->current],
    [DLORAL_ENCODE_LATENT] = s->latent[s->current],
  };

  return run (s, ENCODE, s->encode.plan, bindings, error);
}

/* The slot of the ring of latents that is `back` frames old. */
static int
get_past (const DloralStream *s, int back)
{
  return (s->current - back + s->n_latents) % s->n_latents;
}

static gboolean
restore (DloralStream *s, Slot *slot, GError **error)
{
  gpointer bindings[DLORAL_RESTORE_PAST + 2 * DLORAL_MAX_WINDOW] = {
    [DLORAL_RESTORE_SMALL] = s->small[s->current],
    [DLORAL_RESTORE_LATENT] = s->latent[s->current],
    [DLORAL_RESTORE_FLOW] = s->flow,
    [DLORAL_RESTORE_ALIGNED] = s->aligned,
    [DLORAL_RESTORE_FUSED] = s->fused,
    [DLORAL_RESTORE_X0] = slot->x0,
  };

  for (int i = 0; i < s->n_past; i++) {
    bindings[DLORAL_RESTORE_PAST + 2 * i] = s->small[get_past (s, i + 1)];
    bindings[DLORAL_RESTORE_PAST + 2 * i + 1] = s->latent[get_past (s, i + 1)];
  }
  s->have_flow = s->n_past > 0 && s->geo.tile == 0;
  s->x0 = slot->x0;
  return dloral_restorer_run (s->restorer, s->n_past, s->queues[RESTORE],
      s->arenas[RESTORE], bindings, error);
}

static gsize
get_hr_size (const DloralStream *s)
{
  return (gsize) s->geo.hr_width * 3 * s->geo.hr_height;
}

static gboolean
decode (DloralStream *s, Slot *slot, GError **error)
{
  guint n = s->remembered[0]->len;
  const Stage *stage = n > 0 && !s->remembers ? &s->decode_first : &s->decode;
  gpointer *bindings = g_newa (gpointer, DLORAL_DECODE_MEMORY + 2 * n);

  bindings[DLORAL_DECODE_X0] = slot->x0;
  bindings[DLORAL_DECODE_HR] = slot->hr;
  bindings[DLORAL_DECODE_OUT] = slot->out;
  bindings[DLORAL_DECODE_FINITE] = (guint8 *) slot->out + get_hr_size (s);
  s->remembering = !s->remembering;
  for (guint i = 0; i < n; i++) {
    bindings[DLORAL_DECODE_MEMORY + 2 * i] =
        s->remembered[!s->remembering]->pdata[i];
    bindings[DLORAL_DECODE_MEMORY + 2 * i + 1] =
        s->remembered[s->remembering]->pdata[i];
  }
  return run (s, DECODE, stage->plan, bindings, error);
}

static gboolean
download (DloralStream *s, Slot *slot, GError **error)
{
  DloralFrame *f = &slot->frame;

  return slot->out == f->hr || s->model->backend->download
      (s->queues[DOWNLOAD], (gpointer) f->hr, slot->out, get_hr_size (s) + 1,
      error);
}

static gboolean
begins_scene (DloralStream *s, const DloralFrame *f, gboolean first)
{
  if (s->scene_cut_threshold <= 0)
    return first;
  return dloral_scene_score (&s->scene, f->lq, f->lq_stride, first)
      >= s->scene_cut_threshold || first;
}

/* Every step in its queue, after the step before. */
static gboolean
issue_steps (DloralStream *s, Slot *slot, GError **error)
{
  static gboolean (*const steps[N_STEPS]) (DloralStream *, Slot *, GError **) =
      { upload, encode, restore, decode, download };
  const DloralBackend *backend = s->model->backend;

  for (int i = 0; i < N_STEPS; i++)
    if ((i > 0 && !backend->queue_wait (s->queues[i], slot->done[i - 1],
                error)) ||
        !backend->event_record (slot->begun[i], s->queues[i], error) ||
        !steps[i] (s, slot, error) ||
        !backend->event_record (slot->done[i], s->queues[i], error))
      return FALSE;
  return TRUE;
}

/* After a failure no event tells when the steps before it are done. */
static void
finish_queues (DloralStream *s, Slot *slot)
{
  for (int i = 0; i < N_STEPS; i++)
    s->model->backend->queue_finish (s->queues[i], NULL);
  slot->in_flight = FALSE;
}

/* The order of things, once a frame. One that fails leaves no past. */
static void
issue (DloralStream *s, Slot *slot, gboolean forget)
{
  DloralFrame *f = &slot->frame;

  if (begins_scene (s, f, f->discont || forget)) {
    s->n_past = 0;
    s->remembers = FALSE;
  }
  s->current = (s->current + 1) % s->n_latents;
  slot->in_flight = TRUE;
  s->remembers = issue_steps (s, slot, &f->error);
  if (!s->remembers)
    finish_queues (s, slot);
  s->n_past = s->remembers ? MIN (s->n_past + 1, s->geo.window) : 0;
}

/* Nothing of the slot is in use any more when this returns. */
static void
wait_for (DloralStream *s, Slot *slot, GError **error)
{
  if (slot->in_flight)
    s->model->backend->event_finish (slot->done[DOWNLOAD], error);
  slot->in_flight = FALSE;
  g_clear_pointer (&slot->retired, dloral_restorer_free);
}

/* Waits for the frame; what is known only then. A picture that is not what the
 * networks made is no past for the next frame. */
static void
settle (DloralStream *s, Slot *slot)
{
  const DloralBackend *backend = s->model->backend;
  DloralFrame *f = &slot->frame;

  f->plain = FALSE;
  if (f->error == NULL)
    wait_for (s, slot, &f->error);
  if (f->error)
    return;
  for (int i = 0; i < DLORAL_N_STAGES; i++)
    f->stage_ns[i] = backend->event_get_elapsed (slot->begun[ENCODE + i],
        slot->done[ENCODE + i]);
  f->plain = !f->hr[get_hr_size (s)];
  if (f->plain) {
    g_mutex_lock (&s->lock);
    s->forget = TRUE;
    g_mutex_unlock (&s->lock);
  }
}

/* What was made of new conditions comes in between two frames; what it replaces
 * goes when the first of them is done. With the lock held. */
static void
take_restorer (DloralStream *s, Slot *slot)
{
  if (s->next_restorer == NULL)
    return;
  slot->retired = s->restorer;
  s->restorer = g_steal_pointer (&s->next_restorer);
}

/* --- The ring -------------------------------------------------------------- */

/* Issues the oldest submitted frame, with the lock held on both ends. */
static void
issue_oldest (DloralStream *s)
{
  Slot *slot = g_queue_pop_head (&s->submitted);
  gboolean forget = s->forget;

  s->forget = FALSE;
  take_restorer (s, slot);
  g_mutex_unlock (&s->lock);
  issue (s, slot, forget);
  if (!s->model->backend->discrete)
    settle (s, slot);
  g_mutex_lock (&s->lock);
  if (slot->epoch == s->epoch) {
    g_queue_push_tail (&s->issued, slot);
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
      issue_oldest (s);
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
  wait_for (s, slot, NULL);
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

/* The oldest issued slot, off its queue; with the lock held. NULL when it has
 * to be waited for and that is not wanted. */
static Slot *
take_issued (DloralStream *s, gboolean wait)
{
  Slot *slot = g_queue_peek_head (&s->issued);

  if (slot && !wait && slot->in_flight &&
      !s->model->backend->event_is_past (slot->done[DOWNLOAD]))
    return NULL;
  return g_queue_pop_head (&s->issued);
}

DloralFrame *
dloral_stream_collect (DloralStream *s, gboolean wait)
{
  Slot *slot = NULL;

  g_mutex_lock (&s->lock);
  if (s->worker == NULL && !s->flushing &&
      g_queue_is_empty (&s->issued) && !g_queue_is_empty (&s->submitted))
    issue_oldest (s);
  while (!s->flushing && (slot = take_issued (s, wait)) == NULL && wait)
    g_cond_wait (&s->changed, &s->lock);
  g_mutex_unlock (&s->lock);
  if (slot == NULL)
    return NULL;
  if (s->model->backend->discrete)
    settle (s, slot);
  return &slot->frame;
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
    discard (s, &s->issued);
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

static gboolean
allocate_latents (DloralStream *s, GError **error)
{
  const DloralGraph *encode = s->encode.graph;

  s->n_latents = s->geo.window + (s->model->backend->discrete ? s->n_slots : 1);
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

static gpointer
allocate_host (DloralStream *s, gsize size, GError **error)
{
  gpointer p = s->model->backend->alloc_host (s->model->device, size, error);

  if (p)
    g_ptr_array_add (s->host_memory, p);
  return p;
}

/* Between LQ frame and picture. Where frames are never in flight together, one
 * of each serves all slots. */
static gboolean
allocate_between (DloralStream *s, Slot *slot, GError **error)
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
allocate_pictures (DloralStream *s, Slot *slot, GError **error)
{
  DloralFrame *f = &slot->frame;
  gsize lq_size, hr_size = get_hr_size (s) + 1;

  f->lq_stride = (gsize) s->geo.width * 3;
  f->hr_stride = (gsize) s->geo.hr_width * 3;
  lq_size = f->lq_stride * s->geo.height;
  f->lq = allocate_host (s, lq_size, error);
  f->hr = f->lq ? allocate_host (s, hr_size, error) : NULL;
  if (f->hr == NULL)
    return FALSE;
  slot->lq = s->model->backend->discrete ? allocate (s, lq_size, error) : f->lq;
  slot->out = s->model->backend->discrete ? allocate (s, hr_size, error) :
      (gpointer) f->hr;
  return slot->lq && slot->out;
}

static gboolean
make_events (DloralStream *s, Slot *slot, GError **error)
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
  s->slots = g_new0 (Slot, s->n_slots);
  for (int i = 0; i < s->n_slots; i++) {
    Slot *slot = &s->slots[i];

    if (!allocate_pictures (s, slot, error) ||
        !allocate_between (s, slot, error) || !make_events (s, slot, error))
      return FALSE;
    g_queue_push_tail (&s->idle, slot);
  }
  return TRUE;
}

/* The later a stage, the nearer its frame is to being late. */
static gboolean
make_queues (DloralStream *s, GError **error)
{
  for (int i = 0; i < N_STEPS; i++) {
    s->queues[i] = s->model->backend->queue_new (s->model->device,
        i >= DECODE, error);
    if (s->queues[i] == NULL)
      return FALSE;
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
clear_slots (DloralStream *s)
{
  const DloralBackend *backend = s->model->backend;

  for (int i = 0; i < s->n_slots; i++) {
    Slot *slot = &s->slots[i];

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

static void
clear_plans (DloralStream *s)
{
  Stage *stages[] = { &s->encode, &s->decode, &s->decode_first };

  for (guint i = 0; i < G_N_ELEMENTS (stages); i++) {
    if (stages[i]->plan)
      s->model->backend->plan_free (stages[i]->plan);
    dloral_graph_free (stages[i]->graph);
    memset (stages[i], 0, sizeof *stages[i]);
  }
  g_clear_pointer (&s->restorer, dloral_restorer_free);
}

static void
clear_memory (DloralStream *s)
{
  const DloralBackend *backend = s->model->backend;

  for (guint i = 0; i < s->memory->len; i++)
    backend->free (s->model->device, s->memory->pdata[i]);
  for (guint i = 0; i < s->host_memory->len; i++)
    backend->free_host (s->model->device, s->host_memory->pdata[i]);
  g_ptr_array_set_size (s->memory, 0);
  g_ptr_array_set_size (s->host_memory, 0);
  g_ptr_array_set_size (s->remembered[0], 0);
  g_ptr_array_set_size (s->remembered[1], 0);
  g_clear_pointer (&s->small, g_free);
  g_clear_pointer (&s->latent, g_free);
  s->memory_size = 0;
}

/* Queues first: nothing runs any more then. */
static void
stream_clear (DloralStream *s)
{
  for (int i = 0; i < N_STEPS; i++)
    g_clear_pointer (&s->queues[i], s->model->backend->queue_free);
  clear_slots (s);
  clear_plans (s);
  clear_memory (s);
}

/* Everything that depends on the tiles' size. */
static gboolean
stream_build (DloralStream *s, const DloralStreamParams *params, int tile,
    GError **error)
{
  s->geo.tile = tile;
  s->geo.overlap = params->tile_overlap > 0 ? params->tile_overlap :
      tile * DLORAL_TILE_OVERLAP / DLORAL_TILE_SIZE;
  if (compile (s, &params->conditions, error) && allocate_arenas (s, error) &&
      make_slots (s, error) && allocate_state (s, error) &&
      allocate_remembered (s, error) && make_queues (s, error))
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
  s->host_memory = g_ptr_array_new ();
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
  g_assert (dloral_restorer_get_arena_size (next) <=
      s->restore_arena_size);
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
  stream_clear (s);
  dloral_restorer_free (s->next_restorer);
  g_queue_clear (&s->submitted);
  g_queue_clear (&s->issued);
  g_ptr_array_unref (s->memory);
  g_ptr_array_unref (s->host_memory);
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

/* f32 of the device's, whose queues have nothing left to do. */
static float *
dup_memory (DloralStream *s, gconstpointer memory, gsize n)
{
  const DloralBackend *backend = s->model->backend;
  float *copy = g_new (float, n);

  if (backend->download (s->queues[DOWNLOAD], copy, memory, n * sizeof *copy,
          NULL) && backend->queue_finish (s->queues[DOWNLOAD], NULL))
    return copy;
  g_free (copy);
  return NULL;
}

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
      return dup_memory (s, tensors[i].data, (gsize) *h * *w * *c);
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
