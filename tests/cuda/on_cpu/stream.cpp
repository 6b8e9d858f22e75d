/* Streams: a thread each, which runs what is put in one after another. Events are
 * marks in that row.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

#include <thread>

namespace on_cpu
{

/* --- a stream's thread ---------------------------------------------------- */

/* The next entry, or none when the stream has been destroyed. */
static std::unique_ptr<Entry>
take_entry (CUstream_st *stream, bool *run)
{
  Guard guard (driver.mutex);
  std::unique_ptr<Entry> entry;

  guard.wait (driver.changed, [&] {
    return !stream->queue.empty () || stream->closing;
  });
  if (stream->queue.empty ())
    return nullptr;
  entry = std::move (stream->queue.front ());
  stream->queue.pop_front ();
  *run = driver.dead == CUDA_SUCCESS;
  driver.n_running++;
  return entry;
}

static void
run_stream (std::shared_ptr<CUstream_st> stream)
{
  std::unique_ptr<Entry> entry;
  bool run = false;

  thread_state = { { stream->context }, 1 };
  while ((entry = take_entry (stream.get (), &run))) {
    observe (entry.get ());
    if (run)
      (*entry->work) ();
    entry.reset ();
    publish (stream.get ());
    publish (&driver.n_running);

    Guard guard (driver.mutex);

    stream->n_done++;
    driver.n_running--;
    driver.changed.notify_all ();
  }
}

void
wait_until_idle (Guard *guard)
{
  guard->wait (driver.changed, [] { return driver.n_running == 0; });
  guard->observe (&driver.n_running);
}

/* Starts it with the mutex released, so that ThreadSanitizer sees it. */
static CUstream
open_stream (Guard *guard, CUcontext context)
{
  auto stream = std::make_shared<CUstream_st> ();

  stream->context = context;
  stream->number = driver.n_streams++;
  driver.streams.add (stream);
  guard->unlock ();
  std::thread (run_stream, stream).detach ();
  guard->lock ();
  return stream.get ();
}

/* --- putting in ----------------------------------------------------------- */

std::shared_ptr<CUstream_st>
get_stream (Guard *guard, CUstream handle, CUcontext context)
{
  std::shared_ptr<CUstream_st> stream;

  if (!handle) {
    if (driver.default_streams.count (context) == 0)
      driver.default_streams[context] = open_stream (guard, context);
    handle = driver.default_streams[context];
  }
  stream = driver.streams.get (handle);
  return stream && stream->context == context ? stream : nullptr;
}

CUresult
enqueue (Guard *guard, CUstream_st *stream, Work &&work)
{
  auto entry = std::make_unique<Entry> ();

  if (stream->capture && stream->capture->invalid)
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (stream->capture) {
    stream->capture->works.push_back (std::move (work));
    return CUDA_SUCCESS;
  }
  entry->work = std::move (work);
  guard->publish (entry.get ());
  stream->queue.push_back (std::move (entry));
  stream->n_entered++;
  driver.changed.notify_all ();
  return CUDA_SUCCESS;
}

CUresult
enqueue (Guard *guard, CUstream_st *stream, std::function<void ()> run)
{
  return enqueue (guard, stream,
      std::make_shared<const std::function<void ()>> (std::move (run)));
}

void
enqueue_record (Guard *guard, CUstream_st *stream,
    std::shared_ptr<Record> record)
{
  enqueue (guard, stream, [=] {
    publish (record.get ());

    Guard guard (driver.mutex);

    clock_gettime (CLOCK_MONOTONIC, &record->time);
    record->done = true;
    driver.changed.notify_all ();
  });
}

void
enqueue_wait (Guard *guard, CUstream_st *stream, std::shared_ptr<Record> record)
{
  enqueue (guard, stream, [=] {
    {
      Guard guard (driver.mutex);

      guard.wait (driver.changed, [&] {
        return record->done || driver.dead != CUDA_SUCCESS;
      });
    }
    observe (record.get ());
  });
}

void
wait_for_stream (Guard *guard, CUstream_st *stream)
{
  uint64_t n_entered = stream->n_entered;

  guard->wait (driver.changed, [&] { return stream->n_done >= n_entered; });
  guard->observe (stream);
}

} // namespace on_cpu

using namespace on_cpu;

/* --- streams -------------------------------------------------------------- */

CUresult CUDAAPI
cuStreamCreateWithPriority (CUstream *stream, unsigned flags, int)
{
  ENTER (call, CONTEXT);
  if (!stream || (flags & ~CU_STREAM_NON_BLOCKING))
    return CUDA_ERROR_INVALID_VALUE;
  *stream = open_stream (&call, call.context);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuStreamCreate (CUstream *stream, unsigned flags)
{
  return cuStreamCreateWithPriority (stream, flags, 0);
}

CUresult CUDAAPI
cuStreamDestroy (CUstream handle)
{
  std::unique_ptr<Capture> capture;

  ENTER (call, CONTEXT | ALWAYS);
  auto stream = driver.streams.get (handle);

  if (!stream || stream->context != call.context)
    return CUDA_ERROR_INVALID_HANDLE;
  capture = std::move (stream->capture);
  stream->closing = true;
  driver.streams.erase (handle);
  driver.changed.notify_all ();
  call.unlock ();
  return call.finish (CUDA_SUCCESS);
}

CUresult CUDAAPI
cuStreamSynchronize (CUstream handle)
{
  ENTER (call, CONTEXT | NO_CAPTURE | ALWAYS);
  auto stream = get_stream (&call, handle, call.context);

  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture) {
    stream->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  wait_for_stream (&call, stream.get ());
  return call.finish (driver.dead);
}

/* `destroy` runs when the last copy of the function is gone. */
static Work
make_work (void (*run) (void *), void *data, void (*destroy) (void *))
{
  std::shared_ptr<void> owned (data, [destroy] (void *data) {
    if (destroy)
      destroy (data);
  });

  return std::make_shared<const std::function<void ()>> (
      [run, owned = std::move (owned)] { run (owned.get ()); });
}

CUresult
cuda_on_cpu_enqueue (CUstream handle, void (*run) (void *), void *data,
    void (*destroy) (void *))
{
  /* Outlives the guard, lest `destroy` be called with the mutex held. */
  Work work = make_work (run, data, destroy);
  Guard guard (driver.mutex);
  auto stream = driver.streams.get (handle);

  if (driver.dead != CUDA_SUCCESS)
    return driver.dead;
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  return enqueue (&guard, stream.get (), std::move (work));
}

/* --- events --------------------------------------------------------------- */

/* Only cuStreamWaitEvent takes one of another context. */
static std::shared_ptr<CUevent_st>
get_event (CUevent handle, CUcontext context)
{
  auto event = driver.events.get (handle);

  return event && event->context == context ? event : nullptr;
}

CUresult CUDAAPI
cuEventCreate (CUevent *event, unsigned flags)
{
  constexpr unsigned known = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING;

  ENTER (call, CONTEXT);
  if (!event || (flags & ~known))
    return CUDA_ERROR_INVALID_VALUE;
  *event = driver.events.add (std::make_shared<CUevent_st> ());
  (*event)->context = call.context;
  (*event)->timing = !(flags & CU_EVENT_DISABLE_TIMING);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuEventDestroy (CUevent handle)
{
  ENTER (call, CONTEXT | ALWAYS);
  if (!get_event (handle, call.context))
    return CUDA_ERROR_INVALID_HANDLE;
  driver.events.erase (handle);
  return call.finish (CUDA_SUCCESS);
}

CUresult CUDAAPI
cuEventRecord (CUevent handle, CUstream stream_handle)
{
  ENTER (call, CONTEXT);
  auto event = get_event (handle, call.context);
  auto stream = get_stream (&call, stream_handle, call.context);

  if (!event || !stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture && stream->capture->invalid)
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  event->captured = stream->capture ? stream.get () : nullptr;
  if (stream->capture)
    return CUDA_SUCCESS;
  event->record = std::make_shared<Record> ();
  enqueue_record (&call, stream.get (), event->record);
  return CUDA_SUCCESS;
}

/* A captured event orders only the stream that captures it, where all is ordered
 * already. */
static CUresult
wait_in_capture (CUstream_st *stream, const CUevent_st &event)
{
  if (stream->capture && stream->capture->invalid)
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (event.captured == stream)
    return CUDA_SUCCESS;
  if (stream->capture)
    stream->capture->invalid = true;
  if (event.captured) {
    complain ("cuStreamWaitEvent: captures are of one stream here");
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
}

CUresult CUDAAPI
cuStreamWaitEvent (CUstream stream_handle, CUevent handle, unsigned flags)
{
  ENTER (call, CONTEXT);
  auto event = driver.events.get (handle);
  auto stream = get_stream (&call, stream_handle, call.context);

  if (flags != 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (!event || !stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture || event->captured)
    return wait_in_capture (stream.get (), *event);
  if (event->record)
    enqueue_wait (&call, stream.get (), event->record);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuEventQuery (CUevent handle)
{
  ENTER (call, CONTEXT | NO_CAPTURE);
  auto event = get_event (handle, call.context);

  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  if (event->captured)
    return CUDA_ERROR_CAPTURED_EVENT;
  if (event->record && !event->record->done)
    return CUDA_ERROR_NOT_READY;
  if (event->record)
    call.observe (event->record.get ());
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuEventSynchronize (CUevent handle)
{
  ENTER (call, CONTEXT | NO_CAPTURE | ALWAYS);
  auto event = get_event (handle, call.context);
  std::shared_ptr<Record> record;

  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  if (event->captured)
    return CUDA_ERROR_CAPTURED_EVENT;
  record = event->record;
  if (record) {
    call.wait (driver.changed, [&] {
      return record->done || driver.dead != CUDA_SUCCESS;
    });
    call.observe (record.get ());
  }
  return call.finish (driver.dead);
}

CUresult CUDAAPI
cuEventElapsedTime (float *milliseconds, CUevent start, CUevent end)
{
  ENTER (call, CONTEXT);
  auto from = get_event (start, call.context);
  auto to = get_event (end, call.context);

  if (!milliseconds)
    return CUDA_ERROR_INVALID_VALUE;
  if (!from || !to || !from->timing || !to->timing || !from->record
      || !to->record)
    return CUDA_ERROR_INVALID_HANDLE;
  if (from->captured || to->captured)
    return CUDA_ERROR_CAPTURED_EVENT;
  if (!from->record->done || !to->record->done)
    return CUDA_ERROR_NOT_READY;
  *milliseconds = (to->record->time.tv_sec - from->record->time.tv_sec) * 1e3f
      + (to->record->time.tv_nsec - from->record->time.tv_nsec) * 1e-6f;
  return CUDA_SUCCESS;
}

/* --- an older name -------------------------------------------------------- */

/* Of before CUDA 4.0; GStreamer's library asks for it. */
#undef cuStreamDestroy

EXPORTED CUresult CUDAAPI
cuStreamDestroy (CUstream handle)
{
  return cuStreamDestroy_v2 (handle);
}
