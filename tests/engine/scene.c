/* Scores of scene cuts, against numbers worked out by hand.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/scene.h"

#include <math.h>
#include <string.h>

#define ROW 30
#define STRIDE 32
#define HEIGHT 7

/* The score of a frame of one grey; what lies beyond its rows differs. */
static double
score_grey (DloralScene *scene, int grey, gboolean first)
{
  guint8 frame[HEIGHT * STRIDE];

  for (int y = 0; y < HEIGHT; y++) {
    memset (frame + y * STRIDE, grey, ROW);
    memset (frame + y * STRIDE + ROW, 255 * (grey % 2), STRIDE - ROW);
  }
  return dloral_scene_score (scene, frame, STRIDE, first);
}

static void
assert_near (double score, double expected)
{
  g_assert_cmpfloat (fabs (score - expected), <, 1e-9);
}

static void
test_scores (void)
{
  DloralScene scene;

  dloral_scene_init (&scene, HEIGHT, ROW);
  assert_near (score_grey (&scene, 10, FALSE), 0);      /* nothing before */
  assert_near (score_grey (&scene, 10, FALSE), 0);
  assert_near (score_grey (&scene, 138, FALSE), 50);    /* 128 of 256 */
  assert_near (score_grey (&scene, 138, FALSE), 0);
  assert_near (score_grey (&scene, 106, FALSE), 12.5);
  assert_near (score_grey (&scene, 74, FALSE), 0);      /* as it went on */
  assert_near (score_grey (&scene, 10, FALSE), 12.5);
  assert_near (score_grey (&scene, 255, TRUE), 0);
  assert_near (score_grey (&scene, 255, FALSE), 0);
  dloral_scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/scene/scores", test_scores);
  return g_test_run ();
}
