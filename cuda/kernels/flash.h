/* What the attention kernels and their launcher agree on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* Queries of a block; keys, and channels of a head, in shared memory at a time. */
#define DLORAL_FLASH_TILE 64

/* Threads side by side, each with a sixteenth of a row of a tile. */
#define DLORAL_FLASH_COLUMNS 16

/* X (width, rows): heads of at most `width` channels; each thread has `rows` of
 * the tile's rows, so a block is 16 × 64 / rows threads. A grid is tiles of
 * queries × heads; of groups, groups × heads × tiles. */
#define DLORAL_FLASH_SHAPES(X) X (64, 8) X (512, 4)
#define DLORAL_FLASH_MAX_WIDTH 512

/* Floats from row to row of a tile in shared memory: odd in units of 16 bytes,
 * so that neighbouring rows are in different banks. */
#define DLORAL_FLASH_STEP (DLORAL_FLASH_TILE + 4)

/* Three tiles: queries; keys, then probabilities; values. */
#define DLORAL_FLASH_SHARED (3 * DLORAL_FLASH_TILE * DLORAL_FLASH_STEP * 4)

typedef struct
{
  int n_queries, n_keys, head_dim;
  int q_step, k_step, v_step, dst_step; /* channels of the tensors */
  float scale;                  /* · log2 (e): powers are those of 2 */
  int causal;
} DloralFlashParams;

/* What is added to scores where positions come in groups, of n_queries = n_keys;
 * engine/graph.h says which kind a group is. */
typedef struct
{
  const float *values;          /* [kinds][heads][n_queries][n_keys] */
  float unit;                   /* 1 / scale: added before that */
  int kinds, across;
} DloralFlashBias;
