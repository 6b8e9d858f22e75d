/* A picture made smaller, or larger, on the host: torch's F.interpolate with
 * mode "bilinear" and antialias, in float.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "types.h"

G_BEGIN_DECLS

/* src [h][w][3], U8 or U16, taken as [0, 1] → dst [size][size][3], each channel
 * less its mean over its deviation. Any thread. */
void dloral_antialias (gconstpointer src, DloralDtype type, int h, int w,
    int size, const float *mean, const float *deviation, float *dst);

G_END_DECLS
