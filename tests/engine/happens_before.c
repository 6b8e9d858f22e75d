/* Vector clocks; what locks and threads of the host do to them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "happens_before.h"

#include <pthread.h>
#include <string.h>

/* Not GLib's: those are followed. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static HbClock clocks[HB_MAX_ACTORS];
static guint n_actors, generation = 1;
static GHashTable *of_mutexes, *of_threads;     /* → HbClock: when it was let
                                                 * go; when it ended */
static __thread guint thread_actor, thread_generation;

void
hb_lock (void)
{
  pthread_mutex_lock (&lock);
}

void
hb_unlock (void)
{
  pthread_mutex_unlock (&lock);
}

void
hb_reset (void)
{
  hb_lock ();
  memset (clocks, 0, sizeof clocks);
  n_actors = 0;
  generation++;
  g_clear_pointer (&of_mutexes, g_hash_table_unref);
  g_clear_pointer (&of_threads, g_hash_table_unref);
  hb_unlock ();
}

guint
hb_add_actor (void)
{
  g_assert (n_actors < HB_MAX_ACTORS);
  clocks[n_actors].at[n_actors] = 1;
  return n_actors++;
}

guint
hb_get_thread (void)
{
  if (thread_generation != generation) {
    thread_actor = hb_add_actor ();
    thread_generation = generation;
  }
  return thread_actor;
}

HbClock *
hb_get_clock (guint actor)
{
  return &clocks[actor];
}

HbStep
hb_get_step (guint actor)
{
  return (HbStep) { actor, clocks[actor].at[actor] };
}

HbStep
hb_advance (guint actor)
{
  clocks[actor].at[actor]++;
  return hb_get_step (actor);
}

void
hb_join (HbClock *clock, const HbClock *other)
{
  for (guint i = 0; i < n_actors; i++)
    clock->at[i] = MAX (clock->at[i], other->at[i]);
}

/* --- What threads do ------------------------------------------------------------ */

/* The clock that the key has in the table, a zero one at first. */
static HbClock *
find_clock (GHashTable **table, gconstpointer key)
{
  HbClock *clock;

  if (*table == NULL)
    *table = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  clock = g_hash_table_lookup (*table, key);
  if (clock == NULL) {
    clock = g_new0 (HbClock, 1);
    g_hash_table_insert (*table, (gpointer) key, clock);
  }
  return clock;
}

/* Whoever takes it next comes after all that the calling thread has done. */
static void
give (GHashTable **table, gconstpointer key)
{
  guint thread;

  hb_lock ();
  thread = hb_get_thread ();
  hb_join (find_clock (table, key), &clocks[thread]);
  hb_advance (thread);
  hb_unlock ();
}

static void
take (GHashTable **table, gconstpointer key)
{
  hb_lock ();
  hb_join (&clocks[hb_get_thread ()], find_clock (table, key));
  hb_unlock ();
}

void __real_g_mutex_lock (GMutex * mutex);
void __wrap_g_mutex_lock (GMutex * mutex);
void __real_g_mutex_unlock (GMutex * mutex);
void __wrap_g_mutex_unlock (GMutex * mutex);
void __real_g_cond_wait (GCond * cond, GMutex * mutex);
void __wrap_g_cond_wait (GCond * cond, GMutex * mutex);
GThread *__real_g_thread_new (const char *name, GThreadFunc func,
    gpointer data);
GThread *__wrap_g_thread_new (const char *name, GThreadFunc func,
    gpointer data);
gpointer __real_g_thread_join (GThread * thread);
gpointer __wrap_g_thread_join (GThread * thread);

void
__wrap_g_mutex_lock (GMutex *mutex)
{
  __real_g_mutex_lock (mutex);
  take (&of_mutexes, mutex);
}

void
__wrap_g_mutex_unlock (GMutex *mutex)
{
  give (&of_mutexes, mutex);
  __real_g_mutex_unlock (mutex);
}

void
__wrap_g_cond_wait (GCond *cond, GMutex *mutex)
{
  give (&of_mutexes, mutex);
  __real_g_cond_wait (cond, mutex);
  take (&of_mutexes, mutex);
}

typedef struct
{
  GThreadFunc func;
  gpointer data;
} Start;

static gpointer
begin_thread (gpointer data)
{
  Start *start = data;
  Start own = *start;
  gpointer result;

  take (&of_threads, start);
  g_free (start);
  result = own.func (own.data);
  give (&of_threads, g_thread_self ());
  return result;
}

GThread *
__wrap_g_thread_new (const char *name, GThreadFunc func, gpointer data)
{
  Start *start = g_new (Start, 1);

  *start = (Start) { func, data };
  give (&of_threads, start);
  return __real_g_thread_new (name, begin_thread, start);
}

gpointer
__wrap_g_thread_join (GThread *thread)
{
  gpointer result = __real_g_thread_join (thread);

  take (&of_threads, thread);
  return result;
}
