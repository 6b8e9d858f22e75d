/* A block of CUDA threads, run by the thread that owns it: each is a fiber which
 * runs until it has to wait for others.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "fiber.h"
#include "grid.h"

#include <memory>

namespace on_cpu
{

/* xorshift: orders, not statistics. */
struct Random
{
  uint64_t state;

  explicit Random (uint64_t seed): state ((seed + 1) * 0x9e3779b97f4a7c15) {}

  uint64_t
  next ()
  {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1d;
  }

  /* 0 … n - 1 */
  uint64_t
  next_below (uint64_t n)
  {
    return uint64_t (static_cast<unsigned __int128> (next ()) * n >> 64);
  }
};

class Block;

/* What a thread waits for, or that it need not. */
enum class State { READY, BARRIER, WARP, EXITED };

/* A CUDA thread, on its stack. */
struct Runner: Thread
{
  Block *block;
  unsigned number;              /* in its block */
  State state;
  const char *operation;        /* what it waits in, and where */
  Site site;
  unsigned mask, source;
  uint64_t value, result;       /* given to and got from the warp */
  unsigned slot;                /* of Warp::synced */
  Fiber fiber;
};

struct Warp
{
  unsigned lanes;               /* those that exist */
  unsigned waiting;
  /* Addresses for ThreadSanitizer: a __syncwarp after another orders by another
   * one, lest early threads of the later be ordered before late ones of the
   * earlier. */
  char synced[8];
  unsigned n_synced;
};

class Block
{
public:
  Block ();
  Block (const Block &) = delete;

  /* What run needs for blocks of this launch. */
  void prepare (const Launch &launch, uint64_t seed);
  void run (uint64_t index);

  /* Of the runner's fiber. */
  void wait_barrier (Runner *self, Site site);
  void wait_warp (Runner *self, const char *operation, unsigned mask,
      Site site);
  void sync_warp (Runner *self, unsigned mask, Site site);

private:
  void find_static_shared ();
  void add_runner ();
  void start (uint64_t index);
  void run_round ();
  void shuffle_ready (Random *random);
  void release_warp (Runner *runner);
  void answer (Runner *runner, unsigned first);
  void release_barrier ();
  [[noreturn]] void report_divergence ();
  [[noreturn]] void report (const char *problem);
  unsigned choose_slot (Runner *self);
  static void enter ();

  unsigned char *stacks;        /* [MAX_THREADS][STACK_SIZE] */
  std::vector<Runner *> runners;
  std::vector<Warp> warps;
  std::vector<Runner *> ready, next_ready;
  unsigned n_threads, n_at_barrier, n_exited;

  const Launch *launch;
  uint64_t seed, index;
  std::unique_ptr<unsigned char, void (*) (void *)> shared;
  unsigned char *static_shared; /* all kernels' __shared__ of this thread */
  size_t static_shared_size;
  char started, passed;         /* addresses for ThreadSanitizer */
};

} // namespace on_cpu
