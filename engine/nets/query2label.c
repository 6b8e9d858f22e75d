/* SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "query2label.h"

#define LAYERS "tagger.tagging_head.encoder.layer"

void
dloral_query2label_project (DloralBuilder *b,
    const DloralTaggerConfig *config, DloralTensor *tokens,
    DloralTensor *labels, DloralTensor *seen, DloralTensor *queries)
{
  dloral_linear_layer (b, "tagger.image_proj", tokens, config->projection_dim,
      DLORAL_ACT_NONE, NULL, seen);
  dloral_linear_layer (b, "tagger.wordvec_proj", labels, config->hidden_size,
      DLORAL_ACT_RELU, NULL, queries);
}

/* What the queries find in `seen`; one projection makes keys and values. */
static DloralTensor *
find (DloralBuilder *b, const char *prefix, int heads, DloralTensor *queries,
    DloralTensor *seen)
{
  static const char *const parts[] = { "key", "value" };
  g_autofree char *query = g_strconcat (prefix, ".query", NULL);
  int c = queries->c;
  char *weights[2], *biases[2];
  DloralTensor *q, *kv;

  for (int i = 0; i < 2; i++) {
    weights[i] = g_strdup_printf ("%s.%s.weight", prefix, parts[i]);
    biases[i] = g_strdup_printf ("%s.%s.bias", prefix, parts[i]);
  }
  kv = dloral_linear (b, prefix, seen, dloral_builder_weight_stack (b,
          (const char *const *) weights, 2, c, seen->c),
      dloral_builder_weight_stack (b, (const char *const *) biases, 2, c, 1),
      NULL);
  for (int i = 0; i < 2; i++) {
    g_free (weights[i]);
    g_free (biases[i]);
  }
  q = dloral_linear_layer (b, query, queries, c, DLORAL_ACT_NONE, NULL, NULL);
  return dloral_attention (b, prefix, q, kv, kv, (int[]) { 0, 0, c }, c, heads);
}

/* norm (x + residual), the linear layer `prefix`.dense between. Writes y, or a new
 * tensor where that is NULL. */
static DloralTensor *
output (DloralBuilder *b, const char *prefix, float eps, DloralTensor *x,
    DloralTensor *residual, DloralTensor *y)
{
  g_autofree char *dense = g_strconcat (prefix, ".dense", NULL);
  g_autofree char *norm = g_strconcat (prefix, ".LayerNorm", NULL);

  x = dloral_linear_layer (b, dense, x, residual->c, DLORAL_ACT_NONE, residual,
      NULL);
  return dloral_layer_norm (b, norm, x, eps, y);
}

void
dloral_query2label_layer (DloralBuilder *b, const DloralTaggerConfig *config,
    int i, DloralTensor *seen, DloralTensor *queries, DloralTensor *y)
{
  gboolean last = i == config->num_hidden_layers - 1;
  float eps = config->layer_norm_eps;
  g_autofree char *attention =
      g_strdup_printf (LAYERS ".%d.crossattention.self", i);
  g_autofree char *attention_out =
      g_strdup_printf (LAYERS ".%d.crossattention.output", i);
  g_autofree char *intermediate =
      g_strdup_printf (LAYERS ".%d.intermediate.dense", i);
  g_autofree char *out = g_strdup_printf (LAYERS ".%d.output", i);
  DloralTensor *x, *h;

  h = find (b, attention, config->num_attention_heads, queries, seen);
  x = output (b, attention_out, eps, h, queries, NULL);
  h = dloral_linear_layer (b, intermediate, x, config->intermediate_size,
      DLORAL_ACT_GELU, NULL, NULL);
  x = output (b, out, eps, h, x, last ? NULL : y);
  if (last)
    dloral_linear_layer (b, "tagger.fc", x, 1, DLORAL_ACT_NONE, NULL, y);
}
