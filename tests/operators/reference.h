/* Every operator in float64, as engine/graph.h's comments say it and as plainly
 * as it can be written: what the backends' results are compared with.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/graph.h"

G_BEGIN_DECLS

/* The values of op's dst in a new array; src[i] holds those of op->src[i].
 * Bytes are values from 0 to 255. */
double *dloral_reference_run (const DloralOp * op, const double *const *src);

G_END_DECLS
