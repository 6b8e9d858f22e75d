/* How a matrix is dealt out to blocks where a thread keeps to one column: the
 * threads of a block have as many columns side by side as there are, and as many
 * rows as that leaves. matrix.cuh is the kernels' half of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#define DLORAL_MATRIX_THREADS 256

/* grid, block [3]: for [rows][columns], `each` rows to a thread. */
static inline void
dloral_matrix_get_grid (int rows, int columns, int each, unsigned *grid,
    unsigned *block)
{
  int across = columns < DLORAL_MATRIX_THREADS ? columns
      : DLORAL_MATRIX_THREADS;
  int down = DLORAL_MATRIX_THREADS / across * each;

  grid[0] = (rows + down - 1) / down;
  grid[1] = (columns + across - 1) / across;
  block[0] = DLORAL_MATRIX_THREADS;
}
