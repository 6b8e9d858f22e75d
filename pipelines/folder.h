/* Every video of a folder, one after the other.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "job.h"

G_BEGIN_DECLS

/* `out` NULL: a folder beside `in`, named after it with -x4. A file that cannot
 * be restored is said and the others go on; the error then tells how many. */
gboolean folder_run (const char *in, const char *out,
    const JobOptions * options, GError ** error);

G_END_DECLS
