/* Captures of a stream, and the graphs they become: rows of work.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

namespace on_cpu
{

/* CUDA's rule: a capture of mode GLOBAL is upset by any thread, one of mode
 * THREAD_LOCAL by its own. */
bool
upset_captures ()
{
  bool upset = false;

  for (const auto &stream : driver.streams) {
    Capture *capture = stream.second->capture.get ();

    if (capture && (capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL
            || (capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
                && pthread_equal (capture->owner, pthread_self ()))))
      capture->invalid = upset = true;
  }
  return upset;
}

} // namespace on_cpu

using namespace on_cpu;

CUresult CUDAAPI
cuStreamBeginCapture (CUstream handle, CUstreamCaptureMode mode)
{
  ENTER (call, CONTEXT);
  if (!handle)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  auto stream = get_stream (&call, handle, call.context);

  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (mode > CU_STREAM_CAPTURE_MODE_RELAXED)
    return CUDA_ERROR_INVALID_VALUE;
  if (stream->capture)
    return CUDA_ERROR_ILLEGAL_STATE;
  stream->capture.reset (new Capture { mode, pthread_self (), false, {} });
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuStreamEndCapture (CUstream handle, CUgraph *graph)
{
  std::unique_ptr<Capture> capture;

  ENTER (call, CONTEXT | ALWAYS);
  auto stream = driver.streams.get (handle);
  CUresult result = call.finish (CUDA_SUCCESS);

  if (!graph)
    return CUDA_ERROR_INVALID_VALUE;
  *graph = nullptr;
  if (!stream || stream->context != call.context)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!stream->capture)
    return CUDA_ERROR_ILLEGAL_STATE;
  if (stream->capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED
      && !pthread_equal (stream->capture->owner, pthread_self ()))
    return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
  capture = std::move (stream->capture);
  if (result == CUDA_SUCCESS && capture->invalid)
    result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (result == CUDA_SUCCESS)
    *graph = driver.graphs.add (std::make_shared<CUgraph_st> (CUgraph_st {
            std::move (capture->works) }));
  call.unlock ();
  return result;
}

/* --- graphs --------------------------------------------------------------- */

CUresult CUDAAPI
cuGraphInstantiateWithFlags (CUgraphExec *exec, CUgraph handle,
    unsigned long long flags)
{
  ENTER (call, CONTEXT);
  auto graph = driver.graphs.get (handle);

  if (!exec || flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (!graph)
    return CUDA_ERROR_INVALID_HANDLE;
  *exec = driver.execs.add (std::make_shared<CUgraphExec_st> (CUgraphExec_st {
          call.context, graph->works, nullptr }));
  return CUDA_SUCCESS;
}

/* Launches of one executable graph run one after another, whatever the stream. */
CUresult CUDAAPI
cuGraphLaunch (CUgraphExec handle, CUstream stream_handle)
{
  ENTER (call, CONTEXT);
  auto exec = driver.execs.get (handle);
  auto stream = get_stream (&call, stream_handle, call.context);
  CUresult result = CUDA_SUCCESS;

  if (!exec || exec->context != call.context || !stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (!stream->capture && exec->last)
    enqueue_wait (&call, stream.get (), exec->last);
  for (const Work &work : exec->works)
    if (result == CUDA_SUCCESS)
      result = enqueue (&call, stream.get (), Work (work));
  if (!stream->capture) {
    exec->last = std::make_shared<Record> ();
    enqueue_record (&call, stream.get (), exec->last);
  }
  return result;
}

CUresult CUDAAPI
cuGraphDestroy (CUgraph handle)
{
  ENTER (call, CONTEXT | ALWAYS);
  auto graph = driver.graphs.get (handle);

  if (!graph)
    return CUDA_ERROR_INVALID_HANDLE;
  driver.graphs.erase (handle);
  call.unlock ();
  graph.reset ();
  return call.finish (CUDA_SUCCESS);
}

CUresult CUDAAPI
cuGraphExecDestroy (CUgraphExec handle)
{
  ENTER (call, CONTEXT | ALWAYS);
  auto exec = driver.execs.get (handle);

  if (!exec || exec->context != call.context)
    return CUDA_ERROR_INVALID_HANDLE;
  driver.execs.erase (handle);
  call.unlock ();
  exec.reset ();
  return call.finish (CUDA_SUCCESS);
}
