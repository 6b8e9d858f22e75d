/* The names of a file and of its result, see paths.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "paths.h"
#include "matroska.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

gboolean
paths_set_errno_error (GError ** error, const char *what, const char *path)
{
  int code = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
      "%s \"%s\": %s", what, path, g_strerror (code));
  return FALSE;
}

static gboolean
has_suffix (const char *path, const char *suffix)
{
  gsize n = strlen (path), m = strlen (suffix);

  return n > m && g_ascii_strcasecmp (path + n - m, suffix) == 0;
}

/* The path without what follows the last dot of its last part. */
static char *
dup_stem (const char *path)
{
  const char *slash = strrchr (path, '/');
  const char *dot = strrchr (path, '.');

  if (!dot || dot == path || (slash && dot <= slash + 1))
    return g_strdup (path);
  return g_strndup (path, dot - path);
}

char *
paths_dup_default_out (const char *in, const char *mark)
{
  g_autofree char *stem = dup_stem (in);

  return g_strconcat (stem, mark, has_suffix (in, ".mp4")
      || has_suffix (in, ".m4v") ? ".mp4" : ".mkv", NULL);
}

gboolean
paths_choose (Paths * self, const char *out, GError ** error)
{
  g_autofree char *out_stem = NULL;

  self->out = out ? g_strdup (out) : paths_dup_default_out (self->in, "-x4");
  if (has_suffix (self->out, ".mkv")) {
    self->container = CONTAINER_MATROSKA;
  } else if (has_suffix (self->out, ".mp4")) {
    self->container = CONTAINER_MP4;
  } else if (has_suffix (self->out, ".webm")) {
    self->container = CONTAINER_WEBM;
  } else {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_FILENAME,
        "the result's name must end in .mkv, .mp4 or .webm, not \"%s\"",
        self->out);
    return FALSE;
  }
  out_stem = dup_stem (self->out);
  self->picture = g_strconcat (out_stem, "-before-after.png", NULL);
  return TRUE;
}

gboolean
paths_check (const Paths * self, GError ** error)
{
  GStatBuf in, out;
  int fd;

  fd = g_open (self->in, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0)
    return paths_set_errno_error (error, "cannot open", self->in);
  close (fd);
  if (g_stat (self->in, &in) < 0)
    return paths_set_errno_error (error, "cannot look at", self->in);
  if (!S_ISREG (in.st_mode)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
        "\"%s\" is not a file", self->in);
    return FALSE;
  }
  if (g_stat (self->out, &out) < 0)
    return TRUE;
  if (!S_ISREG (out.st_mode)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
        "\"%s\" is there already and is not a file", self->out);
    return FALSE;
  }
  if (in.st_dev == out.st_dev && in.st_ino == out.st_ino) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" cannot be the input and the result at once", self->in);
    return FALSE;
  }
  return TRUE;
}

gboolean
paths_make_part (Paths * self, GError ** error)
{
  g_autofree char *dir = g_path_get_dirname (self->out);
  g_autofree char *name = g_path_get_basename (self->out);
  g_autofree char *hidden = g_strdup_printf (".%s.XXXXXX", name);
  char *part = g_build_filename (dir, hidden, NULL);
  int fd = g_mkstemp_full (part, O_RDWR | O_CLOEXEC, 0666);

  if (fd < 0) {
    paths_set_errno_error (error, "cannot write in the folder", dir);
    g_free (part);
    return FALSE;
  }
  close (fd);
  self->part = part;
  return TRUE;
}

gboolean
paths_move_in (const char *from, const char *to, GError ** error)
{
  int fd = g_open (from, O_RDWR | O_CLOEXEC, 0);
  gboolean ok = fd >= 0 && fsync (fd) == 0;

  if (fd >= 0 && close (fd) < 0)
    ok = FALSE;
  return (ok && g_rename (from, to) == 0)
      || paths_set_errno_error (error, "cannot write", to);
}

gboolean
paths_settle (const Paths * self, GError ** error)
{
  gboolean ok = (self->container == CONTAINER_MP4
      || matroska_mend (self->part, error))
      && paths_move_in (self->part, self->out, error);

  if (!ok)
    g_unlink (self->picture);
  return ok;
}

void
paths_mark_out (Paths * self, const char *mark)
{
  g_autofree char *stem = dup_stem (self->out);
  char *name = g_strconcat (stem, mark, strrchr (self->out, '.'), NULL);

  g_free (self->out);
  self->out = name;
}

void
paths_clear (Paths * self)
{
  if (self->part)
    g_unlink (self->part);     /* gone already where all went well */
  g_free (self->part);
  g_free (self->out);
  g_free (self->picture);
}
