/* Group normalisation: how the tensor is cut for kernels/group_norm.cu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "kernel_type.h"
#include "kernels/group_norm.h"
#include "op.h"

/* Blocks for every multiprocessor: as many as it holds at once, with the 64
 * registers a thread that the kernels take. */
#define BLOCKS 4

/* Channels of a slab, at least: neighbours that are worth a memory access. */
#define MIN_SLAB 64

/* Pixels of a thread, at least. */
#define MIN_PIXELS 2

/* Elements of a group that is normalised in one launch by one block. It reads a
 * group of this size in the time that a second launch takes, and 48 KiB of
 * shared memory are to be had everywhere. */
#define MAX_WHOLE (12 * 1024 - DLORAL_GROUP_NORM_WHOLE_THREADS / 32)

typedef struct
{
  DloralCudaOp base;
  DloralGroupNorm params;       /* without the tensors' addresses */
  DloralKernel kernels[2];
  int n_kernels;
  CUdeviceptr gamma, beta;
} GroupNorm;

static void
describe (const DloralOp *op, DloralGroupNorm *p)
{
  for (int i = 0; i < op->n_src; i++) {
    p->src[i].c = op->src[i]->c;
    p->src[i].is_f32 = op->src[i]->dtype == DLORAL_F32;
  }
  p->dst_is_f32 = op->dst->dtype == DLORAL_F32;
  p->pixels = op->dst->h * op->dst->w;
  p->c = op->dst->c;
  p->size = p->c / op->u.group_norm.groups;
  p->eps = op->u.group_norm.eps;
  p->silu = op->u.group_norm.act == DLORAL_ACT_SILU;
}

/* Whole groups and whole vectors: a multiple of both. */
static int
choose_slab (const DloralGroupNorm *p)
{
  int unit = p->size;

  while (unit % p->vector != 0)
    unit += p->size;
  return MIN ((MIN_SLAB + unit - 1) / unit * unit, p->c);
}

static gboolean
init_split (GroupNorm *self, DloralDtype type, GError **error)
{
  DloralGroupNorm *p = &self->params;
  DloralKernel *measure = &self->kernels[0], *apply = &self->kernels[1];
  int slabs, rows, chunks;

  p->vector = p->c % 8 == 0 && p->src[0].c % 8 == 0 ? 8 : 1;
  p->slab = choose_slab (p);
  slabs = (p->c + p->slab - 1) / p->slab;
  rows = DLORAL_GROUP_NORM_THREADS
      / MIN (p->slab / p->vector, DLORAL_GROUP_NORM_THREADS);
  chunks = MAX (BLOCKS * self->base.device->n_multiprocessors / slabs, 1);
  p->chunk = MAX ((p->pixels + chunks - 1) / chunks, MIN_PIXELS * rows);
  p->chunks = (p->pixels + p->chunk - 1) / p->chunk;
  self->base.scratch_size = (gsize) self->base.op->u.group_norm.groups
      * p->chunks * 2 * sizeof (float);
  *measure = *apply = (DloralKernel) {
    .grid = {slabs, p->chunks},.block = {DLORAL_GROUP_NORM_THREADS}
  };
  measure->shared = rows * p->slab * 2 * sizeof (float);
  apply->shared = p->slab / p->size * 2 * sizeof (float);
  self->n_kernels = 2;
  return dloral_kernel_find (measure, self->base.device, "group_norm_measure",
      1, &type, error)
      && dloral_kernel_find (apply, self->base.device, "group_norm_apply", 1,
      &type, error);
}

static gboolean
init_whole (GroupNorm *self, DloralDtype type, GError **error)
{
  DloralGroupNorm *p = &self->params;
  DloralKernel *whole = &self->kernels[0];

  p->vector = p->size % 4 == 0 && p->src[0].c % 4 == 0 ? 4 : 1;
  whole->grid[0] = self->base.op->u.group_norm.groups;
  whole->block[0] = DLORAL_GROUP_NORM_WHOLE_THREADS;
  whole->shared = (p->pixels * p->size + DLORAL_GROUP_NORM_WHOLE_THREADS / 32)
      * sizeof (float);
  self->n_kernels = 1;
  return dloral_kernel_find (whole, self->base.device, "group_norm_whole", 1,
      &type, error);
}

static gboolean
group_norm_launch (DloralCudaOp *base, const DloralCudaRun *run,
    GError **error)
{
  GroupNorm *self = (GroupNorm *) base;
  DloralGroupNorm p = self->params;
  void *args[] = { &p };

  for (int i = 0; i < base->op->n_src; i++)
    p.src[i].data = (const void *) dloral_cuda_get_data (run,
        base->op->src[i]);
  p.dst = (void *) dloral_cuda_get_data (run, base->op->dst);
  p.partials = (float *) run->scratch;
  for (int i = 0; i < self->n_kernels; i++)
    if (!dloral_kernel_launch (&self->kernels[i], run, args, error))
      return FALSE;
  return TRUE;
}

static void
group_norm_free (DloralCudaOp *base)
{
  GroupNorm *self = (GroupNorm *) base;

  dloral_cuda_weights_release (base->device->weights, self->gamma);
  dloral_cuda_weights_release (base->device->weights, self->beta);
  g_free (self);
}

static gboolean
init_weights (GroupNorm *self, GError **error)
{
  DloralCudaWeights *weights = self->base.device->weights;
  const DloralOp *op = self->base.op;

  self->gamma = dloral_cuda_weights_get (weights, op->weight, DLORAL_F32,
      DLORAL_LAYOUT_OIHW, error);
  if (self->gamma == 0)
    return FALSE;
  self->beta = dloral_cuda_weights_get (weights, op->bias, DLORAL_F32,
      DLORAL_LAYOUT_OIHW, error);
  self->params.gamma = (const float *) self->gamma;
  self->params.beta = (const float *) self->beta;
  return self->beta != 0;
}

DloralCudaOp *
dloral_cuda_group_norm_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  GroupNorm *self = g_new0 (GroupNorm, 1);
  DloralDtype type = dloral_op_get_kernel_type (op);
  gboolean whole;

  self->base.op = op;
  self->base.device = device;
  self->base.launch = group_norm_launch;
  self->base.free = group_norm_free;
  describe (op, &self->params);
  whole = (gsize) self->params.pixels * self->params.size <= MAX_WHOLE;
  if (!init_weights (self, error)
      || !(whole ? init_whole : init_split) (self, type, error)) {
    group_norm_free (&self->base);
    return NULL;
  }
  return &self->base;
}
