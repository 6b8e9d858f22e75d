/* The tagger's networks at work: from a picture to a logit a label.
 *
 * They are for once in a scene or a whole video, so they run block by block, and
 * unless it is said to keep them, only one block's weights are in memory at a time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "model.h"

G_BEGIN_DECLS

typedef struct _DloralTaggerNet DloralTaggerNet;

/* Looks up every tensor that `config` describes. All of these but `cancelled` must
 * outlive the net. NULL and `error` on failure. */
DloralTaggerNet *dloral_tagger_net_new (DloralModel * model,
    const DloralSafetensors * file, const DloralTaggerConfig * config,
    const gint * cancelled, GError ** error);
void dloral_tagger_net_free (DloralTaggerNet * net);

/* For tables: its graphs in the order they run, NULL behind the last. */
const DloralGraph *dloral_tagger_net_get_graph (const DloralTaggerNet * net,
    guint i);

/* input f32 [image_size][image_size][3] (antialias.h) → logits [tags]. keep: for the
 * next time, what was compiled, its weights and memory. Waits for the end. One
 * thread at a time, any; looks at `cancelled` before every block. */
gboolean dloral_tagger_net_run (DloralTaggerNet * net, const float *input,
    gboolean keep, float *logits, const gint * cancelled, GError ** error);

G_END_DECLS
