/* The inner loops of cross-frame retrieval: sums of relu (q · ỹ) · ỹ, over all
 * positions for a few queries, or over a window for a row of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "level.h"

/* Queries and planes handled at once: their products fill the registers. */
#define GROUP 4

/* Positions scored before their sums are taken: the scores of a group stay in
 * the first-level cache, and sums this short keep f32's precision. */
#define RUN 512

/* Neighbours in a row whose scores are held at once. */
#define WIDEST 7

/* One vector of each query of a group. */
typedef struct
{
  Vector q0, q1, q2, q3;
} Quad;

/* score [GROUP][RUN] = relu (query · ỹ) of n positions, a multiple of 16, of
 * which `live` exist, the others count for nothing; query [GROUP][c + 1]. */
INLINE void
score_run (float (*score)[RUN], const float *query, const float *key,
    gsize plane, int n, int live, int c)
{
  const float *u0 = query, *u1 = u0 + c + 1, *u2 = u1 + c + 1,
      *u3 = u2 + c + 1;

  for (int j = 0; j < n; j += LANES) {
    Quad s = { vector_set (u0[c]), vector_set (u1[c]), vector_set (u2[c]),
      vector_set (u3[c])
    };

    for (int k = 0; k < c; k++) {
      Vector y = vector_load (key + k * plane + j);

      s.q0 += u0[k] * y;
      s.q1 += u1[k] * y;
      s.q2 += u2[k] * y;
      s.q3 += u3[k] * y;
    }
    vector_store (score[0] + j, vector_relu (s.q0));
    vector_store (score[1] + j, vector_relu (s.q1));
    vector_store (score[2] + j, vector_relu (s.q2));
    vector_store (score[3] + j, vector_relu (s.q3));
  }
  for (int q = 0; q < GROUP; q++)
    for (int j = live; j < n; j++)
      score[q][j] = 0;
}

INLINE float
vector_sum (Vector v)
{
  float lane[LANES], sum = 0;

  vector_store (lane, v);
  for (int l = 0; l < LANES; l++)
    sum += lane[l];
  return sum;
}

/* Adds Σ score · y to the sums of one plane, `step` apart; key NULL: y = 1. */
INLINE void
add_plane (double *sum, gsize step, const float (*score)[RUN],
    const float *key, int n)
{
  Quad s = { {0}, {0}, {0}, {0} };

  for (int j = 0; j < n; j += LANES) {
    Vector y = key ? vector_load (key + j) : vector_set (1);

    s.q0 += vector_load (score[0] + j) * y;
    s.q1 += vector_load (score[1] + j) * y;
    s.q2 += vector_load (score[2] + j) * y;
    s.q3 += vector_load (score[3] + j) * y;
  }
  sum[0] += vector_sum (s.q0);
  sum[step] += vector_sum (s.q1);
  sum[2 * step] += vector_sum (s.q2);
  sum[3 * step] += vector_sum (s.q3);
}

/* GROUP queries; sum [GROUP][c + 1]. */
INLINE void
retrieve_group (double *sum, const float *query, const float *key,
    gsize plane, gsize n, int c)
{
  float score[GROUP][RUN] __attribute__ ((aligned (VECTOR_BYTES)));

  memset (sum, 0, GROUP * (c + 1) * sizeof *sum);
  for (gsize first = 0; first < n; first += RUN) {
    int live = MIN (RUN, n - first), run = (live + 15) / 16 * 16;

    score_run (score, query, key + first, plane, run, live, c);
    for (int k = 0; k < c; k++)
      add_plane (sum + k, c + 1, (const float (*)[RUN]) score,
          key + k * plane + first, run);
    add_plane (sum + c, c + 1, (const float (*)[RUN]) score, NULL, run);
  }
}

/* ỹ, or a query, or a sum, of four channels: all of it in registers. */
typedef struct
{
  Vector k0, k1, k2, k3, one;
} Five;

INLINE Five
five_set (const float *values)
{
  return (Five) { vector_set (values[0]), vector_set (values[1]),
    vector_set (values[2]), vector_set (values[3]), vector_set (values[4])
  };
}

INLINE Five
five_add (Five sum, Five query, Vector y0, Vector y1, Vector y2, Vector y3)
{
  Vector s = query.one + query.k0 * y0 + query.k1 * y1 + query.k2 * y2
      + query.k3 * y3;

  s = vector_relu (s);
  return (Five) { sum.k0 + s * y0, sum.k1 + s * y1, sum.k2 + s * y2,
    sum.k3 + s * y3, sum.one + s
  };
}

INLINE void
five_flush (double *total, Five sum)
{
  total[0] += vector_sum (sum.k0);
  total[1] += vector_sum (sum.k1);
  total[2] += vector_sum (sum.k2);
  total[3] += vector_sum (sum.k3);
  total[4] += vector_sum (sum.one);
}

/* Positions [first, last), a multiple of LANES, of two queries. */
INLINE void
retrieve_two (double *total, const float *query, const float *key,
    gsize plane, gsize first, gsize last)
{
  const Five u0 = five_set (query), u1 = five_set (query + 5);
  Five sum0 = five_set ((const float[5]) { 0 }), sum1 = sum0;

  for (gsize j = first; j < last; j += LANES) {
    Vector y0 = vector_load (key + j);
    Vector y1 = vector_load (key + plane + j);
    Vector y2 = vector_load (key + 2 * plane + j);
    Vector y3 = vector_load (key + 3 * plane + j);

    sum0 = five_add (sum0, u0, y0, y1, y2, y3);
    sum1 = five_add (sum1, u1, y0, y1, y2, y3);
  }
  five_flush (total, sum0);
  five_flush (total + 5, sum1);
}

/* One position of one query. */
INLINE void
retrieve_one (double *total, const float *query, const float *key,
    gsize plane)
{
  float s = query[4];

  for (int k = 0; k < 4; k++)
    s += query[k] * key[k * plane];
  s = s > 0 ? s : 0;
  for (int k = 0; k < 4; k++)
    total[k] += s * key[k * plane];
  total[4] += s;
}

/* Two queries of four channels: the published size of a latent. */
static void
retrieve_pair (double *total, const float *query, const float *key,
    gsize plane, gsize n)
{
  gsize whole = n / LANES * LANES, run = 8 * RUN;

  memset (total, 0, 10 * sizeof *total);
  for (gsize first = 0; first < whole; first += run)
    retrieve_two (total, query, key, plane, first, MIN (first + run, whole));
  for (gsize j = whole; j < n; j++)
    for (int q = 0; q < 2; q++)
      retrieve_one (total + 5 * q, query + 5 * q, key + j, plane);
}

static void
retrieve (float *sum, const float *query, int m, const float *key,
    gsize plane, gsize n, int c)
{
  float padded[GROUP * (DLORAL_TILE_CHANNELS + 1)];
  double total[GROUP * (DLORAL_TILE_CHANNELS + 1)];

  for (int q = 0; q < m; q += GROUP) {
    int length = MIN (GROUP, m - q) * (c + 1);

    memset (padded, 0, GROUP * (c + 1) * sizeof *padded);
    memcpy (padded, query + q * (c + 1), length * sizeof *padded);
    if (c == 4) {
      retrieve_pair (total, padded, key, plane, n);
      retrieve_pair (total + 10, padded + 10, key, plane, n);
    } else {
      retrieve_group (total, padded, key, plane, n, c);
    }
    for (int i = 0; i < length; i++)
      sum[q * (c + 1) + i] = total[i];
  }
}

/* Adds to the sums of columns [l, l + LANES) what `n` ≤ WIDEST neighbours in a
 * row contribute, the first at y, for m ≤ 2 heads that share each load of y.
 * The scores stay in registers. */
INLINE void
add_neighbours (float (*sum)[DLORAL_TILE], const float (*query)[DLORAL_TILE],
    int m, const float *y, gsize plane, int c, int n, int l)
{
  Vector a[WIDEST], b[WIDEST];

#pragma GCC unroll 8
  for (int d = 0; d < n; d++)
    a[d] = b[d] = (Vector) { 0 };
  for (int k = 0; k <= c; k++) {
    Vector ua = vector_load (query[k] + l);
    Vector ub = m > 1 ? vector_load (query[c + 1 + k] + l) : ua;

#pragma GCC unroll 8
    for (int d = 0; d < n; d++) {
      Vector v = vector_keep (vector_load (y + k * plane + d));

      a[d] += ua * v;
      if (m > 1)
        b[d] += ub * v;
    }
  }
#pragma GCC unroll 8
  for (int d = 0; d < n; d++) {
    a[d] = vector_relu (a[d]);
    b[d] = vector_relu (b[d]);
  }
  for (int k = 0; k <= c; k++) {
    Vector ta = vector_load (sum[k] + l);
    Vector tb = m > 1 ? vector_load (sum[c + 1 + k] + l) : ta;

#pragma GCC unroll 8
    for (int d = 0; d < n; d++) {
      Vector v = vector_keep (vector_load (y + k * plane + d));

      ta += a[d] * v;
      if (m > 1)
        tb += b[d] * v;
    }
    vector_store (sum[k] + l, ta);
    if (m > 1)
      vector_store (sum[c + 1 + k] + l, tb);
  }
}

/* A row of the window, in pieces as wide as there is code for. */
INLINE void
add_row (float (*sum)[DLORAL_TILE], const float (*query)[DLORAL_TILE], int m,
    const float *y, gsize plane, int c, int window, int l)
{
  int dx = 0;

  for (; dx + 7 <= window; dx += 7)
    add_neighbours (sum, query, m, y + dx, plane, c, 7, l);
  for (; dx + 5 <= window; dx += 5)
    add_neighbours (sum, query, m, y + dx, plane, c, 5, l);
  for (; dx + 3 <= window; dx += 3)
    add_neighbours (sum, query, m, y + dx, plane, c, 3, l);
  for (; dx < window; dx++)
    add_neighbours (sum, query, m, y + dx, plane, c, 1, l);
}

static void
retrieve_window (float (*sum)[DLORAL_TILE], const float (*query)[DLORAL_TILE],
    int m, const float *key, gsize plane, gsize stride, int c, int window)
{
  memset (sum, 0, m * (c + 1) * sizeof *sum);
  for (int dy = 0; dy < window; dy++)
    for (int l = 0; l < DLORAL_TILE; l += LANES) {
      const float *y = key + dy * stride + l;

      if (m == 2)
        add_row (sum, query, 2, y, plane, c, window, l);
      else
        add_row (sum, query, 1, y, plane, c, window, l);
    }
}

/* Rows [o, o + n) of mix (), n ≤ 4: they share each load of a source. */
INLINE void
mix_rows (float (*dst)[DLORAL_TILE], const float (*src)[DLORAL_TILE],
    const float *matrix, int n, int n_in, gboolean add, int l)
{
  Vector sum[4];

#pragma GCC unroll 4
  for (int o = 0; o < n; o++)
    sum[o] = add ? vector_load (dst[o] + l) : (Vector) { 0 };
  for (int i = 0; i < n_in; i++) {
    Vector x = vector_load (src[i] + l);

#pragma GCC unroll 4
    for (int o = 0; o < n; o++)
      sum[o] += matrix[o * n_in + i] * x;
  }
#pragma GCC unroll 4
  for (int o = 0; o < n; o++)
    vector_store (dst[o] + l, sum[o]);
}

static void
mix (float (*dst)[DLORAL_TILE], const float (*src)[DLORAL_TILE],
    const float *matrix, int n_out, int n_in, gboolean add)
{
  for (int l = 0; l < DLORAL_TILE; l += LANES) {
    int o = 0;

    for (; o + 4 <= n_out; o += 4)
      mix_rows (dst + o, src, matrix + o * n_in, 4, n_in, add, l);
    for (; o < n_out; o++)
      mix_rows (dst + o, src, matrix + o * n_in, 1, n_in, add, l);
  }
}

void
KERNEL (retrieval_init) (DloralKernels * kernels)
{
  kernels->retrieve = retrieve;
  kernels->retrieve_window = retrieve_window;
  kernels->mix = mix;
}
