/* Frames through a stream; its tensors, and a tagger's, against PyTorch's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/dloral.h"

G_BEGIN_DECLS

/* One frame through the stream; pictures are packed: lq [height][width][3], hr
 * [4·height][4·width][3]. cut: nothing comes before it. */
void agreement_restore (DloralStream * stream, int width, int height,
    const guint8 * lq, gboolean cut, guint8 * hr);

/* A tensor of the last frame, to be freed with g_free (): [c][h][w]. */
float *agreement_dup_planes (DloralStream * stream, const char *name, int *h,
    int *w, int *c);

/* Fails the running test unless `found` is what the entry holds but for 1e-3 of its
 * standard deviation. `name` is for messages. */
void agreement_check_values (const char *name, const DloralEntry * expected,
    const float *found);

/* Fails the running test unless `found` [c][h][w], which is freed, is the file's
 * tensor `name`.`frame` but for 1e-3 of its standard deviation. */
void agreement_check_tensor (const DloralSafetensors * file, const char *name,
    int frame, float *found, int h, int w, int c);

G_END_DECLS
