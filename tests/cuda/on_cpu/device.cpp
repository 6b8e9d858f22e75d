/* Devices, and what errors are called.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

using namespace on_cpu;

CUresult CUDAAPI
cuInit (unsigned flags)
{
  ENTER (call, 0);
  if (flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (driver.contexts.empty ())
    return CUDA_ERROR_NO_DEVICE;
  driver.initialised = true;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuDriverGetVersion (int *version)
{
  ENTER (call, 0);
  if (!version)
    return CUDA_ERROR_INVALID_VALUE;
  *version = driver.options.version;
  return CUDA_SUCCESS;
}

/* --- errors --------------------------------------------------------------- */

static const struct
{
  CUresult code;
  const char *name, *text;
} errors[] = {
#define ERROR(name, text) { name, #name, text }
  ERROR (CUDA_SUCCESS, "no error"),
  ERROR (CUDA_ERROR_INVALID_VALUE, "invalid argument"),
  ERROR (CUDA_ERROR_OUT_OF_MEMORY, "out of memory"),
  ERROR (CUDA_ERROR_NOT_INITIALIZED, "initialization error"),
  ERROR (CUDA_ERROR_DEINITIALIZED, "driver shutting down"),
  ERROR (CUDA_ERROR_DEVICE_UNAVAILABLE, "CUDA-capable device(s) is/are busy or unavailable"),
  ERROR (CUDA_ERROR_NO_DEVICE, "no CUDA-capable device is detected"),
  ERROR (CUDA_ERROR_INVALID_DEVICE, "invalid device ordinal"),
  ERROR (CUDA_ERROR_INVALID_IMAGE, "device kernel image is invalid"),
  ERROR (CUDA_ERROR_INVALID_CONTEXT, "invalid device context"),
  ERROR (CUDA_ERROR_NO_BINARY_FOR_GPU, "no kernel image is available for execution on the device"),
  ERROR (CUDA_ERROR_ECC_UNCORRECTABLE, "uncorrectable ECC error encountered"),
  ERROR (CUDA_ERROR_NVLINK_UNCORRECTABLE, "uncorrectable NVLink error detected during the execution"),
  ERROR (CUDA_ERROR_CONTAINED, "Invalid access of peer GPU memory over nvlink or a hardware error"),
  ERROR (CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, "peer access is not supported between these two devices"),
  ERROR (CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, "peer access is already enabled"),
  ERROR (CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, "peer access has not been enabled"),
  ERROR (CUDA_ERROR_INVALID_PTX, "a PTX JIT compilation failed"),
  ERROR (CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "the provided PTX was compiled with an unsupported toolchain."),
  ERROR (CUDA_ERROR_INVALID_SOURCE, "device kernel image is invalid"),
  ERROR (CUDA_ERROR_OPERATING_SYSTEM, "OS call failed or operation not supported on this OS"),
  ERROR (CUDA_ERROR_INVALID_HANDLE, "invalid resource handle"),
  ERROR (CUDA_ERROR_ILLEGAL_STATE, "the operation cannot be performed in the present state"),
  ERROR (CUDA_ERROR_NOT_FOUND, "named symbol not found"),
  ERROR (CUDA_ERROR_NOT_READY, "device not ready"),
  ERROR (CUDA_ERROR_ILLEGAL_ADDRESS, "an illegal memory access was encountered"),
  ERROR (CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch"),
  ERROR (CUDA_ERROR_LAUNCH_TIMEOUT, "the launch timed out and was terminated"),
  ERROR (CUDA_ERROR_CONTEXT_IS_DESTROYED, "context is destroyed"),
  ERROR (CUDA_ERROR_ASSERT, "device-side assert triggered"),
  ERROR (CUDA_ERROR_HARDWARE_STACK_ERROR, "hardware stack error"),
  ERROR (CUDA_ERROR_ILLEGAL_INSTRUCTION, "an illegal instruction was encountered"),
  ERROR (CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned address"),
  ERROR (CUDA_ERROR_INVALID_ADDRESS_SPACE, "operation not supported on global/shared address space"),
  ERROR (CUDA_ERROR_INVALID_PC, "invalid program counter"),
  ERROR (CUDA_ERROR_LAUNCH_FAILED, "unspecified launch failure"),
  ERROR (CUDA_ERROR_EXTERNAL_DEVICE, "an async error has occurred in external entity outside of CUDA"),
  ERROR (CUDA_ERROR_NOT_PERMITTED, "operation not permitted"),
  ERROR (CUDA_ERROR_NOT_SUPPORTED, "operation not supported"),
  ERROR (CUDA_ERROR_SYSTEM_NOT_READY, "system not yet initialized"),
  ERROR (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, "system has unsupported display driver / cuda driver combination"),
  ERROR (CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"),
  ERROR (CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"),
  ERROR (CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "dependency created on uncaptured work in another stream"),
  ERROR (CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "attempt to terminate a thread-local capture sequence from another thread"),
  ERROR (CUDA_ERROR_CAPTURED_EVENT, "operation not permitted on an event last recorded in a capturing stream"),
  ERROR (CUDA_ERROR_UNKNOWN, "unknown error"),
#undef ERROR
};

CUresult CUDAAPI
cuGetErrorName (CUresult code, const char **name)
{
  *name = nullptr;
  for (const auto &error : errors)
    if (error.code == code)
      *name = error.name;
  return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult CUDAAPI
cuGetErrorString (CUresult code, const char **text)
{
  *text = nullptr;
  for (const auto &error : errors)
    if (error.code == code)
      *text = error.text;
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* --- devices -------------------------------------------------------------- */

CUresult CUDAAPI
cuDeviceGetCount (int *count)
{
  ENTER (call, INITIALISED);
  if (!count)
    return CUDA_ERROR_INVALID_VALUE;
  *count = int (driver.contexts.size ());
  return CUDA_SUCCESS;
}

bool
on_cpu::is_device (CUdevice device)
{
  return device >= 0 && device < CUdevice (driver.contexts.size ());
}

CUresult CUDAAPI
cuDeviceGet (CUdevice *device, int ordinal)
{
  ENTER (call, INITIALISED);
  if (!device)
    return CUDA_ERROR_INVALID_VALUE;
  if (!is_device (ordinal))
    return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuDeviceGetName (char *name, int size, CUdevice device)
{
  ENTER (call, INITIALISED);
  if (!name || size < 1)
    return CUDA_ERROR_INVALID_VALUE;
  if (!is_device (device))
    return CUDA_ERROR_INVALID_DEVICE;
  snprintf (name, size, "CPU");
  return CUDA_SUCCESS;
}

size_t
on_cpu::get_max_shared ()
{
  switch (driver.options.arch) {
    case 70:
    case 72:
      return 96 << 10;
    case 75:
      return 64 << 10;
    case 80:
    case 87:
      return 163 << 10;
    case 86:
    case 89:
    case 120:
      return 99 << 10;
    default:
      return 227 << 10;
  }
}

/* -1: not known. */
static int
get_attribute (CUdevice_attribute attribute)
{
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return driver.options.arch / 10;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      return driver.options.arch % 10;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return 4;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
      return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
      return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
      return 0x7fffffff;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
      return 65535;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
      return 48 << 10;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return int (get_max_shared ());
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      return int (get_max_shared ()) + (1 << 10);
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
      return 32;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
      return 2048;
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR:
      return 65536;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT:
      return TEXTURE_ALIGNMENT;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT:
      return TEXTURE_PITCH_ALIGNMENT;
    case CU_DEVICE_ATTRIBUTE_MAX_PITCH:
      return MAX_PITCH;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      return 50 << 20;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
      return 1;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED:
      return 0;
    default:
      return -1;
  }
}

CUresult CUDAAPI
cuDeviceGetAttribute (int *value, CUdevice_attribute attribute, CUdevice device)
{
  ENTER (call, INITIALISED);
  if (!value || get_attribute (attribute) < 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (!is_device (device))
    return CUDA_ERROR_INVALID_DEVICE;
  *value = get_attribute (attribute);
  return CUDA_SUCCESS;
}
