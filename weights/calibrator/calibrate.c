/* Measures what a model multiplies while it restores a clip, and writes a model
 * file that says so: what precision fp8 needs.
 *
 *   calibrate MODEL -o OUTPUT FRAME.ppm …
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/fp8.h"
#include "observer.h"
#include "ppm.h"
#include "writer.h"

#include <locale.h>
#include <math.h>
#include <string.h>

/* --- The clip ------------------------------------------------------------------ */

typedef struct
{
  DloralModel *model;
  DloralStream *stream;         /* NULL before the first frame */
  int width, height;
} Clip;

/* For frames as large as the first. */
static gboolean
prepare (Clip *clip, const DloralPpm *ppm, const char *path, GError **error)
{
  const DloralStreamParams params = { .width = ppm->width,
    .height = ppm->height, DLORAL_STREAM_DEFAULTS
  };

  if (clip->stream == NULL) {
    clip->width = ppm->width;
    clip->height = ppm->height;
    clip->stream = dloral_stream_new (clip->model, &params, error);
    return clip->stream != NULL;
  }
  if (clip->width == ppm->width && clip->height == ppm->height)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
      "File '%s': expected %d×%d pixels as in the first frame, found %d×%d",
      path, clip->width, clip->height, ppm->width, ppm->height);
  return FALSE;
}

static gboolean
check_result (DloralFrame *f, const char *path, GError **error)
{
  if (f->error)
    g_propagate_error (error, g_steal_pointer (&f->error));
  else if (f->plain)
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE,
        "File '%s': the model makes of it what is not a number; check the model "
        "file", path);
  else
    return TRUE;
  return FALSE;
}

static gboolean
restore (DloralStream *stream, const DloralPpm *ppm, const char *path,
    GError **error)
{
  DloralFrame *f = dloral_stream_acquire (stream);
  gsize row = (gsize) ppm->width * 3;
  gboolean ok;

  for (int y = 0; y < ppm->height; y++)
    memcpy (f->lq + y * f->lq_stride, ppm->rgb + y * row, row);
  dloral_stream_submit (stream, f);
  f = dloral_stream_collect (stream, TRUE);
  ok = check_result (f, path, error);
  dloral_stream_release (stream, f);
  return ok;
}

static gboolean
restore_files (Clip *clip, char **paths, GError **error)
{
  gboolean ok = TRUE;

  for (; *paths && ok; paths++) {
    DloralPpm ppm;

    if (!dloral_ppm_read (&ppm, *paths, error))
      return FALSE;
    ok = prepare (clip, &ppm, *paths, error)
        && restore (clip->stream, &ppm, *paths, error);
    dloral_ppm_clear (&ppm);
  }
  return ok;
}

/* --- What came of it ------------------------------------------------------------ */

/* Scales that the file has already, or that are none, are refused. */
static gboolean
check_maxima (const DloralModel *model, GHashTable *maxima, GError **error)
{
  const char *path = dloral_safetensors_get_path (model->file);
  GHashTableIter iter;
  gpointer name, max;

  if (g_hash_table_size (maxima) == 0) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT, "File '%s' has no "
        "layer that precision fp8 could be used for: they have multiples of %d "
        "channels", path, DLORAL_FP8_CHANNELS);
    return FALSE;
  }

  g_hash_table_iter_init (&iter, maxima);
  while (g_hash_table_iter_next (&iter, &name, &max)) {
    if (dloral_safetensors_find (model->file, name)) {
      g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT, "File '%s' has "
          "been calibrated already; calibrate the file that it was made of",
          path);
      return FALSE;
    }
    if (!(*(float *) max > 0 && isfinite (*(float *) max))) {
      g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE, "File '%s': the "
          "largest value for '%s' is %g in these frames, expected a positive "
          "number; take other frames, or check the model file", path,
          (const char *) name, *(float *) max);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
calibrate (const char *model_path, const char *output, char **frames,
    GError **error)
{
  const DloralModelParams params = { .path = model_path,
    .cuda_device_id = -1
  };
  Clip clip = { .model = dloral_model_open (&params, error) };
  gboolean ok = FALSE;

  if (clip.model) {
    dloral_observe (clip.model);
    ok = restore_files (&clip, frames, error);
  }
  if (clip.stream)
    dloral_stream_free (clip.stream);
  if (ok) {
    GHashTable *maxima = dloral_observe_get_maxima (clip.model);

    ok = check_maxima (clip.model, maxima, error)
        && dloral_scales_write (model_path, output, maxima, error);
    if (ok)
      g_print ("%s: %u scales of %u frames\n", output,
          g_hash_table_size (maxima), g_strv_length (frames));
  }
  if (clip.model)
    dloral_model_unref (clip.model);
  return ok;
}

/* --- The program ---------------------------------------------------------------- */

int
main (int argc, char **argv)
{
  char *output = NULL, **paths = NULL;
  GOptionEntry entries[] = {
    {"output", 'o', 0, G_OPTION_ARG_FILENAME, &output,
        "the model file with scales", "OUTPUT"},
    {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &paths, NULL, NULL},
    {NULL}
  };
  GOptionContext *context =
      g_option_context_new ("MODEL FRAME.ppm… - calibrate for precision fp8");
  GError *error = NULL;
  gboolean ok;

  setlocale (LC_ALL, "");
  g_option_context_add_main_entries (context, entries, NULL);
  ok = g_option_context_parse (context, &argc, &argv, &error);
  if (ok && (output == NULL || paths == NULL || paths[1] == NULL)) {
    ok = FALSE;
    g_set_error (&error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
        "expected MODEL -o OUTPUT FRAME.ppm…");
  }
  ok = ok && calibrate (paths[0], output, paths + 1, &error);
  if (!ok)
    g_printerr ("calibrate: %s\n", error->message);
  g_clear_error (&error);
  g_option_context_free (context);
  g_strfreev (paths);
  g_free (output);
  return ok ? 0 : 1;
}
