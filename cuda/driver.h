/* The CUDA driver's functions, found at run time: nothing here needs libcuda to
 * load, and a machine without it is told so in one sentence.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/backend.h"

#include <cuda.h>

G_BEGIN_DECLS

/* Every driver function the backend calls. cuda.h's macros give some of them
 * their version's name ("cuMemAlloc_v2"), here as where they are called. */
#define DLORAL_DRIVER_FUNCTIONS(X) \
  X (cuInit) X (cuDriverGetVersion) X (cuGetErrorName) X (cuGetErrorString) \
  X (cuDeviceGetCount) X (cuDeviceGet) X (cuDeviceGetName) \
  X (cuDeviceGetAttribute) X (cuDevicePrimaryCtxRetain) \
  X (cuDevicePrimaryCtxRelease) X (cuCtxPushCurrent) X (cuCtxPopCurrent) \
  X (cuCtxGetStreamPriorityRange) \
  X (cuModuleLoadData) X (cuModuleUnload) X (cuModuleGetFunction) \
  X (cuFuncSetAttribute) X (cuLaunchKernel) \
  X (cuMemGetInfo) X (cuMemAlloc) X (cuMemFree) X (cuMemHostAlloc) \
  X (cuMemFreeHost) X (cuMemcpyHtoDAsync) X (cuMemcpyDtoHAsync) \
  X (cuMemcpyDtoDAsync) X (cuMemcpy3DPeerAsync) X (cuMemsetD8Async) \
  X (cuStreamCreateWithPriority) X (cuStreamDestroy) X (cuStreamSynchronize) \
  X (cuStreamWaitEvent) X (cuStreamBeginCapture) X (cuStreamEndCapture) \
  X (cuGraphInstantiateWithFlags) X (cuGraphLaunch) X (cuGraphDestroy) \
  X (cuGraphExecDestroy) \
  X (cuEventCreate) X (cuEventDestroy) X (cuEventRecord) X (cuEventQuery) \
  X (cuEventSynchronize) X (cuEventElapsedTime)

typedef struct
{
#define DLORAL_DRIVER_MEMBER(name) __typeof__ (name) *name;
  DLORAL_DRIVER_FUNCTIONS (DLORAL_DRIVER_MEMBER)
#undef DLORAL_DRIVER_MEMBER
} DloralDriver;

/* The driver, loaded and initialised once per process; never unloaded. Any
 * thread. NULL and `error`: there is none, it is too old, it has no device. */
const DloralDriver *dloral_driver_get (GError ** error);

/* Whether `result` is success. If not, `error` says which call on which device
 * failed, and how; out of memory is DLORAL_ERROR_MEMORY, the rest
 * DLORAL_ERROR_DEVICE. */
gboolean dloral_driver_check (const DloralDriver * driver, CUresult result,
    const char *call, GError ** error);

/* dloral_driver_check (driver, driver->cuMemAlloc (…), "cuMemAlloc", error) */
#define DLORAL_DRIVER_CALL(driver, error, function, ...) \
  dloral_driver_check (driver, (driver)->function (__VA_ARGS__), #function, \
      error)

/* Device memory, in the current context; 0 bytes count as 1. Where there is not
 * enough, `error` says how much is wanted and how much there is. */
gboolean dloral_driver_alloc (const DloralDriver * driver,
    CUdeviceptr * memory, gsize size, GError ** error);

G_END_DECLS
