/* The restoring step compiled for one prompt and one pair of strengths. A stream
 * exchanges it whole, between two frames, when either changes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "stages.h"

G_BEGIN_DECLS

typedef struct _DloralRestorer DloralRestorer;

/* Compiles the step for every number of past frames, 0 to the geometry's window.
 * Packed weights are shared with restorers of equal strengths. Any thread, also
 * while others run. Looks at `cancelled` (cancel.h). NULL and `error` on failure. */
DloralRestorer *dloral_restorer_new (DloralModel * model,
    const DloralGeometry * geometry, const DloralConditions * conditions,
    const gint * cancelled, GError ** error);
void dloral_restorer_free (DloralRestorer * restorer);

/* Bytes of arena that a run needs; of memory held beside the weights. */
gsize dloral_restorer_get_arena_size (const DloralRestorer * restorer);
gsize dloral_restorer_get_memory (const DloralRestorer * restorer);

/* Runs in the queue with `past` earlier frames on bindings [DLORAL_RESTORE_PAST + 2 · past],
 * to which the prompt's part is added here. One thread at a time. */
gboolean dloral_restorer_run (DloralRestorer * restorer, int past,
    DloralQueue * queue, gpointer arena, gpointer const *bindings,
    GError ** error);

/* Graph and plan for `past` frames, for profiles and sizes; owned. */
const DloralGraph *dloral_restorer_get_graph (const DloralRestorer * restorer,
    int past);
DloralPlan *dloral_restorer_get_plan (const DloralRestorer * restorer,
    int past);

G_END_DECLS
