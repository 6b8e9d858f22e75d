/* A device that is not there, for programs that only make plans.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "no_device.h"

/* --- A driver that does nothing, in the place of the driver's ------------------- */

static CUresult
do_nothing (void)
{
  return CUDA_SUCCESS;
}

static DloralDriver *
make_driver (void)
{
  DloralDriver *driver = g_new0 (DloralDriver, 1);

#define SET(name) \
  driver->name = (__typeof__ (driver->name)) (void (*) (void)) do_nothing;
  DLORAL_DRIVER_FUNCTIONS (SET)
#undef SET
  return driver;
}

/* Instead of the backend's: an address that nobody reads. */
DloralCudaWeights *
dloral_cuda_weights_new (const DloralDriver *driver)
{
  return NULL;
}

void
dloral_cuda_weights_free (DloralCudaWeights *weights)
{
}

CUdeviceptr
dloral_cuda_weights_get (DloralCudaWeights *weights,
    const DloralWeight *weight, DloralDtype dtype, DloralLayout layout,
    GError **error)
{
  return 256;
}

float
dloral_cuda_weights_get_scale (DloralCudaWeights *weights, CUdeviceptr packed)
{
  return 1;
}

void
dloral_cuda_weights_release (DloralCudaWeights *weights, CUdeviceptr packed)
{
}

DloralDevice *
no_device_new (const char *json_path, const char *cache)
{
  DloralDevice *device = g_new0 (DloralDevice, 1);
  g_autofree char *json = NULL;
  GError *error = NULL;

  g_file_get_contents (json_path, &json, NULL, &error);
  g_assert_no_error (error);
  device->driver = make_driver ();
  device->n_multiprocessors = 132;
  device->max_shared = 99 * 1024;
  device->act_dtype = DLORAL_BF16;
  device->modules = g_ptr_array_new ();
  device->shared_allowed = g_hash_table_new (NULL, NULL);
  g_mutex_init (&device->lock);
  g_ptr_array_add (device->modules, NULL);
  device->cudnn = dloral_cudnn_new (NULL, json, cache, FALSE, &error);
  g_assert_no_error (error);
  return device;
}
