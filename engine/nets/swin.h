/* The Swin Transformer that sees a picture for the tagger (Liu et al., ICCV 2021,
 * as the published RAM builds it), in pieces of one block each.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "builder.h"

G_BEGIN_DECLS

int dloral_swin_count_blocks (const DloralTaggerConfig * config);

/* What block i, counted over all stages, is given: the picture, resized and
 * normalised, f32 [image_size][image_size][3], for the first; else tokens
 * [grid][grid][channels]. i = number of blocks: what the last one gives, tokens
 * f32. Binds it. */
DloralTensor *dloral_swin_bind (DloralGraph * g,
    const DloralTaggerConfig * config, int i);

/* Block i of x, with what comes before the first block, after a stage's last and
 * after them all. Writes y. */
void dloral_swin_block (DloralBuilder * b, const DloralTaggerConfig * config,
    int i, DloralTensor * x, DloralTensor * y);

G_END_DECLS
