/* A stream: the ring of frames that callers put in and take out, and the worker
 * between.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stream_private.h"

#include <string.h>

/* What was made of new conditions comes in between two frames; what it replaces
 * goes when the first of them is done. With the lock held. */
static void
take_restorer (DloralStream *s, DloralSlot *slot)
{
  if (s->next_restorer == NULL)
    return;
  slot->retired = s->restorer;
  s->restorer = g_steal_pointer (&s->next_restorer);
}

/* --- Flushing ---------------------------------------------------------------- */

/* With the lock held, as the rest of this part. */
static gboolean
is_halted (const DloralStream *s)
{
  return s->flushing || s->stopped;
}

/* Whoever has begun to wait in that epoch waits no more; a flush may be over before
 * he wakes. */
static gboolean
is_over (const DloralStream *s, guint epoch)
{
  return is_halted (s) || s->epoch != epoch;
}

/* Of what computes frames. It stays so after a flush until the next frame begins,
 * that the one before is not computed to its end first. */
static void
interrupt (DloralStream *s, gboolean interrupt)
{
  const DloralBackend *backend = s->model->backend;

  for (int i = 0; i < N_STEPS && backend->queue_interrupt; i++)
    if (s->queues[i])           /* of a stream that could be made */
      backend->queue_interrupt (s->queues[i], interrupt);
}

/* --- The ring -------------------------------------------------------------- */

/* Issues the oldest submitted frame, with the lock held on both ends. One that is
 * interrupted is of an epoch that is over, or soon will be: nobody sees its error. */
static void
issue_oldest (DloralStream *s)
{
  DloralSlot *slot = g_queue_pop_head (&s->submitted);
  gboolean forget = s->forget;

  s->forget = FALSE;
  interrupt (s, FALSE);
  take_restorer (s, slot);
  g_mutex_unlock (&s->lock);
  dloral_stream_issue (s, slot, forget);
  if (!s->model->backend->discrete)
    dloral_stream_settle (s, slot);
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
  while (!s->stopped) {
    if (s->flushing || g_queue_is_empty (&s->submitted))
      g_cond_wait (&s->changed, &s->lock);
    else
      issue_oldest (s);
  }
  g_mutex_unlock (&s->lock);
  return NULL;
}

static gboolean
is_finished (const DloralStream *s, DloralSlot *slot)
{
  return !slot->in_flight
      || s->model->backend->event_is_past (slot->done[DOWNLOAD]);
}

DloralFrame *
dloral_stream_acquire (DloralStream *s)
{
  DloralSlot *slot = NULL;
  guint epoch;

  g_mutex_lock (&s->lock);
  epoch = s->epoch;
  while (!is_over (s, epoch) && (slot = g_queue_pop_head (&s->idle)) == NULL)
    g_cond_wait (&s->changed, &s->lock);
  g_mutex_unlock (&s->lock);
  if (slot == NULL)
    return NULL;
  dloral_slot_wait (s, slot, NULL);
  slot->lq_there = slot->frame.hr_stays = slot->frame.discont = FALSE;
  slot->frame.user_data = NULL;
  return &slot->frame;
}

gboolean
dloral_stream_is_behind (DloralStream *s)
{
  DloralSlot *oldest;
  gboolean finished, behind;

  g_mutex_lock (&s->lock);
  oldest = g_queue_peek_head (&s->issued);
  finished = s->n_collected > 0 || (oldest && is_finished (s, oldest));
  behind = g_queue_is_empty (&s->idle) && !finished;
  g_mutex_unlock (&s->lock);
  return behind;
}

void
dloral_stream_submit (DloralStream *s, DloralFrame *frame)
{
  DloralSlot *slot = (DloralSlot *) frame;

  g_mutex_lock (&s->lock);
  slot->epoch = s->epoch;
  g_queue_push_tail (&s->submitted, slot);
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
}

/* To where it came from: the slot that was submitted last stays the last to be
 * used again. */
void
dloral_stream_cancel (DloralStream *s, DloralFrame *frame)
{
  g_mutex_lock (&s->lock);
  g_queue_push_head (&s->idle, (DloralSlot *) frame);
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
}

void
dloral_stream_release (DloralStream *s, DloralFrame *frame)
{
  g_clear_error (&frame->error);
  g_mutex_lock (&s->lock);
  s->n_collected--;
  g_queue_push_tail (&s->idle, (DloralSlot *) frame);
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
}

/* The oldest issued slot, off its queue; with the lock held. NULL when it has
 * to be waited for and that is not wanted. */
static DloralSlot *
take_issued (DloralStream *s, gboolean wait)
{
  DloralSlot *slot = g_queue_peek_head (&s->issued);

  if (slot && !wait && !is_finished (s, slot))
    return NULL;
  if (slot)
    s->n_collected++;
  return g_queue_pop_head (&s->issued);
}

DloralFrame *
dloral_stream_collect (DloralStream *s, gboolean wait)
{
  DloralSlot *slot = NULL;
  guint epoch;

  g_mutex_lock (&s->lock);
  epoch = s->epoch;
  while (!is_over (s, epoch) && (slot = take_issued (s, wait)) == NULL)
    if (s->worker == NULL && g_queue_is_empty (&s->issued)
        && !g_queue_is_empty (&s->submitted))
      issue_oldest (s);
    else if (wait)
      g_cond_wait (&s->changed, &s->lock);
    else
      break;
  g_mutex_unlock (&s->lock);
  if (slot == NULL)
    return NULL;
  if (s->model->backend->discrete)
    dloral_stream_settle (s, slot);
  return &slot->frame;
}

static void
discard (DloralStream *s, GQueue *queue)
{
  DloralSlot *slot;

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
  if (flushing)
    interrupt (s, TRUE);
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
}

/* --- Streams ----------------------------------------------------------------- */

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
  dloral_geometry_init (&s->geo, &model->config, params);
  if (!dloral_stream_build (s, params, error)) {
    dloral_stream_free (s);
    return NULL;
  }
  if (s->async_depth > 0)
    s->worker = g_thread_new ("dloral-worker", work, s);
  return s;
}

/* What was submitted before a flush may still be at work. */
gboolean
dloral_stream_set_formats (DloralStream *s, const DloralVideoFormat *in,
    const DloralVideoFormat *out, GError **error)
{
  g_mutex_lock (&s->lock);
  while (g_queue_get_length (&s->idle) < (guint) s->n_slots)
    g_cond_wait (&s->changed, &s->lock);
  g_mutex_unlock (&s->lock);
  for (int i = 0; i < s->n_slots; i++)
    dloral_slot_wait (s, &s->slots[i], NULL);
  return dloral_stream_set_edges (s, in, out, error);
}

gboolean
dloral_stream_set_conditions (DloralStream *s,
    const DloralConditions *conditions, GError **error)
{
  DloralRestorer *next = dloral_restorer_new (s->model, &s->geo, conditions,
      &s->stopped, error), *unused;

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

void
dloral_stream_stop (DloralStream *s)
{
  g_mutex_lock (&s->lock);
  g_atomic_int_set (&s->stopped, TRUE);
  interrupt (s, TRUE);
  g_cond_broadcast (&s->changed);
  g_mutex_unlock (&s->lock);
}

void
dloral_stream_free (DloralStream *s)
{
  dloral_stream_stop (s);
  if (s->worker)
    g_thread_join (s->worker);
  dloral_stream_clear (s);
  dloral_restorer_free (s->next_restorer);
  g_queue_clear (&s->submitted);
  g_queue_clear (&s->issued);
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
  return s->memory_size + dloral_edges_get_memory (s->edges);
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
  const DloralCompiled *own = stage == DLORAL_STAGE_ENCODE ? &s->encode : &s->decode;
  int past = s->geo.window;
  DloralPlan *plan = stage == DLORAL_STAGE_RESTORE ?
      dloral_restorer_get_plan (s->restorer, past) : own->plan;

  *times = s->model->backend->plan_profile (plan, enable);
  return stage == DLORAL_STAGE_RESTORE ?
      dloral_restorer_get_graph (s->restorer, past) : own->graph;
}
