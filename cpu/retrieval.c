/* Cross-frame retrieval by its exact low-rank form: memory grows with the
 * number of positions, not with its square.
 *
 * value · ỹ is linear, so the sums over positions are sums of relu (…) · ỹ and
 * the value matrix is applied once, to the sum.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "strips.h"

/* Positions, or rows of a tile, handled between two looks at the list of work:
 * the keys of a row serve the next row too, while they are in the cache. */
#define BATCH 16

typedef struct
{
  DloralCpuOp base;
  int c, heads, window;
  float *weight;                /* [heads][c + 1][c + 1], transposed: row k
                                 * gives the query's factor of ỹ[k] */
  float *value;                 /* [heads][c][c + 1] */
  float *bias;                  /* [c] */
  gsize stride, plane;          /* from row to row and from channel to channel
                                 * of the keys in scratch, in elements */
} Retrieval;

/* --- keys: src[1] as planes ---------------------------------------------- */

/* All positions: c planes of h × w, what is beyond zero. */
static void
split_keys (const Retrieval * self, float *keys, const float *src, gsize n)
{
  for (int k = 0; k < self->c; k++) {
    float *plane = keys + k * self->plane;

    for (gsize i = 0; i < n; i++)
      plane[i] = src[i * self->c + k];
    for (gsize i = n; i < self->plane; i++)
      plane[i] = 0;
  }
}

/* Row y of c + 1 planes (the last one: 1 inside the picture) with a margin of
 * zeros all around. y may lie outside. */
static void
split_padded_row (const Retrieval * self, float *keys, const float *src, int y)
{
  const DloralTensor *t = self->base.op->src[1];
  int margin = self->window / 2;

  keys += (y + margin) * self->stride;
  memset (keys, 0, self->stride * sizeof *keys);
  if (y < 0 || y >= t->h)
    return;
  dloral_kernels_get ()->transpose (keys + margin, self->plane,
      src + (gsize) y * t->w * self->c, self->c, t->w, self->c);
  for (int x = 0; x < t->w; x++)
    keys[self->c * self->plane + margin + x] = 1;
}

/* --- all positions ------------------------------------------------------- */

/* query [c + 1] of one position and head: weightᵀ · x̃. */
static void
project_query (const Retrieval * self, float *query, const float *x, int head)
{
  int n = self->c + 1;

  for (int k = 0; k < n; k++) {
    const float *row = self->weight + (head * n + k) * n;

    query[k] = row[self->c];
    for (int m = 0; m < self->c; m++)
      query[k] += row[m] * x[m];
  }
}

/* dst [c] += value · sum. */
static void
add_value (const Retrieval * self, float *dst, const float *sum, int head)
{
  int n = self->c + 1;

  for (int o = 0; o < self->c; o++) {
    const float *row = self->value + (head * self->c + o) * n;

    for (int k = 0; k < n; k++)
      dst[o] += row[k] * sum[k];
  }
}

/* Positions [first, last), at most BATCH, against all keys, one head at a
 * time. */
static void
retrieve_batch (const Retrieval * self, float *dst, const float *src,
    const float *keys, gsize n, gsize first, gsize last)
{
  const DloralKernels *kernels = dloral_kernels_get ();
  float query[BATCH * (DLORAL_TILE_CHANNELS + 1)];
  float sum[BATCH * (DLORAL_TILE_CHANNELS + 1)];
  int c = self->c, m = last - first;

  for (gsize i = first * c; i < last * c; i++)
    dst[i] = src[i] + self->bias[i % c];
  for (int head = 0; head < self->heads; head++) {
    for (int q = 0; q < m; q++)
      project_query (self, query + q * (c + 1), src + (first + q) * c, head);
    kernels->retrieve (sum, query, m, keys, self->plane, n, c);
    for (int q = 0; q < m; q++)
      add_value (self, dst + (first + q) * c, sum + q * (c + 1), head);
  }
}

static void
retrieve_all (const Retrieval * self, const DloralCpuRun * run)
{
  const DloralOp *op = self->base.op;
  const float *src = dloral_cpu_get_data (run, op->src[0]);
  float *dst = dloral_cpu_get_data (run, op->dst);
  float *keys = (float *) run->scratch;
  gsize n = (gsize) op->src[1]->h * op->src[1]->w;
  gsize queries = (gsize) op->dst->h * op->dst->w;

  split_keys (self, keys, dloral_cpu_get_data (run, op->src[1]), n);
#pragma omp parallel for num_threads (run->threads) schedule (dynamic)
  for (gsize first = 0; first < queries; first += BATCH)
    retrieve_batch (self, dst, src, keys, n, first,
        MIN (first + BATCH, queries));
}

/* --- a window ------------------------------------------------------------ */

/* Rows of DLORAL_TILE columns, as the kernels take them. */
typedef float TileRow[DLORAL_TILE];

/* x̃ of n ≤ DLORAL_TILE positions as rows; columns beyond n are zero. */
static void
tile_load (TileRow * tile, const float *src, int c, int n)
{
  if (n < DLORAL_TILE)
    memset (tile, 0, (c + 1) * sizeof *tile);
  dloral_kernels_get ()->transpose (tile[0], DLORAL_TILE, src, c, n, c);
  for (int l = 0; l < n; l++)
    tile[c][l] = 1;
}

/* dst [n][c] = in + out + bias. */
static void
tile_store (const Retrieval * self, float *dst, const TileRow * in,
    TileRow * out, int n)
{
  for (int k = 0; k < self->c; k++)
    for (int l = 0; l < DLORAL_TILE; l++)
      out[k][l] += in[k][l] + self->bias[k];
  dloral_kernels_get ()->transpose (dst, self->c, out[0], DLORAL_TILE,
      self->c, n);
}

/* Columns [x, x + DLORAL_TILE) of row y, as far as there are any. */
static void
retrieve_tile (const Retrieval * self, float *dst, const float *src,
    const float *keys, int y, int x)
{
  const DloralKernels *kernels = dloral_kernels_get ();
  TileRow in[DLORAL_TILE_CHANNELS + 1], out[DLORAL_TILE_CHANNELS];
  TileRow query[2 * (DLORAL_TILE_CHANNELS + 1)];
  TileRow sum[2 * (DLORAL_TILE_CHANNELS + 1)];
  const DloralTensor *t = self->base.op->dst;
  int c = self->c, n = MIN (DLORAL_TILE, t->w - x);
  gsize at = ((gsize) y * t->w + x) * c;

  tile_load (in, src + at, c, n);
  memset (out, 0, c * sizeof *out);
  for (int head = 0; head < self->heads; head += 2) {
    int m = MIN (2, self->heads - head);

    kernels->mix (query, (const TileRow *) in,
        self->weight + head * (c + 1) * (c + 1), m * (c + 1), c + 1, FALSE);
    kernels->retrieve_window (sum, (const TileRow *) query, m,
        keys + y * self->stride + x, self->plane, self->stride, c,
        self->window);
    for (int i = 0; i < m; i++)
      kernels->mix (out, (const TileRow *) sum + i * (c + 1),
          self->value + (head + i) * c * (c + 1), c, c + 1, TRUE);
  }
  tile_store (self, dst + at, (const TileRow *) in, out, n);
}

static void
retrieve_windows (const Retrieval * self, const DloralCpuRun * run)
{
  const DloralOp *op = self->base.op;
  const float *src = dloral_cpu_get_data (run, op->src[0]);
  const float *other = dloral_cpu_get_data (run, op->src[1]);
  float *dst = dloral_cpu_get_data (run, op->dst);
  float *keys = (float *) run->scratch;
  int margin = self->window / 2, h = op->dst->h;

#pragma omp parallel num_threads (run->threads)
  {
#pragma omp for
    for (int y = -margin; y < h + margin; y++)
      split_padded_row (self, keys, other, y);
#pragma omp for collapse (2) schedule (dynamic)
    for (int first = 0; first < h; first += BATCH)
      for (int x = 0; x < op->dst->w; x += DLORAL_TILE)
        for (int y = first; y < MIN (first + BATCH, h); y++)
          retrieve_tile (self, dst, src, keys, y, x);
  }
}

/* --- operator ------------------------------------------------------------ */

static gboolean
retrieval_run (DloralCpuOp * base, const DloralCpuRun * run, GError ** error)
{
  Retrieval *self = (Retrieval *) base;

  if (self->window > 0)
    retrieve_windows (self, run);
  else
    retrieve_all (self, run);
  return TRUE;
}

static void
retrieval_free (DloralCpuOp * base)
{
  Retrieval *self = (Retrieval *) base;

  g_free (self->weight);
  g_free (self->value);
  g_free (self->bias);
  g_free (self);
}

/* x̃ᵀ · W · ỹ: the kernels want W's columns as rows. */
static void
transpose (float *matrices, int count, int n)
{
  for (int i = 0; i < count; i++)
    for (int a = 0; a < n; a++)
      for (int b = 0; b < a; b++) {
        float *p = matrices + (i * n + a) * n + b;
        float *q = matrices + (i * n + b) * n + a;
        float swap = *p;

        *p = *q;
        *q = swap;
      }
}

/* The keys' layout; returns how many elements it has. A window's rows hold all
 * planes of their line, each an odd number of cache lines long: a power of two
 * would have every plane fight for the same places in the cache. */
static gsize
plan_keys (Retrieval * self)
{
  const DloralTensor *t = self->base.op->src[1];
  const gsize line = DLORAL_ALIGN / sizeof (float);

  if (self->window == 0) {
    self->plane = ((gsize) t->h * t->w / line | 1) * line + line;
    return self->plane * self->c;
  }
  self->plane = ((t->w + self->window + DLORAL_TILE) / line | 1) * line
      + 2 * line;
  self->stride = self->plane * (self->c + 1);
  return self->stride * (t->h + self->window);
}

DloralCpuOp *
dloral_cpu_retrieval_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  int c = op->dst->c, heads = op->u.retrieval.heads;
  Retrieval *self;

  if (c > DLORAL_TILE_CHANNELS) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG,
        "%s: the retrieval takes at most %d latent channels, found %d",
        op->scope, DLORAL_TILE_CHANNELS, c);
    return NULL;
  }
  self = g_new0 (Retrieval, 1);
  self->c = c;
  self->heads = heads;
  if (op->u.retrieval.window > 0)
    self->window = op->u.retrieval.window / 2 * 2 + 1;
  self->weight = dloral_weight_dup (op->weight,
      (gsize) heads * (c + 1) * (c + 1));
  self->value = dloral_weight_dup (op->u.retrieval.value,
      (gsize) heads * c * (c + 1));
  self->bias = dloral_weight_dup (op->bias, c);
  transpose (self->weight, heads, c + 1);
  self->base.op = op;
  self->base.scratch_size = plan_keys (self) * sizeof (float);
  self->base.run = retrieval_run;
  self->base.free = retrieval_free;
  return &self->base;
}
