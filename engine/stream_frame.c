/* One frame of a stream: its steps, the order between them, what it leaves to the
 * next.
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
#include "stream_private.h"

static gboolean
run (DloralStream *s, DloralStep step, DloralPlan *plan, gpointer const *bindings,
    GError **error)
{
  return s->model->backend->run (plan, s->queues[step], s->arenas[step],
      bindings, error);
}

static gboolean
encode (DloralStream *s, DloralSlot *slot, GError **error)
{
  gpointer bindings[] = {
    [DLORAL_ENCODE_LQ] = slot->pictures.lq,
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
restore (DloralStream *s, DloralSlot *slot, GError **error)
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

gsize
dloral_stream_get_hr_size (const DloralStream *s)
{
  return (gsize) s->geo.hr_width * 3 * s->geo.hr_height
      * dloral_dtype_size (s->geo.picture_dtype);
}

static gboolean
decode (DloralStream *s, DloralSlot *slot, GError **error)
{
  guint n = s->remembered[0]->len;
  const DloralCompiled *stage = n > 0 && !s->remembers ? &s->decode_first : &s->decode;
  gpointer *bindings = g_newa (gpointer, DLORAL_DECODE_MEMORY + 2 * n);

  bindings[DLORAL_DECODE_X0] = slot->x0;
  bindings[DLORAL_DECODE_HR] = slot->hr;
  bindings[DLORAL_DECODE_OUT] = slot->pictures.result;
  bindings[DLORAL_DECODE_FINITE] = dloral_stream_get_finite (s,
      slot->pictures.out);
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
is_cut (DloralStream *s, const DloralFrame *f, gboolean first)
{
  return s->scene_cut_threshold > 0
      && dloral_scene_score (&s->scene, f->lq, first)
      >= s->scene_cut_threshold;
}

/* Every step in its queue, after the step before. */
static gboolean
issue_steps (DloralStream *s, DloralSlot *slot, GError **error)
{
  static gboolean (*const steps[N_STEPS]) (DloralStream *, DloralSlot *, GError **) =
      { dloral_stream_upload, encode, restore, decode, dloral_stream_download };
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
finish_queues (DloralStream *s, DloralSlot *slot)
{
  for (int i = 0; i < N_STEPS; i++)
    s->model->backend->queue_finish (s->queues[i], NULL);
  slot->in_flight = FALSE;
}

/* The order of things, once a frame. One that fails leaves no past. */
void
dloral_stream_issue (DloralStream *s, DloralSlot *slot, gboolean forget)
{
  DloralFrame *f = &slot->frame;
  gboolean first = f->discont || forget;

  f->cut = is_cut (s, f, first);
  if (f->cut || first) {
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

/* Nothing of the slot is in use any more when this returns: a failure to wait
 * is told, and then waited for again, since the device may still be at work. */
void
dloral_slot_wait (DloralStream *s, DloralSlot *slot, GError **error)
{
  const DloralBackend *backend = s->model->backend;

  if (slot->in_flight && !backend->event_finish (slot->done[DOWNLOAD], error))
    backend->event_finish (slot->done[DOWNLOAD], NULL);
  slot->in_flight = FALSE;
  g_clear_pointer (&slot->retired, dloral_restorer_free);
}

static void
forget_past (DloralStream *s)
{
  g_mutex_lock (&s->lock);
  s->forget = TRUE;
  g_mutex_unlock (&s->lock);
}

/* Waits for the frame; what is known only then. One that fails here, or whose
 * picture is not what the networks made, is no past for the next frame. */
void
dloral_stream_settle (DloralStream *s, DloralSlot *slot)
{
  const DloralBackend *backend = s->model->backend;
  DloralFrame *f = &slot->frame;

  f->plain = FALSE;
  if (f->error)
    return;
  dloral_slot_wait (s, slot, &f->error);
  if (f->error) {
    forget_past (s);
    return;
  }
  for (int i = 0; i < DLORAL_N_STAGES; i++)
    f->stage_ns[i] = backend->event_get_elapsed (slot->begun[ENCODE + i],
        slot->done[ENCODE + i]);
  f->plain = !*dloral_stream_get_finite (s, slot->pictures.host_out);
  if (f->plain)
    forget_past (s);
}
