/* A grid's blocks are dealt to the workers like cards, in an order drawn by seed.
 * Blocks of different workers run at once and are not ordered among one another,
 * as ThreadSanitizer sees it too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "grid.h"

#include "block.h"
#include "sanitizers.h"

#include <deque>
#include <numeric>
#include <thread>

namespace on_cpu
{

/* The blocks first, first + n, first + 2 n … of the order. */
struct Share
{
  const Launch *launch;
  uint64_t first, n;
  unsigned *n_left;             /* shares of the launch that are not done */
};

struct Worker
{
  std::deque<Share> shares;
};

/* Lives as long as the process: its threads do. */
struct Pool
{
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::unique_ptr<Worker>> workers;
  uint64_t seed;
};

/* The place in the grid of the i-th of n blocks: a·i + b mod n, a prime to n. */
static uint64_t
get_place (uint64_t i, uint64_t n, uint64_t seed)
{
  Random random (seed ^ n);
  uint64_t a, b;

  if (seed == 0)
    return i;
  do
    a = 1 + random.next_below (n);
  while (std::gcd (a, n) != 1);
  b = random.next_below (n);
  return uint64_t ((static_cast<unsigned __int128> (a) * i + b) % n);
}

static uint64_t
count_blocks (const Launch &launch)
{
  return uint64_t (launch.grid_size.x) * launch.grid_size.y
      * launch.grid_size.z;
}

static void
run_share (Block *block, const Share &share, uint64_t seed)
{
  uint64_t n;

  observe (share.launch);
  n = count_blocks (*share.launch);
  block->prepare (*share.launch, seed);
  for (uint64_t i = share.first; i < n; i += share.n)
    block->run (get_place (i, n, seed));
  publish (share.launch);
}

static void
run_worker (Pool *pool, Worker *worker)
{
  Block block;

  for (;;) {
    Share share;

    {
      Guard guard (pool->mutex);

      guard.wait (pool->changed, [&] { return !worker->shares.empty (); });
      share = worker->shares.front ();
      worker->shares.pop_front ();
    }
    run_share (&block, share, pool->seed);
    {
      Guard guard (pool->mutex);

      --*share.n_left;
      pool->changed.notify_all ();
    }
  }
}

static Pool *
start_pool (const GridOptions &options)
{
  Pool *pool = new Pool;

  pool->seed = options.seed;
  for (unsigned i = 0; i < options.n_workers; i++)
    pool->workers.emplace_back (new Worker);
  for (const auto &worker : pool->workers)
    std::thread (run_worker, pool, worker.get ()).detach ();
  return pool;
}

void
run_grid (const Launch &launch, unsigned turn, const GridOptions &options)
{
  static Pool *const pool = start_pool (options);
  unsigned n_workers = unsigned (pool->workers.size ());
  unsigned n_shares = unsigned (std::min<uint64_t> (n_workers,
          count_blocks (launch)));
  unsigned n_left = n_shares;

  publish (&launch);
  {
    Guard guard (pool->mutex);

    for (unsigned i = 0; i < n_shares; i++)
      pool->workers[(turn + i) % n_workers]->shares.push_back ({ &launch, i,
            n_shares, &n_left });
    pool->changed.notify_all ();
    guard.wait (pool->changed, [&] { return n_left == 0; });
  }
  observe (&launch);
}

} // namespace on_cpu
