/* AutoencoderKL: pictures to latents and back.
 *
 * As diffusers builds it, with what its config can say, and three numbers of
 * ours for small models: space-to-depth around the coder (patch_size), no middle
 * block, another depth of the decoder. What is linear and fixed is folded: the
 * posterior's mean needs half of quant_conv's rows, the scaling factor and
 * the order of space-to-depth channels go into the weights.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "nets.h"

#include "engine/tiles.h"

#include <string.h>

#define EPS 1e-6f

/* The tiles of the published code, in latents of 8 pixels: the encoder's are
 * 1024 pixels with 32 around, the decoder's 224 latents with 11. */
typedef struct
{
  int size, pad, unit;
} DloralVaeTiles;

static const DloralVaeTiles encoder_tiles = { 128, 4, 8 };
static const DloralVaeTiles decoder_tiles = { 224, 11, 1 };

/* Position in the file of space-to-depth channel j: torch orders (rgb, dy, dx),
 * pictures in memory (dy, dx, rgb). */
static int
patch_channel (int j, int patch)
{
  return j % 3 * patch * patch + j / 3;
}

/* [o][3·p·p][taps] with its input channels in the memory's order. */
static float *
permute_inputs (float *w, int o, int patch, int taps)
{
  int n = 3 * patch * patch;
  float *out;

  if (w == NULL)
    return NULL;
  out = g_new (float, (gsize) o * n * taps);
  for (int r = 0; r < o; r++)
    for (int j = 0; j < n; j++)
      memcpy (out + ((gsize) r * n + j) * taps,
          w + ((gsize) r * n + patch_channel (j, patch)) * taps,
          taps * sizeof *w);
  g_free (w);
  return out;
}

/* [3·p·p][row] with its outputs in the memory's order. */
static float *
permute_outputs (float *w, int patch, gsize row)
{
  int n = 3 * patch * patch;
  float *out;

  if (w == NULL)
    return NULL;
  out = g_new (float, n * row);
  for (int j = 0; j < n; j++)
    memcpy (out + j * row, w + patch_channel (j, patch) * row,
        row * sizeof *w);
  g_free (w);
  return out;
}

static float *
scale_values (float *values, gsize n, float factor)
{
  for (gsize i = 0; values && i < n; i++)
    values[i] *= factor;
  return values;
}

/* --- The middle block ------------------------------------------------------ */

/* Stock SD files carry the attention's old names. */
static char *
attention_name (DloralBuilder *b, const char *prefix, const char *name,
    const char *old_name, const char *suffix)
{
  char *path = g_strconcat (prefix, ".", name, suffix, NULL);

  if (!dloral_builder_has (b, path)) {
    g_autofree char *old = g_strconcat (prefix, ".", old_name, suffix, NULL);

    if (dloral_builder_has (b, old)) {
      g_free (path);
      return g_steal_pointer (&old);
    }
  }
  return path;
}

static const DloralWeight *
stack_qkv (DloralBuilder *b, const char *prefix, const char *suffix,
    int o, int i)
{
  g_autofree char *q = attention_name (b, prefix, "to_q", "query", suffix);
  g_autofree char *k = attention_name (b, prefix, "to_k", "key", suffix);
  g_autofree char *v = attention_name (b, prefix, "to_v", "value", suffix);

  return dloral_builder_weight_stack (b, (const char *[]) { q, k, v }, 3, o, i);
}

/* What `rows` and `columns` of [h][w][3·c] find in what they see, put over `sum`
 * (NULL: nothing yet). */
static DloralTensor *
attend_part (DloralBuilder *b, const char *prefix, DloralTensor *qkv, int c,
    const DloralStretch *rows, const DloralStretch *columns, DloralTensor *sum)
{
  DloralTensor *q = dloral_crop (b, prefix, qkv, rows->first, columns->first,
      rows->end - rows->first, columns->end - columns->first);
  DloralTensor *kv = dloral_crop (b, prefix, qkv, rows->seen, columns->seen,
      rows->seen_end - rows->seen, columns->seen_end - columns->seen);
  DloralTensor *found = dloral_attention (b, prefix, q, kv, kv,
      (int[]) { 0, c, 2 * c }, c, 1);
  DloralTensor *next =
      dloral_graph_tensor (b->g, qkv->h, qkv->w, c, found->dtype);

  dloral_paste (b, prefix, sum, found, rows->first, columns->first, NULL, next);
  return next;
}

/* One head over [h][w][3·c]: all of it, or of a large frame what lies near, as
 * in the published code's tiled VAE. (Its convolutions and norms need no tiles:
 * here a whole frame takes less memory than its tiles do there.) */
static DloralTensor *
attend (DloralBuilder *b, const char *prefix, DloralTensor *qkv, int c,
    const DloralVaeTiles *tiles)
{
  int longest = MAX (qkv->h, qkv->w), n_rows, n_columns;
  g_autofree DloralStretch *rows = dloral_stretches_new (qkv->h, longest,
      tiles->size, tiles->pad, tiles->unit, &n_rows);
  g_autofree DloralStretch *columns = dloral_stretches_new (qkv->w, longest,
      tiles->size, tiles->pad, tiles->unit, &n_columns);
  DloralTensor *sum = NULL;

  if (n_rows == 1 && n_columns == 1)
    return dloral_attention (b, prefix, qkv, qkv, qkv,
        (int[]) { 0, c, 2 * c }, c, 1);
  for (int i = 0; i < n_rows; i++)
    for (int j = 0; j < n_columns; j++)
      sum = attend_part (b, prefix, qkv, c, &rows[i], &columns[j], sum);
  return sum;
}

/* Attention over positions, added to its input. */
static DloralTensor *
mid_attention (DloralBuilder *b, const char *prefix, DloralTensor *x,
    const DloralVaeTiles *tiles)
{
  int c = x->c;
  g_autofree char *norm = g_strconcat (prefix, ".group_norm", NULL);
  g_autofree char *out_w =
      attention_name (b, prefix, "to_out.0", "proj_attn", ".weight");
  g_autofree char *out_b =
      attention_name (b, prefix, "to_out.0", "proj_attn", ".bias");
  DloralTensor *h;

  h = dloral_group_norm (b, norm, x, NULL, b->config->vae.norm_num_groups,
      EPS, DLORAL_ACT_NONE);
  h = dloral_linear (b, prefix, h, stack_qkv (b, prefix, ".weight", c, c),
      stack_qkv (b, prefix, ".bias", c, 1), NULL);      /* [h][w][3·c] */
  h = attend (b, prefix, h, c, tiles);
  return dloral_linear (b, prefix, h,
      dloral_builder_weight (b, out_w, c, c, 1, 1),
      dloral_builder_weight (b, out_b, c, 1, 1, 1), x);
}

static DloralTensor *
mid_block (DloralBuilder *b, const char *side, DloralTensor *x,
    const DloralVaeTiles *tiles)
{
  const DloralVaeConfig *vae = &b->config->vae;
  g_autofree char *first = g_strconcat (side, ".mid_block.resnets.0", NULL);
  g_autofree char *attn = g_strconcat (side, ".mid_block.attentions.0", NULL);
  g_autofree char *second = g_strconcat (side, ".mid_block.resnets.1", NULL);

  if (!vae->mid_block)
    return x;
  x = dloral_resnet (b, first, x, NULL, x->c, vae->norm_num_groups, EPS);
  if (vae->mid_block_add_attention)
    x = mid_attention (b, attn, x, tiles);
  return dloral_resnet (b, second, x, NULL, x->c, vae->norm_num_groups, EPS);
}

/* The resnets of one level. */
static DloralTensor *
level_resnets (DloralBuilder *b, const char *block, DloralTensor *x, int c,
    int n)
{
  for (int j = 0; j < n; j++) {
    g_autofree char *name = g_strdup_printf ("%s.resnets.%d", block, j);

    x = dloral_resnet (b, name, x, NULL, c, b->config->vae.norm_num_groups,
        EPS);
  }
  return x;
}

/* --- Encoder --------------------------------------------------------------- */

static DloralTensor *
encoder_conv_in (DloralBuilder *b, DloralTensor *x)
{
  const DloralVaeConfig *vae = &b->config->vae;
  int c = vae->block_out_channels[0];
  const char *name = "vae.encoder.conv_in.weight";
  const DloralWeight *weight;

  if (vae->patch_size == 1)
    return dloral_conv (b, "vae.encoder.conv_in", x, c, 0);
  weight = dloral_builder_constant (b, name, c, x->c, 3, 3,
      permute_inputs (dloral_builder_read (b, name, c, x->c, 3, 3), c,
          vae->patch_size, 9));
  return dloral_conv_weights (b, "vae.encoder.conv_in", x, weight,
      dloral_builder_weight (b, "vae.encoder.conv_in.bias", c, 1, 1, 1),
      &(DloralConvParams) { 0 });
}

/* The first `latent` outputs of conv_out followed by quant_conv, times the
 * scaling factor: w [2·latent][row] → [latent][row]. */
static float *
fold_quant (DloralBuilder *b, float *w, gsize row, gboolean bias)
{
  const DloralVaeConfig *vae = &b->config->vae;
  int n = vae->latent_channels;
  float *out;
  g_autofree float *q = dloral_builder_read (b, "vae.quant_conv.weight",
      2 * n, 2 * n, 1, 1);
  g_autofree float *qb = dloral_builder_read (b, "vae.quant_conv.bias",
      2 * n, 1, 1, 1);

  if (b->error) {
    g_free (w);
    return NULL;
  }
  out = g_new (float, n * row);
  for (int o = 0; o < n; o++)
    for (gsize r = 0; r < row; r++) {
      double acc = bias ? qb[o] : 0;

      for (int i = 0; i < 2 * n; i++)
        acc += (double) q[o * 2 * n + i] * w[i * row + r];
      out[o * row + r] = acc * vae->scaling_factor;
    }
  g_free (w);
  return out;
}

static float *
mean_rows (DloralBuilder *b, float *w, gsize row, gboolean bias)
{
  const DloralVaeConfig *vae = &b->config->vae;

  if (vae->use_quant_conv)
    return fold_quant (b, w, row, bias);
  return scale_values (w, vae->latent_channels * row, vae->scaling_factor);
}

static void
encoder_conv_out (DloralBuilder *b, DloralTensor *x, DloralTensor *latent)
{
  const char *scope = "vae.encoder.conv_out";
  int n = latent->c;
  float *w = dloral_builder_read (b, "vae.encoder.conv_out.weight", 2 * n,
      x->c, 3, 3);
  float *bias = dloral_builder_read (b, "vae.encoder.conv_out.bias", 2 * n,
      1, 1, 1);

  dloral_conv_weights (b, scope, x,
      dloral_builder_constant (b, "vae.encoder.conv_out.weight(mean)", n,
          x->c, 3, 3, mean_rows (b, w, (gsize) x->c * 9, FALSE)),
      dloral_builder_constant (b, "vae.encoder.conv_out.bias(mean)", n,
          1, 1, 1, mean_rows (b, bias, 1, TRUE)),
      &(DloralConvParams) { .dst = latent });
}

void
dloral_vae_encode (DloralBuilder *b, DloralTensor *x, DloralTensor *latent)
{
  const DloralVaeConfig *vae = &b->config->vae;

  x = encoder_conv_in (b, x);
  for (int i = 0; i < vae->levels; i++) {
    g_autofree char *block = g_strdup_printf ("vae.encoder.down_blocks.%d", i);
    g_autofree char *down = g_strconcat (block, ".downsamplers.0.conv", NULL);

    x = level_resnets (b, block, x, vae->block_out_channels[i],
        vae->layers_per_block);
    if (i < vae->levels - 1)
      x = dloral_conv (b, down, x, x->c, .stride = 2, .pad_after_only = TRUE);
  }
  x = mid_block (b, "vae.encoder", x, &encoder_tiles);
  x = dloral_group_norm (b, "vae.encoder.conv_norm_out", x, NULL,
      vae->norm_num_groups, EPS, DLORAL_ACT_SILU);
  encoder_conv_out (b, x, latent);
}

/* --- Decoder --------------------------------------------------------------- */

/* latent / scaling_factor through post_quant_conv and conv_in; whichever comes
 * first takes the division. */
static DloralTensor *
decoder_conv_in (DloralBuilder *b, DloralTensor *latent)
{
  const DloralVaeConfig *vae = &b->config->vae;
  int n = vae->latent_channels, c = vae->block_out_channels[vae->levels - 1];
  float factor = 1 / vae->scaling_factor;
  const char *name = "vae.decoder.conv_in.weight";
  const char *post = "vae.post_quant_conv.weight";
  DloralTensor *x = dloral_cast (b, latent);

  if (vae->use_post_quant_conv) {
    x = dloral_conv_weights (b, "vae.post_quant_conv", x,
        dloral_builder_constant (b, post, n, n, 1, 1,
            scale_values (dloral_builder_read (b, post, n, n, 1, 1),
                (gsize) n * n, factor)),
        dloral_builder_weight (b, "vae.post_quant_conv.bias", n, 1, 1, 1),
        &(DloralConvParams) { .kernel = 1 });
    return dloral_conv (b, "vae.decoder.conv_in", x, c, 0);
  }
  return dloral_conv_weights (b, "vae.decoder.conv_in", x,
      dloral_builder_constant (b, name, c, n, 3, 3,
          scale_values (dloral_builder_read (b, name, c, n, 3, 3),
              (gsize) c * n * 9, factor)),
      dloral_builder_weight (b, "vae.decoder.conv_in.bias", c, 1, 1, 1),
      &(DloralConvParams) { 0 });
}

/* A residual to the LQ frame is small and keeps its digits in any type; a
 * whole picture wants f32. */
static DloralTensor *
decoder_conv_out (DloralBuilder *b, DloralTensor *x)
{
  const DloralVaeConfig *vae = &b->config->vae;
  int p = vae->patch_size, n = 3 * p * p;
  DloralDtype dtype = vae->lq_residual ? b->g->act_dtype : DLORAL_F32;
  const char *weight = "vae.decoder.conv_out.weight";
  const char *bias = "vae.decoder.conv_out.bias";

  if (p == 1)
    return dloral_conv (b, "vae.decoder.conv_out", x, n, .dtype = dtype);
  return dloral_conv_weights (b, "vae.decoder.conv_out", x,
      dloral_builder_constant (b, weight, n, x->c, 3, 3,
          permute_outputs (dloral_builder_read (b, weight, n, x->c, 3, 3), p,
              (gsize) x->c * 9)),
      dloral_builder_constant (b, bias, n, 1, 1, 1,
          permute_outputs (dloral_builder_read (b, bias, n, 1, 1, 1), p, 1)),
      &(DloralConvParams) { .dtype = dtype });
}

DloralTensor *
dloral_vae_decode (DloralBuilder *b, DloralTensor *latent)
{
  const DloralVaeConfig *vae = &b->config->vae;
  DloralTensor *x = decoder_conv_in (b, latent);

  x = mid_block (b, "vae.decoder", x, &decoder_tiles);
  for (int i = 0; i < vae->levels; i++) {
    int level = vae->levels - 1 - i;
    g_autofree char *block = g_strdup_printf ("vae.decoder.up_blocks.%d", i);
    g_autofree char *up = g_strconcat (block, ".upsamplers.0", NULL);

    x = level_resnets (b, block, x, vae->block_out_channels[level],
        vae->decoder_layers_per_block);
    if (level > 0)
      x = dloral_upsampler (b, up, x, 2 * x->h, 2 * x->w);
  }
  x = dloral_group_norm (b, "vae.decoder.conv_norm_out", x, NULL,
      vae->norm_num_groups, EPS, DLORAL_ACT_SILU);
  return decoder_conv_out (b, x);
}
