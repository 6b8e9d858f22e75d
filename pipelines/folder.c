/* Every video of a folder, see folder.h. What is a video goes by the name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "folder.h"
#include "paths.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

static const char *const suffixes[] = { ".3gp", ".asf", ".avi", ".flv", ".m2ts",
  ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv",
  ".ts", ".vob", ".webm", ".wmv"
};

static gboolean
is_video (const char *name)
{
  const char *dot = strrchr (name, '.');

  for (guint i = 0; dot && dot != name && i < G_N_ELEMENTS (suffixes); i++) {
    if (g_ascii_strcasecmp (dot, suffixes[i]) == 0)
      return TRUE;
  }
  return FALSE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Names within the folder, sorted. */
static GPtrArray *
list_videos (const char *path, GError ** error)
{
  GDir *dir = g_dir_open (path, 0, error);
  GPtrArray *names;
  const char *name;

  if (!dir)
    return NULL;
  names = g_ptr_array_new_with_free_func (g_free);
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *full = g_build_filename (path, name, NULL);

    if (is_video (name) && g_file_test (full, G_FILE_TEST_IS_REGULAR))
      g_ptr_array_add (names, g_strdup (name));
  }
  g_dir_close (dir);
  g_ptr_array_sort (names, compare_names);
  if (names->len > 0)
    return names;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
      "there is no video in the folder \"%s\"", path);
  g_ptr_array_unref (names);
  return NULL;
}

static char *
dup_default_out (const char *in)
{
  g_autofree char *full = g_canonicalize_filename (in, NULL);

  return g_strconcat (full, "-x4", NULL);
}

static gboolean
make_folder (const char *in, const char *out, GError ** error)
{
  GStatBuf from, to;

  if (g_file_test (out, G_FILE_TEST_EXISTS)
      && !g_file_test (out, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_DIRECTORY,
        "\"%s\" is a folder, and the result \"%s\" is not", in, out);
    return FALSE;
  }
  if (g_mkdir_with_parents (out, 0777) < 0 || g_stat (in, &from) < 0
      || g_stat (out, &to) < 0) {
    int code = errno;

    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
        "cannot make the folder \"%s\": %s", out, g_strerror (code));
    return FALSE;
  }
  if (from.st_dev == to.st_dev && from.st_ino == to.st_ino) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "the folder \"%s\" cannot be the input and the result at once", in);
    return FALSE;
  }
  return TRUE;
}

/* A result that nothing is left of to go on with. */
static gboolean
is_done (const char *out)
{
  g_autofree char *rest = g_strconcat (out, ".resume", NULL);

  return g_file_test (out, G_FILE_TEST_EXISTS)
      && !g_file_test (rest, G_FILE_TEST_EXISTS);
}

static gboolean
restore_one (const char *in_folder, const char *name, const char *out_folder,
    GHashTable * taken, const JobOptions * options, GError ** error)
{
  g_autofree char *in = g_build_filename (in_folder, name, NULL);
  g_autofree char *result = paths_dup_default_out (name, "");
  g_autofree char *out = g_build_filename (out_folder, result, NULL);
  const char *other = g_hash_table_lookup (taken, result);

  if (other) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
        "\"%s\" was left out: its result would replace that of \"%s\"", in,
        other);
    return FALSE;
  }
  g_hash_table_insert (taken, g_strdup (result), g_strdup (name));
  if (options->resume && is_done (out)) {
    fprintf (stderr, "%s is there already\n", out);
    return TRUE;
  }
  return job_run (in, out, options, error);
}

static gboolean
restore_all (const char *in, const char *out, GPtrArray * names,
    const JobOptions * options, GError ** error)
{
  g_autoptr (GHashTable) taken = g_hash_table_new_full (g_str_hash, g_str_equal,
      g_free, g_free);
  guint n_failed = 0;

  for (guint i = 0; i < names->len; i++) {
    g_autoptr (GError) failure = NULL;
    const char *name = g_ptr_array_index (names, i);

    fprintf (stderr, "%u of %u: %s\n", i + 1, names->len, name);
    if (restore_one (in, name, out, taken, options, &failure))
      continue;
    if (g_cancellable_is_cancelled (options->cancellable)) {
      g_propagate_error (error, g_steal_pointer (&failure));
      return FALSE;
    }
    fprintf (stderr, "upscale: %s\n", failure->message);
    n_failed++;
  }
  if (n_failed == 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
      "%u of %u files could not be restored", n_failed, names->len);
  return FALSE;
}

gboolean
folder_run (const char *in, const char *out, const JobOptions * options,
    GError ** error)
{
  g_autofree char *folder = out ? g_strdup (out) : dup_default_out (in);
  g_autoptr (GPtrArray) names = list_videos (in, error);

  return names && make_folder (in, folder, error)
      && restore_all (in, folder, names, options, error);
}
