/* A linear layer on cuBLASLt when something of that goes wrong: before it is first
 * run, cuDNN takes its place; afterwards the run fails, and the next does not.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "clock.h"
#include "cuda/device.h"
#include "cuda/plan.h"
#include "stand_ins.h"
#include "tests/folder.h"
#include "tests/operators/compare.h"

#include <unistd.h>

static const DloralCaseKind *const linear = &dloral_case_kinds[DLORAL_OP_LINEAR];

static DloralDevice *
open_device (void)
{
  const DloralDeviceParams params = { .precision = DLORAL_PRECISION_BF16,
    .ordinal = -1, .tune = TRUE };
  GError *error = NULL;
  DloralDevice *device = dloral_cuda_backend.open (&params, &error);

  g_assert_no_error (error);
  return device;
}

/* A case that has all that cuBLASLt does: bias and residual. */
static int
find_case (void)
{
  for (int i = 0;; i++) {
    gboolean found;
    DloralCase c;

    dloral_case_init (&c, linear, DLORAL_BF16, 1000 * DLORAL_OP_LINEAR + i);
    found = c.op->u.linear.act == DLORAL_ACT_NONE && !c.op->u.linear.geglu
        && c.op->n_src == 2 && c.op->bias
        && c.op->src[0]->dtype == DLORAL_BF16
        && c.op->src[1]->dtype == c.op->dst->dtype;
    dloral_case_clear (&c);
    if (found)
      return i;
  }
}

static void
init (DloralHarness *h, DloralCase *c, DloralDevice *device)
{
  guint32 seed = 1000 * DLORAL_OP_LINEAR + find_case ();

  dloral_case_init (c, linear, DLORAL_BF16, seed);
  dloral_harness_init (h, &dloral_cuda_backend, device, c, seed);
}

/* How the operator of a device just opened is computed. Calls of cuBLASLt's that
 * it took: to open and to make, and in all. */
static char *
make_one (long *made, long *all)
{
  long begin = stand_ins_get ()->cublaslt_get_calls ();
  DloralDevice *device = open_device ();
  DloralHarness h;
  DloralCase c;
  char *how;

  init (&h, &c, device);
  *made = stand_ins_get ()->cublaslt_get_calls () - begin;
  how = g_strdup (dloral_cuda_plan_describe (h.plan, 0));
  dloral_harness_clear (&h);
  dloral_case_clear (&c);
  dloral_cuda_backend.close (device);
  *all = stand_ins_get ()->cublaslt_get_calls () - begin;
  stand_ins_assert_clean ();
  return how;
}

static gboolean
is_cublaslt (const char *how)
{
  return g_str_has_prefix (how, "cuBLASLt, ");
}

/* --- Before --------------------------------------------------------------------- */

/* Right by whichever library. */
static void
compare_one (void)
{
  DloralDevice *device = open_device ();

  dloral_compare_case (&dloral_cuda_backend, device, linear, find_case ());
  dloral_cuda_backend.close (device);
  stand_ins_assert_clean ();
}

static void
remove_plans (void)
{
  g_autofree char *folder = g_build_filename (g_getenv ("XDG_CACHE_HOME"),
      "gst-dloral", NULL);

  test_folder_remove (folder);
}

/* Every call fails once; the choice is made anew, or was kept. */
static void
test_making (gconstpointer kept)
{
  const StandIns *s = stand_ins_get ();
  long made, all;

  if (!stand_ins_enter_process (NULL))
    return;
  clock_favour (TRUE);
  for (int again = 0; again <= (kept != NULL); again++) {
    g_autofree char *how = make_one (&made, &all);

    g_assert_true (is_cublaslt (how));
  }
  for (long call = 1; call <= made; call++) {
    if (!kept)
      remove_plans ();
    s->cublaslt_fail_at (call, call % 2 ? CUBLAS_STATUS_INTERNAL_ERROR :
        CUBLAS_STATUS_ALLOC_FAILED);
    compare_one ();
    s->cublaslt_fail_at (0, 0);
  }
}

/* A destruction that fails changes nothing. */
static void
test_freeing (void)
{
  const StandIns *s = stand_ins_get ();
  long made, all, again, end;

  if (!stand_ins_enter_process (NULL))
    return;
  clock_favour (TRUE);
  g_free (make_one (&made, &all));
  g_free (make_one (&made, &all));
  for (long call = made + 1; call <= all; call++) {
    s->cublaslt_fail_at (call, CUBLAS_STATUS_INTERNAL_ERROR);
    g_free (make_one (&again, &end));
    g_assert_cmpint (end, ==, all);
  }
}

/* A library that makes no handle, or knows no algorithm, or not the one kept, is
 * found out by what it answers. */
static void
test_refused (gconstpointer what)
{
  g_autofree char *first = NULL, *how = NULL;
  long made, all;

  if (!stand_ins_enter_process (NULL))
    return;
  clock_favour (TRUE);
  if (g_str_equal (what, "check"))
    first = make_one (&made, &all);
  g_setenv ("CUBLASLT_ON_CPU_REFUSE", what, TRUE);
  how = make_one (&made, &all);
  g_assert_true (is_cublaslt (how) == g_str_equal (what, "check"));
  compare_one ();
}

/* --- Afterwards ----------------------------------------------------------------- */

static void
run_and_fail (DloralHarness *h)
{
  g_autoptr (GError) error = NULL;

  stand_ins_get ()->cublaslt_fail_at (1, CUBLAS_STATUS_EXECUTION_FAILED);
  g_assert_false (h->backend->run (h->plan, h->queue, h->arena.device,
          h->bindings, &error));
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE);
  g_assert_cmpstr (error->message, ==, "cuda: cuBLASLt's cublasLtMatmul failed "
      "with CUBLAS_STATUS_EXECUTION_FAILED");
}

/* The first run, and the one that is recorded. */
static void
test_running (void)
{
  DloralDevice *device;
  DloralHarness h;
  DloralCase c;

  if (!stand_ins_enter_process (NULL))
    return;
  clock_favour (TRUE);
  device = open_device ();
  init (&h, &c, device);
  for (int run = 0; run < 2; run++) {
    run_and_fail (&h);
    dloral_harness_run (&h, 0xff);
  }
  dloral_harness_run (&h, 0);
  dloral_harness_clear (&h);
  dloral_case_clear (&c);
  dloral_cuda_backend.close (device);
  stand_ins_assert_clean ();
}

/* --- No such library ------------------------------------------------------------ */

/* What the device has to say of it. */
static void
check_missing (const char *message)
{
  const DloralDriver *driver = dloral_driver_get (NULL);
  g_autoptr (GError) error = NULL;
  DloralDevice *device = open_device ();

  g_assert_null (device->cublaslt);
  dloral_compare_case (&dloral_cuda_backend, device, linear, find_case ());
  dloral_cuda_backend.close (device);
  g_assert_null (dloral_cublaslt_get_api (driver, &error));
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE);
  g_debug ("%s", error->message);
  g_assert_true (g_pattern_match_simple (message, error->message));
}

static void
test_old (void)
{
  static const char *const old[] = { "CUBLASLT_ON_CPU_VERSION", "120300", NULL };

  if (stand_ins_enter_process (old))
    check_missing ("cuda: libcublasLt.so.13 is version 12.3, expected 13.0 or "
        "later");
}

/* A folder with the other libraries in it, and cuBLASLt's that are none. */
static void
test_missing (void)
{
  static const char *const others[] = { "libcuda.so.1", "libcudnn.so.9" };
  static const char *const missing[] = { "libcublasLt.so.13",
    "libcublasLt.so.12" };
  g_autofree char *folder = test_folder_new ();
  const char *environment[] = { "LD_LIBRARY_PATH", folder, NULL };
  char *paths[4];

  for (int i = 0; i < 2; i++) {
    g_auto (GStrv) folders = g_strsplit (g_getenv ("LD_LIBRARY_PATH"), ":", 0);
    g_autofree char *target = g_build_filename (folders[0], others[i], NULL);

    paths[i] = g_build_filename (folder, others[i], NULL);
    paths[2 + i] = g_build_filename (folder, missing[i], NULL);
    if (g_test_subprocess ())
      continue;
    g_assert_cmpint (symlink (target, paths[i]), ==, 0);
    g_assert_true (g_file_set_contents (paths[2 + i], "", 0, NULL));
  }
  if (stand_ins_enter_process (environment))
    check_missing ("cuda: cuBLASLt cannot be loaded (*libcublasLt.so.13: *)");
  for (int i = 0; i < 4; i++) {
    g_unlink (paths[i]);
    g_free (paths[i]);
  }
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/making/timed", NULL, test_making);
  g_test_add_data_func ("/making/kept", GINT_TO_POINTER (TRUE), test_making);
  g_test_add_func ("/freeing", test_freeing);
  g_test_add_data_func ("/refused/create", "create", test_refused);
  g_test_add_data_func ("/refused/heuristic", "heuristic", test_refused);
  g_test_add_data_func ("/refused/check", "check", test_refused);
  g_test_add_func ("/running", test_running);
  g_test_add_func ("/old", test_old);
  g_test_add_func ("/missing", test_missing);
  return g_test_run ();
}
