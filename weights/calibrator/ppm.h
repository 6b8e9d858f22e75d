/* Pictures in PPM files: P6, 8 bits a sample, as ffmpeg writes them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/dloral.h"

G_BEGIN_DECLS

typedef struct
{
  int width, height;
  const guint8 *rgb;            /* [height][width][3] */
  char *contents;               /* of the file */
} DloralPpm;

gboolean dloral_ppm_read (DloralPpm * ppm, const char *path, GError ** error);
void dloral_ppm_clear (DloralPpm * ppm);

G_END_DECLS
