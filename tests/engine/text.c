/* A prompt's embedding: what transformers computes (data/make-text.py), while
 * frames run, and files whose text does not fit. The default model, which has
 * no text, is the first argument.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "corpus.h"
#include "engine/text.h"
#include "tests/device.h"

#include <math.h>
#include <string.h>

#define TOKENS 77
#define WIDTH 32
#define N_VALUES (TOKENS * WIDTH)
#define N_PROMPTS 3
/* Largest error, in standard deviations. */
#define BOUND 1e-4

/* --- Tools --------------------------------------------------------------- */

static char *
get_fixture (const char *name)
{
  return g_test_build_filename (G_TEST_DIST, "data", name, NULL);
}

static DloralModel *
open_model (const char *path, GError **error)
{
  return dloral_model_open (&(DloralModelParams) { .path = path,
      .device = test_get_device (),
      .precision = DLORAL_PRECISION_F32 }, error);
}

static char *
edit_model (const char *name, const char *from, const char *to)
{
  g_autofree char *path = get_fixture ("text-model.safetensors");

  return corpus_edit (path, name, from, to);
}

/* The largest difference, in standard deviations of `want`. */
static double
get_error (const float *got, const float *want)
{
  double sum = 0, squares = 0, worst = 0;

  for (int i = 0; i < N_VALUES; i++) {
    sum += want[i];
    squares += (double) want[i] * want[i];
    g_assert_true (isfinite (got[i]));
    worst = MAX (worst, fabs (got[i] - want[i]));
  }
  return worst / sqrt (squares / N_VALUES - pow (sum / N_VALUES, 2));
}

/* --- Embeddings ----------------------------------------------------------- */

static void
check_embeddings (const char *path, const char *name)
{
  g_autofree char *expected_path = get_fixture ("text-expected.safetensors");
  g_autofree float *want = g_new (float, N_PROMPTS * N_VALUES);
  GError *error = NULL;
  DloralSafetensors *expected = dloral_safetensors_open (expected_path, &error);
  DloralModel *model = open_model (path, &error);
  const DloralEntry *entry;
  const char *prompt;
  float got[N_VALUES];

  g_assert_no_error (error);
  g_assert_true (dloral_model_has_text_encoder (model));
  entry = dloral_safetensors_require (expected, name, 3,
      (gint64[]) { N_PROMPTS, TOKENS, WIDTH }, &error);
  g_assert_no_error (error);
  dloral_entry_read_f32 (entry, 0, N_PROMPTS * N_VALUES, want);
  prompt = (const char *) dloral_safetensors_find (expected, "prompts")->data;
  for (int i = 0; i < N_PROMPTS; i++, prompt += strlen (prompt) + 1) {
    double worst;

    dloral_text_encode (model, prompt, got, NULL, &error);
    g_assert_no_error (error);
    worst = get_error (got, want + i * N_VALUES);
    g_test_message ("largest error: %g standard deviations", worst);
    g_assert_cmpfloat (worst, <, BOUND);
  }
  dloral_model_unref (model);
  dloral_safetensors_free (expected);
}

static void
test_gelu (void)
{
  g_autofree char *path = get_fixture ("text-model.safetensors");

  check_embeddings (path, "embeds.gelu");
}

static void
test_quick_gelu (void)
{
  g_autofree char *path = edit_model ("quick", "\\\"gelu\\\"",
      "\\\"quick_gelu\\\"");

  check_embeddings (path, "embeds.quick_gelu");
}

/* --- Beside a stream ------------------------------------------------------ */

#define SIDE 16
#define N_FRAMES 20

/* A sum over the pictures of a moving pattern. */
static guint64
restore_frames (DloralModel *model)
{
  GError *error = NULL;
  DloralStream *s = dloral_stream_new (model, &(DloralStreamParams) {
      .width = SIDE, .height = SIDE, DLORAL_STREAM_DEFAULTS }, &error);
  guint64 sum = 0;

  g_assert_no_error (error);
  for (int t = 0; t < N_FRAMES; t++) {
    DloralFrame *f = dloral_stream_acquire (s);

    for (gsize i = 0; i < SIDE * f->lq_stride; i++)
      f->lq[i] = (guint8) (i * (t + 3));
    dloral_stream_submit (s, f);
    f = dloral_stream_collect (s, TRUE);
    g_assert_no_error (f->error);
    for (gsize i = 0; i < 4 * SIDE * f->hr_stride; i++)
      sum = sum * 31 + f->hr[i];
    dloral_stream_release (s, f);
  }
  dloral_stream_free (s);
  return sum;
}

/* One picture of a pattern, to be freed. change: to this prompt, before. */
static guint8 *
restore_frame (DloralStream *s, const char *prompt, gboolean change)
{
  const DloralConditions conditions = { prompt, 1, 1 };
  GError *error = NULL;
  guint8 *picture;
  DloralFrame *f;

  if (change)
    dloral_stream_set_conditions (s, &conditions, &error);
  g_assert_no_error (error);
  f = dloral_stream_acquire (s);
  for (gsize i = 0; i < SIDE * f->lq_stride; i++)
    f->lq[i] = (guint8) (i * 3);
  f->discont = TRUE;
  dloral_stream_submit (s, f);
  g_assert_true (dloral_stream_collect (s, TRUE) == f);
  g_assert_no_error (f->error);
  picture = g_memdup2 (f->hr, 4 * SIDE * f->hr_stride);
  dloral_stream_release (s, f);
  return picture;
}

static DloralStream *
new_stream (DloralModel *model, const char *prompt)
{
  GError *error = NULL;
  DloralStreamParams params = { .width = SIDE, .height = SIDE,
    DLORAL_STREAM_DEFAULTS
  };
  DloralStream *s;

  params.conditions.prompt = prompt;
  s = dloral_stream_new (model, &params, &error);
  g_assert_no_error (error);
  return s;
}

static int
get_distance (const guint8 *a, const guint8 *b)
{
  int sum = 0;

  for (int i = 0; i < 48 * SIDE * SIDE; i++)
    sum += abs (a[i] - b[i]);
  return sum;
}

/* The stored prompt is the first one, its embedding rounded to F16. */
static void
test_prompts_of_a_stream (void)
{
  g_autofree char *path = get_fixture ("text-model.safetensors");
  g_autofree char *expected_path = get_fixture ("text-expected.safetensors");
  GError *error = NULL;
  DloralSafetensors *expected = dloral_safetensors_open (expected_path, &error);
  const char *first =
      (const char *) dloral_safetensors_find (expected, "prompts")->data;
  const char *second = first + strlen (first) + 1;
  DloralModel *model = open_model (path, &error);
  DloralStream *stored = new_stream (model, NULL);
  DloralStream *other = new_stream (model, second);
  g_autofree guint8 *as_stored = restore_frame (stored, NULL, FALSE);
  g_autofree guint8 *as_first = restore_frame (stored, first, TRUE);
  g_autofree guint8 *as_second = restore_frame (stored, second, TRUE);
  g_autofree guint8 *again = restore_frame (stored, NULL, TRUE);
  g_autofree guint8 *from_start = restore_frame (other, NULL, FALSE);
  int distance = get_distance (as_second, as_stored);

  g_test_message ("first prompt off by %d, second by %d",
      get_distance (as_first, as_stored), distance);
  g_assert_cmpint (distance, >, 1000);
  g_assert_cmpint (get_distance (as_first, as_stored), <, distance / 20);
  g_assert_cmpint (get_distance (again, as_stored), ==, 0);
  g_assert_cmpint (get_distance (from_start, as_second), ==, 0);
  dloral_stream_free (stored);
  dloral_stream_free (other);
  dloral_model_unref (model);
  dloral_safetensors_free (expected);
}

typedef struct
{
  DloralModel *model;
  float alone[N_VALUES];
  int stop;                     /* atomic */
  int runs;
} Reader;

static gpointer
read_prompts (gpointer data)
{
  Reader *r = data;
  float embeds[N_VALUES];

  do {
    GError *error = NULL;

    dloral_text_encode (r->model, "trees and water", embeds, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpmem (embeds, sizeof embeds, r->alone, sizeof r->alone);
    r->runs++;
  } while (!g_atomic_int_get (&r->stop));
  return NULL;
}

static void
test_beside_stream (void)
{
  g_autofree char *path = get_fixture ("text-model.safetensors");
  GError *error = NULL;
  DloralModel *model = open_model (path, &error);
  Reader readers[2] = { {.model = model }, {.model = model } };
  GThread *threads[2];
  guint64 alone;

  g_assert_no_error (error);
  alone = restore_frames (model);
  for (int i = 0; i < 2; i++) {
    dloral_text_encode (model, "trees and water", readers[i].alone, NULL, &error);
    g_assert_no_error (error);
  }
  for (int i = 0; i < 2; i++)
    threads[i] = g_thread_new ("reader", read_prompts, &readers[i]);
  for (int i = 0; i < 5; i++)
    g_assert_cmpuint (restore_frames (model), ==, alone);
  for (int i = 0; i < 2; i++) {
    g_atomic_int_set (&readers[i].stop, TRUE);
    g_thread_join (threads[i]);
    g_assert_cmpint (readers[i].runs, >, 0);
  }
  dloral_model_unref (model);
}

/* --- What does not fit ---------------------------------------------------- */

static void
refuse_prompt (const char *path, const char *const *words)
{
  GError *error = NULL;
  DloralModel *model = open_model (path, &error);
  float embeds[N_VALUES];

  g_assert_no_error (error);
  g_assert_false (dloral_text_encode (model, "a", embeds, NULL, &error));
  corpus_check_error (&error, error->code, path, words);
  dloral_model_unref (model);
}

static void
test_no_encoder (gconstpointer default_model)
{
  static const char *const stored[] = { "has no text encoder",
    "the stored prompt is used", NULL };
  static const char *const none[] = { "has no text encoder",
    "this model takes no prompt", NULL };
  g_autofree char *path = edit_model ("no-encoder", "\\\"text_encoder\\\"",
      "\\\"text_decoder\\\"");
  g_autofree char *other = g_canonicalize_filename (default_model, NULL);

  refuse_prompt (path, stored);
  refuse_prompt (other, none);
}

/* The vocabulary is read when it is needed. */
static void
test_broken_vocabulary (void)
{
  static const char *const words[] = { "'tokenizer.vocab.json'", "token '!'",
    "expected an id from 0 to 813", "found 7000" };
  g_autofree char *path = edit_model ("vocabulary", "{\"!\": 0, \"\\\"\": 1",
      "{\"!\":7000,\"\\\"\":1");

  refuse_prompt (path, words);
}

typedef struct
{
  const char *name, *from, *to;
  const char *words[4];
} Edit;

static const Edit broken[] = {
  {"length", "\\\"max_length\\\": 77", "\\\"max_length\\\": 76",
        {"key 'tokenizer.max_length'", "length of 'prompt_embeds', 77",
          "found 76"}},
  {"vocabulary-size", "\\\"vocab_size\\\": 814", "\\\"vocab_size\\\": 900",
        {"token_embedding.weight'", "expected shape [900, 32]",
          "found [814, 32]"}},
  {"positions", "\\\"max_position_embeddings\\\": 77",
        "\\\"max_position_embeddings\\\": 99",
        {"position_embedding.weight'", "expected shape [99, 32]"}},
  {"layers", "\\\"num_hidden_layers\\\": 3", "\\\"num_hidden_layers\\\": 4",
        {"encoder.layers.3.", "found no such tensor"}},
  {"intermediate", "\\\"intermediate_size\\\": 80",
        "\\\"intermediate_size\\\": 96",
        {"layers.0.mlp.fc1.weight'", "expected shape [96, 32, 1, 1]"}},
  {"no-norm", "\"text_encoder.text_model.final_layer_norm.bias\"", "\"other\"",
        {"final_layer_norm.bias'", "found no such tensor"}},
  {"no-vocabulary", "\"tokenizer.vocab.json\"", "\"vocab.json\"",
        {"'tokenizer.vocab.json'", "found no such tensor"}},
  {"no-merges", "\"tokenizer.merges.txt\"", "\"merges.txt\"",
        {"'tokenizer.merges.txt'", "found no such tensor"}},
};

/* Found when the model is opened. */
static void
test_broken (gconstpointer data)
{
  const Edit *e = data;
  g_autofree char *path = edit_model (e->name, e->from, e->to);
  GError *error = NULL;

  g_assert_null (open_model (path, &error));
  corpus_check_error (&error, error->code, path, e->words);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 2);
  corpus_init ();
  g_test_add_func ("/text/prompts-of-a-stream", test_prompts_of_a_stream);
  g_test_add_func ("/text/gelu", test_gelu);
  g_test_add_func ("/text/quick-gelu", test_quick_gelu);
  g_test_add_func ("/text/beside-stream", test_beside_stream);
  g_test_add_data_func ("/text/no-encoder", argv[1], test_no_encoder);
  g_test_add_func ("/text/broken-vocabulary", test_broken_vocabulary);
  for (guint i = 0; i < G_N_ELEMENTS (broken); i++) {
    g_autofree char *name = g_strconcat ("/text/broken/", broken[i].name, NULL);

    g_test_add_data_func (name, &broken[i], test_broken);
  }
  result = g_test_run ();
  corpus_done ();
  return result;
}
