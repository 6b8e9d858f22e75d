/* What has happened before what: a vector clock for every actor, a thread of the
 * host or a queue of a device.
 *
 * Threads are followed by themselves: the program is linked so that the calls of
 * locks, conditions and threads come here first (--wrap). Queues are followed by
 * who implements them. One lock is around all of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define HB_MAX_ACTORS 256

/* Of each actor: up to which of its steps everything has happened. */
typedef struct
{
  guint32 at[HB_MAX_ACTORS];
} HbClock;

/* One step of an actor. */
typedef struct
{
  guint actor;
  guint32 time;
} HbStep;

/* Forgets all actors. Only while there is no thread but the caller's. */
void hb_reset (void);

/* Around every other function. */
void hb_lock (void);
void hb_unlock (void);

/* A new actor that is no thread; the calling thread's. */
guint hb_add_actor (void);
guint hb_get_thread (void);

/* The actor's clock. */
HbClock *hb_get_clock (guint actor);

/* The actor's present step; a new one, for a new thing done by it. */
HbStep hb_get_step (guint actor);
HbStep hb_advance (guint actor);

/* All that happened before `other` has happened before `clock` from now on. */
void hb_join (HbClock * clock, const HbClock * other);

static inline gboolean
hb_is_before (HbStep step, const HbClock * clock)
{
  return clock->at[step.actor] >= step.time;
}

G_END_DECLS
