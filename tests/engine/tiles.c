/* Tiles: where they lie, and that their shares fit together.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/tiles.h"

#include <math.h>
#include <string.h>

static void
test_places (void)
{
  static const struct
  {
    int length, size, overlap, n, at[6];
  } cases[] = {
    { 96, 96, 32, 1, { 0 } },
    { 97, 96, 32, 2, { 0, 1 } },
    { 160, 96, 32, 2, { 0, 64 } },
    { 161, 96, 32, 3, { 0, 64, 65 } },
    { 240, 96, 32, 4, { 0, 64, 128, 144 } },
    { 20, 96, 32, 1, { 0 } },
    { 9, 4, 4, 4, { 0, 2, 4, 5 } },     /* the overlap leaves no step: halved */
    { 3, 1, 1, 3, { 0, 1, 2 } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    DloralTiles *t = dloral_tiles_new (MAX (cases[i].length, cases[i].size),
        cases[i].length, cases[i].size, cases[i].overlap);

    g_assert_cmpint (t->columns, ==, cases[i].n);
    for (int k = 0; k < t->columns; k++)
      g_assert_cmpint (t->x[k], ==, cases[i].at[k]);
    dloral_tiles_free (t);
  }
}

/* Adds a tile's shares to [height][width]. */
static void
add_shares (const DloralTiles *t, int row, int column, double *sum)
{
  g_autofree float *shares = dloral_tiles_get_shares (t, row, column);

  for (int y = 0; y < t->size; y++)
    for (int x = 0; x < t->size; x++)
      sum[(t->y[row] + y) * t->width + t->x[column] + x] +=
          shares[y * t->size + x];
}

/* At every latent they add up to 1, and nowhere does a tile begin with a step
 * that could be seen. */
static void
test_shares (void)
{
  static const int sizes[][4] = { {135, 240, 96, 32}, {90, 160, 64, 21},
    {13, 9, 6, 2}, {33, 200, 48, 16}
  };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    DloralTiles *t = dloral_tiles_new (sizes[i][0], sizes[i][1], sizes[i][2],
        sizes[i][3]);
    int n = t->height * t->width;
    g_autofree double *sum = g_new0 (double, n);
    g_autofree float *first = dloral_tiles_get_shares (t, 0, 0);

    for (int row = 0; row < t->rows; row++)
      for (int column = 0; column < t->columns; column++)
        add_shares (t, row, column, sum);
    for (int k = 0; k < n; k++)
      g_assert_cmpfloat (fabs (sum[k] - 1), <, 1e-6);
    if (t->columns > 1 && t->size >= 48)
      g_assert_cmpfloat (first[t->size / 2 * t->size + t->size - 1], <, 1e-4);
    dloral_tiles_free (t);
  }
}

/* As the published split of 2000 × 64 pixels, and of 250 × 8 latents: in tiles'
 * sizes of 1024 and 224. */
static void
test_stretches (void)
{
  static const DloralStretch encoder[] = { {0, 128, 0, 132}, {128, 250, 124,
          250} };
  static const DloralStretch decoder[] = { {0, 139, 0, 150}, {139, 250, 128,
          250} };
  g_autofree DloralStretch *s = NULL, *t = NULL, *u = NULL, *v = NULL;
  int n;

  s = dloral_stretches_new (250, 250, 128, 4, 8, &n);
  g_assert_cmpmem (s, n * sizeof *s, encoder, sizeof encoder);
  t = dloral_stretches_new (250, 250, 224, 11, 1, &n);
  g_assert_cmpmem (t, n * sizeof *t, decoder, sizeof decoder);
  u = dloral_stretches_new (8, 250, 128, 4, 8, &n);
  g_assert_cmpint (n, ==, 1);
  g_assert_cmpint (u[0].end, ==, 8);
  g_assert_cmpint (u[0].seen_end, ==, 8);
  v = dloral_stretches_new (136, 136, 128, 4, 8, &n);
  g_assert_cmpint (n, ==, 1);
}

static void
test_choice (void)
{
  DloralConfig plain = { 0 }, attentive = { 0 };

  plain.cfr.window = 5;
  plain.unet.levels = attentive.unet.levels = 1;
  g_assert_cmpint (dloral_tiles_choose (&plain, 400, 600, 0), ==, 0);
  g_assert_cmpint (dloral_tiles_choose (&plain, 400, 600, 64), ==, 64);
  g_assert_cmpint (dloral_tiles_choose (&attentive, 96, 96, 0), ==, 0);
  g_assert_cmpint (dloral_tiles_choose (&attentive, 72, 128, 0), ==, 0);
  g_assert_cmpint (dloral_tiles_choose (&attentive, 73, 128, 0), ==, 96);
  plain.unet.up_attention[0] = TRUE;
  g_assert_cmpint (dloral_tiles_choose (&plain, 400, 600, 0), ==, 96);
  g_assert_cmpint (dloral_tiles_choose_smaller (400, 600, 0), ==, 96);
  g_assert_cmpint (dloral_tiles_choose_smaller (400, 600, 96), ==, 64);
  g_assert_cmpint (dloral_tiles_choose_smaller (400, 600, 64), ==, 42);
  g_assert_cmpint (dloral_tiles_choose_smaller (400, 600, 42), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tiles/places", test_places);
  g_test_add_func ("/tiles/shares", test_shares);
  g_test_add_func ("/tiles/choice", test_choice);
  g_test_add_func ("/tiles/stretches", test_stretches);
  return g_test_run ();
}
