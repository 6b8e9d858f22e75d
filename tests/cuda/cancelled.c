/* Plans of cuDNN's that are given up while they are looked for: no more are begun, and
 * none is kept.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/device.h"
#include "stand_ins.h"

static DloralCudnnApi cudnn;    /* before it is watched */
static gint flag;
static int plans_begun, set_at; /* the plan during which the flag is set */

static cudnnStatus_t
watch_create (cudnnBackendDescriptorType_t type,
    cudnnBackendDescriptor_t *descriptor)
{
  if (type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR
      && plans_begun++ == set_at)
    g_atomic_int_set (&flag, TRUE);
  return cudnn.cudnnBackendCreateDescriptor (type, descriptor);
}

static void
watch (void)
{
  GError *error = NULL;
  DloralCudnnApi *api = (DloralCudnnApi *) dloral_cudnn_get_api (&error);

  g_assert_no_error (error);
  cudnn = *api;
  api->cudnnBackendCreateDescriptor = watch_create;
}

static gboolean
is_anything_kept (void)
{
  g_autofree char *folder = g_build_filename (g_getenv ("XDG_CACHE_HOME"),
      "gst-dloral", NULL);
  GDir *dir = g_dir_open (folder, 0, NULL);
  gboolean kept = dir && g_dir_read_name (dir);

  g_clear_pointer (&dir, g_dir_close);
  return kept;
}

static DloralCudnnPlan *
make_plan (DloralDevice *device, GError **error)
{
  const gint64 x[] = { 1, 4, 16 }, x_strides[] = { 64, 16, 1 };
  const gint64 w[] = { 1, 16, 8 }, w_strides[] = { 128, 1, 16 };
  const gint64 y[] = { 1, 4, 8 }, y_strides[] = { 32, 8, 1 };
  DloralCudnnGraph *g = dloral_cudnn_graph_new (device->cudnn, FALSE, &flag);

  dloral_cudnn_matmul (g, dloral_cudnn_tensor (g, 3, x, x_strides, DLORAL_BF16,
          DLORAL_CUDNN_MEMORY), dloral_cudnn_tensor (g, 3, w, w_strides,
          DLORAL_BF16, DLORAL_CUDNN_MEMORY), dloral_cudnn_tensor (g, 3, y,
          y_strides, DLORAL_F32, DLORAL_CUDNN_MEMORY));
  plans_begun = 0;
  g_atomic_int_set (&flag, FALSE);
  return dloral_cudnn_graph_finish (g, error);
}

static void
test_plans (gconstpointer tune)
{
  const DloralDeviceParams params = { .ordinal = -1, .tune = tune != NULL };
  DloralDevice *device;
  DloralCudnnPlan *plan;
  GError *error = NULL;

  if (!stand_ins_enter_process (NULL))
    return;
  watch ();
  device = dloral_device_open (&params, &error);
  g_assert_no_error (error);
  g_assert_true (dloral_device_enter (device, NULL));
  for (set_at = 0; set_at < (tune ? 2 : 1); set_at++) {
    g_assert_null (make_plan (device, &error));
    g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED);
    g_clear_error (&error);
    g_assert_cmpint (plans_begun, ==, set_at + 1);
    g_assert_false (is_anything_kept ());
  }
  set_at = -1;
  plan = make_plan (device, &error);
  g_assert_no_error (error);
  g_assert_cmpint (plans_begun, >=, tune ? 2 : 1);
  g_assert_true (is_anything_kept ());
  dloral_cudnn_plan_free (plan);
  dloral_device_leave (device, TRUE, NULL);
  dloral_device_close (device);
  stand_ins_assert_clean ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/cancelled/plans", NULL, test_plans);
  g_test_add_data_func ("/cancelled/tuned", GINT_TO_POINTER (TRUE),
      test_plans);
  return g_test_run ();
}
