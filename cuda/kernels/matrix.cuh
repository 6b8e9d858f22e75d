/* matrix.h's division of a matrix, as a thread sees it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "common.cuh"
#include "matrix.h"

/* A thread's column and its n rows: `row`, row + step … It may have none. */
struct Share
{
  int column, row, step, n;
};

__device__ __forceinline__ Share
find_share (int rows, int columns, int each)
{
  int across = min (columns, DLORAL_MATRIX_THREADS);
  int down = DLORAL_MATRIX_THREADS / across, place = threadIdx.x / across;
  Share s = { int (blockIdx.y * across + threadIdx.x % across),
    int (blockIdx.x * down * each + place), down, 0 };

  if (place < down && s.column < columns && s.row < rows)
    s.n = min ((rows - 1 - s.row) / down + 1, each);
  return s;
}
