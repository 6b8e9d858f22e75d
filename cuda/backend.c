/* The CUDA backend: its table, and memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "device.h"
#include "plan.h"
#include "queue.h"

static DloralDtype
cuda_get_act_dtype (DloralDevice *device)
{
  return device->act_dtype;
}

static gboolean
cuda_has_fp8 (DloralDevice *device)
{
  return device->fp8;
}

/* --- Memory --------------------------------------------------------------------- */

static gpointer
cuda_alloc (DloralDevice *device, gsize size, GError **error)
{
  CUdeviceptr memory = 0;

  if (!dloral_device_enter (device, error) || !dloral_device_leave (device,
          dloral_driver_alloc (device->driver, &memory, size, error), error))
    return NULL;
  return (gpointer) memory;
}

static void
cuda_free (DloralDevice *device, gpointer memory)
{
  if (!dloral_device_enter (device, NULL))
    return;
  device->driver->cuMemFree ((CUdeviceptr) memory);
  dloral_device_leave (device, TRUE, NULL);
}

static gpointer
cuda_alloc_host (DloralDevice *device, gsize size, GError **error)
{
  void *memory = NULL;

  if (!dloral_device_enter (device, error) || !dloral_device_leave (device,
          DLORAL_DRIVER_CALL (device->driver, error, cuMemHostAlloc, &memory,
              MAX (size, 1), CU_MEMHOSTALLOC_PORTABLE), error))
    return NULL;
  return memory;
}

static void
cuda_free_host (DloralDevice *device, gpointer memory)
{
  if (!dloral_device_enter (device, NULL))
    return;
  device->driver->cuMemFreeHost (memory);
  dloral_device_leave (device, TRUE, NULL);
}

const DloralBackend dloral_cuda_backend = {
  .name = "cuda",
  .discrete = TRUE,
  .open = dloral_device_open,
  .close = dloral_device_close,
  .get_act_dtype = cuda_get_act_dtype,
  .has_fp8 = cuda_has_fp8,
  .compile = dloral_cuda_compile,
  .plan_free = dloral_cuda_plan_free,
  .plan_get_arena_size = dloral_cuda_plan_get_arena_size,
  .alloc = cuda_alloc,
  .free = cuda_free,
  .alloc_host = cuda_alloc_host,
  .free_host = cuda_free_host,
  .queue_new = dloral_cuda_queue_new,
  .queue_free = dloral_cuda_queue_free,
  .queue_finish = dloral_cuda_queue_finish,
  .queue_wait = dloral_cuda_queue_wait,
  .run = dloral_cuda_run,
  .upload = dloral_cuda_upload,
  .download = dloral_cuda_download,
  .copy_rows = dloral_cuda_copy_rows,
  .event_new = dloral_cuda_event_new,
  .event_free = dloral_cuda_event_free,
  .event_record = dloral_cuda_event_record,
  .event_finish = dloral_cuda_event_finish,
  .event_is_past = dloral_cuda_event_is_past,
  .event_get_elapsed = dloral_cuda_event_get_elapsed,
  .plan_profile = dloral_cuda_plan_profile,
};
