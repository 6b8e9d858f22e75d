/* What every call goes through, the faults put in its way, and starting anew.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

#include <stdarg.h>

namespace on_cpu
{

/* --- options -------------------------------------------------------------- */

static long long
get_option (const char *name, long long fallback)
{
  const char *text = getenv (name);

  return text && *text ? strtoll (text, nullptr, 0) : fallback;
}

static Options
read_options ()
{
  Options options;

  options.grid.seed = get_option ("CUDA_ON_CPU_SEED", 1);
  options.grid.n_workers = std::max<int> (1,
      get_option ("CUDA_ON_CPU_WORKERS", 2));
  options.n_devices = get_option ("CUDA_ON_CPU_DEVICES", 1);
  options.arch = get_option ("CUDA_ON_CPU_ARCH", 90);
  options.version = get_option ("CUDA_ON_CPU_DRIVER_VERSION", 13000);
  options.memory = get_option ("CUDA_ON_CPU_MEMORY", 16ll << 30);
  return options;
}

static Driver *
make_driver ()
{
  Driver *driver = new Driver ();
  const char *fail = getenv ("CUDA_ON_CPU_FAIL");
  int code = 0;

  driver->options = read_options ();
  for (int i = 0; i < driver->options.n_devices; i++)
    driver->contexts.push_back ({ i, 0, {} });
  if (fail && sscanf (fail, "%ld:%d", &driver->fail_at, &code) == 2)
    driver->fault = CUresult (code);
  return driver;
}

Driver &driver = *make_driver ();

/* --- calls ---------------------------------------------------------------- */

thread_local ThreadState thread_state;

/* Whether CUDA says the process must end after it. */
static bool
is_fatal (CUresult code)
{
  switch (code) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_EXTERNAL_DEVICE:
      return true;
    default:
      return false;
  }
}

CUresult
Call::check (int needs)
{
  if ((needs & INITIALISED) && !driver.initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  if ((needs & CONTEXT) == CONTEXT && !context)
    return CUDA_ERROR_INVALID_CONTEXT;
  if ((needs & CONTEXT) == CONTEXT && context->n_retained == 0)
    return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  if ((needs & NO_CAPTURE) && upset_captures ())
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return CUDA_SUCCESS;
}

Call::Call (int needs): Guard (driver.mutex), result (CUDA_SUCCESS),
  context (nullptr), fault (driver.dead)
{
  if (thread_state.n_contexts > 0)
    context = thread_state.contexts[thread_state.n_contexts - 1];
  if (++driver.n_calls == driver.fail_at && fault == CUDA_SUCCESS) {
    fault = driver.fault;
    if (is_fatal (fault))
      driver.dead = fault;
  }
  /* A dead device computes nothing: what a program then frees, nobody uses. */
  if (driver.dead != CUDA_SUCCESS) {
    driver.changed.notify_all ();
    wait_until_idle (this);
  }
  if (fault == CUDA_SUCCESS || (needs & ALWAYS))
    result = check (needs);
  if (fault != CUDA_SUCCESS && (result != CUDA_SUCCESS || !(needs & ALWAYS)))
    result = fault;
}

CUresult
Call::finish (CUresult result) const
{
  return result == CUDA_SUCCESS ? fault : result;
}

void
complain (const char *format, ...)
{
  va_list args;
  char text[512];

  va_start (args, format);
  vsnprintf (text, sizeof text, format, args);
  va_end (args);
  fprintf (stderr, "cuda_on_cpu: %s\n", text);
}

/* --- starting anew -------------------------------------------------------- */

/* What is taken from the driver with its mutex held, and freed without. */
struct Remains
{
  std::vector<std::unique_ptr<Entry>> entries;
  std::vector<std::unique_ptr<Capture>> captures;
  Handles<CUgraph_st> graphs;
  Handles<CUgraphExec_st> execs;
  Allocations device_memory, host_memory;
};

static void
take_streams (Remains *remains)
{
  for (const auto &stream : driver.streams) {
    for (auto &entry : stream.second->queue)
      remains->entries.push_back (std::move (entry));
    stream.second->queue.clear ();
    remains->captures.push_back (std::move (stream.second->capture));
    stream.second->closing = true;
  }
  driver.streams.clear ();
  driver.default_streams.clear ();
  driver.changed.notify_all ();
}

static void
take_all (Remains *remains)
{
  Guard guard (driver.mutex);

  driver.dead = CUDA_ERROR_DEINITIALIZED;       /* until all is gone */
  driver.changed.notify_all ();
  wait_until_idle (&guard);
  take_streams (remains);
  remains->graphs.swap (driver.graphs);
  remains->execs.swap (driver.execs);
  remains->device_memory.swap (driver.device_memory);
  remains->host_memory.swap (driver.host_memory);
  driver.events.clear ();
  driver.functions.clear ();
  driver.modules.clear ();
  driver.textures.clear ();
  driver.used = 0;
  for (CUctx_st &context : driver.contexts)
    context = { context.device, 0, {} };
  for (CUctx_st &context : driver.own_contexts)
    context = { context.device, 0, {} };
  driver.fail_at = 0;
  driver.dead = CUDA_SUCCESS;
}

__attribute__ ((destructor)) static void
report_leaks ()
{
  Guard guard (driver.mutex);
  size_t size = 0;

  for (const auto &allocation : driver.device_memory)
    size += allocation.second.size;
  for (const auto &allocation : driver.host_memory)
    size += allocation.second.size;
  if (driver.dead == CUDA_SUCCESS && size > 0)
    complain ("%zu allocations of %zu bytes were never freed",
        driver.device_memory.size () + driver.host_memory.size (), size);
}

} // namespace on_cpu

using namespace on_cpu;

void
cuda_on_cpu_reset (void)
{
  Remains remains;

  take_all (&remains);
  for (const auto &allocation : remains.device_memory)
    release_allocation (allocation.second);
  for (const auto &allocation : remains.host_memory)
    release_allocation (allocation.second);
}

/* --- for tests ------------------------------------------------------------ */

void
cuda_on_cpu_fail_at (long call, int code)
{
  Guard guard (driver.mutex);

  driver.fail_at = call > 0 ? driver.n_calls + call : 0;
  driver.fault = CUresult (code);
}

long
cuda_on_cpu_get_calls (void)
{
  Guard guard (driver.mutex);

  return driver.n_calls;
}

long
cuda_on_cpu_get_handles (void)
{
  Guard guard (driver.mutex);
  long n_contexts = 0;

  for (const CUctx_st &context : driver.own_contexts)
    n_contexts += context.n_retained;
  return n_contexts + driver.streams.size () - driver.default_streams.size ()
      + driver.events.size () + driver.modules.size () + driver.graphs.size ()
      + driver.execs.size () + driver.textures.size ();
}
