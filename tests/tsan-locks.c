/* GLib's locks and queues as ThreadSanitizer can see them; loaded before GLib.
 *
 * It knows what is ordered by watching the calls of the pthread library. GLib's
 * mutexes and conditions are made of futexes, which it does not see, and what
 * libraries that were not compiled for it do under locks of their own is a race
 * to it, unless their calls are ignored (tsan.supp), which includes those of
 * pthread's. So every lock that the element or GStreamer takes by GLib's
 * functions is pthread's here, called from here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <glib.h>

void __tsan_acquire (void *address);
void __tsan_release (void *address);

static void
check (int result)
{
  if (result != 0)
    abort ();
}

static void *
make_mutex (void)
{
  pthread_mutex_t *mutex = malloc (sizeof *mutex);

  check (mutex == NULL);
  check (pthread_mutex_init (mutex, NULL));
  return mutex;
}

static void *
make_rec_mutex (void)
{
  pthread_mutex_t *mutex = malloc (sizeof *mutex);
  pthread_mutexattr_t attributes;

  check (mutex == NULL);
  check (pthread_mutexattr_init (&attributes));
  check (pthread_mutexattr_settype (&attributes, PTHREAD_MUTEX_RECURSIVE));
  check (pthread_mutex_init (mutex, &attributes));
  check (pthread_mutexattr_destroy (&attributes));
  return mutex;
}

/* GLib's times are the monotonic clock's. */
static void *
make_cond (void)
{
  pthread_cond_t *cond = malloc (sizeof *cond);
  pthread_condattr_t attributes;

  check (cond == NULL);
  check (pthread_condattr_init (&attributes));
  check (pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC));
  check (pthread_cond_init (cond, &attributes));
  check (pthread_condattr_destroy (&attributes));
  return cond;
}

/* What *place points to: made by the first who wants it, as static ones are
 * only zeroed. */
static void *
get (gpointer *place, void *(*make) (void))
{
  static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
  void *made = __atomic_load_n (place, __ATOMIC_ACQUIRE);

  if (made)
    return made;
  check (pthread_mutex_lock (&making));
  made = *place ? *place : make ();
  __atomic_store_n (place, made, __ATOMIC_RELEASE);
  check (pthread_mutex_unlock (&making));
  return made;
}

static pthread_mutex_t *
get_mutex (GMutex *mutex)
{
  return get (&mutex->p, make_mutex);
}

static pthread_cond_t *
get_cond (GCond *cond)
{
  return get (&cond->p, make_cond);
}

/* --- Mutexes ----------------------------------------------------------------- */

void
g_mutex_init (GMutex *mutex)
{
  mutex->p = NULL;
}

/* Locked once more: whoever clears knows that the others are through, if by a
 * count of references that is not seen. */
void
g_mutex_clear (GMutex *mutex)
{
  if (mutex->p) {
    check (pthread_mutex_lock (mutex->p));
    check (pthread_mutex_unlock (mutex->p));
    check (pthread_mutex_destroy (mutex->p));
  }
  free (mutex->p);
  mutex->p = NULL;
}

void
g_mutex_lock (GMutex *mutex)
{
  check (pthread_mutex_lock (get_mutex (mutex)));
}

gboolean
g_mutex_trylock (GMutex *mutex)
{
  return pthread_mutex_trylock (get_mutex (mutex)) == 0;
}

void
g_mutex_unlock (GMutex *mutex)
{
  check (pthread_mutex_unlock (get_mutex (mutex)));
}

void
g_rec_mutex_init (GRecMutex *mutex)
{
  mutex->p = NULL;
}

void
g_rec_mutex_clear (GRecMutex *mutex)
{
  g_mutex_clear ((GMutex *) mutex);
}

void
g_rec_mutex_lock (GRecMutex *mutex)
{
  check (pthread_mutex_lock (get (&mutex->p, make_rec_mutex)));
}

gboolean
g_rec_mutex_trylock (GRecMutex *mutex)
{
  return pthread_mutex_trylock (get (&mutex->p, make_rec_mutex)) == 0;
}

void
g_rec_mutex_unlock (GRecMutex *mutex)
{
  check (pthread_mutex_unlock (mutex->p));
}

/* --- Conditions -------------------------------------------------------------- */

void
g_cond_init (GCond *cond)
{
  cond->p = NULL;
}

void
g_cond_clear (GCond *cond)
{
  if (cond->p)
    check (pthread_cond_destroy (cond->p));
  free (cond->p);
  cond->p = NULL;
}

void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  check (pthread_cond_wait (get_cond (cond), get_mutex (mutex)));
}

gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end)
{
  struct timespec time = {.tv_sec = end / G_USEC_PER_SEC,
    .tv_nsec = end % G_USEC_PER_SEC * 1000
  };

  return pthread_cond_timedwait (get_cond (cond), get_mutex (mutex),
      &time) != ETIMEDOUT;
}

void
g_cond_signal (GCond *cond)
{
  check (pthread_cond_signal (get_cond (cond)));
}

void
g_cond_broadcast (GCond *cond)
{
  check (pthread_cond_broadcast (get_cond (cond)));
}

/* --- Queues ------------------------------------------------------------------ */

/* GLib's own function of this name. */
static void *
find (const char *name)
{
  void *function = dlsym (RTLD_NEXT, name);

  check (function == NULL);
  return function;
}

/* What was done before an item went in is done when it comes out. */
static gpointer
come_out (GAsyncQueue *queue, gpointer item)
{
  if (item)
    __tsan_acquire (queue);
  return item;
}

void
g_async_queue_push (GAsyncQueue *queue, gpointer item)
{
  void (*push) (GAsyncQueue *, gpointer) = find ("g_async_queue_push");

  __tsan_release (queue);
  push (queue, item);
}

gpointer
g_async_queue_pop (GAsyncQueue *queue)
{
  gpointer (*pop) (GAsyncQueue *) = find ("g_async_queue_pop");

  return come_out (queue, pop (queue));
}

gpointer
g_async_queue_try_pop (GAsyncQueue *queue)
{
  gpointer (*pop) (GAsyncQueue *) = find ("g_async_queue_try_pop");

  return come_out (queue, pop (queue));
}

gpointer
g_async_queue_timeout_pop (GAsyncQueue *queue, guint64 timeout)
{
  gpointer (*pop) (GAsyncQueue *, guint64) = find ("g_async_queue_timeout_pop");

  return come_out (queue, pop (queue, timeout));
}
