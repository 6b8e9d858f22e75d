/* Inside of a tagger, for tests.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "dloral.h"

G_BEGIN_DECLS

/* What the networks are given of a frame: f32 [image_size][image_size][3], to be
 * freed; and what they make of that: logits [tags]. */
float *dloral_tagger_read_frame (DloralTagger * tagger,
    const DloralVideoFormat * format, const guint8 * frame, GError ** error);
gboolean dloral_tagger_get_logits (DloralTagger * tagger, const float *input,
    float *logits, const gint * cancelled, GError ** error);

G_END_DECLS
