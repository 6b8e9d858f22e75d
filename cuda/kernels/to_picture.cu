/* The decoder's tensor to a picture, and its colours corrected against the
 * upsampled LQ frame, in two kernels: to_levels, which also finds what the whole
 * picture must be known for, and one finish_… for each correction.
 *
 * Without a correction the value is rounded to a level; with one it is truncated
 * to a level first, corrected from there, and then rounded. Where a value was
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

/* 0 … MAX_LEVEL; NaN gives 0. */
template <typename P> __device__ __forceinline__ float
clamp_level (float x)
{
  return fminf (fmaxf (x, 0), MAX_LEVEL<P>);
}

/* What a thread's sums of squares fit in, and differences of two levels. */
template <typename P> struct Picture;
template <> struct Picture<u8>
{
  typedef unsigned Square;      /* holds 66051 of them, more than a thread sees */
  typedef short Difference;
};
template <> struct Picture<u16>
{
  typedef unsigned long long Square;
  typedef int Difference;
};

template <typename P> using Square = typename Picture<P>::Square;
template <typename P> using Difference = typename Picture<P>::Difference;

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

/* --- to_levels ------------------------------------------------------------ */

/* Of a thread's samples; channel c is at [(c + 3 − phase) % 3]. */
template <typename P> struct Moments
{
  int phase;
  Square<P> sums[4][3];         /* result, its squares, LQ frame, its squares */
};

template <typename P, int N> __device__ __forceinline__ void
add_moments (Square<P> (*sums)[3], const Vector<P, N> &levels, int visible)
{
#pragma unroll
  for (int j = 0; j < N; j++) {
    const Square<P> v = j < visible ? levels.e[j] : 0;

    sums[0][j % 3] += v;
    sums[1][j % 3] += v * v;
  }
}

/* N neighbouring samples, the i-th such of the picture: so that is written in
 * whole lines, and the tensor read in pieces, its patches' lines. */
template <typename T, typename P, int LAYOUT> struct Group
{
  static constexpr int N = DLORAL_PATCHES_GROUP (LAYOUT, sizeof (T));
  unsigned i;
  int visible;                  /* so many of the first are, if over 0 */
  Vector<T, N> x;
  Vector<P, N> lq;
};

template <typename T, typename P, int LAYOUT>
__device__ __forceinline__ Group<T, P, LAYOUT>
load (const DloralToPicture &job, const T *src, const P *lq, unsigned i)
{
  constexpr int N = Group<T, P, LAYOUT>::N;
  const int lines = LAYOUT ? LAYOUT : job.patches.lines;
  const int line = (LAYOUT > 1 ? 3 * LAYOUT : job.patches.line) / N;
  const unsigned width = job.patches.w * line;
  const int y = i / width, k = i - y * width;
  size_t from = i;
  Group<T, P, LAYOUT> g = { };

  g.i = i;
  g.visible = y < job.height ? 3 * job.width - k * N : 0;
  if (LAYOUT != DLORAL_PATCHES_ROWS)
    from = (((size_t) (y / lines) * job.patches.w + k / line) * lines
        + y % lines) * line + k % line;
  g.x = reinterpret_cast<const Vector<T, N> *> (src)[from];
  if (job.lq_residual || job.moments || job.difference)
    g.lq = reinterpret_cast<const Vector<P, N> *> (lq)[i];
  return g;
}

/* So many of N differences are moved as one. */
template <typename P, int N> constexpr int PIECE_OF =
    N * sizeof (Difference<P>) > 16 ? 16 / sizeof (Difference<P>) : N;

/* Returns 0, or NaN where a value is not finite, since zero times that is not
 * zero. */
template <typename T, typename P, int LAYOUT> __device__ __forceinline__ float
convert (const Group<T, P, LAYOUT> &g, const DloralToPicture &job,
    const DloralFindings &found, Moments<P> *m, P *dst)
{
  constexpr int N = Group<T, P, LAYOUT>::N;
  constexpr float half = MAX_LEVEL<P> / 2.0f;
  Vector<P, N> result;
  float nought = 0;

#pragma unroll
  for (int j = 0; j < N; j++) {
    const float x = to_float (g.x.e[j]);

    nought += x * 0.0f;
    result.e[j] = (int) (clamp_level<P> (x * half
            + (job.lq_residual ? g.lq.e[j] : half)) + job.bias);
  }
  reinterpret_cast<Vector<P, N> *> (dst)[g.i] = result;
  if (job.moments) {
    add_moments<P> (m->sums, result, g.visible);
    add_moments<P> (m->sums + 2, g.lq, g.visible);
  }
  if (job.difference) {
    Difference<P> *const to = static_cast<Difference<P> *> (found.difference)
        + (size_t) g.i * N;

#pragma unroll
    for (int j = 0; j < N; j += PIECE_OF<P, N>) {
      Vector<Difference<P>, PIECE_OF<P, N>> difference;

#pragma unroll
      for (int k = 0; k < PIECE_OF<P, N>; k++)
        difference.e[k] = g.lq.e[j + k] - result.e[j + k];
      reinterpret_cast<Vector<Difference<P>, PIECE_OF<P, N>> *> (to + j)[0] =
          difference;
    }
  }
  return nought;
}

/* A thread's groups. Returns as convert (). */
template <typename T, typename P, int LAYOUT> __device__ __forceinline__ float
convert_all (const DloralToPicture &job, const DloralFindings &found,
    Moments<P> *m, const T *src, const P *lq, P *dst)
{
  constexpr int N = Group<T, P, LAYOUT>::N;
  const unsigned n = (size_t) job.picture_h * job.picture_w * 3 / N;
  float nought = 0;

  for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < n;
      i += gridDim.x * THREADS)
    nought += convert (load<T, P, LAYOUT> (job, src, lq, i), job, found, m,
        dst);
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
template <typename P> __device__ __forceinline__ void
report (const DloralToPicture &job, const DloralFindings &found,
    const Moments<P> &m, bool finite)
{
  __shared__ Square<P> moments[DLORAL_MOMENTS][THREADS];
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

#define CONVERT(T, P, LAYOUT) \
  convert_all<T, P, LAYOUT> (job, found, &moments, src, lq, dst)

#define TO_LEVELS(T, P)                                                       \
KERNEL (THREADS, to_levels_##T##_##P, (const DloralToPicture job,             \
        const DloralFindings found, const T *__restrict__ src,                \
        const f32 *__restrict__ also, const P *__restrict__ lq,               \
        P *__restrict__ dst))                                                 \
{                                                                             \
  Moments<P> moments = { };                                                   \
  float nought = check (also, job.n_also);                                    \
                                                                              \
  switch (job.patches.layout) {                                               \
    case DLORAL_PATCHES_ROWS: nought += CONVERT (T, P, 1); break;             \
    case 2: nought += CONVERT (T, P, 2); break;                               \
    case 4: nought += CONVERT (T, P, 4); break;                               \
    case 8: nought += CONVERT (T, P, 8); break;                               \
    case 16: nought += CONVERT (T, P, 16); break;                             \
    default: nought += CONVERT (T, P, DLORAL_PATCHES_ANY);                    \
  }                                                                           \
  report<P> (job, found, moments, nought == 0);                               \
}
TO_LEVELS (f32, u8)
TO_LEVELS (bf16, u8)
TO_LEVELS (f16, u8)
TO_LEVELS (f32, u16)
TO_LEVELS (bf16, u16)
TO_LEVELS (f16, u16)

/* --- not finite ----------------------------------------------------------- */

/* The blocks of a grid in x and y copy the picture together. */
__device__ __forceinline__ void
copy_picture (size_t size, u8 *dst, const u8 *src)
{
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
template <typename P> __device__ __forceinline__ bool
settle (const DloralToPicture &job, const DloralFindings &found, P *dst,
    const P *lq, u8 *finite)
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
    copy_picture ((size_t) job.picture_h * job.picture_w * 3 * sizeof (P),
        reinterpret_cast<u8 *> (dst), reinterpret_cast<const u8 *> (lq));
  return !not_finite;
}

#define FINISH(threads, how, P)                                               \
KERNEL (threads, finish_##how##_##P, (const DloralToPicture job,              \
        const DloralFindings found, const P *__restrict__ lq,                 \
        P *__restrict__ dst, u8 *finite))                                     \
{                                                                             \
  if (settle (job, found, dst, lq, finite))                                   \
    how (job, found, dst);                                                    \
}

template <typename P> __device__ __forceinline__ void
none (const DloralToPicture &job, const DloralFindings &found, P *dst)
{
}
FINISH (THREADS, none, u8)
FINISH (THREADS, none, u16)

/* --- adain ---------------------------------------------------------------- */

/* result · gain + offset has the LQ frame's mean and deviation. */
struct Affine
{
  float gain[3], offset[3];
};

/* Mean and deviation in levels; the published variance is unbiased and has 1e−5
 * added on the scale of [0, 1]. */
template <typename P> __device__ __forceinline__ void
get_statistics (unsigned long long sum, unsigned long long square, double n,
    double *mean, double *deviation)
{
  const double s = sum, q = square;
  const double variance = n > 1 ? (q - s * s / n) / (n - 1) : 0;

  *mean = s / n;
  *deviation = sqrt (variance + 1e-5 * MAX_LEVEL<P> * MAX_LEVEL<P>);
}

/* Every thread of the block calls; every block finds the same. */
template <typename P> __device__ __forceinline__ void
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

    get_statistics<P> (moments[c], moments[3 + c], n, &mean, &deviation);
    get_statistics<P> (moments[6 + c], moments[9 + c], n, &lq_mean,
        &lq_deviation);
    affine->gain[c] = lq_deviation / deviation;
    affine->offset[c] = lq_mean - mean * (lq_deviation / deviation);
  }
  __syncthreads ();
}

template <typename P> __device__ __forceinline__ P
apply (P x, float gain, float offset)
{
  return (int) (clamp_level<P> (x * gain + offset) + 0.5f);
}

/* Beyond the visible part too, which is nobody's business: so the picture is so
 * many levels, 16 bytes of them at once. */
template <typename P> __device__ __forceinline__ void
adain (const DloralToPicture &job, const DloralFindings &found, P *dst)
{
  constexpr int N = 16 / sizeof (P);
  const size_t size = (size_t) job.picture_h * job.picture_w * 3;
  const size_t n = size / N;
  const size_t start = (size_t) blockIdx.x * THREADS + threadIdx.x;
  Vector<P, N> *const groups = reinterpret_cast<Vector<P, N> *> (dst);
  __shared__ Affine affine;
  float gain[3], offset[3];

  find_affine<P> (job, found, &affine);
#pragma unroll
  for (int j = 0; j < 3; j++) {
    gain[j] = affine.gain[(start * N + j) % 3];
    offset[j] = affine.offset[(start * N + j) % 3];
  }
  for (size_t i = start; i < n; i += gridDim.x * THREADS) {
    Vector<P, N> x = groups[i];

#pragma unroll
    for (int j = 0; j < N; j++)
      x.e[j] = apply (x.e[j], gain[j % 3], offset[j % 3]);
    groups[i] = x;
  }
  if (start < size % N) {
    const size_t i = n * N + start;

    dst[i] = apply (dst[i], affine.gain[i % 3], affine.offset[i % 3]);
  }
}
FINISH (THREADS, adain, u8)
FINISH (THREADS, adain, u16)

/* --- wavelet -------------------------------------------------------------- */

/* The result's high frequencies and the source's low ones: what is added is the
 * low part of their difference, five levels of (1 2 1)² / 16 with dilation 1,
 * 2, 4, 8, 16, the edges repeated at every level.
 *
 * The levels are separable, so a block filters all five down the columns that
 * its tile needs, then all five along the rows of that, in integers: results
 * times 1024, twice, of which those of 16 bits leave 5 bits out between. A thread
 * has a whole piece of a line in registers: 32 results and 31 neighbours on both
 * sides. So each level costs neither memory nor a barrier, and the picture is read
 * once, a tile's surroundings more often but from the cache. */

#define REACH DLORAL_WAVELET_REACH
#define PIECE DLORAL_WAVELET_ROWS
#define LINE (PIECE + 2 * REACH)
#define PITCH DLORAL_WAVELET_PITCH
#define TILE_LEVELS (3 * DLORAL_WAVELET_COLUMNS)
#define WIDE_LEVELS (3 * (DLORAL_WAVELET_COLUMNS + 2 * REACH))
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

/* Bits that 32 have no room for after both filters. */
template <typename P> constexpr int SPARE = sizeof (P) > 1 ? 5 : 0;

__device__ __forceinline__ int
round_off (int v, int bits)
{
  return bits > 0 ? (v + (1 << bits >> 1)) >> bits : v;
}

/* tile [PIECE][PITCH]: blurred columns, REACH of them left of `left`. */
template <typename P> __device__ __forceinline__ void
blur_columns (const DloralToPicture &job, int *tile,
    const Difference<P> *difference, int top, int left)
{
  for (int b = threadIdx.x; b < WIDE_LEVELS; b += DLORAL_WAVELET_THREADS) {
    const int x = min (max (left - REACH + b / 3, 0), job.width - 1);
    const Difference<P> *column = difference + 3 * x + b % 3;
    int v[LINE];

#pragma unroll
    for (int i = 0; i < LINE; i++)
      v[i] = column[(size_t) min (max (top - REACH + i, 0), job.height - 1)
          * job.picture_w * 3];
    blur (v, top, job.height);
#pragma unroll
    for (int i = 0; i < PIECE; i++)
      tile[i * PITCH + b] = round_off (v[i], SPARE<P>);
  }
}

/* A row of the tile becomes what to add to its levels. Pieces are taken from left
 * to right, two at a time, so that results lie where nobody reads any more. */
template <typename P> __device__ __forceinline__ void
blur_rows (const DloralToPicture &job, int *tile, int left)
{
  const int row = threadIdx.x % (3 * PIECE) / 3, c = threadIdx.x % 3;
  Difference<P> *const results =
      reinterpret_cast<Difference<P> *> (tile + row * PITCH);

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
      results[3 * (piece * PIECE + i) + c] = round_off (v[i], 20 - SPARE<P>);
  }
  __syncthreads ();
}

/* Adds the rows' results to the picture, 4 levels a thread where its rows start
 * at multiples of that. */
template <typename P> __device__ __forceinline__ void
add_results (const DloralToPicture &job, P *dst, const int *tile, int top,
    int left)
{
  constexpr int N = 4 / sizeof (Difference<P>);
  const int width = 3 * job.picture_w, visible = 3 * (job.width - left);
  const bool aligned = width % 4 == 0;

  for (int i = threadIdx.x; i < PIECE * TILE_LEVELS / 4;
      i += DLORAL_WAVELET_THREADS) {
    const int row = i / (TILE_LEVELS / 4), b = 4 * (i % (TILE_LEVELS / 4));
    const Vector<Difference<P>, N> *results =
        reinterpret_cast<const Vector<Difference<P>, N> *> (tile + row * PITCH)
        + b / N;
    P *p = dst + (size_t) (top + row) * width + 3 * left + b;
    const int n = top + row < job.height ? visible - b : 0;
    Vector<P, 4> levels = { };

    if (aligned && n >= 4)
      levels = *reinterpret_cast<const Vector<P, 4> *> (p);
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if (!(aligned && n >= 4) && j < n)
        levels.e[j] = p[j];
      levels.e[j] = min (max (levels.e[j] + results[j / N].e[j % N], 0),
          MAX_LEVEL<P>);
      if (!(aligned && n >= 4) && j < n)
        p[j] = levels.e[j];
    }
    if (aligned && n >= 4)
      *reinterpret_cast<Vector<P, 4> *> (p) = levels;
  }
}

template <typename P> __device__ __forceinline__ void
wavelet (const DloralToPicture &job, const DloralFindings &found, P *dst)
{
  const int top = blockIdx.y * DLORAL_WAVELET_ROWS;
  const int left = blockIdx.x * DLORAL_WAVELET_COLUMNS;
  SHARED (int, tile);

  blur_columns<P> (job, tile,
      static_cast<const Difference<P> *> (found.difference), top, left);
  __syncthreads ();
  blur_rows<P> (job, tile, left);
  add_results (job, dst, tile, top, left);
}
FINISH (DLORAL_WAVELET_THREADS, wavelet, u8)
FINISH (DLORAL_WAVELET_THREADS, wavelet, u16)
