/* Fuzzing the configuration: the input is its JSON text, as it stands in a model
 * file's metadata. It is refused with a sentence, or every number is within its
 * bounds; then all networks can be built from it for a small frame and for a large
 * one, as far as they go without a weight.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "target.h"

#include <math.h>

#include "engine/stages.h"
#include "engine/tagger_net.h"
#include "tests/engine/corpus.h"

#define LARGE_LATENTS 4096      /* to a side; the VAE's attention is built in parts */

static void
check_vae (const DloralVaeConfig *vae)
{
  g_assert_true (vae->latent_channels >= 1 && vae->latent_channels <= 64);
  g_assert_true (isfinite (1 / vae->scaling_factor) && vae->scaling_factor > 0);
  g_assert_true (vae->levels >= 1 && vae->levels <= DLORAL_MAX_LEVELS);
  g_assert_true (vae->layers_per_block >= 1 && vae->layers_per_block <= 16);
  g_assert_true (vae->decoder_layers_per_block >= 1
      && vae->decoder_layers_per_block <= 17);
  g_assert_true (vae->mid_block || !vae->mid_block_add_attention);
  for (int i = 0; i < vae->levels; i++) {
    g_assert_true (vae->block_out_channels[i] >= 1
        && vae->block_out_channels[i] <= 8192);
    g_assert_cmpint (vae->block_out_channels[i] % vae->norm_num_groups, ==, 0);
  }
}

static void
check_unet (const DloralUnetConfig *unet, int latent_channels)
{
  g_assert_cmpint (unet->in_channels, ==, 2 * latent_channels);
  g_assert_cmpint (unet->out_channels, ==, latent_channels);
  g_assert_true (unet->levels >= 1 && unet->levels <= DLORAL_MAX_LEVELS);
  g_assert_true (unet->layers_per_block >= 1 && unet->layers_per_block <= 16);
  g_assert_true (unet->cross_attention_dim >= 0
      && unet->cross_attention_dim <= 8192);
  g_assert_true (unet->mid_block || !unet->mid_attention);
  for (int i = 0; i < unet->levels; i++) {
    g_assert_true (unet->block_out_channels[i] >= 1
        && unet->block_out_channels[i] <= 8192);
    g_assert_cmpint (unet->block_out_channels[i] % unet->norm_num_groups, ==,
        0);
    g_assert_cmpint (unet->heads[i], >=, 1);
    if (unet->down_attention[i])
      g_assert_cmpint (unet->block_out_channels[i] % unet->heads[i], ==, 0);
  }
}

static void
check_cfr (const DloralCfrConfig *cfr)
{
  g_assert_true (cfr->heads >= 1 && cfr->heads <= 64);
  g_assert_true (cfr->embed_dim >= 1 && cfr->embed_dim <= 1024);
  g_assert_true (isfinite (1 / cfr->temperature) && cfr->temperature > 0);
  g_assert_true (cfr->window == 0 || (cfr->window % 2 == 1
          && cfr->window <= 31));
  g_assert_true (cfr->spynet_shrink == 1 || cfr->spynet_shrink == 2
      || cfr->spynet_shrink == 4);
  for (int i = 0; i < DLORAL_SPYNET_WIDTHS; i++)
    g_assert_true (cfr->spynet_channels[i] >= 1
        && cfr->spynet_channels[i] <= 1024);
}

static void
check_text (const DloralConfig *c)
{
  const DloralTextEncoderConfig *text = &c->text_encoder;
  const DloralTokenizerConfig *tokenizer = &c->tokenizer;

  g_assert_true (text->num_hidden_layers >= 0
      && text->num_hidden_layers <= 128);
  if (text->num_hidden_layers == 0)
    return;
  g_assert_cmpint (text->hidden_size, ==, c->unet.cross_attention_dim);
  g_assert_cmpint (text->hidden_size % text->num_attention_heads, ==, 0);
  g_assert_true (text->intermediate_size >= 1
      && text->intermediate_size <= 4 * 8192);
  g_assert_true (text->vocab_size >= 2
      && text->vocab_size <= DLORAL_MAX_VOCABULARY);
  g_assert_true (text->max_position_embeddings >= 2
      && text->max_position_embeddings <= DLORAL_MAX_TOKENS);
  g_assert_true (tokenizer->bos_token_id >= 0
      && tokenizer->bos_token_id < text->vocab_size);
  g_assert_true (tokenizer->eos_token_id >= 0
      && tokenizer->eos_token_id < text->vocab_size);
  g_assert_true (tokenizer->pad_token_id >= 0
      && tokenizer->pad_token_id < text->vocab_size);
  g_assert_true (tokenizer->max_length >= 2
      && tokenizer->max_length <= text->max_position_embeddings);
}

static void
check_config (const DloralConfig *c)
{
  g_assert_cmpint (c->scale, ==, 4);
  g_assert_true (c->timestep >= 0 && c->timestep <= 999);
  g_assert_true (c->color_fix == DLORAL_COLOR_FIX_ADAIN
      || c->color_fix == DLORAL_COLOR_FIX_WAVELET
      || c->color_fix == DLORAL_COLOR_FIX_NONE);
  g_assert_cmpint (dloral_config_get_downscale (c), >=, 1);
  g_assert_cmpint (dloral_config_get_downscale (c), <=, 64);
  check_vae (&c->vae);
  check_unet (&c->unet, c->vae.latent_channels);
  check_cfr (&c->cfr);
  check_text (c);
}

/* Frees a graph, or checks why there is none. */
static void
finish (DloralGraph *graph, GError **error, const char *path)
{
  if (graph == NULL)
    target_check_error (error, path);
  dloral_graph_free (graph);
}

static void
check_networks (const DloralModel *model, int side, const char *path)
{
  static const double strengths[DLORAL_N_ADAPTERS] = { 1, 0.5 };
  DloralStreamParams params = { .width = side, .height = side,
    DLORAL_STREAM_DEFAULTS
  };
  DloralGeometry geo;
  GError *error = NULL;

  dloral_geometry_init (&geo, &model->config, &params);
  finish (dloral_encode_graph (model, &geo, NULL, &error), &error, path);
  finish (dloral_restore_graph (model, &geo, strengths, 1, NULL, &error), &error,
      path);
  finish (dloral_decode_graph (model, &geo, FALSE, NULL, &error), &error, path);
  if (model->tokens > 0)
    finish (dloral_condition_graph (model, &geo, strengths, NULL, &error), &error,
        path);
}

static void
check_tagger (DloralModel *model, const char *path)
{
  const DloralTaggerConfig *t = &model->config.tagger;
  GError *error = NULL;
  DloralTaggerNet *net;

  if (t->stages == 0)
    return;
  for (int i = 0; i < t->stages; i++) {
    int grid = dloral_tagger_config_get_grid (t, i);

    g_assert_true (grid >= 1 && grid <= 256);
    g_assert_true (grid <= t->window_size || grid % t->window_size == 0);
    g_assert_cmpint ((t->embed_dim << i) % t->num_heads[i], ==, 0);
    g_assert_true (t->embed_dim << i <= 8192);
  }
  g_assert_cmpint (t->hidden_size % t->num_attention_heads, ==, 0);
  net = dloral_tagger_net_new (model, model->file, t, NULL, &error);
  g_assert_null (net);          /* there is no weight */
  target_check_error (&error, path);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autofree char *header = NULL;
  g_autoptr (GByteArray) bytes = NULL;
  DloralModel model = {.backend = dloral_backends[0] };
  GError *error = NULL;
  const char *path;

  if (!g_utf8_validate (text, -1, NULL))        /* no JSON can hold it */
    return 0;
  header = corpus_make_header (text, "");
  bytes = corpus_make (header, NULL, 0);
  path = target_write (bytes->data, bytes->len);
  model.file = dloral_safetensors_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (dloral_safetensors_get_metadata (model.file, "config"), ==,
      text);
  if (dloral_config_read (&model.config, model.file, &error)) {
    check_config (&model.config);
    model.tokens = model.config.unet.cross_attention_dim ? 77 : 0;
    check_networks (&model, 16, path);
    check_networks (&model, MIN (LARGE_LATENTS / 4
            * dloral_config_get_downscale (&model.config), 8192), path);
    check_tagger (&model, path);
  } else {
    target_check_error (&error, path);
  }
  dloral_safetensors_free (model.file);
  return 0;
}
