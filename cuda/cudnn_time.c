/* How long a plan takes on the device, in memory made for it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_private.h"
#include "stopwatch.h"

#include <math.h>

typedef struct
{
  const DloralCudnnPlan *plan;
  const DloralDriver *driver;
  CUstream stream;
  cudnnHandle_t handle;
  guint n;
  gint64 *uids;                 /* [n] */
  CUdeviceptr *memory;          /* [n], and the workspace; 0: a scalar */
  gpointer *addresses;          /* [n] */
  float scalar;
} Trial;

static gboolean
make_memory (Trial *t, const GArray *memory)
{
  for (guint i = 0; i <= t->n; i++) {
    const DloralCudnnMemory *m =
        &g_array_index (memory, DloralCudnnMemory, MIN (i, t->n - 1));
    gsize size = i < t->n ? m->size : t->plan->workspace;

    if (i < t->n) {
      t->uids[i] = m->uid;
      t->addresses[i] = &t->scalar;
    }
    if (size == 0)
      continue;
    if (!DLORAL_DRIVER_CALL (t->driver, NULL, cuMemAlloc, &t->memory[i], size)
        || !DLORAL_DRIVER_CALL (t->driver, NULL, cuMemsetD8Async,
            t->memory[i], 0, size, t->stream))
      return FALSE;
    if (i < t->n)
      t->addresses[i] = (gpointer) t->memory[i];
  }
  return TRUE;
}

static gboolean
begin (Trial *t, const GArray *memory)
{
  DloralCudnn *cudnn = t->plan->cudnn;

  return DLORAL_DRIVER_CALL (t->driver, NULL, cuStreamCreateWithPriority,
      &t->stream, CU_STREAM_NON_BLOCKING, 0)
      && (t->handle = dloral_cudnn_create_handle (cudnn, t->stream, NULL))
      && make_memory (t, memory);
}

static void
end (Trial *t)
{
  if (t->stream)
    t->driver->cuStreamSynchronize (t->stream);
  for (guint i = 0; i <= t->n; i++)
    if (t->memory[i])
      t->driver->cuMemFree (t->memory[i]);
  if (t->handle)
    dloral_cudnn_destroy_handle (t->plan->cudnn, t->handle);
  if (t->stream)
    t->driver->cuStreamDestroy (t->stream);
}

static gboolean
run (gpointer data)
{
  Trial *t = data;

  return dloral_cudnn_plan_run (t->plan, t->handle, t->n, t->uids,
      t->addresses, (gpointer) t->memory[t->n], NULL);
}

double
dloral_cudnn_time (const DloralCudnnPlan *plan, const GArray *memory)
{
  Trial t = { .plan = plan, .driver = plan->cudnn->driver, .n = memory->len,
    .scalar = 1 };
  double seconds;

  t.uids = g_new0 (gint64, t.n);
  t.memory = g_new0 (CUdeviceptr, t.n + 1);
  t.addresses = g_new0 (gpointer, t.n);
  seconds = begin (&t, memory) ? dloral_stopwatch (t.driver, t.stream, run, &t)
      : INFINITY;
  end (&t);
  g_free (t.uids);
  g_free (t.memory);
  g_free (t.addresses);
  return seconds;
}
