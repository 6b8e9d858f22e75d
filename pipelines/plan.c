/* How a film is to be restored in parts, see plan.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "plan.h"
#include "identity.h"
#include "paths.h"
#include "properties.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define VERSION 1

char *
plan_dup_path (const char *out)
{
  g_autofree char *folder = g_strconcat (out, ".archive", NULL);

  return g_build_filename (folder, "plan.json", NULL);
}

/* --- Writing ------------------------------------------------------------- */

static void
add_time (JsonBuilder * builder, const char *name, GstClockTime time)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, (gint64) time);
}

static void
add_string (JsonBuilder * builder, const char *name, const char *text)
{
  json_builder_set_member_name (builder, name);
  if (text)
    json_builder_add_string_value (builder, text);
  else
    json_builder_add_null_value (builder);
}

static void
add_part (JsonBuilder * builder, const PlanPart * part)
{
  json_builder_begin_object (builder);
  add_time (builder, "start", part->start);
  add_time (builder, "stop", part->stop);
  add_time (builder, "last", part->last);
  add_time (builder, "frames", part->n_frames);
  add_time (builder, "lead", part->lead);
  if (GST_CLOCK_TIME_IS_VALID (part->before))
    add_time (builder, "before", part->before);
  if (part->jumps)
    add_time (builder, "key", part->key);
  json_builder_end_object (builder);
}

static void
add_settings (const Plan * self, JsonBuilder * builder)
{
  add_string (builder, "encoder", self->encoder);
  json_builder_set_member_name (builder, "properties");
  json_builder_begin_array (builder);
  for (char **p = self->properties; *p; p++)
    json_builder_add_string_value (builder, *p);
  json_builder_end_array (builder);
  add_string (builder, "model", self->model);
}

static char *
dup_text (const Plan * self)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;

  json_builder_begin_object (builder);
  add_time (builder, "version", VERSION);
  add_string (builder, "in", self->in);
  add_string (builder, "identity", self->identity);
  add_string (builder, "out", self->out);
  add_settings (self, builder);
  add_time (builder, "offset", self->offset);
  json_builder_set_member_name (builder, "parts");
  json_builder_begin_array (builder);
  for (guint i = 0; i < self->parts->len; i++)
    add_part (builder, plan_get_part (self, i));
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  return json_to_string (root, TRUE);
}

static void
set_path (Plan * self, const char *path)
{
  self->path = g_canonicalize_filename (path, NULL);
  self->folder = g_path_get_dirname (self->path);
}

static void
set_id (Plan * self, const char *text)
{
  self->id = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
}

gboolean
plan_save (Plan * self, GError ** error)
{
  g_autofree char *text = dup_text (self);
  g_autofree char *path = plan_dup_path (self->out);

  set_path (self, path);
  set_id (self, text);
  if (g_mkdir (self->folder, 0777) < 0 && errno != EEXIST)
    return paths_set_errno_error (error, "cannot make the folder",
        self->folder);
  return g_file_set_contents_full (self->path, text, -1,
      G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0666,
      error);
}

/* --- Reading ------------------------------------------------------------- */

/* JsonReader keeps the first error and gives 0 or NULL from then on. */

static gint64
read_int (JsonReader * reader, const char *name)
{
  gint64 value;

  json_reader_read_member (reader, name);
  value = json_reader_get_int_value (reader);
  json_reader_end_member (reader);
  return value;
}

static gboolean
read_optional_time (JsonReader * reader, const char *name, GstClockTime * time)
{
  g_auto (GStrv) names = json_reader_list_members (reader);

  *time = GST_CLOCK_TIME_NONE;
  if (!names || !g_strv_contains ((const char *const *) names, name))
    return FALSE;
  *time = read_int (reader, name);
  return TRUE;
}

static char *
read_string (JsonReader * reader, const char *name)
{
  char *text;

  json_reader_read_member (reader, name);
  text = json_reader_get_null_value (reader) ? NULL
      : g_strdup (json_reader_get_string_value (reader));
  json_reader_end_member (reader);
  return text;
}

static char **
read_strings (JsonReader * reader, const char *name)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  int n;

  json_reader_read_member (reader, name);
  n = json_reader_count_elements (reader);
  for (int i = 0; i < n; i++) {
    const char *text;

    json_reader_read_element (reader, i);
    text = json_reader_get_string_value (reader);
    if (text)
      g_strv_builder_add (builder, text);
    json_reader_end_element (reader);
  }
  json_reader_end_member (reader);
  return g_strv_builder_end (builder);
}

static void
read_part (JsonReader * reader, PlanPart * part)
{
  *part = (PlanPart) {
    .start = read_int (reader, "start"),
    .stop = read_int (reader, "stop"),
    .last = read_int (reader, "last"),
    .n_frames = read_int (reader, "frames"),
    .lead = read_int (reader, "lead"),
  };
  read_optional_time (reader, "before", &part->before);
  part->jumps = read_optional_time (reader, "key", &part->key);
}

static void
read_parts (Plan * self, JsonReader * reader)
{
  PlanPart part;
  int n;

  json_reader_read_member (reader, "parts");
  n = json_reader_count_elements (reader);
  for (int i = 0; i < n; i++) {
    json_reader_read_element (reader, i);
    read_part (reader, &part);
    json_reader_end_element (reader);
    g_array_append_val (self->parts, part);
  }
  json_reader_end_member (reader);
}

/* The first thing that is wrong, or NULL. */
static const char *
find_fault (const Plan * self)
{
  GstClockTime at = 0;

  if (!self->in || !self->out || !self->identity)
    return "it names no source or no result";
  if (self->parts->len == 0 || self->parts->len > PLAN_MAX_PARTS)
    return "it has no parts, or more than 1000";
  for (guint i = 0; i < self->parts->len; i++) {
    const PlanPart *part = plan_get_part (self, i);

    if (part->lead > part->start || part->start > part->last
        || part->last >= part->stop || part->stop > G_MAXINT64
        || part->n_frames == 0 || (i > 0 && part->start != at))
      return "the times of its parts do not follow each other";
    at = part->stop;
  }
  return NULL;
}

static gboolean
read_plan (Plan * self, JsonReader * reader, GError ** error)
{
  const GError *failure;
  const char *fault;

  if (read_int (reader, "version") != VERSION) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" is not a plan, or one of another version of this program",
        self->path);
    return FALSE;
  }
  self->in = read_string (reader, "in");
  self->identity = read_string (reader, "identity");
  self->out = read_string (reader, "out");
  self->encoder = read_string (reader, "encoder");
  self->properties = read_strings (reader, "properties");
  self->model = read_string (reader, "model");
  self->offset = read_int (reader, "offset");
  read_parts (self, reader);
  failure = json_reader_get_error (reader);
  fault = failure ? failure->message : find_fault (self);
  if (fault)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "the plan \"%s\" is broken: %s; split again", self->path, fault);
  return !fault;
}

Plan *
plan_load (const char *path, GError ** error)
{
  g_autoptr (Plan) self = g_new0 (Plan, 1);
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (JsonReader) reader = NULL;
  g_autoptr (GError) failure = NULL;
  g_autofree char *text = NULL;

  self->parts = g_array_new (FALSE, FALSE, sizeof (PlanPart));
  set_path (self, path);
  if (!g_file_get_contents (path, &text, NULL, error))
    return NULL;
  set_id (self, text);
  root = json_from_string (text, &failure);
  if (!root) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" is not a plan: %s", path,
        failure ? failure->message : "it is empty");
    return NULL;
  }
  reader = json_reader_new (root);
  return read_plan (self, reader, error) ? g_steal_pointer (&self) : NULL;
}

/* --- The plan ------------------------------------------------------------ */

static gboolean
check_file (const char *path, const char *expected, const char *what,
    GError ** error)
{
  g_autofree char *identity = identity_of (path, error);

  if (!identity)
    return FALSE;
  if (g_strcmp0 (identity, expected) == 0)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
      "%s \"%s\" is not the one that the plan was made for", what, path);
  return FALSE;
}

gboolean
plan_check_files (const Plan * self, GError ** error)
{
  const char *model;

  if (!check_file (self->in, self->identity, "the source", error))
    return FALSE;
  model = properties_get (self->properties, "model");
  return !model || check_file (model, self->model, "the model", error);
}

guint
plan_count_frames (const Plan * self)
{
  guint n = 0;

  for (guint i = 0; i < self->parts->len; i++)
    n += plan_get_part (self, i)->n_frames;
  return n;
}

const PlanPart *
plan_get_part (const Plan * self, guint index)
{
  return &g_array_index (self->parts, PlanPart, index);
}

static char *
dup_time_text (GstClockTime time)
{
  guint64 cs = gst_util_uint64_scale_round (time, 100, GST_SECOND);

  return g_strdup_printf ("%" G_GUINT64_FORMAT ":%02u:%02u.%02u",
      cs / 360000, (guint) (cs / 6000 % 60), (guint) (cs / 100 % 60),
      (guint) (cs % 100));
}

char *
plan_describe_range (GstClockTime start, GstClockTime stop)
{
  g_autofree char *from = dup_time_text (start);
  g_autofree char *to = dup_time_text (stop);

  return g_strdup_printf ("%s to %s", from, to);
}

char *
plan_describe_part (const Plan * self, guint index)
{
  const PlanPart *part = plan_get_part (self, index);
  g_autofree char *range = plan_describe_range (part->start, part->stop);

  return g_strdup_printf ("part %u, %s", index, range);
}

char *
plan_dup_part_path (const Plan * self, guint index, const char *before,
    const char *rest)
{
  g_autofree char *name = g_strdup_printf ("%spart-%05u%s", before, index,
      rest);

  return g_build_filename (self->folder, name, NULL);
}

void
plan_free (Plan * self)
{
  g_free (self->path);
  g_free (self->folder);
  g_free (self->in);
  g_free (self->out);
  g_free (self->identity);
  g_free (self->encoder);
  g_strfreev (self->properties);
  g_free (self->model);
  g_clear_pointer (&self->parts, g_array_unref);
  g_free (self->id);
  g_free (self);
}
