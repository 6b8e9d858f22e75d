/* A film from its parts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "plan.h"

G_BEGIN_DECLS

/* Checks that every part is there and whole, writes the plan's `out` from them
 * and from all of the source that is not its video, looks at it again, and
 * removes the parts. On failure `out` is what it was, and parts that have
 * turned out to be bad count as not restored. Says on standard output what came
 * of it, and keeps it for assemble_is_done. */
gboolean assemble_film (const Plan * plan, GCancellable * cancellable,
    GError ** error);

/* How that went: TRUE when the film is there; otherwise `problem` is what the
 * last attempt said, the caller's, or NULL when there was none. */
gboolean assemble_is_done (const Plan * plan, char **problem);

G_END_DECLS
