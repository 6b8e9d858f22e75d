/* CLIP's text encoder: embeddings, then layers of causal attention and of a
 * perceptron, each normed before and added to what it was given.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "clip.h"

#include <math.h>

#define EMBEDDINGS "text_encoder.text_model.embeddings."
#define LAYERS "text_encoder.text_model.encoder.layers"

gboolean
dloral_clip_embed (const DloralSafetensors *file,
    const DloralTextEncoderConfig *config, const int *ids, int n, float *x,
    GError **error)
{
  gsize d = config->hidden_size;
  g_autofree float *position = g_new (float, d);
  const DloralEntry *tokens = dloral_safetensors_require (file,
      EMBEDDINGS "token_embedding.weight", 2,
      (gint64[]) { config->vocab_size, d }, error);
  const DloralEntry *positions = tokens ? dloral_safetensors_require (file,
      EMBEDDINGS "position_embedding.weight", 2,
      (gint64[]) { config->max_position_embeddings, d }, error) : NULL;

  for (int i = 0; x && positions && i < n; i++) {
    dloral_entry_read_f32 (tokens, ids[i] * d, d, x + i * d);
    dloral_entry_read_f32 (positions, i * d, d, position);
    for (gsize c = 0; c < d; c++)
      x[i * d + c] += position[c];
  }
  return positions != NULL;
}

/* x + causal attention of the normed h; one projection makes q, k, v. */
static DloralTensor *
attention (DloralBuilder *b, const char *prefix, DloralTensor *h,
    DloralTensor *x)
{
  static const char *const parts[] = { "q", "k", "v" };
  int c = x->c, heads = b->config->text_encoder.num_attention_heads;
  DloralTensor *y = dloral_graph_tensor (b->g, x->h, x->w, c, b->g->act_dtype);
  g_autofree char *out = g_strconcat (prefix, ".out_proj", NULL);
  char *weights[3], *biases[3];

  for (int i = 0; i < 3; i++) {
    weights[i] = g_strdup_printf ("%s.%s_proj.weight", prefix, parts[i]);
    biases[i] = g_strdup_printf ("%s.%s_proj.bias", prefix, parts[i]);
  }
  h = dloral_linear (b, prefix, h,
      dloral_builder_weight_stack (b, (const char *const *) weights, 3, c, c),
      dloral_builder_weight_stack (b, (const char *const *) biases, 3, c, 1),
      NULL);
  for (int i = 0; i < 3; i++) {
    g_free (weights[i]);
    g_free (biases[i]);
  }
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_ATTENTION, .scope = prefix,
      .n_src = 3, .src = { h, h, h }, .dst = y,
      .u.attention = { heads, c / heads, 1 / sqrtf ((float) c / heads),
          { 0, c, 2 * c }, TRUE } });
  return dloral_linear_layer (b, out, y, c, DLORAL_ACT_NONE, x, NULL);
}

/* Layer i; writes y, or a new tensor where that is NULL. */
static DloralTensor *
layer (DloralBuilder *b, int i, DloralTensor *x, DloralTensor *y)
{
  const DloralTextEncoderConfig *text = &b->config->text_encoder;
  float eps = text->layer_norm_eps;
  g_autofree char *norm1 = g_strdup_printf (LAYERS ".%d.layer_norm1", i);
  g_autofree char *attn = g_strdup_printf (LAYERS ".%d.self_attn", i);
  g_autofree char *norm2 = g_strdup_printf (LAYERS ".%d.layer_norm2", i);
  g_autofree char *fc1 = g_strdup_printf (LAYERS ".%d.mlp.fc1", i);
  g_autofree char *fc2 = g_strdup_printf (LAYERS ".%d.mlp.fc2", i);
  DloralTensor *h;

  x = attention (b, attn, dloral_layer_norm (b, norm1, x, eps, NULL), x);
  h = dloral_layer_norm (b, norm2, x, eps, NULL);
  h = dloral_linear_layer (b, fc1, h, text->intermediate_size,
      text->quick_gelu ? DLORAL_ACT_QUICK_GELU : DLORAL_ACT_GELU, NULL, NULL);
  return dloral_linear_layer (b, fc2, h, x->c, DLORAL_ACT_NONE, x, y);
}

void
dloral_clip_layers (DloralBuilder *b, DloralTensor *x, int first, int n,
    DloralTensor *y)
{
  const DloralTextEncoderConfig *text = &b->config->text_encoder;
  gboolean last = first + n == text->num_hidden_layers;

  for (int i = first; i < first + n; i++)
    x = layer (b, i, x, !last && i == first + n - 1 ? y : NULL);
  if (last)
    dloral_layer_norm (b, "text_encoder.text_model.final_layer_norm", x,
        text->layer_norm_eps, y);
}
