/* Fuzzing the tokenizer. The input: four bytes that choose the ids of begin, end
 * and padding and the length; then the vocabulary, 0xff, the merges, 0xff, and
 * all the rest is the prompt. A vocabulary that begins with '+' is added to one
 * of all bytes, as no tokenizer opens without them. It opens or is refused with a
 * sentence; the prompt then becomes ids of the vocabulary, between begin and end,
 * padding behind, the same ones for its bytes mended to UTF-8.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "target.h"

#include <string.h>

#include "engine/tokenizer.h"
#include "tests/engine/corpus.h"

#define N_CHOICES 4
#define N_BYTES 512             /* ids of bytes inside words and at their ends */
#define VOCABULARY DLORAL_MAX_VOCABULARY
#define MAX_LENGTH 80

/* The input up to 0xff, or all of it; leaves what is behind. */
static GBytes *
take_part (const uint8_t **data, size_t *size)
{
  const uint8_t *end = *size ? memchr (*data, 0xff, *size) : NULL;
  size_t n = end ? (size_t) (end - *data) : *size;
  GBytes *part = g_bytes_new (*data, n);

  *data += MIN (n + 1, *size);
  *size -= MIN (n + 1, *size);
  return part;
}

/* {"!":33, …, "!</w>":289, …: bytes 33 … 126 stand for themselves, all others
 * as characters from U+00A1 and U+0100 on. */
static char *
make_byte_vocabulary (void)
{
  GString *s = g_string_new ("{");

  for (int i = 0; i < N_BYTES; i++) {
    int byte = i % 256;
    gunichar c = byte < 33 ? 256 + byte : byte < 127 ? byte :
        byte < 161 ? 256 + byte - 94 : byte == 173 ? 256 + 67 : byte;

    g_string_append_printf (s, "%s\"%s", i ? "," : "",
        c == '"' || c == '\\' ? "\\" : "");
    g_string_append_unichar (s, c);
    g_string_append_printf (s, "%s\":%d", i < 256 ? "" : "</w>", i);
  }
  return g_string_free (s, FALSE);
}

static GBytes *
complete_vocabulary (GBytes *part)
{
  gsize size;
  const char *text = g_bytes_get_data (part, &size);
  static char *bytes;
  GString *s;

  if (size == 0 || text[0] != '+')
    return g_bytes_ref (part);
  if (bytes == NULL)
    bytes = make_byte_vocabulary ();
  s = g_string_new (bytes);
  if (size > 1)
    g_string_append_c (s, ',');
  g_string_append_len (s, text + 1, size - 1);
  g_string_append_c (s, '}');
  return g_string_free_to_bytes (s);
}

static DloralSafetensors *
open_tokenizer (GBytes *vocabulary, GBytes *merges)
{
  gsize n_vocabulary, n_merges;
  const void *vocabulary_text = g_bytes_get_data (vocabulary, &n_vocabulary);
  const void *merges_text = g_bytes_get_data (merges, &n_merges);
  g_autofree char *header = g_strdup_printf ("{"
      "\"tokenizer.vocab.json\":{\"dtype\":\"U8\",\"shape\":[%zu],"
      "\"data_offsets\":[0,%zu]},"
      "\"tokenizer.merges.txt\":{\"dtype\":\"U8\",\"shape\":[%zu],"
      "\"data_offsets\":[%zu,%zu]}}", n_vocabulary, n_vocabulary, n_merges,
      n_vocabulary, n_vocabulary + n_merges);
  g_autoptr (GByteArray) bytes = corpus_make (header, vocabulary_text,
      n_vocabulary);
  GError *error = NULL;
  DloralSafetensors *file;

  g_byte_array_append (bytes, merges_text, n_merges);
  file = dloral_safetensors_open (target_write (bytes->data, bytes->len),
      &error);
  g_assert_no_error (error);
  return file;
}

static void
check_ids (const DloralTokenizer *t, const DloralTokenizerConfig *c,
    const char *prompt)
{
  g_autofree char *mended = g_utf8_make_valid (prompt, -1);
  int ids[MAX_LENGTH], again[MAX_LENGTH], end = c->max_length - 1;

  dloral_tokenizer_encode (t, prompt, ids);
  for (int i = 0; i < c->max_length; i++)
    g_assert_true (ids[i] >= 0 && ids[i] < VOCABULARY);
  g_assert_cmpint (ids[0], ==, c->bos_token_id);
  while (end > 0 && ids[end] == c->pad_token_id
      && c->pad_token_id != c->eos_token_id)
    end--;
  g_assert_cmpint (ids[end], ==, c->eos_token_id);
  if (strlen (mended) > 8000)   /* not all of a text is looked at */
    return;
  dloral_tokenizer_encode (t, mended, again);
  g_assert_cmpmem (ids, c->max_length * sizeof *ids, again,
      c->max_length * sizeof *ids);
}

/* Bytes up to 199 are ids of bytes, all beyond are further tokens'. */
static int
choose_id (uint8_t byte)
{
  return byte < 200 ? byte : byte - 200 + N_BYTES;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) part = NULL, vocabulary = NULL, merges = NULL;
  g_autofree char *prompt = NULL;
  DloralTokenizerConfig config;
  DloralSafetensors *file;
  DloralTokenizer *t;
  GError *error = NULL;

  if (size < N_CHOICES)
    return 0;
  config = (DloralTokenizerConfig) {
    choose_id (data[0]), choose_id (data[1]), choose_id (data[2]),
    2 + data[3] % (MAX_LENGTH - 1)
  };
  data += N_CHOICES;
  size -= N_CHOICES;
  part = take_part (&data, &size);
  merges = take_part (&data, &size);
  vocabulary = complete_vocabulary (part);
  prompt = g_strndup ((const char *) data, size);

  file = open_tokenizer (vocabulary, merges);
  t = dloral_tokenizer_new (file, &config, VOCABULARY, &error);
  if (t) {
    g_assert_no_error (error);
    check_ids (t, &config, prompt);
    dloral_tokenizer_free (t);
  } else {
    target_check_error (&error, dloral_safetensors_get_path (file));
  }
  dloral_safetensors_free (file);
  return 0;
}
