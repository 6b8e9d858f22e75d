/* Scores of scene cuts, against numbers worked out by hand.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/scene.h"

#include <math.h>
#include <string.h>

#define WIDTH 10
#define STRIDE 32
#define HEIGHT 7

typedef enum { RGB, YUY2, P010, GREY16 } Kind;

static DloralVideoFormat
make_format (Kind kind)
{
  DloralVideoFormat format = {
    .kind = kind == RGB ? DLORAL_VIDEO_RGB : kind == GREY16 ?
        DLORAL_VIDEO_GREY : DLORAL_VIDEO_YUV,
    .width = WIDTH, .height = HEIGHT, .size = HEIGHT * STRIDE, .opaque = -1,
    .depth = kind == P010 ? 10 : kind == GREY16 ? 16 : 8,
    .shift = kind == P010 ? 6 : 0,
  };

  for (int i = 0; i < 3; i++)
    format.components[i] = (DloralVideoComponent) {
      i, STRIDE, kind == RGB ? 3 : 2 };
  return format;
}

/* Whether byte x of a row tells anything. */
static gboolean
counts (Kind kind, int x)
{
  if (kind == RGB)
    return x < 3 * WIDTH;
  return x < 2 * WIDTH && x % 2 == (kind != YUY2);
}

/* The score of a frame of one grey; what does not count differs. */
static double
score_grey (DloralScene *scene, Kind kind, int grey, gboolean first)
{
  guint8 frame[HEIGHT * STRIDE];

  for (int i = 0; i < HEIGHT * STRIDE; i++)
    frame[i] = counts (kind, i % STRIDE) ? grey : 255 * (grey % 2);
  return dloral_scene_score (scene, frame, first);
}

static void
assert_near (double score, double expected)
{
  g_assert_cmpfloat (fabs (score - expected), <, 1e-9);
}

static void
test_scores (gconstpointer data)
{
  Kind kind = GPOINTER_TO_INT (data);
  DloralVideoFormat format = make_format (kind);
  DloralScene scene;

  dloral_scene_init (&scene, &format);
  assert_near (score_grey (&scene, kind, 10, FALSE), 0);      /* nothing before */
  assert_near (score_grey (&scene, kind, 10, FALSE), 0);
  assert_near (score_grey (&scene, kind, 138, FALSE), 50);    /* 128 of 256 */
  assert_near (score_grey (&scene, kind, 138, FALSE), 0);
  assert_near (score_grey (&scene, kind, 106, FALSE), 12.5);
  assert_near (score_grey (&scene, kind, 74, FALSE), 0);      /* as it went on */
  assert_near (score_grey (&scene, kind, 10, FALSE), 12.5);
  assert_near (score_grey (&scene, kind, 255, TRUE), 0);
  assert_near (score_grey (&scene, kind, 255, FALSE), 0);
  dloral_scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/scene/rgb", GINT_TO_POINTER (RGB), test_scores);
  g_test_add_data_func ("/scene/yuy2", GINT_TO_POINTER (YUY2), test_scores);
  g_test_add_data_func ("/scene/p010", GINT_TO_POINTER (P010), test_scores);
  g_test_add_data_func ("/scene/grey16", GINT_TO_POINTER (GREY16), test_scores);
  return g_test_run ();
}
