/* Every operator of the CUDA backend against its float64 reference, on a GPU or,
 * with the libraries of on_cpu/ in the place of CUDA's, without one.
 *
 *   parity [-p /conv …]
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tests/operators/compare.h"
#include "tests/operators/conversions.h"

/* What one test tries. */
typedef struct
{
  const DloralCaseKind *kind;   /* NULL: pictures that Pillow enlarged */
  DloralPrecision precision;
} Test;

static const struct
{
  const char *name;
  DloralPrecision precision;
} precisions[] = {
  { "f32", DLORAL_PRECISION_F32 },
  { "bf16", DLORAL_PRECISION_BF16 },
  { "f16", DLORAL_PRECISION_F16 },
};

static DloralDevice *
open_device (DloralPrecision precision)
{
  const DloralDeviceParams params = { .precision = precision, .ordinal = -1 };
  GError *error = NULL;
  DloralDevice *device = dloral_cuda_backend.open (&params, &error);

  g_assert_no_error (error);
  return device;
}

static void
test_kind (gconstpointer data)
{
  const Test *test = data;
  DloralDevice *device = open_device (test->precision);
  double worst = 0;

  if (test->precision == DLORAL_PRECISION_FP8
      && !dloral_cuda_backend.has_fp8 (device)) {
    dloral_cuda_backend.close (device);
    g_test_skip ("this GPU has no fp8");
    return;
  }
  for (int i = 0; i < test->kind->count; i++)
    worst = MAX (worst, dloral_compare_case (&dloral_cuda_backend, device,
            test->kind, i));
  dloral_cuda_backend.close (device);
  g_test_message ("largest error: %.0f %% of the allowed", 100 * worst);
}

static void
test_pillow (void)
{
  DloralDevice *device = open_device (DLORAL_PRECISION_F32);

  dloral_compare_pillow (&dloral_cuda_backend, device);
  dloral_cuda_backend.close (device);
}

static void
test_shared_kernel (void)
{
  for (guint p = 0; p < G_N_ELEMENTS (precisions); p++) {
    DloralDevice *device = open_device (precisions[p].precision);

    dloral_compare_shared_kernel (&dloral_cuda_backend, device);
    dloral_cuda_backend.close (device);
  }
}

static void
test_not_finite (void)
{
  DloralDevice *device = open_device (DLORAL_PRECISION_F32);

  dloral_compare_not_finite (&dloral_cuda_backend, device);
  dloral_cuda_backend.close (device);
}

static void
test_fp8_values (void)
{
  DloralDevice *device = open_device (DLORAL_PRECISION_FP8);

  if (dloral_cuda_backend.has_fp8 (device))
    dloral_compare_conversions (&dloral_cuda_backend, device);
  else
    g_test_skip ("this GPU has no fp8");
  dloral_cuda_backend.close (device);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (int k = 0; k < DLORAL_N_OPS; k++)
    for (guint p = 0; p < G_N_ELEMENTS (precisions); p++) {
      const DloralCaseKind *kind = &dloral_case_kinds[k];
      Test *test = g_new (Test, 1);
      g_autofree char *path = g_strdup_printf ("/%s/%s",
          dloral_op_kind_get_name (kind->kind), precisions[p].name);

      test->kind = kind;
      test->precision = precisions[p].precision;
      g_test_add_data_func_full (path, test, test_kind, g_free);
    }
  for (int k = 0; k < DLORAL_N_FP8_CASE_KINDS; k++) {
    const DloralCaseKind *kind = &dloral_fp8_case_kinds[k];
    Test *test = g_new (Test, 1);
    g_autofree char *path = g_strdup_printf ("/%s/fp8",
        dloral_op_kind_get_name (kind->kind));

    test->kind = kind;
    test->precision = DLORAL_PRECISION_FP8;
    g_test_add_data_func_full (path, test, test_kind, g_free);
  }
  g_test_add_func ("/pillow", test_pillow);
  g_test_add_func ("/shared-kernel", test_shared_kernel);
  g_test_add_func ("/not-finite", test_not_finite);
  g_test_add_func ("/fp8-values", test_fp8_values);
  return g_test_run ();
}
