/* archive-file split|run|join|status|all ...: films in parts, by many machines.
 * pipelines/archive is the command that people run and says what it takes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "assemble.h"
#include "cluster.h"
#include "paths.h"
#include "properties.h"
#include "signals.h"
#include "split.h"
#include "status.h"
#include "task.h"

#include <errno.h>
#include <gst/pbutils/pbutils.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_LENGTH 120

typedef struct
{
  SplitOptions split;
  char **set;                   /* as they were given */
  int length;                   /* s */
  char *backend, *sbatch;
  char **sbatch_options;
  int n_jobs;
  gboolean json;
  char **words;                 /* the command, and what it is for */
  guint n_words;
} Arguments;

/* --- Arguments ----------------------------------------------------------- */

static gboolean
refuse (GError ** error, const char *what)
{
  g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, what);
  return FALSE;
}

static gboolean
check (Arguments * arguments, GError ** error)
{
  const char *backend = arguments->backend;

  if (arguments->length < 1 || arguments->length > 86400)
    return refuse (error, "--part-seconds takes a number from 1 to 86400");
  if (arguments->n_jobs < 1 || arguments->n_jobs > 64)
    return refuse (error, "--jobs takes a number from 1 to 64");
  if (backend && strcmp (backend, "slurm") && strcmp (backend, "parallel"))
    return refuse (error, "--backend takes slurm or parallel");
  arguments->split.length = arguments->length * GST_SECOND;
  arguments->split.properties = properties_normalize (arguments->set, error);
  return arguments->split.properties && (!arguments->sbatch
      || g_shell_parse_argv (arguments->sbatch, NULL,
          &arguments->sbatch_options, error));
}

static gboolean
parse (Arguments * arguments, int argc, char **argv, GError ** error)
{
  const GOptionEntry entries[] = {
    {"encoder", 0, 0, G_OPTION_ARG_STRING, &arguments->split.encoder, NULL,
        NULL},
    {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments->set, NULL, NULL},
    {"part-seconds", 0, 0, G_OPTION_ARG_INT, &arguments->length, NULL, NULL},
    {"backend", 0, 0, G_OPTION_ARG_STRING, &arguments->backend, NULL, NULL},
    {"sbatch", 0, 0, G_OPTION_ARG_STRING, &arguments->sbatch, NULL, NULL},
    {"jobs", 0, 0, G_OPTION_ARG_INT, &arguments->n_jobs, NULL, NULL},
    {"json", 0, 0, G_OPTION_ARG_NONE, &arguments->json, NULL, NULL},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->words,
        NULL, NULL},
    G_OPTION_ENTRY_NULL
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, error))
    return FALSE;
  arguments->n_words = arguments->words ? g_strv_length (arguments->words) : 0;
  return check (arguments, error);
}

static void
arguments_clear (Arguments * arguments)
{
  g_free (arguments->split.encoder);
  g_strfreev (arguments->split.properties);
  g_object_unref (arguments->split.cancellable);
  g_strfreev (arguments->set);
  g_free (arguments->backend);
  g_free (arguments->sbatch);
  g_strfreev (arguments->sbatch_options);
  g_strfreev (arguments->words);
}

/* --- One film ------------------------------------------------------------ */

static gboolean
split (const Arguments * arguments, GError ** error)
{
  g_autoptr (Plan) plan = split_film (arguments->words[1], arguments->words[2],
      &arguments->split, error);

  if (!plan)
    return FALSE;
  printf ("%s: %u parts\n", plan->path, plan->parts->len);
  return TRUE;
}

/* The part's number, as it was given or as Slurm says. */
static gboolean
find_index (const Arguments * arguments, const Plan * plan, guint * index,
    GError ** error)
{
  const char *text = arguments->n_words > 2 ? arguments->words[2]
      : g_getenv ("SLURM_ARRAY_TASK_ID");
  guint64 number;

  if (!text)
    return refuse (error, "say which part: run PLAN PART, or run PLAN as a "
        "task of a Slurm job array");
  if (g_ascii_string_to_unsigned (text, 10, 0, plan->parts->len - 1, &number,
          NULL)) {
    *index = number;
    return TRUE;
  }
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
      "the parts of \"%s\" are 0 to %u, there is no \"%s\"", plan->path,
      plan->parts->len - 1, text);
  return FALSE;
}

static gboolean
run (const Arguments * arguments, GError ** error)
{
  g_autoptr (Plan) plan = plan_load (arguments->words[1], error);
  guint index;

  return plan && find_index (arguments, plan, &index, error)
      && task_run (plan, index, arguments->split.cancellable, error);
}

static gboolean
join (const Arguments * arguments, GError ** error)
{
  g_autoptr (Plan) plan = plan_load (arguments->words[1], error);

  return plan && assemble_film (plan, arguments->split.cancellable, error);
}

static gboolean
status (const Arguments * arguments, GError ** error)
{
  g_autoptr (GPtrArray) plans =
      g_ptr_array_new_with_free_func ((GDestroyNotify) plan_free);
  Plan *plan;

  for (guint i = 1; i < arguments->n_words; i++) {
    plan = plan_load (arguments->words[i], error);
    if (!plan)
      return FALSE;
    g_ptr_array_add (plans, plan);
  }
  status_print (plans, arguments->json);
  return TRUE;
}

/* --- Many films ---------------------------------------------------------- */

typedef struct
{
  const Arguments *arguments;
  GPtrArray *films;             /* of Film: what is to be done */
  GHashTable *taken;            /* results' names, with what they are of */
  guint n_failed;
} All;

/* A failure with one film does not keep the others from going on. */
static void
take_failure (All * self, const GError * error)
{
  fprintf (stderr, "archive: %s\n", error->message);
  self->n_failed++;
}

/* A result that is there, and not one of a plan that is not yet done. */
static gboolean
is_there (const char *out)
{
  g_autofree char *path = plan_dup_path (out);
  g_autofree char *problem = NULL;
  g_autoptr (Plan) plan = NULL;

  if (!g_file_test (out, G_FILE_TEST_EXISTS))
    return FALSE;
  plan = plan_load (path, NULL);
  return !plan || assemble_is_done (plan, &problem);
}

static gboolean
add_film (All * self, const char *in, const char *folder, GError ** error)
{
  g_autofree char *stem = g_path_get_basename (in);
  g_autofree char *name = paths_dup_default_out (stem, "");
  g_autofree char *out = g_build_filename (folder, name, NULL);
  const char *other = g_hash_table_lookup (self->taken, name);
  Plan *plan;

  if (other) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
        "\"%s\" was left out: its result would replace that of \"%s\"", in,
        other);
    return FALSE;
  }
  g_hash_table_insert (self->taken, g_strdup (name), g_strdup (in));
  if (is_there (out)) {
    fprintf (stderr, "%s is there already\n", out);
    return TRUE;
  }
  plan = split_film (in, out, &self->arguments->split, error);
  if (plan)
    g_ptr_array_add (self->films, film_new (plan));
  return plan != NULL;
}

static void
submit_films (All * self)
{
  for (guint i = 0; i < self->films->len; i++) {
    g_autoptr (GError) error = NULL;

    if (!cluster_submit (g_ptr_array_index (self->films, i),
            self->arguments->sbatch_options, &error))
      take_failure (self, error);
  }
}

static gboolean
run_films (All * self, GError ** error)
{
  GCancellable *cancellable = self->arguments->split.cancellable;

  if (!cluster_run (self->films, self->arguments->n_jobs, cancellable, error))
    return FALSE;
  for (guint i = 0; i < self->films->len; i++) {
    const Film *film = g_ptr_array_index (self->films, i);
    g_autoptr (GError) failure = NULL;

    if (!assemble_film (film->plan, cancellable, &failure))
      take_failure (self, failure);
  }
  return TRUE;
}

static gboolean
make_folder (const char *path, GError ** error)
{
  return g_mkdir_with_parents (path, 0777) == 0
      || paths_set_errno_error (error, "cannot make the folder", path);
}

static gboolean
add_films (All * self, GError ** error)
{
  const Arguments *arguments = self->arguments;
  const char *folder = arguments->words[arguments->n_words - 1];

  if (!make_folder (folder, error))
    return FALSE;
  for (guint i = 1; i + 1 < arguments->n_words; i++) {
    g_autoptr (GError) failure = NULL;

    if (!add_film (self, arguments->words[i], folder, &failure))
      take_failure (self, failure);
    if (g_cancellable_set_error_if_cancelled (arguments->split.cancellable,
            error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
all (const Arguments * arguments, GError ** error)
{
  g_autoptr (GPtrArray) films = g_ptr_array_new_with_free_func (film_free);
  g_autoptr (GHashTable) taken = g_hash_table_new_full (g_str_hash,
      g_str_equal, g_free, g_free);
  All self = {.arguments = arguments,.films = films,.taken = taken };

  if (!add_films (&self, error))
    return FALSE;
  if (g_strcmp0 (arguments->backend, "parallel") != 0)
    submit_films (&self);
  else if (!run_films (&self, error))
    return FALSE;
  if (self.n_failed == 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
      "%u of %u films have failed", self.n_failed, arguments->n_words - 2);
  return FALSE;
}

/* --- Commands ------------------------------------------------------------ */

static const struct
{
  const char *name;
  guint min_words, max_words;   /* with its name */
  gboolean (*run) (const Arguments *, GError **);
} commands[] = {
  {"split", 3, 3, split},
  {"run", 2, 3, run},
  {"join", 2, 2, join},
  {"status", 2, G_MAXUINT, status},
  {"all", 3, G_MAXUINT, all},
};

static gboolean
execute (const Arguments * arguments, GError ** error)
{
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++) {
    if (arguments->n_words >= commands[i].min_words
        && arguments->n_words <= commands[i].max_words
        && strcmp (arguments->words[0], commands[i].name) == 0)
      return commands[i].run (arguments, error);
  }
  return refuse (error, "usage: archive split IN OUT | run PLAN [PART] | "
      "join PLAN | status PLAN... | all IN... OUT_DIR");
}

/* Whether a task would fail again. */
static gboolean
is_final (const GError * error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA)
      || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE)
      || g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
}

static int
get_status (const GError * error)
{
  if (signals_get ())
    return 128 + signals_get ();
  if (error->domain == G_OPTION_ERROR)
    return 2;
  return is_final (error) ? CLUSTER_STATUS_FINAL : 1;
}

int
main (int argc, char **argv)
{
  Arguments arguments = {
    .split.cancellable = g_cancellable_new (),
    .length = DEFAULT_LENGTH,
    .n_jobs = 1,
  };
  g_autoptr (GError) error = NULL;
  int status = 0;

  /* A write past a limit is to fail, not to kill. */
  signal (SIGXFSZ, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  g_set_prgname ("archive");
  gst_init (NULL, NULL);
  gst_pb_utils_init ();
  signals_watch (signals_cancel, arguments.split.cancellable);

  if (!parse (&arguments, argc, argv, &error)
      || !execute (&arguments, &error)) {
    status = get_status (error);
    fprintf (stderr, "archive: %s\n", error->message);
  }
  arguments_clear (&arguments);
  return status;
}
