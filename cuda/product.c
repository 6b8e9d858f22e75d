/* Products on cuDNN, fused with what follows them as far as it goes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "product.h"

#include "epilogue.h"
#include "quantize.h"

#define MAX_HALVES 2
#define ALIGNMENT 256           /* of the parts of the scratch memory */

/* The tensors in memory of a plan. */
typedef enum
{
  X, W, BIAS = W + MAX_HALVES, RESIDUAL = BIAS + MAX_HALVES, Y,
  DESCALE,
  N_ROLES
} Role;

typedef struct
{
  DloralCudaOp base;
  DloralProduct product;
  DloralDtype type;             /* that is multiplied */
  CUdeviceptr weight, bias;

  DloralCudnnPlan *plan;
  gint64 uids[N_ROLES];         /* 0: the plan has none */
  gboolean converts;            /* x to `type`, into the scratch memory */
  DloralEpilogue convert;
  DloralQuantize quantize;      /* in its place where `type` is E4M3 */
  float descale;                /* of products in E4M3 */
  gboolean fused;               /* else into the scratch memory, and then: */
  DloralEpilogue epilogue;
  gsize raw_offset, workspace_offset;   /* in the scratch memory */
} Product;

static const DloralTensor *
get_residual (const DloralOp *op)
{
  return op->n_src > 1 ? op->src[1] : NULL;
}

static gsize
get_rows (const DloralTensor *t)
{
  return (gsize) t->h * t->w;
}

/* --- Graphs -------------------------------------------------------------------- */

/* A graph in the making. */
typedef struct
{
  Product *self;
  DloralCudnnGraph *g;
  DloralDtype y_type;
  int n_left;                   /* operations after the product */
  DloralCudnnTensor *descale;   /* of E4M3, or NULL */
} Build;

static DloralCudnnTensor *
add_tensor (Build *b, const DloralShape *shape, DloralDtype dtype, int role)
{
  DloralCudnnTensor *t = dloral_cudnn_tensor (b->g, shape->rank, shape->dims,
      shape->strides, dtype, role < 0 ? DLORAL_CUDNN_VIRTUAL :
      DLORAL_CUDNN_MEMORY);

  if (role >= 0)
    b->self->uids[role] = dloral_cudnn_tensor_get_uid (t);
  return t;
}

/* What makes of the product of scaled operands the one of what they stand for. */
static void
add_descale (Build *b)
{
  const gint64 ones[] = { 1, 1, 1, 1 };

  b->descale = dloral_cudnn_tensor (b->g, b->self->product.y.rank, ones, ones,
      DLORAL_F32, DLORAL_CUDNN_SCALAR);
  b->self->uids[DESCALE] = dloral_cudnn_tensor_get_uid (b->descale);
}

/* The result of the next operation: nowhere, or of the last one the result. */
static DloralCudnnTensor *
add_result (Build *b, gboolean last)
{
  return last ? add_tensor (b, &b->self->product.y, b->y_type, Y) :
      add_tensor (b, &b->self->product.y, DLORAL_F32, -1);
}

static DloralCudnnTensor *
apply (Build *b, cudnnPointwiseMode_t mode, DloralCudnnTensor *x,
    DloralCudnnTensor *other)
{
  DloralCudnnTensor *y = add_result (b, --b->n_left == 0);

  dloral_cudnn_pointwise (b->g, mode, x, other, y);
  return y;
}

static DloralCudnnTensor *
multiply (Build *b, DloralCudnnTensor *x, int half)
{
  Product *self = b->self;
  const DloralProduct *p = &self->product;
  DloralCudnnTensor *w = add_tensor (b, &p->w, self->type, W + half);
  DloralCudnnTensor *y = add_result (b, b->n_left == 0);

  if (p->conv)
    dloral_cudnn_conv (b->g, x, w, y, &p->geometry);
  else
    dloral_cudnn_matmul (b->g, x, w, y);
  if (b->descale)
    y = apply (b, CUDNN_POINTWISE_MUL, y, b->descale);
  if (b->n_left > 0 && self->base.op->bias)
    y = apply (b, CUDNN_POINTWISE_ADD, y, add_tensor (b, &p->bias, DLORAL_F32,
            BIAS + half));
  return y;
}

static cudnnPointwiseMode_t
get_mode (DloralAct act)
{
  switch (act) {
    case DLORAL_ACT_RELU:
      return CUDNN_POINTWISE_RELU_FWD;
    case DLORAL_ACT_SILU:
      return CUDNN_POINTWISE_SWISH_FWD;
    case DLORAL_ACT_TANH:
      return CUDNN_POINTWISE_TANH_FWD;
    default:
      return CUDNN_POINTWISE_GELU_FWD;
  }
}

static void
add_epilogue (Build *b, DloralCudnnTensor *y)
{
  const DloralProduct *p = &b->self->product;
  const DloralTensor *residual = get_residual (b->self->base.op);

  if (p->act_first && p->act != DLORAL_ACT_NONE)
    y = apply (b, get_mode (p->act), y, NULL);
  if (residual)
    y = apply (b, CUDNN_POINTWISE_ADD, y, add_tensor (b, &p->y,
            residual->dtype, RESIDUAL));
  if (!p->act_first && p->act != DLORAL_ACT_NONE)
    apply (b, get_mode (p->act), y, NULL);
}

/* Everything in one graph. Where nothing follows the product, cuDNN would take an
 * engine that writes dense results only, and spread them afterwards; a copy that
 * follows makes it take the one that writes where it is told to. */
static void
build_fused (Build *b)
{
  const DloralOp *op = b->self->base.op;
  const DloralProduct *p = &b->self->product;
  DloralCudnnTensor *x = add_tensor (b, &p->x, b->self->type, X), *first;
  gboolean copy;

  b->y_type = op->dst->dtype;
  b->n_left = (op->bias != NULL) * p->halves + (get_residual (op) != NULL)
      + (p->act != DLORAL_ACT_NONE) + 2 * (p->halves - 1);
  if (b->self->type == DLORAL_E4M3) {
    add_descale (b);
    b->n_left += p->halves;
  }
  copy = p->direct && b->n_left == 0;
  b->n_left += copy;
  first = multiply (b, x, 0);
  if (p->halves > 1) {
    DloralCudnnTensor *gate = multiply (b, x, 1);

    apply (b, CUDNN_POINTWISE_MUL, first, apply (b, CUDNN_POINTWISE_GELU_FWD,
            gate, NULL));
  } else if (copy) {
    apply (b, CUDNN_POINTWISE_IDENTITY, first, NULL);
  } else if (b->n_left > 0) {
    add_epilogue (b, first);
  }
}

/* The product alone; both halves side by side are one. */
static void
build_raw (Build *b)
{
  multiply (b, add_tensor (b, &b->self->product.x, b->self->type, X), 0);
}

static DloralCudnnPlan *
make_plan (Product *self, gboolean fused, DloralDtype y_type, GError **error)
{
  Build b = { self, dloral_cudnn_graph_new (self->base.device->cudnn,
        self->type == DLORAL_F32, self->base.cancelled), y_type, 0, NULL };

  for (int i = 0; i < N_ROLES; i++)
    self->uids[i] = 0;
  if (fused)
    build_fused (&b);
  else
    build_raw (&b);
  return dloral_cudnn_graph_finish (b.g, error);
}

/* --- Choosing ------------------------------------------------------------------ */

/* A pair of halves as one product with all the rows. */
static void
join_halves (DloralProduct *p)
{
  int channels = p->conv ? 1 : 2;       /* where y's and bias' channels are */
  gint64 n = p->y.dims[channels];

  for (int i = 0; i < p->y.rank; i++) {
    if (i == channels)
      continue;
    p->y.strides[i] *= 2;
    p->bias.strides[i] *= 2;
  }
  p->y.dims[channels] = p->bias.dims[channels] = 2 * n;
  if (p->conv)
    p->w.dims[0] *= 2;
  else
    p->w.dims[2] *= 2;
}

/* First f32 results, then such as are rounded on the way. */
static gboolean
make_raw_plan (Product *self, GError **error)
{
  const DloralOp *op = self->base.op;
  const DloralTensor *residual = get_residual (op);
  gboolean geglu = self->product.halves > 1;
  DloralDtype type = DLORAL_F32;

  if (geglu)
    join_halves (&self->product);
  self->plan = make_plan (self, FALSE, type, NULL);
  if (self->plan == NULL) {
    type = self->type;
    self->plan = make_plan (self, FALSE, type, error);
  }
  self->raw_offset = self->base.scratch_size;
  self->base.scratch_size += get_rows (op->dst) * op->dst->c
      * (geglu ? 2 : 1) * dloral_dtype_size (type);
  return self->plan && dloral_epilogue_init (&self->epilogue,
      self->base.device, get_rows (op->dst), op->dst->c, type,
      residual ? (int) residual->dtype : -1, op->dst->dtype,
      self->product.act, self->product.act_first, geglu, error);
}

/* Whether the second half's weights and bias begin where cuDNN can read. */
static gboolean
is_aligned (const Product *self)
{
  const DloralWeight *w = self->base.op->weight;
  gsize half = w->o / MAX_HALVES;

  return self->product.halves == 1 || (half * sizeof (float) % 16 == 0
      && half * w->i * dloral_dtype_size (self->type) % 16 == 0);
}

/* QUICK_GELU is not among cuDNN's, and comes in text encoders only. */
static gboolean
choose_fused (Product *self, DloralDtype type)
{
  self->type = type;
  if (self->product.act != DLORAL_ACT_QUICK_GELU && is_aligned (self))
    self->plan = make_plan (self, TRUE, self->base.op->dst->dtype, NULL);
  self->fused = self->plan != NULL;
  return self->fused;
}

/* The type that is multiplied: E4M3 where cuDNN does it all at once; else what is
 * stored in the device's own type is multiplied in it, f32 graphs in f32. */
static void
choose (Product *self)
{
  DloralDevice *device = self->base.device;
  const DloralOp *op = self->base.op;

  if (!dloral_quantize_fits (device, op) || !choose_fused (self, DLORAL_E4M3))
    choose_fused (self, op->src[0]->dtype == DLORAL_F32
        && op->dst->dtype == DLORAL_F32 ? DLORAL_F32 : device->act_dtype);
}

/* --- The operator -------------------------------------------------------------- */

static void
product_free (DloralCudaOp *base)
{
  Product *self = (Product *) base;

  dloral_cudnn_plan_free (self->plan);
  dloral_cuda_weights_release (base->device->weights, self->weight);
  dloral_cuda_weights_release (base->device->weights, self->bias);
  g_free (self);
}

static int
collect (const Product *self, const DloralCudaRun *run, CUdeviceptr x,
    gint64 *uids, gpointer *addresses)
{
  const DloralOp *op = self->base.op;
  gsize half = op->weight->o / MAX_HALVES;
  CUdeviceptr all[N_ROLES] = {
    [X] = x, [W] = self->weight,
    [W + 1] = self->weight + half * op->weight->i
        * dloral_dtype_size (self->type),
    [BIAS] = self->bias, [BIAS + 1] = self->bias + half * sizeof (float),
    [RESIDUAL] = get_residual (op) ? dloral_cuda_get_data (run,
        get_residual (op)) : 0,
    [Y] = self->fused ? dloral_cuda_get_data (run, op->dst) :
        run->scratch + self->raw_offset,
    [DESCALE] = (CUdeviceptr) &self->descale,
  };
  int n = 0;

  for (int i = 0; i < N_ROLES; i++)
    if (self->uids[i] > 0) {
      uids[n] = self->uids[i];
      addresses[n++] = (gpointer) all[i];
    }
  return n;
}

/* The source in the type that is multiplied. */
static gboolean
convert (const Product *self, const DloralCudaRun *run, CUdeviceptr *x,
    GError **error)
{
  CUdeviceptr from = *x;

  if (!self->converts)
    return TRUE;
  *x = run->scratch;
  return self->type == DLORAL_E4M3 ?
      dloral_quantize_launch (&self->quantize, run, from, *x, error) :
      dloral_epilogue_launch (&self->convert, run, from, 0, 0, *x, error);
}

static gboolean
product_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Product *self = (Product *) base;
  const DloralOp *op = base->op;
  CUdeviceptr x = dloral_cuda_get_data (run, op->src[0]);
  gint64 uids[N_ROLES];
  gpointer addresses[N_ROLES];
  int n;

  if (!convert (self, run, &x, error))
    return FALSE;
  n = collect (self, run, x, uids, addresses);
  if (!dloral_cudnn_plan_run (self->plan, run->cudnn, n, uids, addresses,
          (gpointer) (run->scratch + self->workspace_offset), error))
    return FALSE;
  return self->fused || dloral_epilogue_launch (&self->epilogue, run,
      run->scratch + self->raw_offset, self->bias, get_residual (op) ?
      dloral_cuda_get_data (run, get_residual (op)) : 0,
      dloral_cuda_get_data (run, op->dst), error);
}

static gsize
align (gsize size)
{
  return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static gboolean
prepare_source (Product *self, GError **error)
{
  DloralDevice *device = self->base.device;
  const DloralTensor *x = self->base.op->src[0];

  self->converts = x->dtype != self->type;
  if (!self->converts)
    return TRUE;
  self->base.scratch_size = align (get_rows (x) * x->c
      * dloral_dtype_size (self->type));
  return self->type == DLORAL_E4M3 ?
      dloral_quantize_init (&self->quantize, device, self->base.op, error) :
      dloral_epilogue_init (&self->convert, device, get_rows (x), x->c,
      x->dtype, -1, self->type, DLORAL_ACT_NONE, FALSE, FALSE, error);
}

static gboolean
prepare_weights (Product *self, GError **error)
{
  DloralCudaWeights *weights = self->base.device->weights;
  const DloralOp *op = self->base.op;

  self->weight = dloral_cuda_weights_get (weights, op->weight, self->type,
      DLORAL_LAYOUT_OHWI, error);
  if (self->weight && op->bias)
    self->bias = dloral_cuda_weights_get (weights, op->bias, DLORAL_F32,
        DLORAL_LAYOUT_OIHW, error);
  if (self->weight && self->type == DLORAL_E4M3)
    self->descale = 1 / (self->quantize.params.scale
        * dloral_cuda_weights_get_scale (weights, self->weight));
  return self->weight && (self->bias || op->bias == NULL);
}

static gboolean
product_prepare (DloralCudaOp *base, GError **error)
{
  Product *self = (Product *) base;

  choose (self);
  if ((!self->fused && self->product.direct) || !prepare_source (self, error)
      || (!self->fused && !make_raw_plan (self, error)))
    return FALSE;
  self->workspace_offset = align (base->scratch_size);
  base->scratch_size = self->workspace_offset
      + dloral_cudnn_plan_get_workspace (self->plan);
  base->how = g_strdup_printf ("%s %s%s",
      dloral_cudnn_plan_describe (self->plan),
      self->fused ? "fused" : "+ own",
      self->type == DLORAL_E4M3 ? " e4m3" : "");
  return prepare_weights (self, error);
}

DloralCudaOp *
dloral_product_new (DloralDevice *device, const DloralOp *op,
    const DloralProduct *product)
{
  Product *self = g_new0 (Product, 1);

  self->base.op = op;
  self->base.device = device;
  self->base.library = TRUE;
  self->base.prepare = product_prepare;
  self->base.launch = product_launch;
  self->base.free = product_free;
  self->product = *product;
  return &self->base;
}
