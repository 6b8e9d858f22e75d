/* Queues and events of a device whose every call has done its work when it
 * returns: a queue is whether that is still wanted, an event the time it was
 * recorded.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/backend.h"

G_BEGIN_DECLS

DloralQueue *dloral_cpu_queue_new (DloralDevice * device, gboolean urgent,
    GError ** error);
void dloral_cpu_queue_free (DloralQueue * queue);
void dloral_cpu_queue_interrupt (DloralQueue * queue, gboolean interrupt);
/* FALSE and an error while the queue is interrupted. */
gboolean dloral_cpu_queue_check (const DloralQueue * queue, GError ** error);
gboolean dloral_cpu_queue_finish (DloralQueue * queue, GError ** error);
gboolean dloral_cpu_queue_wait (DloralQueue * queue, DloralEvent * event,
    GError ** error);

/* Up or down, it is all the host's memory. */
gboolean dloral_cpu_copy (DloralQueue * queue, gpointer dst, gconstpointer src,
    gsize size, GError ** error);

DloralEvent *dloral_cpu_event_new (DloralDevice * device, GError ** error);
void dloral_cpu_event_free (DloralEvent * event);
gboolean dloral_cpu_event_record (DloralEvent * event, DloralQueue * queue,
    GError ** error);
gboolean dloral_cpu_event_finish (DloralEvent * event, GError ** error);
gboolean dloral_cpu_event_is_past (DloralEvent * event);
gint64 dloral_cpu_event_get_elapsed (DloralEvent * from, DloralEvent * to);

G_END_DECLS
