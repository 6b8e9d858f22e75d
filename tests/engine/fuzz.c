/* Thousands of mutations of a small valid model file, the same at every run:
 * each opens, or is refused with a sentence; nothing else may happen.
 *
 *   fuzz [MUTATIONS]
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "corpus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEED 2506
#define T CORPUS_TENSOR

static int mutations = 20000;

static const struct
{
  const char *name;
  int rank;
  gint64 shape[2];
} tensors[] = {
  {"a", 2, {3, 5}},
  {"b", 1, {7}},
  {"c.weight", 2, {2, 2}},
  {"d", 1, {4}},
  {"e", 0, {0}},
};

static GByteArray *
make_seed (void)
{
  char *header = corpus_make_header (corpus_config,
      "\"a\":" T ("F32", "3,5", "0", "60") ",\"b\":" T ("F16", "7", "60", "74")
      ",\"c.weight\":" T ("BF16", "2,2", "74", "82") ",\"d\":"
      T ("U8", "4", "82", "86") ",\"e\":" T ("F32", "", "86", "90")
      ",\"f\":" T ("I64", "0,2", "90", "90"));
  GByteArray *bytes = corpus_make (header, NULL, 90);

  g_free (header);
  return bytes;
}

/* --- Mutations ----------------------------------------------------------- */

/* A header length that fits the file again, so that mutants get past it. */
static void
mend_length (GByteArray * bytes, guint data_size)
{
  guint64 length;

  if (bytes->len < 8 + data_size)
    return;
  length = GUINT64_TO_LE ((guint64) bytes->len - 8 - data_size);
  memcpy (bytes->data, &length, sizeof (length));
}

/* --- What must hold ------------------------------------------------------- */

static void
check_error (GError ** error, const char *path)
{
  static const char *const words[] = { "found", NULL };

  corpus_check_error (error, (*error)->code, path, words);
}

static void
check_config (const DloralSafetensors * file, const char *path)
{
  DloralConfig c;
  GError *error = NULL;
  int i;

  if (!dloral_config_read (&c, file, &error)) {
    check_error (&error, path);
    return;
  }
  g_assert_no_error (error);
  g_assert_cmpint (c.scale, ==, 4);
  g_assert_cmpint (dloral_config_get_downscale (&c), >=, 1);
  g_assert_cmpint (dloral_config_get_downscale (&c), <=, 64);
  g_assert_true (isfinite (1 / c.vae.scaling_factor));
  g_assert_true (isfinite (1 / c.cfr.temperature));
  g_assert_cmpint (c.unet.in_channels, ==, 2 * c.vae.latent_channels);
  g_assert_cmpint (c.unet.levels, <=, DLORAL_MAX_LEVELS);
  for (i = 0; i < c.unet.levels; i++) {
    g_assert_cmpint (c.unet.block_out_channels[i] % c.unet.norm_num_groups, ==,
        0);
    g_assert_cmpint (c.unet.heads[i], >=, 1);
  }
  if (!c.text_encoder.num_hidden_layers)
    return;
  g_assert_cmpint (c.text_encoder.hidden_size, ==, c.unet.cross_attention_dim);
  g_assert_cmpint (c.text_encoder.hidden_size
      % c.text_encoder.num_attention_heads, ==, 0);
  g_assert_cmpint (c.text_encoder.vocab_size, <=, DLORAL_MAX_VOCABULARY);
  g_assert_cmpint (c.tokenizer.eos_token_id, <, c.text_encoder.vocab_size);
  g_assert_cmpint (c.tokenizer.max_length, <=,
      c.text_encoder.max_position_embeddings);
}

/* Reads every byte that the file's entries lay claim to. */
static void
check_entries (const DloralSafetensors * file, const char *path)
{
  float *values = g_new (float, 65536);
  GError *error = NULL;
  guint i;

  for (i = 0; i < G_N_ELEMENTS (tensors); i++) {
    const DloralEntry *e = dloral_safetensors_find (file, tensors[i].name);
    if (e && e->dtype != DLORAL_DTYPE_FOREIGN && e->dtype != DLORAL_U8)
      dloral_entry_read_f32 (e, 0, e->size / dloral_dtype_size (e->dtype),
          values);
    if (!dloral_safetensors_require (file, tensors[i].name, tensors[i].rank,
            tensors[i].shape, &error))
      check_error (&error, path);
  }
  g_free (values);
}

/* Whether the file opens. */
static gboolean
check_file (const char *path)
{
  GError *error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (path, &error);

  if (!file) {
    check_error (&error, path);
    return FALSE;
  }
  g_assert_no_error (error);
  check_entries (file, path);
  check_config (file, path);
  dloral_safetensors_free (file);
  return TRUE;
}

static void
test_fuzz (void)
{
  GByteArray *seed = make_seed ();
  GRand *rand = g_rand_new_with_seed (SEED);
  char *path = corpus_path ("mutant");
  int i, n, opened = 0;

  corpus_write_bytes (path, seed->data, seed->len);
  g_assert_true (check_file (path));
  for (i = 0; i < mutations; i++) {
    GByteArray *bytes = g_byte_array_new ();

    g_byte_array_append (bytes, seed->data, seed->len);
    for (n = g_rand_int_range (rand, 1, 4); n > 0; n--)
      corpus_mutate (bytes, rand);
    if (g_rand_int_range (rand, 0, 4))
      mend_length (bytes, 90);
    corpus_write_bytes (path, bytes->data, bytes->len);
    opened += check_file (path);
    g_byte_array_unref (bytes);
  }
  g_test_message ("%d of %d mutants open", opened, mutations);
  /* Mutants of both kinds, or this tests little. */
  g_assert_cmpint (opened, >, mutations / 20);
  g_assert_cmpint (opened, <, mutations * 19 / 20);
  g_free (path);
  g_rand_free (rand);
  g_byte_array_unref (seed);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  if (argc > 1)
    mutations = atoi (argv[1]);
  corpus_init ();
  g_test_add_func ("/safetensors/fuzz", test_fuzz);
  result = g_test_run ();
  corpus_done ();
  return result;
}
