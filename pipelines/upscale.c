/* upscale-file IN [OUT]: restores the video of a file x4. Writes beside OUT
 * under a temporary name and renames when all is well, so that OUT is never
 * half of something. pipelines/upscale is the command that people run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transcode.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <gst/pbutils/pbutils.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  const char *in;
  char *out, *part, *picture;   /* `part`: the temporary name */
  Container container;
} Paths;

static gboolean
set_errno_error (GError ** error, const char *what, const char *path)
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

static gboolean
choose_names (Paths * paths, const char *out, GError ** error)
{
  g_autofree char *stem = dup_stem (paths->in);
  g_autofree char *out_stem = NULL;

  if (out)
    paths->out = g_strdup (out);
  else
    paths->out = g_strconcat (stem, "-x4",
        has_suffix (paths->in, ".mp4") || has_suffix (paths->in, ".m4v")
        ? ".mp4" : ".mkv", NULL);

  if (has_suffix (paths->out, ".mkv")) {
    paths->container = CONTAINER_MATROSKA;
  } else if (has_suffix (paths->out, ".mp4")) {
    paths->container = CONTAINER_MP4;
  } else {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_FILENAME,
        "the result's name must end in .mkv or .mp4, not \"%s\"", paths->out);
    return FALSE;
  }
  out_stem = dup_stem (paths->out);
  paths->picture = g_strconcat (out_stem, "-before-after.png", NULL);
  return TRUE;
}

static gboolean
check_files (const Paths * paths, GError ** error)
{
  GStatBuf in, out;
  int fd;

  fd = g_open (paths->in, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0)
    return set_errno_error (error, "cannot open", paths->in);
  close (fd);
  if (g_stat (paths->in, &in) < 0)
    return set_errno_error (error, "cannot look at", paths->in);
  if (!S_ISREG (in.st_mode)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
        "\"%s\" is not a file", paths->in);
    return FALSE;
  }
  if (g_stat (paths->out, &out) < 0)
    return TRUE;
  if (!S_ISREG (out.st_mode)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE,
        "\"%s\" is there already and is not a file", paths->out);
    return FALSE;
  }
  if (in.st_dev == out.st_dev && in.st_ino == out.st_ino) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" cannot be the input and the result at once", paths->in);
    return FALSE;
  }
  return TRUE;
}

static gboolean
make_part (Paths * paths, GError ** error)
{
  g_autofree char *dir = g_path_get_dirname (paths->out);
  g_autofree char *name = g_path_get_basename (paths->out);
  g_autofree char *hidden = g_strdup_printf (".%s.XXXXXX", name);
  char *part = g_build_filename (dir, hidden, NULL);
  int fd = g_mkstemp_full (part, O_RDWR | O_CLOEXEC, 0666);

  if (fd < 0) {
    set_errno_error (error, "cannot write in the folder", dir);
    g_free (part);
    return FALSE;
  }
  close (fd);
  paths->part = part;
  return TRUE;
}

/* Makes sure that the data is on the disk before it takes its name. */
static gboolean
settle (const Paths * paths, GError ** error)
{
  int fd = g_open (paths->part, O_RDWR | O_CLOEXEC, 0);
  gboolean ok = fd >= 0 && fsync (fd) == 0;

  if (fd >= 0 && close (fd) < 0)
    ok = FALSE;
  if (ok && g_rename (paths->part, paths->out) == 0)
    return TRUE;
  set_errno_error (error, "cannot write", paths->out);
  g_unlink (paths->picture);
  return FALSE;
}

static void
paths_clear (Paths * paths)
{
  if (paths->part)
    g_unlink (paths->part);     /* gone already where all went well */
  g_free (paths->part);
  g_free (paths->out);
  g_free (paths->picture);
}

/* --- Running ------------------------------------------------------------- */

static int caught_signal;

static gboolean
on_signal (Transcode * transcode, int number)
{
  caught_signal = number;
  transcode_cancel (transcode);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_int (gpointer transcode)
{
  return on_signal (transcode, SIGINT);
}

static gboolean
on_term (gpointer transcode)
{
  return on_signal (transcode, SIGTERM);
}

static gboolean
on_hup (gpointer transcode)
{
  return on_signal (transcode, SIGHUP);
}

static gboolean
restore (const Paths * paths, GError ** error)
{
  TranscodeParams params = { paths->in, paths->part, paths->container,
    encoder_find (g_getenv ("ENC"), paths->container, error), {0, GST_CLOCK_TIME_NONE} };
  Transcode *transcode = transcode_new (&params, error);
  TranscodeResult result;
  gboolean ok;

  if (!transcode)
    return FALSE;
  g_unix_signal_add (SIGINT, on_int, transcode);
  g_unix_signal_add (SIGTERM, on_term, transcode);
  g_unix_signal_add (SIGHUP, on_hup, transcode);

  ok = transcode_run (transcode, &result, error)
      && picture_write (transcode_get_picture (transcode), paths->picture,
      error)
      && settle (paths, error);
  if (ok)
    printf ("%s: %d x %d, %u frames in %.1f s (%.1f frames/s)\n"
        "%s: plain bicubic | restored\n", paths->out, result.width,
        result.height, result.n_frames, result.seconds,
        result.n_frames / MAX (result.seconds, 0.001), paths->picture);
  transcode_free (transcode);
  return ok;
}

static gboolean
upscale (const char *in, const char *out, GError ** error)
{
  Paths paths = {.in = in };
  gboolean ok;

  ok = choose_names (&paths, out, error)
      && check_files (&paths, error)
      && make_part (&paths, error)
      && restore (&paths, error);
  paths_clear (&paths);
  return ok;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;

  if (argc < 2 || argc > 3) {
    fprintf (stderr, "usage: upscale [IN [OUT]]\n");
    return 2;
  }
  /* A write past a limit is to fail, not to kill. */
  signal (SIGXFSZ, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  gst_init (NULL, NULL);
  gst_pb_utils_init ();

  if (upscale (argv[1], argc > 2 ? argv[2] : NULL, &error))
    return 0;
  fprintf (stderr, "upscale: %s\n", error->message);
  return caught_signal ? 128 + caught_signal : 1;
}
