/* Where a large frame's tiles lie, and how much each counts where they overlap.
 *
 * As the published code does it above 96 × 96 latents: square tiles at equal
 * steps, the last of a row or column moved back inside, blended by a Gaussian.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "config.h"

G_BEGIN_DECLS

#define DLORAL_TILE_SIZE 96     /* published, latents */
#define DLORAL_TILE_OVERLAP 32

typedef struct
{
  int size;                     /* side of a tile, latents */
  int height, width;            /* of the frame, latents */
  int rows, columns;
  int *y, *x;                   /* [rows], [columns]: a tile's first latent */
} DloralTiles;

/* The side of a frame's tiles; 0: in one piece. asked: what the user wants, 0 for
 * the published choice. Without attention a model's work does not grow with the
 * square of the frame, and it is not tiled unless that is asked for. */
int dloral_tiles_choose (const DloralConfig * config, int height, int width,
    int asked);
/* The next smaller one to try; 0: there is none. */
int dloral_tiles_choose_smaller (int height, int width, int tile);

/* One of the stretches in which the VAE's attention takes a side of a large frame:
 * those from `first` to before `end` look at those from `seen` to before
 * `seen_end`. */
typedef struct
{
  int first, end, seen, seen_end;
} DloralStretch;

/* As the published code's tiled VAE: of about `tile` latents with `pad` on either
 * side, steps a multiple of 32 / unit latents; one, of everything, where the
 * longer side of the frame (`longest`) is not more than tile + 2 · pad. unit: of
 * the sizes that the code counts in to a latent (pixels: 8). To be freed with
 * g_free (); *n: how many. */
DloralStretch *dloral_stretches_new (int length, int longest, int tile,
    int pad, int unit, int *n);

/* Tiles of at most `size` a side over height × width; an overlap that leaves
 * no step is halved until it does. */
DloralTiles *dloral_tiles_new (int height, int width, int size, int overlap);
void dloral_tiles_free (DloralTiles * tiles);

/* Share of tile (row, column) in each of its latents, [size][size], to be
 * freed with g_free (). The shares of all tiles at a latent add up to 1. */
float *dloral_tiles_get_shares (const DloralTiles * tiles, int row,
    int column);

G_END_DECLS
