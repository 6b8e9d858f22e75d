/* One file from its name to its result, see job.h. Writes beside OUT under a
 * temporary name and renames when all is well, so that OUT is never half of
 * something.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "job.h"
#include "matroska.h"
#include "resume.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
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

char *
job_dup_default_out (const char *in, const char *mark)
{
  g_autofree char *stem = dup_stem (in);

  return g_strconcat (stem, mark, has_suffix (in, ".mp4")
      || has_suffix (in, ".m4v") ? ".mp4" : ".mkv", NULL);
}

static gboolean
choose_names (Paths * paths, const char *out, GError ** error)
{
  g_autofree char *out_stem = NULL;

  paths->out = out ? g_strdup (out) : job_dup_default_out (paths->in, "-x4");
  if (has_suffix (paths->out, ".mkv")) {
    paths->container = CONTAINER_MATROSKA;
  } else if (has_suffix (paths->out, ".mp4")) {
    paths->container = CONTAINER_MP4;
  } else if (has_suffix (paths->out, ".webm")) {
    paths->container = CONTAINER_WEBM;
  } else {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_FILENAME,
        "the result's name must end in .mkv, .mp4 or .webm, not \"%s\"",
        paths->out);
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
take_name (const Paths * paths, GError ** error)
{
  int fd = g_open (paths->part, O_RDWR | O_CLOEXEC, 0);
  gboolean ok = fd >= 0 && fsync (fd) == 0;

  if (fd >= 0 && close (fd) < 0)
    ok = FALSE;
  return (ok && g_rename (paths->part, paths->out) == 0)
      || set_errno_error (error, "cannot write", paths->out);
}

static gboolean
settle (const Paths * paths, GError ** error)
{
  gboolean ok = (paths->container == CONTAINER_MP4
      || matroska_mend (paths->part, error))
      && take_name (paths, error);

  if (!ok)
    g_unlink (paths->picture);
  return ok;
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

static gboolean
run (const TranscodeParams * params, const JobOptions * options,
    const char *picture, TranscodeResult * result, GError ** error)
{
  Transcode *transcode = transcode_new (params, error);
  gboolean ok;

  *result = (TranscodeResult) { 0 };
  if (!transcode)
    return FALSE;
  ok = transcode_run (transcode, options->cancellable, result, error);
  if (ok && picture && result->n_frames > 0)
    ok = picture_write (transcode_get_picture (transcode), picture, error);
  transcode_free (transcode);
  return ok;
}

static void
set_interrupted (GError ** error, const char *format, const char *path)
{
  g_clear_error (error);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, format, path);
}

/* --- In one go ----------------------------------------------------------- */

/* What an interrupted run has done gets a name of its own. */
static void
keep_interrupted (Paths * paths, GError ** error)
{
  g_autofree char *stem = dup_stem (paths->out);
  char *name = g_strconcat (stem, "-interrupted",
      strrchr (paths->out, '.'), NULL);

  g_free (paths->out);
  paths->out = name;
  if (settle (paths, NULL))
    set_interrupted (error, "interrupted: what was restored is in \"%s\"", name);
}

static gboolean
restore (Paths * paths, TranscodeParams * params, const JobOptions * options,
    GError ** error)
{
  TranscodeResult result;

  if (!make_part (paths, error))
    return FALSE;
  params->out = paths->part;
  if (!run (params, options, paths->picture, &result, error)) {
    if (result.is_whole
        && g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
      keep_interrupted (paths, error);
    return FALSE;
  }
  if (!settle (paths, error))
    return FALSE;
  printf ("%s: %d x %d, %u frames in %.1f s (%.1f frames/s)\n"
      "%s: plain bicubic | restored\n", paths->out, result.width,
      result.height, result.n_frames, result.seconds,
      result.n_frames / MAX (result.seconds, 0.001), paths->picture);
  return TRUE;
}

/* --- In several ---------------------------------------------------------- */

/* What there is of the video goes on to its end. */
static gboolean
restore_rest (Resume * resume, TranscodeParams params,
    const JobOptions * options, GError ** error)
{
  gboolean has_picture = g_file_test (resume->picture, G_FILE_TEST_EXISTS);
  TranscodeResult result;
  gboolean ok;

  params.stage = STAGE_PART;
  params.out = resume->next;
  params.done = resume->end;
  if (GST_CLOCK_TIME_IS_VALID (resume->end))
    fprintf (stderr, "upscale: going on after %.2f s\n",
        (double) resume->end / GST_SECOND);
  ok = run (&params, options, has_picture ? NULL : resume->picture, &result,
      error);
  if (!resume_add (resume, result.is_whole, ok, ok ? error : NULL))
    ok = FALSE;
  if (ok)
    return TRUE;
  if (resume->parts->len == 0)
    resume_discard (resume);
  else if (g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    set_interrupted (error, "interrupted: the same command goes on with what "
        "is in \"%s\"", resume->folder);
  return FALSE;
}

static gboolean
join (const Resume * resume, Paths * paths, TranscodeParams params,
    const JobOptions * options, GError ** error)
{
  TranscodeResult result;

  if (resume->parts->len == 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "what is in \"%s\" "
        "cannot be read back; remove that folder to begin anew",
        resume->folder);
    return FALSE;
  }
  if (!make_part (paths, error))
    return FALSE;
  params.stage = STAGE_JOIN;
  params.out = paths->part;
  params.parts = resume->parts;
  if (!run (&params, options, NULL, &result, error) || !settle (paths, error))
    return FALSE;
  printf ("%s: %d x %d, %u frames\n", paths->out, result.width, result.height,
      result.n_frames);
  if (g_rename (resume->picture, paths->picture) == 0)
    printf ("%s: plain bicubic | restored\n", paths->picture);
  return TRUE;
}

static gboolean
restore_resumably (Paths * paths, const TranscodeParams * params,
    const JobOptions * options, GError ** error)
{
  Resume resume = { 0 };
  gboolean ok;

  ok = resume_open (&resume, params, paths->out, error)
      && (resume.is_complete
      || restore_rest (&resume, *params, options, error))
      && join (&resume, paths, *params, options, error);
  if (ok)
    resume_discard (&resume);
  resume_clear (&resume);
  return ok;
}

gboolean
job_run (const char *in, const char *out, const JobOptions * options,
    GError ** error)
{
  Paths paths = {.in = in };
  TranscodeParams params = {
    .in = in,
    .start = options->start,
    .stop = options->stop,
    .done = GST_CLOCK_TIME_NONE,
  };
  gboolean ok = FALSE;

  if (choose_names (&paths, out, error) && check_files (&paths, error)
      && (params.encoder = encoder_find (options->encoder, paths.container,
              error))) {
    params.container = paths.container;
    ok = options->resume
        ? restore_resumably (&paths, &params, options, error)
        : restore (&paths, &params, options, error);
  }
  paths_clear (&paths);
  return ok;
}
