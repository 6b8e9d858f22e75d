/* What is known of a part, see record.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "record.h"
#include "identity.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

/* A task that has not been heard of for so long, in s, is no more. Its
 * machine's clock may differ from this one's. */
#define MAX_SILENCE (12 * RECORD_PERIOD)

/* --- Writing ------------------------------------------------------------- */

static void
add_string (JsonObject * object, const char *name, const char *text)
{
  if (text)
    json_object_set_string_member (object, name, text);
}

static char *
dup_text (const Record * self)
{
  g_autoptr (JsonNode) root = json_node_alloc ();
  JsonObject *object = json_object_new ();

  json_node_init_object (root, object);
  json_object_unref (object);
  add_string (object, "plan", self->plan);
  add_string (object, "host", self->host);
  json_object_set_double_member (object, "seconds", self->seconds);
  json_object_set_int_member (object, "frames", self->n_frames);
  json_object_set_int_member (object, "last", self->last);
  add_string (object, "error", self->error);
  add_string (object, "file", self->file);
  add_string (object, "sha256", self->sum);
  add_string (object, "caps", self->caps);
  return json_to_string (root, TRUE);
}

gboolean
record_save (Record * self, const Plan * plan, guint index,
    const char *suffix, GError ** error)
{
  g_autofree char *path = plan_dup_part_path (plan, index, "", suffix);
  g_autofree char *text = NULL;

  g_free (self->plan);
  g_free (self->host);
  self->plan = g_strdup (plan->id);
  self->host = g_strdup (g_get_host_name ());
  text = dup_text (self);
  return g_file_set_contents_full (path, text, -1,
      G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666,
      error);
}

/* --- Reading ------------------------------------------------------------- */

static gint64
get_int (JsonObject * object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_int (node) : 0;
}

static double
get_double (JsonObject * object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_double (node) : 0;
}

static char *
dup_string (JsonObject * object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && JSON_NODE_HOLDS_VALUE (node) ? json_node_dup_string (node)
      : NULL;
}

Record *
record_load (const Plan * plan, guint index, const char *suffix)
{
  g_autofree char *path = plan_dup_part_path (plan, index, "", suffix);
  g_autofree char *text = NULL;
  g_autoptr (JsonNode) root = NULL;
  JsonObject *object;
  Record *self;

  if (!g_file_get_contents (path, &text, NULL, NULL)
      || !(root = json_from_string (text, NULL))
      || !JSON_NODE_HOLDS_OBJECT (root))
    return NULL;
  object = json_node_get_object (root);
  self = g_new (Record, 1);
  *self = (Record) {
    .plan = dup_string (object, "plan"),
    .host = dup_string (object, "host"),
    .seconds = get_double (object, "seconds"),
    .n_frames = get_int (object, "frames"),
    .last = get_int (object, "last"),
    .error = dup_string (object, "error"),
    .file = dup_string (object, "file"),
    .sum = dup_string (object, "sha256"),
    .caps = dup_string (object, "caps"),
  };
  return self;
}

gboolean
record_is_running (const Plan * plan, guint index)
{
  g_autofree char *path = plan_dup_part_path (plan, index, "", RECORD_RUNNING);
  GStatBuf st;

  return g_stat (path, &st) == 0
      && g_get_real_time () / G_USEC_PER_SEC - st.st_mtime < MAX_SILENCE;
}

/* --- The record ---------------------------------------------------------- */

void
record_remove (const Plan * plan, guint index, const char *suffix)
{
  g_autofree char *path = plan_dup_part_path (plan, index, "", suffix);

  g_unlink (path);
}

gboolean
record_check (const Record * self, const Plan * plan, GError ** error)
{
  g_autofree char *path = NULL, *sum = NULL;

  if (g_strcmp0 (self->plan, plan->id) != 0) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
        "it was made by another plan, of another source or with other "
        "settings");
    return FALSE;
  }
  if (!self->file || !self->caps) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s",
        self->error ? self->error : "it has not been restored");
    return FALSE;
  }
  path = g_build_filename (plan->folder, self->file, NULL);
  sum = identity_of_all (path, error);
  if (!sum)
    return FALSE;
  if (g_strcmp0 (sum, self->sum) == 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
      "\"%s\" is not what was written there", path);
  return FALSE;
}

char *
record_dup_loss (const Record * self, const Plan * plan, guint index)
{
  const PlanPart *part = plan_get_part (plan, index);
  g_autofree char *name = NULL;

  if (self->n_frames >= part->n_frames)
    return NULL;
  name = plan_describe_part (plan, index);
  return g_strdup_printf ("%s: \"%s\" is corrupt there: %u of %u frames cannot "
      "be decoded", name, plan->in, part->n_frames - self->n_frames,
      part->n_frames);
}

void
record_free (Record * self)
{
  g_free (self->plan);
  g_free (self->host);
  g_free (self->error);
  g_free (self->file);
  g_free (self->sum);
  g_free (self->caps);
  g_free (self);
}
