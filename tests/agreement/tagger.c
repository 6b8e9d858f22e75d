/* What PyTorch makes of frames with a small random tagger: the networks' input, the
 * logits, the tags.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"
#include "engine/tagger.h"
#include "tests/device.h"

#include <string.h>

#define TAGGER "data/tagger/tagger.safetensors"

static DloralModel *
open_model (DloralPrecision precision)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST,
      "data/sd/model.safetensors", NULL);
  DloralModelParams params = {.path = path,.device = test_get_device (),
    .precision = precision
  };
  g_autoptr (GError) error = NULL;
  DloralModel *model = dloral_model_open (&params, &error);

  g_assert_no_error (error);
  return model;
}

static DloralTagger *
open_tagger (DloralModel *model, gboolean keep)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, TAGGER, NULL);
  g_autoptr (GError) error = NULL;
  DloralTagger *tagger = dloral_tagger_new (model, path, keep, NULL, &error);

  g_assert_no_error (error);
  return tagger;
}

static DloralSafetensors *
open_answers (const char *name)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "data/tagger",
      name, NULL);
  g_autoptr (GError) error = NULL;
  DloralSafetensors *answers = dloral_safetensors_open (path, &error);

  g_assert_no_error (error);
  return answers;
}

/* The frame of a file of answers, and its format. */
static const guint8 *
get_frame (const DloralSafetensors *answers, DloralVideoFormat *format)
{
  const DloralEntry *lq = dloral_safetensors_find (answers, "lq");

  g_assert_nonnull (lq);
  dloral_video_format_init_rgb (format, lq->shape[1], lq->shape[0], FALSE);
  g_assert_cmpuint (lq->size, ==, format->size);
  return lq->data;
}

static void
check_networks (DloralTagger *tagger, const DloralSafetensors *answers)
{
  const DloralEntry *logits = dloral_safetensors_find (answers, "logits");
  const DloralEntry *input = dloral_safetensors_find (answers, "input");
  g_autofree float *found = g_new (float, logits->shape[0]);
  g_autoptr (GError) error = NULL;
  DloralVideoFormat format;
  const guint8 *frame = get_frame (answers, &format);
  g_autofree float *picture = dloral_tagger_read_frame (tagger, &format, frame,
      &error);

  g_assert_no_error (error);
  dloral_tagger_get_logits (tagger, picture, found, NULL, &error);
  g_assert_no_error (error);
  agreement_check_values ("input", input, picture);
  agreement_check_values ("logits", logits, found);
}

static void
check_tags (DloralTagger *tagger, const DloralSafetensors *answers)
{
  g_autoptr (GError) error = NULL;
  DloralVideoFormat format;
  const guint8 *frame = get_frame (answers, &format);
  g_autofree char *tags = dloral_tagger_run (tagger, &format, frame, NULL,
      &error);

  g_assert_no_error (error);
  g_assert_cmpstr (tags, ==, dloral_safetensors_get_metadata (answers,
          "tags"));
}

static void
test_answers (gconstpointer name)
{
  DloralSafetensors *answers = open_answers (name);
  DloralModel *model = open_model (DLORAL_PRECISION_F32);

  for (int keep = 0; keep < 2; keep++) {
    DloralTagger *tagger = open_tagger (model, keep);

    for (int again = 0; again <= keep; again++)
      check_networks (tagger, answers);
    check_tags (tagger, answers);
    dloral_tagger_free (tagger);
  }
  dloral_model_unref (model);
  dloral_safetensors_free (answers);
}

/* In the device's fastest type the tags are the same: none is near its
 * threshold. */
static void
test_precision (gconstpointer name)
{
  DloralSafetensors *answers = open_answers (name);
  DloralModel *model = open_model (DLORAL_PRECISION_AUTO);
  DloralTagger *tagger = open_tagger (model, FALSE);

  check_tags (tagger, answers);
  dloral_tagger_free (tagger);
  dloral_model_unref (model);
  dloral_safetensors_free (answers);
}

/* Samples of 16 bits that say the same as those of 8. */
static void
test_deep (gconstpointer name)
{
  DloralSafetensors *answers = open_answers (name);
  const DloralEntry *logits = dloral_safetensors_find (answers, "logits");
  DloralModel *model = open_model (DLORAL_PRECISION_F32);
  DloralTagger *tagger = open_tagger (model, FALSE);
  DloralVideoFormat format, deep;
  const guint8 *frame = get_frame (answers, &format);
  g_autofree guint16 *wide = g_new (guint16, format.size);
  g_autofree float *found = g_new (float, logits->shape[0]), *picture = NULL;
  g_autoptr (GError) error = NULL;

  dloral_video_format_init_rgb (&deep, format.width, format.height, TRUE);
  for (gsize i = 0; i < format.size; i++)
    wide[i] = frame[i] * 257;
  picture = dloral_tagger_read_frame (tagger, &deep, (guint8 *) wide, &error);
  g_assert_no_error (error);
  dloral_tagger_get_logits (tagger, picture, found, NULL, &error);
  g_assert_no_error (error);
  /* Enlarged, 8 bits were rounded to whole levels. */
  for (int i = 0; i < logits->shape[0]; i++) {
    float expected;

    dloral_entry_read_f32 (logits, i, 1, &expected);
    g_assert_cmpfloat_with_epsilon (found[i], expected, 0.05);
  }
  dloral_tagger_free (tagger);
  dloral_model_unref (model);
  dloral_safetensors_free (answers);
}

static void
test_cancelled (void)
{
  DloralSafetensors *answers = open_answers ("answers-26x18.safetensors");
  DloralModel *model = open_model (DLORAL_PRECISION_F32);
  DloralTagger *tagger = open_tagger (model, TRUE);
  g_autoptr (GError) error = NULL;
  DloralVideoFormat format;
  const guint8 *frame = get_frame (answers, &format);
  gint cancelled = TRUE;

  g_assert_null (dloral_tagger_run (tagger, &format, frame, &cancelled,
          &error));
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED);
  check_tags (tagger, answers);
  dloral_tagger_free (tagger);
  dloral_model_unref (model);
  dloral_safetensors_free (answers);
}

static void
test_none (void)
{
  DloralModel *model = open_model (DLORAL_PRECISION_F32);
  g_autoptr (GError) error = NULL;

  g_assert_null (dloral_tagger_new (model, NULL, FALSE, NULL, &error));
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "give a tagger file"));
  dloral_model_unref (model);
}

static void
test_prompt (void)
{
  g_autofree char *both = dloral_tags_make_prompt ("sky, tree", "clean");
  g_autofree char *tags = dloral_tags_make_prompt ("sky, tree", NULL);

  g_assert_cmpstr (both, ==, "sky, tree, clean,");
  g_assert_cmpstr (tags, ==, "sky, tree, ,");
}

int
main (int argc, char **argv)
{
  static const char *const names[] = { "answers-11x6.safetensors",
    "answers-26x18.safetensors", "answers-40x33.safetensors"
  };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *answers = g_strdup_printf ("/tagger/answers/%s", names[i]);
    g_autofree char *precision =
        g_strdup_printf ("/tagger/precision/%s", names[i]);
    g_autofree char *deep = g_strdup_printf ("/tagger/deep/%s", names[i]);

    g_test_add_data_func (answers, names[i], test_answers);
    g_test_add_data_func (precision, names[i], test_precision);
    g_test_add_data_func (deep, names[i], test_deep);
  }
  g_test_add_func ("/tagger/cancelled", test_cancelled);
  g_test_add_func ("/tagger/none", test_none);
  g_test_add_func ("/tagger/prompt", test_prompt);
  return g_test_run ();
}
