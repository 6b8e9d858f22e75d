/* The inner loops of cross-frame retrieval: sums of relu (q · ỹ) · ỹ, over all
 * positions for a few queries, or over a window for a row of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "level.h"

/* Queries that share each load of the keys. */
#define GROUP 4

/* Vectors summed before they are added to the totals, so that long sums keep
 * f32's precision. */
#define RUN 256

/* Adds positions [j, j + LANES) to the sums of m ≤ GROUP queries. `live` is 1
 * where a position exists; NULL: everywhere. */
INLINE void
add_vector (Vector (*sum)[DLORAL_TILE_CHANNELS + 1], const float *query,
    int m, const float *key, gsize plane, gsize j, int c, const float *live)
{
  for (int q = 0; q < m; q++) {
    const float *u = query + q * (c + 1);
    Vector s = u[c] - (Vector) { 0 };

    for (int k = 0; k < c; k++)
      s += u[k] * vector_load (key + k * plane + j);
    s = vector_relu (s);
    if (live)
      s *= vector_load (live);
    for (int k = 0; k < c; k++)
      sum[q][k] += s * vector_load (key + k * plane + j);
    sum[q][c] += s;
  }
}

/* Positions [first, last), a multiple of LANES, of m queries into totals
 * [m][c + 1][LANES]. */
INLINE void
add_run (float *total, const float *query, int m, const float *key,
    gsize plane, gsize first, gsize last, int c, const float *live)
{
  Vector sum[GROUP][DLORAL_TILE_CHANNELS + 1];

  for (int q = 0; q < m; q++)
    for (int k = 0; k <= c; k++)
      sum[q][k] = (Vector) { 0 };
  for (gsize j = first; j < last; j += LANES)
    add_vector (sum, query, m, key, plane, j, c, live);
  for (int q = 0; q < m; q++)
    for (int k = 0; k <= c; k++) {
      float *t = total + (q * (c + 1) + k) * LANES;

      vector_store (t, vector_load (t) + sum[q][k]);
    }
}

INLINE void
retrieve_group (float *out, const float *query, int m, const float *key,
    gsize plane, gsize n, int c)
{
  float total[GROUP * (DLORAL_TILE_CHANNELS + 1) * LANES];
  gsize whole = n / LANES * LANES;

  memset (total, 0, m * (c + 1) * LANES * sizeof *total);
  for (gsize j = 0; j < whole; j += RUN * LANES)
    add_run (total, query, m, key, plane, j, MIN (j + RUN * LANES, whole), c,
        NULL);
  if (whole < n) {
    float live[LANES];

    for (gsize l = 0; l < LANES; l++)
      live[l] = whole + l < n;
    add_run (total, query, m, key, plane, whole, whole + LANES, c, live);
  }
  for (int i = 0; i < m * (c + 1); i++) {
    double sum = 0;

    for (int l = 0; l < LANES; l++)
      sum += total[i * LANES + l];
    out[i] = sum;
  }
}

INLINE void
retrieve_queries (float *sum, const float *query, int m, const float *key,
    gsize plane, gsize n, int c)
{
  int q = 0;

  for (; q + GROUP <= m; q += GROUP)
    retrieve_group (sum + q * (c + 1), query + q * (c + 1), GROUP, key, plane,
        n, c);
  for (; q < m; q++)
    retrieve_group (sum + q * (c + 1), query + q * (c + 1), 1, key, plane, n,
        c);
}

static void
retrieve (float *sum, const float *query, int m, const float *key,
    gsize plane, gsize n, int c)
{
  if (c == 4)
    retrieve_queries (sum, query, m, key, plane, n, 4);
  else
    retrieve_queries (sum, query, m, key, plane, n, c);
}

/* The window's sums for the columns [l, l + 2 · LANES). */
INLINE void
retrieve_columns (float (*sum)[DLORAL_TILE],
    const float (*query)[DLORAL_TILE], const float *key, gsize plane,
    gsize stride, int c, int window, int l)
{
  for (int dy = 0; dy < window; dy++)
    for (int dx = 0; dx < window; dx++) {
      const float *y = key + dy * stride + dx + l;
      Vector s0 = { 0 }, s1 = { 0 };

      for (int k = 0; k <= c; k++) {
        s0 += vector_load (query[k] + l) * vector_load (y + k * plane);
        s1 += vector_load (query[k] + l + LANES)
            * vector_load (y + k * plane + LANES);
      }
      s0 = vector_relu (s0);
      s1 = vector_relu (s1);
      for (int k = 0; k <= c; k++) {
        float *t = sum[k] + l;

        vector_store (t, vector_load (t) + s0 * vector_load (y + k * plane));
        vector_store (t + LANES, vector_load (t + LANES)
            + s1 * vector_load (y + k * plane + LANES));
      }
    }
}

static void
retrieve_window (float (*sum)[DLORAL_TILE], const float (*query)[DLORAL_TILE],
    const float *key, gsize plane, gsize stride, int c, int window)
{
  memset (sum, 0, (c + 1) * sizeof *sum);
  for (int l = 0; l < DLORAL_TILE; l += 2 * LANES) {
    if (c == 16)
      retrieve_columns (sum, query, key, plane, stride, 16, window, l);
    else
      retrieve_columns (sum, query, key, plane, stride, c, window, l);
  }
}

static void
mix (float (*restrict dst)[DLORAL_TILE],
    const float (*restrict src)[DLORAL_TILE], const float *restrict matrix,
    int n_out, int n_in, gboolean add)
{
  for (int o = 0; o < n_out; o++)
    for (int l = 0; l < DLORAL_TILE; l += 2 * LANES) {
      Vector s0 = { 0 }, s1 = { 0 };

      if (add) {
        s0 = vector_load (dst[o] + l);
        s1 = vector_load (dst[o] + l + LANES);
      }
      for (int i = 0; i < n_in; i++) {
        s0 += matrix[o * n_in + i] * vector_load (src[i] + l);
        s1 += matrix[o * n_in + i] * vector_load (src[i] + l + LANES);
      }
      vector_store (dst[o] + l, s0);
      vector_store (dst[o] + l + LANES, s1);
    }
}

void
KERNEL (retrieval_init) (DloralKernels * kernels)
{
  kernels->retrieve = retrieve;
  kernels->retrieve_window = retrieve_window;
  kernels->mix = mix;
}
