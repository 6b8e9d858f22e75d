/* Tiles and their weights.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tiles.h"

#include <math.h>

#define VARIANCE 0.01           /* of the window, as a share of the tile's side */

#define SMALLEST 32             /* chosen by itself */

/* --- Sizes ------------------------------------------------------------------ */

static gboolean
has_attention (const DloralConfig *config)
{
  const DloralUnetConfig *unet = &config->unet;
  gboolean found = config->cfr.window == 0 || unet->mid_attention;

  for (int i = 0; i < unet->levels; i++)
    found = found || unet->down_attention[i] || unet->up_attention[i];
  return found;
}

int
dloral_tiles_choose (const DloralConfig *config, int height, int width,
    int asked)
{
  int tile = asked > 0 ? asked : has_attention (config) ?
      DLORAL_TILE_SIZE : MAX (height, width);

  return (gsize) height * width > (gsize) tile * tile ? tile : 0;
}

int
dloral_tiles_choose_smaller (int height, int width, int tile)
{
  if (tile == 0)
    tile = MIN (DLORAL_TILE_SIZE, MIN (height, width));
  else
    tile = tile * 2 / 3;
  return tile >= SMALLEST ? tile : 0;
}

/* --- Stretches -------------------------------------------------------------- */

/* A step near `least` that suits the hardware: the published search. */
static int
find_step (int least, int most)
{
  for (int divider = 32; divider >= 2; divider /= 2) {
    int up = (least + divider - 1) / divider * divider;

    if (up <= most)
      return up;
  }
  return least;
}

DloralStretch *
dloral_stretches_new (int length, int longest, int tile, int pad, int unit,
    int *n)
{
  int inside = length - 2 * pad, step;
  DloralStretch *s;

  *n = longest > tile + 2 * pad ? MAX ((inside + tile - 1) / tile, 1) : 1;
  s = g_new (DloralStretch, *n);
  step = find_step ((MAX (inside, 1) * unit + *n - 1) / *n, tile * unit) / unit;
  for (int i = 0; i < *n; i++) {
    int first = pad + i * step, end = MIN (first + step, length);

    s[i].first = i == 0 ? 0 : first;
    s[i].end = i == *n - 1 || end >= length - pad ? length : end;
    s[i].seen = i == 0 ? 0 : first - pad;
    s[i].seen_end = i == *n - 1 ? length : MIN (end + pad, length);
  }
  return s;
}

/* --- Places ----------------------------------------------------------------- */

/* First positions of tiles along a side; returns how many. */
static int
place (int length, int size, int step, int **positions)
{
  int n = 1 + (MAX (length - size, 0) + step - 1) / step;

  *positions = g_new (int, n);
  for (int i = 0; i < n; i++)
    (*positions)[i] = MIN (i * step, length - size);
  return n;
}

DloralTiles *
dloral_tiles_new (int height, int width, int size, int overlap)
{
  DloralTiles *tiles = g_new0 (DloralTiles, 1);

  size = MIN (size, MIN (height, width));
  while (overlap >= size)
    overlap /= 2;
  tiles->size = size;
  tiles->height = height;
  tiles->width = width;
  tiles->rows = place (height, size, size - overlap, &tiles->y);
  tiles->columns = place (width, size, size - overlap, &tiles->x);
  return tiles;
}

void
dloral_tiles_free (DloralTiles *tiles)
{
  if (tiles == NULL)
    return;
  g_free (tiles->y);
  g_free (tiles->x);
  g_free (tiles);
}

/* The published window is centred between two latents across, and half
 * a latent lower down. */
static double
bell (int i, double centre, int size)
{
  double d = (i - centre) / size;

  return exp (-d * d / (2 * VARIANCE));
}

/* Along one side, a tile's share at i among all tiles that cover it. The window
 * is a product of one across and one down, and so is the sum over a grid of
 * tiles: shares are products, too. */
static double
get_share (const int *positions, int n, int tile, int i, double centre,
    int size)
{
  double sum = 0;

  for (int k = 0; k < n; k++) {
    int local = positions[tile] + i - positions[k];

    if (local >= 0 && local < size)
      sum += bell (local, centre, size);
  }
  return bell (i, centre, size) / sum;
}

float *
dloral_tiles_get_shares (const DloralTiles *tiles, int row, int column)
{
  int size = tiles->size;
  float *shares = g_new (float, (gsize) size * size);
  g_autofree double *across = g_new (double, size);

  for (int x = 0; x < size; x++)
    across[x] = get_share (tiles->x, tiles->columns, column, x,
        (size - 1) / 2., size);
  for (int y = 0; y < size; y++) {
    double down = get_share (tiles->y, tiles->rows, row, y, size / 2., size);

    for (int x = 0; x < size; x++)
      shares[y * size + x] = down * across[x];
  }
  return shares;
}
