/* CLIP's text encoder (transformers' CLIPTextModel).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "builder.h"

G_BEGIN_DECLS

/* Looks up the embeddings of `ids` [n], each with that of its position: x
 * [n][hidden_size]. Ids and n must be within what the config says. x NULL: only
 * checks that the file has them. */
gboolean dloral_clip_embed (const DloralSafetensors * file,
    const DloralTextEncoderConfig * config, const int *ids, int n, float *x,
    GError ** error);

/* Layers [first, first + n) of x, f32 [1][tokens][hidden_size]; the last one of
 * the model is followed by the final layer norm. Writes y, of x's shape. */
void dloral_clip_layers (DloralBuilder * b, DloralTensor * x, int first, int n,
    DloralTensor * y);

G_END_DECLS
