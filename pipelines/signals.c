/* Ctrl-C and its like, see signals.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "signals.h"

#include <glib-unix.h>
#include <signal.h>

static int caught_signal;

static gboolean
on_signal (GCancellable * cancellable, int number)
{
  caught_signal = number;
  g_cancellable_reset (cancellable);    /* a second time is told again */
  g_cancellable_cancel (cancellable);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_int (gpointer cancellable)
{
  return on_signal (cancellable, SIGINT);
}

static gboolean
on_term (gpointer cancellable)
{
  return on_signal (cancellable, SIGTERM);
}

static gboolean
on_hup (gpointer cancellable)
{
  return on_signal (cancellable, SIGHUP);
}

void
signals_watch (GCancellable * cancellable)
{
  g_unix_signal_add (SIGINT, on_int, cancellable);
  g_unix_signal_add (SIGTERM, on_term, cancellable);
  g_unix_signal_add (SIGHUP, on_hup, cancellable);
}

int
signals_get (void)
{
  return caught_signal;
}
