/* What does the parts of films at once, see cluster.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cluster.h"
#include "task.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define TRIES "3"

/* --- What is to be done -------------------------------------------------- */

Film *
film_new (Plan * plan)
{
  Film *film = g_new (Film, 1);

  *film = (Film) { plan, g_array_new (FALSE, FALSE, sizeof (guint)) };
  for (guint i = 0; i < plan->parts->len; i++) {
    if (!task_is_done (plan, i))
      g_array_append_val (film->missing, i);
  }
  return film;
}

void
film_free (gpointer film)
{
  Film *self = film;

  plan_free (self->plan);
  g_array_unref (self->missing);
  g_free (self);
}

/* --- Both ---------------------------------------------------------------- */

/* This program, where other machines find it, too: it is on a shared file
 * system, as the films are. */
static char *
dup_program (GError ** error)
{
  return g_file_read_link ("/proc/self/exe", error);
}

static void
take (GPtrArray * argv, char *word)
{
  g_ptr_array_add (argv, word);
}

static GSubprocess *
spawn (GPtrArray * argv, GSubprocessFlags flags, const char *package,
    GError ** error)
{
  const char *name = g_ptr_array_index (argv, 0);
  GSubprocess *process;

  g_ptr_array_add (argv, NULL);
  process = g_subprocess_newv ((const char *const *) argv->pdata, flags, error);
  if (!process)
    g_prefix_error (error, "%s cannot be started, install Debian's %s: ", name,
        package);
  return process;
}

/* --- Slurm --------------------------------------------------------------- */

/* As --array takes it: 3,7-9. */
static char *
dup_ranges (const GArray * missing)
{
  const guint *index = (const guint *) missing->data;
  GString *text = g_string_new (NULL);

  for (guint i = 0, end; i < missing->len; i = end) {
    for (end = i + 1; end < missing->len && index[end] == index[end - 1] + 1;
        end++);
    g_string_append_printf (text, "%s%u", i > 0 ? "," : "", index[i]);
    if (end > i + 1)
      g_string_append_printf (text, "-%u", index[end - 1]);
  }
  return g_string_free (text, FALSE);
}

/* What sbatch writes to; %a is its name for the part's number. */
static char *
dup_log_option (const Plan * plan, const char *name)
{
  g_auto (GStrv) pieces = g_strsplit (plan->folder, "%", -1);
  g_autofree char *folder = g_strjoinv ("%%", pieces);

  return g_strdup_printf ("--output=%s/%s", folder, name);
}

static GPtrArray *
new_sbatch (const Plan * plan, const char *log)
{
  GPtrArray *argv = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *name = g_path_get_basename (plan->out);

  take (argv, g_strdup ("sbatch"));
  take (argv, g_strdup ("--parsable"));
  take (argv, g_strdup ("--requeue"));
  take (argv, g_strdup ("--open-mode=append"));
  take (argv, g_strconcat ("--job-name=", name, NULL));
  take (argv, dup_log_option (plan, log));
  return argv;
}

/* The job's number. */
static char *
submit (GPtrArray * argv, GError ** error)
{
  g_autoptr (GSubprocess) process = spawn (argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE
      | G_SUBPROCESS_FLAGS_STDERR_PIPE, "slurm-client", error);
  g_autofree char *out = NULL, *said = NULL;

  if (!process || !g_subprocess_communicate_utf8 (process, NULL, NULL, &out,
          &said, error))
    return NULL;
  if (g_subprocess_get_successful (process))
    return g_strndup (out, strcspn (out, ";\n"));
  g_strdelimit (g_strchomp (said), "\n", ' ');
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "Slurm did not take the "
      "job: %s", said);
  return NULL;
}

/* Slurm itself puts a task that its node has lost back into the queue; one that
 * dies puts itself there, unless it was told to stop or would fail again. */
static char *
dup_task_script (const char *program, const Plan * plan)
{
  g_autofree char *command = g_shell_quote (program);
  g_autofree char *path = g_shell_quote (plan->path);

  return g_strdup_printf ("--wrap=%s run %s\n"
      "status=$?\n"
      "case $status in 0 | 2 | %d | 129 | 130 | 143) exit $status ;; esac\n"
      "[ \"${SLURM_RESTART_COUNT:-0}\" -lt " TRIES " ] || exit $status\n"
      "exec scontrol requeue \"$SLURM_JOB_ID\"\n", command, path,
      CLUSTER_STATUS_FINAL);
}

static char *
submit_array (const Film * film, const char *program, char **options,
    GError ** error)
{
  g_autoptr (GPtrArray) argv = new_sbatch (film->plan, "part-%a.log");
  g_autofree char *ranges = dup_ranges (film->missing);

  take (argv, g_strconcat ("--array=", ranges, NULL));
  for (char **option = options; option && *option; option++)
    take (argv, g_strdup (*option));
  take (argv, dup_task_script (program, film->plan));
  return submit (argv, error);
}

/* `array`: the number of a job to wait for, or NULL. */
static char *
submit_join (const Plan * plan, const char *program, const char *array,
    GError ** error)
{
  g_autoptr (GPtrArray) argv = new_sbatch (plan, "join.log");
  g_autofree char *command = g_shell_quote (program);
  g_autofree char *path = g_shell_quote (plan->path);

  if (array)
    take (argv, g_strconcat ("--dependency=afterany:", array, NULL));
  take (argv, g_strdup_printf ("--wrap=exec %s join %s", command, path));
  return submit (argv, error);
}

gboolean
cluster_submit (const Film * film, char **options, GError ** error)
{
  g_autofree char *program = dup_program (error);
  g_autofree char *array = NULL, *join = NULL;

  if (!program)
    return FALSE;
  if (film->missing->len > 0
      && !(array = submit_array (film, program, options, error)))
    return FALSE;
  join = submit_join (film->plan, program, array, error);
  if (!join)
    return FALSE;
  printf ("%s: %u of %u parts are to be restored, job %s; then job %s joins "
      "them\n", film->plan->out, film->missing->len, film->plan->parts->len,
      array ? array : "none", join);
  return TRUE;
}

/* --- GNU Parallel -------------------------------------------------------- */

typedef struct
{
  GMainLoop *loop;
  GSubprocess *process;
  GError *error;
} Wait;

/* Plan and part of every task, each with a zero byte after it. */
static GBytes *
list_tasks (GPtrArray * films)
{
  GByteArray *list = g_byte_array_new ();

  for (guint i = 0; i < films->len; i++) {
    const Film *film = g_ptr_array_index (films, i);
    const char *path = film->plan->path;

    for (guint j = 0; j < film->missing->len; j++) {
      g_autofree char *part = g_strdup_printf ("%u",
          g_array_index (film->missing, guint, j));

      g_byte_array_append (list, (const guint8 *) path, strlen (path) + 1);
      g_byte_array_append (list, (const guint8 *) part, strlen (part) + 1);
    }
  }
  return g_byte_array_free_to_bytes (list);
}

/* The n-th task at a time has the n-th GPU of those that it may use. */
static GPtrArray *
new_parallel (const char *program, guint n_jobs)
{
  GPtrArray *argv = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *command = g_shell_quote (program);

  take (argv, g_strdup ("parallel"));
  take (argv, g_strdup ("--will-cite"));
  take (argv, g_strdup ("--null"));
  take (argv, g_strdup ("--max-args=2"));
  take (argv, g_strdup_printf ("--jobs=%u", n_jobs));
  take (argv, g_strdup ("--retries=" TRIES));
  take (argv, g_strdup_printf ("CUDA_VISIBLE_DEVICES="
          "{=1 $_ = (split /,/, $ENV{CUDA_VISIBLE_DEVICES}"
          " // join \",\", 0 .. 63)[slot() - 1] =} %s run {1} {2}"
          " || [ $? -eq %d ]", command, CLUSTER_STATUS_FINAL));
  return argv;
}

/* It ends its tasks before itself. */
static void
on_cancelled (GCancellable * cancellable, Wait * wait)
{
  g_subprocess_send_signal (wait->process, SIGINT);
}

static void
on_end (GObject * process, GAsyncResult * result, gpointer user_data)
{
  Wait *wait = user_data;

  g_subprocess_communicate_finish (G_SUBPROCESS (process), result, NULL, NULL,
      &wait->error);
  g_main_loop_quit (wait->loop);
}

static gboolean
feed (GSubprocess * process, GBytes * tasks, GCancellable * cancellable,
    GError ** error)
{
  Wait wait = { g_main_loop_new (NULL, FALSE), process, NULL };
  gulong cancelled = g_signal_connect (cancellable, "cancelled",
      G_CALLBACK (on_cancelled), &wait);

  g_subprocess_communicate_async (process, tasks, NULL, on_end, &wait);
  g_main_loop_run (wait.loop);
  g_signal_handler_disconnect (cancellable, cancelled);
  g_main_loop_unref (wait.loop);
  if (!wait.error)
    return !g_cancellable_set_error_if_cancelled (cancellable, error);
  g_propagate_error (error, wait.error);
  return FALSE;
}

gboolean
cluster_run (GPtrArray * films, guint n_jobs, GCancellable * cancellable,
    GError ** error)
{
  g_autofree char *program = dup_program (error);
  g_autoptr (GBytes) tasks = list_tasks (films);
  g_autoptr (GPtrArray) argv = NULL;
  g_autoptr (GSubprocess) process = NULL;

  if (!program)
    return FALSE;
  if (g_bytes_get_size (tasks) == 0)
    return TRUE;
  /* The command is written for it. */
  g_setenv ("PARALLEL_SHELL", "/bin/sh", TRUE);
  argv = new_parallel (program, n_jobs);
  process = spawn (argv, G_SUBPROCESS_FLAGS_STDIN_PIPE, "parallel", error);
  return process && feed (process, tasks, cancellable, error);
}
