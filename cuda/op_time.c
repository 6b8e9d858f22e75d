/* How long an operator takes, in memory laid out as its graph's plan has it, but
 * of its own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "stopwatch.h"

#include <math.h>

#define MAX_TENSORS (DLORAL_MAX_SRC + 1)

typedef struct
{
  DloralCudaOp *op;
  DloralCudaRun run;
  gpointer *bindings;
  int n_bindings;
  CUdeviceptr memory[MAX_TENSORS + 2];  /* of bound tensors; arena, scratch */
  int n;
} Trial;

static gboolean
alloc (Trial *t, gsize size, CUdeviceptr *memory)
{
  if (!DLORAL_DRIVER_CALL (t->run.driver, NULL, cuMemAlloc, memory,
          MAX (size, 1)))
    return FALSE;
  t->memory[t->n++] = *memory;
  return DLORAL_DRIVER_CALL (t->run.driver, NULL, cuMemsetD8Async, *memory, 0,
      MAX (size, 1), t->run.stream);
}

static gboolean
bind (Trial *t, const DloralTensor *tensor)
{
  CUdeviceptr memory;

  if (!alloc (t, dloral_tensor_get_size (tensor), &memory))
    return FALSE;
  t->n_bindings = MAX (t->n_bindings, tensor->binding + 1);
  t->bindings = g_renew (gpointer, t->bindings, t->n_bindings);
  t->bindings[tensor->binding] = (gpointer) memory;
  return TRUE;
}

/* Of the arena only the part between its first and its last tensor. */
static gboolean
make_memory (Trial *t)
{
  const DloralOp *op = t->op->op;
  gsize begin = G_MAXSIZE, end = 0;

  for (int i = 0; i <= op->n_src; i++) {
    const DloralTensor *tensor = i < op->n_src ? op->src[i] : op->dst;

    if (tensor->binding < 0) {
      begin = MIN (begin, tensor->offset);
      end = MAX (end, tensor->offset + dloral_tensor_get_size (tensor));
    } else if (!bind (t, tensor)) {
      return FALSE;
    }
  }
  if (end > 0 && !alloc (t, end - begin, &t->run.arena))
    return FALSE;
  if (end > 0)
    t->run.arena -= begin;
  t->run.bindings = t->bindings;
  return alloc (t, t->op->scratch_size, &t->run.scratch);
}

static gboolean
launch (gpointer data)
{
  Trial *t = data;

  return t->op->launch (t->op, &t->run, NULL);
}

static void
end (Trial *t)
{
  const DloralDriver *driver = t->run.driver;

  if (t->run.stream)
    driver->cuStreamSynchronize (t->run.stream);
  while (t->n > 0)
    driver->cuMemFree (t->memory[--t->n]);
  if (t->run.cudnn)
    dloral_cudnn_destroy_handle (t->op->device->cudnn, t->run.cudnn);
  if (t->run.stream)
    driver->cuStreamDestroy (t->run.stream);
  g_free (t->bindings);
}

double
dloral_cuda_op_time (DloralCudaOp *op)
{
  Trial t = { .op = op, .run = { .driver = op->device->driver } };
  double seconds = INFINITY;

  if (DLORAL_DRIVER_CALL (t.run.driver, NULL, cuStreamCreateWithPriority,
          &t.run.stream, CU_STREAM_NON_BLOCKING, 0)
      && (t.run.cudnn = dloral_cudnn_create_handle (op->device->cudnn,
              t.run.stream, NULL)) && make_memory (&t))
    seconds = dloral_stopwatch (t.run.driver, t.run.stream, launch, &t);
  end (&t);
  return seconds;
}
