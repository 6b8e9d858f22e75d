/* Writes the inputs that fuzzing began with, small ones that the engine accepts:
 *
 *   seeds FOLDER        makes FOLDER/model-file, FOLDER/config, FOLDER/tokenizer
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "target.h"

#include <stdlib.h>
#include <string.h>

#include <glib/gstdio.h>

#include "engine/dloral.h"
#include "tests/engine/corpus.h"

#define T CORPUS_TENSOR
#define MAX_TENSORS 2000        /* of a model; it has a few hundred */

static void
write_seed (const char *folder, const char *target, const char *name,
    gconstpointer bytes, gsize size)
{
  g_autofree char *path = g_build_filename (folder, target, NULL);
  g_autofree char *file = g_build_filename (path, name, NULL);

  g_assert_cmpint (g_mkdir_with_parents (path, 0777), ==, 0);
  corpus_write_bytes (file, bytes, size);
}

/* --- Configurations --------------------------------------------------------- */

/* As small as a model can be: without text, and with all of it and a tagger. */
#define VAE_AND_CFR \
    "\"scale\":4,\"timestep\":1,\"vae\":{\"latent_channels\":1," \
    "\"scaling_factor\":1,\"block_out_channels\":[1],\"layers_per_block\":1," \
    "\"decoder_layers_per_block\":1,\"norm_num_groups\":1," \
    "\"mid_block\":false,\"use_quant_conv\":false," \
    "\"use_post_quant_conv\":false}," \
    "\"cfr\":{\"heads\":1,\"embed_dim\":1,\"temperature\":1}," \
    "\"spynet\":{\"channels\":[1,1,1,1]}"
#define UNET(text) \
    "\"unet\":{\"in_channels\":2,\"out_channels\":1," \
    "\"block_out_channels\":[2],\"layers_per_block\":1," \
    "\"norm_num_groups\":1," text "}"

static const char plain_config[] = "{" VAE_AND_CFR ","
    UNET ("\"cross_attention_dim\":0,\"mid_block_type\":null,"
    "\"down_block_types\":[\"DownBlock2D\"],"
    "\"up_block_types\":[\"UpBlock2D\"]") "}";

static const char text_config[] = "{" VAE_AND_CFR ","
    UNET ("\"cross_attention_dim\":2,\"attention_head_dim\":1,"
    "\"down_block_types\":[\"CrossAttnDownBlock2D\"],"
    "\"up_block_types\":[\"CrossAttnUpBlock2D\"]")
    ",\"text_encoder\":{\"num_hidden_layers\":1,\"num_attention_heads\":1,"
    "\"hidden_size\":2,\"intermediate_size\":2,\"hidden_act\":\"quick_gelu\","
    "\"layer_norm_eps\":1e-05,\"max_position_embeddings\":2,\"vocab_size\":2},"
    "\"tokenizer\":{\"bos_token_id\":0,\"eos_token_id\":1,"
    "\"pad_token_id\":1,\"max_length\":2},"
    "\"tagger\":{\"image_size\":16,\"patch_size\":4,\"embed_dim\":1,"
    "\"depths\":[2,1],\"num_heads\":[1,1],\"window_size\":2,\"mlp_ratio\":1,"
    "\"projection_dim\":1,\"hidden_size\":1,\"num_hidden_layers\":1,"
    "\"num_attention_heads\":1,\"intermediate_size\":1,"
    "\"layer_norm_eps\":1e-12,\"tags\":1}}";

static void
write_configs (const char *folder)
{
  write_seed (folder, "config", "every-key", corpus_config,
      strlen (corpus_config));
  write_seed (folder, "config", "plain", plain_config, strlen (plain_config));
  write_seed (folder, "config", "text", text_config, strlen (text_config));
}

/* --- Model files ------------------------------------------------------------ */

/* A file's tensors, as its header says it, and how many bytes they have. */
typedef struct
{
  GString *tensors;
  gsize size;
} Contents;

static void
add_tensor (Contents *c, const char *name, const char *type, const char *shape,
    gsize size)
{
  g_string_append_printf (c->tensors, "%s\"%s\":{\"dtype\":\"%s\","
      "\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", c->tensors->len ? "," : "",
      name, type, shape, c->size, c->size + size);
  c->size += size;
}

/* Adds the tensor that a model could not be opened for, as F16. */
static void
add_missing (Contents *c, const char *message)
{
  g_autoptr (GRegex) regex = g_regex_new ("tensor '([^']+)': expected shape "
      "\\[([0-9, ]+)\\]", 0, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  g_autofree char *name = NULL, *shape = NULL;
  g_auto (GStrv) sides = NULL;
  gsize size = 2;

  if (!g_regex_match (regex, message, 0, &match))
    g_error ("The model is refused otherwise: %s", message);
  name = g_match_info_fetch (match, 1);
  shape = g_match_info_fetch (match, 2);
  sides = g_strsplit (shape, ", ", -1);
  for (int i = 0; sides[i]; i++)
    size *= strtoul (sides[i], NULL, 10);
  add_tensor (c, name, "F16", shape, size);
}

/* And its tagger, where it has one. */
static gboolean
open_model (const DloralModelParams *params, GError **error)
{
  DloralModel *model = dloral_model_open (params, error);
  DloralTagger *tagger = NULL;
  gboolean ok = model != NULL;

  if (ok && dloral_model_get_config (model)->tagger.stages > 0) {
    tagger = dloral_tagger_new (model, NULL, FALSE, NULL, error);
    ok = tagger != NULL;
  }
  g_clear_pointer (&tagger, dloral_tagger_free);
  g_clear_pointer (&model, dloral_model_unref);
  return ok;
}

/* A model opens once it has all that it was refused for. The file's first byte is a
 * letter, for the tag, all others are zeros. */
static void
write_model (const char *folder, const char *name, const char *config,
    Contents *c)
{
  for (int i = 0; i < MAX_TENSORS; i++) {
    g_autofree char *header = corpus_make_header (config, c->tensors->str);
    g_autofree char *data = g_malloc0 (c->size + 1);
    g_autoptr (GByteArray) bytes = NULL;
    DloralModelParams params = {.cuda_device_id = -1 };
    GError *error = NULL;

    data[0] = 'a';
    bytes = corpus_make (header, data, c->size);
    params.path = target_write (bytes->data, bytes->len);
    if (open_model (&params, &error)) {
      write_seed (folder, "model-file", name, bytes->data, bytes->len);
      return;
    }
    add_missing (c, error->message);
    g_clear_error (&error);
  }
  g_error ("The model '%s' has no end", name);
}

static void
write_plain_model (const char *folder)
{
  Contents c = { g_string_new (NULL), 0 };

  write_model (folder, "plain", plain_config, &c);
  g_string_free (c.tensors, TRUE);
}

/* With text, a tagger, and adapters of one layer. */
static void
write_text_model (const char *folder)
{
  Contents c = { g_string_new (NULL), 0 };

  add_tensor (&c, "tagger.tags", "U8", "1", 1);
  add_tensor (&c, "prompt_embeds", "F16", "2,2", 8);
  add_tensor (&c, "tokenizer.vocab.json", "U8", "1", 1);
  add_tensor (&c, "tokenizer.merges.txt", "U8", "0", 0);
  add_tensor (&c, "unet.conv_in.lora_A.consistency", "F32", "1,2,3,3", 72);
  add_tensor (&c, "unet.conv_in.lora_B.consistency", "F32", "2,1", 8);
  add_tensor (&c, "unet.conv_in.lora_A.detail", "BF16", "2,2,3,3", 72);
  add_tensor (&c, "unet.conv_in.lora_B.detail", "BF16", "2,2,1,1", 8);
  write_model (folder, "text", text_config, &c);
  g_string_free (c.tensors, TRUE);
}

/* No model: a few tensors of all kinds. */
static void
write_tensors (const char *folder)
{
  static const char tensors[] =
      "\"a\":" T ("F32", "3,5", "0", "60") ",\"b\":" T ("F16", "7", "60", "74")
      ",\"c.weight\":" T ("BF16", "2,2", "74", "82") ",\"d\":"
      T ("U8", "4", "82", "86") ",\"fp8.c.weight.input\":"
      T ("F32", "1", "86", "90") ",\"f\":" T ("I64", "0,2", "90", "90")
      ",\"g\":" T ("F4", "2,3", "90", "93") ",\"c.lora_A.detail\":"
      T ("F16", "1,2", "93", "97") ",\"c.lora_B.detail\":"
      T ("F16", "2,1", "97", "101");
  g_autofree char *header = corpus_make_header (corpus_config, tensors);
  g_autofree char *bare = g_strdup_printf ("{%s}", tensors);
  g_autoptr (GByteArray) bytes = corpus_make (header, NULL, 101);
  g_autoptr (GByteArray) tensors_alone = corpus_make (bare, NULL, 101);

  write_seed (folder, "model-file", "tensors", bytes->data, bytes->len);
  write_seed (folder, "model-file", "no-model", tensors_alone->data,
      tensors_alone->len);
}

/* --- Tokenizers ------------------------------------------------------------- */

static void
write_tokenizers (const char *folder)
{
  static const char words[] = "\xc8\xc9\xc9\x4b+\"<s>\":512,\"</s>\":513,"
      "\"in\":514,\"in</w>\":515,\"ra\":516,\"rain</w>\":517"
      "\xff#version: 0.2\ni n\ni n</w>\nr a\nra in</w>"
      "\xffRain in a <s> train, don't 12 \xc3\xa9 \xe6\x9d\xb1\xe4\xba\xac";
  static const char bytes[] = "\x21\x22\x00\x09+\xff\xff! no merges \"\xfe";

  write_seed (folder, "tokenizer", "words", words, sizeof words - 1);
  write_seed (folder, "tokenizer", "bytes", bytes, sizeof bytes - 1);
}

int
main (int argc, char **argv)
{
  if (argc != 2)
    g_error ("Say where: seeds FOLDER");
  LLVMFuzzerInitialize (&argc, &argv);
  write_configs (argv[1]);
  write_plain_model (argv[1]);
  write_text_model (argv[1]);
  write_tensors (argv[1]);
  write_tokenizers (argv[1]);
  return 0;
}
