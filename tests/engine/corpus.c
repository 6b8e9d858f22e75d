/* Makes model files, good and broken, in a directory of the test's own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "corpus.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>

static char *directory;

const char *const corpus_config =
    "{\"scale\": 4, \"timestep\": 1, \"color_fix\": \"wavelet\","
    " \"vae\": {\"latent_channels\": 4, \"scaling_factor\": 0.18215,"
    " \"block_out_channels\": [16, 32, 48, 48], \"layers_per_block\": 2,"
    " \"norm_num_groups\": 8, \"patch_size\": 2, \"mid_block\": true,"
    " \"mid_block_add_attention\": true, \"use_quant_conv\": true,"
    " \"use_post_quant_conv\": false, \"lq_residual\": true,"
    " \"decoder_layers_per_block\": 5},"
    " \"unet\": {\"in_channels\": 8, \"out_channels\": 4,"
    " \"block_out_channels\": [32, 48, 64, 64],"
    " \"attention_head_dim\": [2, 3, 4, 4], \"layers_per_block\": 3,"
    " \"cross_attention_dim\": 40, \"norm_num_groups\": 16,"
    " \"use_linear_projection\": true,"
    " \"mid_block_type\": \"UNetMidBlock2D\","
    " \"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\","
    " \"CrossAttnDownBlock2D\", \"DownBlock2D\"],"
    " \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\","
    " \"CrossAttnUpBlock2D\", \"UpBlock2D\"]},"
    " \"cfr\": {\"heads\": 9, \"embed_dim\": 64, \"temperature\": 3000.0,"
    " \"window\": 7},"
    " \"spynet\": {\"channels\": [8, 12, 10, 6]},"
    " \"text_encoder\": {\"num_hidden_layers\": 23,"
    " \"num_attention_heads\": 10, \"hidden_size\": 40,"
    " \"intermediate_size\": 160, \"hidden_act\": \"gelu\","
    " \"layer_norm_eps\": 1e-05, \"max_position_embeddings\": 77,"
    " \"vocab_size\": 49408},"
    " \"tokenizer\": {\"bos_token_id\": 49406, \"eos_token_id\": 49407,"
    " \"pad_token_id\": 0, \"max_length\": 76},"
    " \"tagger\": {\"image_size\": 96, \"patch_size\": 4, \"embed_dim\": 24,"
    " \"depths\": [2, 3, 18], \"num_heads\": [3, 6, 12], \"window_size\": 12,"
    " \"mlp_ratio\": 5, \"projection_dim\": 20, \"hidden_size\": 36,"
    " \"num_hidden_layers\": 7, \"num_attention_heads\": 9,"
    " \"intermediate_size\": 72, \"layer_norm_eps\": 1e-12, \"tags\": 4585},"
    " \"from_the_future\": [{}]}";

void
corpus_init (void)
{
  GError *error = NULL;

  directory = g_dir_make_tmp ("dloral-test-XXXXXX", &error);
  g_assert_no_error (error);
}

void
corpus_done (void)
{
  GDir *dir = g_dir_open (directory, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir))) {
    char *path = corpus_path (name);
    g_remove (path);
    g_free (path);
  }
  g_dir_close (dir);
  g_assert_cmpint (g_rmdir (directory), ==, 0);
  g_free (directory);
}

char *
corpus_path (const char *name)
{
  return g_build_filename (directory, name, NULL);
}

void
corpus_write_bytes (const char *path, gconstpointer bytes, gsize size)
{
  FILE *f;

  /* A file anew: ext4 flushes one that is cut to nothing and refilled. */
  g_remove (path);
  f = g_fopen (path, "wb");
  g_assert_nonnull (f);
  g_assert_cmpuint (fwrite (bytes, 1, size, f), ==, size);
  g_assert_cmpint (fclose (f), ==, 0);
}

GByteArray *
corpus_make (const char *header, gconstpointer data, gsize size)
{
  GByteArray *bytes = g_byte_array_new ();
  guint64 length = GUINT64_TO_LE ((guint64) strlen (header));
  guint start;

  g_byte_array_append (bytes, (guint8 *) & length, sizeof (length));
  g_byte_array_append (bytes, (const guint8 *) header, strlen (header));
  if (data) {
    g_byte_array_append (bytes, data, size);
  } else {
    start = bytes->len;
    g_byte_array_set_size (bytes, start + size);
    memset (bytes->data + start, 0, size);
  }
  return bytes;
}

char *
corpus_make_header (const char *config, const char *tensors)
{
  JsonNode *node = json_node_init_string (json_node_alloc (), config);
  char *quoted = json_to_string (node, FALSE), *header;

  header = g_strdup_printf ("{\"__metadata__\":{\"format\":\"dloral\","
      "\"config\":%s}%s%s}", quoted, *tensors ? "," : "", tensors);
  g_free (quoted);
  json_node_unref (node);
  return header;
}

char *
corpus_write (const char *name, const char *header, gconstpointer data,
    gsize size)
{
  GByteArray *bytes = corpus_make (header, data, size);
  char *path = corpus_path (name);

  corpus_write_bytes (path, bytes->data, bytes->len);
  g_byte_array_unref (bytes);
  return path;
}

void
corpus_check_error (GError ** error, DloralError code, const char *path,
    const char *const *words)
{
  const char *message, *p;
  int i;

  g_assert_error (*error, DLORAL_ERROR, (int) code);
  message = (*error)->message;
  if (!strstr (message, path))
    g_error ("'%s' does not name the file %s", message, path);
  for (i = 0; i < 4 && words[i]; i++)
    if (!strstr (message, words[i]))
      g_error ("'%s' does not say '%s'", message, words[i]);

  g_assert_true (g_utf8_validate (message, -1, NULL));
  for (p = message; *p; p = g_utf8_next_char (p))
    g_assert_true (g_unichar_isprint (g_utf8_get_char (p)));
  g_assert_cmpuint (strlen (message), <, 2000);
  g_clear_error (error);
}

char *
corpus_edit (const char *path, const char *name, const char *from,
    const char *to)
{
  g_autofree char *data = NULL;
  g_autoptr (GString) edited = NULL;
  char *at = NULL, *result = corpus_path (name);
  guint64 header;
  gsize size;

  g_assert_true (g_file_get_contents (path, &data, &size, NULL));
  memcpy (&header, data, sizeof header);
  header = GUINT64_FROM_LE (header);
  for (char *p = data; at == NULL && p + strlen (from) <= data + size; p++)
    if (memcmp (p, from, strlen (from)) == 0)
      at = p;
  g_assert_nonnull (at);
  edited = g_string_new_len (data, at - data);
  g_string_append (edited, to);
  at += strlen (from);
  g_string_append_len (edited, at, data + size - at);
  if ((guint64) (at - data) <= 8 + header)
    header += strlen (to) - strlen (from);
  header = GUINT64_TO_LE (header);
  memcpy (edited->str, &header, sizeof header);
  corpus_write_bytes (result, edited->str, edited->len);
  return result;
}
