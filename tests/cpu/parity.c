/* Every operator of the CPU backend against its float64 reference, on random
 * shapes, for every level of the CPU's instructions; and Pillow's own results
 * for the upsampling. With --perf [THREADS]: times of typical operators
 * instead.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"
#include "reference.h"
#include "cpu/device.h"
#include "cpu/kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS 3

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

/* --- comparison ----------------------------------------------------------- */

static gboolean
is_f32 (const DloralCase * c)
{
  for (int i = 0; i < c->op->n_src; i++)
    if (c->op->src[i]->dtype == DLORAL_BF16)
      return FALSE;
  return c->op->dst->dtype != DLORAL_BF16;
}

/* Library operators may pack weights in the graph's type, whatever the types
 * of their tensors. */
static double
get_bound (const Test * test, const DloralCase * c)
{
  if (is_f32 (c) && (test->kind->kernels
          || c->graph->act_dtype == DLORAL_F32))
    return test->kind->bound_f32;
  return test->kind->bound_bf16;
}

static gboolean
is_visible (const DloralOp * op, gsize i)
{
  gsize pixel = i / op->dst->c;

  return op->kind != DLORAL_OP_TO_PICTURE
      || ((int) (pixel / op->dst->w) < op->u.to_picture.height
      && (int) (pixel % op->dst->w) < op->u.to_picture.width);
}

/* Largest error as a share of the reference's value and root mean square
 * together. NaN where a value is not a number. */
static double
float_error (const DloralOp * op, const double *got, const double *want)
{
  gsize n = (gsize) op->dst->h * op->dst->w * op->dst->c;
  double square = 0, worst = 0, scale;

  for (gsize i = 0; i < n; i++)
    square += want[i] * want[i];
  scale = MAX (sqrt (square / n), 0.1);
  for (gsize i = 0; i < n && !isnan (worst); i++) {
    double error = fabs (got[i] - want[i]) / (fabs (want[i]) + scale);

    if (!(error <= worst))
      worst = error;
  }
  return worst;
}

/* Share of the samples that are one level off; infinite where one is further
 * off. One sample of any number may be. */
static double
byte_error (const DloralOp * op, const double *got, const double *want)
{
  gsize n = (gsize) op->dst->h * op->dst->w * op->dst->c, off = 0;

  for (gsize i = 0; i < n; i++) {
    if (got[i] == want[i] || !is_visible (op, i))
      continue;
    if (fabs (got[i] - want[i]) > 1)
      return INFINITY;
    off++;
  }
  return off > 1 ? (double) off / n : 0;
}

/* The error as a share of what is allowed; over 1 the test has failed. */
static double
check_result (const Test * test, const DloralHarness * h, const double *want,
    guint32 seed)
{
  const DloralOp *op = h->c->op;
  double *got = dloral_harness_read (h, op->dst);
  double error = op->dst->dtype == DLORAL_U8 ? byte_error (op, got, want)
      : float_error (op, got, want);
  double bound = get_bound (test, h->c);

  if (!(error <= bound)) {
    char *text = dloral_case_describe (h->c);

    g_test_message ("case %u: %s: error %g, at most %g allowed", seed, text,
        error, bound);
    g_free (text);
    g_test_fail ();
  }
  g_free (got);
  return error > 0 ? error / bound : 0;
}

/* --- tests ---------------------------------------------------------------- */

static double *
compute_reference (const DloralHarness * h)
{
  const DloralOp *op = h->c->op;
  double *src[DLORAL_MAX_SRC], *want;

  for (int i = 0; i < op->n_src; i++)
    src[i] = dloral_harness_read (h, op->src[i]);
  want = dloral_reference_run (op, (const double *const *) src);
  for (int i = 0; i < op->n_src; i++)
    g_free (src[i]);
  return want;
}

/* The largest share of the allowed error in any run. */
static double
try_case (const Test * test, DloralDevice * device, guint32 seed)
{
  static const guint8 poisons[RUNS] = { 0xff, 0x00, 0xff };
  DloralDtype act_dtype = dloral_cpu_backend.get_act_dtype (device);
  DloralCase c;
  DloralHarness h;
  double *want, worst = 0;

  dloral_case_init (&c, test->kind, act_dtype, seed);
  dloral_harness_init (&h, &dloral_cpu_backend, device, &c, seed);
  want = compute_reference (&h);
  for (int run = 0; run < RUNS; run++) {
    dloral_harness_run (&h, poisons[run]);
    worst = MAX (worst, check_result (test, &h, want, seed));
  }
  g_free (want);
  dloral_harness_clear (&h);
  dloral_case_clear (&c);
  return worst;
}

static DloralDevice *
open_device (DloralPrecision precision, int threads)
{
  GError *error = NULL;
  DloralDevice *device = dloral_cpu_backend.open (precision, threads, &error);

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
      worst = MAX (worst, try_case (test, device,
              1000 * test->kind->kind + i));
    dloral_cpu_backend.close (device);
  }
  g_test_message ("largest error: %.0f %% of the allowed", 100 * worst);
}

/* Pictures and what Pillow makes of them, four times as large: after the sizes
 * (two bytes) the one and then the other, until the file ends. */
static void
test_pillow (gconstpointer data)
{
  GError *error = NULL;
  char *contents;
  gsize size, at = 0;
  DloralDevice *device = open_device (DLORAL_PRECISION_F32, 2);

  g_assert_true (dloral_kernels_select (((const Test *) data)->level));
  g_file_get_contents (TEST_DATA "/pillow-x4.bin", &contents, &size, &error);
  g_assert_no_error (error);
  while (at < size) {
    int w = (guint8) contents[at], h = (guint8) contents[at + 1];
    DloralCase c = {.graph = dloral_graph_new ("pillow", DLORAL_F32) };
    DloralOp op = {.kind = DLORAL_OP_UPSAMPLE,.n_src = 1 };
    DloralHarness harness;

    op.src[0] = dloral_graph_bind (c.graph, h, w, 3, DLORAL_U8);
    op.dst = dloral_graph_bind (c.graph, 4 * h, 4 * w, 3, DLORAL_U8);
    op.u.upsample.scale = 4;
    dloral_graph_append (c.graph, &op);
    dloral_graph_plan (c.graph);
    c.op = c.graph->ops->pdata[0];
    dloral_harness_init (&harness, &dloral_cpu_backend, device, &c, 1);
    memcpy (harness.bindings[0], contents + at + 2, w * h * 3);
    dloral_harness_run (&harness, 0xff);
    g_assert_cmpmem (harness.bindings[1], w * h * 48,
        contents + at + 2 + w * h * 3, w * h * 48);
    dloral_harness_clear (&harness);
    dloral_case_clear (&c);
    at += 2 + w * h * 51;
  }
  g_free (contents);
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
  for (DloralLevel level = 0; level <= best; level++)
    add_test (NULL, FALSE, level, "pillow", test_pillow);
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

    h->backend->run (h->plan, h->arena, h->bindings, &error);
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
