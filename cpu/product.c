/* Choosing among oneDNN's ways to one product, and running it.
 *
 * A 1×1 kernel may be a matrix product or a convolution; an addend may be a
 * binary post-operation, or be copied to the destination and summed up there.
 * Which of them is fast depends on processor, version and types, and the
 * name of the implementation says it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "product.h"

typedef enum
{
  RANK_NONE,
  RANK_REFERENCE,               /* plain loops */
  RANK_GEMM,                    /* the operands are copied about */
  RANK_VECTOR,
  RANK_TILES,                   /* AMX */
} Rank;

/* One way to the product. */
typedef struct
{
  gboolean matmul, sum;
  Rank rank;
  dnnl_primitive_desc_t pd;
} Way;

static gboolean
rounds_source (const DloralProductParams *p)
{
  return p->src->dtype == DLORAL_F32 && p->dst->dtype == DLORAL_BF16;
}

/* Type that sources and weights are multiplied in. */
static dnnl_data_type_t
get_compute_type (const DloralProductParams *p)
{
  return dloral_dnnl_type (rounds_source (p) ? DLORAL_BF16 : p->src->dtype);
}

/* [h][w][c] as oneDNN's N, C, H, W. */
static DloralOperand
picture_operand (const DloralTensor *t, dnnl_data_type_t type)
{
  dnnl_dim_t h = t->h, w = t->w, c = t->c;

  return (DloralOperand) {
    .rank = 4,.dims = {1, c, h, w},.strides = {h * w * c, 1, w * c, c},
    .type = type
  };
}

/* [h][w][c] as h · w rows. */
static DloralOperand
rows_operand (const DloralTensor *t, dnnl_data_type_t type)
{
  return (DloralOperand) {
    .rank = 2,.dims = {(dnnl_dim_t) t->h * t->w, t->c},.strides = {t->c, 1},
    .type = type
  };
}

static DloralOperand
tensor_operand (const DloralTensor *t, const Way *way, dnnl_data_type_t type)
{
  return way->matmul ? rows_operand (t, type) : picture_operand (t, type);
}

/* Rows of the weight in the order that it fills, as the product sees them. */
static DloralOperand
weight_operand (const DloralProductParams *p, const Way *way)
{
  const DloralWeight *w = p->weight;
  dnnl_dim_t o = p->dst->c, i = w->i, kh = w->kh, kw = w->kw;

  if (way->matmul)
    return (DloralOperand) {
      .rank = 2,.dims = {i, o},.strides = {1, i},.type = dnnl_f32};
  return (DloralOperand) {
    .rank = 4,.dims = {o, i, kh, kw},.strides = {i * kh * kw, kh * kw, kw, 1},
    .type = dnnl_f32
  };
}

static DloralOperand
bias_operand (const DloralProductParams *p, const Way *way)
{
  dnnl_dim_t o = p->dst->c;

  if (way->matmul)
    return (DloralOperand) {
      .rank = 2,.dims = {1, o},.strides = {o, 1},.type = dnnl_f32};
  return (DloralOperand) {
    .rank = 1,.dims = {o},.strides = {1},.type = dnnl_f32};
}

static void
append_act (DloralPostOps *post, DloralAct act)
{
  static const struct { dnnl_alg_kind_t alg; float alpha; } algs[] = {
    [DLORAL_ACT_RELU] = { dnnl_eltwise_relu, 0.0f },
    [DLORAL_ACT_SILU] = { dnnl_eltwise_swish, 1.0f },
    [DLORAL_ACT_GELU] = { dnnl_eltwise_gelu_erf, 0.0f },
    [DLORAL_ACT_QUICK_GELU] = { dnnl_eltwise_swish, 1.702f },
    [DLORAL_ACT_TANH] = { dnnl_eltwise_tanh, 0.0f },
  };

  if (act == DLORAL_ACT_NONE)
    return;
  post->op[post->n++] = (DloralPostOp) {
    .kind = DLORAL_POST_ELTWISE,.alg = algs[act].alg,.alpha = algs[act].alpha
  };
}

/* Where the operand comes in the chain of post-operations. */
static int
get_operand_index (const DloralProductParams *p)
{
  return p->act_last || p->act == DLORAL_ACT_NONE ? 0 : 1;
}

static void
set_post_ops (DloralPostOps *post, const DloralProductParams *p,
    const Way *way, const DloralOperand *operand)
{
  post->n = 0;
  if (!p->act_last)
    append_act (post, p->act);
  if (p->operand) {
    DloralPostOp *op = &post->op[post->n++];

    op->kind = way->sum ? DLORAL_POST_SUM : DLORAL_POST_BINARY;
    op->alg = p->multiply ? dnnl_binary_mul : dnnl_binary_add;
    op->operand = operand;
  }
  if (p->act_last)
    append_act (post, p->act);
}

/* Padding after the last row or column, so that `out` results follow. Columns
 * that no result uses need none. */
static dnnl_dim_t
get_end_pad (int in, int out, int kernel, int stride, int pad)
{
  return MAX (0, (out - 1) * stride + kernel - in - pad);
}

static void
set_pads (DloralMatrixParams *m, const DloralProductParams *p)
{
  m->strides[0] = m->strides[1] = p->stride;
  m->pad_l[0] = p->pad_top;
  m->pad_l[1] = p->pad_left;
  m->pad_r[0] = get_end_pad (p->src->h, p->dst->h, p->weight->kh, p->stride,
      p->pad_top);
  m->pad_r[1] = get_end_pad (p->src->w, p->dst->w, p->weight->kw, p->stride,
      p->pad_left);
}

/* oneDNN 2.6's convolution on gemm, its last resort without AVX2, adds wrong
 * elements of an operand. */
static gboolean
is_broken (const char *name, const Way *way, const DloralProductParams *p)
{
  return p->operand && !way->sum && !way->matmul && strstr (name, "gemm");
}

static Rank
get_rank (const Way *way, const DloralProductParams *p)
{
  const char *name = NULL;

  if (dnnl_primitive_desc_query (way->pd, dnnl_query_impl_info_str, 0, &name)
      != dnnl_success || name == NULL)
    return RANK_REFERENCE;
  if (is_broken (name, way, p))
    return RANK_NONE;
  if (strstr (name, "ref"))
    return RANK_REFERENCE;
  if (strstr (name, "gemm"))
    return RANK_GEMM;
  return strstr (name, "amx") ? RANK_TILES : RANK_VECTOR;
}

/* Sets the way's rank, and its descriptor unless that is NONE. */
static dnnl_status_t
try_way (Way *way, DloralDevice *device, const DloralProductParams *p)
{
  DloralMatrixParams m = { 0 };
  DloralOperand operand;
  dnnl_status_t status;

  m.src = tensor_operand (p->src, way, get_compute_type (p));
  m.dst = tensor_operand (p->dst, way, dloral_dnnl_type (p->dst->dtype));
  m.weights = weight_operand (p, way);
  m.weights.any = TRUE;
  m.weights.type = m.src.type;
  if (p->bias)
    m.bias = bias_operand (p, way);
  if (p->operand)
    operand = tensor_operand (p->operand, way,
        dloral_dnnl_type (p->operand->dtype));
  set_post_ops (&m.post, p, way, &operand);
  set_pads (&m, p);
  status = way->matmul ? dloral_dnnl_matmul (&way->pd, device->engine, &m)
      : dloral_dnnl_conv (&way->pd, device->engine, &m);
  if (status != dnnl_success)
    return status;
  way->rank = get_rank (way, p);
  if (way->rank != RANK_NONE)
    return dnnl_success;
  dnnl_primitive_desc_destroy (way->pd);
  return dnnl_unimplemented;
}

static gboolean
is_matmul (const DloralProductParams *p)
{
  return p->weight->kh == 1 && p->weight->kw == 1 && p->stride == 1
      && p->pad_top == 0 && p->pad_left == 0 && p->src->h == p->dst->h
      && p->src->w == p->dst->w;
}

/* The best way into *best: the first of those of the highest rank. */
static dnnl_status_t
choose_way (Way *best, DloralDevice *device, const DloralProductParams *p)
{
  Rank enough = device->amx && get_compute_type (p) == dnnl_bf16 ?
      RANK_TILES : RANK_VECTOR;
  dnnl_status_t status = dnnl_unimplemented;
  int i;

  best->rank = RANK_NONE;
  for (i = 0; i < 3 && best->rank < enough; i++) {
    Way way = {.matmul = i == 0,.sum = i == 2 };

    if ((way.matmul && !is_matmul (p))
        || (way.sum && (p->operand == NULL || p->multiply)))
      continue;
    status = try_way (&way, device, p);
    if (way.rank <= best->rank) {
      if (way.rank != RANK_NONE)
        dnnl_primitive_desc_destroy (way.pd);
      continue;
    }
    if (best->rank != RANK_NONE)
      dnnl_primitive_desc_destroy (best->pd);
    *best = way;
  }
  return best->rank == RANK_NONE ? status : dnnl_success;
}

/* A copy of a tensor from one type to another. */
static gboolean
init_copy (DloralPrimitive *primitive, DloralDevice *device,
    const DloralTensor *t, DloralDtype to, const DloralOp *op, GError **error)
{
  DloralOperand src = rows_operand (t, dloral_dnnl_type (t->dtype));
  DloralOperand dst = rows_operand (t, dloral_dnnl_type (to));

  return dloral_primitive_init_reorder (primitive, device, &src, &dst, op,
      error);
}

static DloralPacked *
lend_constant (DloralProduct *self, const DloralWeight *w, int first,
    DloralOperand layout, int arg, GError **error)
{
  DloralWeightRows rows = {.weight = w,.first = first,.layout = layout };
  DloralPacked *packed = dloral_weights_pack (self->device->weights, &rows,
      dloral_primitive_get_md (&self->product, arg), self->op, error);

  if (packed)
    dloral_primitive_lend (&self->product, arg,
        dloral_packed_get_memory (packed));
  return packed;
}

static gboolean
init_product (DloralProduct *self, const DloralProductParams *p,
    const Way *way, GError **error)
{
  int args[] = { DNNL_ARG_SRC, DNNL_ARG_DST, 0, 0 };

  if (p->operand && !way->sum)
    self->operand_arg = args[2] =
        DNNL_ARG_ATTR_MULTIPLE_POST_OP (get_operand_index (p)) |
        DNNL_ARG_SRC_1;
  if (!dloral_primitive_init (&self->product, self->device, way->pd, args,
          p->op, error))
    return FALSE;
  self->weight = lend_constant (self, p->weight, p->first,
      weight_operand (p, way), DNNL_ARG_WEIGHTS, error);
  if (self->weight == NULL)
    return FALSE;
  if (p->bias == NULL)
    return TRUE;
  self->bias = lend_constant (self, p->bias, p->first, bias_operand (p, way),
      DNNL_ARG_BIAS, error);
  return self->bias != NULL;
}

static gboolean
init_parts (DloralProduct *self, const DloralProductParams *p,
    const Way *way, GError **error)
{
  if (!init_product (self, p, way, error))
    return FALSE;
  if (way->sum && !init_copy (&self->copy, self->device, p->operand,
          p->dst->dtype, p->op, error))
    return FALSE;
  if (!rounds_source (p))
    return TRUE;
  self->rounded_size = dloral_align ((gsize) p->src->h * p->src->w *
      p->src->c * dloral_dtype_size (DLORAL_BF16));
  return init_copy (&self->round, self->device, p->src, DLORAL_BF16, p->op,
      error);
}

gboolean
dloral_product_init (DloralProduct *self, DloralDevice *device,
    const DloralProductParams *params, GError **error)
{
  Way way;

  memset (self, 0, sizeof *self);
  self->device = device;
  self->op = params->op;
  if (!dloral_dnnl_check (choose_way (&way, device, params), params->op,
          "multiply", error))
    return FALSE;
  if (!init_parts (self, params, &way, error)) {
    dloral_product_clear (self);
    return FALSE;
  }
  self->scratch_size = self->rounded_size + MAX (self->product.scratch_size,
      MAX (self->copy.scratch_size, self->round.scratch_size));
  return TRUE;
}

void
dloral_product_clear (DloralProduct *self)
{
  dloral_primitive_clear (&self->product);
  dloral_primitive_clear (&self->copy);
  dloral_primitive_clear (&self->round);
  if (self->device) {
    dloral_weights_release (self->device->weights, self->weight);
    dloral_weights_release (self->device->weights, self->bias);
  }
  memset (self, 0, sizeof *self);
}

gboolean
dloral_product_run (DloralProduct *self, gconstpointer src,
    gconstpointer operand, gpointer dst, guint8 *scratch, GError **error)
{
  guint8 *pad = scratch + self->rounded_size;

  if (self->round.primitive && !dloral_primitive_run_reorder (&self->round,
          src, scratch, pad, self->op, error))
    return FALSE;
  if (self->copy.primitive && !dloral_primitive_run_reorder (&self->copy,
          operand, dst, pad, self->op, error))
    return FALSE;
  dloral_primitive_bind (&self->product, DNNL_ARG_SRC,
      self->rounded_size ? scratch : src);
  dloral_primitive_bind (&self->product, DNNL_ARG_DST, dst);
  if (self->operand_arg)
    dloral_primitive_bind (&self->product, self->operand_arg, operand);
  return dloral_primitive_run (&self->product, pad, self->op, error);
}
