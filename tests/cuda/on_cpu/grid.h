/* Runs kernels on the CPU: a grid's blocks on a few worker threads, a block's
 * threads as fibers of one of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cuda_on_cpu.h"

#include <vector>

namespace on_cpu
{

struct Launch
{
  const Kernel *kernel;
  dim3 grid_size, block_size;
  size_t shared_size;           /* bytes of dynamic shared memory */
  std::vector<void *> values;   /* of the kernel's parameters */
  std::vector<uint64_t> storage;        /* where they are */
};

/* What the environment says, read before the first grid. */
struct GridOptions
{
  unsigned n_workers;
  uint64_t seed;                /* 0: everything in its order */
};

/* Returns when the grid has run. `turn` says which worker gets the first block. */
void run_grid (const Launch &launch, unsigned turn, const GridOptions &options);

} // namespace on_cpu
