/* A graph computed once, from host memory, beside whatever the device does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "model.h"

G_BEGIN_DECLS

/* Compiles and runs the graph, whose first binding is read from `input`, host
 * memory. The others are device memory, `outputs` [n_bindings - 1]; or, where
 * `outputs` is NULL, there is one and it is copied to `result`, host memory.
 * Waits for the end. Looks at the graph's `cancelled` until it runs. Any thread. */
gboolean dloral_compute (DloralModel * model, const DloralGraph * graph,
    gconstpointer input, gpointer const *outputs, gpointer result,
    GError ** error);

G_END_DECLS
