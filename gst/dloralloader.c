/* The model's way from a path to memory, beside the streaming thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE             /* dladdr () */
#include "dloralloader.h"
#include "dloralerror.h"

#include <dlfcn.h>

#define DEFAULT_MODEL "dloral-small.safetensors"
/* build/gst/ and lib/<triplet>/gstreamer-1.0/ lie two and three folders below
 * what holds weights/ and share/. */
#define MAX_FOLDERS_UP 5

struct _DloralLoader
{
  GstElement *element;
  DloralModelParams params;
  gchar *path;                  /* NULL: the default */
  DloralVae vae;
  GThread *thread;

  GMutex lock;
  GCond cond;
  /* Under the lock: */
  gboolean done;
  gboolean interrupted;
  gboolean abandoned;
  DloralModel *model;
};

/* --- Where the default model is ------------------------------------------ */

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
dloral_find_default_model (void)
{
  gchar *folder = dloral_get_plugin_folder ();
  gchar *found = folder ? dloral_find_model_above (folder) : NULL;

  if (!found)
    found = dloral_take_if_file (g_build_filename (DLORAL_DATADIR,
            DEFAULT_MODEL, NULL));
  if (!found)                   /* built outside the source tree */
    found = dloral_take_if_file (g_build_filename (DLORAL_SOURCE_WEIGHTS,
            DEFAULT_MODEL, NULL));
  g_free (folder);
  return found;
}

/* --- Messages ------------------------------------------------------------ */

static void
dloral_loader_post_progress (DloralLoader * loader, GstProgressType type,
    gchar * text)
{
  gst_element_post_message (loader->element,
      gst_message_new_progress (GST_OBJECT_CAST (loader->element), type, "load",
          text));
  g_free (text);
}

/* The sentence a user reads when `path` could not be opened. */
static gchar *
dloral_loader_describe_failure (const gchar * path, const GError * error)
{
  if (!path)
    return g_strdup ("The default model was not found. Set the property "
        "\"model\" to the path of a model file.");
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_NOT_FOUND))
    return g_strdup_printf ("The model file \"%s\" %s.", path,
        g_file_test (path, G_FILE_TEST_EXISTS) ? "cannot be read"
        : "does not exist");
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY))
    return g_strdup_printf ("There is not enough memory for the model \"%s\".",
        path);
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE)
      || g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE_LOST))
    return g_strdup_printf ("The device cannot run the model \"%s\".", path);
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_SCALES))
    return g_strdup_printf ("The model \"%s\" is not calibrated. Calibrate it "
        "with build/weights/calibrate, or set the property \"precision\" to "
        "\"bf16\".", path);
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT))
    return g_strdup_printf ("The model \"%s\" has no tiny coder. Set the "
        "property \"vae\" to \"full\", or give a model file that has one.",
        path);
  return g_strdup_printf ("The file \"%s\" is not a model that can be used.",
      path);
}

/* What it was loaded for, and why not for something better. */
static gchar *
dloral_loader_describe_success (DloralModel * model)
{
  const gchar *note = dloral_model_get_device_note (model);

  return g_strdup_printf ("Model loaded, %s in %s%s%s%s",
      dloral_model_get_device_name (model),
      dloral_model_get_precision_name (model), note ? " (" : "",
      note ? note : "", note ? ")" : "");
}

static void
dloral_loader_post_result (DloralLoader * loader, const gchar * path,
    DloralModel * model, const GError * error)
{
  if (model) {
    dloral_loader_post_progress (loader, GST_PROGRESS_TYPE_COMPLETE,
        dloral_loader_describe_success (model));
    return;
  }
  dloral_loader_post_progress (loader, GST_PROGRESS_TYPE_ERROR,
      g_strdup (error->message));
  dloral_element_post_error (loader->element,
      dloral_loader_describe_failure (path, error), error);
}

/* --- The thread ---------------------------------------------------------- */

static DloralModel *
dloral_loader_open (DloralLoader * loader, const gchar * path, GError ** error)
{
  DloralModelParams params = loader->params;
  DloralModel *model;

  if (!path) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_NOT_FOUND,
        "%s: not found near the plugin, in %s or in %s; "
        "give another model by the property \"model\".", DEFAULT_MODEL,
        DLORAL_DATADIR, DLORAL_SOURCE_WEIGHTS);
    return NULL;
  }
  dloral_loader_post_progress (loader, GST_PROGRESS_TYPE_CONTINUE,
      g_strdup_printf ("Reading %s", path));
  params.path = path;
  model = dloral_model_open (&params, error);
  if (model && !dloral_model_check_vae (model, loader->vae, error))
    g_clear_pointer (&model, dloral_model_unref);
  return model;
}

static gpointer
dloral_loader_run (gpointer user_data)
{
  DloralLoader *loader = user_data;
  gchar *path = loader->path ? g_strdup (loader->path)
      : dloral_find_default_model ();
  GError *error = NULL;
  DloralModel *model = dloral_loader_open (loader, path, &error);
  gboolean abandoned;

  /* The message goes first: whoever waits fails without one of its own. */
  g_mutex_lock (&loader->lock);
  abandoned = loader->abandoned;
  g_mutex_unlock (&loader->lock);
  if (!abandoned)
    dloral_loader_post_result (loader, path, model, error);
  else
    dloral_loader_post_progress (loader, GST_PROGRESS_TYPE_CANCELED,
        g_strdup ("Loading was cancelled"));

  g_mutex_lock (&loader->lock);
  loader->model = model;
  loader->done = TRUE;
  g_cond_broadcast (&loader->cond);
  g_mutex_unlock (&loader->lock);

  g_clear_error (&error);
  g_free (path);
  return NULL;
}

DloralLoader *
dloral_loader_new (GstElement * element, const DloralModelParams * params,
    DloralVae vae)
{
  DloralLoader *loader = g_new0 (DloralLoader, 1);

  loader->element = element;
  loader->params = *params;
  loader->path = g_strdup (params->path);
  loader->vae = vae;
  g_mutex_init (&loader->lock);
  g_cond_init (&loader->cond);

  dloral_loader_post_progress (loader, GST_PROGRESS_TYPE_START,
      g_strdup ("Loading the model"));
  loader->thread = g_thread_new ("dloral-load", dloral_loader_run, loader);
  return loader;
}

void
dloral_loader_free (DloralLoader * loader)
{
  g_mutex_lock (&loader->lock);
  loader->abandoned = TRUE;
  g_mutex_unlock (&loader->lock);
  g_thread_join (loader->thread);

  if (loader->model)
    dloral_model_unref (loader->model);
  g_mutex_clear (&loader->lock);
  g_cond_clear (&loader->cond);
  g_free (loader->path);
  g_free (loader);
}

DloralModel *
dloral_loader_wait (DloralLoader * loader)
{
  DloralModel *model;

  g_mutex_lock (&loader->lock);
  while (!loader->done && !loader->interrupted)
    g_cond_wait (&loader->cond, &loader->lock);
  model = loader->interrupted ? NULL : loader->model;
  g_mutex_unlock (&loader->lock);
  return model;
}

void
dloral_loader_set_interrupted (DloralLoader * loader, gboolean interrupted)
{
  g_mutex_lock (&loader->lock);
  loader->interrupted = interrupted;
  g_cond_broadcast (&loader->cond);
  g_mutex_unlock (&loader->lock);
}
