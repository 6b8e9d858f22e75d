/* SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE             /* dladdr () */
#include "dloralmodelpath.h"

#include <dlfcn.h>

#include "engine/dloral.h"

#define DEFAULT_MODEL "dloral-small.safetensors"
/* build/gst/ and lib/<triplet>/gstreamer-1.0/ lie two and three folders below
 * what holds weights/ and share/. */
#define MAX_FOLDERS_UP 5

static gchar *
dloral_take_if_file (gchar * path)
{
  if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
    return path;
  g_free (path);
  return NULL;
}

/* In weights/ (a build tree) or share/gst-dloral/ (an installation) of the
 * folder or of one above it. */
static gchar *
dloral_find_model_above (const gchar * folder)
{
  gchar *here = g_strdup (folder), *found = NULL;
  gint i;

  for (i = 0; i <= MAX_FOLDERS_UP && !found; i++) {
    gchar *up;

    found = dloral_take_if_file (g_build_filename (here, "weights",
            DEFAULT_MODEL, NULL));
    if (!found)
      found = dloral_take_if_file (g_build_filename (here, "share",
              "gst-dloral", DEFAULT_MODEL, NULL));
    up = g_path_get_dirname (here);
    g_free (here);
    here = up;
  }
  g_free (here);
  return found;
}

/* The folder this very code was loaded from. */
static gchar *
dloral_get_plugin_folder (void)
{
  Dl_info info;
  gchar *path, *folder;

  if (!dladdr ((gpointer) dloral_find_default_model, &info) || !info.dli_fname)
    return NULL;
  path = g_canonicalize_filename (info.dli_fname, NULL);
  folder = g_path_get_dirname (path);
  g_free (path);
  return folder;
}

gchar *
dloral_find_default_model (GError ** error)
{
  gchar *folder = dloral_get_plugin_folder ();
  gchar *found = folder ? dloral_find_model_above (folder) : NULL;

  if (!found)
    found = dloral_take_if_file (g_build_filename (DLORAL_DATADIR,
            DEFAULT_MODEL, NULL));
  if (!found)                   /* built outside the source tree */
    found = dloral_take_if_file (g_build_filename (DLORAL_SOURCE_WEIGHTS,
            DEFAULT_MODEL, NULL));
  if (!found)
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_NOT_FOUND,
        "%s: not found near the plugin, in %s or in %s; "
        "give another model by the property \"model\".", DEFAULT_MODEL,
        DLORAL_DATADIR, DLORAL_SOURCE_WEIGHTS);
  g_free (folder);
  return found;
}
