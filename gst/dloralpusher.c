/* A queue and the thread that empties it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralpusher.h"

struct _DloralPusher
{
  DloralPushFunc push;
  DloralDiscardFunc discard;
  gpointer owner;
  GThread *thread;              /* NULL: not threaded */

  GMutex lock;
  GCond cond;
  /* Under the lock: */
  GQueue items;                 /* DloralItem */
  gboolean busy;                /* the thread holds one more */
  gboolean running;
  gboolean flushing;
  guint flushes;                /* tells a result from before a flush */
  GstFlowReturn flow;
};

void
dloral_item_free (DloralItem * item)
{
  gst_clear_buffer (&item->buffer);
  gst_clear_event (&item->event);
  g_free (item);
}

/* Pushes one item, without the lock. */
static void
dloral_pusher_handle (DloralPusher * p, DloralItem * item)
{
  guint flushes = p->flushes;
  gboolean drop = p->flow != GST_FLOW_OK || p->flushing || !p->running;
  GstFlowReturn flow;

  g_mutex_unlock (&p->lock);
  flow = p->push (p->owner, item, drop);
  g_mutex_lock (&p->lock);
  if (p->flow == GST_FLOW_OK && p->flushes == flushes)
    p->flow = flow;
}

static gpointer
dloral_pusher_run (gpointer user_data)
{
  DloralPusher *p = user_data;

  g_mutex_lock (&p->lock);
  while (p->running) {
    DloralItem *item = p->flushing ? NULL : g_queue_pop_head (&p->items);

    if (item) {
      p->busy = TRUE;
      dloral_pusher_handle (p, item);
      p->busy = FALSE;
      g_cond_broadcast (&p->cond);
    } else {
      g_cond_wait (&p->cond, &p->lock);
    }
  }
  g_mutex_unlock (&p->lock);
  return NULL;
}

DloralPusher *
dloral_pusher_new (DloralPushFunc push, DloralDiscardFunc discard,
    gpointer owner, gboolean threaded)
{
  DloralPusher *p = g_new0 (DloralPusher, 1);

  p->push = push;
  p->discard = discard;
  p->owner = owner;
  p->running = TRUE;
  p->flow = GST_FLOW_OK;
  g_mutex_init (&p->lock);
  g_cond_init (&p->cond);
  g_queue_init (&p->items);
  if (threaded)
    p->thread = g_thread_new ("dloral-push", dloral_pusher_run, p);
  return p;
}

/* With the lock, which it lets go meanwhile. Nobody is adding, and the thread has
 * nothing to take. */
static void
dloral_pusher_discard (DloralPusher * p)
{
  GQueue items = p->items;
  DloralItem *item;

  g_queue_init (&p->items);
  g_mutex_unlock (&p->lock);
  while ((item = g_queue_pop_head (&items)))
    p->discard (p->owner, item);
  g_mutex_lock (&p->lock);
}

void
dloral_pusher_free (DloralPusher * p)
{
  g_mutex_lock (&p->lock);
  p->running = FALSE;
  g_cond_broadcast (&p->cond);
  g_mutex_unlock (&p->lock);
  if (p->thread)
    g_thread_join (p->thread);

  g_mutex_lock (&p->lock);
  dloral_pusher_discard (p);
  g_mutex_unlock (&p->lock);
  g_mutex_clear (&p->lock);
  g_cond_clear (&p->cond);
  g_free (p);
}

GstFlowReturn
dloral_pusher_get_flow (DloralPusher * p)
{
  GstFlowReturn flow;

  g_mutex_lock (&p->lock);
  flow = p->flushing ? GST_FLOW_FLUSHING : p->flow;
  g_mutex_unlock (&p->lock);
  return flow;
}

GstFlowReturn
dloral_pusher_add (DloralPusher * p, DloralItem * item)
{
  GstFlowReturn flow;

  g_mutex_lock (&p->lock);
  if (p->thread) {
    g_queue_push_tail (&p->items, item);
    g_cond_broadcast (&p->cond);
  } else {
    dloral_pusher_handle (p, item);
  }
  flow = p->flushing ? GST_FLOW_FLUSHING : p->flow;
  g_mutex_unlock (&p->lock);
  return flow;
}

gboolean
dloral_pusher_add_event (DloralPusher * p, GstEvent * event)
{
  gboolean pending;

  g_mutex_lock (&p->lock);
  pending = p->busy || !g_queue_is_empty (&p->items);
  if (pending) {
    DloralItem *item = g_new0 (DloralItem, 1);

    item->kind = DLORAL_ITEM_EVENT;
    item->event = event;
    g_queue_push_tail (&p->items, item);
    g_cond_broadcast (&p->cond);
  }
  g_mutex_unlock (&p->lock);
  return pending;
}

/* Here and below the thread does not wait for itself: who seeks from
 * downstream's streaming thread flushes in this very one. */
gboolean
dloral_pusher_drain (DloralPusher * p)
{
  gboolean drained;

  g_mutex_lock (&p->lock);
  while (!p->flushing && p->thread != g_thread_self ()
      && (p->busy || !g_queue_is_empty (&p->items)))
    g_cond_wait (&p->cond, &p->lock);
  drained = !p->flushing && g_queue_is_empty (&p->items);
  g_mutex_unlock (&p->lock);
  return drained;
}

void
dloral_pusher_start_flush (DloralPusher * p)
{
  g_mutex_lock (&p->lock);
  p->flushing = TRUE;
  g_cond_broadcast (&p->cond);
  g_mutex_unlock (&p->lock);
}

void
dloral_pusher_stop_flush (DloralPusher * p)
{
  g_mutex_lock (&p->lock);
  while (p->busy && p->thread != g_thread_self ())
    g_cond_wait (&p->cond, &p->lock);
  dloral_pusher_discard (p);
  p->flow = GST_FLOW_OK;
  p->flushes++;
  p->flushing = FALSE;
  g_mutex_unlock (&p->lock);
}

void
dloral_pusher_forgive (DloralPusher * p, GstFlowReturn flow)
{
  g_mutex_lock (&p->lock);
  if (p->flow == flow)
    p->flow = GST_FLOW_OK;
  g_mutex_unlock (&p->lock);
}
