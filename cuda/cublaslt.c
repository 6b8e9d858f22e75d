/* Finding the cuBLASLt library, and its handle.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cublaslt.h"

#include <dlfcn.h>

/* As much as NVIDIA recommends; kernels of 9.0 and later do more with more. */
#define MAX_WORKSPACE ((gsize) 4 << 20)
#define MAX_WORKSPACE_90 ((gsize) 32 << 20)

/* Newest first. */
static const struct
{
  const char *name;
  gsize major, needed;          /* versions: 12.4 is 120400 */
} libraries[] = {
  { "libcublasLt.so.13", 13, 130000 },
  { "libcublasLt.so.12", 12, 120400 },
};

/* --- The library -------------------------------------------------------------- */

static gboolean
find_functions (DloralCublasltApi *api, const char *name, GError **error)
{
  void *library = dlopen (name, RTLD_NOW | RTLD_LOCAL);

  if (library == NULL) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "cuda: cuBLASLt cannot be loaded (%s)", dlerror ());
    return FALSE;
  }
#define FIND(function) \
  api->function = (__typeof__ (api->function)) dlsym (library, #function); \
  if (api->function == NULL) { \
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE, \
        "cuda: %s has no function '%s'", name, #function); \
    dlclose (library); \
    return FALSE; \
  }
  DLORAL_CUBLASLT_FUNCTIONS (FIND)
#undef FIND
  return TRUE;
}

static gboolean
load (DloralCublasltApi *api, guint i, GError **error)
{
  gsize version;

  if (!find_functions (api, libraries[i].name, error))
    return FALSE;
  version = api->cublasLtGetVersion ();
  if (version >= libraries[i].needed && version / 10000 == libraries[i].major)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE, "cuda: %s is version %"
      G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT ", expected %" G_GSIZE_FORMAT ".%"
      G_GSIZE_FORMAT " or later", libraries[i].name, version / 10000,
      version / 100 % 100, libraries[i].needed / 10000,
      libraries[i].needed / 100 % 100);
  return FALSE;
}

/* Of several failures the first is told, that of the newest. */
static gboolean
load_any (DloralCublasltApi *api, const DloralDriver *driver, GError **error)
{
  int version = 0;

  if (!DLORAL_DRIVER_CALL (driver, error, cuDriverGetVersion, &version))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (libraries); i++) {
    if (libraries[i].major > (gsize) version / 1000)
      continue;
    if (load (api, i, error && *error ? NULL : error)) {
      g_clear_error (error);
      return TRUE;
    }
  }
  return FALSE;
}

const DloralCublasltApi *
dloral_cublaslt_get_api (const DloralDriver *driver, GError **error)
{
  static GMutex lock;
  static DloralCublasltApi api;
  static gboolean loaded;

  g_mutex_lock (&lock);
  if (!loaded)
    loaded = load_any (&api, driver, error);
  g_mutex_unlock (&lock);
  return loaded ? &api : NULL;
}

gboolean
dloral_cublaslt_check (const DloralCublasltApi *api, cublasStatus_t status,
    const char *call, GError **error)
{
  if (status == CUBLAS_STATUS_SUCCESS)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, status == CUBLAS_STATUS_ALLOC_FAILED ?
      DLORAL_ERROR_MEMORY : DLORAL_ERROR_DEVICE,
      "cuda: cuBLASLt's %s failed with %s", call,
      api->cublasLtGetStatusName (status));
  return FALSE;
}

/* --- The handle --------------------------------------------------------------- */

DloralCublaslt *
dloral_cublaslt_new (const DloralDriver *driver, int arch, GError **error)
{
  const DloralCublasltApi *api = dloral_cublaslt_get_api (driver, error);
  cublasLtHandle_t handle = NULL;
  DloralCublaslt *lt;

  if (api == NULL || !dloral_cublaslt_check (api,
          api->cublasLtCreate (&handle), "cublasLtCreate", error))
    return NULL;
  lt = g_new0 (DloralCublaslt, 1);
  lt->api = api;
  lt->handle = handle;
  lt->max_workspace = arch >= 90 ? MAX_WORKSPACE_90 : MAX_WORKSPACE;
  g_mutex_init (&lt->lock);
  return lt;
}

void
dloral_cublaslt_free (DloralCublaslt *lt)
{
  lt->api->cublasLtDestroy (lt->handle);
  g_mutex_clear (&lt->lock);
  g_free (lt);
}
