/* Linear layers where cuBLASLt and cuDNN compete: those that cuBLASLt can do, each
 * against its float64 reference; who wins, and that it is kept. On a GPU or, with
 * the libraries of on_cpu/ in the place of CUDA's, without one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "clock.h"
#include "cuda/plan.h"
#include "tests/folder.h"
#include "tests/operators/compare.h"

/* Tried of each precision: cases that cuBLASLt can do, and others. */
#define N_SUITED 20
#define N_OTHERS 5

static const DloralCaseKind *const linear = &dloral_case_kinds[DLORAL_OP_LINEAR];

static DloralDevice *
open_device (DloralPrecision precision, gboolean tune)
{
  const DloralDeviceParams params = { .precision = precision, .ordinal = -1,
    .tune = tune };
  GError *error = NULL;
  DloralDevice *device = dloral_cuda_backend.open (&params, &error);

  g_assert_no_error (error);
  return device;
}

static gboolean
find_cublaslt (void)
{
  GError *error = NULL;
  const DloralDriver *driver = dloral_driver_get (&error);

  g_assert_no_error (error);
  if (dloral_cublaslt_get_api (driver, &error))
    return TRUE;
  g_test_skip (error->message);
  g_clear_error (&error);
  return FALSE;
}

/* What cuBLASLt does: no activation, no gate, types that fit together. */
static gboolean
suits (const DloralOp *op, DloralDtype type)
{
  return op->u.linear.act == DLORAL_ACT_NONE && !op->u.linear.geglu
      && op->src[0]->dtype == type && type != DLORAL_F32
      && (op->n_src == 1 || op->src[1]->dtype == op->dst->dtype);
}

/* Whether the i-th random case does. */
static gboolean
case_suits (int i, DloralDtype type)
{
  DloralCase c;
  gboolean yes;

  dloral_case_init (&c, linear, type, 1000 * DLORAL_OP_LINEAR + i);
  yes = suits (c.op, type);
  dloral_case_clear (&c);
  return yes;
}

/* --- Right ---------------------------------------------------------------------- */

static void
check_case (DloralDevice *device, int i, gboolean suited)
{
  int readings, products;

  clock_count (&readings, &products);
  dloral_compare_case (&dloral_cuda_backend, device, linear, i);
  clock_count (&readings, &products);
  g_assert_true ((products > 0) == suited);
}

static void
check_parity (DloralPrecision precision)
{
  DloralDevice *device;
  int n_suited, n_others = 0;
  DloralDtype type;

  clock_favour (TRUE);
  device = open_device (precision, TRUE);
  type = dloral_cuda_backend.get_act_dtype (device);
  n_suited = type == DLORAL_F32 ? N_SUITED : 0; /* there will be none */
  for (int i = 0; n_suited < N_SUITED || n_others < N_OTHERS; i++) {
    gboolean suited = case_suits (i, type);
    int *n = suited ? &n_suited : &n_others;

    if ((*n)++ < (suited ? N_SUITED : N_OTHERS))
      check_case (device, i, suited);
  }
  dloral_cuda_backend.close (device);
}

/* --- Chosen --------------------------------------------------------------------- */

/* How the first case that suits is computed by a device just opened; whether it
 * was timed. */
static char *
describe (gboolean tune, gboolean *timed)
{
  DloralDevice *device = open_device (DLORAL_PRECISION_BF16, tune);
  int i = 0, readings, products;
  GError *error = NULL;
  DloralPlan *plan;
  DloralCase c;
  char *text;

  while (!case_suits (i, DLORAL_BF16))
    i++;
  dloral_case_init (&c, linear, DLORAL_BF16, 1000 * DLORAL_OP_LINEAR + i);
  clock_count (&readings, &products);
  plan = dloral_cuda_backend.compile (device, c.graph, &error);
  g_assert_no_error (error);
  clock_count (&readings, &products);
  text = g_strdup (dloral_cuda_plan_describe (plan, 0));
  dloral_cuda_backend.plan_free (plan);
  dloral_case_clear (&c);
  dloral_cuda_backend.close (device);
  *timed = products > 0;
  return text;
}

static void
check_winner (gboolean cublaslt)
{
  g_autofree char *first = NULL, *second = NULL, *untuned = NULL;
  gboolean timed;

  clock_favour (cublaslt);
  first = describe (TRUE, &timed);
  g_assert_true (timed);
  g_assert_true (g_str_has_prefix (first, "cuBLASLt, ") == cublaslt);
  g_test_message ("%s", first);
  clock_favour (!cublaslt);
  second = describe (TRUE, &timed);
  g_assert_false (timed);
  g_assert_cmpstr (second, ==, first);
  untuned = describe (FALSE, &timed);
  g_assert_false (timed);
  g_assert_false (g_str_has_prefix (untuned, "cuBLASLt"));
}

/* --- Tests ---------------------------------------------------------------------- */

/* A process of its own, where nothing was kept by others. */
static gboolean
enter_process (void)
{
  g_autofree char *folder = NULL;

  if (g_test_subprocess ())
    return TRUE;
  if (!find_cublaslt ())
    return FALSE;
  folder = test_folder_new ();
  g_assert_nonnull (folder);
  g_setenv ("XDG_CACHE_HOME", folder, TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  test_folder_remove (folder);
  g_test_trap_assert_passed ();
  return FALSE;
}

static void
test_parity (gconstpointer precision)
{
  if (enter_process ())
    check_parity (GPOINTER_TO_INT (precision));
}

static void
test_winner (gconstpointer cublaslt)
{
  if (enter_process ())
    check_winner (cublaslt != NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/gemm/bf16",
      GINT_TO_POINTER (DLORAL_PRECISION_BF16), test_parity);
  g_test_add_data_func ("/gemm/f16", GINT_TO_POINTER (DLORAL_PRECISION_F16),
      test_parity);
  g_test_add_data_func ("/gemm/f32", GINT_TO_POINTER (DLORAL_PRECISION_F32),
      test_parity);
  g_test_add_data_func ("/gemm/cublaslt", GINT_TO_POINTER (TRUE), test_winner);
  g_test_add_data_func ("/gemm/cudnn", NULL, test_winner);
  return g_test_run ();
}
