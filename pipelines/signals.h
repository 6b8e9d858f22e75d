/* Ctrl-C and its like.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* In the default main context, cancels at every SIGINT, SIGTERM and SIGHUP. */
void signals_watch (GCancellable * cancellable);

/* The last one that came, 0: none has. */
int signals_get (void);

G_END_DECLS
