/* From a frame to the words for what is in it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tagger.h"

#include <math.h>
#include <string.h>

#include "antialias.h"
#include "compute.h"
#include "tagger_net.h"

#define TAGS "tagger.tags"
#define THRESHOLDS "tagger.thresholds"
#define MAX_TAGS_SIZE (16 << 20)

struct _DloralTagger
{
  DloralModel *model;
  DloralSafetensors *own_file;  /* NULL: the tagger is in the model's */
  const DloralSafetensors *file;
  DloralTaggerConfig config;
  gboolean keep;
  char **tags;                  /* [config.tags] */
  float *thresholds;            /* [config.tags], of probabilities */
  DloralTaggerNet *net;
};

/* --- Opening ---------------------------------------------------------------- */

static gboolean
open_file (DloralTagger *t, const char *path, GError **error)
{
  if (path) {
    t->own_file = dloral_safetensors_open (path, error);
    t->file = t->own_file;
    return t->file && dloral_tagger_config_read (&t->config, t->file, error);
  }
  t->file = t->model->file;
  t->config = t->model->config.tagger;
  if (t->config.stages > 0)
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG, "File '%s': config "
      "key 'tagger': expected a tagger, to find a prompt with, found nothing; "
      "give a tagger file, or a model file that was converted with --ram",
      dloral_safetensors_get_path (t->file));
  return FALSE;
}

static gboolean
fail_tags (const DloralTagger *t, const char *expected, const char *found,
    GError **error)
{
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE, "File '%s': tensor '"
      TAGS "': expected %s, found %s; convert the tagger again",
      dloral_safetensors_get_path (t->file), expected, found);
  return FALSE;
}

/* A line each. */
static gboolean
read_tags (DloralTagger *t, GError **error)
{
  const DloralEntry *entry = dloral_safetensors_find (t->file, TAGS);
  g_autofree char *text = NULL, *expected = NULL, *found = NULL;

  if (entry == NULL || entry->dtype != DLORAL_U8 || entry->rank != 1
      || entry->size > MAX_TAGS_SIZE)
    return fail_tags (t, "the tags as a row of U8", entry ? entry->type :
        "no such tensor", error);
  if (!g_utf8_validate ((const char *) entry->data, entry->size, NULL))
    return fail_tags (t, "UTF-8", "other bytes", error);
  text = g_strndup ((const char *) entry->data, entry->size);
  t->tags = g_strsplit (text, "\n", -1);
  if ((int) g_strv_length (t->tags) == t->config.tags)
    return TRUE;
  expected = g_strdup_printf ("%d lines, tagger.tags in the config",
      t->config.tags);
  found = g_strdup_printf ("%u", g_strv_length (t->tags));
  return fail_tags (t, expected, found, error);
}

static gboolean
read_thresholds (DloralTagger *t, GError **error)
{
  const DloralEntry *entry = dloral_safetensors_require (t->file, THRESHOLDS,
      1, (gint64[]) { t->config.tags }, error);

  if (entry == NULL)
    return FALSE;
  t->thresholds = g_new (float, t->config.tags);
  dloral_entry_read_f32 (entry, 0, t->config.tags, t->thresholds);
  for (int i = 0; i < t->config.tags; i++)
    if (!(t->thresholds[i] >= 0 && t->thresholds[i] <= 1)) {
      g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE, "File '%s': tensor '"
          THRESHOLDS "': expected probabilities, found %g for '%s'; convert the "
          "tagger again", dloral_safetensors_get_path (t->file),
          t->thresholds[i], t->tags[i]);
      return FALSE;
    }
  return TRUE;
}

DloralTagger *
dloral_tagger_new (DloralModel *model, const char *path, gboolean keep,
    const gint *cancelled, GError **error)
{
  DloralTagger *t = g_new0 (DloralTagger, 1);

  t->model = dloral_model_ref (model);
  t->keep = keep;
  if (open_file (t, path, error) && read_tags (t, error)
      && read_thresholds (t, error))
    t->net = dloral_tagger_net_new (model, t->file, &t->config, cancelled,
        error);
  if (t->net)
    return t;
  dloral_tagger_free (t);
  return NULL;
}

void
dloral_tagger_free (DloralTagger *t)
{
  g_clear_pointer (&t->net, dloral_tagger_net_free);
  g_clear_pointer (&t->own_file, dloral_safetensors_free);
  g_strfreev (t->tags);
  g_free (t->thresholds);
  dloral_model_unref (t->model);
  g_free (t);
}

/* --- A frame ----------------------------------------------------------------- */

/* A picture [height][width][3], to be freed. */
static gpointer
unpack (const DloralVideoFormat *format, const guint8 *frame)
{
  gsize stride = (gsize) 3 * format->width * (format->deep ? 2 : 1);
  gpointer picture = g_malloc (stride * format->height);
  g_autofree void *scratch =
      g_malloc (dloral_video_get_scratch_size (format));

  dloral_video_unpack (format, frame, picture, stride, 0, format->height,
      scratch);
  return picture;
}

/* `picture` enlarged as for the restoration, but not padded; to be freed. */
static gpointer
enlarge (DloralTagger *t, const DloralVideoFormat *format,
    gconstpointer picture, GError **error)
{
  int scale = t->model->config.scale;
  DloralDtype type = format->deep ? DLORAL_U16 : DLORAL_U8;
  DloralGraph *g = dloral_graph_new ("enlarge", DLORAL_F32);
  DloralTensor *lq = dloral_graph_bind (g, format->height, format->width, 3,
      type);
  DloralTensor *hr = dloral_graph_bind (g, scale * format->height,
      scale * format->width, 3, type);
  gpointer result = g_try_malloc (dloral_tensor_get_size (hr));

  dloral_graph_append (g, &(DloralOp) {
      .kind = DLORAL_OP_UPSAMPLE, .n_src = 1, .src = { lq }, .dst = hr,
      .u.upsample = { scale } });
  dloral_graph_plan (g);
  if (result == NULL)
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY,
        "There is no memory for a frame of %dx%d.", hr->w, hr->h);
  else if (!dloral_compute (t->model, g, picture, NULL, result, error))
    g_clear_pointer (&result, g_free);
  dloral_graph_free (g);
  return result;
}

float *
dloral_tagger_read_frame (DloralTagger *t, const DloralVideoFormat *format,
    const guint8 *frame, GError **error)
{
  /* ImageNet's. */
  static const float mean[] = { 0.485f, 0.456f, 0.406f };
  static const float deviation[] = { 0.229f, 0.224f, 0.225f };
  int size = t->config.image_size, scale = t->model->config.scale;
  g_autofree void *lq = unpack (format, frame);
  g_autofree void *hr = enlarge (t, format, lq, error);
  float *input;

  if (hr == NULL)
    return NULL;
  input = g_new (float, (gsize) 3 * size * size);
  dloral_antialias (hr, format->deep ? DLORAL_U16 : DLORAL_U8,
      scale * format->height, scale * format->width, size, mean, deviation,
      input);
  return input;
}

/* --- Tags ---------------------------------------------------------------------- */

gboolean
dloral_tagger_get_logits (DloralTagger *t, const float *input, float *logits,
    const gint *cancelled, GError **error)
{
  if (!dloral_tagger_net_run (t->net, input, t->keep, logits, cancelled,
          error))
    return FALSE;
  for (int i = 0; i < t->config.tags; i++)
    if (!isfinite (logits[i])) {
      g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE, "The tagger's "
          "result for '%s' is not a number; choose the precision f32 or bf16",
          t->tags[i]);
      return FALSE;
    }
  return TRUE;
}

static char *
join_tags (const DloralTagger *t, const float *logits)
{
  GString *joined = g_string_new (NULL);

  for (int i = 0; i < t->config.tags; i++)
    if (1 / (1 + expf (-logits[i])) > t->thresholds[i])
      g_string_append_printf (joined, "%s%s", joined->len ? ", " : "",
          t->tags[i]);
  return g_string_free (joined, FALSE);
}

char *
dloral_tagger_run (DloralTagger *t, const DloralVideoFormat *format,
    const guint8 *frame, const gint *cancelled, GError **error)
{
  g_autofree float *input = dloral_tagger_read_frame (t, format, frame, error);
  g_autofree float *logits = g_new (float, t->config.tags);

  if (input == NULL
      || !dloral_tagger_get_logits (t, input, logits, cancelled, error))
    return NULL;
  return join_tags (t, logits);
}

char *
dloral_tags_make_prompt (const char *tags, const char *prompt)
{
  return g_strdup_printf ("%s, %s,", tags, prompt ? prompt : "");
}
