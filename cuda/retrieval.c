/* Cross-frame retrieval: sums over keys, then the values applied to them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "kernels/retrieval.h"

/* Blocks a multiprocessor should find waiting, so that all end at about the
 * same time; the keys are split until there are as many. */
#define BLOCKS 16

/* Bytes of shared memory for a window's keys. */
#define STAGE_SIZE (48 * 1024)

/* The kernels of a number of channels; names as in retrieval.cu. */
typedef struct
{
  int channels, pairs, threads, keys;
  const char *all, *window;
} Shape;

static const Shape shapes[] = {
#define SHAPE(channels, pairs, threads, keys) \
  { channels, pairs, threads, keys, "retrieve_all_" #channels, \
    "retrieve_window_" #channels },
  DLORAL_RETRIEVAL_SHAPES (SHAPE)
#undef SHAPE
};

typedef struct
{
  DloralCudaOp base;
  DloralKernel gather, combine;
  CUdeviceptr weight, value, bias;
  DloralRetrievalParams params;
} Retrieval;

static gboolean
launch_gather (Retrieval *self, const DloralCudaRun *run, GError **error)
{
  const DloralOp *op = self->base.op;
  CUdeviceptr x = dloral_cuda_get_data (run, op->src[0]);
  CUdeviceptr y = dloral_cuda_get_data (run, op->src[1]);
  CUdeviceptr sums = run->scratch;
  void *args[] = { &sums, &x, &y, &self->weight, &self->params };

  return dloral_kernel_launch (&self->gather, run, args, error);
}

static gboolean
launch_combine (Retrieval *self, const DloralCudaRun *run, GError **error)
{
  const DloralOp *op = self->base.op;
  CUdeviceptr dst = dloral_cuda_get_data (run, op->dst);
  CUdeviceptr x = dloral_cuda_get_data (run, op->src[0]);
  CUdeviceptr sums = run->scratch;
  void *args[] = { &dst, &x, &sums, &self->value, &self->bias,
    &self->params };

  return dloral_kernel_launch (&self->combine, run, args, error);
}

static gboolean
retrieval_launch (DloralCudaOp *base, const DloralCudaRun *run,
    GError **error)
{
  Retrieval *self = (Retrieval *) base;

  return launch_gather (self, run, error)
      && launch_combine (self, run, error);
}

static void
retrieval_free (DloralCudaOp *base)
{
  Retrieval *self = (Retrieval *) base;

  dloral_cuda_weights_release (base->device->weights, self->weight);
  dloral_cuda_weights_release (base->device->weights, self->value);
  dloral_cuda_weights_release (base->device->weights, self->bias);
  g_free (self);
}

/* --- Compiling -------------------------------------------------------------- */

static int
divide_up (int n, int by)
{
  return (n + by - 1) / by;
}

/* Every key for every query. */
static gboolean
init_all (Retrieval *self, const Shape *shape, GError **error)
{
  DloralRetrievalParams *p = &self->params;
  int n = p->h * p->w, tiles = divide_up (n, shape->keys);
  int blocks = divide_up (p->heads * n, shape->pairs * shape->threads);
  int wanted = divide_up (BLOCKS * self->base.device->n_multiprocessors,
      blocks);

  p->split_keys = divide_up (tiles, MIN (wanted, tiles)) * shape->keys;
  p->splits = divide_up (n, p->split_keys);
  self->gather = (DloralKernel) {
    .grid = { blocks, p->splits },.block = { shape->threads },
    .shared = (shape->keys * shape->channels
        + shape->pairs * (shape->channels + 1) * shape->threads)
        * sizeof (float),
  };
  return dloral_kernel_find (&self->gather, self->base.device, shape->all, 0,
      NULL, error);
}

/* The keys of each query's window. */
static gboolean
init_window (Retrieval *self, const Shape *shape, GError **error)
{
  DloralRetrievalParams *p = &self->params;
  int row_size = (DLORAL_RETRIEVAL_COLUMNS + 2 * p->reach)
      * DLORAL_RETRIEVAL_STEP (shape->channels) * sizeof (float);

  p->splits = 1;
  p->stage_rows = MIN (DLORAL_RETRIEVAL_ROWS + 2 * p->reach,
      STAGE_SIZE / row_size);
  self->gather = (DloralKernel) {
    .grid = { divide_up (p->w, DLORAL_RETRIEVAL_COLUMNS),
      divide_up (p->h, DLORAL_RETRIEVAL_ROWS), p->heads },
    .block = { DLORAL_RETRIEVAL_COLUMNS, DLORAL_RETRIEVAL_ROWS },
    .shared = p->stage_rows * row_size,
  };
  return dloral_kernel_find (&self->gather, self->base.device, shape->window,
      0, NULL, error);
}

static gboolean
init_combine (Retrieval *self, GError **error)
{
  self->combine = (DloralKernel) {
    .grid = { divide_up (self->params.h * self->params.w,
          DLORAL_RETRIEVAL_QUERIES),
      divide_up (self->params.c, DLORAL_RETRIEVAL_WARPS) },
    .block = { DLORAL_RETRIEVAL_QUERIES, DLORAL_RETRIEVAL_WARPS },
    .shared = DLORAL_RETRIEVAL_WARPS * DLORAL_RETRIEVAL_WARPS
        * DLORAL_RETRIEVAL_QUERIES * sizeof (float),
  };
  return dloral_kernel_find (&self->combine, self->base.device,
      "retrieve_combine", 0, NULL, error);
}

static CUdeviceptr
get_weight (Retrieval *self, const DloralWeight *weight, GError **error)
{
  return dloral_cuda_weights_get (self->base.device->weights, weight,
      DLORAL_F32, DLORAL_LAYOUT_OIHW, error);
}

static gboolean
init_weights (Retrieval *self, GError **error)
{
  const DloralOp *op = self->base.op;

  return (self->weight = get_weight (self, op->weight, error)) != 0
      && (self->value = get_weight (self, op->u.retrieval.value, error)) != 0
      && (self->bias = get_weight (self, op->bias, error)) != 0;
}

static const Shape *
find_shape (const DloralOp *op, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (shapes); i++)
    if (op->dst->c <= shapes[i].channels)
      return &shapes[i];
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG,
      "%s: the retrieval takes at most %d latent channels, found %d",
      op->scope, DLORAL_RETRIEVAL_MAX_CHANNELS, op->dst->c);
  return NULL;
}

DloralCudaOp *
dloral_cuda_retrieval_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  const Shape *shape = find_shape (op, error);
  const DloralTensor *dst = op->dst;
  Retrieval *self;

  if (shape == NULL)
    return NULL;
  self = g_new0 (Retrieval, 1);
  self->base.op = op;
  self->base.device = device;
  self->base.launch = retrieval_launch;
  self->base.free = retrieval_free;
  self->params = (DloralRetrievalParams) {
    .h = dst->h,.w = dst->w,.c = dst->c,.heads = op->u.retrieval.heads,
    .reach = op->u.retrieval.window / 2,
  };
  if (!(op->u.retrieval.window > 0 ? init_window (self, shape, error) :
          init_all (self, shape, error))
      || !init_combine (self, error)
      || !init_weights (self, error)) {
    retrieval_free (&self->base);
    return NULL;
  }
  self->base.scratch_size = (gsize) self->params.splits * (dst->c + 1)
      * self->params.heads * dst->h * dst->w * sizeof (float);
  return &self->base;
}
