/* Copies between host and device memory: rows of bytes, one or many.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

namespace on_cpu
{

/* --- rows ----------------------------------------------------------------- */

/* One end of a copy. */
struct Rows
{
  unsigned char *start;
  size_t pitch;                 /* bytes from a row to the next */
  bool pageable;                /* host memory that the driver does not know */
};

struct Copy
{
  Rows dst, src;
  size_t width, height;         /* bytes, rows */
};

/* Bytes from the first one to beyond the last one. */
static size_t
get_span (const Copy &copy, const Rows &rows)
{
  return (copy.height - 1) * rows.pitch + copy.width;
}

static void
run (const Copy &copy)
{
  for (size_t y = 0; y < copy.height; y++)
    memcpy (copy.dst.start + y * copy.dst.pitch,
        copy.src.start + y * copy.src.pitch, copy.width);
}

/* Whether a row that is written is read too. */
static bool
is_overlapping (const Copy &copy)
{
  uintptr_t src = uintptr_t (copy.src.start);

  for (size_t y = 0; y < copy.height; y++) {
    uintptr_t dst = uintptr_t (copy.dst.start) + y * copy.dst.pitch;
    size_t i = 0;               /* of the first row that ends behind its start */

    if (src + copy.width <= dst && copy.src.pitch > 0)
      i = (dst - src - copy.width) / copy.src.pitch + 1;
    if (i < copy.height && dst < src + i * copy.src.pitch + copy.width
        && src + i * copy.src.pitch < dst + copy.width)
      return true;
  }
  return false;
}

/* --- putting them into a stream ------------------------------------------- */

typedef std::shared_ptr<std::vector<unsigned char>> Staging;

/* Has the source's bytes at once; the copy goes on from there. */
static Staging
stage (Guard *guard, Copy *copy)
{
  Staging staging;
  Copy first = *copy;

  guard->unlock ();
  staging = std::make_shared<std::vector<unsigned char>> (copy->width
      * copy->height);
  first.dst = { staging->data (), copy->width, false };
  run (first);
  guard->lock ();
  copy->src = first.dst;
  return staging;
}

/* Memory that is not pinned has been read, or written, when the call returns, as
 * CUDA does it. */
static CUresult
enqueue_copy (Guard *guard, CUstream_st *stream, Copy copy, const char *call)
{
  bool wait = copy.dst.pageable && !stream->capture;
  Staging staging;
  CUresult result;

  if (is_overlapping (copy)) {
    complain ("%s: what it reads and what it writes overlap", call);
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (copy.src.pageable && !stream->capture)
    staging = stage (guard, &copy);
  result = enqueue (guard, stream, [=] {
    static_cast<void> (staging);
    run (copy);
  });
  if (result != CUDA_SUCCESS || !wait)
    return result;
  wait_for_stream (guard, stream);
  return driver.dead;
}

/* --- what programs ask for ------------------------------------------------ */

/* One end of a copy. */
struct End
{
  CUcontext context;            /* which device memory is to be reached from */
  CUmemorytype type;
  uintptr_t base;
  size_t x, y, pitch;           /* bytes, rows, bytes; pitch 0: no gaps */
};

static CUresult
get_rows (Rows *rows, const Copy &copy, const End &end, const char *call)
{
  size_t least = end.x + copy.width;

  if (end.type != CU_MEMORYTYPE_HOST && end.type != CU_MEMORYTYPE_DEVICE) {
    complain ("%s: only host and device memory are known here", call);
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  rows->pitch = end.pitch > 0 ? end.pitch : least;
  if (end.base == 0 || end.x > MAX_PITCH || end.y > MAX_PITCH
      || rows->pitch < least || end.pitch > MAX_PITCH) {
    complain ("%s: %zu rows of %zu bytes from (%zu, %zu) on, with a pitch of %zu, "
        "at %p", call, copy.height, copy.width, end.x, end.y, end.pitch,
        (void *) end.base);
    return CUDA_ERROR_INVALID_VALUE;
  }
  rows->start = reinterpret_cast<unsigned char *> (end.base)
      + end.y * rows->pitch + end.x;
  rows->pageable = end.type == CU_MEMORYTYPE_HOST
      && !find_range (driver.host_memory, uintptr_t (rows->start),
      get_span (copy, *rows));
  return end.type == CU_MEMORYTYPE_HOST || check_device_memory (end.context,
      CUdeviceptr (rows->start), get_span (copy, *rows), call) ? CUDA_SUCCESS
      : CUDA_ERROR_INVALID_VALUE;
}

static CUresult
copy_rows (Guard *guard, CUstream_st *stream, const End &dst, const End &src,
    size_t width, size_t height, const char *call)
{
  Copy copy = { {}, {}, width, height };
  CUresult result;

  if (width < 1 || height < 1 || height > MAX_PITCH
      || (height > 1 && width > MAX_PITCH)) {
    complain ("%s: %zu rows of %zu bytes", call, height, width);
    return CUDA_ERROR_INVALID_VALUE;
  }
  result = get_rows (&copy.dst, copy, dst, call);
  if (result == CUDA_SUCCESS)
    result = get_rows (&copy.src, copy, src, call);
  return result != CUDA_SUCCESS ? result
      : enqueue_copy (guard, stream, copy, call);
}

} // namespace on_cpu

using namespace on_cpu;

/* --- one row -------------------------------------------------------------- */

static CUresult
copy_bytes (CUmemorytype dst_type, uintptr_t dst, CUmemorytype src_type,
    uintptr_t src, size_t size, CUstream handle, const char *name)
{
  ENTER (call, CONTEXT);
  auto stream = get_stream (&call, handle, call.context);

  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  return copy_rows (&call, stream.get (),
      { call.context, dst_type, dst, 0, 0, 0 },
      { call.context, src_type, src, 0, 0, 0 }, size, 1, name);
}

CUresult CUDAAPI
cuMemcpyHtoDAsync (CUdeviceptr dst, const void *src, size_t size,
    CUstream stream)
{
  return copy_bytes (CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_HOST,
      uintptr_t (src), size, stream, "cuMemcpyHtoDAsync");
}

CUresult CUDAAPI
cuMemcpyDtoHAsync (void *dst, CUdeviceptr src, size_t size, CUstream stream)
{
  return copy_bytes (CU_MEMORYTYPE_HOST, uintptr_t (dst), CU_MEMORYTYPE_DEVICE,
      src, size, stream, "cuMemcpyDtoHAsync");
}

CUresult CUDAAPI
cuMemcpyDtoDAsync (CUdeviceptr dst, CUdeviceptr src, size_t size,
    CUstream stream)
{
  return copy_bytes (CU_MEMORYTYPE_DEVICE, dst, CU_MEMORYTYPE_DEVICE, src, size,
      stream, "cuMemcpyDtoDAsync");
}

/* --- rows with a pitch ---------------------------------------------------- */

static CUresult
copy_2d (Call *call, CUstream_st *stream, const CUDA_MEMCPY2D &copy,
    const char *name)
{
  const End dst = { call->context, copy.dstMemoryType,
    copy.dstMemoryType == CU_MEMORYTYPE_HOST ? uintptr_t (copy.dstHost)
        : uintptr_t (copy.dstDevice), copy.dstXInBytes, copy.dstY,
    copy.dstPitch };
  const End src = { call->context, copy.srcMemoryType,
    copy.srcMemoryType == CU_MEMORYTYPE_HOST ? uintptr_t (copy.srcHost)
        : uintptr_t (copy.srcDevice), copy.srcXInBytes, copy.srcY,
    copy.srcPitch };

  return copy_rows (call, stream, dst, src, copy.WidthInBytes, copy.Height,
      name);
}

CUresult CUDAAPI
cuMemcpy2D (const CUDA_MEMCPY2D *copy)
{
  ENTER (call, CONTEXT | NO_CAPTURE);
  auto stream = get_stream (&call, nullptr, call.context);
  CUresult result;

  if (!copy)
    return CUDA_ERROR_INVALID_VALUE;
  result = copy_2d (&call, stream.get (), *copy, "cuMemcpy2D");
  if (result != CUDA_SUCCESS)
    return result;
  wait_for_stream (&call, stream.get ());
  return driver.dead;
}

CUresult CUDAAPI
cuMemcpy2DAsync (const CUDA_MEMCPY2D *copy, CUstream handle)
{
  ENTER (call, CONTEXT);
  auto stream = get_stream (&call, handle, call.context);

  if (!copy)
    return CUDA_ERROR_INVALID_VALUE;
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  return copy_2d (&call, stream.get (), *copy, "cuMemcpy2DAsync");
}

/* --- between contexts ----------------------------------------------------- */

/* Whether it is one of device memory, and of rows. */
static bool
check_peer_copy (const CUDA_MEMCPY3D_PEER &copy)
{
  constexpr CUmemorytype device = CU_MEMORYTYPE_DEVICE;

  if (copy.dstMemoryType == device && copy.srcMemoryType == device
      && copy.Depth == 1 && copy.dstZ == 0 && copy.srcZ == 0
      && copy.dstLOD == 0 && copy.srcLOD == 0
      && (copy.dstHeight == 0 || copy.dstHeight >= copy.dstY + copy.Height)
      && (copy.srcHeight == 0 || copy.srcHeight >= copy.srcY + copy.Height))
    return true;
  complain ("cuMemcpy3DPeerAsync: only rows of device memory are known here, with "
      "a depth of 1 and within the heights that are given");
  return false;
}

/* The memory must be of the context that is named, not of one it reaches. */
static CUresult
check_owner (CUcontext context, CUdeviceptr address)
{
  const Allocation *allocation = find_range (driver.device_memory, address, 0);
  CUresult result = check_context (context);

  if (result != CUDA_SUCCESS || (allocation && allocation->context == context))
    return result;
  complain ("cuMemcpy3DPeerAsync: %p is not memory of the context it is said to "
      "be of", (void *) address);
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI
cuMemcpy3DPeerAsync (const CUDA_MEMCPY3D_PEER *copy, CUstream handle)
{
  ENTER (call, CONTEXT);
  auto stream = get_stream (&call, handle, call.context);
  CUresult result;

  if (!copy || !check_peer_copy (*copy))
    return CUDA_ERROR_INVALID_VALUE;
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  result = check_owner (copy->dstContext, copy->dstDevice);
  if (result == CUDA_SUCCESS)
    result = check_owner (copy->srcContext, copy->srcDevice);
  if (result != CUDA_SUCCESS)
    return result;
  return copy_rows (&call, stream.get (),
      { copy->dstContext, copy->dstMemoryType, uintptr_t (copy->dstDevice),
          copy->dstXInBytes, copy->dstY, copy->dstPitch },
      { copy->srcContext, copy->srcMemoryType, uintptr_t (copy->srcDevice),
          copy->srcXInBytes, copy->srcY, copy->srcPitch },
      copy->WidthInBytes, copy->Height, "cuMemcpy3DPeerAsync");
}
