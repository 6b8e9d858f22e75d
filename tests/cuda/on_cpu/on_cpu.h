/* What this libcuda.so.1 offers tests beyond CUDA's own functions.
 *
 * It computes on the CPU: every stream is a thread, kernels are the product's .cu
 * files compiled as C++ (cuda_on_cpu.h). Read from the environment when it is
 * loaded:
 *
 *   CUDA_ON_CPU_SEED            order of threads and blocks; default 1, 0: as they
 *                               are numbered
 *   CUDA_ON_CPU_WORKERS         threads that run blocks; default 2
 *   CUDA_ON_CPU_DEVICES         default 1
 *   CUDA_ON_CPU_ARCH            compute capability; default 90
 *   CUDA_ON_CPU_DRIVER_VERSION  default 13000
 *   CUDA_ON_CPU_MEMORY          bytes of a device; default 16 GiB
 *   CUDA_ON_CPU_FAIL            "N:CODE": cuda_on_cpu_fail_at (N, CODE)
 *
 * Stricter than a GPU, so that mistakes show: nothing but streams, events and
 * their synchronisation orders work (cuMemFree and cuStreamDestroy do not wait,
 * the NULL stream is one among others), every call but those about devices wants
 * a current context, a kernel's pointers must be device or pinned memory, and what
 * belongs to a context is used and freed in that one alone, but for pinned memory,
 * events that streams wait for and peers (memory of one context is copied to
 * another by cuMemcpy3DPeerAsync). cuCtxDestroy frees what is left in the context,
 * as CUDA does, and complains about it.
 *
 * All functions may be called from any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <cuda.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CUDA's; later cuda.h have another cuCtxCreate. */
CUresult CUDAAPI cuCtxCreate_v2 (CUcontext *context, unsigned flags,
    CUdevice device);

/* The call-th driver call from now on, 1 the next, returns `code` once; 0: none.
 * cuGetErrorName and cuGetErrorString do not count. If CUDA never recovers from
 * `code` (an illegal address, say), nothing runs any more and every later call of
 * every thread returns it, until cuda_on_cpu_reset (). Functions which free or
 * destroy do so nevertheless. */
void cuda_on_cpu_fail_at (long call, int code);

/* Driver calls so far, of all threads. */
long cuda_on_cpu_get_calls (void);

/* As a new process, but for cuInit: waits for what runs, then frees all memory,
 * streams, events, modules, graphs, textures and contexts, and forgets all
 * faults. */
void cuda_on_cpu_reset (void);

/* Live allocations: device memory and pinned host memory. */
long cuda_on_cpu_get_allocations (void);

/* Live streams, events, modules, graphs, executable graphs, textures and contexts
 * of cuCtxCreate. */
long cuda_on_cpu_get_handles (void);

/* Whether `size` bytes from `address` lie in one live device allocation, which this
 * thread's current context reaches; what runs in a stream has the stream's. */
int cuda_on_cpu_check_range (CUdeviceptr address, size_t size);

/* Puts a function into a stream as if it were a kernel; a capture records it, then
 * it may run any number of times. `destroy`, which may be NULL, is called once,
 * on failure too. */
CUresult cuda_on_cpu_enqueue (CUstream stream, void (*run) (void *data),
    void *data, void (*destroy) (void *data));

#ifdef __cplusplus
}
#endif
