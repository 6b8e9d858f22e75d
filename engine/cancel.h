/* Giving up what takes long, at somebody else's wish.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whether to go on: FALSE and DLORAL_ERROR_CANCELLED once *cancelled is not 0. It is
 * read atomically, may be set by any thread, and is never 0 again while somebody
 * looks at it. NULL: always TRUE. */
gboolean dloral_check_cancelled (const gint * cancelled, GError ** error);

G_END_DECLS
