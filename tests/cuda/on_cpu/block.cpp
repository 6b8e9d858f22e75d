/* Threads of a block run one after another, in an order drawn anew each round; a
 * round ends when every thread waits or has exited. A warp's operation is complete
 * when all lanes it names are in it, a barrier when all threads of the block are;
 * if neither is, they have diverged, and the process ends.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "block.h"

#include "sanitizers.h"

#include <algorithm>
#include <link.h>
#include <map>
#include <string>
#include <sys/mman.h>

namespace on_cpu
{

static constexpr unsigned MAX_THREADS = 1024;
static constexpr size_t PAGE = 4096;
static constexpr uint32_t GARBAGE = 0x7fbadbad;        /* a NaN, as half too */

static_assert (sizeof (Runner) <= PLACE_SIZE, "there is a place for each");

/* --- memory --------------------------------------------------------------- */

static thread_local char in_static_shared;

struct Search
{
  uintptr_t inside;
  unsigned char *start;
  size_t size;
};

static int
find_thread_local (struct dl_phdr_info *info, size_t, void *data)
{
  Search *search = static_cast<Search *> (data);
  uintptr_t start = uintptr_t (info->dlpi_tls_data);

  for (int i = 0; i < info->dlpi_phnum; i++) {
    size_t size = info->dlpi_phdr[i].p_memsz;

    if (info->dlpi_phdr[i].p_type == PT_TLS && start <= search->inside
        && search->inside < start + size) {
      search->start = reinterpret_cast<unsigned char *> (start);
      search->size = size;
      return 1;
    }
  }
  return 0;
}

/* Finds this library's thread-local memory, of which a thread that runs blocks uses
 * nothing but __shared__. */
void
Block::find_static_shared ()
{
  /* Taking the address is what gives a thread this memory. */
  Search search = { uintptr_t (&in_static_shared), nullptr, 0 };

  if (!dl_iterate_phdr (find_thread_local, &search)) {
    fprintf (stderr, "cuda_on_cpu: thread-local memory is not found\n");
    abort ();
  }
  static_shared = search.start;
  static_shared_size = search.size;
}

Block::Block (): stacks (nullptr), n_threads (0), n_at_barrier (0),
  n_exited (0), launch (nullptr), seed (0), index (0), shared (nullptr, free)
{
  size_t size = (MAX_THREADS + 1) * STACK_SIZE;
  void *p = mmap (nullptr, size, PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (p == MAP_FAILED) {
    perror ("cuda_on_cpu: stacks of a block's threads");
    abort ();
  }
  stacks = reinterpret_cast<unsigned char *> ((uintptr_t (p) + STACK_SIZE - 1)
      & ~(STACK_SIZE - 1));
  find_static_shared ();
}

/* One more thread: [places, in one of them Runner][page without access][stack]
 * [unused, as long as what is before Runner]. */
void
Block::add_runner ()
{
  unsigned char *base = stacks + runners.size () * STACK_SIZE;
  unsigned char *end = base + N_PLACES * PLACE_SIZE;
  size_t place = get_thread_place (uintptr_t (base));
  Runner *runner = new (base + place) Runner ();

  if (mprotect (end, PAGE, PROT_NONE) != 0) {
    perror ("cuda_on_cpu: the end of a stack");
    abort ();
  }
  runner->block = this;
  runner->number = unsigned (runners.size ());
  fiber_init (&runner->fiber, end + PAGE,
      size_t (base + STACK_SIZE - place - (end + PAGE)));
  runners.push_back (runner);
}

/* --- a block's life ------------------------------------------------------- */

void
Block::prepare (const Launch &launch, uint64_t seed)
{
  void *p = nullptr;

  this->launch = &launch;
  this->seed = seed;
  n_threads = launch.block_size.x * launch.block_size.y * launch.block_size.z;
  while (runners.size () < n_threads)
    add_runner ();
  warps.assign ((n_threads + 31) / 32, Warp ());
  for (unsigned i = 0; i < n_threads; i++)
    warps[i / 32].lanes |= 1u << i % 32;
  /* Of exactly this size, so that AddressSanitizer sees what lies beyond. */
  if (posix_memalign (&p, 16, launch.shared_size) != 0)
    abort ();
  shared.reset (static_cast<unsigned char *> (p));
}

UNSEEN static void
fill_with_garbage (unsigned char *p, size_t size)
{
  static const uint32_t line[] = { GARBAGE, GARBAGE, GARBAGE, GARBAGE, GARBAGE,
    GARBAGE, GARBAGE, GARBAGE
  };
  size_t i = 0;

  for (; i + sizeof line <= size; i += sizeof line)
    memcpy (p + i, line, sizeof line);
  for (; i < size; i += sizeof GARBAGE)
    memcpy (p + i, &GARBAGE, std::min (size - i, sizeof GARBAGE));
}

UNSEEN void
Block::start (uint64_t index)
{
  dim3 grid = launch->grid_size, size = launch->block_size;
  unsigned x = unsigned (index % grid.x), y = unsigned (index / grid.x % grid.y);
  unsigned z = unsigned (index / grid.x / grid.y);

  this->index = index;
  fill_with_garbage (shared.get (), launch->shared_size);
  fill_with_garbage (static_shared, static_shared_size);
  n_at_barrier = n_exited = 0;
  next_ready.clear ();
  for (unsigned i = 0; i < n_threads; i++) {
    Runner *runner = runners[i];

    runner->thread_index = { i % size.x, i / size.x % size.y,
      i / size.x / size.y };
    runner->block_index = { x, y, z };
    runner->block_size = size;
    runner->grid_size = grid;
    runner->shared = shared.get ();
    runner->state = State::READY;
    next_ready.push_back (runner);
  }
  publish (&started);
}

void
Block::run (uint64_t index)
{
  Random random (seed ^ index << 20);

  start (index);
  while (n_exited < n_threads) {
    if (next_ready.empty ())
      release_barrier ();
    ready.swap (next_ready);
    next_ready.clear ();
    if (seed != 0)
      shuffle_ready (&random);
    run_round ();
  }
}

void
Block::shuffle_ready (Random *random)
{
  for (size_t i = ready.size (); i > 1; i--)
    std::swap (ready[i - 1], ready[random->next_below (i)]);
}

/* The other side of a fiber: it runs one thread of each block. */
UNSEEN void
Block::enter ()
{
  Runner *self = static_cast<Runner *> (const_cast<Thread *> (current ()));

  fiber_enter (&self->fiber);
  for (;;) {
    const Launch *launch = self->block->launch;

    observe (&self->block->started);
    launch->kernel->call (launch->kernel->function, launch->values.data ());
    self->state = State::EXITED;
    fiber_suspend (&self->fiber, true);
  }
}

UNSEEN void
Block::run_round ()
{
  for (Runner *runner : ready) {
    fiber_resume (&runner->fiber, enter);
    switch (runner->state) {
      case State::EXITED:
        n_exited++;
        break;
      case State::BARRIER:
        n_at_barrier++;
        break;
      case State::WARP:
        release_warp (runner);
        break;
      case State::READY:
        abort ();
    }
  }
}

/* --- barriers ------------------------------------------------------------- */

UNSEEN void
Block::wait_barrier (Runner *self, Site site)
{
  self->operation = "__syncthreads";
  self->site = site;
  self->state = State::BARRIER;
  fiber_suspend (&self->fiber, true);
  observe (&passed);
}

static bool
same_site (Site a, Site b)
{
  return a.line == b.line
      && (a.file == b.file || strcmp (a.file, b.file) == 0);
}

/* Nothing can run: that is right only where all wait at one barrier. */
UNSEEN void
Block::release_barrier ()
{
  if (n_at_barrier != n_threads)
    report_divergence ();
  for (unsigned i = 0; i < n_threads; i++) {
    if (!same_site (runners[i]->site, runners[0]->site))
      report_divergence ();
    runners[i]->state = State::READY;
    next_ready.push_back (runners[i]);
  }
  n_at_barrier = 0;
  publish (&passed);
}

/* --- warps ---------------------------------------------------------------- */

UNSEEN void
Block::wait_warp (Runner *self, const char *operation, unsigned mask, Site site)
{
  self->operation = operation;
  self->mask = mask;
  self->site = site;
  self->state = State::WARP;
  fiber_suspend (&self->fiber, false);
}

/* Which address orders this __syncwarp: the one of those already in it. */
UNSEEN unsigned
Block::choose_slot (Runner *self)
{
  Warp *warp = &warps[self->number / 32];
  unsigned first = self->number / 32 * 32;

  for (unsigned lane = 0; lane < 32; lane++) {
    Runner *other = (warp->waiting >> lane & 1) ? runners[first + lane] : nullptr;

    if (other && other->mask == self->mask && same_site (other->site, self->site))
      return other->slot;
  }
  return warp->n_synced++ % sizeof warp->synced;
}

UNSEEN void
Block::sync_warp (Runner *self, unsigned mask, Site site)
{
  Warp *warp = &warps[self->number / 32];

  self->mask = mask;
  self->site = site;
  self->slot = choose_slot (self);
  publish (&warp->synced[self->slot]);
  self->source = BALLOT;
  wait_warp (self, "__syncwarp", mask, site);
  observe (&warp->synced[self->slot]);
}

/* Lets go the lanes that are in one operation with this one, if all are. */
UNSEEN void
Block::release_warp (Runner *runner)
{
  Warp *warp = &warps[runner->number / 32];
  unsigned first = runner->number / 32 * 32;
  unsigned lanes = runner->mask & warp->lanes;

  if (!(runner->mask >> runner->number % 32 & 1))
    report ("a lane is not in the mask it gives");
  warp->waiting |= 1u << runner->number % 32;
  if ((warp->waiting & lanes) != lanes)
    return;
  for (unsigned left = lanes; left; left &= left - 1) {
    Runner *other = runners[first + __builtin_ctz (left)];

    if (other->mask != runner->mask || other->operation != runner->operation
        || !same_site (other->site, runner->site))
      return;
  }
  for (unsigned left = lanes; left; left &= left - 1)
    answer (runners[first + __builtin_ctz (left)], first);
  warp->waiting &= ~lanes;
  for (unsigned left = lanes; left; left &= left - 1) {
    runners[first + __builtin_ctz (left)]->state = State::READY;
    next_ready.push_back (runners[first + __builtin_ctz (left)]);
  }
}

/* `first`: its warp's first thread. What a lane that does not take part would give
 * is garbage. */
UNSEEN void
Block::answer (Runner *runner, unsigned first)
{
  unsigned lanes = runner->mask & warps[first / 32].lanes;

  if (runner->source == BALLOT) {
    runner->result = 0;
    for (unsigned left = lanes; left; left &= left - 1)
      if (runners[first + __builtin_ctz (left)]->value)
        runner->result |= left & -left;
  } else if (lanes >> runner->source & 1) {
    runner->result = runners[first + runner->source]->value;
  } else {
    runner->result = uint64_t (GARBAGE) << 32 | GARBAGE;
  }
}

/* --- complaints ----------------------------------------------------------- */

void
Block::report (const char *problem)
{
  dim3 grid = launch->grid_size;

  fprintf (stderr, "cuda_on_cpu: kernel %s, block (%u, %u, %u): %s\n",
      launch->kernel->name, unsigned (index % grid.x),
      unsigned (index / grid.x % grid.y), unsigned (index / grid.x / grid.y),
      problem);
  abort ();
}

void
Block::report_divergence ()
{
  std::map<std::string, unsigned> places;
  std::string text = "threads have diverged:";

  for (unsigned i = 0; i < n_threads; i++) {
    const Runner *runner = runners[i];

    if (runner->state == State::EXITED)
      places[" exited"]++;
    else
      places[std::string (" wait in ") + runner->operation + " at "
          + runner->site.file + ":" + std::to_string (runner->site.line)]++;
  }
  for (const auto &place : places)
    text += (text.back () == ':' ? " " : ", ") + std::to_string (place.second)
        + place.first;
  report (text.c_str ());
}

/* --- what kernels call (cuda_on_cpu.h) ------------------------------------ */

const Kernel *Kernel::first;

UNSEEN static Runner *
get_self ()
{
  return static_cast<Runner *> (const_cast<Thread *> (current ()));
}

UNSEEN void
sync_threads (Site site)
{
  Runner *self = get_self ();

  self->block->wait_barrier (self, site);
}

UNSEEN void
sync_warp (unsigned mask, Site site)
{
  Runner *self = get_self ();

  self->block->sync_warp (self, mask, site);
}

UNSEEN uint64_t
exchange (const char *operation, unsigned mask, uint64_t value, unsigned source,
    Site site)
{
  Runner *self = get_self ();

  self->value = value;
  self->source = source;
  self->block->wait_warp (self, operation, mask, site);
  return self->result;
}

/* Each fence is ordered after all before it: a little more than CUDA promises,
 * which also wants an atomic between them. */
void
fence ()
{
#ifdef ON_CPU_TSAN
  static char fences;

  publish (&fences);
  observe (&fences);
#else
  __atomic_thread_fence (__ATOMIC_SEQ_CST);
#endif
}

} // namespace on_cpu
