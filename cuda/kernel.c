/* Finding and launching the kernels of kernels/.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"

/* Bytes of dynamic shared memory a kernel gets without asking. */
#define FREE_SHARED (48 * 1024)

static const char *
get_type_name (DloralDtype dtype)
{
  static const char *const names[] = {
    [DLORAL_U8] = "u8", [DLORAL_F32] = "f32", [DLORAL_F16] = "f16",
    [DLORAL_BF16] = "bf16", [DLORAL_U16] = "u16",
  };

  return names[dtype];
}

static gboolean
find_function (DloralKernel *kernel, DloralDevice *device, const char *name,
    GError **error)
{
  CUresult result = CUDA_ERROR_NOT_FOUND;

  for (guint i = 0; i < device->modules->len; i++) {
    result = device->driver->cuModuleGetFunction (&kernel->function,
        device->modules->pdata[i], name);
    if (result != CUDA_ERROR_NOT_FOUND)
      break;
  }
  return dloral_driver_check (device->driver, result, name, error);
}

/* A function keeps the limit it was given last; one that is launched with several
 * sizes needs the largest. */
static gboolean
allow_shared (const DloralKernel *kernel, DloralDevice *device, GError **error)
{
  gpointer allowed;
  gboolean ok = TRUE;

  g_mutex_lock (&device->lock);
  allowed = g_hash_table_lookup (device->shared_allowed, kernel->function);
  if (kernel->shared > MAX (GPOINTER_TO_UINT (allowed), FREE_SHARED)) {
    ok = DLORAL_DRIVER_CALL (device->driver, error, cuFuncSetAttribute,
        kernel->function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
        kernel->shared);
    if (ok)
      g_hash_table_insert (device->shared_allowed, kernel->function,
          GUINT_TO_POINTER (kernel->shared));
  }
  g_mutex_unlock (&device->lock);
  return ok;
}

gboolean
dloral_kernel_find (DloralKernel *kernel, DloralDevice *device,
    const char *name, int n_types, const DloralDtype *types, GError **error)
{
  g_autoptr (GString) full = g_string_new (name);

  for (int i = 0; i < n_types; i++)
    g_string_append_printf (full, "_%s", get_type_name (types[i]));
  kernel->name = name;
  return find_function (kernel, device, full->str, error)
      && allow_shared (kernel, device, error);
}

gboolean
dloral_kernel_launch (const DloralKernel *kernel, const DloralCudaRun *run,
    void **args, GError **error)
{
  const unsigned *grid = kernel->grid, *block = kernel->block;

  return dloral_driver_check (run->driver,
      run->driver->cuLaunchKernel (kernel->function, MAX (grid[0], 1),
          MAX (grid[1], 1), MAX (grid[2], 1), MAX (block[0], 1),
          MAX (block[1], 1), MAX (block[2], 1), kernel->shared, run->stream,
          args, NULL), kernel->name, error);
}
