/* Tiny coders that a file has not, or has wrong. What they compute is in
 * tests/agreement.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "corpus.h"
#include "engine/nets/taesd.h"

#define IN "\"tiny.encoder.0.weight\":"
#define IN_BIAS ",\"tiny.encoder.0.bias\":"

static const struct
{
  const char *name;
  int patch;                    /* of the full coder, of four levels */
  const char *tensors;
  gsize size;                   /* bytes of them */
  DloralError code;
  const char *words[5];
} cases[] = {
  {"absent", 1, "\"tiny.decoder.1.weight\":"
      CORPUS_TENSOR ("F32", "8,4,3,3", "0", "1152"), 1152,
      DLORAL_ERROR_ARGUMENT, {"a tiny coder", "found none", "full coder"}},
  {"coarse", 2, IN CORPUS_TENSOR ("F32", "8,3,3,3", "0", "864"), 864,
      DLORAL_ERROR_CONFIG, {"key 'vae'", "8 pixels", "found 16"}},
  {"cut-off", 1, IN CORPUS_TENSOR ("F32", "8,3,3,3", "0", "864"), 864,
      DLORAL_ERROR_FILE, {"tiny.encoder.0.bias", "[8, 1, 1, 1]",
        "no such tensor"}},
  {"no-kernel", 1, IN CORPUS_TENSOR ("F32", "8,27", "0", "864")
      IN_BIAS CORPUS_TENSOR ("F32", "64", "864", "1120"), 1120,
      DLORAL_ERROR_FILE, {"[64, 3, 3, 3]", "[8, 27]"}},
  {"wide", 1, IN CORPUS_TENSOR ("F32", "1025,3,3,3", "0", "110700")
      IN_BIAS CORPUS_TENSOR ("F32", "1024", "110700", "114796"), 114796,
      DLORAL_ERROR_FILE, {"[1024, 3, 3, 3]", "[1025, 3, 3, 3]"}},
  {"grey", 1, IN CORPUS_TENSOR ("F32", "8,1,3,3", "0", "288")
      IN_BIAS CORPUS_TENSOR ("F32", "8", "288", "320"), 320,
      DLORAL_ERROR_FILE, {"[8, 3, 3, 3]", "[8, 1, 3, 3]"}},
};

static void
test_refused (gconstpointer data)
{
  int i = GPOINTER_TO_INT (data);
  DloralConfig config = {.vae = {.latent_channels = 4,.levels = 4,
      .patch_size = cases[i].patch}
  };
  g_autofree char *header = corpus_make_header ("{}", cases[i].tensors);
  g_autofree char *path = corpus_write (cases[i].name, header, NULL,
      cases[i].size);
  GError *error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (path, &error);
  DloralGraph *g = dloral_graph_new ("test", DLORAL_F32);
  DloralBuilder *b;

  g_assert_no_error (error);
  b = dloral_builder_new (g, file, &config);
  dloral_taesd_encode (b, dloral_graph_bind (g, 32, 32, 3, DLORAL_F32),
      dloral_graph_bind (g, 4, 4, 4, DLORAL_F32));
  g_assert_false (dloral_builder_finish (b, &error));
  corpus_check_error (&error, cases[i].code, path, cases[i].words);
  dloral_graph_free (g);
  dloral_safetensors_free (file);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  corpus_init ();
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *name = g_strconcat ("/taesd/", cases[i].name, NULL);

    g_test_add_data_func (name, GINT_TO_POINTER (i), test_refused);
  }
  result = g_test_run ();
  corpus_done ();
  return result;
}
