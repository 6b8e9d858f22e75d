/* Modules, which hold all kernels whatever their image; and launching a kernel.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

using namespace on_cpu;

static constexpr size_t USUAL_SHARED = 48 << 10;

/* Of a module of that context. */
static bool
is_function (CUfunction function, CUcontext context)
{
  auto found = driver.functions.find (function);

  return found != driver.functions.end () && found->second->context == context;
}

static const Kernel *
find_kernel (const char *name)
{
  for (const Kernel *kernel = Kernel::first; kernel; kernel = kernel->next)
    if (strcmp (kernel->name, name) == 0)
      return kernel;
  return nullptr;
}

CUresult CUDAAPI
cuModuleLoadData (CUmodule *module, const void *image)
{
  ENTER (call, CONTEXT | NO_CAPTURE);
  if (!module || !image)
    return CUDA_ERROR_INVALID_VALUE;
  *module = driver.modules.add (std::make_shared<CUmod_st> ());
  (*module)->context = call.context;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuModuleUnload (CUmodule handle)
{
  ENTER (call, CONTEXT | NO_CAPTURE | ALWAYS);
  auto module = driver.modules.get (handle);

  if (!module || module->context != call.context)
    return CUDA_ERROR_INVALID_HANDLE;
  for (auto &function : module->functions)
    driver.functions.erase (&function.second);
  driver.modules.erase (handle);
  return call.finish (CUDA_SUCCESS);
}

CUresult CUDAAPI
cuModuleGetFunction (CUfunction *function, CUmodule handle, const char *name)
{
  ENTER (call, CONTEXT);
  auto module = driver.modules.get (handle);
  const Kernel *kernel;

  if (!function || !name)
    return CUDA_ERROR_INVALID_VALUE;
  if (!module || module->context != call.context)
    return CUDA_ERROR_INVALID_HANDLE;
  kernel = find_kernel (name);
  if (!kernel)
    return CUDA_ERROR_NOT_FOUND;
  *function = &module->functions.emplace (name,
      CUfunc_st { kernel, USUAL_SHARED }).first->second;
  driver.functions[*function] = handle;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuFuncSetAttribute (CUfunction function, CUfunction_attribute attribute,
    int value)
{
  ENTER (call, CONTEXT);
  if (!is_function (function, call.context))
    return CUDA_ERROR_INVALID_HANDLE;
  if (attribute == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT)
    return CUDA_SUCCESS;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0
      || size_t (value) > get_max_shared ())
    return CUDA_ERROR_INVALID_VALUE;
  function->max_shared = value;
  return CUDA_SUCCESS;
}

/* --- launching ------------------------------------------------------------ */

static bool
check_sizes (const Launch &launch, size_t max_shared)
{
  const char *name = launch.kernel->name;
  dim3 grid = launch.grid_size, block = launch.block_size;
  uint64_t n_threads = uint64_t (block.x) * block.y * block.z;

  if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffff
      || grid.y > 65535 || grid.z > 65535)
    complain ("%s: a grid of %u x %u x %u blocks", name, grid.x, grid.y, grid.z);
  else if (block.x < 1 || block.y < 1 || block.z < 1 || block.x > 1024
      || block.y > 1024 || block.z > 64 || n_threads > 1024
      || n_threads > launch.kernel->max_threads)
    complain ("%s: a block of %u x %u x %u threads; at most %u", name, block.x,
        block.y, block.z, launch.kernel->max_threads);
  else if (launch.shared_size > max_shared)
    complain ("%s: %zu bytes of dynamic shared memory; allowed are %zu", name,
        launch.shared_size, max_shared);
  else
    return true;
  return false;
}

/* A kernel's pointer is NULL, or points into memory it can reach or to its end. */
static bool
check_pointer (const Kernel *kernel, unsigned i, const void *value,
    CUcontext context)
{
  uintptr_t address;
  const Allocation *allocation;

  memcpy (&address, value, sizeof address);
  allocation = find_range (driver.device_memory, address, 0);
  if (address == 0 || find_range (driver.host_memory, address, 0)
      || (allocation && reaches (context, allocation->context)))
    return true;
  complain ("%s: parameter %u, %p, is %s", kernel->name, i, (void *) address,
      allocation ? "memory of another context" : "not in device memory");
  return false;
}

/* Copies the parameters. */
static bool
take_parameters (Launch *launch, void **values, CUcontext context)
{
  const Kernel *kernel = launch->kernel;
  std::vector<size_t> offsets;
  size_t size = 0;

  for (unsigned i = 0; i < kernel->n_parameters; i++) {
    Parameter parameter = kernel->parameters[i];

    if (!values || !values[i]) {
      complain ("%s: has %u parameters; %u is not given", kernel->name,
          kernel->n_parameters, i);
      return false;
    }
    if (parameter.pointer && !check_pointer (kernel, i, values[i], context))
      return false;
    offsets.push_back ((size + parameter.alignment - 1) / parameter.alignment
        * parameter.alignment);
    size = offsets.back () + parameter.size;
  }
  launch->storage.resize ((size + sizeof launch->storage[0] - 1) / sizeof launch->storage[0]);
  for (unsigned i = 0; i < kernel->n_parameters; i++) {
    launch->values.push_back (reinterpret_cast<unsigned char *>
        (launch->storage.data ()) + offsets[i]);
    memcpy (launch->values[i], values[i], kernel->parameters[i].size);
  }
  return true;
}

CUresult CUDAAPI
cuLaunchKernel (CUfunction function, unsigned grid_x, unsigned grid_y,
    unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
    unsigned shared_size, CUstream handle, void **values, void **extra)
{
  ENTER (call, CONTEXT);
  auto launch = std::make_shared<Launch> ();
  auto stream = get_stream (&call, handle, call.context);

  if (!stream || !is_function (function, call.context))
    return CUDA_ERROR_INVALID_HANDLE;
  launch->kernel = function->kernel;
  launch->grid_size = dim3 (grid_x, grid_y, grid_z);
  launch->block_size = dim3 (block_x, block_y, block_z);
  launch->shared_size = shared_size;
  if (extra || !check_sizes (*launch, function->max_shared)
      || !take_parameters (launch.get (), values, call.context))
    return CUDA_ERROR_INVALID_VALUE;
  return enqueue (&call, stream.get (), [=, turn = stream->number] {
    run_grid (*launch, turn, driver.options.grid);
  });
}
