/* How a tensor of patches lies beside its picture, for the kernels.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/graph.h"
#include "kernels/picture.h"

/* Of a tensor [h][w][patch · patch · 3]. */
static inline DloralPatches
dloral_patches_make (const DloralTensor * t, int patch)
{
  gboolean known = patch == 2 || patch == 4 || patch == 8 || patch == 16;

  if (patch > 1)
    return (DloralPatches) { t->h, t->w, patch, 3 * patch, known ? patch :
      DLORAL_PATCHES_ANY };
  return (DloralPatches) { t->h, 1, 1, 3 * t->w, t->w % 8 == 0 ?
    DLORAL_PATCHES_ROWS : DLORAL_PATCHES_ANY };
}
