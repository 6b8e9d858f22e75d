/* Contexts: a device's primary one, those that programs create beside it, and which
 * reach each other's memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

namespace on_cpu
{

CUresult
check_context (CUcontext context)
{
  bool known = false;

  for (const CUctx_st &other : driver.contexts)
    known = known || &other == context;
  for (const CUctx_st &other : driver.own_contexts)
    known = known || &other == context;
  if (!known)
    return CUDA_ERROR_INVALID_CONTEXT;
  return context->n_retained > 0 ? CUDA_SUCCESS
      : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

bool
reaches (CUcontext context, CUcontext owner)
{
  return context == owner || (context && context->peers.count (owner) > 0);
}

/* Makes it the current one. */
static CUresult
push (CUcontext context)
{
  constexpr unsigned n_max =
      sizeof thread_state.contexts / sizeof *thread_state.contexts;

  if (thread_state.n_contexts == n_max) {
    complain ("%u contexts were pushed by one thread and not popped", n_max);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  thread_state.contexts[thread_state.n_contexts++] = context;
  return CUDA_SUCCESS;
}

/* --- what a context has --------------------------------------------------- */

/* Taken from a context with the mutex held, and freed without. */
struct Belongings
{
  std::vector<std::shared_ptr<void>> objects;
  std::vector<Allocation> allocations;
};

template <typename T> static void
take (Handles<T> *handles, CUcontext context, Belongings *taken)
{
  for (auto i = handles->begin (); i != handles->end ();)
    if (i->second->context == context) {
      taken->objects.push_back (i->second);
      i = handles->erase (i);
    } else {
      ++i;
    }
}

static void
take (Allocations *allocations, CUcontext context, Belongings *taken)
{
  for (auto i = allocations->begin (); i != allocations->end ();)
    if (i->second.context == context) {
      taken->allocations.push_back (i->second);
      i = allocations->erase (i);
    } else {
      ++i;
    }
}

/* Its streams come to their end first. CUDA's own one does not count. */
static void
take_streams (Guard *guard, CUcontext context, Belongings *taken)
{
  std::vector<std::shared_ptr<CUstream_st>> streams;
  auto own = driver.default_streams.find (context);

  for (const auto &stream : driver.streams)
    if (stream.second->context == context)
      streams.push_back (stream.second);
  for (const auto &stream : streams) {
    driver.streams.erase (stream.get ());
    if (own == driver.default_streams.end () || own->second != stream.get ())
      taken->objects.push_back (stream);
  }
  driver.default_streams.erase (context);
  for (const auto &stream : streams) {
    wait_for_stream (guard, stream.get ());
    stream->closing = true;
  }
  driver.changed.notify_all ();
}

static void
take_memory (CUcontext context, Belongings *taken)
{
  take (&driver.device_memory, context, taken);
  for (const Allocation &allocation : taken->allocations)
    driver.used -= allocation.size;
  take (&driver.host_memory, context, taken);
}

static void
take_all (Guard *guard, CUcontext context, Belongings *taken)
{
  take_streams (guard, context, taken);
  for (auto i = driver.functions.begin (); i != driver.functions.end ();)
    i = i->second->context == context ? driver.functions.erase (i)
        : std::next (i);
  take (&driver.events, context, taken);
  take (&driver.modules, context, taken);
  take (&driver.execs, context, taken);
  take (&driver.textures, context, taken);
  take_memory (context, taken);
}

} // namespace on_cpu

using namespace on_cpu;

/* --- primary contexts ----------------------------------------------------- */

CUresult CUDAAPI
cuDevicePrimaryCtxRetain (CUcontext *context, CUdevice device)
{
  ENTER (call, INITIALISED);
  if (!context)
    return CUDA_ERROR_INVALID_VALUE;
  if (!is_device (device))
    return CUDA_ERROR_INVALID_DEVICE;
  *context = &driver.contexts[device];
  (*context)->n_retained++;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuDevicePrimaryCtxRelease (CUdevice device)
{
  ENTER (call, INITIALISED | ALWAYS);
  if (!is_device (device))
    return CUDA_ERROR_INVALID_DEVICE;
  if (driver.contexts[device].n_retained == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  driver.contexts[device].n_retained--;
  return call.finish (CUDA_SUCCESS);
}

/* --- the current one ------------------------------------------------------ */

CUresult CUDAAPI
cuCtxPushCurrent (CUcontext context)
{
  ENTER (call, INITIALISED);
  CUresult result = check_context (context);

  return result == CUDA_SUCCESS ? push (context) : result;
}

CUresult CUDAAPI
cuCtxPopCurrent (CUcontext *context)
{
  ENTER (call, INITIALISED | ALWAYS);
  if (thread_state.n_contexts == 0)
    return CUDA_ERROR_INVALID_CONTEXT;
  thread_state.n_contexts--;
  if (context)
    *context = thread_state.contexts[thread_state.n_contexts];
  return call.finish (CUDA_SUCCESS);
}

CUresult CUDAAPI
cuCtxGetStreamPriorityRange (int *least, int *greatest)
{
  ENTER (call, CONTEXT);
  if (least)
    *least = 0;
  if (greatest)
    *greatest = -5;
  return CUDA_SUCCESS;
}

/* --- contexts beside them ------------------------------------------------- */

EXPORTED CUresult CUDAAPI
cuCtxCreate_v2 (CUcontext *context, unsigned flags, CUdevice device)
{
  CUresult result;

  ENTER (call, INITIALISED);
  if (!context || (flags & ~unsigned (CU_CTX_FLAGS_MASK)))
    return CUDA_ERROR_INVALID_VALUE;
  if (!is_device (device))
    return CUDA_ERROR_INVALID_DEVICE;
  driver.own_contexts.push_back ({ device, 1, {} });
  result = push (&driver.own_contexts.back ());
  if (result == CUDA_SUCCESS)
    *context = &driver.own_contexts.back ();
  else
    driver.own_contexts.pop_back ();
  return result;
}

static void
destroy (Guard *guard, CUcontext context, Belongings *left)
{
  context->n_retained = 0;
  context->peers.clear ();
  for (CUctx_st &other : driver.contexts)
    other.peers.erase (context);
  for (CUctx_st &other : driver.own_contexts)
    other.peers.erase (context);
  if (thread_state.n_contexts > 0
      && thread_state.contexts[thread_state.n_contexts - 1] == context)
    thread_state.n_contexts--;
  take_all (guard, context, left);
  if (!left->objects.empty () || !left->allocations.empty ())
    complain ("cuCtxDestroy: %zu allocations and %zu streams, events, modules, "
        "graphs or textures were left", left->allocations.size (),
        left->objects.size ());
}

CUresult CUDAAPI
cuCtxDestroy (CUcontext context)
{
  Belongings left;
  CUresult result;

  ENTER (call, INITIALISED | ALWAYS);
  result = check_context (context);
  if (result != CUDA_SUCCESS)
    return result;
  if (context == &driver.contexts[context->device])
    return CUDA_ERROR_INVALID_CONTEXT;
  destroy (&call, context, &left);
  call.unlock ();
  for (const Allocation &allocation : left.allocations)
    release_allocation (allocation);
  return call.finish (CUDA_SUCCESS);
}

/* --- peers ---------------------------------------------------------------- */

/* As GPUs that are linked; contexts of one device do not reach each other. */
static bool
can_reach (CUdevice device, CUdevice peer)
{
  return device != peer;
}

CUresult CUDAAPI
cuDeviceCanAccessPeer (int *can, CUdevice device, CUdevice peer)
{
  ENTER (call, INITIALISED);
  if (!can)
    return CUDA_ERROR_INVALID_VALUE;
  if (!is_device (device) || !is_device (peer))
    return CUDA_ERROR_INVALID_DEVICE;
  *can = can_reach (device, peer);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuCtxEnablePeerAccess (CUcontext peer, unsigned flags)
{
  ENTER (call, CONTEXT);
  if (flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (peer == call.context || check_context (peer) != CUDA_SUCCESS)
    return CUDA_ERROR_INVALID_CONTEXT;
  if (!can_reach (call.context->device, peer->device))
    return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
  return call.context->peers.insert (peer).second ? CUDA_SUCCESS
      : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
}

CUresult CUDAAPI
cuCtxDisablePeerAccess (CUcontext peer)
{
  ENTER (call, CONTEXT);
  if (check_context (peer) != CUDA_SUCCESS)
    return CUDA_ERROR_INVALID_CONTEXT;
  return call.context->peers.erase (peer) > 0 ? CUDA_SUCCESS
      : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}
