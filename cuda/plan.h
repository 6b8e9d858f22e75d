/* A graph compiled for a GPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/backend.h"

G_BEGIN_DECLS

DloralPlan *dloral_cuda_compile (DloralDevice * device,
    const DloralGraph * graph, GError ** error);
void dloral_cuda_plan_free (DloralPlan * plan);
gsize dloral_cuda_plan_get_arena_size (const DloralPlan * plan);
gboolean dloral_cuda_run (DloralPlan * plan, DloralQueue * queue,
    gpointer arena, gpointer const *bindings, GError ** error);
const DloralOpTime *dloral_cuda_plan_profile (DloralPlan * plan,
    gboolean enable);

/* How the i-th operator is computed, for tables; owned. */
const char *dloral_cuda_plan_describe (const DloralPlan * plan, guint i);

G_END_DECLS
