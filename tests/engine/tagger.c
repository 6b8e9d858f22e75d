/* Tagger files that do not fit: each is refused with a sentence, and nothing is left
 * behind. What a good one computes is in tests/agreement. The first argument is the
 * source folder.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE             /* memmem () */
#include "corpus.h"
#include "engine/dloral.h"
#include "tests/device.h"

#include <string.h>

static char *tagger_path, *model_path;

typedef struct
{
  const char *name, *from, *to;
  DloralError code;
  const char *words[4];
} Edit;

static const Edit broken[] = {
  {"other-size", "\\\"embed_dim\\\": 4", "\\\"embed_dim\\\": 8",
        DLORAL_ERROR_FILE, {"'tagger.visual_encoder.patch_embed.proj.",
          "expected shape", "found"}},
  {"other-window", "\\\"window_size\\\": 4", "\\\"window_size\\\": 8",
        DLORAL_ERROR_FILE, {"relative_position_bias_table'",
          "[225, 1", "found [49, 1]"}},
  {"other-depth", "[2, 1, 2]", "[2, 1, 3]", DLORAL_ERROR_FILE,
        {"layers.2.blocks.2.", "no such tensor"}},
  {"no-layer", "\"tagger.fc.bias\"", "\"tagger.fc.Bias\"", DLORAL_ERROR_FILE,
        {"'tagger.fc.bias'", "no such tensor"}},
  {"no-labels", "\"tagger.label_embed\"", "\"tagger.label_Embed\"",
        DLORAL_ERROR_FILE, {"'tagger.label_embed'", "no such tensor"}},
  {"no-tags", "\"tagger.tags\"", "\"tagger.Tags\"", DLORAL_ERROR_FILE,
        {"'tagger.tags'", "expected the tags", "no such tensor",
          "convert the tagger again"}},
  {"tags-missing", "\\\"tags\\\": 23", "\\\"tags\\\": 24", DLORAL_ERROR_FILE,
        {"'tagger.tags'", "expected 24 lines", "found 23"}},
  {"tags-bytes", "red brick wall", "red brick \xff\xfe\xfd\xfc",
        DLORAL_ERROR_FILE, {"'tagger.tags'", "expected UTF-8"}},
  {"no-thresholds", "\"tagger.thresholds\"", "\"tagger.Thresholds\"",
        DLORAL_ERROR_FILE, {"'tagger.thresholds'", "no such tensor"}},
  {"not-one", "\"dloral-tagger\"", "\"dloral\"", DLORAL_ERROR_FILE,
        {"'format'", "expected 'dloral-tagger'", "found 'dloral'",
          "not a tagger file"}},
};

static DloralModel *
open_model (void)
{
  DloralModelParams params = {.path = model_path,.device = test_get_device (),
    .precision = DLORAL_PRECISION_F32
  };
  g_autoptr (GError) error = NULL;
  DloralModel *model = dloral_model_open (&params, &error);

  g_assert_no_error (error);
  return model;
}

static void
refuse (const char *path, DloralError code, const char *const *words)
{
  DloralModel *model = open_model ();
  GError *error = NULL;

  g_assert_null (dloral_tagger_new (model, path, FALSE, NULL, &error));
  corpus_check_error (&error, code, path, words);
  dloral_model_unref (model);
}

static void
test_broken (gconstpointer data)
{
  const Edit *e = data;
  g_autofree char *path = corpus_edit (tagger_path, e->name, e->from, e->to);

  refuse (path, e->code, e->words);
}

static void
test_missing (void)
{
  static const char *const words[] = { "cannot be opened", NULL };
  g_autofree char *path = corpus_path ("nowhere");

  refuse (path, DLORAL_ERROR_NOT_FOUND, words);
}

/* A copy whose last threshold is no probability. */
static void
test_threshold (void)
{
  static const char *const words[] = { "'tagger.thresholds'",
    "expected probabilities", "found 1.5", NULL
  };
  static const float wrong = 1.5f;
  g_autofree char *data = NULL, *path = corpus_path ("threshold");
  g_autoptr (GError) error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (tagger_path, &error);
  const DloralEntry *entry;
  char *at;
  gsize size;

  g_assert_no_error (error);
  entry = dloral_safetensors_find (file, "tagger.thresholds");
  g_assert_true (g_file_get_contents (tagger_path, &data, &size, NULL));
  at = memmem (data, size, entry->data, entry->size);
  g_assert_nonnull (at);
  memcpy (at + entry->size - sizeof wrong, &wrong, sizeof wrong);
  corpus_write_bytes (path, data, size);
  dloral_safetensors_free (file);
  refuse (path, DLORAL_ERROR_FILE, words);
}

static void
test_cancelled (void)
{
  DloralModel *model = open_model ();
  g_autoptr (GError) error = NULL;
  gint cancelled = TRUE;

  g_assert_null (dloral_tagger_new (model, tagger_path, FALSE, &cancelled,
          &error));
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED);
  dloral_model_unref (model);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, >, 1);
  corpus_init ();
  tagger_path = g_build_filename (argv[1],
      "tests/agreement/data/tagger/tagger.safetensors", NULL);
  model_path = g_build_filename (argv[1], "weights/dloral-small.safetensors",
      NULL);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autofree char *name = g_strconcat ("/tagger/broken/", broken[i].name, NULL);

    g_test_add_data_func (name, &broken[i], test_broken);
  }
  g_test_add_func ("/tagger/missing", test_missing);
  g_test_add_func ("/tagger/threshold", test_threshold);
  g_test_add_func ("/tagger/cancelled", test_cancelled);
  result = g_test_run ();
  g_free (tagger_path);
  g_free (model_path);
  corpus_done ();
  return result;
}
