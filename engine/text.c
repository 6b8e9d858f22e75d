/* From a prompt to its embedding.
 *
 * The encoder runs once for a prompt, so nothing of it stays: each layer is
 * compiled, run and freed before the next, and only one layer's weights are in
 * memory at a time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "text.h"

#include <string.h>

#include "compute.h"
#include "nets/clip.h"
#include "tokenizer.h"

gboolean
dloral_model_has_text_encoder (const DloralModel *model)
{
  return model->config.text_encoder.num_hidden_layers > 0;
}

/* Layers [first, first + n): bound to their source and their result, f32
 * [1][tokens][hidden_size]. */
static DloralGraph *
build (const DloralModel *model, int first, int n, const gint *cancelled,
    GError **error)
{
  int tokens = model->config.tokenizer.max_length;
  int d = model->config.text_encoder.hidden_size;
  DloralGraph *g = dloral_graph_new ("text", DLORAL_F32);
  DloralBuilder *b = dloral_builder_new (g, model->file, &model->config);
  DloralTensor *x = dloral_graph_bind (g, 1, tokens, d, DLORAL_F32);
  DloralTensor *y = dloral_graph_bind (g, 1, tokens, d, DLORAL_F32);

  g->cancelled = cancelled;
  dloral_clip_layers (b, x, first, n, y);
  if (!dloral_builder_finish (b, error)) {
    dloral_graph_free (g);
    return NULL;
  }
  dloral_graph_plan (g);
  return g;
}

gboolean
dloral_text_check (const DloralModel *model, const gint *cancelled,
    GError **error)
{
  const DloralTextEncoderConfig *text = &model->config.text_encoder;
  DloralGraph *g;

  if (!dloral_model_has_text_encoder (model))
    return TRUE;
  if (model->config.tokenizer.max_length != model->tokens) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG, "File '%s': config "
        "key 'tokenizer.max_length': expected the length of 'prompt_embeds', "
        "%d, found %d", dloral_safetensors_get_path (model->file),
        model->tokens, model->config.tokenizer.max_length);
    return FALSE;
  }
  if (!dloral_tokenizer_check (model->file, error)
      || !dloral_clip_embed (model->file, text, NULL, 0, NULL, error))
    return FALSE;
  g = build (model, 0, text->num_hidden_layers, cancelled, error);
  dloral_graph_free (g);
  return g != NULL;
}

/* All layers: from x [tokens][hidden_size] and back into it; y is scratch. */
static gboolean
run_layers (DloralModel *model, float *x, float *y, const gint *cancelled,
    GError **error)
{
  gsize size = sizeof *x * model->config.tokenizer.max_length *
      model->config.text_encoder.hidden_size;

  for (int i = 0; i < model->config.text_encoder.num_hidden_layers; i++) {
    DloralGraph *g = build (model, i, 1, cancelled, error);
    gboolean ok = g && dloral_compute (model, g, x, NULL, y, error);

    dloral_graph_free (g);
    if (!ok)
      return FALSE;
    memcpy (x, y, size);
  }
  return TRUE;
}

static gboolean
tokenize (const DloralModel *model, const char *prompt, int *ids,
    GError **error)
{
  DloralTokenizer *t = dloral_tokenizer_new (model->file,
      &model->config.tokenizer, model->config.text_encoder.vocab_size, error);

  if (t == NULL)
    return FALSE;
  dloral_tokenizer_encode (t, prompt, ids);
  dloral_tokenizer_free (t);
  return TRUE;
}

gboolean
dloral_text_encode (DloralModel *model, const char *prompt, float *embeds,
    const gint *cancelled, GError **error)
{
  const DloralTextEncoderConfig *text = &model->config.text_encoder;
  int tokens = model->config.tokenizer.max_length;
  g_autofree int *ids = g_new (int, tokens);
  g_autofree float *scratch = g_new (float, (gsize) tokens * text->hidden_size);

  if (!dloral_model_has_text_encoder (model)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG, "File '%s': the "
        "model file has no text encoder to read a prompt with; %s",
        dloral_safetensors_get_path (model->file), model->tokens ?
        "the stored prompt is used" : "this model takes no prompt");
    return FALSE;
  }
  return tokenize (model, prompt, ids, error)
      && dloral_clip_embed (model->file, text, ids, tokens, embeds, error)
      && run_layers (model, embeds, scratch, cancelled, error);
}
