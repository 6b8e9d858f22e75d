/* Attention: softmax (scale · q kᵀ) v, head by head.
 *
 * Heads lie side by side in wider rows, which oneDNN's fast matrix product does
 * not take: keys and values of some heads are packed once, then the queries go
 * through in chunks of rows, so that scores stay in the cache and scratch is
 * bounded. Groups of positions that see only themselves take turns. Scores and
 * softmax are f32.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "device.h"
#include "op.h"
#include "primitive.h"
#include "strips.h"

#include <math.h>

/* Bytes of scores at a time. */
#define SCORES_SIZE (4 << 20)
/* Fewer rows than this waste the packed keys. */
#define MIN_ROWS 64

typedef struct
{
  DloralCpuOp base;
  DloralDevice *device;
  int groups;                   /* 1: all positions are one */
  int nq, nk, heads, d;         /* positions of a group */
  int batch;                    /* heads at a time, divides heads */
  int rows;                     /* queries at a time; the last chunk overlaps
                                 * the one before where nq is no multiple */
  float *bias;                  /* [kinds][heads][nq][nk]; NULL: none */
  dnnl_data_type_t type, out_type;      /* of products; of their result */
  DloralPrimitive pack_k, pack_v;
  DloralPrimitive gather;       /* queries to [batch][rows][d] */
  DloralPrimitive product;      /* scores [batch][rows][nk] */
  DloralPrimitive softmax;
  DloralPrimitive values;       /* [batch][rows][d] */
  DloralPrimitive scatter;      /* into dst */
  /* Places in scratch; f32 probabilities take the place of their scores. */
  gsize k, v, q, scores, probs, out, pad;
} Attention;

/* --- Running -------------------------------------------------------------- */

/* Chunk: queries of some heads of a group. */
typedef struct
{
  int group, head, row;         /* the first of each */
} Chunk;

/* Where row `row` of all groups' of head `head` starts in a tensor. */
static guint8 *
get_head (const Attention *self, const DloralCpuRun *run,
    const DloralTensor *t, int first, int head, int row)
{
  guint8 *data = dloral_cpu_get_data (run, t);
  gsize channel = (gsize) first + (gsize) head * self->d;

  return data + ((gsize) row * t->c + channel) * dloral_dtype_size (t->dtype);
}

static int
get_kind (const Attention *self, int group)
{
  int across = self->base.op->u.attention.across;

  if (self->base.op->u.attention.kinds == 1)
    return 0;
  return (group % across == across - 1)
      + 2 * (group / across == self->groups / across - 1);
}

static void
add_bias (const Attention *self, const DloralCpuRun *run, float *scores,
    const Chunk *chunk)
{
  gsize n = (gsize) self->rows * self->nk, head = (gsize) self->nq * self->nk;
  const float *bias = self->bias + (gsize) chunk->row * self->nk
      + ((gsize) get_kind (self, chunk->group) * self->heads + chunk->head)
      * head;

#pragma omp parallel for num_threads (run->threads)
  for (int b = 0; b < self->batch; b++)
    for (gsize i = 0; i < n; i++)
      scores[b * n + i] += bias[b * head + i];
}

/* Nothing is seen of keys that come after the query; `row` is the chunk's
 * first. */
static void
hide_later_keys (const Attention *self, float *scores, int row)
{
  int r, j, first;

  for (r = 0; r < self->batch * self->rows; r++, scores += self->nk) {
    first = row + r % self->rows + 1;
    for (j = first; j < self->nk; j++)
      scores[j] = -INFINITY;
  }
}

static gboolean
run_scores (Attention *self, const DloralCpuRun *run, const Chunk *chunk,
    GError **error)
{
  const DloralOp *op = self->base.op;
  guint8 *scratch = run->scratch;
  float *scores = (float *) (scratch + self->scores);

  dloral_primitive_bind (&self->product, DNNL_ARG_SRC, scratch + self->q);
  dloral_primitive_bind (&self->product, DNNL_ARG_WEIGHTS, scratch + self->k);
  dloral_primitive_bind (&self->product, DNNL_ARG_DST, scores);
  dloral_primitive_bind (&self->softmax, DNNL_ARG_SRC, scores);
  dloral_primitive_bind (&self->softmax, DNNL_ARG_DST,
      scratch + self->probs);
  if (!dloral_primitive_run (&self->product, scratch + self->pad, op, error))
    return FALSE;
  if (self->bias)
    add_bias (self, run, scores, chunk);
  if (op->u.attention.causal)
    hide_later_keys (self, scores, chunk->row);
  return dloral_primitive_run (&self->softmax, scratch + self->pad, op, error);
}

static gboolean
run_values (Attention *self, guint8 *scratch, GError **error)
{
  dloral_primitive_bind (&self->values, DNNL_ARG_SRC, scratch + self->probs);
  dloral_primitive_bind (&self->values, DNNL_ARG_WEIGHTS, scratch + self->v);
  dloral_primitive_bind (&self->values, DNNL_ARG_DST, scratch + self->out);
  return dloral_primitive_run (&self->values, scratch + self->pad,
      self->base.op, error);
}

static gboolean
run_chunk (Attention *self, const DloralCpuRun *run, const Chunk *chunk,
    GError **error)
{
  const DloralOp *op = self->base.op;
  guint8 *scratch = run->scratch;
  int row = chunk->group * self->nq + chunk->row;
  guint8 *src = get_head (self, run, op->src[0], op->u.attention.first[0],
      chunk->head, row);
  guint8 *dst = get_head (self, run, op->dst, 0, chunk->head, row);

  return dloral_primitive_run_reorder (&self->gather, src, scratch + self->q,
      scratch + self->pad, op, error)
      && run_scores (self, run, chunk, error)
      && run_values (self, scratch, error)
      && dloral_primitive_run_reorder (&self->scatter, scratch + self->out,
      dst, scratch + self->pad, op, error);
}

static gboolean
run_pack (Attention *self, const DloralCpuRun *run, const Chunk *chunk,
    GError **error)
{
  const DloralOp *op = self->base.op;
  const int *first = op->u.attention.first;
  int row = chunk->group * self->nk;
  guint8 *pad = run->scratch + self->pad;

  return dloral_primitive_run_reorder (&self->pack_k,
      get_head (self, run, op->src[1], first[1], chunk->head, row),
      run->scratch + self->k, pad, op, error)
      && dloral_primitive_run_reorder (&self->pack_v,
      get_head (self, run, op->src[2], first[2], chunk->head, row),
      run->scratch + self->v, pad, op, error);
}

/* All queries of the chunk's group and heads. */
static gboolean
run_heads (Attention *self, const DloralCpuRun *run, Chunk *chunk,
    GError **error)
{
  if (!run_pack (self, run, chunk, error))
    return FALSE;
  for (int row = 0; row < self->nq; row += self->rows) {
    chunk->row = MIN (row, self->nq - self->rows);
    if (!run_chunk (self, run, chunk, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
attention_run (DloralCpuOp *base, const DloralCpuRun *run, GError **error)
{
  Attention *self = (Attention *) base;
  Chunk chunk;

  for (chunk.group = 0; chunk.group < self->groups; chunk.group++)
    for (chunk.head = 0; chunk.head < self->heads; chunk.head += self->batch)
      if (!run_heads (self, run, &chunk, error))
        return FALSE;
  return TRUE;
}

/* --- Making --------------------------------------------------------------- */

static void
attention_free (DloralCpuOp *base)
{
  Attention *self = (Attention *) base;

  dloral_primitive_clear (&self->pack_k);
  dloral_primitive_clear (&self->pack_v);
  dloral_primitive_clear (&self->gather);
  dloral_primitive_clear (&self->product);
  dloral_primitive_clear (&self->softmax);
  dloral_primitive_clear (&self->values);
  dloral_primitive_clear (&self->scatter);
  g_free (self->bias);
  g_free (self);
}

/* A batch of m × n matrices; one matrix alone has no batch axis, for its
 * packed layout is the faster one. */
static DloralOperand
matrices (const Attention *self, dnnl_dim_t m, dnnl_dim_t n,
    dnnl_dim_t batch_stride, dnnl_dim_t m_stride, dnnl_dim_t n_stride,
    dnnl_data_type_t type)
{
  if (self->batch == 1)
    return (DloralOperand) {
      .rank = 2,.dims = {m, n},.strides = {m_stride, n_stride},.type = type};
  return (DloralOperand) {
    .rank = 3,.dims = {self->batch, m, n},
    .strides = {batch_stride, m_stride, n_stride},.type = type
  };
}

static DloralOperand
dense (const Attention *self, dnnl_dim_t m, dnnl_dim_t n,
    dnnl_data_type_t type)
{
  return matrices (self, m, n, m * n, n, 1, type);
}

/* Rows of some heads within a tensor. */
static DloralOperand
heads_of (const Attention *self, const DloralTensor *t, int rows)
{
  return matrices (self, rows, self->d, self->d, t->c, 1,
      dloral_dnnl_type (t->dtype));
}

/* The same, transposed. */
static DloralOperand
heads_of_transposed (const Attention *self, const DloralTensor *t, int rows)
{
  return matrices (self, self->d, rows, self->d, 1, t->c,
      dloral_dnnl_type (t->dtype));
}

static gboolean
init_matmul (Attention *self, DloralPrimitive *primitive,
    const DloralMatrixParams *params, GError **error)
{
  static const int args[] =
      { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, 0 };
  dnnl_primitive_desc_t pd;

  return dloral_dnnl_check (dloral_dnnl_matmul (&pd, self->device->engine,
          params), self->base.op, "multiply", error)
      && dloral_primitive_init (primitive, self->device, pd, args,
      self->base.op, error);
}

static gboolean
init_scores (Attention *self, GError **error)
{
  DloralMatrixParams params = {
    .src = dense (self, self->rows, self->d, self->type),
    .weights = dense (self, self->d, self->nk, self->type),
    .dst = dense (self, self->rows, self->nk, dnnl_f32),
    .post = {.n = 1,.op = {{.kind = DLORAL_POST_ELTWISE,
                .alg = dnnl_eltwise_linear,
                .alpha = self->base.op->u.attention.scale}}},
  };

  params.weights.any = TRUE;
  return init_matmul (self, &self->product, &params, error);
}

static gboolean
init_values (Attention *self, GError **error)
{
  DloralMatrixParams params = {
    .src = dense (self, self->rows, self->nk, self->type),
    .weights = dense (self, self->nk, self->d, self->type),
    .dst = dense (self, self->rows, self->d, self->out_type),
  };

  params.weights.any = TRUE;
  return init_matmul (self, &self->values, &params, error);
}

static gboolean
init_softmax (Attention *self, GError **error)
{
  static const int args[] = { DNNL_ARG_SRC, DNNL_ARG_DST, 0 };
  dnnl_dim_t n = (dnnl_dim_t) self->batch * self->rows;
  DloralOperand src = {
    .rank = 2,.dims = {n, self->nk},.strides = {self->nk, 1},.type = dnnl_f32
  };
  DloralOperand dst = src;
  dnnl_primitive_desc_t pd;

  dst.type = self->type;
  return dloral_dnnl_check (dloral_dnnl_softmax (&pd, self->device->engine,
          &src, &dst), self->base.op, "take the softmax", error)
      && dloral_primitive_init (&self->softmax, self->device, pd, args,
      self->base.op, error);
}

/* Keys and values into the layouts that the products chose. */
static gboolean
init_packs (Attention *self, GError **error)
{
  const DloralOp *op = self->base.op;
  DloralOperand k = heads_of_transposed (self, op->src[1], self->nk);
  DloralOperand v = heads_of (self, op->src[2], self->nk);

  return dloral_primitive_init_reorder_to (&self->pack_k, self->device, &k,
      dloral_primitive_get_md (&self->product, DNNL_ARG_WEIGHTS), op, error)
      && dloral_primitive_init_reorder_to (&self->pack_v, self->device, &v,
      dloral_primitive_get_md (&self->values, DNNL_ARG_WEIGHTS), op, error);
}

static gboolean
init_ends (Attention *self, GError **error)
{
  const DloralOp *op = self->base.op;
  int rows = self->rows;
  DloralOperand q = heads_of (self, op->src[0], rows);
  DloralOperand q_dense = dense (self, rows, self->d, self->type);
  DloralOperand out_dense = dense (self, rows, self->d, self->out_type);
  DloralOperand dst = heads_of (self, op->dst, rows);

  return dloral_primitive_init_reorder (&self->gather, self->device, &q,
      &q_dense, op, error)
      && dloral_primitive_init_reorder (&self->scatter, self->device,
      &out_dense, &dst, op, error);
}

static void
choose_sizes (Attention *self)
{
  gsize row_size = (gsize) self->nk * sizeof (float);
  gsize most = MAX (SCORES_SIZE / row_size, MIN_ROWS);
  int chunks = (int) ((self->nq + most - 1) / most);

  self->rows = (self->nq + chunks - 1) / chunks;
  self->batch = chunks > 1 ? 1 : self->heads;
  while (self->batch > 1 && (self->heads % self->batch != 0
          || self->batch * self->rows * row_size > SCORES_SIZE))
    self->batch--;
}

/* The most that any primitive needs. */
static gsize
get_pad_size (const Attention *self)
{
  const DloralPrimitive *all[] = { &self->pack_k, &self->pack_v,
    &self->gather, &self->product, &self->softmax, &self->values,
    &self->scatter
  };
  gsize size = 0;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (all); i++)
    size = MAX (size, all[i]->scratch_size);
  return size;
}

static gsize
get_packed_size (const DloralPrimitive *product)
{
  return dloral_align (dnnl_memory_desc_get_size (dloral_primitive_get_md
          (product, DNNL_ARG_WEIGHTS)));
}

/* Lays out scratch; returns its size. */
static gsize
place_scratch (Attention *self)
{
  gsize n = (gsize) self->batch * self->rows;
  gsize size = self->type == dnnl_bf16 ? 2 : 4;

  self->k = 0;
  self->v = self->k + get_packed_size (&self->product);
  self->q = self->v + get_packed_size (&self->values);
  self->scores = self->q + dloral_align (n * self->d * size);
  self->probs = self->scores;
  self->out = self->scores + dloral_align (n * self->nk * sizeof (float));
  if (self->type != dnnl_f32) {
    self->probs = self->out;
    self->out += dloral_align (n * self->nk * size);
  }
  self->pad = self->out + dloral_align (n * self->d * sizeof (float));
  return self->pad + get_pad_size (self);
}

static gboolean
init_primitives (Attention *self, GError **error)
{
  return init_scores (self, error)
      && init_softmax (self, error)
      && init_values (self, error)
      && init_packs (self, error)
      && init_ends (self, error);
}

static gboolean
is_narrow (const DloralOp *op)
{
  return op->src[0]->dtype == DLORAL_BF16 || op->src[1]->dtype == DLORAL_BF16
      || op->src[2]->dtype == DLORAL_BF16;
}

static void
find_groups (Attention *self)
{
  const DloralOp *op = self->base.op;

  self->groups = 1;
  self->nq = op->src[0]->h * op->src[0]->w;
  self->nk = op->src[1]->h * op->src[1]->w;
  if (op->u.attention.rows == 0)
    return;
  self->groups = self->nq / op->u.attention.rows;
  self->nq = self->nk = op->u.attention.rows;
  self->bias = dloral_weight_dup (op->weight,
      dloral_weight_get_length (op->weight));
}

DloralCpuOp *
dloral_cpu_attention_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Attention *self = g_new0 (Attention, 1);

  self->device = device;
  self->base.op = op;
  find_groups (self);
  self->heads = op->u.attention.heads;
  self->d = op->u.attention.head_dim;
  self->type = is_narrow (op) ? dnnl_bf16 : dnnl_f32;
  self->out_type = is_narrow (op) ? dloral_dnnl_type (op->dst->dtype)
      : dnnl_f32;
  self->base.library = TRUE;
  self->base.run = attention_run;
  self->base.free = attention_free;
  choose_sizes (self);
  if (!init_primitives (self, error)) {
    attention_free (&self->base);
    return NULL;
  }
  self->base.scratch_size = place_scratch (self);
  return &self->base;
}
