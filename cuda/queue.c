/* Queues are CUDA streams with a cuDNN handle, events are CUDA's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "queue.h"

struct _DloralEvent
{
  DloralDevice *device;
  CUevent event;
};

/* Within the device's context, the expression's value. */
#define WITHIN(device, error, expression) \
  (dloral_device_enter (device, error) && \
      dloral_device_leave (device, (expression), error))

/* --- Queues -------------------------------------------------------------------- */

static gboolean
make_stream (DloralQueue *q, gboolean urgent, GError **error)
{
  const DloralDriver *driver = q->device->driver;
  int least, greatest;          /* the greater, the smaller the number */

  return DLORAL_DRIVER_CALL (driver, error, cuCtxGetStreamPriorityRange,
      &least, &greatest) && DLORAL_DRIVER_CALL (driver, error,
      cuStreamCreateWithPriority, &q->stream, CU_STREAM_NON_BLOCKING,
      urgent ? greatest : least);
}

DloralQueue *
dloral_cuda_queue_new (DloralDevice *device, gboolean urgent, GError **error)
{
  DloralQueue *q = g_new0 (DloralQueue, 1);

  q->device = device;
  if (WITHIN (device, error, make_stream (q, urgent, error)))
    return q;
  dloral_cuda_queue_free (q);
  return NULL;
}

void
dloral_cuda_queue_free (DloralQueue *q)
{
  const DloralDriver *driver = q->device->driver;

  if (dloral_device_enter (q->device, NULL)) {
    if (q->stream)
      driver->cuStreamSynchronize (q->stream);
    if (q->cudnn)
      dloral_cudnn_destroy_handle (q->device->cudnn, q->cudnn);
    if (q->stream)
      driver->cuStreamDestroy (q->stream);
    dloral_device_leave (q->device, TRUE, NULL);
  }
  g_free (q);
}

cudnnHandle_t
dloral_queue_get_cudnn (DloralQueue *q, GError **error)
{
  if (q->cudnn == NULL)
    q->cudnn = dloral_cudnn_create_handle (q->device->cudnn, q->stream, error);
  return q->cudnn;
}

gboolean
dloral_cuda_queue_finish (DloralQueue *q, GError **error)
{
  return WITHIN (q->device, error, DLORAL_DRIVER_CALL (q->device->driver,
          error, cuStreamSynchronize, q->stream));
}

gboolean
dloral_cuda_queue_wait (DloralQueue *q, DloralEvent *event, GError **error)
{
  return WITHIN (q->device, error, DLORAL_DRIVER_CALL (q->device->driver,
          error, cuStreamWaitEvent, q->stream, event->event,
          CU_EVENT_WAIT_DEFAULT));
}

gboolean
dloral_cuda_upload (DloralQueue *q, gpointer device_memory,
    gconstpointer host_memory, gsize size, GError **error)
{
  return WITHIN (q->device, error, DLORAL_DRIVER_CALL (q->device->driver,
          error, cuMemcpyHtoDAsync, (CUdeviceptr) device_memory, host_memory,
          size, q->stream));
}

gboolean
dloral_cuda_download (DloralQueue *q, gpointer host_memory,
    gconstpointer device_memory, gsize size, GError **error)
{
  return WITHIN (q->device, error, DLORAL_DRIVER_CALL (q->device->driver,
          error, cuMemcpyDtoHAsync, host_memory, (CUdeviceptr) device_memory,
          size, q->stream));
}

/* Between contexts, which other copies do not go. */
gboolean
dloral_cuda_copy_rows (DloralQueue *q, gpointer frame,
    const DloralVideoRows *rows, gboolean in, GError **error)
{
  CUdeviceptr ours = (CUdeviceptr) frame + rows->offset;
  CUDA_MEMCPY3D_PEER copy = {
    .srcMemoryType = CU_MEMORYTYPE_DEVICE,
    .srcDevice = in ? rows->address : ours,
    .srcContext = in ? rows->context : q->device->context,
    .srcPitch = in ? rows->stride : rows->frame_stride,
    .srcHeight = rows->height,
    .dstMemoryType = CU_MEMORYTYPE_DEVICE,
    .dstDevice = in ? ours : rows->address,
    .dstContext = in ? q->device->context : rows->context,
    .dstPitch = in ? rows->frame_stride : rows->stride,
    .dstHeight = rows->height,
    .WidthInBytes = rows->width,
    .Height = rows->height,
    .Depth = 1,
  };

  return WITHIN (q->device, error, DLORAL_DRIVER_CALL (q->device->driver,
          error, cuMemcpy3DPeerAsync, &copy, q->stream));
}

/* --- Events -------------------------------------------------------------------- */

/* A thread that waits for one sleeps. */
DloralEvent *
dloral_cuda_event_new (DloralDevice *device, GError **error)
{
  DloralEvent *e = g_new0 (DloralEvent, 1);

  e->device = device;
  if (WITHIN (device, error, DLORAL_DRIVER_CALL (device->driver, error,
              cuEventCreate, &e->event, CU_EVENT_BLOCKING_SYNC)))
    return e;
  g_free (e);
  return NULL;
}

void
dloral_cuda_event_free (DloralEvent *e)
{
  if (dloral_device_enter (e->device, NULL)) {
    e->device->driver->cuEventDestroy (e->event);
    dloral_device_leave (e->device, TRUE, NULL);
  }
  g_free (e);
}

gboolean
dloral_cuda_event_record (DloralEvent *e, DloralQueue *q, GError **error)
{
  return WITHIN (e->device, error, DLORAL_DRIVER_CALL (e->device->driver,
          error, cuEventRecord, e->event, q->stream));
}

gboolean
dloral_cuda_event_finish (DloralEvent *e, GError **error)
{
  return WITHIN (e->device, error, DLORAL_DRIVER_CALL (e->device->driver,
          error, cuEventSynchronize, e->event));
}

/* A failure is past, too: who waits for the event is told. */
gboolean
dloral_cuda_event_is_past (DloralEvent *e)
{
  gboolean past = TRUE;

  if (dloral_device_enter (e->device, NULL)) {
    past = e->device->driver->cuEventQuery (e->event) != CUDA_ERROR_NOT_READY;
    dloral_device_leave (e->device, TRUE, NULL);
  }
  return past;
}

gint64
dloral_cuda_event_get_elapsed (DloralEvent *from, DloralEvent *to)
{
  float ms = 0;

  if (dloral_device_enter (from->device, NULL)) {
    if (from->device->driver->cuEventElapsedTime (&ms, from->event, to->event)
        != CUDA_SUCCESS)
      ms = 0;
    dloral_device_leave (from->device, TRUE, NULL);
  }
  return (gint64) (ms * 1e6);
}
