/* Ctrl-C and its like, see signals.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "signals.h"

#include <glib-unix.h>
#include <signal.h>

static int caught_signal;
static SignalsFunc on_any;
static gpointer on_any_data;

static gboolean
on_signal (gpointer number)
{
  caught_signal = GPOINTER_TO_INT (number);
  on_any (on_any_data);
  return G_SOURCE_CONTINUE;
}

void
signals_watch (SignalsFunc func, gpointer user_data)
{
  const int numbers[] = { SIGINT, SIGTERM, SIGHUP };

  on_any = func;
  on_any_data = user_data;
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    g_unix_signal_add (numbers[i], on_signal, GINT_TO_POINTER (numbers[i]));
}

void
signals_cancel (gpointer cancellable)
{
  g_cancellable_reset (cancellable);    /* a second time is told again */
  g_cancellable_cancel (cancellable);
}

int
signals_get (void)
{
  return caught_signal;
}
