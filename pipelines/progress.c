/* What a person sees while a file is worked on, see progress.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#define ERASE_LINE "\r\033[K"

void
progress_init (Progress * self)
{
  const char *term = g_getenv ("TERM");

  *self = (Progress) { 0 };
  self->tty = isatty (STDERR_FILENO) && g_strcmp0 (term, "dumb") != 0;
}

static void
put_line (Progress * self, const char *text)
{
  if (self->tty)
    fprintf (stderr, ERASE_LINE "%s", text);
  else
    fprintf (stderr, "%s\n", text);
  fflush (stderr);
  self->line_open = self->tty;
}

void
progress_show (Progress * self, guint n, guint64 position, guint64 duration)
{
  gint64 now = g_get_monotonic_time ();
  gint64 pause = self->tty ? G_USEC_PER_SEC / 5 : 10 * G_USEC_PER_SEC;
  g_autoptr (GString) text = NULL;
  double elapsed = (now - self->first) / 1e6, left;

  if (self->first == 0) {
    self->first = self->shown = now;
    self->first_n = n;
    self->first_position = position;
  }
  if (n <= self->first_n || now - self->shown < pause)
    return;
  self->shown = now;

  text = g_string_new (NULL);
  g_string_append_printf (text, "frame %u, %.1f frames/s", n,
      (n - self->first_n) / elapsed);
  if (duration > position && position > self->first_position) {
    left = elapsed * (duration - position) / (position - self->first_position);
    g_string_append_printf (text, ", %.0f %%, %d:%02d left",
        100.0 * position / duration, (int) left / 60, (int) left % 60);
  }
  put_line (self, text->str);
}

void
progress_note (Progress * self, const char *text)
{
  put_line (self, text);
}

void
progress_clear (Progress * self)
{
  if (self->line_open)
    fputs (ERASE_LINE, stderr);
  self->line_open = FALSE;
}
