/* Memory: every allocation is one of malloc, full of garbage, with a guard at both
 * ends where AddressSanitizer does not watch them anyway.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

namespace on_cpu
{

static constexpr size_t ALIGNMENT = TEXTURE_ALIGNMENT;
#ifdef ON_CPU_ASAN
static constexpr size_t GUARD = 0;
#else
static constexpr size_t GUARD = ALIGNMENT;
#endif
static constexpr unsigned char GARBAGE = 0xcb, GUARD_BYTE = 0xdb;

/* --- blocks --------------------------------------------------------------- */

/* [GUARD][size][GUARD]; false if there is no memory. */
static bool
make_allocation (Allocation *allocation, size_t size)
{
  void *p;

  if (size > SIZE_MAX / 2
      || posix_memalign (&p, ALIGNMENT, size + 2 * GUARD) != 0)
    return false;
  allocation->block = static_cast<unsigned char *> (p);
  allocation->size = size;
  memset (allocation->block, GUARD_BYTE, GUARD);
  memset (allocation->block + GUARD, GARBAGE, size);
  memset (allocation->block + GUARD + size, GUARD_BYTE, GUARD);
  return true;
}

static uintptr_t
get_address (const Allocation &allocation)
{
  return uintptr_t (allocation.block + GUARD);
}

void
release_allocation (const Allocation &allocation)
{
  for (size_t i = 0; i < GUARD; i++)
    if (allocation.block[i] != GUARD_BYTE
        || allocation.block[GUARD + allocation.size + i] != GUARD_BYTE) {
      complain ("an allocation of %zu bytes was written beyond an end",
          allocation.size);
      abort ();
    }
  free (allocation.block);
}

const Allocation *
find_range (const Allocations &allocations, uintptr_t address, size_t size)
{
  auto next = allocations.upper_bound (address);

  if (next == allocations.begin ())
    return nullptr;
  --next;
  return address - next->first <= next->second.size
      && size <= next->second.size - (address - next->first) ? &next->second
      : nullptr;
}

bool
check_device_memory (CUcontext context, CUdeviceptr address, size_t size,
    const char *call)
{
  const Allocation *allocation = find_range (driver.device_memory, address,
      size);

  if (!allocation)
    complain ("%s: %zu bytes at %p are not in one device allocation", call,
        size, (void *) address);
  else if (!reaches (context, allocation->context))
    complain ("%s: %zu bytes at %p are memory of another context", call, size,
        (void *) address);
  else
    return true;
  return false;
}

/* --- allocating and freeing ----------------------------------------------- */

/* Allocates with the mutex released, so that ThreadSanitizer sees it. */
static CUresult
allocate (Call *call, Allocations *allocations, uintptr_t *address, size_t size)
{
  Allocation allocation;
  bool made;

  allocation.context = call->context;
  call->unlock ();
  made = make_allocation (&allocation, size);
  call->lock ();
  if (!made)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *address = get_address (allocation);
  allocations->emplace (*address, allocation);
  return CUDA_SUCCESS;
}

/* Leaves the mutex released. */
static CUresult
release (Call *call, Allocations *allocations, uintptr_t address,
    const char *name)
{
  auto found = allocations->find (address);
  Allocation allocation;

  if (found == allocations->end ()
      || found->second.context != call->context) {
    complain ("%s: there is no allocation at %p%s", name, (void *) address,
        found == allocations->end () ? "" : " in this context");
    return CUDA_ERROR_INVALID_VALUE;
  }
  allocation = found->second;
  allocations->erase (found);
  if (allocations == &driver.device_memory)
    driver.used -= allocation.size;
  call->unlock ();
  release_allocation (allocation);
  return CUDA_SUCCESS;
}

} // namespace on_cpu

using namespace on_cpu;

CUresult CUDAAPI
cuMemGetInfo (size_t *available, size_t *total)
{
  ENTER (call, CONTEXT);
  if (available)
    *available = driver.options.memory - driver.used;
  if (total)
    *total = driver.options.memory;
  return CUDA_SUCCESS;
}

static CUresult
allocate_on_device (Call *call, CUdeviceptr *address, size_t size)
{
  uintptr_t p;
  CUresult result;

  if (size > driver.options.memory - driver.used)
    return CUDA_ERROR_OUT_OF_MEMORY;
  driver.used += size;
  result = allocate (call, &driver.device_memory, &p, size);
  if (result != CUDA_SUCCESS)
    driver.used -= size;
  else
    *address = p;
  return result;
}

CUresult CUDAAPI
cuMemAlloc (CUdeviceptr *address, size_t size)
{
  ENTER (call, CONTEXT | NO_CAPTURE);
  if (!address || size == 0)
    return CUDA_ERROR_INVALID_VALUE;
  return allocate_on_device (&call, address, size);
}

/* Rows begin where a texture may. */
CUresult CUDAAPI
cuMemAllocPitch (CUdeviceptr *address, size_t *pitch, size_t width,
    size_t height, unsigned element_size)
{
  size_t whole, size;
  CUresult result;

  ENTER (call, CONTEXT | NO_CAPTURE);
  if (!address || !pitch || width == 0 || height == 0 || width > MAX_PITCH
      || (element_size != 4 && element_size != 8 && element_size != 16))
    return CUDA_ERROR_INVALID_VALUE;
  whole = (width + TEXTURE_ALIGNMENT - 1) / TEXTURE_ALIGNMENT
      * TEXTURE_ALIGNMENT;
  if (__builtin_mul_overflow (whole, height, &size))
    return CUDA_ERROR_OUT_OF_MEMORY;
  result = allocate_on_device (&call, address, size);
  if (result == CUDA_SUCCESS)
    *pitch = whole;
  return result;
}

CUresult CUDAAPI
cuMemFree (CUdeviceptr address)
{
  ENTER (call, CONTEXT | NO_CAPTURE | ALWAYS);
  return call.finish (release (&call, &driver.device_memory, address,
          "cuMemFree"));
}

CUresult CUDAAPI
cuMemHostAlloc (void **address, size_t size, unsigned flags)
{
  constexpr unsigned known = CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP
      | CU_MEMHOSTALLOC_WRITECOMBINED;
  uintptr_t p;
  CUresult result;

  ENTER (call, CONTEXT | NO_CAPTURE);
  if (!address || size == 0 || (flags & ~known))
    return CUDA_ERROR_INVALID_VALUE;
  result = allocate (&call, &driver.host_memory, &p, size);
  if (result == CUDA_SUCCESS)
    *address = reinterpret_cast<void *> (p);
  return result;
}

CUresult CUDAAPI
cuMemAllocHost (void **address, size_t size)
{
  return cuMemHostAlloc (address, size, 0);
}

CUresult CUDAAPI
cuMemFreeHost (void *address)
{
  ENTER (call, CONTEXT | NO_CAPTURE | ALWAYS);
  return call.finish (release (&call, &driver.host_memory, uintptr_t (address),
          "cuMemFreeHost"));
}

CUresult CUDAAPI
cuMemsetD8Async (CUdeviceptr dst, unsigned char value, size_t size,
    CUstream handle)
{
  ENTER (call, CONTEXT);
  auto stream = get_stream (&call, handle, call.context);

  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!check_device_memory (call.context, dst, size, "cuMemsetD8Async"))
    return CUDA_ERROR_INVALID_VALUE;
  return enqueue (&call, stream.get (), [=] {
    memset (reinterpret_cast<void *> (dst), value, size);
  });
}

long
cuda_on_cpu_get_allocations (void)
{
  Guard guard (driver.mutex);

  return driver.device_memory.size () + driver.host_memory.size ();
}

int
cuda_on_cpu_check_range (CUdeviceptr address, size_t size)
{
  Guard guard (driver.mutex);
  const Allocation *allocation = find_range (driver.device_memory, address,
      size);

  return allocation && thread_state.n_contexts > 0
      && reaches (thread_state.contexts[thread_state.n_contexts - 1],
      allocation->context);
}
