/* Scene cuts: does a frame belong to the same scene as the one before?
 *
 * The measure is that of ffmpeg's scdet: the mean absolute difference of two
 * frames' luma, or red, green and blue, or how much that differs from the one
 * before, whichever is less, so that steady motion counts little.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "video.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  DloralVideoFormat format;
  guint8 *before;               /* [height][3 · width], 8-bit levels of the frame
                                 * before */
  guint8 *line;                 /* [3 · width], of the frame at hand */
  gboolean have_before;
  double difference;            /* of the two frames before, percent of white */
} DloralScene;

void dloral_scene_init (DloralScene * scene, const DloralVideoFormat * format);
void dloral_scene_clear (DloralScene * scene);

/* How much the frame looks like the start of a new scene, 0 … 100. first: nothing
 * came before it. */
double dloral_scene_score (DloralScene * scene, const guint8 * frame,
    gboolean first);

G_END_DECLS
