/* How far plans are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "plan.h"

G_BEGIN_DECLS

/* Says it on standard output, of each of `plans` (Plan): in lines for people,
 * or as a JSON array with an object each. */
void status_print (GPtrArray * plans, gboolean as_json);

G_END_DECLS
