/* The model's config: every key read, every default, and a corpus of configs
 * that ask for the wrong or the impossible, each refused with a sentence that
 * names the file, the key, what was expected and what was found.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "corpus.h"

#include <string.h>

/* The good config with one piece of its text replaced. */
typedef struct
{
  const char *name, *from, *to;
  const char *words[4];         /* the message has these, and the path */
} Edit;

static const Edit broken[] = {
  /* Not JSON, or not an object. */
  {"text", "{\"scale\"", "scale", {"'config'", "expected a JSON object"}},
  {"cut", " \"from_the_future\": [{}]}", "", {"'config'", "without an end"}},
  {"list", "{\"scale\"", "[\"scale\"", {"'config'", "expected a JSON object"}},
  {"comment", "{\"scale\"", "{/**/\"scale\"", {"'config'", "stray byte"}},
  {"deep", "[{}]", "[[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]]", {"'config'",
          "at most 16 levels"}},
  {"twice", "\"scale\": 4,", "\"scale\": 4, \"scale\": 4,", {"'config'",
          "found 'scale' twice"}},
  {"twice-inside", "\"heads\": 9,", "\"heads\": 9, \"heads\": 1,", {"'config'",
          "found 'heads' twice"}},
  {"large-integer", "\"scale\": 4", "\"scale\": 18446744073709551620",
        {"'config'", "at most 18 digits"}},
  {"octal", "\"scale\": 4", "\"scale\": 04", {"'config'", "leading zeros"}},

  {"scale-missing", "\"scale\": 4,", "", {"key 'scale'", "expected 4",
          "found nothing"}},
  {"scale-2", "\"scale\": 4", "\"scale\": 2", {"key 'scale'", "expected 4",
          "found 2"}},
  {"scale-string", "\"scale\": 4", "\"scale\": \"4\"", {"key 'scale'",
          "expected 4", "found '4'"}},
  {"scale-fraction", "\"scale\": 4", "\"scale\": 4.0", {"key 'scale'",
          "found the fraction 4"}},
  {"scale-wraps", "\"scale\": 4", "\"scale\": 4294967300", {"key 'scale'",
          "found 4294967300"}},
  {"timestep-missing", "\"timestep\": 1,", "", {"key 'timestep'",
          "from 0 to 999", "found nothing"}},
  {"timestep-1000", "\"timestep\": 1", "\"timestep\": 1000",
        {"key 'timestep'", "from 0 to 999", "found 1000"}},
  {"timestep-negative", "\"timestep\": 1", "\"timestep\": -1",
        {"key 'timestep'", "found -1"}},
  {"color-fix-unknown", "\"wavelet\"", "\"sepia\"", {"key 'color_fix'",
          "'adain', 'wavelet' or 'none'", "found 'sepia'"}},
  {"color-fix-null", "\"wavelet\"", "null", {"key 'color_fix'",
          "found null"}},
  {"color-fix-empty", "\"wavelet\"", "\"\"", {"key 'color_fix'",
          "found ''"}},

  {"vae-missing", "\"vae\"", "\"vea\"", {"key 'vae'", "expected an object",
          "found nothing"}},
  {"vae-list", "\"vae\": {", "\"vae\": [], \"_\": {",
        {"key 'vae'", "expected an object", "found a list of 0"}},
  {"latent-missing", "\"latent_channels\": 4,", "",
        {"key 'vae.latent_channels'", "from 1 to 64", "found nothing"}},
  {"latent-0", "\"latent_channels\": 4", "\"latent_channels\": 0",
        {"key 'vae.latent_channels'", "found 0"}},
  {"latent-65", "\"latent_channels\": 4", "\"latent_channels\": 65",
        {"key 'vae.latent_channels'", "from 1 to 64", "found 65"}},
  {"latent-5", "\"latent_channels\": 4", "\"latent_channels\": 5",
        {"key 'unet.in_channels'", "expected twice vae.latent_channels, 10",
          "found 8"}},
  {"scaling-0", "0.18215", "0", {"key 'vae.scaling_factor'",
          "expected a number", "found 0"}},
  {"scaling-negative", "0.18215", "-0.5", {"key 'vae.scaling_factor'",
          "found the fraction -0.5"}},
  {"scaling-infinite", "0.18215", "1e999", {"key 'vae.scaling_factor'",
          "found the fraction inf"}},
  {"scaling-tiny", "0.18215", "1e-300", {"key 'vae.scaling_factor'",
          "found the fraction 1e-300"}},
  {"scaling-string", "0.18215", "\"0.2\"", {"key 'vae.scaling_factor'",
          "found '0.2'"}},
  {"scaling-nan", "0.18215", "NaN", {"'config'", "stray byte"}},
  {"vae-blocks-missing", "\"block_out_channels\": [16, 32, 48, 48],", "",
        {"key 'vae.block_out_channels'", "expected a list of 1 to 8 values",
          "found nothing"}},
  {"vae-blocks-number", "[16, 32, 48, 48]", "16",
        {"key 'vae.block_out_channels'", "a list", "found 16"}},
  {"vae-blocks-empty", "[16, 32, 48, 48]", "[]",
        {"key 'vae.block_out_channels'", "found a list of 0 values"}},
  {"vae-blocks-9", "[16, 32, 48, 48]", "[8,8,8,8,8,8,8,8,8]",
        {"key 'vae.block_out_channels'", "found a list of 9 values"}},
  {"vae-blocks-string", "[16, 32, 48, 48]", "[16, \"32\", 48, 48]",
        {"key 'vae.block_out_channels[1]'", "from 1 to 8192", "found '32'"}},
  {"vae-blocks-0", "[16, 32, 48, 48]", "[16, 32, 48, 0]",
        {"key 'vae.block_out_channels[3]'", "found 0"}},
  {"vae-blocks-large", "[16, 32, 48, 48]", "[8200, 32, 48, 48]",
        {"key 'vae.block_out_channels[0]'", "from 1 to 8192", "found 8200"}},
  {"vae-blocks-groups", "[16, 32, 48, 48]", "[16, 36, 48, 48]",
        {"key 'vae.block_out_channels[1]'", "multiple of norm_num_groups, 8",
          "found 36"}},
  {"vae-blocks-deep", "[16, 32, 48, 48]", "[8, 8, 8, 8, 8, 8, 8]",
        {"key 'vae.block_out_channels'", "at most 64 pixels", "found 128"}},
  {"vae-layers-0", "\"layers_per_block\": 2", "\"layers_per_block\": 0",
        {"key 'vae.layers_per_block'", "from 1 to 16", "found 0"}},
  {"vae-layers-17", "\"layers_per_block\": 2", "\"layers_per_block\": 17",
        {"key 'vae.layers_per_block'", "from 1 to 16", "found 17"}},
  {"vae-layers-list", "\"layers_per_block\": 2", "\"layers_per_block\": [2]",
        {"key 'vae.layers_per_block'", "found a list of 1"}},
  {"decoder-layers-0", "\"decoder_layers_per_block\": 5",
        "\"decoder_layers_per_block\": 0",
        {"key 'vae.decoder_layers_per_block'", "from 1 to 17", "found 0"}},
  {"vae-groups-0", "\"norm_num_groups\": 8", "\"norm_num_groups\": 0",
        {"key 'vae.norm_num_groups'", "found 0"}},
  {"vae-groups-missing", "\"norm_num_groups\": 8,", "",
        {"key 'vae.norm_num_groups'", "found nothing"}},
  {"patch-3", "\"patch_size\": 2", "\"patch_size\": 3",
        {"key 'vae.patch_size'", "1, 2, 4, 8 or 16", "found 3"}},
  {"patch-0", "\"patch_size\": 2", "\"patch_size\": 0",
        {"key 'vae.patch_size'", "found 0"}},
  {"patch-32", "\"patch_size\": 2", "\"patch_size\": 32",
        {"key 'vae.patch_size'", "from 1 to 16", "found 32"}},
  {"patch-16", "\"patch_size\": 2", "\"patch_size\": 16",
        {"key 'vae.block_out_channels'", "found 128", "patch_size 16"}},
  {"mid-block-number", "\"mid_block\": true", "\"mid_block\": 1",
        {"key 'vae.mid_block'", "expected true or false", "found 1"}},
  {"mid-block-null", "\"mid_block\": true", "\"mid_block\": null",
        {"key 'vae.mid_block'", "expected true or false", "found null"}},
  {"mid-block-false", "\"mid_block\": true", "\"mid_block\": false",
        {"key 'vae.mid_block_add_attention'", "expected false", "found true"}},
  {"lq-residual-string", "\"lq_residual\": true", "\"lq_residual\": \"yes\"",
        {"key 'vae.lq_residual'", "expected true or false", "found 'yes'"}},
  {"quant-conv-object", "\"use_quant_conv\": true", "\"use_quant_conv\": {}",
        {"key 'vae.use_quant_conv'", "found an object"}},

  {"unet-string", "\"unet\": {", "\"unet\": \"x\", \"_\": {",
        {"key 'unet'", "expected an object", "found 'x'"}},
  {"in-channels", "\"in_channels\": 8", "\"in_channels\": 4",
        {"key 'unet.in_channels'", "expected twice vae.latent_channels, 8",
          "found 4"}},
  {"in-channels-missing", "\"in_channels\": 8,", "",
        {"key 'unet.in_channels'", "found nothing"}},
  {"out-channels", "\"out_channels\": 4", "\"out_channels\": 3",
        {"key 'unet.out_channels'", "expected vae.latent_channels, 4",
          "found 3"}},
  {"unet-blocks-groups", "[32, 48, 64, 64]", "[32, 48, 60, 64]",
        {"key 'unet.block_out_channels[2]'", "multiple of norm_num_groups, 16",
          "found 60"}},
  {"unet-blocks-fewer", "[32, 48, 64, 64]", "[32, 48, 64]",
        {"key 'unet.down_block_types'", "expected a list of 3 values",
          "found a list of 4 values"}},
  {"heads-missing", "\"attention_head_dim\": [2, 3, 4, 4],", "",
        {"key 'unet.attention_head_dim'", "found nothing"}},
  {"heads-fewer", "[2, 3, 4, 4]", "[2, 3, 4]",
        {"key 'unet.attention_head_dim'", "expected a list of 4 values",
          "found a list of 3 values"}},
  {"heads-0", "[2, 3, 4, 4]", "[0, 3, 4, 4]",
        {"key 'unet.attention_head_dim[0]'", "found 0"}},
  {"heads-null", "[2, 3, 4, 4]", "null",
        {"key 'unet.attention_head_dim'", "found null"}},
  {"heads-divide", "[2, 3, 4, 4]", "[2, 3, 5, 4]",
        {"key 'unet.block_out_channels[2]'",
          "multiple of the heads in attention_head_dim, 5", "found 64"}},
  {"heads-divide-all", "[2, 3, 4, 4]", "3",
        {"key 'unet.block_out_channels[0]'", "attention_head_dim, 3",
          "found 32"}},
  {"unet-layers", "\"layers_per_block\": 3", "\"layers_per_block\": 3.5",
        {"key 'unet.layers_per_block'", "found the fraction 3.5"}},
  {"cross-negative", "\"cross_attention_dim\": 40",
        "\"cross_attention_dim\": -1", {"key 'unet.cross_attention_dim'",
          "from 0 to 8192", "found -1"}},
  {"cross-large", "\"cross_attention_dim\": 40",
        "\"cross_attention_dim\": 8193", {"key 'unet.cross_attention_dim'",
          "found 8193"}},
  {"projection-number", "\"use_linear_projection\": true",
        "\"use_linear_projection\": 1", {"key 'unet.use_linear_projection'",
          "true or false", "found 1"}},
  {"mid-type-unknown", "UNetMidBlock2D\"", "UNetMidBlock3D\"",
        {"key 'unet.mid_block_type'", "'UNetMidBlock2DCrossAttn'",
          "found 'UNetMidBlock3D'"}},
  {"mid-type-false", "\"UNetMidBlock2D\"", "false",
        {"key 'unet.mid_block_type'", "found false"}},
  {"down-unknown", "[\"CrossAttnDownBlock2D\", \"DownBlock2D\"",
        "[\"CrossAttnDownBlock2D\", \"AttnDownBlock2D\"",
        {"key 'unet.down_block_types[1]'",
          "'CrossAttnDownBlock2D' or 'DownBlock2D'",
          "found 'AttnDownBlock2D'"}},
  {"down-up", "[\"CrossAttnDownBlock2D\"", "[\"UpBlock2D\"",
        {"key 'unet.down_block_types[0]'", "found 'UpBlock2D'"}},
  {"up-number", "[\"UpBlock2D\"", "[3", {"key 'unet.up_block_types[0]'",
          "'CrossAttnUpBlock2D' or 'UpBlock2D'", "found 3"}},
  {"up-more", "[\"UpBlock2D\"", "[\"UpBlock2D\", \"UpBlock2D\"",
        {"key 'unet.up_block_types'", "expected a list of 4 values",
          "found a list of 5 values"}},
  {"up-missing", "\"up_block_types\"", "\"up_blocks\"",
        {"key 'unet.up_block_types'", "found nothing"}},

  {"cfr-missing", "\"cfr\"", "\"frc\"", {"key 'cfr'", "expected an object",
          "found nothing"}},
  {"cfr-heads-0", "\"heads\": 9", "\"heads\": 0", {"key 'cfr.heads'",
          "from 1 to 64", "found 0"}},
  {"cfr-heads-65", "\"heads\": 9", "\"heads\": 65", {"key 'cfr.heads'",
          "found 65"}},
  {"embed-1025", "\"embed_dim\": 64", "\"embed_dim\": 1025",
        {"key 'cfr.embed_dim'", "from 1 to 1024", "found 1025"}},
  {"embed-missing", "\"embed_dim\": 64,", "", {"key 'cfr.embed_dim'",
          "found nothing"}},
  {"temperature-0", "3000.0", "0.0", {"key 'cfr.temperature'",
          "expected a number", "found the fraction 0"}},
  {"temperature-bool", "3000.0", "true", {"key 'cfr.temperature'",
          "found true"}},
  {"window-even", "\"window\": 7", "\"window\": 8", {"key 'cfr.window'",
          "expected 0 or an odd number", "found 8"}},
  {"window-33", "\"window\": 7", "\"window\": 33", {"key 'cfr.window'",
          "from 0 to 31", "found 33"}},
  {"window-negative", "\"window\": 7", "\"window\": -1", {"key 'cfr.window'",
          "found -1"}},

  {"spynet-list", "{\"channels\": [8, 12, 10, 6]}", "[8, 12, 10, 6]",
        {"key 'spynet'", "expected an object", "found a list of 4"}},
  {"spynet-fewer", "[8, 12, 10, 6]", "[8, 12, 10]", {"key 'spynet.channels'",
          "expected a list of 4 values", "found a list of 3"}},
  {"spynet-1025", "[8, 12, 10, 6]", "[8, 12, 1025, 6]",
        {"key 'spynet.channels[2]'", "from 1 to 1024", "found 1025"}},
  {"spynet-shrink-3", "[8, 12, 10, 6]", "[8, 12, 10, 6], \"shrink\": 3",
      {"key 'spynet.shrink'", "expected 1, 2 or 4", "found 3"}},
  {"spynet-shrink-5", "[8, 12, 10, 6]", "[8, 12, 10, 6], \"shrink\": 5",
      {"key 'spynet.shrink'", "found 5"}},
  {"spynet-null", "[8, 12, 10, 6]", "[8, null, 10, 6]",
        {"key 'spynet.channels[1]'", "found null"}},

  {"text-list", "\"text_encoder\": {", "\"text_encoder\": [], \"_\": {",
        {"key 'text_encoder'", "expected an object", "found a list of 0"}},
  {"text-layers-0", "\"num_hidden_layers\": 23", "\"num_hidden_layers\": 0",
        {"key 'text_encoder.num_hidden_layers'", "from 1 to 128", "found 0"}},
  {"text-heads-missing", "\"num_attention_heads\": 10,", "",
        {"key 'text_encoder.num_attention_heads'", "found nothing"}},
  {"text-heads-divide", "\"num_attention_heads\": 10",
        "\"num_attention_heads\": 12", {"key 'text_encoder.hidden_size'",
          "multiple of num_attention_heads, 12", "found 40"}},
  {"text-size", "\"hidden_size\": 40", "\"hidden_size\": 1024",
        {"key 'text_encoder.hidden_size'",
          "expected unet.cross_attention_dim, 40", "found 1024"}},
  {"text-without-cross", "\"cross_attention_dim\": 40",
        "\"cross_attention_dim\": 0", {"key 'text_encoder.hidden_size'",
          "expected unet.cross_attention_dim, 0", "found 40"}},
  {"text-intermediate-large", "\"intermediate_size\": 160",
        "\"intermediate_size\": 32769",
        {"key 'text_encoder.intermediate_size'", "from 1 to 32768",
          "found 32769"}},
  {"text-act", "\"gelu\"", "\"gelu_new\"", {"key 'text_encoder.hidden_act'",
          "'gelu' or 'quick_gelu'", "found 'gelu_new'"}},
  {"text-act-missing", "\"hidden_act\": \"gelu\",", "",
        {"key 'text_encoder.hidden_act'", "found nothing"}},
  {"text-eps-0", "1e-05", "0", {"key 'text_encoder.layer_norm_eps'",
          "expected a number", "found 0"}},
  {"text-positions-4097", "\"max_position_embeddings\": 77",
        "\"max_position_embeddings\": 4097",
        {"key 'text_encoder.max_position_embeddings'", "from 2 to 4096",
          "found 4097"}},
  {"text-vocabulary-65537", "\"vocab_size\": 49408",
        "\"vocab_size\": 65537", {"key 'text_encoder.vocab_size'",
          "from 2 to 65536", "found 65537"}},
  {"tokenizer-missing", "\"tokenizer\"", "\"tokeniser\"",
        {"key 'tokenizer'", "expected an object", "found nothing"}},
  {"tokenizer-begin", "\"bos_token_id\": 49406", "\"bos_token_id\": 49408",
        {"key 'tokenizer.bos_token_id'", "from 0 to 49407", "found 49408"}},
  {"tokenizer-end-missing", "\"eos_token_id\": 49407,", "",
        {"key 'tokenizer.eos_token_id'", "found nothing"}},
  {"tokenizer-pad-negative", "\"pad_token_id\": 0", "\"pad_token_id\": -1",
        {"key 'tokenizer.pad_token_id'", "found -1"}},
  {"tokenizer-length-78", "\"max_length\": 76", "\"max_length\": 78",
        {"key 'tokenizer.max_length'", "from 2 to 77", "found 78"}},
  {"tokenizer-length-1", "\"max_length\": 76", "\"max_length\": 1",
        {"key 'tokenizer.max_length'", "from 2 to 77", "found 1"}},

  {"tagger-list", "\"tagger\": {", "\"tagger\": [], \"_\": {",
        {"key 'tagger'", "expected an object", "found a list of 0"}},
  {"tagger-image-missing", "\"image_size\": 96,", "",
        {"key 'tagger.image_size'", "from 16 to 1024", "found nothing"}},
  {"tagger-image-odd", "\"image_size\": 96", "\"image_size\": 104",
        {"key 'tagger.image_size'", "expected a multiple of 16",
          "found 104"}},
  {"tagger-grid", "\"image_size\": 96, \"patch_size\": 4",
        "\"image_size\": 1024, \"patch_size\": 1", {"key 'tagger.patch_size'",
          "at most 256 tokens to a side of 1024", "found 1024"}},
  {"tagger-window-1", "\"window_size\": 12", "\"window_size\": 1",
        {"key 'tagger.window_size'", "from 2 to 24", "found 1"}},
  {"tagger-window-odd", "\"window_size\": 12", "\"window_size\": 7",
        {"key 'tagger.window_size'", "divides the 24 tokens", "stage 0",
          "found 7"}},
  {"tagger-depths-missing", "\"depths\": [2, 3, 18],", "",
        {"key 'tagger.depths'", "a list of 1 to 8 values", "found nothing"}},
  {"tagger-depth-0", "[2, 3, 18]", "[2, 0, 18]", {"key 'tagger.depths[1]'",
          "from 1 to 64", "found 0"}},
  {"tagger-heads-short", "\"num_heads\": [3, 6, 12]", "\"num_heads\": [3, 6]",
        {"key 'tagger.num_heads'", "a list of 3 values", "found a list of 2"}},
  {"tagger-heads-129", "\"num_heads\": [3,", "\"num_heads\": [129,",
        {"key 'tagger.num_heads[0]'", "from 1 to 128", "found 129"}},
  {"tagger-heads-uneven", "\"num_heads\": [3, 6", "\"num_heads\": [3, 7",
        {"key 'tagger.num_heads'", "divides the 48 channels of stage 1",
          "found 7"}},
  {"tagger-width", "\"embed_dim\": 24", "\"embed_dim\": 2049",
        {"key 'tagger.embed_dim'", "at most 8192 channels", "found 8196"}},
  {"tagger-hidden", "\"hidden_size\": 36", "\"hidden_size\": 35",
        {"key 'tagger.hidden_size'", "multiple of num_attention_heads, 9",
          "found 35"}},
  {"tagger-eps-0", "1e-12", "0", {"key 'tagger.layer_norm_eps'",
          "expected a number", "found 0"}},
  {"tagger-tags-0", "\"tags\": 4585", "\"tags\": 0", {"key 'tagger.tags'",
          "from 1 to 65536", "found 0"}},
};

/* --- Tools --------------------------------------------------------------- */

static DloralSafetensors *
open_header (const char *header)
{
  char *path = corpus_write ("model.safetensors", header, NULL, 0);
  GError *error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (path, &error);

  g_assert_no_error (error);
  g_free (path);
  return file;
}

static DloralSafetensors *
open_config (const char *config)
{
  char *header = corpus_make_header (config, "");
  DloralSafetensors *file = open_header (header);

  g_free (header);
  return file;
}

/* Replaces the first `from` in `text`, which must be there; frees `text`. */
static char *
edit (char *text, const char *from, const char *to)
{
  char *at = strstr (text, from), *result;

  g_assert_nonnull (at);
  result = g_strdup_printf ("%.*s%s%s", (int) (at - text), text, to,
      at + strlen (from));
  g_free (text);
  return result;
}

static void
refuse (const DloralSafetensors * file, DloralError code,
    const char *const *words)
{
  DloralConfig config;
  GError *error = NULL;

  g_assert_false (dloral_config_read (&config, file, &error));
  corpus_check_error (&error, code, dloral_safetensors_get_path (file), words);
}

/* The edited config, which must be good. */
static DloralConfig
read_edited (const char *from, const char *to)
{
  char *text = edit (g_strdup (corpus_config), from, to);
  DloralSafetensors *file = open_config (text);
  DloralConfig config;
  GError *error = NULL;

  dloral_config_read (&config, file, &error);
  g_assert_no_error (error);
  dloral_safetensors_free (file);
  g_free (text);
  return config;
}

#define assert_ints(array, ...) g_assert_cmpmem (array, sizeof (array), \
    ((const int[G_N_ELEMENTS (array)]) { __VA_ARGS__ }), sizeof (array))

/* --- Tests --------------------------------------------------------------- */

static void
test_broken (gconstpointer data)
{
  const Edit *e = data;
  char *text = edit (g_strdup (corpus_config), e->from, e->to);
  DloralSafetensors *file = open_config (text);

  refuse (file, DLORAL_ERROR_CONFIG, e->words);
  dloral_safetensors_free (file);
  g_free (text);
}

static void
test_metadata (void)
{
  static const char *const words[] = { "'format'", "expected 'dloral'",
    "found nothing", "not a DLoRAL model file"
  };
  static const char *const other[] = { "'format'", "expected 'dloral'",
    "found 'pt'", NULL
  };
  static const char *const none[] = { "'config'", "as JSON", "found nothing",
    NULL
  };
  static const char *const empty[] = { "'config'", "found nothing", NULL };
  DloralSafetensors *file;

  file = open_header ("{}");
  refuse (file, DLORAL_ERROR_FILE, words);
  dloral_safetensors_free (file);
  file = open_header ("{\"__metadata__\":{\"format\":\"pt\"}}");
  refuse (file, DLORAL_ERROR_FILE, other);
  dloral_safetensors_free (file);
  file = open_header ("{\"__metadata__\":{\"format\":\"dloral\"}}");
  refuse (file, DLORAL_ERROR_CONFIG, none);
  dloral_safetensors_free (file);
  file = open_config ("");
  refuse (file, DLORAL_ERROR_CONFIG, empty);
  dloral_safetensors_free (file);
}

static void
check_tagger (const DloralTaggerConfig * t)
{
  g_assert_cmpint (t->image_size, ==, 96);
  g_assert_cmpint (t->patch_size, ==, 4);
  g_assert_cmpint (t->embed_dim, ==, 24);
  g_assert_cmpint (t->stages, ==, 3);
  g_assert_cmpmem (t->depths, 3 * sizeof (int), ((int[]) { 2, 3, 18 }),
      3 * sizeof (int));
  g_assert_cmpmem (t->num_heads, 3 * sizeof (int), ((int[]) { 3, 6, 12 }),
      3 * sizeof (int));
  g_assert_cmpint (t->window_size, ==, 12);
  g_assert_cmpint (t->mlp_ratio, ==, 5);
  g_assert_cmpint (t->projection_dim, ==, 20);
  g_assert_cmpint (t->hidden_size, ==, 36);
  g_assert_cmpint (t->num_hidden_layers, ==, 7);
  g_assert_cmpint (t->num_attention_heads, ==, 9);
  g_assert_cmpint (t->intermediate_size, ==, 72);
  g_assert_cmpfloat (t->layer_norm_eps, ==, 1e-12f);
  g_assert_cmpint (t->tags, ==, 4585);
  g_assert_cmpint (dloral_tagger_config_get_grid (t, 0), ==, 24);
  g_assert_cmpint (dloral_tagger_config_get_grid (t, 2), ==, 6);
}

static void
test_all_keys (void)
{
  DloralConfig c = read_edited ("", "");

  g_assert_cmpint (c.scale, ==, 4);
  g_assert_cmpint (c.timestep, ==, 1);
  g_assert_cmpint (c.color_fix, ==, DLORAL_COLOR_FIX_WAVELET);
  g_assert_cmpint (c.vae.latent_channels, ==, 4);
  g_assert_cmpfloat (c.vae.scaling_factor, ==, 0.18215f);
  g_assert_cmpint (c.vae.levels, ==, 4);
  assert_ints (c.vae.block_out_channels, 16, 32, 48, 48);
  g_assert_cmpint (c.vae.layers_per_block, ==, 2);
  g_assert_cmpint (c.vae.decoder_layers_per_block, ==, 5);
  g_assert_cmpint (c.vae.norm_num_groups, ==, 8);
  g_assert_cmpint (c.vae.patch_size, ==, 2);
  g_assert_true (c.vae.mid_block);
  g_assert_true (c.vae.mid_block_add_attention);
  g_assert_true (c.vae.use_quant_conv);
  g_assert_false (c.vae.use_post_quant_conv);
  g_assert_true (c.vae.lq_residual);
  g_assert_cmpint (dloral_config_get_downscale (&c), ==, 16);

  g_assert_cmpint (c.unet.in_channels, ==, 8);
  g_assert_cmpint (c.unet.out_channels, ==, 4);
  g_assert_cmpint (c.unet.levels, ==, 4);
  assert_ints (c.unet.block_out_channels, 32, 48, 64, 64);
  assert_ints (c.unet.heads, 2, 3, 4, 4);
  assert_ints (c.unet.down_attention, TRUE, FALSE, TRUE, FALSE);
  assert_ints (c.unet.up_attention, FALSE, TRUE, TRUE, FALSE);
  g_assert_true (c.unet.mid_block);
  g_assert_false (c.unet.mid_attention);
  g_assert_cmpint (c.unet.layers_per_block, ==, 3);
  g_assert_cmpint (c.unet.cross_attention_dim, ==, 40);
  g_assert_cmpint (c.unet.norm_num_groups, ==, 16);
  g_assert_true (c.unet.use_linear_projection);

  g_assert_cmpint (c.cfr.heads, ==, 9);
  g_assert_cmpint (c.cfr.embed_dim, ==, 64);
  g_assert_cmpfloat (c.cfr.temperature, ==, 3000);
  g_assert_cmpint (c.cfr.window, ==, 7);
  assert_ints (c.cfr.spynet_channels, 8, 12, 10, 6);

  g_assert_cmpint (c.text_encoder.num_hidden_layers, ==, 23);
  g_assert_cmpint (c.text_encoder.num_attention_heads, ==, 10);
  g_assert_cmpint (c.text_encoder.hidden_size, ==, 40);
  g_assert_cmpint (c.text_encoder.intermediate_size, ==, 160);
  g_assert_false (c.text_encoder.quick_gelu);
  g_assert_cmpfloat (c.text_encoder.layer_norm_eps, ==, 1e-5f);
  g_assert_cmpint (c.text_encoder.max_position_embeddings, ==, 77);
  g_assert_cmpint (c.text_encoder.vocab_size, ==, 49408);
  g_assert_cmpint (c.tokenizer.bos_token_id, ==, 49406);
  g_assert_cmpint (c.tokenizer.eos_token_id, ==, 49407);
  g_assert_cmpint (c.tokenizer.pad_token_id, ==, 0);
  g_assert_cmpint (c.tokenizer.max_length, ==, 76);
  check_tagger (&c.tagger);
}

/* A tagger alone has no other keys to be read, and another format. */
static void
test_tagger (void)
{
  static const char *const words[] = { "'format'", "expected 'dloral-tagger'",
    "found 'dloral'", "not a tagger file"
  };
  const char *tagger = strstr (corpus_config, "\"tagger\"");
  char *config = g_strconcat ("{", tagger, NULL);
  char *header = corpus_make_header (config, "");
  DloralSafetensors *file = open_header (header);
  DloralTaggerConfig t;
  GError *error = NULL;

  g_assert_false (dloral_tagger_config_read (&t, file, &error));
  corpus_check_error (&error, DLORAL_ERROR_FILE,
      dloral_safetensors_get_path (file), words);
  dloral_safetensors_free (file);
  header = edit (header, "\"dloral\"", "\"dloral-tagger\"");
  file = open_header (header);
  dloral_tagger_config_read (&t, file, &error);
  g_assert_no_error (error);
  check_tagger (&t);
  dloral_safetensors_free (file);
  g_free (header);
  g_free (config);
}

/* Nothing but what has no default, and no attention at all. */
static void
test_defaults (void)
{
  DloralSafetensors *file = open_config ("{\"scale\": 4, \"timestep\": 999,"
      "\"vae\": {\"latent_channels\": 16, \"scaling_factor\": 1,"
      " \"block_out_channels\": [48], \"layers_per_block\": 16,"
      " \"norm_num_groups\": 8},"
      "\"unet\": {\"in_channels\": 32, \"out_channels\": 16,"
      " \"block_out_channels\": [48, 96], \"layers_per_block\": 1,"
      " \"attention_head_dim\": 5, \"cross_attention_dim\": 0,"
      " \"norm_num_groups\": 8, \"mid_block_type\": \"UNetMidBlock2D\","
      " \"down_block_types\": [\"DownBlock2D\", \"DownBlock2D\"],"
      " \"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\"]},"
      "\"cfr\": {\"heads\": 2, \"embed_dim\": 8, \"temperature\": 1}}");
  DloralConfig c;
  GError *error = NULL;

  dloral_config_read (&c, file, &error);
  g_assert_no_error (error);
  g_assert_cmpint (c.timestep, ==, 999);
  g_assert_cmpint (c.color_fix, ==, DLORAL_COLOR_FIX_ADAIN);
  g_assert_cmpfloat (c.vae.scaling_factor, ==, 1);
  g_assert_cmpint (c.vae.levels, ==, 1);
  g_assert_cmpint (c.vae.decoder_layers_per_block, ==, 17);
  g_assert_cmpint (c.vae.patch_size, ==, 1);
  g_assert_true (c.vae.mid_block);
  g_assert_true (c.vae.mid_block_add_attention);
  g_assert_true (c.vae.use_quant_conv);
  g_assert_true (c.vae.use_post_quant_conv);
  g_assert_false (c.vae.lq_residual);
  g_assert_cmpint (dloral_config_get_downscale (&c), ==, 1);
  assert_ints (c.unet.heads, 5, 5);
  assert_ints (c.unet.down_attention, FALSE);
  assert_ints (c.unet.up_attention, FALSE);
  g_assert_cmpint (c.unet.cross_attention_dim, ==, 0);
  g_assert_false (c.unet.use_linear_projection);
  g_assert_cmpint (c.cfr.window, ==, 0);
  assert_ints (c.cfr.spynet_channels, 32, 64, 32, 16);
  g_assert_cmpint (c.text_encoder.num_hidden_layers, ==, 0);
  dloral_safetensors_free (file);
}

static void
test_variants (void)
{
  DloralConfig c;

  c = read_edited (" \"mid_block_type\": \"UNetMidBlock2D\",", "");
  g_assert_true (c.unet.mid_block && c.unet.mid_attention);
  c = read_edited ("\"UNetMidBlock2D\"", "\"UNetMidBlock2DCrossAttn\"");
  g_assert_true (c.unet.mid_block && c.unet.mid_attention);
  c = read_edited ("\"UNetMidBlock2D\"", "null");
  g_assert_false (c.unet.mid_block || c.unet.mid_attention);
  c = read_edited ("[2, 3, 4, 4]", "16");
  assert_ints (c.unet.heads, 16, 16, 16, 16);
  /* Nothing attends at the last level, so its heads need divide nothing. */
  c = read_edited ("[2, 3, 4, 4]", "[2, 3, 4, 7]");
  assert_ints (c.unet.heads, 2, 3, 4, 7);
  c = read_edited ("\"gelu\"", "\"quick_gelu\"");
  g_assert_true (c.text_encoder.quick_gelu);
  c = read_edited ("\"text_encoder\"", "\"-\"");
  g_assert_cmpint (c.text_encoder.num_hidden_layers, ==, 0);
  c = read_edited ("\"mid_block\": true, \"mid_block_add_attention\": true",
      "\"mid_block\": false");
  g_assert_false (c.vae.mid_block || c.vae.mid_block_add_attention);
  c = read_edited ("\"mid_block_add_attention\": true",
      "\"mid_block_add_attention\": false");
  g_assert_true (c.vae.mid_block && !c.vae.mid_block_add_attention);
  c = read_edited ("\"wavelet\"", "\"none\"");
  g_assert_cmpint (c.color_fix, ==, DLORAL_COLOR_FIX_NONE);
  c = read_edited ("\"wavelet\"", "\"adain\"");
  g_assert_cmpint (c.color_fix, ==, DLORAL_COLOR_FIX_ADAIN);
  c = read_edited ("\"channels\": [8, 12, 10, 6]", "");
  assert_ints (c.cfr.spynet_channels, 32, 64, 32, 16);
  g_assert_cmpint (c.cfr.spynet_shrink, ==, 1);
  c = read_edited ("[8, 12, 10, 6]", "[8, 12, 10, 6], \"shrink\": 2");
  g_assert_cmpint (c.cfr.spynet_shrink, ==, 2);
  c = read_edited ("\"patch_size\": 2", "\"patch_size\": 8");
  g_assert_cmpint (dloral_config_get_downscale (&c), ==, 64);
  c = read_edited ("\"window\": 7", "\"window\": 31");
  g_assert_cmpint (c.cfr.window, ==, 31);
  c = read_edited ("0.18215", "2");
  g_assert_cmpfloat (c.vae.scaling_factor, ==, 2);
  c = read_edited ("3000.0", "3e3");
  g_assert_cmpfloat (c.cfr.temperature, ==, 3000);
}

int
main (int argc, char **argv)
{
  guint i;
  int result;

  g_test_init (&argc, &argv, NULL);
  corpus_init ();
  for (i = 0; i < G_N_ELEMENTS (broken); i++) {
    char *name = g_strconcat ("/config/broken/", broken[i].name, NULL);
    g_test_add_data_func (name, &broken[i], test_broken);
    g_free (name);
  }
  g_test_add_func ("/config/broken/metadata", test_metadata);
  g_test_add_func ("/config/all-keys", test_all_keys);
  g_test_add_func ("/config/defaults", test_defaults);
  g_test_add_func ("/config/tagger", test_tagger);
  g_test_add_func ("/config/variants", test_variants);
  result = g_test_run ();
  corpus_done ();
  return result;
}
