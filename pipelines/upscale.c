/* upscale-file [OPTION...] IN [OUT]: restores the video of a file, or of every
 * file of a folder, x4. pipelines/upscale is the command that people run and
 * says what the options are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "folder.h"
#include "signals.h"

#include <gst/pbutils/pbutils.h>
#include <signal.h>
#include <stdio.h>

typedef struct
{
  JobOptions job;
  char *start, *duration;       /* as they were given */
  char **paths;
} Arguments;

/* --- Arguments ----------------------------------------------------------- */

/* Seconds, or minutes or hours before them: 90, 1:30, 0:01:30.5. */
static gboolean
parse_time (const char *text, const char *option, GstClockTime * time,
    GError ** error)
{
  g_auto (GStrv) parts = g_strsplit (text, ":", -1);
  guint n = g_strv_length (parts);
  double seconds = 0, part;
  gboolean ok = n >= 1 && n <= 3;
  char *end;

  for (guint i = 0; ok && i < n; i++) {
    part = g_ascii_strtod (parts[i], &end);
    ok = g_ascii_isdigit (parts[i][0]) && *end == 0
        && (i == 0 || part < 60);
    seconds = seconds * 60 + part;
  }
  if (ok && seconds < 1e9) {
    *time = seconds * GST_SECOND + 0.5;
    return TRUE;
  }
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
      "%s is a time such as 90, 1:30 or 0:01:30.5, not \"%s\"", option, text);
  return FALSE;
}

static gboolean
parse_window (Arguments * arguments, GError ** error)
{
  JobOptions *job = &arguments->job;
  GstClockTime duration;

  job->stop = GST_CLOCK_TIME_NONE;
  if (arguments->start
      && !parse_time (arguments->start, "--start", &job->start, error))
    return FALSE;
  if (!arguments->duration)
    return TRUE;
  if (!parse_time (arguments->duration, "--duration", &duration, error))
    return FALSE;
  job->stop = job->start + duration;
  if (duration > 0)
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
      "--duration 0 leaves nothing to restore");
  return FALSE;
}

static gboolean
parse (Arguments * arguments, int argc, char **argv, GError ** error)
{
  const GOptionEntry entries[] = {
    {"encoder", 0, 0, G_OPTION_ARG_STRING, &arguments->job.encoder, NULL, NULL},
    {"start", 0, 0, G_OPTION_ARG_STRING, &arguments->start, NULL, NULL},
    {"duration", 0, 0, G_OPTION_ARG_STRING, &arguments->duration, NULL, NULL},
    {"resume", 0, 0, G_OPTION_ARG_NONE, &arguments->job.resume, NULL, NULL},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->paths,
        NULL, NULL},
    G_OPTION_ENTRY_NULL
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  guint n;

  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, error))
    return FALSE;
  n = arguments->paths ? g_strv_length (arguments->paths) : 0;
  if (n >= 1 && n <= 2)
    return parse_window (arguments, error);
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
      "usage: upscale [OPTION...] IN [OUT]");
  return FALSE;
}

static void
arguments_clear (Arguments * arguments)
{
  g_free (arguments->job.encoder);
  g_free (arguments->start);
  g_free (arguments->duration);
  g_strfreev (arguments->paths);
  g_object_unref (arguments->job.cancellable);
}

/* --- Running ------------------------------------------------------------- */

static gboolean
upscale (const Arguments * arguments, GError ** error)
{
  const char *in = arguments->paths[0], *out = arguments->paths[1];

  signals_watch (signals_cancel, arguments->job.cancellable);
  if (g_file_test (in, G_FILE_TEST_IS_DIR))
    return folder_run (in, out, &arguments->job, error);
  return job_run (in, out, &arguments->job, error);
}

int
main (int argc, char **argv)
{
  Arguments arguments = {.job = {.cancellable = g_cancellable_new ()} };
  g_autoptr (GError) error = NULL;
  int status = 0;

  /* A write past a limit is to fail, not to kill. */
  signal (SIGXFSZ, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  g_set_prgname ("upscale");
  gst_init (NULL, NULL);
  gst_pb_utils_init ();

  if (!parse (&arguments, argc, argv, &error))
    status = 2;
  else if (!upscale (&arguments, &error))
    status = signals_get () ? 128 + signals_get () : 1;
  if (error)
    fprintf (stderr, "upscale: %s\n", error->message);
  arguments_clear (&arguments);
  return status;
}
