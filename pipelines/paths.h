/* The names of a file and of its result. What is written has a temporary name
 * beside the result's place until all is well, so that the result is never half
 * of something.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "container.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct
{
  const char *in;
  char *out, *part, *picture;   /* `part`: the temporary name; NULL: none yet */
  Container container;
} Paths;

/* IN's name with `mark` after its stem, .mp4 or .mkv as IN is. */
char *paths_dup_default_out (const char *in, const char *mark);

/* With `in` set: the other names. `out` NULL: beside `in`. FALSE and `error`
 * where the name tells no kind of file. */
gboolean paths_choose (Paths * self, const char *out, GError ** error);

/* FALSE and `error` where `in` is no file that can be read, or `out` is
 * something else than an older result. */
gboolean paths_check (const Paths * self, GError ** error);

/* Makes the file with the temporary name. */
gboolean paths_make_part (Paths * self, GError ** error);

/* What is written is whole: on the disk, and under its name. */
gboolean paths_settle (const Paths * self, GError ** error);

/* Gives `out` another name: its stem with `mark`. */
void paths_mark_out (Paths * self, const char *mark);

/* Removes what still has the temporary name. */
void paths_clear (Paths * self);

/* Sets `error` to "WHAT "PATH": what the system said", gives FALSE. */
gboolean paths_set_errno_error (GError ** error, const char *what,
    const char *path);

/* Puts what was written to `from` on the disk and gives it the name `to`. */
gboolean paths_move_in (const char *from, const char *to, GError ** error);

G_END_DECLS
