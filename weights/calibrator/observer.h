/* What the inputs of products come to: a backend around a model's own, which
 * computes the same and looks at what is multiplied.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/model.h"

G_BEGIN_DECLS

/* Everything that is computed with the model from now on is observed: streams are
 * opened afterwards, and run on one thread at a time. */
void dloral_observe (DloralModel * model);

/* Of such a model, the largest magnitude of each input that a scale is kept of:
 * its name (fp8.h) → float *. Not a number, or infinite, where one was. Owned by
 * the model; not while something runs. */
GHashTable *dloral_observe_get_maxima (const DloralModel * model);

G_END_DECLS
