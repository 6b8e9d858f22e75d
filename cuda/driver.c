/* Loading the CUDA driver, and its failures as errors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

#include <dlfcn.h>

#define LIBRARY "libcuda.so.1"

#define NAME_(name) #name
#define NAME(name) NAME_ (name) /* cuda.h's macros applied */

/* What kernels compiled by this toolkit need: 12040 is CUDA 12.4. Newer drivers
 * run what older toolkits made, not the other way round across major versions. */
#define NEEDED_VERSION (CUDA_VERSION / 1000 * 1000)

/* --- Failures --------------------------------------------------------------- */

/* After these every further call in the context fails likewise. */
static gboolean
is_fatal (CUresult result)
{
  switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
      return TRUE;
    default:
      return FALSE;
  }
}

gboolean
dloral_driver_check (const DloralDriver *driver, CUresult result,
    const char *call, GError **error)
{
  const char *name = NULL, *text = NULL;
  DloralError code = result == CUDA_ERROR_OUT_OF_MEMORY ? DLORAL_ERROR_MEMORY :
      is_fatal (result) ? DLORAL_ERROR_DEVICE_LOST : DLORAL_ERROR_DEVICE;

  if (result == CUDA_SUCCESS)
    return TRUE;
  if (driver->cuGetErrorName (result, &name) != CUDA_SUCCESS ||
      driver->cuGetErrorString (result, &text) != CUDA_SUCCESS)
    name = text = NULL;
  g_set_error (error, DLORAL_ERROR, code, "cuda: %s failed with error %d, %s: "
      "%s%s", call, result, name ? name : "of no known name",
      text ? text : "see the driver's documentation",
      code == DLORAL_ERROR_DEVICE_LOST ?
      "; this process cannot use the GPU any more" : "");
  return FALSE;
}

gboolean
dloral_driver_alloc (const DloralDriver *driver, CUdeviceptr *memory,
    gsize size, GError **error)
{
  CUresult result = driver->cuMemAlloc (memory, MAX (size, 1));
  gsize available = 0, total;

  if (result != CUDA_ERROR_OUT_OF_MEMORY)
    return dloral_driver_check (driver, result, "cuMemAlloc", error);
  if (!DLORAL_DRIVER_CALL (driver, error, cuMemGetInfo, &available, &total))
    return FALSE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY,
      "cuda: not enough memory on the GPU: %" G_GSIZE_FORMAT " bytes are "
      "needed and %" G_GSIZE_FORMAT " are available; smaller frames need less",
      size, available);
  return FALSE;
}

/* --- Loading ---------------------------------------------------------------- */

static gboolean
find_functions (DloralDriver *driver, void *library, GError **error)
{
#define FIND(name) \
  driver->name = (__typeof__ (driver->name)) dlsym (library, NAME (name)); \
  if (driver->name == NULL) { \
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE, "cuda: the " \
        "driver, " LIBRARY ", has no function '%s'; install a newer one", \
        NAME (name)); \
    return FALSE; \
  }
  DLORAL_DRIVER_FUNCTIONS (FIND)
#undef FIND
  return TRUE;
}

static gboolean
check_version (const DloralDriver *driver, GError **error)
{
  int version = 0;

  if (!DLORAL_DRIVER_CALL (driver, error, cuDriverGetVersion, &version))
    return FALSE;
  if (version >= NEEDED_VERSION)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE, "cuda: the driver "
      "is for CUDA %d.%d, expected %d.%d or later; install a newer one",
      version / 1000, version % 1000 / 10, NEEDED_VERSION / 1000,
      NEEDED_VERSION % 1000 / 10);
  return FALSE;
}

/* Where there is no GPU, or it is hidden, initialising says so. */
static gboolean
initialise (const DloralDriver *driver, GError **error)
{
  CUresult result = driver->cuInit (0);
  int n = 0;

  if (result != CUDA_ERROR_NO_DEVICE
      && (!dloral_driver_check (driver, result, "cuInit", error)
          || !check_version (driver, error)
          || !DLORAL_DRIVER_CALL (driver, error, cuDeviceGetCount, &n)))
    return FALSE;
  if (n > 0)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
      "cuda: the driver sees no GPU; see whether CUDA_VISIBLE_DEVICES hides it, "
      "or choose another device");
  return FALSE;
}

static gboolean
load (DloralDriver *driver, GError **error)
{
  void *library = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL);

  if (library == NULL) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "cuda: there is no NVIDIA driver (%s); install it or choose another "
        "device", dlerror ());
    return FALSE;
  }
  return find_functions (driver, library, error) && initialise (driver, error);
}

const DloralDriver *
dloral_driver_get (GError **error)
{
  static GMutex lock;
  static DloralDriver driver;
  static gboolean loaded;

  g_mutex_lock (&lock);
  if (!loaded)
    loaded = load (&driver, error);
  g_mutex_unlock (&lock);
  return loaded ? &driver : NULL;
}
