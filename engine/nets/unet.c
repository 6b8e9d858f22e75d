/* UNet2DConditionModel at a fixed timestep, and the one step that uses it.
 *
 * With the timestep fixed, every resnet's time embedding is a constant of
 * its first bias; with the prompt fixed, every cross-attention's keys and values
 * are constants, computed by a graph of their own when the prompt changes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "nets.h"

#include <math.h>

#define EPS 1e-5f               /* resnets, conv_norm_out, layer norms */
#define TRANSFORMER_EPS 1e-6f   /* Transformer2DModel's group norm */

/* --- Time embedding -------------------------------------------------------- */

static float
silu (float x)
{
  return x / (1 + expf (-x));
}

/* y [o] = weight · x [i] + bias. */
static float *
dense (DloralBuilder *b, const char *prefix, const float *x, int i, int o)
{
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".bias", NULL);
  g_autofree float *w = dloral_builder_read (b, weight, o, i, 1, 1);
  float *y = dloral_builder_read (b, bias, o, 1, 1, 1);

  for (int r = 0; w && y && r < o; r++) {
    double acc = y[r];

    for (int k = 0; k < i; k++)
      acc += (double) w[(gsize) r * i + k] * x[k];
    y[r] = acc;
  }
  return y;
}

/* silu of the embedded timestep, as every resnet's projection wants it:
 * cosines before sines, frequencies 10000^(-k/half). */
static void
embed_timestep (DloralBuilder *b)
{
  int n = b->config->unet.block_out_channels[0], half = n / 2;
  g_autofree float *wave = g_new0 (float, n);
  g_autofree float *hidden = NULL;

  for (int k = 0; k < half; k++) {
    double angle = b->config->timestep * exp (-log (10000.) * k / half);

    wave[k] = cos (angle);
    wave[half + k] = sin (angle);
  }
  b->temb_length = 4 * n;
  hidden = dense (b, "unet.time_embedding.linear_1", wave, n, 4 * n);
  for (int k = 0; hidden && k < 4 * n; k++)
    hidden[k] = silu (hidden[k]);
  b->temb = dense (b, "unet.time_embedding.linear_2", hidden, 4 * n, 4 * n);
  for (int k = 0; b->temb && k < 4 * n; k++)
    b->temb[k] = silu (b->temb[k]);
}

/* --- Transformer blocks ---------------------------------------------------- */

static DloralTensor *
attention_out (DloralBuilder *b, const char *prefix, DloralTensor *h,
    DloralTensor *residual)
{
  g_autofree char *weight = g_strconcat (prefix, ".to_out.0.weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".to_out.0.bias", NULL);

  return dloral_linear (b, prefix, h,
      dloral_builder_weight (b, weight, h->c, h->c, 1, 1),
      dloral_builder_weight (b, bias, h->c, 1, 1, 1), residual);
}

/* x + attention of the normed h with itself; one projection makes q, k, v. */
static DloralTensor *
self_attention (DloralBuilder *b, const char *prefix, DloralTensor *h,
    DloralTensor *x, int heads)
{
  int c = x->c;
  g_autofree char *q = g_strconcat (prefix, ".to_q.weight", NULL);
  g_autofree char *k = g_strconcat (prefix, ".to_k.weight", NULL);
  g_autofree char *v = g_strconcat (prefix, ".to_v.weight", NULL);

  h = dloral_linear (b, prefix, h,
      dloral_builder_weight_stack (b, (const char *[]) { q, k, v }, 3, c, c),
      NULL, NULL);
  h = dloral_attention (b, prefix, h, h, h, (int[]) { 0, c, 2 * c }, c, heads);
  return attention_out (b, prefix, h, x);
}

/* What a cross-attention sees of the prompt, bound at every run. */
static DloralTensor *
keys_and_values (DloralBuilder *b, const char *prefix, int c, int tokens)
{
  if (b->cross_next == b->cross_kv->len) {
    g_ptr_array_add (b->cross_prefixes, g_strdup (prefix));
    g_ptr_array_add (b->cross_kv,
        dloral_graph_bind (b->g, 1, tokens, 2 * c, b->g->act_dtype));
  }
  return b->cross_kv->pdata[b->cross_next++];
}

/* x + attention of the normed h to the prompt. */
static DloralTensor *
cross_attention (DloralBuilder *b, const char *prefix, DloralTensor *h,
    DloralTensor *x, int heads, int tokens)
{
  int c = x->c;
  g_autofree char *q = g_strconcat (prefix, ".to_q.weight", NULL);
  DloralTensor *kv = keys_and_values (b, prefix, c, tokens);

  h = dloral_linear (b, prefix, h, dloral_builder_weight (b, q, c, c, 1, 1),
      NULL, NULL);
  h = dloral_attention (b, prefix, h, kv, kv, (int[]) { 0, 0, c }, c, heads);
  return attention_out (b, prefix, h, x);
}

/* x + feed-forward with GEGLU of the normed h. */
static DloralTensor *
feed_forward (DloralBuilder *b, const char *prefix, DloralTensor *h,
    DloralTensor *x)
{
  int c = x->c, inner = 4 * c;
  g_autofree char *w0 = g_strconcat (prefix, ".net.0.proj.weight", NULL);
  g_autofree char *b0 = g_strconcat (prefix, ".net.0.proj.bias", NULL);
  g_autofree char *w2 = g_strconcat (prefix, ".net.2.weight", NULL);
  g_autofree char *b2 = g_strconcat (prefix, ".net.2.bias", NULL);
  DloralTensor *y =
      dloral_graph_tensor (b->g, x->h, x->w, inner, b->g->act_dtype);

  dloral_append_product (b, &(DloralOp) {
      .kind = DLORAL_OP_LINEAR, .scope = prefix, .n_src = 1, .src = { h },
      .dst = y, .weight = dloral_builder_weight (b, w0, 2 * inner, c, 1, 1),
      .bias = dloral_builder_weight (b, b0, 2 * inner, 1, 1, 1),
      .u.linear = { .geglu = TRUE } });
  return dloral_linear (b, prefix, y,
      dloral_builder_weight (b, w2, c, inner, 1, 1),
      dloral_builder_weight (b, b2, c, 1, 1, 1), x);
}

static DloralTensor *
transformer_block (DloralBuilder *b, const char *prefix, DloralTensor *x,
    int heads, int tokens)
{
  g_autofree char *norm1 = g_strconcat (prefix, ".norm1", NULL);
  g_autofree char *norm2 = g_strconcat (prefix, ".norm2", NULL);
  g_autofree char *norm3 = g_strconcat (prefix, ".norm3", NULL);
  g_autofree char *attn1 = g_strconcat (prefix, ".attn1", NULL);
  g_autofree char *attn2 = g_strconcat (prefix, ".attn2", NULL);
  g_autofree char *ff = g_strconcat (prefix, ".ff", NULL);

  x = self_attention (b, attn1, dloral_layer_norm (b, norm1, x, EPS, NULL), x,
      heads);
  if (b->config->unet.cross_attention_dim > 0)
    x = cross_attention (b, attn2,
        dloral_layer_norm (b, norm2, x, EPS, NULL), x, heads, tokens);
  return feed_forward (b, ff, dloral_layer_norm (b, norm3, x, EPS, NULL), x);
}

/* Transformer2DModel: projections are 1×1 convolutions or linear layers, which
 * at every position are the same thing. */
static DloralTensor *
transformer (DloralBuilder *b, const char *prefix, DloralTensor *x, int heads,
    int tokens)
{
  g_autofree char *norm = g_strconcat (prefix, ".norm", NULL);
  g_autofree char *in = g_strconcat (prefix, ".proj_in", NULL);
  g_autofree char *block = g_strconcat (prefix, ".transformer_blocks.0", NULL);
  g_autofree char *out = g_strconcat (prefix, ".proj_out", NULL);
  DloralTensor *h;

  h = dloral_group_norm (b, norm, x, NULL, b->config->unet.norm_num_groups,
      TRANSFORMER_EPS, DLORAL_ACT_NONE);
  h = dloral_conv (b, in, h, x->c, .kernel = 1);
  h = transformer_block (b, block, h, heads, tokens);
  return dloral_conv (b, out, h, x->c, .kernel = 1, .residual = x);
}

/* --- Blocks ---------------------------------------------------------------- */

/* Resnet j of a block and the transformer behind it (heads 0: none). */
static DloralTensor *
layer (DloralBuilder *b, const char *block, int j, DloralTensor *x,
    DloralTensor *skip, int c, int heads, int tokens)
{
  g_autofree char *resnet = g_strdup_printf ("%s.resnets.%d", block, j);
  g_autofree char *attn = g_strdup_printf ("%s.attentions.%d", block, j);

  x = dloral_resnet (b, resnet, x, skip, c, b->config->unet.norm_num_groups,
      EPS);
  return heads ? transformer (b, attn, x, heads, tokens) : x;
}

/* Every result is kept in `skips` for the way up. */
static DloralTensor *
down (DloralBuilder *b, DloralTensor *x, GPtrArray *skips, int tokens)
{
  const DloralUnetConfig *unet = &b->config->unet;

  g_ptr_array_add (skips, x);
  for (int i = 0; i < unet->levels; i++) {
    g_autofree char *block = g_strdup_printf ("unet.down_blocks.%d", i);
    g_autofree char *conv = g_strconcat (block, ".downsamplers.0.conv", NULL);

    for (int j = 0; j < unet->layers_per_block; j++) {
      x = layer (b, block, j, x, NULL, unet->block_out_channels[i],
          unet->down_attention[i] ? unet->heads[i] : 0, tokens);
      g_ptr_array_add (skips, x);
    }
    if (i < unet->levels - 1) {
      x = dloral_conv (b, conv, x, x->c, .stride = 2);
      g_ptr_array_add (skips, x);
    }
  }
  return x;
}

/* UNetMidBlock2DCrossAttn has a second resnet behind its transformer,
 * UNetMidBlock2D, as the UNet makes it, is a resnet alone. */
static DloralTensor *
middle (DloralBuilder *b, DloralTensor *x, int tokens)
{
  const DloralUnetConfig *unet = &b->config->unet;

  if (!unet->mid_block)
    return x;
  if (!unet->mid_attention)
    return layer (b, "unet.mid_block", 0, x, NULL, x->c, 0, tokens);
  x = layer (b, "unet.mid_block", 0, x, NULL, x->c,
      unet->heads[unet->levels - 1], tokens);
  return layer (b, "unet.mid_block", 1, x, NULL, x->c, 0, tokens);
}

static DloralTensor *
pop (GPtrArray *skips)
{
  return g_ptr_array_steal_index (skips, skips->len - 1);
}

static DloralTensor *
up (DloralBuilder *b, DloralTensor *x, GPtrArray *skips, int tokens)
{
  const DloralUnetConfig *unet = &b->config->unet;

  for (int i = 0; i < unet->levels; i++) {
    int level = unet->levels - 1 - i;
    g_autofree char *block = g_strdup_printf ("unet.up_blocks.%d", i);
    g_autofree char *conv = g_strconcat (block, ".upsamplers.0", NULL);

    for (int j = 0; j < unet->layers_per_block + 1; j++)
      x = layer (b, block, j, x, pop (skips), unet->block_out_channels[level],
          unet->up_attention[i] ? unet->heads[level] : 0, tokens);
    if (level > 0) {
      const DloralTensor *next = skips->pdata[skips->len - 1];

      x = dloral_upsampler (b, conv, x, next->h, next->w);
    }
  }
  return x;
}

/* x0 = fused - UNet: the last convolution with its sign turned, on top of
 * `fused`. */
static void
step (DloralBuilder *b, DloralTensor *x, DloralTensor *fused,
    DloralTensor *x0)
{
  float *w = dloral_builder_read (b, "unet.conv_out.weight", x0->c, x->c, 3, 3);
  float *bias = dloral_builder_read (b, "unet.conv_out.bias", x0->c, 1, 1, 1);
  g_autofree char *key = g_strdup_printf ("unet.conv_out.weight(-)@%.9g@%.9g",
      b->strengths[0], b->strengths[1]);

  for (gsize i = 0; w && i < (gsize) x0->c * x->c * 9; i++)
    w[i] = -w[i];
  for (int i = 0; bias && i < x0->c; i++)
    bias[i] = -bias[i];
  dloral_conv_weights (b, "unet.conv_out", x,
      dloral_builder_constant (b, key, x0->c, x->c, 3, 3, w),
      dloral_builder_constant (b, "unet.conv_out.bias(-)", x0->c, 1, 1, 1,
          bias),
      &(DloralConvParams) { .residual = fused, .dst = x0 });
}

void
dloral_unet (DloralBuilder *b, DloralTensor *aligned, DloralTensor *fused,
    int tokens, DloralTensor *x0)
{
  const DloralUnetConfig *unet = &b->config->unet;
  g_autoptr (GPtrArray) skips = g_ptr_array_new ();
  DloralTensor *x = dloral_concat (b, b->g->act_dtype, aligned, fused, NULL);

  if (b->temb == NULL)
    embed_timestep (b);
  b->cross_next = 0;
  x = dloral_conv (b, "unet.conv_in", x, unet->block_out_channels[0], 0);
  x = down (b, x, skips, tokens);
  x = middle (b, x, tokens);
  x = up (b, x, skips, tokens);
  x = dloral_group_norm (b, "unet.conv_norm_out", x, NULL,
      unet->norm_num_groups, EPS, DLORAL_ACT_SILU);
  step (b, x, fused, x0);
}

/* --- The prompt ------------------------------------------------------------ */

void
dloral_unet_condition (DloralBuilder *b, DloralTensor *prompt,
    const GPtrArray *prefixes, const GPtrArray *kv)
{
  DloralTensor *x = dloral_cast (b, prompt);

  for (guint i = 0; i < prefixes->len; i++) {
    const char *prefix = prefixes->pdata[i];
    const DloralTensor *like = kv->pdata[i];
    g_autofree char *k = g_strconcat (prefix, ".to_k.weight", NULL);
    g_autofree char *v = g_strconcat (prefix, ".to_v.weight", NULL);

    dloral_graph_append (b->g, &(DloralOp) {
        .kind = DLORAL_OP_LINEAR, .scope = prefix, .n_src = 1, .src = { x },
        .dst = dloral_graph_bind (b->g, 1, x->w, like->c, like->dtype),
        .weight = dloral_builder_weight_stack (b, (const char *[]) { k, v }, 2,
            like->c / 2, x->c) });
  }
}
