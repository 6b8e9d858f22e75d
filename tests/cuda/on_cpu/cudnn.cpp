/* cuDNN's functions, as far as the CUDA backend calls them, computing on the
 * CPU: the library libcudnn.so.9 of tests on machines without a GPU. It runs in
 * the streams of the libcuda.so.1 beside it. It refuses what cuDNN refuses,
 * and some of what would end in a crash or in noise. From the environment:
 *
 *   CUDNN_ON_CPU_VERSION  what cudnnGetVersion () says
 *   CUDNN_ON_CPU_FAIL     "N:STATUS": cudnn_on_cpu_fail_at (N, STATUS) at start
 *   CUDNN_ON_CPU_REFUSE   graphs that no engine takes: "fused" (more than one
 *                         operation), "sdpa", "all", or several with commas
 *
 * A descriptor is a number that is never used again, so that one that was
 * destroyed is refused. Errors' messages belong to the calling thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_descriptors.h"
#pragma GCC visibility push(default)
#include "cudnn_on_cpu.h"
#pragma GCC visibility pop

#include <cuda.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

/* The driver's, if it is there. */
extern "C" CUresult cuCtxGetCurrent (CUcontext *) __attribute__ ((weak));

struct cudnnContext
{
  CUstream stream;
};

namespace cudnn_on_cpu
{

/* --- what there is -------------------------------------------------------- */

static std::mutex lock;         /* of the two maps */
static std::map<void *, std::shared_ptr<Content>> descriptors;
static std::map<void *, std::unique_ptr<cudnnContext>> handles;

static cudnnBackendDescriptor_t
add_descriptor (std::shared_ptr<Content> content)
{
  static uintptr_t last;
  std::lock_guard<std::mutex> guard (lock);
  void *descriptor = (void *) ++last;

  descriptors[descriptor] = std::move (content);
  return descriptor;
}

static void
remove_descriptor (cudnnBackendDescriptor_t descriptor)
{
  std::shared_ptr<Content> content = get_content (descriptor);
  std::lock_guard<std::mutex> guard (lock);

  descriptors.erase (descriptor);
}

std::shared_ptr<Content>
get_content (cudnnBackendDescriptor_t descriptor)
{
  std::lock_guard<std::mutex> guard (lock);
  auto place = descriptors.find (descriptor);

  if (place == descriptors.end ())
    refuse (descriptor ? CUDNN_STATUS_BAD_PARAM
        : CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "%p is no descriptor",
        descriptor);
  return place->second;
}

void
replace_content (cudnnBackendDescriptor_t descriptor,
    std::shared_ptr<Content> content)
{
  std::lock_guard<std::mutex> guard (lock);

  descriptors.at (descriptor).swap (content);
}

static cudnnHandle_t
add_handle ()
{
  std::lock_guard<std::mutex> guard (lock);
  std::unique_ptr<cudnnContext> handle (new cudnnContext { });
  cudnnHandle_t key = handle.get ();

  handles[key] = std::move (handle);
  return key;
}

void
check_handle (cudnnHandle_t handle)
{
  std::lock_guard<std::mutex> guard (lock);

  if (!handles.count (handle))
    refuse (handle ? CUDNN_STATUS_BAD_PARAM
        : CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "%p is no handle",
        (void *) handle);
}

static void
remove_handle (cudnnHandle_t handle)
{
  check_handle (handle);
  std::lock_guard<std::mutex> guard (lock);
  handles.erase (handle);
}

/* --- calls ---------------------------------------------------------------- */

struct Faults
{
  std::atomic<long> calls { 0 };
  std::atomic<long> at { 0 };   /* the call that fails; 0: none */
  std::atomic<int> status { 0 };

  Faults ()
  {
    const char *fail = getenv ("CUDNN_ON_CPU_FAIL");
    long call;
    int code;

    if (fail && sscanf (fail, "%ld:%d", &call, &code) == 2) {
      at = call;
      status = code;
    }
  }
};

static Faults faults;
static thread_local std::string last_error;

static void
count_call ()
{
  if (++faults.calls == faults.at)
    refuse (cudnnStatus_t (faults.status.load ()), "made to fail");
}

/* Calls `body`; its refusal becomes the function's status. */
template <typename Body> static cudnnStatus_t
answer (const char *function, Body body)
{
  try {
    body ();
    return CUDNN_STATUS_SUCCESS;
  } catch (const Refusal &refusal) {
    last_error = std::string (function) + ": " + refusal.message;
    return refusal.status;
  } catch (const std::bad_alloc &) {
    last_error = "out of memory";
    return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
  }
}

static void
check_pointer (const void *pointer)
{
  if (!pointer)
    refuse (CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a null pointer");
}

static void
check_context ()
{
  CUcontext context = nullptr;

  if (cuCtxGetCurrent
      && (cuCtxGetCurrent (&context) != CUDA_SUCCESS || !context))
    refuse (CUDNN_STATUS_NOT_INITIALIZED, "no current CUDA context");
}

static const char *
get_status_name (cudnnStatus_t status)
{
#define NAME(name) case CUDNN_STATUS_ ## name: return "CUDNN_STATUS_" #name;
  switch (status) {
    NAME (SUCCESS)
    NAME (NOT_INITIALIZED)
    NAME (SERIALIZATION_VERSION_MISMATCH)
    NAME (BAD_PARAM)
    NAME (BAD_PARAM_NULL_POINTER)
    NAME (BAD_PARAM_MISALIGNED_POINTER)
    NAME (BAD_PARAM_NOT_FINALIZED)
    NAME (BAD_PARAM_OUT_OF_BOUND)
    NAME (BAD_PARAM_SIZE_INSUFFICIENT)
    NAME (BAD_PARAM_SHAPE_MISMATCH)
    NAME (BAD_PARAM_DUPLICATED_ENTRIES)
    NAME (BAD_PARAM_ATTRIBUTE_TYPE)
    NAME (BAD_PARAM_DESCRIPTOR_TYPE)
    NAME (NOT_SUPPORTED)
    NAME (NOT_SUPPORTED_GRAPH_PATTERN)
    NAME (NOT_SUPPORTED_DATA_TYPE)
    NAME (NOT_SUPPORTED_ARCH_MISMATCH)
    NAME (INTERNAL_ERROR)
    NAME (INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
    NAME (EXECUTION_FAILED)
    NAME (EXECUTION_FAILED_CUDA_DRIVER)
    default:
      return "CUDNN_STATUS_OTHER";
  }
#undef NAME
}

}

using namespace cudnn_on_cpu;

/* --- cuDNN ---------------------------------------------------------------- */

size_t
cudnnGetVersion ()
{
  return get_version ();
}

size_t
cudnnGetCudartVersion ()
{
  return CUDART_VERSION;
}

const char *
cudnnGetErrorString (cudnnStatus_t status)
{
  return get_status_name (status);
}

void
cudnnGetLastErrorString (char *message, size_t max_size)
{
  if (max_size > 0)
    snprintf (message, max_size, "%s", last_error.c_str ());
}

cudnnStatus_t
cudnnCreate (cudnnHandle_t *handle)
{
  return answer (__func__, [&] {
    count_call ();
    check_pointer (handle);
    check_context ();
    *handle = add_handle ();
  });
}

cudnnStatus_t
cudnnDestroy (cudnnHandle_t handle)
{
  return answer (__func__, [&] {
    remove_handle (handle);
    count_call ();
  });
}

cudnnStatus_t
cudnnSetStream (cudnnHandle_t handle, cudaStream_t stream)
{
  return answer (__func__, [&] {
    count_call ();
    check_handle (handle);
    handle->stream = stream;
  });
}

cudnnStatus_t
cudnnBackendCreateDescriptor (cudnnBackendDescriptorType_t type,
    cudnnBackendDescriptor_t *descriptor)
{
  return answer (__func__, [&] {
    count_call ();
    check_pointer (descriptor);
    *descriptor = add_descriptor (make_content (type));
  });
}

cudnnStatus_t
cudnnBackendDestroyDescriptor (cudnnBackendDescriptor_t descriptor)
{
  return answer (__func__, [&] {
    remove_descriptor (descriptor);
    count_call ();
  });
}

cudnnStatus_t
cudnnBackendFinalize (cudnnBackendDescriptor_t descriptor)
{
  return answer (__func__, [&] {
    count_call ();
    finalize (*get_content (descriptor));
  });
}

cudnnStatus_t
cudnnBackendSetAttribute (cudnnBackendDescriptor_t descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
    int64_t count, const void *elements)
{
  return answer (__func__, [&] {
    count_call ();
    set_attribute (*get_content (descriptor), name, type, count, elements);
  });
}

cudnnStatus_t
cudnnBackendGetAttribute (cudnnBackendDescriptor_t const descriptor,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
    int64_t requested, int64_t *count, void *elements)
{
  return answer (__func__, [&] {
    count_call ();
    get_attribute (*get_content (descriptor), name, type, requested, count,
        elements);
  });
}

cudnnStatus_t
cudnnBackendExecute (cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
    cudnnBackendDescriptor_t pack)
{
  return answer (__func__, [&] {
    std::shared_ptr<Content> plan_content, pack_content;

    count_call ();
    check_handle (handle);
    plan_content = get_content (plan);
    pack_content = get_content (pack);
    if (!plan_content->plan || !pack_content->pack)
      refuse (CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
          "no finalized plan, or no finalized variant pack");
    execute (handle->stream, plan_content->plan, *pack_content->pack);
  });
}

/* --- tests ---------------------------------------------------------------- */

void
cudnn_on_cpu_fail_at (long call, int status)
{
  faults.status = status;
  faults.at = call > 0 ? faults.calls + call : 0;
}

long
cudnn_on_cpu_get_calls ()
{
  return faults.calls;
}

long
cudnn_on_cpu_get_descriptors ()
{
  std::lock_guard<std::mutex> guard (lock);

  return descriptors.size ();
}
