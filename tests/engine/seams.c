/* A picture restored in tiles shows no seam: what tiles change of it changes no
 * more abruptly where a tile begins or ends than it does elsewhere.
 *
 * Argument: a model file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/dloral.h"
#include "engine/tiles.h"

#include <math.h>
#include <string.h>

#define WIDTH 160
#define HEIGHT 96
#define SCALE 4
#define LATENT 8                /* HR pixels to a side of one */
#define TILE 32
#define OVERLAP (TILE * DLORAL_TILE_OVERLAP / DLORAL_TILE_SIZE)
#define N_FRAMES 2              /* the second has a past */

static const char *model_path;

/* Soft slopes, edges and texture, as pictures have. */
static guint8
get_sample (int x, int y, int c, int t)
{
  double slope = 90 + 40 * sin (.021 * (x + 3 * t) + .034 * y + c);
  double edge = hypot (x - 60 - 2 * t, y - 50) < 30 ? 45 : 0;
  double texture = 14 * sin (1.3 * x + .4 * y) * sin (.9 * y - .2 * x + c);

  return CLAMP (slope + edge + texture, 0, 255);
}

static void
draw (DloralFrame *f, int t)
{
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++)
      for (int c = 0; c < 3; c++)
        f->lq[y * f->lq_stride + 3 * x + c] = get_sample (x, y, c, t);
}

/* The last picture, [SCALE·HEIGHT][SCALE·WIDTH][3]. */
static guint8 *
restore (DloralModel *model, int tile_size)
{
  DloralStreamParams params = { .width = WIDTH,.height = HEIGHT,
    .color_fix = DLORAL_COLOR_FIX_NONE,.tile_size = tile_size,
    .tile_overlap = OVERLAP, DLORAL_STREAM_DEFAULTS
  };
  GError *error = NULL;
  DloralStream *stream = dloral_stream_new (model, &params, &error);
  gsize row = SCALE * WIDTH * 3;
  guint8 *picture = g_malloc (SCALE * HEIGHT * row);

  g_assert_no_error (error);
  for (int t = 0; t < N_FRAMES; t++) {
    DloralFrame *f = dloral_stream_acquire (stream);

    draw (f, t);
    dloral_stream_submit (stream, f);
    f = dloral_stream_collect (stream, TRUE);
    g_assert_no_error (f->error);
    for (int y = 0; y < SCALE * HEIGHT; y++)
      memcpy (picture + y * row, f->hr + y * f->hr_stride, row);
    dloral_stream_release (stream, f);
  }
  dloral_stream_free (stream);
  return picture;
}

/* Root mean square of the step of a - b from line `at - 1` to line `at`; lines are
 * columns or rows. */
static double
get_step (const guint8 *a, const guint8 *b, gboolean columns, int at)
{
  int n = columns ? SCALE * HEIGHT : SCALE * WIDTH;
  gsize along = columns ? SCALE * WIDTH * 3 : 3;
  gsize across = columns ? 3 : SCALE * WIDTH * 3;
  double sum = 0;

  for (int i = 0; i < n; i++)
    for (int c = 0; c < 3; c++) {
      gsize p = i * along + at * across + c, q = p - across;
      double step = (a[p] - b[p]) - (a[q] - b[q]);

      sum += step * step;
    }
  return sqrt (sum / (3 * n));
}

static gboolean
is_border (const int *starts, int n, int line)
{
  for (int i = 0; i < n; i++)
    if (line == starts[i] * LATENT || line == (starts[i] + TILE) * LATENT)
      return TRUE;
  return FALSE;
}

static void
check (const guint8 *tiled, const guint8 *whole, gboolean columns,
    const int *starts, int n)
{
  double border = 0, elsewhere = 0;
  int n_borders = 0;

  for (int i = 1; i < SCALE * (columns ? WIDTH : HEIGHT); i++) {
    double step = get_step (tiled, whole, columns, i);

    if (is_border (starts, n, i)) {
      border = MAX (border, step);
      n_borders++;
    } else {
      elsewhere = MAX (elsewhere, step);
    }
  }
  g_test_message ("largest step of %s: %.3f levels at %d borders, %.3f "
      "elsewhere", columns ? "columns" : "rows", border, n_borders, elsewhere);
  g_assert_cmpint (n_borders, >, 0);
  g_assert_cmpfloat (elsewhere, >, 0);
  g_assert_cmpfloat (border, <=, elsewhere);
}

static void
test_seams (void)
{
  GError *error = NULL;
  DloralModel *model = dloral_model_open (&(DloralModelParams) {
      .path = model_path,.device = DLORAL_DEVICE_CPU,
      .precision = DLORAL_PRECISION_F32 }, &error);
  DloralTiles *tiles = dloral_tiles_new (SCALE * HEIGHT / LATENT,
      SCALE * WIDTH / LATENT, TILE, OVERLAP);
  guint8 *tiled, *whole;

  g_assert_no_error (error);
  whole = restore (model, 1000);
  tiled = restore (model, TILE);
  check (tiled, whole, TRUE, tiles->x, tiles->columns);
  check (tiled, whole, FALSE, tiles->y, tiles->rows);
  g_free (whole);
  g_free (tiled);
  dloral_tiles_free (tiles);
  dloral_model_unref (model);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  model_path = argv[1];
  g_test_add_func ("/seams", test_seams);
  return g_test_run ();
}
