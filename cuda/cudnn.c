/* Finding the cuDNN library; devices and handles.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_private.h"

#include <dlfcn.h>
#include <string.h>

#define LIBRARY "libcudnn.so.9"

/* The first that makes plans from a description of the device. */
#define NEEDED_VERSION 90800

/* --- The library -------------------------------------------------------------- */

static gboolean
find_functions (DloralCudnnApi *api, void *library, GError **error)
{
#define FIND(name) \
  api->name = (__typeof__ (api->name)) dlsym (library, #name); \
  if (api->name == NULL) { \
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE, "cuda: " LIBRARY \
        " has no function '%s'; install cuDNN 9.8 or later", #name); \
    return FALSE; \
  }
  DLORAL_CUDNN_FUNCTIONS (FIND)
#undef FIND
  return TRUE;
}

static gboolean
load (DloralCudnnApi *api, GError **error)
{
  void *library = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL);
  gsize version;

  if (library == NULL) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "cuda: cuDNN 9 cannot be loaded (%s); install cuDNN 9.8 or later",
        dlerror ());
    return FALSE;
  }
  if (!find_functions (api, library, error))
    return FALSE;
  version = api->cudnnGetVersion ();
  if (version >= NEEDED_VERSION && version / 10000 == CUDNN_MAJOR)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE, "cuda: " LIBRARY
      " is version %" G_GSIZE_FORMAT ".%" G_GSIZE_FORMAT ", expected 9.8 or a "
      "later 9; install that", version / 10000, version / 100 % 100);
  return FALSE;
}

const DloralCudnnApi *
dloral_cudnn_get_api (GError **error)
{
  static GMutex lock;
  static DloralCudnnApi api;
  static gboolean loaded;

  g_mutex_lock (&lock);
  if (!loaded)
    loaded = load (&api, error);
  g_mutex_unlock (&lock);
  return loaded ? &api : NULL;
}

gboolean
dloral_cudnn_check (const DloralCudnnApi *api, cudnnStatus_t status,
    const char *call, GError **error)
{
  char text[1024] = "";

  if (status == CUDNN_STATUS_SUCCESS)
    return TRUE;
  api->cudnnGetLastErrorString (text, sizeof text);
  text[sizeof text - 1] = '\0';
  g_strdelimit (text, "\n", ' ');
  g_set_error (error, DLORAL_ERROR,
      status == CUDNN_STATUS_ALLOC_FAILED ||
      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ?
      DLORAL_ERROR_MEMORY : DLORAL_ERROR_DEVICE,
      "cuda: cuDNN's %s failed with %s%s%s", call,
      api->cudnnGetErrorString (status), text[0] ? ": " : "",
      g_strstrip (text));
  return FALSE;
}

/* --- A device ----------------------------------------------------------------- */

/* The device is the current one, or what the text says. */
static gboolean
set_device (DloralCudnn *c, const char *json, cudnnHandle_t handle,
    GError **error)
{
  const DloralCudnnApi *api = c->api;
  cudnnStatus_t status = api->cudnnBackendCreateDescriptor
      (CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &c->device);

  if (status == CUDNN_STATUS_SUCCESS)
    status = json ? api->cudnnBackendSetAttribute (c->device,
        CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
        strlen (json), json) : api->cudnnBackendSetAttribute (c->device,
        CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendFinalize (c->device);
  return dloral_cudnn_check (api, status, "device description", error);
}

/* What finished plans depend on, in one line. */
static gboolean
set_identity (DloralCudnn *c, GError **error)
{
  g_autofree char *json = NULL;
  int64_t size = 0;
  cudnnStatus_t status = c->api->cudnnBackendGetAttribute (c->device,
      CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0, &size,
      NULL);

  json = g_malloc0 (size + 1);
  if (status == CUDNN_STATUS_SUCCESS)
    status = c->api->cudnnBackendGetAttribute (c->device,
        CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, size,
        &size, json);
  g_strdelimit (json, "\r\n", ' ');
  c->identity = g_strdup_printf ("cudnn %" G_GSIZE_FORMAT " cudart %"
      G_GSIZE_FORMAT "%s %s", c->api->cudnnGetVersion (),
      c->api->cudnnGetCudartVersion (), c->tune ? " tuned" : "", json);
  return dloral_cudnn_check (c->api, status, "device description", error);
}

static gboolean
describe_device (DloralCudnn *c, const char *json, GError **error)
{
  cudnnHandle_t handle = NULL;
  gboolean ok;

  if (json == NULL) {
    handle = dloral_cudnn_create_handle (c, NULL, error);
    if (handle == NULL)
      return FALSE;
  }
  ok = set_device (c, json, handle, error) && set_identity (c, error);
  if (handle)
    dloral_cudnn_destroy_handle (c, handle);
  return ok;
}

DloralCudnn *
dloral_cudnn_new (const DloralDriver *driver, const char *device_json,
    const char *cache, gboolean tune, GError **error)
{
  const DloralCudnnApi *api = dloral_cudnn_get_api (error);
  DloralCudnn *c;

  if (api == NULL)
    return NULL;
  c = g_new0 (DloralCudnn, 1);
  c->api = api;
  c->driver = driver;
  c->cache = g_strdup (cache);
  c->tune = tune;
  g_mutex_init (&c->lock);
  g_cond_init (&c->made);
  g_rw_lock_init (&c->quiet);
  c->plans = g_hash_table_new (g_str_hash, g_str_equal);
  c->making = g_hash_table_new (g_str_hash, g_str_equal);
  if (describe_device (c, device_json, error))
    return c;
  dloral_cudnn_free (c);
  return NULL;
}

void
dloral_cudnn_free (DloralCudnn *c)
{
  if (c->device)
    c->api->cudnnBackendDestroyDescriptor (c->device);
  g_hash_table_unref (c->plans);
  g_hash_table_unref (c->making);
  g_rw_lock_clear (&c->quiet);
  g_cond_clear (&c->made);
  g_mutex_clear (&c->lock);
  g_free (c->identity);
  g_free (c->cache);
  g_free (c);
}

void
dloral_cudnn_set_quiet (DloralCudnn *c, gboolean quiet)
{
  if (quiet)
    g_rw_lock_writer_lock (&c->quiet);
  else
    g_rw_lock_writer_unlock (&c->quiet);
}

/* --- Handles ------------------------------------------------------------------ */

cudnnHandle_t
dloral_cudnn_create_handle (DloralCudnn *c, CUstream stream, GError **error)
{
  cudnnHandle_t handle = NULL;

  if (!dloral_cudnn_check (c->api, c->api->cudnnCreate (&handle),
          "cudnnCreate", error))
    return NULL;
  if (stream == NULL || dloral_cudnn_check (c->api,
          c->api->cudnnSetStream (handle, (cudaStream_t) stream),
          "cudnnSetStream", error))
    return handle;
  dloral_cudnn_destroy_handle (c, handle);
  return NULL;
}

void
dloral_cudnn_destroy_handle (DloralCudnn *c, cudnnHandle_t handle)
{
  c->api->cudnnDestroy (handle);
}
