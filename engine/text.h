/* A prompt's embedding, computed by the model file's own text encoder.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "dloral.h"

G_BEGIN_DECLS

/* Writes the last hidden state of `prompt`, embeds [tokens][d]: as many tokens
 * as the stored prompt has, d = unet.cross_attention_dim. Text is UTF-8; what
 * is too long is cut. Computed in f32, a layer at a time: seconds for SD 2.1,
 * and no memory is kept. Any thread, also while streams of the model run. Looks at
 * `cancelled` (cancel.h). FALSE and `error` on failure, and where there is no text
 * encoder. */
gboolean dloral_text_encode (DloralModel * model, const char *prompt,
    float *embeds, const gint * cancelled, GError ** error);

/* For opening a model: whether file and config agree about text. Looks at
 * names and shapes only. */
gboolean dloral_text_check (const DloralModel * model, const gint * cancelled,
    GError ** error);

G_END_DECLS
