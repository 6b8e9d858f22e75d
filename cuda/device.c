/* Opening a GPU: its context, our kernels, cuDNN.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "device.h"

#include "fatbins.h"

/* --- The context --------------------------------------------------------------- */

gboolean
dloral_device_enter (DloralDevice *device, GError **error)
{
  if (g_atomic_int_get (&device->lost)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE_LOST,
        "cuda: %s failed before and cannot be used any more by this process; "
        "start it anew", device->name);
    return FALSE;
  }
  return DLORAL_DRIVER_CALL (device->driver, error, cuCtxPushCurrent,
      device->context);
}

/* A caller who does not want to know of an error finds the device lost at its
 * next call. */
gboolean
dloral_device_leave (DloralDevice *device, gboolean ok, GError **error)
{
  CUcontext context;

  if (!ok && error
      && g_error_matches (*error, DLORAL_ERROR, DLORAL_ERROR_DEVICE_LOST))
    g_atomic_int_set (&device->lost, TRUE);
  device->driver->cuCtxPopCurrent (&context);
  return ok;
}

/* --- Opening ------------------------------------------------------------------- */

static gboolean
get_attribute (const DloralDevice *device, int *value,
    CUdevice_attribute attribute, GError **error)
{
  return DLORAL_DRIVER_CALL (device->driver, error, cuDeviceGetAttribute,
      value, attribute, device->ordinal);
}

static gboolean
find_device (DloralDevice *device, const DloralDeviceParams *params,
    GError **error)
{
  const DloralDriver *driver = device->driver;
  int n = 0, major = 0, minor = 0, ordinal = params->ordinal;

  if (!DLORAL_DRIVER_CALL (driver, error, cuDeviceGetCount, &n))
    return FALSE;
  if (ordinal >= n) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
        "cuda: there is no GPU %d; choose one from 0 to %d", ordinal, n - 1);
    return FALSE;
  }
  if (!DLORAL_DRIVER_CALL (driver, error, cuDeviceGet, &device->ordinal,
          MAX (ordinal, 0)) || !DLORAL_DRIVER_CALL (driver, error,
          cuDeviceGetName, device->name, sizeof device->name, device->ordinal)
      || !get_attribute (device, &major,
          CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, error)
      || !get_attribute (device, &minor,
          CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, error)
      || !get_attribute (device, &device->n_multiprocessors,
          CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, error)
      || !get_attribute (device, &device->max_shared,
          CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, error))
    return FALSE;
  device->arch = 10 * major + minor;
  device->fp8 = params->precision == DLORAL_PRECISION_FP8 && device->arch >= 89;
  if (device->arch >= 80)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE, "cuda: %s has compute "
      "capability %d.%d, expected 8.0 or later; use another device",
      device->name, major, minor);
  return FALSE;
}

static gboolean
load_kernels (DloralDevice *device, GError **error)
{
  for (int i = 0; dloral_fatbins[i]; i++) {
    CUmodule module;

    if (!DLORAL_DRIVER_CALL (device->driver, error, cuModuleLoadData, &module,
            dloral_fatbins[i]))
      return FALSE;
    g_ptr_array_add (device->modules, module);
  }
  return TRUE;
}

/* A library more to choose from, which need not be there. */
static void
open_cublaslt (DloralDevice *device)
{
  g_autoptr (GError) error = NULL;

  device->cublaslt = dloral_cublaslt_new (device->driver, device->arch, &error);
  if (error)
    g_debug ("%s; linear layers are cuDNN's", error->message);
}

/* What needs the context. */
static gboolean
set_up (DloralDevice *device, const DloralDeviceParams *params,
    GError **error)
{
  g_autofree char *cache = g_build_filename (g_get_user_cache_dir (),
      "gst-dloral", NULL);

  device->cudnn = dloral_cudnn_new (device->driver, NULL, cache, params->tune,
      error);
  if (device->cudnn && params->tune)
    open_cublaslt (device);
  return device->cudnn && load_kernels (device, error);
}

DloralDevice *
dloral_device_open (const DloralDeviceParams *params, GError **error)
{
  const DloralDriver *driver = dloral_driver_get (error);
  DloralDevice *device;

  if (driver == NULL || dloral_cudnn_get_api (error) == NULL)
    return NULL;
  device = g_new0 (DloralDevice, 1);
  device->driver = driver;
  device->modules = g_ptr_array_new ();
  device->shared_allowed = g_hash_table_new (NULL, NULL);
  g_mutex_init (&device->lock);
  device->weights = dloral_cuda_weights_new (driver);
  device->act_dtype = params->precision == DLORAL_PRECISION_F32 ? DLORAL_F32 :
      params->precision == DLORAL_PRECISION_F16 ? DLORAL_F16 : DLORAL_BF16;
  if (find_device (device, params, error)
      && DLORAL_DRIVER_CALL (driver, error, cuDevicePrimaryCtxRetain,
          &device->context, device->ordinal)
      && dloral_device_enter (device, error)
      && dloral_device_leave (device, set_up (device, params, error), error))
    return device;
  dloral_device_close (device);
  return NULL;
}

/* Nothing can be given back to a device that is lost. */
void
dloral_device_close (DloralDevice *device)
{
  gboolean entered = device->context && dloral_device_enter (device, NULL);

  for (guint i = 0; entered && i < device->modules->len; i++)
    device->driver->cuModuleUnload (device->modules->pdata[i]);
  if (device->cublaslt)
    dloral_cublaslt_free (device->cublaslt);
  if (device->cudnn)
    dloral_cudnn_free (device->cudnn);
  if (entered)
    dloral_device_leave (device, TRUE, NULL);
  if (device->context && !g_atomic_int_get (&device->lost))
    device->driver->cuDevicePrimaryCtxRelease (device->ordinal);
  dloral_cuda_weights_free (device->weights);
  g_ptr_array_unref (device->modules);
  g_hash_table_unref (device->shared_allowed);
  g_mutex_clear (&device->lock);
  g_free (device);
}
