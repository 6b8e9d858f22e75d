/* What a person sees while a file is worked on: one line that is rewritten on a
 * terminal, now and then a line elsewhere. Goes to standard error.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  gboolean tty;
  gboolean line_open;           /* the terminal's line holds something */
  gint64 first, shown;          /* monotonic µs; 0: not yet */
  guint first_n;                /* what was done at `first` */
  guint64 first_position;
} Progress;

void progress_init (Progress * self);

/* n frames are done, up to `position` of `duration` ns (0: unknown). Cheap when
 * it is too soon to say something again. */
void progress_show (Progress * self, guint n, guint64 position,
    guint64 duration);

/* A remark while there is nothing to count yet. */
void progress_note (Progress * self, const char *text);

/* Leaves the terminal at the start of an empty line. */
void progress_clear (Progress * self);

G_END_DECLS
