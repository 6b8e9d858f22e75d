/* Cross-frame retrieval by its exact low-rank form, in two launches.
 *
 * A pair is a query and a head: pair = head · n + query. The first launch,
 * retrieve_all or retrieve_window, adds up relu (q · ỹ) · ỹ over keys, with
 * q = weightᵀ · x̃, into sums [splits][c + 1][pairs]; retrieve_combine then
 * applies each head's value matrix to its sum. Arrays of CHANNELS + 1 numbers
 * have that of the constant 1 at the end.
 *
 * f32's rounding errors grow with the number of addends: retrieve_all adds up
 * a tile of keys, then the tiles, then the splits.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "common.cuh"
#include "retrieval.h"

typedef Vector<f32, 4> Quad;

/* query [CHANNELS + 1] = weightᵀ · x̃. */
template <int CHANNELS> __device__ __forceinline__ void
project_query (float (&query)[CHANNELS + 1], const float *x,
    const float *weight, int c)
{
  constexpr int unroll = CHANNELS > 4 ? 1 : 4;

#pragma unroll
  for (int k = 0; k <= CHANNELS; k++)
    query[k] = 0;
#pragma unroll unroll
  for (int m = 0; m <= c; m++, weight += c + 1) {
    float factor = m < c ? x[m] : 1;

#pragma unroll
    for (int k = 0; k < CHANNELS; k++)
      if (k < c)
        query[k] = fmaf (factor, weight[k], query[k]);
    query[CHANNELS] = fmaf (factor, weight[c], query[CHANNELS]);
  }
}

/* Four channels of a key, from channel k on; none beyond c. */
template <int CHANNELS> __device__ __forceinline__ Quad
fetch_quad (const float *key, int k, int c)
{
  Quad quad;

  if (c == CHANNELS)
    return *reinterpret_cast<const Quad *> (key + k);
#pragma unroll
  for (int e = 0; e < 4; e++)
    quad.e[e] = k + e < c ? key[k + e] : 0;
  return quad;
}

/* Rows of `columns` keys, of a picture of `width`, to shared memory
 * [rows][columns][STEP]. */
template <int CHANNELS, int STEP> __device__ __forceinline__ void
stage_keys (float *tile, const float *y, int rows, int columns, int width,
    int c)
{
  constexpr int quads = CHANNELS / 4;
  int thread = threadIdx.y * blockDim.x + threadIdx.x;

  for (int i = thread; i < rows * columns * quads;
      i += blockDim.x * blockDim.y) {
    int key = i / quads, k = i % quads * 4;
    int at = key / columns * width + key % columns;

    *reinterpret_cast<Quad *> (tile + key * STEP + k) =
        fetch_quad<CHANNELS> (y + (int64_t) at * c, k, c);
  }
}

/* A key from shared memory, 16-byte aligned. */
template <int CHANNELS> __device__ __forceinline__ void
load_key (float (&key)[CHANNELS], const float *shared)
{
#pragma unroll
  for (int k = 0; k < CHANNELS; k += 4) {
    Quad part = *reinterpret_cast<const Quad *> (shared + k);

#pragma unroll
    for (int e = 0; e < 4; e++)
      key[k + e] = part.e[e];
  }
}

/* sum += relu (query · ỹ) · ỹ. Long products are added up in four parts: one
 * addition waits for the one before. */
template <int CHANNELS> __device__ __forceinline__ void
add_key (float (&sum)[CHANNELS + 1], const float (&query)[CHANNELS + 1],
    const float (&key)[CHANNELS])
{
  constexpr int parts = CHANNELS > 4 ? 4 : 1;
  float score[parts] = { query[CHANNELS] };

#pragma unroll
  for (int k = 0; k < CHANNELS; k++)
    score[k % parts] = fmaf (query[k], key[k], score[k % parts]);
#pragma unroll
  for (int k = 1; k < parts; k++)
    score[0] += score[k];
  score[0] = fmaxf (score[0], 0);
#pragma unroll
  for (int k = 0; k < CHANNELS; k++)
    sum[k] = fmaf (score[0], key[k], sum[k]);
  sum[CHANNELS] += score[0];
}

/* The same for n keys of shared memory, STEP apart, and each pair. */
template <int CHANNELS, int STEP, int PAIRS> __device__ __forceinline__ void
add_keys (float (&sum)[PAIRS][CHANNELS + 1],
    const float (&query)[PAIRS][CHANNELS + 1], const float *tile, int n)
{
  constexpr int unroll = CHANNELS > 4 ? 1 : 4;

#pragma unroll unroll
  for (int j = 0; j < n; j++) {
    float key[CHANNELS];

    load_key<CHANNELS> (key, tile + j * STEP);
#pragma unroll
    for (int i = 0; i < PAIRS; i++)
      add_key<CHANNELS> (sum[i], query[i], key);
  }
}

/* Element k of the pair's sum goes to sums[k][pair]. */
template <int CHANNELS> __device__ __forceinline__ void
store_sum (float *sums, const float (&sum)[CHANNELS + 1], int64_t pairs, int c)
{
#pragma unroll
  for (int k = 0; k < CHANNELS; k++)
    if (k < c)
      sums[k * pairs] = sum[k];
  sums[c * pairs] = sum[CHANNELS];
}

/* --- all positions ------------------------------------------------------- */

/* The same as store_sum, from shared memory. */
template <int CHANNELS, int THREADS> __device__ __forceinline__ void
store_total (float *sums, const float *total, int64_t pairs, int c)
{
  for (int k = 0; k <= c; k++)
    sums[k * pairs] = total[(k < c ? k : CHANNELS) * THREADS];
}

/* The block's PAIRS × THREADS pairs and its part of the keys. Each thread keeps
 * the sums over tiles in its column of shared memory. */
template <int CHANNELS, int PAIRS, int THREADS, int KEYS>
__device__ __forceinline__ void
retrieve_all (float *sums, const float *x, const float *y, const float *weight,
    const DloralRetrievalParams &p)
{
  constexpr int length = CHANNELS + 1;
  SHARED (float, tile);         /* [KEYS][CHANNELS] */
  float *total = tile + KEYS * CHANNELS + threadIdx.x;  /* [][THREADS] */
  float query[PAIRS][length], sum[PAIRS][length];
  int n = p.h * p.w, pairs = p.heads * n;
  int first = blockIdx.x * (PAIRS * THREADS) + threadIdx.x;
  int begin = blockIdx.y * p.split_keys, end = min (begin + p.split_keys, n);

#pragma unroll
  for (int i = 0; i < PAIRS; i++) {
    int pair = min (first + i * THREADS, pairs - 1);

    project_query<CHANNELS> (query[i], x + (int64_t) (pair % n) * p.c,
        weight + pair / n * ((p.c + 1) * (p.c + 1)), p.c);
  }
  for (int i = 0; i < PAIRS * length; i++)
    total[i * THREADS] = 0;
  for (; begin < end; begin += KEYS) {
    int live = min (KEYS, end - begin);

    __syncthreads ();
    stage_keys<CHANNELS, CHANNELS> (tile, y + (int64_t) begin * p.c, 1, live,
        live, p.c);
    __syncthreads ();
#pragma unroll
    for (int i = 0; i < PAIRS * length; i++)
      sum[i / length][i % length] = 0;
    add_keys<CHANNELS, CHANNELS, PAIRS> (sum, query, tile, live);
#pragma unroll
    for (int i = 0; i < PAIRS * length; i++)
      total[i * THREADS] += sum[i / length][i % length];
  }
  sums += (int64_t) blockIdx.y * (p.c + 1) * pairs + first;
#pragma unroll
  for (int i = 0; i < PAIRS; i++)
    if (first + i * THREADS < pairs)
      store_total<CHANNELS, THREADS> (sums + i * THREADS,
          total + i * length * THREADS, pairs, p.c);
}

/* --- a window ------------------------------------------------------------ */

/* One query of a block and the head blockIdx.z a thread. */
template <int CHANNELS> __device__ __forceinline__ void
retrieve_window (float *sums, const float *x, const float *y,
    const float *weight, const DloralRetrievalParams &p)
{
  constexpr int step = DLORAL_RETRIEVAL_STEP (CHANNELS);
  SHARED (float, tile);         /* [stage_rows][columns][step] */
  int column = blockIdx.x * DLORAL_RETRIEVAL_COLUMNS;
  int row = blockIdx.y * DLORAL_RETRIEVAL_ROWS;
  int px = min (column + (int) threadIdx.x, p.w - 1);
  int py = min (row + (int) threadIdx.y, p.h - 1);
  int left = max (column - p.reach, 0);
  int columns = min (column + DLORAL_RETRIEVAL_COLUMNS + p.reach, p.w) - left;
  int bottom = min (row + DLORAL_RETRIEVAL_ROWS + p.reach, p.h);
  int first = max (px - p.reach, 0), keys = min (px + p.reach + 1, p.w) - first;
  float query[1][CHANNELS + 1], sum[1][CHANNELS + 1] = { };

  project_query<CHANNELS> (query[0], x + ((int64_t) py * p.w + px) * p.c,
      weight + blockIdx.z * ((p.c + 1) * (p.c + 1)), p.c);
  for (int top = max (row - p.reach, 0); top < bottom; top += p.stage_rows) {
    int rows = min (p.stage_rows, bottom - top);

    __syncthreads ();
    stage_keys<CHANNELS, step> (tile, y + ((int64_t) top * p.w + left) * p.c,
        rows, columns, p.w, p.c);
    __syncthreads ();
    for (int i = max (top, py - p.reach); i <= min (top + rows - 1,
            py + p.reach); i++)
      add_keys<CHANNELS, step, 1> (sum, query,
          tile + ((i - top) * columns + first - left) * step, keys);
  }
  if (column + (int) threadIdx.x < p.w && row + (int) threadIdx.y < p.h)
    store_sum<CHANNELS> (sums + (int64_t) blockIdx.z * p.h * p.w
        + (int64_t) py * p.w + px, sum[0], (int64_t) p.heads * p.h * p.w, p.c);
}

/* --- the values ---------------------------------------------------------- */

/* Element `row` = head · (c + 1) + k of all sums of a query. */
__device__ __forceinline__ float
add_splits (const float *sums, int row, int query,
    const DloralRetrievalParams &p)
{
  int64_t n = (int64_t) p.h * p.w, pairs = p.heads * n;
  float sum = 0;

  sums += row % (p.c + 1) * pairs + row / (p.c + 1) * n + query;
  for (int i = 0; i < p.splits; i++)
    sum += sums[i * (p.c + 1) * pairs];
  return sum;
}

/* dst = x + bias + Σ value · sum of WARPS channels, from WARPS · blockIdx.y on:
 * a query a lane; the products shared out among the warps, then a channel a
 * warp. */
__device__ __forceinline__ void
combine (float *dst, const float *x, const float *sums, const float *value,
    const float *bias, const DloralRetrievalParams &p)
{
  constexpr int warps = DLORAL_RETRIEVAL_WARPS;
  constexpr int queries = DLORAL_RETRIEVAL_QUERIES;
  SHARED (float, part);         /* [warps][warps: channel][queries] */
  int warp = threadIdx.y, lane = threadIdx.x, n = p.h * p.w;
  int query = blockIdx.x * queries + lane, first = blockIdx.y * warps;
  int channel = first + warp;
  float out[warps] = { 0 }, sum = 0;

  for (int row = warp; row < p.heads * (p.c + 1) && query < n; row += warps) {
    float factor = add_splits (sums, row, query, p);
    const float *v = value + (row / (p.c + 1) * p.c + first) * (p.c + 1)
        + row % (p.c + 1);

#pragma unroll
    for (int i = 0; i < warps; i++)
      if (first + i < p.c)
        out[i] = fmaf (v[i * (p.c + 1)], factor, out[i]);
  }
#pragma unroll
  for (int i = 0; i < warps; i++)
    part[(warp * warps + i) * queries + lane] = out[i];
  __syncthreads ();
#pragma unroll
  for (int i = 0; i < warps; i++)
    sum += part[(i * warps + warp) * queries + lane];
  if (channel < p.c && query < n) {
    int64_t at = (int64_t) query * p.c + channel;

    dst[at] = x[at] + bias[channel] + sum;
  }
}

#define KERNELS(channels, pairs, threads, keys) \
  KERNEL (threads, retrieve_all_##channels, (float *sums, const float *x, \
          const float *y, const float *weight, DloralRetrievalParams p)) \
  { \
    retrieve_all<channels, pairs, threads, keys> (sums, x, y, weight, p); \
  } \
  KERNEL (DLORAL_RETRIEVAL_COLUMNS * DLORAL_RETRIEVAL_ROWS, \
      retrieve_window_##channels, (float *sums, const float *x, \
          const float *y, const float *weight, DloralRetrievalParams p)) \
  { \
    retrieve_window<channels> (sums, x, y, weight, p); \
  }

DLORAL_RETRIEVAL_SHAPES (KERNELS)

KERNEL (DLORAL_RETRIEVAL_QUERIES * DLORAL_RETRIEVAL_WARPS, retrieve_combine,
    (float *dst, const float *x, const float *sums, const float *value,
        const float *bias, DloralRetrievalParams p))
{
  combine (dst, x, sums, value, bias, p);
}
