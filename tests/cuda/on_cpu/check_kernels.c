/* Tests of running kernels: what they compute, and that their mistakes show.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

#include <math.h>
#include <string.h>

#ifdef __SANITIZE_THREAD__
#define SEES_RACES TRUE
#else
#define SEES_RACES FALSE
#endif
#ifdef __SANITIZE_ADDRESS__
#define SEES_ADDRESSES TRUE
#else
#define SEES_ADDRESSES FALSE
#endif

#define MAX_N 5000

/* --- what kernels compute ------------------------------------------------- */

static void
fill (float *x, int n)
{
  for (int i = 0; i < n; i++)
    x[i] = (i * 7) % 11 - 3;
}

static void
test_sum (Fixture * fixture, gconstpointer data)
{
  int n_threads = GPOINTER_TO_INT (data), n = MAX_N;
  int n_blocks = (n + n_threads - 1) / n_threads;
  float x[MAX_N], sums[MAX_N];
  CUdeviceptr d_x, d_sums;

  fill (x, n);
  d_x = fixture_upload (fixture, x, sizeof x);
  d_sums = fixture_upload (fixture, NULL, n_blocks * sizeof *sums);
  fixture_launch (fixture, "sample_sum", n_blocks, n_threads, 0,
      (void *[]) { &d_x, &d_sums, &n });
  fixture_download (fixture, sums, d_sums, n_blocks * sizeof *sums);
  for (int b = 0; b < n_blocks; b++) {
    float sum = 0;

    for (int i = b * n_threads; i < MIN (n, (b + 1) * n_threads); i++)
      sum += x[i];
    g_assert_cmpfloat (sums[b], ==, sum);
  }
  assert_success (cuMemFree (d_x));
  assert_success (cuMemFree (d_sums));
}

static void
test_sum_all (Fixture * fixture, gconstpointer data)
{
  int n = MAX_N, n_blocks = (n + 127) / 128;
  float x[MAX_N], sum = 0, result;
  guint32 zero = 0;
  CUdeviceptr d_x, d_partial, d_n_done, d_sum;

  fill (x, n);
  for (int i = 0; i < n; i++)
    sum += x[i];
  d_x = fixture_upload (fixture, x, sizeof x);
  d_partial = fixture_upload (fixture, NULL, n_blocks * sizeof (float));
  d_n_done = fixture_upload (fixture, &zero, sizeof zero);
  d_sum = fixture_upload (fixture, NULL, sizeof (float));
  fixture_launch (fixture, "sample_sum_all", n_blocks, 128,
      128 * sizeof (float),
      (void *[]) { &d_x, &d_partial, &d_n_done, &d_sum, &n });
  fixture_download (fixture, &result, d_sum, sizeof result);
  g_assert_cmpfloat (result, ==, sum);
  assert_success (cuMemFree (d_x));
  assert_success (cuMemFree (d_partial));
  assert_success (cuMemFree (d_n_done));
  assert_success (cuMemFree (d_sum));
}

/* data: threads of a block in x; it has as many in y, and half of them in z. */
static void
test_count (Fixture * fixture, gconstpointer data)
{
  int side = GPOINTER_TO_INT (data), n = 5 * 4 * 3 * side * side * side / 2;
  int *counts = g_new0 (int, n);
  CUdeviceptr d_counts = fixture_upload (fixture, counts, n * sizeof *counts);

  assert_success (cuLaunchKernel (fixture_get_kernel (fixture, "sample_count"),
          5, 4, 3, side, side, side / 2, 0, fixture->stream,
          (void *[]) { &d_counts }, NULL));
  fixture_download (fixture, counts, d_counts, n * sizeof *counts);
  for (int i = 0; i < n; i++)
    g_assert_cmpint (counts[i], ==, 1);
  assert_success (cuMemFree (d_counts));
  g_free (counts);
}

static void
test_warp (Fixture * fixture, gconstpointer data)
{
  enum { N = 64 };
  int y[9][N];
  CUdeviceptr d_y = fixture_upload (fixture, NULL, sizeof y);

  fixture_launch (fixture, "sample_warp", 1, N, 0, (void *[]) { &d_y });
  fixture_download (fixture, y, d_y, sizeof y);
  for (int i = 0; i < N; i++) {
    int warp = i / 32 * 32, lane = i % 32;

    g_assert_cmpint (y[0][i], ==, 100 + warp + 5);
    g_assert_cmpint (y[1][i], ==, 100 + i / 8 * 8 + 1);
    g_assert_cmpint (y[2][i], ==, 100 + (lane < 2 ? i : i - 2));
    g_assert_cmpint (y[3][i], ==, 100 + (lane % 16 < 13 ? i + 3 : i));
    g_assert_cmpint (y[4][i], ==, 100 + (i ^ 1));
    for (int j = 0; j < 32; j++)
      g_assert_cmpint ((guint32) y[5][i] >> j & 1, ==, (warp + j) % 3 == 0);
    g_assert_cmpint (y[6][i], ==, i >= 32);
    g_assert_cmpint (y[7][i], ==, i < 32);
    g_assert_cmpint (y[8][i], ==, 100 + warp + (lane < 16 ? 3 : 20));
  }
  assert_success (cuMemFree (d_y));
}

static void
test_sync_warp (Fixture * fixture, gconstpointer data)
{
  int y[64];
  CUdeviceptr d_y = fixture_upload (fixture, NULL, sizeof y);

  fixture_launch (fixture, "sample_sync_warp", 1, 64, sizeof y,
      (void *[]) { &d_y });
  fixture_download (fixture, y, d_y, sizeof y);
  for (int i = 0; i < 64; i++)
    g_assert_cmpint (y[i], ==, i / 32 * 32 + (i + 2) % 32 + 1);
  assert_success (cuMemFree (d_y));
}

static void
test_atomics (Fixture * fixture, gconstpointer data)
{
  enum { BLOCKS = 7, THREADS = 100, N = BLOCKS * THREADS };
  guint32 zeros[4] = { 0 }, y[4];
  float average;
  CUdeviceptr d_y = fixture_upload (fixture, zeros, sizeof zeros);

  fixture_launch (fixture, "sample_atomics", BLOCKS, THREADS, 0, (void *[]) {
        &d_y, &(CUdeviceptr) { d_y + 4 }, &(CUdeviceptr) { d_y + 8 },
        &(CUdeviceptr) { d_y + 12 } });
  fixture_download (fixture, y, d_y, sizeof y);
  memcpy (&average, &y[3], sizeof average);
  g_assert_cmpint (y[0], ==, N * (N - 1) / 2);
  g_assert_cmpint (y[1], ==, N - 1);
  g_assert_cmphex (y[2], ==, 0xffffffff);
  g_assert_cmpfloat (average, ==, N * 0.5f);
  assert_success (cuMemFree (d_y));
}

/* Shared memory is garbage at the start of every block. */
static void
test_garbage (Fixture * fixture, gconstpointer data)
{
  enum { BLOCKS = 50, N = 77 };
  int y = 0, n = N;
  CUdeviceptr d_y = fixture_upload (fixture, &y, sizeof y);

  fixture_launch (fixture, "sample_garbage", BLOCKS, 32, N * sizeof (int),
      (void *[]) { &d_y, &n });
  fixture_download (fixture, &y, d_y, sizeof y);
  g_assert_cmpint (y, ==, BLOCKS * (N + 32));
  assert_success (cuMemFree (d_y));
}

/* --- conversions ---------------------------------------------------------- */

/* Value of 16 bits with so many of mantissa. */
static double
decode (guint16 bits, int n_mantissa)
{
  int n_exponent = 15 - n_mantissa, bias = (1 << (n_exponent - 1)) - 1;
  int exponent = bits >> n_mantissa & ((1 << n_exponent) - 1);
  int mantissa = bits & ((1 << n_mantissa) - 1);
  double size;

  if (exponent == (1 << n_exponent) - 1)
    size = mantissa ? NAN : INFINITY;
  else if (exponent == 0)
    size = ldexp (mantissa, 1 - bias - n_mantissa);
  else
    size = ldexp ((1 << n_mantissa) + mantissa, exponent - bias - n_mantissa);
  return bits >> 15 ? -size : size;
}

static void
test_to_float (Fixture * fixture, gconstpointer data)
{
  int n = 0x10000;
  guint16 *bits = g_new (guint16, n);
  float *half = g_new (float, n), *bfloat16 = g_new (float, n);
  CUdeviceptr d_bits, d_half, d_bfloat16;

  for (int i = 0; i < n; i++)
    bits[i] = i;
  d_bits = fixture_upload (fixture, bits, n * sizeof *bits);
  d_half = fixture_upload (fixture, NULL, n * sizeof *half);
  d_bfloat16 = fixture_upload (fixture, NULL, n * sizeof *bfloat16);
  fixture_launch (fixture, "sample_to_float", n / 256, 256, 0,
      (void *[]) { &d_bits, &d_half, &d_bfloat16, &n });
  fixture_download (fixture, half, d_half, n * sizeof *half);
  fixture_download (fixture, bfloat16, d_bfloat16, n * sizeof *bfloat16);
  for (int i = 0; i < n; i++) {
    double h = decode (i, 10), b = decode (i, 7);

    g_assert_true (isnan (h) ? isnan (half[i]) : half[i] == h
        && !signbit (half[i]) == !(i >> 15));
    g_assert_true (isnan (b) ? isnan (bfloat16[i]) : bfloat16[i] == b
        && !signbit (bfloat16[i]) == !(i >> 15));
  }
  assert_success (cuMemFree (d_bits));
  assert_success (cuMemFree (d_half));
  assert_success (cuMemFree (d_bfloat16));
  g_free (bits);
  g_free (half);
  g_free (bfloat16);
}

/* The midpoint above each number and its neighbours on both sides; `n_mantissa`
 * says of which type the numbers are. What each is to become goes into `y`. */
static int
fill_midpoints (int n_mantissa, float *x, guint16 *y)
{
  int n = 0, last = 0x7fff & ~((1 << n_mantissa) - 1);

  for (int i = 0; i < last; i++) {
    double here = decode (i, n_mantissa);
    double next = i + 1 < last ? decode (i + 1, n_mantissa)
        : 2 * here - decode (i - 1, n_mantissa);
    float middle = (here + next) / 2;

    for (int sign = 0; sign < 2; sign++) {
      float s = sign ? -1 : 1;

      x[n] = s * here;
      y[n++] = i | sign << 15;
      x[n] = s * nextafterf (middle, 0);
      y[n++] = i | sign << 15;
      x[n] = s * middle;
      y[n++] = (i + i % 2) | sign << 15;
      x[n] = s * nextafterf (middle, INFINITY);
      y[n++] = (i + 1) | sign << 15;
    }
  }
  return n;
}

static void
test_from_float (Fixture * fixture, gconstpointer data)
{
  int n_mantissa = GPOINTER_TO_INT (data), n;
  float *x = g_new (float, 8 * 0x8000 + 3);
  guint16 *y = g_new (guint16, 8 * 0x8000 + 3), *result;
  CUdeviceptr d_x, d_y[2];

  n = fill_midpoints (n_mantissa, x, y);
  x[n] = INFINITY;
  y[n++] = 0x7fff & ~((1 << n_mantissa) - 1);
  x[n] = -INFINITY;
  y[n++] = 0xffff & ~((1 << n_mantissa) - 1);
  x[n] = NAN;
  y[n++] = 0x7fff;
  d_x = fixture_upload (fixture, x, n * sizeof *x);
  for (int i = 0; i < 2; i++)
    d_y[i] = fixture_upload (fixture, NULL, n * sizeof *y);
  fixture_launch (fixture, "sample_from_float", (n + 255) / 256, 256, 0,
      (void *[]) { &d_x, &d_y[0], &d_y[1], &n });
  result = g_new (guint16, n);
  fixture_download (fixture, result, d_y[n_mantissa == 7], n * sizeof *y);
  for (int i = 0; i < n; i++)
    g_assert_cmphex (result[i], ==, y[i]);
  assert_success (cuMemFree (d_x));
  for (int i = 0; i < 2; i++)
    assert_success (cuMemFree (d_y[i]));
  g_free (x);
  g_free (y);
  g_free (result);
}

/* --- launches that CUDA refuses ------------------------------------------- */

static void
test_refused (Fixture * fixture, gconstpointer data)
{
  CUdeviceptr d_y = fixture_upload (fixture, NULL, 100);
  int host = 0, n = 1;
  const struct
  {
    unsigned grid[3], block[3], shared;
    void *pointer, *number;
  } bad[] = {
    { { 0, 1, 1 }, { 1, 1, 1 }, 4, &d_y, &n },
    { { 1, 65536, 1 }, { 1, 1, 1 }, 4, &d_y, &n },
    { { 1, 1, 65536 }, { 1, 1, 1 }, 4, &d_y, &n },
    { { 1, 1, 1 }, { 33, 1, 1 }, 4, &d_y, &n },
    { { 1, 1, 1 }, { 4, 4, 4 }, 4, &d_y, &n },
    { { 1, 1, 1 }, { 1, 1, 65 }, 4, &d_y, &n },
    { { 1, 1, 1 }, { 1, 0, 1 }, 4, &d_y, &n },
    { { 1, 1, 1 }, { 1, 1, 1 }, 48 * 1024 + 4, &d_y, &n },
    { { 1, 1, 1 }, { 1, 1, 1 }, 4, &d_y, NULL },
    { { 1, 1, 1 }, { 1, 1, 1 }, 4, &(void *) { &host }, &n },
  };
  CUfunction kernel = fixture_get_kernel (fixture, "sample_garbage");

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    assert_result (cuLaunchKernel (kernel, bad[i].grid[0], bad[i].grid[1],
            bad[i].grid[2], bad[i].block[0], bad[i].block[1], bad[i].block[2],
            bad[i].shared, fixture->stream,
            (void *[]) { bad[i].pointer, bad[i].number }, NULL),
        CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemFree (d_y));
}

static void
test_much_shared (Fixture * fixture, gconstpointer data)
{
  const int most = 227 * 1024;
  int y = 0, n = most / 4;
  CUdeviceptr d_y = fixture_upload (fixture, &y, sizeof y);
  CUfunction kernel = fixture_get_kernel (fixture, "sample_garbage");

  assert_result (cuFuncSetAttribute (kernel,
          CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, most + 1),
      CUDA_ERROR_INVALID_VALUE);
  assert_success (cuFuncSetAttribute (kernel,
          CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, most));
  fixture_launch (fixture, "sample_garbage", 1, 32, most,
      (void *[]) { &d_y, &n });
  fixture_download (fixture, &y, d_y, sizeof y);
  g_assert_cmpint (y, ==, n + 32);
  assert_success (cuMemFree (d_y));
}

static void
test_functions (Fixture * fixture, gconstpointer data)
{
  CUmodule module;
  CUfunction function;

  assert_result (cuModuleLoadData (&module, NULL), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuModuleGetFunction (&function, fixture->module, "none"),
      CUDA_ERROR_NOT_FOUND);
  assert_success (cuModuleLoadData (&module, "image"));
  assert_success (cuModuleGetFunction (&function, module, "sample_exit"));
  assert_success (cuModuleUnload (module));
  assert_result (cuLaunchKernel (function, 1, 1, 1, 1, 1, 1, 0,
          fixture->stream, NULL, NULL), CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuModuleUnload (module), CUDA_ERROR_INVALID_HANDLE);
}

/* --- mistakes ------------------------------------------------------------- */

/* Runs sample_no_barrier; whether each thread has read what it should. */
static gboolean
run_without_barrier (void)
{
  Fixture fixture;
  int y[256];
  CUdeviceptr d_y;
  gboolean right = TRUE;

  fixture_open (&fixture, NULL);
  d_y = fixture_upload (&fixture, NULL, sizeof y);
  fixture_launch (&fixture, "sample_no_barrier", 1, 256, sizeof y,
      (void *[]) { &d_y });
  fixture_download (&fixture, y, d_y, sizeof y);
  for (int i = 0; i < 256; i++)
    right = right && y[i] == i - 1;
  assert_success (cuMemFree (d_y));
  return right;
}

/* In their order the threads happen to do what they should. */
static void
test_no_barrier_in_order (void)
{
  if (in_subprocess ("CUDA_ON_CPU_SEED", "0")) {
    g_assert_true (run_without_barrier ());
    return;
  }
  if (SEES_RACES)
    g_test_trap_assert_stderr ("*data race*sample_no_barrier*");
  else
    g_test_trap_assert_passed ();
}

static void
test_no_barrier_shuffled (void)
{
  if (in_subprocess ("CUDA_ON_CPU_SEED", "2")) {
    g_assert_false (run_without_barrier ());
    return;
  }
  if (SEES_RACES)
    g_test_trap_assert_stderr ("*data race*sample_no_barrier*");
  else
    g_test_trap_assert_passed ();
}

typedef struct
{
  const char *kernel, *message;
} Divergence;

static const Divergence divergences[] = {
  { "sample_exit",
    "*kernel sample_exit, block (0, 0, 0): threads have diverged: 24 exited, "
    "40 wait in __syncthreads at *sample.cu:*" },
  { "sample_two_barriers",
    "*kernel sample_two_barriers, block (0, 0, 0): threads have diverged: "
    "40 wait in __syncthreads at *, 24 wait in __syncthreads at *" },
  { "sample_absent_lane",
    "*kernel sample_absent_lane, block (0, 0, 0): threads have diverged: "
    "2 exited, 62 wait in __shfl_xor_sync at *" },
  { "sample_wrong_mask",
    "*kernel sample_wrong_mask, block (0, 0, 0): a lane is not in the mask*" },
};

static void
test_divergence (gconstpointer data)
{
  const Divergence *divergence = data;

  if (in_subprocess (NULL, NULL)) {
    Fixture fixture;
    CUdeviceptr d_y;

    fixture_open (&fixture, NULL);
    d_y = fixture_upload (&fixture, NULL, 64 * sizeof (int));
    fixture_launch (&fixture, divergence->kernel, 1, 64, 0,
        (void *[]) { &d_y });
    cuStreamSynchronize (fixture.stream);
    return;
  }
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr (divergence->message);
}

/* data: whether beyond shared memory, else beyond device memory. */
static void
test_beyond (gconstpointer data)
{
  int in_shared = GPOINTER_TO_INT (data), n = 10;

  if (in_subprocess (NULL, NULL)) {
    Fixture fixture;
    CUdeviceptr d_y;

    fixture_open (&fixture, NULL);
    d_y = fixture_upload (&fixture, NULL, n * sizeof (int));
    fixture_launch (&fixture, "sample_beyond", 1, 64, n * sizeof (int),
        (void *[]) { &d_y, &n, &in_shared });
    cuStreamSynchronize (fixture.stream);
    assert_success (cuMemFree (d_y));
    return;
  }
  if (SEES_ADDRESSES)
    g_test_trap_assert_stderr ("*heap-buffer-overflow*sample_beyond*");
  else if (!in_shared)
    g_test_trap_assert_stderr ("*an allocation of 40 bytes was written beyond "
        "an end*");
}

/* Blocks of two workers are not ordered. */
static void
test_same_element (void)
{
  if (in_subprocess (NULL, NULL)) {
    Fixture fixture;
    CUdeviceptr d_y;

    fixture_open (&fixture, NULL);
    d_y = fixture_upload (&fixture, NULL, sizeof (int));
    fixture_launch (&fixture, "sample_same_element", 2, 32, 0,
        (void *[]) { &d_y });
    cuStreamSynchronize (fixture.stream);
    assert_success (cuMemFree (d_y));
    return;
  }
  if (SEES_RACES)
    g_test_trap_assert_stderr ("*data race*sample_same_element*");
  else
    g_test_trap_assert_passed ();
}

static void
test_no_fence (void)
{
  if (in_subprocess (NULL, NULL)) {
    Fixture fixture;
    guint32 zeros[4] = { 0 };
    CUdeviceptr d_y;

    fixture_open (&fixture, NULL);
    d_y = fixture_upload (&fixture, zeros, sizeof zeros);
    fixture_launch (&fixture, "sample_no_fence", 2, 32, 0, (void *[]) { &d_y,
          &(CUdeviceptr) { d_y + 8 }, &(CUdeviceptr) { d_y + 12 } });
    cuStreamSynchronize (fixture.stream);
    assert_success (cuMemFree (d_y));
    return;
  }
  if (SEES_RACES)
    g_test_trap_assert_stderr ("*data race*sample_no_fence*");
  else
    g_test_trap_assert_passed ();
}

void
add_kernel_tests (void)
{
  add_test ("/kernel/sum/32", test_sum, GINT_TO_POINTER (32));
  add_test ("/kernel/sum/96", test_sum, GINT_TO_POINTER (96));
  add_test ("/kernel/sum/256", test_sum, GINT_TO_POINTER (256));
  add_test ("/kernel/sum-all", test_sum_all, NULL);
  add_test ("/kernel/count/108", test_count, GINT_TO_POINTER (6));
  add_test ("/kernel/count/864", test_count, GINT_TO_POINTER (12));
  add_test ("/kernel/warp", test_warp, NULL);
  add_test ("/kernel/sync-warp", test_sync_warp, NULL);
  add_test ("/kernel/atomics", test_atomics, NULL);
  add_test ("/kernel/garbage", test_garbage, NULL);
  add_test ("/kernel/to-float", test_to_float, NULL);
  add_test ("/kernel/to-half", test_from_float, GINT_TO_POINTER (10));
  add_test ("/kernel/to-bfloat16", test_from_float, GINT_TO_POINTER (7));
  add_test ("/launch/refused", test_refused, NULL);
  add_test ("/launch/much-shared", test_much_shared, NULL);
  add_test ("/launch/functions", test_functions, NULL);
  g_test_add_func ("/mistake/no-barrier/in-order", test_no_barrier_in_order);
  g_test_add_func ("/mistake/no-barrier/shuffled", test_no_barrier_shuffled);
  for (gsize i = 0; i < G_N_ELEMENTS (divergences); i++) {
    g_autofree char *path = g_strconcat ("/mistake/divergence/",
        divergences[i].kernel, NULL);

    g_test_add_data_func (path, &divergences[i], test_divergence);
  }
  g_test_add_data_func ("/mistake/beyond/device", GINT_TO_POINTER (FALSE),
      test_beyond);
  g_test_add_data_func ("/mistake/beyond/shared", GINT_TO_POINTER (TRUE),
      test_beyond);
  g_test_add_func ("/mistake/same-element", test_same_element);
  g_test_add_func ("/mistake/no-fence", test_no_fence);
}
