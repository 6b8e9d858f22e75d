/* CLIP's tokenizer: a thousand strings and what transformers makes of them
 * (data/make-text.py), text that is no UTF-8, and vocabularies and merges that
 * are broken by hand (tests/fuzz/ breaks them otherwise).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "corpus.h"
#include "engine/tokenizer.h"

#include <string.h>

#define LENGTH 77

static DloralSafetensors *model;
static DloralConfig config;
static DloralTokenizer *tokenizer;

/* --- Tools --------------------------------------------------------------- */

static DloralSafetensors *
open_fixture (const char *name)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "data", name,
      NULL);
  GError *error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (path, &error);

  g_assert_no_error (error);
  return file;
}

static char *
dup_text (const char *name)
{
  const DloralEntry *e = dloral_safetensors_find (model, name);

  return g_strndup ((const char *) e->data, e->size);
}

/* A file of these two tensors alone; its path, to be freed. */
static char *
write_tokenizer (const char *vocab, gsize vocab_size, const char *merges,
    gsize merges_size)
{
  g_autofree char *header = g_strdup_printf ("{"
      "\"tokenizer.vocab.json\":{\"dtype\":\"U8\",\"shape\":[%zu],"
      "\"data_offsets\":[0,%zu]},"
      "\"tokenizer.merges.txt\":{\"dtype\":\"U8\",\"shape\":[%zu],"
      "\"data_offsets\":[%zu,%zu]}}", vocab_size, vocab_size, merges_size,
      vocab_size, vocab_size + merges_size);
  g_autoptr (GString) data = g_string_new_len (vocab, vocab_size);

  g_string_append_len (data, merges, merges_size);
  return corpus_write ("tokenizer", header, data->str, data->len);
}

/* Whether a tokenizer can be made of the file; it then encodes, too. */
static gboolean
check_file (const char *path, const char *const *words)
{
  static const char *const texts[] = { "", "A street at night! <|endoftext|>",
    "don't 12 \xff\xfe dé́jà 東京の街 \xf0\x9f\x91\x8d" };
  GError *error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (path, &error);
  int vocab_size = config.text_encoder.vocab_size, ids[LENGTH];
  DloralTokenizer *t;

  g_assert_no_error (error);
  t = dloral_tokenizer_new (file, &config.tokenizer, vocab_size, &error);
  if (t == NULL) {
    corpus_check_error (&error, DLORAL_ERROR_FILE, path, words);
    dloral_safetensors_free (file);
    return FALSE;
  }
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++) {
    dloral_tokenizer_encode (t, texts[i], ids);
    for (int k = 0; k < LENGTH; k++)
      g_assert_true (ids[k] >= 0 && ids[k] < vocab_size);
  }
  dloral_tokenizer_free (t);
  dloral_safetensors_free (file);
  return TRUE;
}

/* --- Ids ------------------------------------------------------------------ */

static void
test_ids (void)
{
  DloralSafetensors *file = open_fixture ("text-expected.safetensors");
  const DloralEntry *strings = dloral_safetensors_find (file, "strings");
  const DloralEntry *lengths = dloral_safetensors_find (file, "lengths");
  const guint8 *want = dloral_safetensors_find (file, "ids")->data;
  const char *text = (const char *) strings->data;
  int wrong = 0;

  g_assert_cmpuint (lengths->size, ==, 1000);
  for (gsize i = 0; i < lengths->size; i++, text += strlen (text) + 1) {
    gboolean same = TRUE;
    int ids[LENGTH];

    dloral_tokenizer_encode (tokenizer, text, ids);
    for (int k = 0; k < LENGTH; k++) {
      int id = config.tokenizer.pad_token_id;

      if (k < lengths->data[i]) {
        id = want[0] | want[1] << 8;
        want += 2;
      }
      same &= ids[k] == id;
    }
    if (!same) {
      g_autofree char *escaped = g_strescape (text, NULL);

      g_test_message ("string %zu has other ids: %s", i, escaped);
      wrong++;
    }
  }
  g_assert_true (text == (const char *) strings->data + strings->size);
  g_assert_cmpint (wrong, ==, 0);
  dloral_safetensors_free (file);
}

/* Bytes that are no text count as U+FFFD; a text beyond all measure ends. */
static void
test_any_bytes (void)
{
  g_autofree char *endless = g_strnfill (1 << 20, 'a');
  int ids[LENGTH], want[LENGTH];

  dloral_tokenizer_encode (tokenizer, "night \xef\xbf\xbd rain \xef\xbf\xbd",
      want);
  dloral_tokenizer_encode (tokenizer, "night \xff rain \xe6", ids);
  g_assert_cmpmem (ids, sizeof ids, want, sizeof want);
  dloral_tokenizer_encode (tokenizer, endless, ids);
  g_assert_cmpint (ids[0], ==, config.tokenizer.bos_token_id);
  g_assert_cmpint (ids[LENGTH - 1], ==, config.tokenizer.eos_token_id);
}

/* --- Broken files --------------------------------------------------------- */

/* The good files with a piece of the text of one replaced. */
typedef struct
{
  const char *name, *from, *to;
  const char *words[4];
} Edit;

static const Edit broken_vocab[] = {
  {"not-json", "{", "", {"'tokenizer.vocab.json'", "expected a JSON object"}},
  {"end", "813}", "813]", {"vocab.json'", "expected JSON, found a mistake"}},
  {"list", "{", "[", {"vocab.json'", "expected a JSON object"}},
  {"twice", "\"!\": 0,", "\"!\": 0, \"!\": 0,", {"vocab.json'", "'!' twice"}},
  {"twice-apart", "\"<|endoftext|>\": 813", "\"<|endoftext|>\": 813, \"!\": 0",
        {"vocab.json'", "'!' twice"}},
  {"half-surrogate", "<|endoftext|>", "<\\udd60\xc2\x85", {"vocab.json'",
          "token '<", "not valid UTF-8"}},
  {"id-string", "\"!\": 0", "\"!\": \"0\"", {"vocab.json'", "token '!'",
          "expected an id from 0 to 813", "found '0'"}},
  {"id-negative", "\"!\": 0", "\"!\": -1", {"token '!'", "found -1"}},
  {"id-large", "\"!\": 0", "\"!\": 814", {"token '!'", "text encoder",
          "found 814"}},
  {"id-fraction", "\"!\": 0", "\"!\": 0.5", {"token '!'", "fraction 0.5"}},
  {"id-list", "\"!\": 0", "\"!\": [0]", {"token '!'", "a list of 1"}},
  {"no-byte", "\"~\": 93, ", "", {"vocab.json'", "a token for every byte",
          "found no '~'"}},
  {"no-byte-end", "\"~</w>\"", "\"~~~\"", {"a token for every byte",
          "found no '~</w>'"}},
  {"no-begin", "\"<|startoftext|>\": 812", "\"<|startoftext|>\": 1",
        {"a token of id 812", "tokenizer.bos_token_id", "found none"}},
  {"no-end", ", \"<|endoftext|>\": 813", "", {"a token of id 813",
          "tokenizer.eos_token_id", "found none"}},
  {"empty-end", "\"<|endoftext|>\"", "\"\"", {"a token of id 813",
          "tokenizer.eos_token_id", "found none"}},
};

static const Edit broken_merges[] = {
  {"unknown-left", "\ni n\n", "\n<> n\n", {"'tokenizer.merges.txt'",
          "two tokens with a space between", "found '<> n'"}},
  {"unknown-right", "\ni n\n", "\ni <>\n", {"found 'i <>'"}},
  {"unknown-both", "\ni n\n", "\nz q\n", {"both together", "found 'z q'"}},
  {"one", "\ni n\n", "\nin\n", {"found 'in'"}},
  {"three", "\ni n\n", "\ni n x\n", {"found 'i n x'"}},
  {"two-spaces", "\ni n\n", "\ni  n\n", {"found 'i  n'"}},
  {"empty-line", "\ni n\n", "\n\ni n\n", {"found ''"}},
  {"no-text", "\ni n\n", "\ni \xffn\n", {"merges.txt'", "not valid UTF-8"}},
};

/* Replaces the first `from`, which must be there. */
static char *
edit (const char *text, const char *from, const char *to)
{
  const char *at = strstr (text, from);

  g_assert_nonnull (at);
  return g_strdup_printf ("%.*s%s%s", (int) (at - text), text, to,
      at + strlen (from));
}

static void
test_broken_vocab (gconstpointer data)
{
  const Edit *e = data;
  g_autofree char *vocab = dup_text ("tokenizer.vocab.json");
  g_autofree char *merges = dup_text ("tokenizer.merges.txt");
  g_autofree char *edited = edit (vocab, e->from, e->to);
  g_autofree char *path = write_tokenizer (edited, strlen (edited), merges,
      strlen (merges));

  g_assert_false (check_file (path, e->words));
}

static void
test_broken_merges (gconstpointer data)
{
  const Edit *e = data;
  g_autofree char *vocab = dup_text ("tokenizer.vocab.json");
  g_autofree char *merges = dup_text ("tokenizer.merges.txt");
  g_autofree char *edited = edit (merges, e->from, e->to);
  g_autofree char *path = write_tokenizer (vocab, strlen (vocab), edited,
      strlen (edited));

  g_assert_false (check_file (path, e->words));
}

static void
refuse_tensors (const char *tensors, const char *const *words)
{
  g_autofree char *header = corpus_make_header (corpus_config, tensors);
  g_autofree char *path = corpus_write ("tensors", header, NULL, 8);

  g_assert_false (check_file (path, words));
}

static void
test_broken_tensors (void)
{
  static const char *const none[] = { "'tokenizer.vocab.json'", "U8 of rank 1",
    "found no such tensor", NULL };
  static const char *const type[] = { "vocab.json'", "U8", "found F32", NULL };
  static const char *const rank[] = { "vocab.json'", "found another rank",
    NULL };
  static const char *const empty[] = { "vocab.json'", "found nothing", NULL };

  refuse_tensors ("\"x\":" CORPUS_TENSOR ("U8", "8", "0", "8"), none);
  refuse_tensors ("\"tokenizer.vocab.json\":"
      CORPUS_TENSOR ("F32", "2", "0", "8"), type);
  refuse_tensors ("\"tokenizer.vocab.json\":"
      CORPUS_TENSOR ("U8", "2,4", "0", "8"), rank);
  refuse_tensors ("\"x\":" CORPUS_TENSOR ("U8", "8", "0", "8")
      ",\"tokenizer.vocab.json\":" CORPUS_TENSOR ("U8", "0", "8", "8"), empty);
}

/* Vocabularies are read in pieces, of 512 tokens each. */
static void
test_broken_piece (void)
{
  static const char *const comma[] = { "vocab.json'", "nothing behind", NULL };
  static const char *const none[] = { "a token for every byte", NULL };
  g_autoptr (GString) vocab = g_string_new ("{");
  g_autofree char *path = NULL;

  for (int i = 0; i < 512; i++)
    g_string_append_printf (vocab, "%s\"t%d\":1", i ? "," : "", i);
  g_string_append (vocab, ",}");
  path = write_tokenizer (vocab->str, vocab->len, "", 0);
  g_assert_false (check_file (path, comma));
  vocab->str[vocab->len - 2] = ' ';
  g_free (path);
  path = write_tokenizer (vocab->str, vocab->len, "", 0);
  g_assert_false (check_file (path, none));
}

/* Tokens that all have the same hash (as "Ez" and "FY" have) take no longer than
 * others: with the square of their number this would be minutes. */
static void
test_same_hash (void)
{
  g_autofree char *vocab = dup_text ("tokenizer.vocab.json");
  g_autofree char *merges = dup_text ("tokenizer.merges.txt");
  g_autoptr (GString) many = g_string_new ("{");
  g_autofree char *path = NULL;

  for (int i = 0; i < 60000; i++) {
    g_string_append_c (many, '"');
    for (int bit = 0; bit < 16; bit++)
      g_string_append (many, i >> bit & 1 ? "Ez" : "FY");
    g_string_append (many, "\":1,");
  }
  g_string_append (many, vocab + 1);
  path = write_tokenizer (many->str, many->len, merges, strlen (merges));
  g_assert_true (check_file (path, NULL));
}

static void
add_edits (const char *kind, const Edit *edits, guint n, GTestDataFunc test)
{
  for (guint i = 0; i < n; i++) {
    g_autofree char *path = g_strdup_printf ("/tokenizer/broken/%s/%s", kind,
        edits[i].name);

    g_test_add_data_func (path, &edits[i], test);
  }
}

int
main (int argc, char **argv)
{
  GError *error = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);
  corpus_init ();
  model = open_fixture ("text-model.safetensors");
  dloral_config_read (&config, model, &error);
  g_assert_no_error (error);
  tokenizer = dloral_tokenizer_new (model, &config.tokenizer,
      config.text_encoder.vocab_size, &error);
  g_assert_no_error (error);

  g_test_add_func ("/tokenizer/ids", test_ids);
  g_test_add_func ("/tokenizer/any-bytes", test_any_bytes);
  add_edits ("vocab", broken_vocab, G_N_ELEMENTS (broken_vocab),
      test_broken_vocab);
  add_edits ("merges", broken_merges, G_N_ELEMENTS (broken_merges),
      test_broken_merges);
  g_test_add_func ("/tokenizer/broken/tensors", test_broken_tensors);
  g_test_add_func ("/tokenizer/broken/piece", test_broken_piece);
  g_test_add_func ("/tokenizer/same-hash", test_same_hash);
  result = g_test_run ();

  dloral_tokenizer_free (tokenizer);
  dloral_safetensors_free (model);
  corpus_done ();
  return result;
}
