/* One file from its name to its result, see job.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "job.h"
#include "paths.h"
#include "resume.h"

#include <glib/gstdio.h>
#include <stdio.h>

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
  paths_mark_out (paths, "-interrupted");
  if (paths_settle (paths, NULL))
    set_interrupted (error, "interrupted: what was restored is in \"%s\"",
        paths->out);
}

static gboolean
restore (Paths * paths, TranscodeParams * params, const JobOptions * options,
    GError ** error)
{
  TranscodeResult result;

  if (!paths_make_part (paths, error))
    return FALSE;
  params->out = paths->part;
  if (!run (params, options, paths->picture, &result, error)) {
    if (result.is_whole
        && g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
      keep_interrupted (paths, error);
    return FALSE;
  }
  if (!paths_settle (paths, error))
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
  params.done = resume->end.last;
  /* Two frames: the model looks at the one before, and a cut is known by how
   * that one differs from the one before it. */
  if (GST_CLOCK_TIME_IS_VALID (resume->end.before))
    params.lead = resume->end.before;
  if (GST_CLOCK_TIME_IS_VALID (params.done))
    fprintf (stderr, "upscale: going on after %.2f s\n",
        (double) params.done / GST_SECOND);
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
  if (!paths_make_part (paths, error))
    return FALSE;
  params.stage = STAGE_JOIN;
  params.out = paths->part;
  params.parts = resume->parts;
  if (!run (&params, options, NULL, &result, error)
      || !paths_settle (paths, error))
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

  if (paths_choose (&paths, out, error) && paths_check (&paths, error)
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
