/* The difference of frames.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void
dloral_scene_init (DloralScene *scene, int height, gsize row)
{
  memset (scene, 0, sizeof *scene);
  scene->height = height;
  scene->row = row;
  scene->before = g_malloc (row * height);
}

void
dloral_scene_clear (DloralScene *scene)
{
  g_clear_pointer (&scene->before, g_free);
}

static guint
sum_differences (const guint8 *a, const guint8 *b, gsize n)
{
  guint sum = 0;

  for (gsize i = 0; i < n; i++)
    sum += abs (a[i] - b[i]);
  return sum;
}

double
dloral_scene_score (DloralScene *scene, const guint8 *frame, gsize stride,
    gboolean first)
{
  double difference, score;
  guint64 sum = 0;

  for (int y = 0; y < scene->height; y++) {
    guint8 *before = scene->before + y * scene->row;

    if (!first && scene->have_before)
      sum += sum_differences (before, frame + y * stride, scene->row);
    memcpy (before, frame + y * stride, scene->row);
  }
  difference = sum * 100. / 256 / (scene->row * scene->height);
  score = MIN (difference, fabs (difference - scene->difference));
  scene->difference = difference;
  scene->have_before = TRUE;
  return score;
}
