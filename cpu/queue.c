/* Queues and events that never have to be waited for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "queue.h"

#include <string.h>

struct _DloralQueue
{
  gint interrupted;             /* atomic */
};

struct _DloralEvent
{
  gint64 time;                  /* microseconds, monotonic */
};

DloralQueue *
dloral_cpu_queue_new (DloralDevice *device, gboolean urgent, GError **error)
{
  return g_new0 (DloralQueue, 1);
}

void
dloral_cpu_queue_free (DloralQueue *queue)
{
  g_free (queue);
}

void
dloral_cpu_queue_interrupt (DloralQueue *queue, gboolean interrupt)
{
  g_atomic_int_set (&queue->interrupted, interrupt);
}

gboolean
dloral_cpu_queue_check (const DloralQueue *queue, GError **error)
{
  return dloral_check_cancelled (&queue->interrupted, error);
}

gboolean
dloral_cpu_queue_finish (DloralQueue *queue, GError **error)
{
  return TRUE;
}

gboolean
dloral_cpu_queue_wait (DloralQueue *queue, DloralEvent *event, GError **error)
{
  return TRUE;
}

gboolean
dloral_cpu_copy (DloralQueue *queue, gpointer dst, gconstpointer src,
    gsize size, GError **error)
{
  memcpy (dst, src, size);
  return TRUE;
}

DloralEvent *
dloral_cpu_event_new (DloralDevice *device, GError **error)
{
  return g_new0 (DloralEvent, 1);
}

void
dloral_cpu_event_free (DloralEvent *event)
{
  g_free (event);
}

gboolean
dloral_cpu_event_record (DloralEvent *event, DloralQueue *queue,
    GError **error)
{
  event->time = g_get_monotonic_time ();
  return TRUE;
}

gboolean
dloral_cpu_event_finish (DloralEvent *event, GError **error)
{
  return TRUE;
}

gboolean
dloral_cpu_event_is_past (DloralEvent *event)
{
  return TRUE;
}

gint64
dloral_cpu_event_get_elapsed (DloralEvent *from, DloralEvent *to)
{
  return (to->time - from->time) * 1000;
}
