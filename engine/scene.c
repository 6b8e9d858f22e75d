/* The difference of frames.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void
dloral_scene_init (DloralScene *scene, const DloralVideoFormat *format)
{
  gsize row = (gsize) 3 * format->width;

  memset (scene, 0, sizeof *scene);
  scene->format = *format;
  scene->before = g_malloc (row * format->height);
  scene->line = g_malloc (row);
}

void
dloral_scene_clear (DloralScene *scene)
{
  g_clear_pointer (&scene->before, g_free);
  g_clear_pointer (&scene->line, g_free);
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
dloral_scene_score (DloralScene *scene, const guint8 *frame, gboolean first)
{
  const DloralVideoFormat *f = &scene->format;
  double difference, score;
  guint64 sum = 0;
  gsize n = 0;

  for (int y = 0; y < f->height; y++) {
    guint8 *before = scene->before + y * (gsize) 3 * f->width;

    n = dloral_video_read_line (f, frame, y, scene->line);
    if (!first && scene->have_before)
      sum += sum_differences (before, scene->line, n);
    memcpy (before, scene->line, n);
  }
  difference = sum * 100. / 256 / (n * f->height);
  score = MIN (difference, fabs (difference - scene->difference));
  scene->difference = difference;
  scene->have_before = TRUE;
  return score;
}
