/* The inside of this libcuda.so.1: its objects, and what every call does first.
 *
 * All objects are protected by one mutex, which a Call holds.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#pragma GCC visibility push (default)
#include "on_cpu.h"
#pragma GCC visibility pop

#include "grid.h"
#include "sanitizers.h"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <pthread.h>
#include <set>
#include <string>
#include <time.h>
#include <unordered_map>

/* A function of CUDA's that this cuda.h does not declare. */
#define EXPORTED extern "C" __attribute__ ((visibility ("default")))

namespace on_cpu
{

/* As GPUs have them, in bytes. */
constexpr size_t TEXTURE_ALIGNMENT = 512, TEXTURE_PITCH_ALIGNMENT = 32,
    MAX_PITCH = 0x7fffffff;

/* Something put into a stream; a graph keeps it, to put it in again. */
typedef std::shared_ptr<const std::function<void ()>> Work;

struct Entry
{
  Work work;
};

/* A point in a stream that an event marks. */
struct Record
{
  bool done;
  struct timespec time;
};

struct Allocation
{
  CUcontext context;            /* that it was made in */
  unsigned char *block;         /* what malloc gave */
  size_t size;
};

/* By address of the first byte. */
typedef std::map<uintptr_t, Allocation> Allocations;

struct Capture
{
  CUstreamCaptureMode mode;
  pthread_t owner;
  bool invalid;
  std::vector<Work> works;
};

} // namespace on_cpu

struct CUctx_st
{
  int device;
  unsigned n_retained;          /* 0: destroyed, or a primary one not in use */
  std::set<CUcontext> peers;    /* whose memory it reaches */
};

struct CUfunc_st
{
  const on_cpu::Kernel *kernel;
  size_t max_shared;            /* dynamic */
};

struct CUmod_st
{
  CUcontext context;
  std::map<std::string, CUfunc_st> functions;
};

struct CUstream_st
{
  CUcontext context;
  unsigned number;
  std::deque<std::unique_ptr<on_cpu::Entry>> queue;
  uint64_t n_entered, n_done;
  bool closing;                 /* its thread ends when the queue is empty */
  std::unique_ptr<on_cpu::Capture> capture;
};

struct CUevent_st
{
  CUcontext context;
  bool timing;
  std::shared_ptr<on_cpu::Record> record;       /* the latest, or none */
  CUstream captured;            /* in a capture of this stream, or NULL */
};

struct CUgraph_st
{
  std::vector<on_cpu::Work> works;
};

struct CUgraphExec_st
{
  CUcontext context;
  std::vector<on_cpu::Work> works;
  std::shared_ptr<on_cpu::Record> last; /* when its last launch is done */
};

/* A CUtexObject is its address. */
struct Texture
{
  CUcontext context;
};

namespace on_cpu
{

/* The live objects of a kind. */
template <typename T> struct Handles: std::unordered_map<T *, std::shared_ptr<T>>
{
  std::shared_ptr<T>
  get (T *handle) const
  {
    auto found = this->find (handle);

    return found == this->end () ? nullptr : found->second;
  }

  T *
  add (std::shared_ptr<T> object)
  {
    this->emplace (object.get (), object);
    return object.get ();
  }
};

struct Options
{
  GridOptions grid;
  int n_devices, arch, version;
  size_t memory;
};

struct Driver
{
  std::mutex mutex;
  std::condition_variable changed;      /* anything a stream or waiter awaits */

  Options options;
  bool initialised;
  std::vector<CUctx_st> contexts;       /* [n_devices], the primary ones */
  std::deque<CUctx_st> own_contexts;    /* of cuCtxCreate, even if destroyed */

  Allocations device_memory, host_memory;
  size_t used;                  /* bytes of device_memory, of each device */

  Handles<CUstream_st> streams;
  Handles<CUevent_st> events;
  Handles<CUmod_st> modules;
  std::unordered_map<CUfunction, CUmodule> functions;   /* of live modules */
  Handles<CUgraph_st> graphs;
  Handles<CUgraphExec_st> execs;
  Handles<Texture> textures;
  std::map<CUcontext, CUstream> default_streams;
  unsigned n_running;           /* entries being run, of all streams */
  unsigned n_streams;           /* ever created */

  long n_calls, fail_at;        /* fail_at: as n_calls counts; 0: never */
  CUresult fault;               /* what then happens */
  CUresult dead;                /* what no call recovers from, or CUDA_SUCCESS */
};

/* What is known of a thread that calls. */
struct ThreadState
{
  CUcontext contexts[32];       /* the current one last */
  unsigned n_contexts;
};

extern thread_local ThreadState thread_state;

/* Never destroyed: threads may outlive main (). */
extern Driver &driver;

/* What a call needs, and what it may not meet. */
enum Needs
{
  INITIALISED = 1,
  CONTEXT = 2 | INITIALISED,    /* one that is current */
  NO_CAPTURE = 4,               /* no capture that this would upset */
  ALWAYS = 8,                   /* does its work even where it returns a fault */
};

/* One call of a driver function: holds the mutex, knows whether to go on. */
class Call: public Guard
{
public:
  explicit Call (int needs);

  CUresult result;              /* if not success, what to return at once */
  CUcontext context;            /* the current one, or NULL */

  /* What to return after the work: `result`, or the fault to be returned. */
  CUresult finish (CUresult result) const;

private:
  CUresult check (int needs);

  CUresult fault;
};

#define ENTER(call, needs) \
  on_cpu::Call call (needs); \
  if (call.result != CUDA_SUCCESS) \
    return call.result

/* One line about a call that a program should not have made. */
void complain (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/* Below: with the mutex held. */

/* Waits until no stream runs anything, which must be prevented from starting. */
void wait_until_idle (Guard *guard);

/* Of that handle and context, or NULL. Handle NULL is the context's own. */
std::shared_ptr<CUstream_st> get_stream (Guard *guard, CUstream handle,
    CUcontext context);

/* Runs `work` after what the stream has, or records it; takes it unless that
 * fails. */
CUresult enqueue (Guard *guard, CUstream_st *stream, Work &&work);
CUresult enqueue (Guard *guard, CUstream_st *stream, std::function<void ()> run);

/* `record` is done when the stream gets there; a stream waits for it. */
void enqueue_record (Guard *guard, CUstream_st *stream,
    std::shared_ptr<Record> record);
void enqueue_wait (Guard *guard, CUstream_st *stream,
    std::shared_ptr<Record> record);

void wait_for_stream (Guard *guard, CUstream_st *stream);

bool is_device (CUdevice device);

/* Whether it is one, and not destroyed. */
CUresult check_context (CUcontext context);

/* Bytes of shared memory a block may have, having asked. */
size_t get_max_shared ();

/* The one that [address, address + size] lies in, or NULL. */
const Allocation *find_range (const Allocations &allocations, uintptr_t address,
    size_t size);

/* Whether memory of `owner` may be used in `context`: its own, or a peer's. */
bool reaches (CUcontext context, CUcontext owner);

/* Whether the bytes are in one device allocation of such a context; if not, says
 * what `call` did. */
bool check_device_memory (CUcontext context, CUdeviceptr address, size_t size,
    const char *call);

/* Checks for damage around it and frees it. */
void release_allocation (const Allocation &allocation);

/* Captures that a call of this thread must not meet, which makes them invalid. */
bool upset_captures ();

} // namespace on_cpu
