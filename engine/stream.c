/* A stream: the ring of frames, the state that links one frame to the next, and
 * the three stages in order.
 *
 * State in time is exactly the previous frame's latent, its picture at latent
 * size, and what a decoder may remember; all live in rings of two, so every
 * frame is encoded once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stream.h"

#include <string.h>

#include "stages.h"

typedef struct
{
  DloralFrame frame;            /* first: the caller's view of the slot */
  guint epoch;                  /* of the flush it was submitted under */
} Slot;

struct _DloralStream
{
  DloralModel *model;
  DloralGeometry geo;
  int async_depth;

  /* Compiled stages; device memory. Touched by whoever computes. */
  DloralGraph *graphs[DLORAL_N_GRAPHS];
  DloralPlan *plans[DLORAL_N_GRAPHS];
  GPtrArray *memory;            /* of the device, for freeing */
  gsize memory_size;
  gpointer arena;
  gpointer hr, x0, flow, aligned, fused;
  gpointer small[2], latent[2];
  GPtrArray *kv;                /* gpointer, owned by `memory` */
  /* What the decoder remembers, one an entry, likewise: of the frame before,
   * and of the one it decodes. */
  GPtrArray *remembered[2];
  int current;                  /* index into small, latent */
  gboolean have_past;
  gboolean first;               /* the last frame had no past */

  /* The ring, under the lock. */
  GMutex lock;
  GCond changed;
  Slot *slots;
  int n_slots;
  GQueue idle, submitted, finished;     /* Slot */
  guint epoch;
  gboolean forget, flushing, stopping;
  GThread *worker;              /* NULL where async_depth is 0 */
};

/* --- One frame ------------------------------------------------------------- */

static gboolean
run (DloralStream *s, DloralGraphKind kind, gpointer const *bindings,
    gint64 *ns, GError **error)
{
  gint64 start = g_get_monotonic_time ();
  gboolean ok = s->model->backend->run (s->plans[kind], s->arena, bindings,
      error);

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

  return run (s, DLORAL_GRAPH_ENCODE, bindings,
      &f->stage_ns[DLORAL_STAGE_ENCODE], &f->error);
}

static gboolean
restore (DloralStream *s, DloralFrame *f)
{
  int past = s->have_past ? !s->current : s->current;
  gpointer *bindings = g_newa (gpointer, DLORAL_RESTORE_KV + s->kv->len);

  s->first = !s->have_past;
  bindings[DLORAL_RESTORE_PREV_SMALL] = s->small[past];
  bindings[DLORAL_RESTORE_SMALL] = s->small[s->current];
  bindings[DLORAL_RESTORE_PREV_LATENT] = s->latent[past];
  bindings[DLORAL_RESTORE_LATENT] = s->latent[s->current];
  bindings[DLORAL_RESTORE_FLOW] = s->flow;
  bindings[DLORAL_RESTORE_ALIGNED] = s->aligned;
  bindings[DLORAL_RESTORE_FUSED] = s->fused;
  bindings[DLORAL_RESTORE_X0] = s->x0;
  for (guint i = 0; i < s->kv->len; i++)
    bindings[DLORAL_RESTORE_KV + i] = s->kv->pdata[i];
  return run (s, s->have_past ? DLORAL_GRAPH_RESTORE :
      DLORAL_GRAPH_RESTORE_FIRST, bindings,
      &f->stage_ns[DLORAL_STAGE_RESTORE], &f->error);
}

static gboolean
decode (DloralStream *s, DloralFrame *f)
{
  GPtrArray *past = s->remembered[0], *now = s->remembered[1];
  guint n = now->len;
  gpointer *bindings = g_newa (gpointer, DLORAL_DECODE_MEMORY + 2 * n);

  bindings[DLORAL_DECODE_X0] = s->x0;
  bindings[DLORAL_DECODE_HR] = s->hr;
  bindings[DLORAL_DECODE_OUT] = (gpointer) f->hr;
  for (guint i = 0; i < n; i++) {
    bindings[DLORAL_DECODE_MEMORY + 2 * i] = past->pdata[i];
    bindings[DLORAL_DECODE_MEMORY + 2 * i + 1] = now->pdata[i];
  }
  s->remembered[0] = now;
  s->remembered[1] = past;
  return run (s, n > 0 && !s->have_past ? DLORAL_GRAPH_DECODE_FIRST :
      DLORAL_GRAPH_DECODE, bindings, &f->stage_ns[DLORAL_STAGE_DECODE],
      &f->error);
}

/* The order of things, once a frame. A frame that fails leaves no past. */
static void
compute (DloralStream *s, DloralFrame *f, gboolean forget)
{
  if (f->discont || forget)
    s->have_past = FALSE;
  s->current = !s->current;
  s->have_past = encode (s, f) && restore (s, f) && decode (s, f);
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
compile (DloralStream *s, GError **error)
{
  for (int kind = 0; kind < DLORAL_N_GRAPHS; kind++) {
    if (!dloral_graph_is_needed (s->model, &s->geo, kind))
      continue;
    s->graphs[kind] = dloral_graph_build (s->model, &s->geo, kind, error);
    if (s->graphs[kind] == NULL)
      return FALSE;
    s->plans[kind] = s->model->backend->compile (s->model->device,
        s->graphs[kind], error);
    if (s->plans[kind] == NULL)
      return FALSE;
  }
  return TRUE;
}

/* Plans of a stream run one after another: one arena serves all. */
static gboolean
allocate_arena (DloralStream *s, GError **error)
{
  gsize size = DLORAL_ALIGN;

  for (int kind = 0; kind < DLORAL_N_GRAPHS; kind++)
    if (s->plans[kind])
      size = MAX (size,
          s->model->backend->plan_get_arena_size (s->plans[kind]));
  s->arena = allocate (s, size, error);
  return s->arena != NULL;
}

/* Memory for every bound tensor that is ours, its size from the graphs. */
static gboolean
allocate_state (DloralStream *s, GError **error)
{
  const struct
  {
    gpointer *memory;
    DloralGraphKind graph;
    guint binding;
  } parts[] = {
    { &s->hr, DLORAL_GRAPH_ENCODE, DLORAL_ENCODE_HR },
    { &s->small[0], DLORAL_GRAPH_ENCODE, DLORAL_ENCODE_SMALL },
    { &s->small[1], DLORAL_GRAPH_ENCODE, DLORAL_ENCODE_SMALL },
    { &s->latent[0], DLORAL_GRAPH_ENCODE, DLORAL_ENCODE_LATENT },
    { &s->latent[1], DLORAL_GRAPH_ENCODE, DLORAL_ENCODE_LATENT },
    { &s->flow, DLORAL_GRAPH_RESTORE, DLORAL_RESTORE_FLOW },
    { &s->aligned, DLORAL_GRAPH_RESTORE, DLORAL_RESTORE_ALIGNED },
    { &s->fused, DLORAL_GRAPH_RESTORE, DLORAL_RESTORE_FUSED },
    { &s->x0, DLORAL_GRAPH_RESTORE, DLORAL_RESTORE_X0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (parts); i++) {
    const DloralTensor *t =
        dloral_graph_get_bound (s->graphs[parts[i].graph], parts[i].binding);

    *parts[i].memory = allocate (s, dloral_tensor_get_size (t), error);
    if (*parts[i].memory == NULL)
      return FALSE;
  }
  return TRUE;
}

/* What the decoder remembers, of the frame before and of this one. */
static gboolean
allocate_remembered (DloralStream *s, GError **error)
{
  const DloralGraph *g = s->graphs[DLORAL_GRAPH_DECODE];

  for (int i = DLORAL_DECODE_MEMORY; i < g->n_bindings; i++) {
    gpointer memory = allocate (s,
        dloral_tensor_get_size (dloral_graph_get_bound (g, i)), error);

    if (memory == NULL)
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

/* Keys and values of the stored prompt. */
static gboolean
condition (DloralStream *s, GError **error)
{
  const DloralGraph *g = s->graphs[DLORAL_GRAPH_CONDITION];
  g_autofree gpointer *bindings = NULL;
  g_autofree float *prompt = NULL;
  const DloralEntry *entry;
  gint64 ns;

  if (g == NULL)
    return TRUE;
  entry = dloral_safetensors_find (s->model->file, "prompt_embeds");
  prompt = g_new (float, entry->shape[0] * entry->shape[1]);
  dloral_entry_read_f32 (entry, 0, entry->shape[0] * entry->shape[1], prompt);
  bindings = g_new0 (gpointer, g->n_bindings);
  bindings[DLORAL_CONDITION_PROMPT] = prompt;
  for (int i = DLORAL_CONDITION_KV; i < g->n_bindings; i++) {
    bindings[i] = allocate (s,
        dloral_tensor_get_size (dloral_graph_get_bound (g, i)), error);
    if (bindings[i] == NULL)
      return FALSE;
    g_ptr_array_add (s->kv, bindings[i]);
  }
  return run (s, DLORAL_GRAPH_CONDITION, bindings, &ns, error);
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

DloralStream *
dloral_stream_new (DloralModel *model, const DloralStreamParams *params,
    GError **error)
{
  DloralStream *s;

  if (!check_size (params, error))
    return NULL;
  s = g_new0 (DloralStream, 1);
  s->model = dloral_model_ref (model);
  s->async_depth = params->async_depth;
  s->memory = g_ptr_array_new ();
  s->kv = g_ptr_array_new ();
  for (int i = 0; i < 2; i++)
    s->remembered[i] = g_ptr_array_new ();
  g_mutex_init (&s->lock);
  g_cond_init (&s->changed);
  dloral_geometry_init (&s->geo, &model->config, params->width,
      params->height, params->color_fix, params->vae);
  if (!compile (s, error) || !allocate_arena (s, error) ||
      !allocate_state (s, error) || !allocate_remembered (s, error) ||
      !allocate_slots (s, error) || !condition (s, error)) {
    dloral_stream_free (s);
    return NULL;
  }
  if (s->async_depth > 0)
    s->worker = g_thread_new ("dloral-worker", work, s);
  return s;
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
  g_queue_clear (&s->idle);
  g_queue_clear (&s->submitted);
  g_queue_clear (&s->finished);
  for (int kind = 0; kind < DLORAL_N_GRAPHS; kind++) {
    if (s->plans[kind])
      s->model->backend->plan_free (s->plans[kind]);
    dloral_graph_free (s->graphs[kind]);
  }
  for (guint i = 0; i < s->memory->len; i++)
    s->model->backend->free (s->model->device, s->memory->pdata[i]);
  g_ptr_array_unref (s->memory);
  g_ptr_array_unref (s->kv);
  for (int i = 0; i < 2; i++)
    g_ptr_array_unref (s->remembered[i]);
  dloral_model_unref (s->model);
  g_free (s->slots);
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

  if (s->first && g_str_equal (name, "flow"))
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
  static const DloralGraphKind kinds[DLORAL_N_STAGES] = {
    DLORAL_GRAPH_ENCODE, DLORAL_GRAPH_RESTORE, DLORAL_GRAPH_DECODE
  };

  *times = s->model->backend->plan_profile (s->plans[kinds[stage]], enable);
  return s->graphs[kinds[stage]];
}
