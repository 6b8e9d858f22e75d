/* What a run with --resume keeps, see resume.h. The state is a key file; the
 * part that a run writes is in it before the run begins, so that one that dies
 * without a word leaves a part that is looked through.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "resume.h"
#include "paths.h"

#include <errno.h>
#include <glib/gstdio.h>

#define GROUP "video"

/* --- What the video is made of ------------------------------------------- */

/* NULL and `error` when IN cannot be looked at. */
static GKeyFile *
describe (const TranscodeParams * params, GError ** error)
{
  g_autofree char *path = g_canonicalize_filename (params->in, NULL);
  GKeyFile *keys;
  GStatBuf st;

  if (g_stat (params->in, &st) < 0) {
    paths_set_errno_error (error, "cannot look at", params->in);
    return NULL;
  }
  keys = g_key_file_new ();
  g_key_file_set_string (keys, "source", "path", path);
  g_key_file_set_int64 (keys, "source", "size", st.st_size);
  g_key_file_set_int64 (keys, "source", "modified", st.st_mtime);
  g_key_file_set_string (keys, "settings", "encoder",
      params->encoder->factory);
  g_key_file_set_uint64 (keys, "settings", "start", params->start);
  g_key_file_set_uint64 (keys, "settings", "stop", params->stop);
  return keys;
}

/* Whether both have the same keys and values in a group. */
static gboolean
agree (GKeyFile * a, GKeyFile * b, const char *group)
{
  g_auto (GStrv) keys = g_key_file_get_keys (a, group, NULL, NULL);
  gboolean same = keys != NULL;

  for (guint i = 0; same && keys[i]; i++) {
    g_autofree char *left = g_key_file_get_value (a, group, keys[i], NULL);
    g_autofree char *right = g_key_file_get_value (b, group, keys[i], NULL);

    same = g_strcmp0 (left, right) == 0;
  }
  return same;
}

static gboolean
check (const Resume * self, GKeyFile * wanted, GError ** error)
{
  const char *what = NULL;

  if (!agree (wanted, self->keys, "source"))
    what = "the source is not the one that was begun with";
  else if (!agree (wanted, self->keys, "settings"))
    what = "--encoder, --start or --duration are not those that were begun with";
  if (!what)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
      "cannot go on with \"%s\": %s; use them, or remove that folder to begin "
      "anew", self->folder, what);
  return FALSE;
}

/* --- Its parts ----------------------------------------------------------- */

static char *
dup_part_path (const Resume * self, guint index)
{
  g_autofree char *name = g_strdup_printf ("part-%u.gdp", index);

  return g_build_filename (self->folder, name, NULL);
}

static gboolean
save (Resume * self, GError ** error)
{
  return g_key_file_save_to_file (self->keys, self->state, error);
}

/* Names the part that is to be written, in the state too. */
static gboolean
begin_part (Resume * self, GError ** error)
{
  guint n = g_key_file_get_integer (self->keys, GROUP, "parts", NULL);

  self->next = dup_part_path (self, n);
  g_key_file_set_integer (self->keys, GROUP, "parts", n + 1);
  return save (self, error);
}

/* Reads how far a part goes from the state, or from itself. */
static void
load_part (Resume * self, guint index)
{
  g_autofree char *key = g_strdup_printf ("whole-%u", index);
  Part *part = g_new0 (Part, 1);

  part->path = dup_part_path (self, index);
  part_scan (part, g_key_file_get_boolean (self->keys, GROUP, key, NULL),
      &self->end);
  if (part->n_kept > 0)
    g_ptr_array_add (self->parts, part);
  else
    part_free (part);
}

static gboolean
load (Resume * self, GKeyFile * wanted, GError ** error)
{
  guint n;

  if (!g_key_file_load_from_file (self->keys, self->state, G_KEY_FILE_NONE,
          NULL)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS, "cannot go on with "
        "\"%s\": its state cannot be read; remove that folder to begin anew",
        self->folder);
    return FALSE;
  }
  if (!check (self, wanted, error))
    return FALSE;
  n = g_key_file_get_integer (self->keys, GROUP, "parts", NULL);
  for (guint i = 0; i < n; i++)
    load_part (self, i);
  self->is_complete = g_key_file_get_boolean (self->keys, GROUP, "complete",
      NULL);
  return self->is_complete || begin_part (self, error);
}

gboolean
resume_open (Resume * self, const TranscodeParams * params, const char *out,
    GError ** error)
{
  g_autoptr (GKeyFile) wanted = describe (params, error);

  if (!wanted)
    return FALSE;
  *self = (Resume) {
    .folder = g_strconcat (out, ".resume", NULL),
    .keys = g_key_file_new (),
    .parts = g_ptr_array_new_with_free_func (part_free),
    .end = PART_END_NONE,
  };
  self->state = g_build_filename (self->folder, "state.ini", NULL);
  self->picture = g_build_filename (self->folder, "before-after.png", NULL);
  if (g_file_test (self->state, G_FILE_TEST_EXISTS))
    return load (self, wanted, error);
  if (g_mkdir (self->folder, 0777) < 0 && errno != EEXIST)
    return paths_set_errno_error (error, "cannot make the folder",
        self->folder);
  g_key_file_unref (self->keys);
  self->keys = g_key_file_ref (wanted);
  return begin_part (self, error);
}

gboolean
resume_add (Resume * self, gboolean is_whole, gboolean is_complete,
    GError ** error)
{
  guint index = g_key_file_get_integer (self->keys, GROUP, "parts", NULL) - 1;
  g_autofree char *key = g_strdup_printf ("whole-%u", index);

  g_key_file_set_boolean (self->keys, GROUP, key, is_whole);
  g_key_file_set_boolean (self->keys, GROUP, "complete", is_complete);
  load_part (self, index);
  self->is_complete = is_complete;
  return save (self, error);
}

void
resume_discard (Resume * self)
{
  guint n = g_key_file_get_integer (self->keys, GROUP, "parts", NULL);

  for (guint i = 0; i < n; i++) {
    g_autofree char *path = dup_part_path (self, i);

    g_unlink (path);
  }
  g_unlink (self->picture);
  g_unlink (self->state);
  g_rmdir (self->folder);
}

void
resume_clear (Resume * self)
{
  g_clear_pointer (&self->keys, g_key_file_unref);
  g_clear_pointer (&self->parts, g_ptr_array_unref);
  g_free (self->folder);
  g_free (self->state);
  g_free (self->picture);
  g_free (self->next);
}
