/* One part of a plan: what one task of a cluster does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "plan.h"

G_BEGIN_DECLS

/* Restores the part, unless it is there already. On failure nothing is left of
 * it but a record of why. Errors that will be the same when it is tried again
 * (the source is corrupt, the plan is not for it, the disk is full) are
 * G_IO_ERROR_INVALID_DATA or G_IO_ERROR_NO_SPACE. */
gboolean task_run (const Plan * plan, guint index, GCancellable * cancellable,
    GError ** error);

/* Whether all of the part is there, and as it was written. */
gboolean task_is_done (const Plan * plan, guint index);

G_END_DECLS
