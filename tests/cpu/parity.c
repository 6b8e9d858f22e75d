/* Every operator of the CPU backend against its float64 reference, on random
 * shapes, for every level of the CPU's instructions; and Pillow's own results
 * for the upsampling. With --perf [THREADS]: times of typical operators
 * instead.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/operators/compare.h"
#include "cpu/device.h"
#include "cpu/kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = { "plain", "v3", "v4", "bf16" };
static const char *const dtype_names[] = { "f32", "bf16" };

/* The same cases with one thread and with more than strips divide evenly. */
static const int thread_counts[] = { 1, 3 };

/* What one test tries. */
typedef struct
{
  const DloralCaseKind *kind;
  DloralPrecision precision;
  DloralLevel level;
} Test;

static DloralDevice *
open_device (DloralPrecision precision, int threads)
{
  GError *error = NULL;
  DloralDevice *device = dloral_cpu_backend.open (&(DloralDeviceParams) {
      .precision = precision, .threads = threads }, &error);

  g_assert_no_error (error);
  device->shared_work = 0;      /* the cases are small, and are to be shared */
  return device;
}

static void
test_kind (gconstpointer data)
{
  const Test *test = data;
  double worst = 0;

  g_assert_true (dloral_kernels_select (test->level));
  for (guint t = 0; t < G_N_ELEMENTS (thread_counts); t++) {
    DloralDevice *device = open_device (test->precision, thread_counts[t]);

    for (int i = t; i < test->kind->count; i += G_N_ELEMENTS (thread_counts))
      worst = MAX (worst, dloral_compare_case (&dloral_cpu_backend, device,
              test->kind, i));
    dloral_cpu_backend.close (device);
  }
  g_test_message ("largest error: %.0f %% of the allowed", 100 * worst);
}

static void
test_pillow (gconstpointer data)
{
  DloralDevice *device = open_device (DLORAL_PRECISION_F32, 2);

  g_assert_true (dloral_kernels_select (((const Test *) data)->level));
  dloral_compare_pillow (&dloral_cpu_backend, device);
  dloral_cpu_backend.close (device);
}

static void
test_shared_kernel (gconstpointer data)
{
  DloralDevice *device = open_device (((const Test *) data)->precision, 2);

  dloral_compare_shared_kernel (&dloral_cpu_backend, device);
  dloral_cpu_backend.close (device);
}

static void
test_not_finite (gconstpointer data)
{
  DloralDevice *device = open_device (DLORAL_PRECISION_F32, 2);

  g_assert_true (dloral_kernels_select (((const Test *) data)->level));
  dloral_compare_not_finite (&dloral_cpu_backend, device);
  dloral_cpu_backend.close (device);
}

/* Best level this CPU has. */
static DloralLevel
best_level (void)
{
  DloralLevel level = DLORAL_N_LEVELS - 1;

  while (!dloral_kernels_select (level))
    level--;
  return level;
}

static gboolean
has_bf16 (void)
{
  DloralDevice *device = open_device (DLORAL_PRECISION_BF16, 1);
  gboolean has = dloral_cpu_backend.get_act_dtype (device) == DLORAL_BF16;

  dloral_cpu_backend.close (device);
  return has;
}

static void
add_test (const DloralCaseKind * kind, gboolean bf16, DloralLevel level,
    const char *name, void (*run) (gconstpointer))
{
  Test *test = g_new (Test, 1);
  char *path = g_strdup_printf ("/%s/%s/%s", name, dtype_names[bf16],
      level_names[level]);

  test->kind = kind;
  test->precision = bf16 ? DLORAL_PRECISION_BF16 : DLORAL_PRECISION_F32;
  test->level = level;
  g_test_add_data_func_full (path, test, run, g_free);
  g_free (path);
}

static void
add_tests (void)
{
  DloralLevel best = best_level ();
  int precisions = has_bf16 () ? 2 : 1;

  for (int i = 0; i < DLORAL_N_OPS; i++) {
    const DloralCaseKind *kind = &dloral_case_kinds[i];

    for (DloralLevel level = kind->kernels ? 0 : best; level <= best; level++)
      for (int p = 0; p < precisions; p++)
        add_test (kind, p, level, dloral_op_kind_get_name (kind->kind),
            test_kind);
  }
  for (int p = 0; p < precisions; p++)
    add_test (NULL, p, best, "shared-kernel", test_shared_kernel);
  for (DloralLevel level = 0; level <= best; level++) {
    add_test (NULL, FALSE, level, "pillow", test_pillow);
    add_test (NULL, FALSE, level, "not-finite", test_not_finite);
  }
}

/* --- times ---------------------------------------------------------------- */

static double
get_bytes (const DloralOp * op)
{
  double bytes = dloral_tensor_get_size (op->dst);

  for (int i = 0; i < op->n_src; i++)
    if (i == 0 || op->src[i] != op->src[0])
      bytes += dloral_tensor_get_size (op->src[i]);
  return bytes;
}

/* Seconds; of this thread alone where it does all the work, so that a busy
 * machine tells the same. */
static double
get_time (int threads)
{
  struct timespec t;

  clock_gettime (threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/* The fastest of many runs, in seconds. */
static double
time_case (DloralHarness * h, int threads)
{
  double end = get_time (threads) + 0.15, best = INFINITY;

  for (int run = 0; run < 5 || get_time (threads) < end; run++) {
    GError *error = NULL;
    double start = get_time (threads);

    h->backend->run (h->plan, h->queue, h->arena.device, h->bindings, &error);
    g_assert_no_error (error);
    best = MIN (best, get_time (threads) - start);
  }
  return best;
}

static void
print_times (DloralPrecision precision, DloralLevel level, int threads)
{
  DloralDevice *device = open_device (precision, threads);
  DloralDtype act_dtype = dloral_cpu_backend.get_act_dtype (device);
  const char *name;
  DloralCase c;

  dloral_kernels_select (level);
  printf ("%s, %s\n", dtype_names[act_dtype == DLORAL_BF16],
      level_names[level]);
  for (int i = 0; dloral_case_init_typical (&c, i, act_dtype, &name); i++) {
    DloralHarness h;
    double seconds;

    dloral_harness_init (&h, &dloral_cpu_backend, device, &c, 1);
    seconds = time_case (&h, threads);
    printf ("%8.3f ms %8.1f GFLOP/s %7.1f GB/s  %s\n", seconds * 1e3,
        dloral_op_get_flops (c.op) / seconds * 1e-9,
        get_bytes (c.op) / seconds * 1e-9, name);
    dloral_harness_clear (&h);
    dloral_case_clear (&c);
  }
  dloral_cpu_backend.close (device);
}

int
main (int argc, char **argv)
{
  if (argc >= 2 && strcmp (argv[1], "--perf") == 0) {
    int threads = argc > 2 ? atoi (argv[2]) : 0;

    print_times (DLORAL_PRECISION_F32, best_level (), threads);
    if (has_bf16 ())
      print_times (DLORAL_PRECISION_BF16, best_level (), threads);
    return 0;
  }
  g_test_init (&argc, &argv, NULL);
  add_tests ();
  return g_test_run ();
}
