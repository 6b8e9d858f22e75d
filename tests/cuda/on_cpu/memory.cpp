/* Memory: every allocation is one of malloc, full of garbage, with a guard at both
 * ends where AddressSanitizer does not watch them anyway.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

namespace on_cpu
{

static constexpr size_t ALIGNMENT = 256;
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

bool
has_range (const Allocations &allocations, uintptr_t address, size_t size)
{
  auto next = allocations.upper_bound (address);

  if (next == allocations.begin ())
    return false;
  --next;
  return address - next->first <= next->second.size
      && size <= next->second.size - (address - next->first);
}

/* --- allocating and freeing ----------------------------------------------- */

/* Allocates with the mutex released, so that ThreadSanitizer sees it. */
static CUresult
allocate (Guard *guard, Allocations *allocations, uintptr_t *address, size_t size)
{
  Allocation allocation;
  bool made;

  guard->unlock ();
  made = make_allocation (&allocation, size);
  guard->lock ();
  if (!made)
    return CUDA_ERROR_OUT_OF_MEMORY;
  *address = get_address (allocation);
  allocations->emplace (*address, allocation);
  return CUDA_SUCCESS;
}

/* Leaves the mutex released. */
static CUresult
release (Guard *guard, Allocations *allocations, uintptr_t address,
    const char *call)
{
  auto found = allocations->find (address);
  Allocation allocation;

  if (found == allocations->end ()) {
    complain ("%s: there is no allocation at %p", call, (void *) address);
    return CUDA_ERROR_INVALID_VALUE;
  }
  allocation = found->second;
  allocations->erase (found);
  guard->unlock ();
  release_allocation (allocation);
  return CUDA_SUCCESS;
}

/* --- copies --------------------------------------------------------------- */

static bool
is_device (CUdeviceptr address, size_t size, const char *call)
{
  if (has_range (driver.device_memory, address, size))
    return true;
  complain ("%s: %zu bytes at %p are not in one device allocation", call, size,
      (void *) address);
  return false;
}

/* Memory that is not pinned is copied before the call returns, as CUDA does. */
static CUresult
copy_from_host (Guard *guard, CUstream_st *stream, void *dst, const void *src,
    size_t size)
{
  std::shared_ptr<std::vector<unsigned char>> staging;

  if (has_range (driver.host_memory, uintptr_t (src), size) || stream->capture)
    return enqueue (guard, stream, [=] { memcpy (dst, src, size); });
  guard->unlock ();
  staging = std::make_shared<std::vector<unsigned char>> (size);
  memcpy (staging->data (), src, size);
  guard->lock ();
  return enqueue (guard, stream,
      [=] { memcpy (dst, staging->data (), size); });
}

static CUresult
copy_to_host (Guard *guard, CUstream_st *stream, void *dst, const void *src,
    size_t size)
{
  CUresult result = enqueue (guard, stream, [=] { memcpy (dst, src, size); });

  if (result == CUDA_SUCCESS && !stream->capture
      && !has_range (driver.host_memory, uintptr_t (dst), size)) {
    wait_for_stream (guard, stream);
    result = driver.dead;
  }
  return result;
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

CUresult CUDAAPI
cuMemAlloc (CUdeviceptr *address, size_t size)
{
  uintptr_t p;
  CUresult result;

  ENTER (call, CONTEXT | NO_CAPTURE);
  if (!address || size == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (size > driver.options.memory - driver.used)
    return CUDA_ERROR_OUT_OF_MEMORY;
  driver.used += size;
  result = allocate (&call, &driver.device_memory, &p, size);
  if (result != CUDA_SUCCESS)
    driver.used -= size;
  else
    *address = p;
  return result;
}

CUresult CUDAAPI
cuMemFree (CUdeviceptr address)
{
  ENTER (call, CONTEXT | NO_CAPTURE | ALWAYS);
  if (driver.device_memory.count (address) > 0)
    driver.used -= driver.device_memory[address].size;
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
cuMemFreeHost (void *address)
{
  ENTER (call, CONTEXT | NO_CAPTURE | ALWAYS);
  return call.finish (release (&call, &driver.host_memory, uintptr_t (address),
          "cuMemFreeHost"));
}

CUresult CUDAAPI
cuMemcpyHtoDAsync (CUdeviceptr dst, const void *src, size_t size,
    CUstream handle)
{
  ENTER (call, CONTEXT);
  auto stream = get_stream (&call, handle, call.context);

  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!is_device (dst, size, "cuMemcpyHtoDAsync"))
    return CUDA_ERROR_INVALID_VALUE;
  return copy_from_host (&call, stream.get (), reinterpret_cast<void *> (dst),
      src, size);
}

CUresult CUDAAPI
cuMemcpyDtoHAsync (void *dst, CUdeviceptr src, size_t size, CUstream handle)
{
  ENTER (call, CONTEXT);
  auto stream = get_stream (&call, handle, call.context);

  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!is_device (src, size, "cuMemcpyDtoHAsync"))
    return CUDA_ERROR_INVALID_VALUE;
  return copy_to_host (&call, stream.get (), dst,
      reinterpret_cast<const void *> (src), size);
}

CUresult CUDAAPI
cuMemcpyDtoDAsync (CUdeviceptr dst, CUdeviceptr src, size_t size,
    CUstream handle)
{
  ENTER (call, CONTEXT);
  auto stream = get_stream (&call, handle, call.context);

  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!is_device (dst, size, "cuMemcpyDtoDAsync")
      || !is_device (src, size, "cuMemcpyDtoDAsync"))
    return CUDA_ERROR_INVALID_VALUE;
  return enqueue (&call, stream.get (), [=] {
    memcpy (reinterpret_cast<void *> (dst), reinterpret_cast<void *> (src),
        size);
  });
}

CUresult CUDAAPI
cuMemsetD8Async (CUdeviceptr dst, unsigned char value, size_t size,
    CUstream handle)
{
  ENTER (call, CONTEXT);
  auto stream = get_stream (&call, handle, call.context);

  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!is_device (dst, size, "cuMemsetD8Async"))
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

  return has_range (driver.device_memory, address, size);
}
