/* Ctrl-C and its like.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef void (*SignalsFunc) (gpointer user_data);

/* Once in a program: in the default main context, calls `func` at every SIGINT,
 * SIGTERM and SIGHUP, until the program ends. */
void signals_watch (SignalsFunc func, gpointer user_data);

/* A SignalsFunc: cancels a GCancellable, each time anew. */
void signals_cancel (gpointer cancellable);

/* The last one that came, 0: none has. */
int signals_get (void);

G_END_DECLS
