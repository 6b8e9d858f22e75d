/* One part of a plan, see task.h.
 *
 * What is written has a name of its own for every attempt, and counts from when
 * the part's record names it: two tasks that do the same part at once both
 * succeed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "task.h"
#include "identity.h"
#include "paths.h"
#include "record.h"
#include "transcode.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  const Plan *plan;
  guint index;
  const PlanPart *part;
  GCancellable *cancellable;
  char *path;                   /* what is written: a temporary name */
  Transcode *transcode;         /* the one that runs */
  gint64 begun;                 /* monotonic µs */
} Task;

/* --- Telling how far it is ----------------------------------------------- */

static double
get_seconds (const Task * self)
{
  return (g_get_monotonic_time () - self->begun) / 1e6;
}

/* That nobody hears of it is no reason to stop. */
static gboolean
tell (gpointer user_data)
{
  Task *self = user_data;
  Record record = {
    .seconds = get_seconds (self),
    .n_frames = transcode_count_frames (self->transcode),
  };

  record_save (&record, self->plan, self->index, RECORD_RUNNING, NULL);
  g_free (record.plan);
  g_free (record.host);
  return G_SOURCE_CONTINUE;
}

/* --- Restoring ----------------------------------------------------------- */

static gboolean
transcode (Task * self, const WindowJump * jump, TranscodeResult * result,
    GError ** error)
{
  TranscodeParams params = {
    .stage = STAGE_PART,
    .in = self->plan->in,
    .out = self->path,
    .stop = self->part->stop,
    .lead = self->part->lead,
    .done = self->part->before,
    .properties = self->plan->properties,
    .jump = jump,
  };
  Paths paths = {.in = self->plan->in };
  guint ticker;
  gboolean ok;

  *result = (TranscodeResult) { 0 };
  ok = paths_choose (&paths, self->plan->out, error)
      && (params.encoder = encoder_find (self->plan->encoder, paths.container,
          error))
      && (self->transcode = transcode_new (&params, error));
  paths_clear (&paths);
  if (!ok)
    return FALSE;
  ticker = g_timeout_add_seconds (RECORD_PERIOD, tell, self);
  tell (self);
  ok = transcode_run (self->transcode, self->cancellable, result, error);
  g_source_remove (ticker);
  g_clear_pointer (&self->transcode, transcode_free);
  return ok;
}

/* Where one cannot begin near the part, one begins at the beginning. */
static gboolean
restore (Task * self, TranscodeResult * result, GError ** error)
{
  WindowJump jump = { self->part->key, self->plan->offset };
  g_autoptr (GError) failure = NULL;

  if (!self->part->jumps)
    return transcode (self, NULL, result, error);
  if (transcode (self, &jump, result, &failure))
    return TRUE;
  if (g_error_matches (failure, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED)) {
    fprintf (stderr, "archive: %s: reading from the beginning\n",
        failure->message);
    return transcode (self, NULL, result, error);
  }
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}

/* --- What came of it ----------------------------------------------------- */

/* The part's frames are those that were planned, but for such as cannot be
 * decoded. */
static gboolean
check (const Task * self, const Part * scanned, GstClockTime last,
    GError ** error)
{
  if (scanned->n_kept == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
        "\"%s\" is corrupt there: none of its %u frames can be decoded",
        self->plan->in, self->part->n_frames);
  else if (scanned->n_kept > self->part->n_frames || last > self->part->last)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
        "\"%s\" has %u frames there, and %u when the plan was made",
        self->plan->in, scanned->n_kept, self->part->n_frames);
  else
    return TRUE;
  return FALSE;
}

/* The file that the part had before. */
static void
remove_file (const Task * self, const Record * record)
{
  g_autofree char *path = NULL;

  if (!record || !record->file)
    return;
  path = g_build_filename (self->plan->folder, record->file, NULL);
  g_unlink (path);
}

/* Gives what was written its name, and makes it the part. */
static gboolean
keep (Task * self, Record * record, GError ** error)
{
  g_autoptr (Record) before = record_load (self->plan, self->index,
      RECORD_RESULT);
  /* The attempt's letters, after the last dot. */
  g_autofree char *rest = g_strconcat (strrchr (self->path, '.'), ".gdp", NULL);
  g_autofree char *path = plan_dup_part_path (self->plan, self->index, "",
      rest);

  record->sum = identity_of_all (self->path, error);
  record->file = g_path_get_basename (path);
  if (!record->sum || !paths_move_in (self->path, path, error))
    return FALSE;
  if (!record_save (record, self->plan, self->index, RECORD_RESULT, error)) {
    g_unlink (path);
    return FALSE;
  }
  remove_file (self, before);
  return TRUE;
}

static gboolean
settle (Task * self, GError ** error)
{
  g_autoptr (Record) record = g_new0 (Record, 1);
  g_autofree char *loss = NULL;
  Part scanned = {.path = self->path };
  PartEnd end = PART_END_NONE;

  part_scan (&scanned, TRUE, &end);
  record->last = end.last;
  record->seconds = get_seconds (self);
  record->n_frames = scanned.n_kept;
  record->caps = scanned.caps;
  if (!check (self, &scanned, record->last, error)
      || !keep (self, record, error))
    return FALSE;
  printf ("%s: part %u, %u frames in %.1f s (%.1f frames/s)\n",
      self->plan->out, self->index, record->n_frames, record->seconds,
      record->n_frames / MAX (record->seconds, 0.001));
  loss = record_dup_loss (record, self->plan, self->index);
  if (loss)
    fprintf (stderr, "archive: %s\n", loss);
  return TRUE;
}

/* Unless another task has done it, or it was only stopped. */
static void
tell_failure (const Task * self, const GError * error)
{
  g_autoptr (Record) record = NULL;

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)
      || task_is_done (self->plan, self->index))
    return;
  record = g_new0 (Record, 1);
  record->seconds = get_seconds (self);
  record->error = g_strdup (error->message);
  record_save (record, self->plan, self->index, RECORD_RESULT, NULL);
}

/* --- The task ------------------------------------------------------------ */

static gboolean
make_file (Task * self, GError ** error)
{
  int fd;

  self->path = plan_dup_part_path (self->plan, self->index, ".", ".XXXXXX");
  fd = g_mkstemp_full (self->path, O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0)
    return paths_set_errno_error (error, "cannot write in the folder",
        self->plan->folder);
  close (fd);
  return TRUE;
}

gboolean
task_is_done (const Plan * plan, guint index)
{
  g_autoptr (Record) record = record_load (plan, index, RECORD_RESULT);

  return record && record_check (record, plan, NULL);
}

static gboolean
work (Task * self, GError ** error)
{
  TranscodeResult result;

  return plan_check_files (self->plan, error) && make_file (self, error)
      && restore (self, &result, error) && settle (self, error);
}

gboolean
task_run (const Plan * plan, guint index, GCancellable * cancellable,
    GError ** error)
{
  Task self = {
    .plan = plan,
    .index = index,
    .part = plan_get_part (plan, index),
    .cancellable = cancellable,
    .begun = g_get_monotonic_time (),
  };
  g_autoptr (GError) failure = NULL;

  if (task_is_done (plan, index)) {
    fprintf (stderr, "archive: part %u is there already\n", index);
    return TRUE;
  }
  work (&self, &failure);
  if (self.path)
    g_unlink (self.path);       /* gone already where all went well */
  g_free (self.path);
  record_remove (plan, index, RECORD_RUNNING);
  if (!failure)
    return TRUE;
  tell_failure (&self, failure);
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}
