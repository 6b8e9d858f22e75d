/* How a film is cut into parts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "index.h"
#include "plan.h"

G_BEGIN_DECLS

typedef struct
{
  char *encoder;                /* its name; NULL: the container's usual one */
  char **properties;            /* normalized */
  GstClockTime length;          /* of a part, about */
  GCancellable *cancellable;
} SplitOptions;

/* Reads the film `in` to its end and writes a plan for `out`, or finds that
 * there is one. NULL and `error` where that cannot be, or the one that is there
 * is for another source or other settings. */
Plan *split_film (const char *in, const char *out,
    const SplitOptions * options, GError ** error);

/* The parts (PlanPart) for frames in the order in which they are seen. Cuts are
 * at key frames, but where for long there is none. `n_lead`: see
 * properties_count_lead. `n_between`: how many cuts are between key frames. */
GArray *split_frames (const GArray * frames, GstClockTime end,
    GstClockTime length, guint n_lead, guint * n_between);

G_END_DECLS
