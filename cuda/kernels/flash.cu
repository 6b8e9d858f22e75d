/* Attention in one pass over the keys: softmax (scale · q kᵀ) v without the
 * scores ever being in memory.
 *
 * A block has 64 queries of one head (blockIdx.y) and goes through the keys 64
 * at a time: scores, their maximum and sum so far, and the result so far, which
 * shrinks as the maximum grows. Matrices pass through shared memory in tiles of
 * 64 × 64 f32; a thread has ROWS rows (ty, ty + 64 / ROWS, …) by 4 columns of
 * each product. No tensor cores: this is what f32, causal, odd heads and groups
 * take.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "common.cuh"
#include "flash.h"

constexpr int TILE = DLORAL_FLASH_TILE, STEP = DLORAL_FLASH_STEP;
constexpr int COLUMNS = DLORAL_FLASH_COLUMNS;

typedef Vector<f32, 4> Quad;

template <typename T> __device__ __forceinline__ Quad
load_quad (const T *p)
{
  Vector<T, 4> raw = *reinterpret_cast<const Vector<T, 4> *> (p);

  return { { to_float (raw.e[0]), to_float (raw.e[1]), to_float (raw.e[2]),
      to_float (raw.e[3]) } };
}

__device__ __forceinline__ const Quad &
quad_at (const float *tile, int row, int column)
{
  return *reinterpret_cast<const Quad *> (tile + row * STEP + column);
}

/* tile [64][64] = src [rows][columns], `step` elements from row to row; zero
 * where there is nothing. Four elements at a time where they never start
 * astray. */
template <int ROWS, typename T> __device__ __forceinline__ void
stage (float *tile, const T *src, int step, int rows, int columns)
{
  int tx = threadIdx.x % COLUMNS, ty = threadIdx.x / COLUMNS;

  if (reinterpret_cast<uintptr_t> (src) % sizeof (Vector<T, 4>) == 0
      && step % 4 == 0 && columns % 4 == 0) {
#pragma unroll 4
    for (int r = 0; r < ROWS; r++) {
      int row = ty + r * (TILE / ROWS);
      Quad quad = { { 0, 0, 0, 0 } };

      if (row < rows && 4 * tx < columns)
        quad = load_quad (src + (int64_t) row * step + 4 * tx);
      *reinterpret_cast<Quad *> (tile + row * STEP + 4 * tx) = quad;
    }
  } else {
#pragma unroll 4
    for (int i = 0; i < 4 * ROWS; i++) {
      int row = ty + i / 4 * (TILE / ROWS), column = tx + i % 4 * COLUMNS;

      tile[row * STEP + column] = row < rows && column < columns
          ? to_float (src[(int64_t) row * step + column]) : 0;
    }
  }
}

/* sum += a · bᵀ over the first `length` columns of both. */
template <int ROWS> __device__ __forceinline__ void
multiply_transposed (float (&sum)[ROWS][4], const float *a, const float *b,
    int length)
{
  int tx = threadIdx.x % COLUMNS, ty = threadIdx.x / COLUMNS;

  for (int e = 0; e < length; e += 4) {
    Quad other[4];

#pragma unroll
    for (int j = 0; j < 4; j++)
      other[j] = quad_at (b, tx + j * COLUMNS, e);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      Quad one = quad_at (a, ty + r * (TILE / ROWS), e);

#pragma unroll
      for (int j = 0; j < 4; j++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          sum[r][j] = fmaf (one.e[i], other[j].e[i], sum[r][j]);
    }
  }
}

/* sum += a · b over the first `length` columns of a, rows of b. */
template <int ROWS> __device__ __forceinline__ void
multiply (float (&sum)[ROWS][4], const float *a, const float *b, int length)
{
  int tx = threadIdx.x % COLUMNS, ty = threadIdx.x / COLUMNS;

  for (int e = 0; e < length; e += 4) {
    Quad other[4];

#pragma unroll
    for (int i = 0; i < 4; i++)
      other[i] = quad_at (b, e + i, 4 * tx);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      Quad one = quad_at (a, ty + r * (TILE / ROWS), e);

#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
          sum[r][j] = fmaf (one.e[i], other[i].e[j], sum[r][j]);
    }
  }
}

/* What is added to a head's scores, which are scaled after that. */
struct Bias
{
  const float *values;          /* [queries][keys] */
  float unit;                   /* of them, in scores */
};

struct NoBias
{
};

template <int ROWS> __device__ __forceinline__ void
add_bias (float (&)[ROWS][4], const NoBias &, int, int,
    const DloralFlashParams &)
{
}

template <int ROWS> __device__ __forceinline__ void
add_bias (float (&score)[ROWS][4], const Bias &bias, int key, int query,
    const DloralFlashParams &p)
{
  int tx = threadIdx.x % COLUMNS, ty = threadIdx.x / COLUMNS;

#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int row = query + ty + r * (TILE / ROWS);
    const float *line = bias.values + (int64_t) row * p.n_keys;

#pragma unroll
    for (int j = 0; j < 4; j++) {
      int at = key + tx + j * COLUMNS;

      if (row < p.n_queries && at < p.n_keys)
        score[r][j] += line[at] * bias.unit;
    }
  }
}

/* What is known of the rows after some keys. */
template <int ROWS> struct Softmax
{
  float max[ROWS];              /* of the scores */
  float sum[ROWS];              /* of this thread's probabilities */
};

/* Scores of keys from `key` on become probabilities, relative to the new
 * maximum; sum and result so far shrink by what that has grown. */
template <int WIDTH, int ROWS> __device__ __forceinline__ void
take_softmax (Softmax<ROWS> &softmax, float (&out)[WIDTH / TILE][ROWS][4],
    float (&score)[ROWS][4], int key, int query, const DloralFlashParams &p)
{
  int tx = threadIdx.x % COLUMNS, ty = threadIdx.x / COLUMNS;

#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int last = p.causal ? query + ty + r * (TILE / ROWS) : p.n_keys - 1;
    float max = softmax.max[r], shrink;

#pragma unroll
    for (int j = 0; j < 4; j++) {
      int at = key + tx + j * COLUMNS;

      score[r][j] = at <= last && at < p.n_keys ? score[r][j] * p.scale
          : -INFINITY;
      max = fmaxf (max, score[r][j]);
    }
#pragma unroll
    for (int lane = COLUMNS / 2; lane > 0; lane /= 2)
      max = fmaxf (max, __shfl_xor_sync (0xffffffff, max, lane));
    shrink = exp2f (softmax.max[r] - max);
    softmax.max[r] = max;
    softmax.sum[r] *= shrink;
#pragma unroll
    for (int i = 0; i < WIDTH / TILE * 4; i++)
      out[i / 4][r][i % 4] *= shrink;
#pragma unroll
    for (int j = 0; j < 4; j++)
      softmax.sum[r] += score[r][j] = exp2f (score[r][j] - max);
  }
}

/* The thread's part of a product, columns apart as multiply_transposed () has
 * them, into shared memory. */
template <int ROWS> __device__ __forceinline__ void
put_tile (float *tile, const float (&part)[ROWS][4])
{
  int tx = threadIdx.x % COLUMNS, ty = threadIdx.x / COLUMNS;

#pragma unroll
  for (int r = 0; r < ROWS; r++)
#pragma unroll
    for (int j = 0; j < 4; j++)
      tile[(ty + r * (TILE / ROWS)) * STEP + tx + j * COLUMNS] = part[r][j];
}

/* dst = out / sum of the probabilities. */
template <int WIDTH, int ROWS, typename D> __device__ __forceinline__ void
write_rows (D *dst, const float (&out)[WIDTH / TILE][ROWS][4],
    const Softmax<ROWS> &softmax, int query, const DloralFlashParams &p)
{
  int tx = threadIdx.x % COLUMNS, ty = threadIdx.x / COLUMNS;

#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int row = query + ty + r * (TILE / ROWS);
    float sum = softmax.sum[r];

#pragma unroll
    for (int lane = COLUMNS / 2; lane > 0; lane /= 2)
      sum += __shfl_xor_sync (0xffffffff, sum, lane);
    sum = 1 / sum;
    if (row >= p.n_queries)
      continue;
#pragma unroll
    for (int i = 0; i < WIDTH / TILE * 4; i++) {
      int e = i / 4 * TILE + 4 * tx + i % 4;

      if (e < p.head_dim)
        store (dst + (int64_t) row * p.dst_step + e,
            out[i / 4][r][i % 4] * sum);
    }
  }
}

__device__ __forceinline__ int
round_up (int n)
{
  return (n + 3) / 4 * 4;
}

/* score = q · kᵀ of a tile; q and k start at its first rows. Queries of one
 * tile's width are still in their tile after the `first` time. */
template <int WIDTH, int ROWS, typename T> __device__ __forceinline__ void
take_scores (float (&score)[ROWS][4], float *q_tile, float *k_tile,
    const T *q, const T *k, int queries, int keys, bool first,
    const DloralFlashParams &p)
{
  int d = p.head_dim;

#pragma unroll 1
  for (int e = 0; e < WIDTH && e < d; e += TILE) {
    float sum[ROWS][4] = { };

    __syncthreads ();
    if (first || WIDTH > TILE)
      stage<ROWS> (q_tile, q + e, p.q_step, queries, d - e);
    stage<ROWS> (k_tile, k + e, p.k_step, keys, d - e);
    __syncthreads ();
    multiply_transposed<ROWS> (sum, q_tile, k_tile,
        round_up (min (d - e, TILE)));
#pragma unroll
    for (int i = 0; i < 4 * ROWS; i++)
      score[i / 4][i % 4] += sum[i / 4][i % 4];
  }
}

/* out += probability · v of a tile; v starts at its first row. The
 * probabilities take the place of the keys. */
template <int WIDTH, int ROWS, typename T> __device__ __forceinline__ void
add_values (float (&out)[WIDTH / TILE][ROWS][4], float *p_tile, float *v_tile,
    const float (&probability)[ROWS][4], const T *v, int keys,
    const DloralFlashParams &p)
{
#pragma unroll
  for (int i = 0; i < WIDTH / TILE; i++) {
    float sum[ROWS][4] = { };

    if (i * TILE >= p.head_dim)
      break;
    __syncthreads ();
    if (i == 0)
      put_tile<ROWS> (p_tile, probability);
    stage<ROWS> (v_tile, v + i * TILE, p.v_step, keys, p.head_dim - i * TILE);
    __syncthreads ();
    multiply<ROWS> (sum, p_tile, v_tile, round_up (keys));
#pragma unroll
    for (int j = 0; j < 4 * ROWS; j++)
      out[i][j / 4][j % 4] += sum[j / 4][j % 4];
  }
}

/* A tile of queries, from `query` on. q, k, v and dst start at the first head's
 * first channel. */
template <int WIDTH, int ROWS, typename T, typename D, typename B>
__device__ __forceinline__ void
flash (const T *q, const T *k, const T *v, D *dst, int query,
    const DloralFlashParams &p, const B &bias)
{
  SHARED (float, q_tile);
  float *k_tile = q_tile + TILE * STEP, *v_tile = k_tile + TILE * STEP;
  int head = blockIdx.y * p.head_dim;
  int queries = min (p.n_queries - query, TILE);
  int n_keys = p.causal ? query + queries : p.n_keys;
  float out[WIDTH / TILE][ROWS][4] = { };
  Softmax<ROWS> softmax;

#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    softmax.max[r] = -INFINITY;
    softmax.sum[r] = 0;
  }
  for (int key = 0; key < n_keys; key += TILE) {
    int keys = min (n_keys - key, TILE);
    float score[ROWS][4] = { };

    take_scores<WIDTH, ROWS> (score, q_tile, k_tile,
        q + (int64_t) query * p.q_step + head,
        k + (int64_t) key * p.k_step + head, queries, keys, key == 0, p);
    add_bias<ROWS> (score, bias, key, query, p);
    take_softmax<WIDTH, ROWS> (softmax, out, score, key, query, p);
    add_values<WIDTH, ROWS> (out, k_tile, v_tile, score,
        v + (int64_t) key * p.v_step + head, keys, p);
  }
  write_rows<WIDTH, ROWS> (dst + head, out, softmax, query, p);
}

/* Of the block's group and head. */
__device__ __forceinline__ Bias
find_bias (const DloralFlashBias &b, const DloralFlashParams &p)
{
  int group = blockIdx.x, kind = 0;

  if (b.kinds == 4)
    kind = (group % b.across == b.across - 1)
        + 2 * (group + b.across >= (int) gridDim.x);
  return { b.values + ((int64_t) kind * gridDim.y + blockIdx.y) * p.n_queries
        * p.n_keys, b.unit };
}

template <int WIDTH, int ROWS, typename T, typename D>
__device__ __forceinline__ void
flash_grouped (const T *q, const T *k, const T *v, D *dst,
    const DloralFlashParams &p, const DloralFlashBias &b)
{
  int64_t first = (int64_t) blockIdx.x * p.n_queries;

  flash<WIDTH, ROWS> (q + first * p.q_step, k + first * p.k_step,
      v + first * p.v_step, dst + first * p.dst_step, blockIdx.z * TILE, p,
      find_bias (b, p));
}

#define FLASH(width, rows, a, b) \
  KERNEL (TILE / rows * COLUMNS, flash_##width##_##a##_##b, (const a *q, \
          const a *k, const a *v, b *dst, DloralFlashParams p)) \
  { \
    flash<width, rows> (q, k, v, dst, blockIdx.x * TILE, p, NoBias ()); \
  } \
  KERNEL (TILE / rows * COLUMNS, flash_grouped_##width##_##a##_##b, \
      (const a *q, const a *k, const a *v, b *dst, DloralFlashParams p, \
          DloralFlashBias bias)) \
  { \
    flash_grouped<width, rows> (q, k, v, dst, p, bias); \
  }
#define FLASH_64(a, b) FLASH (64, 8, a, b)
#define FLASH_512(a, b) FLASH (512, 4, a, b)

FOR_TYPES (FLASH_64)
FOR_TYPES (FLASH_512)
