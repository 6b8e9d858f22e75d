/* A film from its parts, see assemble.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "assemble.h"
#include "paths.h"
#include "record.h"
#include "transcode.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

/* Containers round times. */
#define TOLERANCE (2 * GST_MSECOND)

/* How many bad parts are named. */
#define MAX_NAMED 5

/* --- The parts ----------------------------------------------------------- */

typedef struct
{
  const Plan *plan;
  GPtrArray *parts;             /* of Part */
  guint n_frames;               /* in them */
  GstClockTime last;            /* time of the last frame */
  GString *bad;                 /* names and reasons */
  guint n_bad;
} Parts;

static void
take_bad (Parts * self, guint index, const char *reason)
{
  g_autofree char *name = plan_describe_part (self->plan, index);

  if (self->n_bad++ < MAX_NAMED)
    g_string_append_printf (self->bad, "%s%s: %s", self->n_bad > 1 ? "; " : "",
        name, reason);
}

/* A part that is not what it was is to be restored again. */
static void
take_part (Parts * self, guint index)
{
  g_autoptr (Record) record = record_load (self->plan, index, RECORD_RESULT);
  const Part *first = self->parts->len > 0
      ? g_ptr_array_index (self->parts, 0) : NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *loss = NULL;
  Part *part;

  if (!record) {
    take_bad (self, index, "it has not been restored");
  } else if (!record_check (record, self->plan, &error)) {
    take_bad (self, index, error->message);
    if (!record->error)
      record_remove (self->plan, index, RECORD_RESULT);
  } else if (first && strcmp (first->caps, record->caps) != 0) {
    take_bad (self, index, "its encoder was not that of the first part");
    record_remove (self->plan, index, RECORD_RESULT);
  } else {
    part = g_new (Part, 1);
    *part = (Part) {
      .path = g_build_filename (self->plan->folder, record->file, NULL),
      .n_kept = record->n_frames,
      .caps = g_strdup (record->caps),
    };
    g_ptr_array_add (self->parts, part);
    self->n_frames += record->n_frames;
    self->last = record->last;
    if ((loss = record_dup_loss (record, self->plan, index)))
      fprintf (stderr, "archive: %s\n", loss);
  }
}

/* FALSE and `error` when some are missing. */
static gboolean
collect_parts (Parts * self, GError ** error)
{
  g_autoptr (GString) bad = g_string_new (NULL);
  const Plan *plan = self->plan;

  self->bad = bad;
  for (guint i = 0; i < plan->parts->len; i++)
    take_part (self, i);
  if (self->n_bad == 0)
    return TRUE;
  if (self->n_bad > MAX_NAMED)
    g_string_append_printf (bad, "; and %u more", self->n_bad - MAX_NAMED);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
      "%u of %u parts of \"%s\" are not there: %s", self->n_bad,
      plan->parts->len, plan->in, bad->str);
  return FALSE;
}

/* --- The film ------------------------------------------------------------ */

static gboolean
run (const TranscodeParams * params, GCancellable * cancellable,
    TranscodeResult * result, GError ** error)
{
  Transcode *transcode = transcode_new (params, error);
  gboolean ok;

  if (!transcode)
    return FALSE;
  ok = transcode_run (transcode, cancellable, result, error);
  transcode_free (transcode);
  return ok;
}

static gboolean
is_near (GstClockTime a, GstClockTime b)
{
  return ABS (GST_CLOCK_DIFF (a, b)) <= TOLERANCE;
}

/* Where frames of the source are lost, the first may be. */
static gboolean
compare (const Parts * parts, const GArray * frames, GError ** error)
{
  const Plan *plan = parts->plan;
  GstClockTime start = plan_get_part (plan, 0)->start;
  const IndexFrame *first = &g_array_index (frames, IndexFrame, 0);
  const IndexFrame *last = &g_array_index (frames, IndexFrame,
      frames->len - 1);

  if (frames->len == parts->n_frames && is_near (last->time, parts->last)
      && (is_near (first->time, start)
          || parts->n_frames < plan_count_frames (plan)))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
      "joined, \"%s\" would have %u frames from %.3f to %.3f s, and not %u from"
      " %.3f to %.3f s", plan->out, frames->len,
      first->time / (double) GST_SECOND, last->time / (double) GST_SECOND,
      parts->n_frames, start / (double) GST_SECOND,
      parts->last / (double) GST_SECOND);
  return FALSE;
}

/* Reads what was written. */
static gboolean
verify (const Parts * parts, const char *path, GCancellable * cancellable,
    GError ** error)
{
  TranscodeParams params = {.stage = STAGE_INDEX,.in = path };
  TranscodeResult result;
  Index index;
  gboolean ok;

  index_init (&index);
  params.index = &index;
  ok = run (&params, cancellable, &result, error)
      && index_finish (&index, error)
      && compare (parts, index.frames, error);
  index_clear (&index);
  return ok;
}

static gboolean
write_film (const Parts * parts, Paths * paths,
    GCancellable * cancellable, GError ** error)
{
  TranscodeParams params = {
    .stage = STAGE_JOIN,
    .in = paths->in,
    .container = paths->container,
    .stop = GST_CLOCK_TIME_NONE,
    .parts = parts->parts,
  };
  TranscodeResult result;

  if (!paths_make_part (paths, error))
    return FALSE;
  params.out = paths->part;
  if (!run (&params, cancellable, &result, error)
      || !verify (parts, paths->part, cancellable, error)
      || !paths_settle (paths, error))
    return FALSE;
  printf ("%s: %d x %d, %u frames\n", paths->out, result.width, result.height,
      result.n_frames);
  return TRUE;
}

/* --- How it went --------------------------------------------------------- */

static char *
dup_state_path (const Plan * plan)
{
  return g_build_filename (plan->folder, "joined", NULL);
}

/* An empty file: it is done. Otherwise what was wrong. */
static void
keep_state (const Plan * plan, const GError * error)
{
  g_autofree char *path = dup_state_path (plan);

  g_file_set_contents (path, error ? error->message : "", -1, NULL);
}

gboolean
assemble_is_done (const Plan * plan, char **problem)
{
  g_autofree char *path = dup_state_path (plan);
  g_autofree char *text = NULL;

  *problem = NULL;
  if (!g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  if (*text)
    *problem = g_steal_pointer (&text);
  return !*problem && g_file_test (plan->out, G_FILE_TEST_EXISTS);
}

/* All but the plan and the state: parts, what attempts that died have left, and
 * what tasks have said. */
static void
remove_parts (const Plan * plan)
{
  GDir *dir = g_dir_open (plan->folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (plan->folder, name, NULL);

    if (g_str_has_prefix (name, "part-") || g_str_has_prefix (name, ".part-"))
      g_unlink (path);
  }
  g_clear_pointer (&dir, g_dir_close);
}

static gboolean
assemble (const Plan * plan, GCancellable * cancellable, GError ** error)
{
  Paths paths = {.in = plan->in };
  Parts parts = {
    .plan = plan,
    .parts = g_ptr_array_new_with_free_func (part_free),
  };
  gboolean ok;

  ok = plan_check_files (plan, error) && collect_parts (&parts, error)
      && paths_choose (&paths, plan->out, error) && paths_check (&paths, error)
      && write_film (&parts, &paths, cancellable, error);
  paths_clear (&paths);
  g_ptr_array_unref (parts.parts);
  return ok;
}

gboolean
assemble_film (const Plan * plan, GCancellable * cancellable, GError ** error)
{
  g_autoptr (GError) failure = NULL;
  g_autofree char *problem = NULL;

  if (assemble_is_done (plan, &problem)) {
    fprintf (stderr, "archive: \"%s\" is there already\n", plan->out);
    return TRUE;
  }
  assemble (plan, cancellable, &failure);
  keep_state (plan, failure);
  if (!failure) {
    remove_parts (plan);
    return TRUE;
  }
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}
