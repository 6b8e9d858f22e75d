/* The plan of a graph's arena, checked.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/graph.h"

G_BEGIN_DECLS

/* Every tensor of the arena holds what was written to it until it has been read
 * for the last time; what does not is reported (shadow.h). */
void arena_check (const DloralGraph * graph);

G_END_DECLS
