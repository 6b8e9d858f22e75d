/* The decoder's tensor to an 8-bit picture, and its colours corrected against
 * the upsampled LQ frame, in two kernels: to_bytes, which also finds what the
 * whole picture must be known for, and one finish_… for each correction.
 *
 * Without a correction the value is rounded to 8 bits; with one it is truncated
 * to 8 bits first, corrected from there, and then rounded. Where a value was
 * not finite, the second kernel makes the picture the LQ frame.
 *
 * Tensors start at multiples of 64 bytes. All sums are of integers: exact, in
 * any order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "common.cuh"
#include "to_picture.h"

#define THREADS DLORAL_TO_PICTURE_THREADS
#define WARP 32

static_assert (THREADS == WARP * DLORAL_MOMENTS && THREADS % 3 == 0,
    "a warp for each of the moments, a thread's channels in one order");

/* 0 … 255; NaN gives 0. */
__device__ __forceinline__ float
clamp_byte (float x)
{
  return fminf (fmaxf (x, 0), 255);
}

/* The sum of row [n], in the warp's first thread; the whole warp calls. */
template <typename T> __device__ __forceinline__ unsigned long long
warp_sum (const T *row, int n)
{
  unsigned long long sum = 0;

  for (int i = threadIdx.x % WARP; i < n; i += WARP)
    sum += row[i];
#pragma unroll
  for (int lane = WARP / 2; lane > 0; lane /= 2)
    sum += __shfl_xor_sync (~0u, sum, lane);
  return sum;
}

/* --- to_bytes ------------------------------------------------------------- */

/* Of a thread's samples; channel c is at [(c + 3 − phase) % 3]. 32 bits hold
 * the squares of 66051 samples, more than a thread sees. */
struct Moments
{
  int phase;
  unsigned sums[4][3];          /* result, its squares, LQ frame, its squares */
};

template <int N> __device__ __forceinline__ void
add_moments (unsigned (*sums)[3], const Vector<u8, N> &bytes, int visible)
{
#pragma unroll
  for (int j = 0; j < N; j++) {
    const unsigned v = j < visible ? bytes.e[j] : 0;

    sums[0][j % 3] += v;
    sums[1][j % 3] += v * v;
  }
}

/* N neighbouring samples, the i-th such of the picture: so that is written in
 * whole lines, and the tensor read in pieces, its patches' lines. */
template <typename T, int LAYOUT> struct Group
{
  static constexpr int N = DLORAL_PATCHES_GROUP (LAYOUT, sizeof (T));
  unsigned i;
  int visible;                  /* so many of the first are, if over 0 */
  Vector<T, N> x;
  Vector<u8, N> lq;
};

template <typename T, int LAYOUT> __device__ __forceinline__ Group<T, LAYOUT>
load (const DloralToPicture &job, const T *src, const u8 *lq, unsigned i)
{
  constexpr int N = Group<T, LAYOUT>::N;
  const int lines = LAYOUT ? LAYOUT : job.patches.lines;
  const int line = (LAYOUT > 1 ? 3 * LAYOUT : job.patches.line) / N;
  const unsigned width = job.patches.w * line;
  const int y = i / width, k = i - y * width;
  size_t from = i;
  Group<T, LAYOUT> g = { };

  g.i = i;
  g.visible = y < job.height ? 3 * job.width - k * N : 0;
  if (LAYOUT != DLORAL_PATCHES_ROWS)
    from = (((size_t) (y / lines) * job.patches.w + k / line) * lines
        + y % lines) * line + k % line;
  g.x = reinterpret_cast<const Vector<T, N> *> (src)[from];
  if (job.lq_residual || job.moments || job.difference)
    g.lq = reinterpret_cast<const Vector<u8, N> *> (lq)[i];
  return g;
}

/* Returns 0, or NaN where a value is not finite, since zero times that is not
 * zero. */
template <typename T, int LAYOUT> __device__ __forceinline__ float
convert (const Group<T, LAYOUT> &g, const DloralToPicture &job,
    const DloralFindings &found, Moments *m, u8 *dst)
{
  constexpr int N = Group<T, LAYOUT>::N;
  Vector<u8, N> result;
  float nought = 0;

#pragma unroll
  for (int j = 0; j < N; j++) {
    const float x = to_float (g.x.e[j]);

    nought += x * 0.0f;
    result.e[j] = (int) (clamp_byte (x * 127.5f
            + (job.lq_residual ? g.lq.e[j] : 127.5f)) + job.bias);
  }
  reinterpret_cast<Vector<u8, N> *> (dst)[g.i] = result;
  if (job.moments) {
    add_moments (m->sums, result, g.visible);
    add_moments (m->sums + 2, g.lq, g.visible);
  }
  if (job.difference) {
    Vector<short, N> difference;

#pragma unroll
    for (int j = 0; j < N; j++)
      difference.e[j] = g.lq.e[j] - result.e[j];
    reinterpret_cast<Vector<short, N> *> (found.difference)[g.i] = difference;
  }
  return nought;
}

/* A thread's groups. Returns as convert (). */
template <typename T, int LAYOUT> __device__ __forceinline__ float
convert_all (const DloralToPicture &job, const DloralFindings &found,
    Moments *m, const T *src, const u8 *lq, u8 *dst)
{
  constexpr int N = Group<T, LAYOUT>::N;
  const unsigned n = (size_t) job.picture_h * job.picture_w * 3 / N;
  float nought = 0;

  for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < n;
      i += gridDim.x * THREADS)
    nought += convert (load<T, LAYOUT> (job, src, lq, i), job, found, m, dst);
  m->phase = threadIdx.x * N % 3;
  return nought;
}

/* Another tensor's values; returns as convert (). */
__device__ __forceinline__ float
check (const f32 *x, long long n)
{
  float nought = 0;

  for (long long i = (long long) blockIdx.x * THREADS + threadIdx.x; i < n;
      i += gridDim.x * THREADS)
    nought += x[i] * 0.0f;
  return nought;
}

/* What the block has found, to scratch memory. */
__device__ __forceinline__ void
report (const DloralToPicture &job, const DloralFindings &found,
    const Moments &m, bool finite)
{
  __shared__ unsigned moments[DLORAL_MOMENTS][THREADS];
  __shared__ int not_finite;
  const int warp = threadIdx.x / WARP;

  if (threadIdx.x == 0)
    not_finite = 0;
  if (job.moments) {
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int j = 0; j < 3; j++)
        moments[3 * i + (m.phase + j) % 3][threadIdx.x] = m.sums[i][j];
  }
  __syncthreads ();
  if (!finite)
    atomicOr (&not_finite, 1);
  if (job.moments) {
    const unsigned long long sum = warp_sum (moments[warp], THREADS);

    if (threadIdx.x % WARP == 0)
      found.moments[warp * job.blocks + blockIdx.x] = sum;
  }
  __syncthreads ();
  if (threadIdx.x == 0)
    found.not_finite[blockIdx.x] = not_finite;
}

#define CONVERT(T, LAYOUT) \
  convert_all<T, LAYOUT> (job, found, &moments, src, lq, dst)

#define TO_BYTES(T)                                                           \
KERNEL (THREADS, to_bytes_##T, (const DloralToPicture job,                    \
        const DloralFindings found, const T *__restrict__ src,                \
        const f32 *__restrict__ also, const u8 *__restrict__ lq,              \
        u8 *__restrict__ dst))                                                \
{                                                                             \
  Moments moments = { };                                                      \
  float nought = check (also, job.n_also);                                    \
                                                                              \
  switch (job.patches.layout) {                                               \
    case DLORAL_PATCHES_ROWS: nought += CONVERT (T, 1); break;                \
    case 2: nought += CONVERT (T, 2); break;                                  \
    case 4: nought += CONVERT (T, 4); break;                                  \
    case 8: nought += CONVERT (T, 8); break;                                  \
    case 16: nought += CONVERT (T, 16); break;                                \
    default: nought += CONVERT (T, DLORAL_PATCHES_ANY);                       \
  }                                                                           \
  report (job, found, moments, nought == 0);                                  \
}
TO_BYTES (f32)
TO_BYTES (bf16)
TO_BYTES (f16)

/* --- not finite ----------------------------------------------------------- */

/* The blocks of a grid in x and y copy the picture together. */
__device__ __forceinline__ void
copy_picture (const DloralToPicture &job, u8 *dst, const u8 *src)
{
  const size_t size = (size_t) job.picture_h * job.picture_w * 3;
  const size_t block = blockIdx.y * gridDim.x + blockIdx.x;
  const size_t first = block * blockDim.x + threadIdx.x;
  const size_t step = (size_t) gridDim.x * gridDim.y * blockDim.x;

  for (size_t i = first; i < size / 16; i += step)
    reinterpret_cast<Vector<u8, 16> *> (dst)[i] =
        reinterpret_cast<const Vector<u8, 16> *> (src)[i];
  if (first < size % 16)
    dst[size / 16 * 16 + first] = src[size / 16 * 16 + first];
}

/* Says whether everything is finite, there and to all threads of the block; if
 * not, dst becomes the LQ frame. Every thread of the grid calls. */
__device__ __forceinline__ bool
settle (const DloralToPicture &job, const DloralFindings &found, u8 *dst,
    const u8 *lq, u8 *finite)
{
  __shared__ int not_finite;

  if (threadIdx.x == 0)
    not_finite = 0;
  __syncthreads ();
  for (int i = threadIdx.x; i < job.blocks; i += blockDim.x)
    if (found.not_finite[i])
      atomicOr (&not_finite, 1);
  __syncthreads ();
  if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0)
    *finite = !not_finite;
  if (not_finite)
    copy_picture (job, dst, lq);
  return !not_finite;
}

KERNEL (THREADS, finish_none, (const DloralToPicture job,
        const DloralFindings found, const u8 *__restrict__ lq,
        u8 *__restrict__ dst, u8 *finite))
{
  settle (job, found, dst, lq, finite);
}

/* --- adain ---------------------------------------------------------------- */

/* result · gain + offset has the LQ frame's mean and deviation. */
struct Affine
{
  float gain[3], offset[3];
};

/* Mean and deviation on the scale of bytes; the published variance is unbiased
 * and has 1e−5 added on the scale of [0, 1]. */
__device__ __forceinline__ void
get_statistics (unsigned long long sum, unsigned long long square, double n,
    double *mean, double *deviation)
{
  const double s = sum, q = square;
  const double variance = n > 1 ? (q - s * s / n) / (n - 1) : 0;

  *mean = s / n;
  *deviation = sqrt (variance + 1e-5 * 255 * 255);
}

/* Every thread of the block calls; every block finds the same. */
__device__ __forceinline__ void
find_affine (const DloralToPicture &job, const DloralFindings &found,
    Affine *affine)
{
  __shared__ unsigned long long moments[DLORAL_MOMENTS];
  const int warp = threadIdx.x / WARP, c = threadIdx.x;
  const unsigned long long sum = warp_sum (found.moments + warp * job.blocks,
      job.blocks);

  if (threadIdx.x % WARP == 0)
    moments[warp] = sum;
  __syncthreads ();
  if (c < 3) {
    const double n = (double) job.height * job.width;
    double mean, deviation, lq_mean, lq_deviation;

    get_statistics (moments[c], moments[3 + c], n, &mean, &deviation);
    get_statistics (moments[6 + c], moments[9 + c], n, &lq_mean,
        &lq_deviation);
    affine->gain[c] = lq_deviation / deviation;
    affine->offset[c] = lq_mean - mean * (lq_deviation / deviation);
  }
  __syncthreads ();
}

__device__ __forceinline__ u8
apply (u8 x, float gain, float offset)
{
  return (int) (clamp_byte (x * gain + offset) + 0.5f);
}

/* Beyond the visible part too, which is nobody's business: so the picture is so
 * many bytes. */
KERNEL (THREADS, finish_adain, (const DloralToPicture job,
        const DloralFindings found, const u8 *__restrict__ lq,
        u8 *__restrict__ dst, u8 *finite))
{
  const size_t size = (size_t) job.picture_h * job.picture_w * 3;
  const size_t n = size / 16;
  const size_t start = (size_t) blockIdx.x * THREADS + threadIdx.x;
  Vector<u8, 16> *const groups = reinterpret_cast<Vector<u8, 16> *> (dst);
  __shared__ Affine affine;
  float gain[3], offset[3];

  if (!settle (job, found, dst, lq, finite))
    return;
  find_affine (job, found, &affine);
#pragma unroll
  for (int j = 0; j < 3; j++) {
    gain[j] = affine.gain[(start * 16 + j) % 3];
    offset[j] = affine.offset[(start * 16 + j) % 3];
  }
  for (size_t i = start; i < n; i += gridDim.x * THREADS) {
    Vector<u8, 16> x = groups[i];

#pragma unroll
    for (int j = 0; j < 16; j++)
      x.e[j] = apply (x.e[j], gain[j % 3], offset[j % 3]);
    groups[i] = x;
  }
  if (start < size % 16) {
    const size_t i = n * 16 + start;

    dst[i] = apply (dst[i], affine.gain[i % 3], affine.offset[i % 3]);
  }
}

/* --- wavelet -------------------------------------------------------------- */

/* The result's high frequencies and the source's low ones: what is added is the
 * low part of their difference, five levels of (1 2 1)² / 16 with dilation 1,
 * 2, 4, 8, 16, the edges repeated at every level.
 *
 * The levels are separable, so a block filters all five down the columns that
 * its tile needs, then all five along the rows of that, in integers: results
 * times 1024, twice. A thread has a whole piece of a line in registers: 32
 * results and 31 neighbours on both sides. So each level costs neither memory
 * nor a barrier, and the picture is read once, a tile's surroundings more often
 * but from the cache. */

#define REACH DLORAL_WAVELET_REACH
#define PIECE DLORAL_WAVELET_ROWS
#define LINE (PIECE + 2 * REACH)
#define PITCH DLORAL_WAVELET_PITCH
#define TILE_BYTES (3 * DLORAL_WAVELET_COLUMNS)
#define WIDE_BYTES (3 * (DLORAL_WAVELET_COLUMNS + 2 * REACH))
#define PIECES (DLORAL_WAVELET_COLUMNS / PIECE)

/* v[i] for i < N becomes the sum of the 32 from there on. */
template <int N> __device__ __forceinline__ void
add_neighbours (int (&v)[LINE])
{
  int sum = 0;

#pragma unroll
  for (int i = 0; i < 31; i++)
    sum += v[i];
#pragma unroll
  for (int i = 0; i < N; i++) {
    const int first = v[i];

    sum += v[i + 31];
    v[i] = sum;
    sum -= first;
  }
}

/* v[i], i < N, outside the picture becomes its first value, v[N_LEFT] if there
 * are such, or its last. */
template <int N, int N_LEFT> __device__ __forceinline__ void
repeat_edges (int (&v)[LINE], bool left, int last)
{
  int high = v[N - 1];

#pragma unroll
  for (int i = 0; i < N_LEFT; i++)
    v[i] = left ? v[N_LEFT] : v[i];
#pragma unroll
  for (int i = N_LEFT; i < N; i++)
    high = i == last ? v[i] : high;
#pragma unroll
  for (int i = N_LEFT; i < N; i++)
    v[i] = i > last ? high : v[i];
}

/* One level; the one before has left DILATION − 1 values less on both sides. */
template <int DILATION> __device__ __forceinline__ void
blur_level (int (&v)[LINE], bool left, int last)
{
  constexpr int gone = DILATION - 1, n = LINE - 2 * gone;

  repeat_edges<n, REACH - gone> (v, left, last - gone);
#pragma unroll
  for (int i = 0; i < n - 2 * DILATION; i++)
    v[i] += 2 * v[i + DILATION] + v[i + 2 * DILATION];
}

/* v, REACH values before those at `start` of a line of n, to its PIECE results.
 * `start` is a multiple of PIECE, so that if v begins left of the line, that is
 * by all of REACH. Without edges the levels are (1 + z)² (1 + z²)² … (1 +
 * z¹⁶)², which is two sums of 32 neighbours. */
__device__ __forceinline__ void
blur (int (&v)[LINE], int start, int n)
{
  const bool left = start == 0;
  const int last = REACH + n - 1 - start;

  if (!left && last >= LINE - 1) {
    add_neighbours<LINE - 31> (v);
    add_neighbours<PIECE> (v);
  } else {
    blur_level<1> (v, left, last);
    blur_level<2> (v, left, last);
    blur_level<4> (v, left, last);
    blur_level<8> (v, left, last);
    blur_level<16> (v, left, last);
  }
}

/* tile [PIECE][PITCH]: blurred columns, REACH of them left of `left`. */
__device__ __forceinline__ void
blur_columns (const DloralToPicture &job, int *tile, const short *difference,
    int top, int left)
{
  for (int b = threadIdx.x; b < WIDE_BYTES; b += DLORAL_WAVELET_THREADS) {
    const int x = min (max (left - REACH + b / 3, 0), job.width - 1);
    const short *column = difference + 3 * x + b % 3;
    int v[LINE];

#pragma unroll
    for (int i = 0; i < LINE; i++)
      v[i] = column[(size_t) min (max (top - REACH + i, 0), job.height - 1)
          * job.picture_w * 3];
    blur (v, top, job.height);
#pragma unroll
    for (int i = 0; i < PIECE; i++)
      tile[i * PITCH + b] = v[i];
  }
}

/* A row of the tile becomes what to add to its bytes, as shorts. Pieces are
 * taken from left to right, two at a time, so that results lie where nobody
 * reads any more. */
__device__ __forceinline__ void
blur_rows (const DloralToPicture &job, int *tile, int left)
{
  const int row = threadIdx.x % (3 * PIECE) / 3, c = threadIdx.x % 3;
  short *const results = reinterpret_cast<short *> (tile + row * PITCH);

  for (int piece = threadIdx.x / (3 * PIECE); piece < PIECES;
      piece += DLORAL_WAVELET_THREADS / (3 * PIECE)) {
    int v[LINE];

#pragma unroll
    for (int i = 0; i < LINE; i++)
      v[i] = tile[row * PITCH + 3 * (piece * PIECE + i) + c];
    blur (v, left + piece * PIECE, job.width);
    __syncthreads ();
#pragma unroll
    for (int i = 0; i < PIECE; i++)
      results[3 * (piece * PIECE + i) + c] = (v[i] + (1 << 19)) >> 20;
  }
  __syncthreads ();
}

/* Adds the rows' results to the picture, 4 bytes a thread where its rows start
 * at multiples of that. */
__device__ __forceinline__ void
add_results (const DloralToPicture &job, u8 *dst, const int *tile, int top,
    int left)
{
  const int width = 3 * job.picture_w, visible = 3 * (job.width - left);
  const bool aligned = width % 4 == 0;

  for (int i = threadIdx.x; i < PIECE * TILE_BYTES / 4;
      i += DLORAL_WAVELET_THREADS) {
    const int row = i / (TILE_BYTES / 4), b = 4 * (i % (TILE_BYTES / 4));
    const Vector<short, 2> *results =
        reinterpret_cast<const Vector<short, 2> *> (tile + row * PITCH) + b / 2;
    u8 *p = dst + (size_t) (top + row) * width + 3 * left + b;
    const int n = top + row < job.height ? visible - b : 0;
    Vector<u8, 4> bytes = { };

    if (aligned && n >= 4)
      bytes = *reinterpret_cast<const Vector<u8, 4> *> (p);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if (!(aligned && n >= 4) && j < n)
        bytes.e[j] = p[j];
      bytes.e[j] = min (max (bytes.e[j] + results[j / 2].e[j % 2], 0), 255);
      if (!(aligned && n >= 4) && j < n)
        p[j] = bytes.e[j];
    }
    if (aligned && n >= 4)
      *reinterpret_cast<Vector<u8, 4> *> (p) = bytes;
  }
}

KERNEL (DLORAL_WAVELET_THREADS, finish_wavelet, (const DloralToPicture job,
        const DloralFindings found, const u8 *__restrict__ lq,
        u8 *__restrict__ dst, u8 *finite))
{
  const int top = blockIdx.y * DLORAL_WAVELET_ROWS;
  const int left = blockIdx.x * DLORAL_WAVELET_COLUMNS;
  SHARED (int, tile);

  if (!settle (job, found, dst, lq, finite))
    return;
  blur_columns (job, tile, found.difference, top, left);
  __syncthreads ();
  blur_rows (job, tile, left);
  add_results (job, dst, tile, top, left);
}
