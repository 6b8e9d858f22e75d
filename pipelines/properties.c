/* Properties of dloral that people set, see properties.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "properties.h"

#include <gio/gio.h>
#include <gst/gst.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "color-fix", "consistency-strength",
  "detail-strength", "device", "model", "precision", "prompt",
  "scene-cut-threshold", "temporal-window", "tile-overlap", "tile-size",
  "tune", "vae", NULL
};

/* The value in the property's own words; NULL when it does not take it. */
static char *
dup_canonical (GParamSpec * spec, const char *text)
{
  GValue value = G_VALUE_INIT;
  char *canonical = NULL;

  if (strcmp (spec->name, "model") == 0)
    return g_canonicalize_filename (text, NULL);
  if (G_IS_PARAM_SPEC_STRING (spec))
    return g_strdup (text);
  g_value_init (&value, spec->value_type);
  if (gst_value_deserialize (&value, text)
      && !g_param_value_validate (spec, &value))
    canonical = gst_value_serialize (&value);
  g_value_unset (&value);
  return canonical;
}

static char *
normalize_one (GObjectClass * klass, const char *given, GError ** error)
{
  g_auto (GStrv) pair = g_strsplit (given, "=", 2);
  g_autofree char *value = NULL;

  if (g_strv_length (pair) != 2 || !g_strv_contains (names, pair[0])) {
    g_autofree char *all = g_strjoinv (", ", (char **) names);

    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "--set takes NAME=VALUE, not \"%s\"; names are %s", given, all);
    return NULL;
  }
  value = dup_canonical (g_object_class_find_property (klass, pair[0]),
      pair[1]);
  if (value)
    return g_strconcat (pair[0], "=", value, NULL);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
      "%s cannot be \"%s\": gst-inspect-1.0 dloral says what it takes", pair[0],
      pair[1]);
  return NULL;
}

static int
compare_texts (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static GstElement *
make_element (GError ** error)
{
  GstElement *element = gst_element_factory_make ("dloral", NULL);

  if (element)
    return gst_object_ref_sink (element);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
      "GStreamer has no element \"dloral\" here: set GST_PLUGIN_PATH");
  return NULL;
}

char **
properties_normalize (char **given, GError ** error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  GstElement *element = make_element (error);
  gboolean ok = element != NULL;
  char **all;

  for (char **p = given; ok && p && *p; p++) {
    g_autofree char *one = normalize_one (G_OBJECT_GET_CLASS (element), *p,
        error);

    ok = one != NULL;
    if (ok)
      g_strv_builder_add (builder, one);
  }
  gst_clear_object (&element);
  if (!ok)
    return NULL;
  all = g_strv_builder_end (builder);
  qsort (all, g_strv_length (all), sizeof *all, compare_texts);
  return all;
}

const char *
properties_get (char **properties, const char *name)
{
  gsize n = strlen (name);

  for (char **p = properties; p && *p; p++) {
    if (strncmp (*p, name, n) == 0 && (*p)[n] == '=')
      return *p + n + 1;
  }
  return NULL;
}

/* The window's frames, each of which may be cut off from the ones before; that
 * is seen in how two frames differ, and how the two before them did. */
guint
properties_count_lead (char **properties)
{
  const char *text = properties_get (properties, "temporal-window");
  guint window = text ? atoi (text) : 1;

  return window > 0 ? window + 1 : 0;
}
