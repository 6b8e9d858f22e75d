/* What the retrieval's kernels and their launcher agree on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* retrieve_all and retrieve_window exist for a few numbers of channels; others
 * take the next larger one, the channels beyond theirs are zero. X (channels,
 * pairs, threads, keys): retrieve_all has so many pairs of a query and a head a
 * thread, threads a block and keys in shared memory at a time. */
#define DLORAL_RETRIEVAL_SHAPES(X) \
  X (4, 4, 256, 128) X (16, 2, 128, 128) X (64, 1, 128, 32)
#define DLORAL_RETRIEVAL_MAX_CHANNELS 64

/* Queries of a block of retrieve_window. */
#define DLORAL_RETRIEVAL_COLUMNS 32
#define DLORAL_RETRIEVAL_ROWS 4

/* Floats from key to key in its shared memory: odd in units of 16 bytes, so
 * that neighbouring threads read from different banks. */
#define DLORAL_RETRIEVAL_STEP(channels) (4 * ((channels) / 4 | 1))

/* A block of retrieve_combine: queries × warps, and as many channels as warps. */
#define DLORAL_RETRIEVAL_QUERIES 32
#define DLORAL_RETRIEVAL_WARPS 8

typedef struct
{
  int h, w, c, heads;
  int splits;                   /* parts of the keys, summed up separately */
  int split_keys;               /* keys of a part but the last; a multiple of
                                 * `keys` above */
  int reach;                    /* of the window to each side */
  int stage_rows;               /* key rows in shared memory at a time */
} DloralRetrievalParams;
