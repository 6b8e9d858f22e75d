/* Streams and events.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "device.h"

G_BEGIN_DECLS

struct _DloralQueue
{
  DloralDevice *device;
  CUstream stream;
  cudnnHandle_t cudnn;          /* whose operations go into the stream; NULL:
                                 * not needed so far */
};

/* In the device's context; not while the stream records. */
cudnnHandle_t dloral_queue_get_cudnn (DloralQueue * queue, GError ** error);

DloralQueue *dloral_cuda_queue_new (DloralDevice * device, gboolean urgent,
    GError ** error);
void dloral_cuda_queue_free (DloralQueue * queue);
gboolean dloral_cuda_queue_finish (DloralQueue * queue, GError ** error);
gboolean dloral_cuda_queue_wait (DloralQueue * queue, DloralEvent * event,
    GError ** error);
gboolean dloral_cuda_upload (DloralQueue * queue, gpointer device_memory,
    gconstpointer host_memory, gsize size, GError ** error);
gboolean dloral_cuda_download (DloralQueue * queue, gpointer host_memory,
    gconstpointer device_memory, gsize size, GError ** error);

gboolean dloral_cuda_copy_rows (DloralQueue * queue, gpointer frame,
    const DloralVideoRows * rows, gboolean in, GError ** error);

DloralEvent *dloral_cuda_event_new (DloralDevice * device, GError ** error);
void dloral_cuda_event_free (DloralEvent * event);
gboolean dloral_cuda_event_record (DloralEvent * event, DloralQueue * queue,
    GError ** error);
gboolean dloral_cuda_event_finish (DloralEvent * event, GError ** error);
gboolean dloral_cuda_event_is_past (DloralEvent * event);
gint64 dloral_cuda_event_get_elapsed (DloralEvent * from, DloralEvent * to);

G_END_DECLS
