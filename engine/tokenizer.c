/* CLIP's byte-pair encoding.
 *
 * Text is normalised (NFC, lower case) and falls into words: contractions,
 * runs of letters, single digits, runs of other signs. A word's bytes become
 * tokens, the last one that of a word's end, and neighbours are merged in the
 * order in which the merges were learnt.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tokenizer.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

#define VOCAB "tokenizer.vocab.json"
#define MERGES "tokenizer.merges.txt"
#define END_OF_WORD "</w>"
#define MAX_FILE_SIZE (16 << 20)
/* Transformers reads no more. */
#define MAX_MERGES (49152 - 256 - 2)
/* Bytes of a prompt that are looked at: far more than fill all tokens. */
#define MAX_TEXT (8 << 10)

/* A token that text may hold as such. */
typedef struct
{
  char *text;
  gsize length;
  int id;
} Special;

struct _DloralTokenizer
{
  DloralTokenizerConfig config;
  Special specials[2];          /* begin, end: found in normalised text */
  Special padding;              /* found in text as it is */
  int bytes[2][256];            /* id of a byte inside a word, and at its end */
  GHashTable *merges;           /* two ids → rank + 1 */
  GArray *merged;               /* of a rank: id */
};

/* While the files are read: the vocabulary, sorted by text. No hash table, whose
 * time a file could make the square of its size. */
typedef struct
{
  char *text;
  int id;
  guint place;                  /* in the file */
} Token;

/* --- Reading -------------------------------------------------------------- */

static gboolean G_GNUC_PRINTF (4, 5)
fail (const DloralSafetensors *file, const char *name, GError **error,
    const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE,
      "File '%s': tensor '%s': %s", dloral_safetensors_get_path (file), name,
      message);
  return FALSE;
}

static const DloralEntry *
find_text (const DloralSafetensors *file, const char *name, GError **error)
{
  const DloralEntry *e = dloral_safetensors_find (file, name);

  if (e && e->dtype == DLORAL_U8 && e->rank == 1 && e->size <= MAX_FILE_SIZE)
    return e;
  fail (file, name, error, "expected the tokenizer's file, U8 of rank 1 and at "
      "most %d bytes, found %s", MAX_FILE_SIZE, !e ? "no such tensor" :
      e->dtype != DLORAL_U8 ? e->type : e->rank != 1 ? "another rank" :
      "a larger one");
  return NULL;
}

gboolean
dloral_tokenizer_check (const DloralSafetensors *file, GError **error)
{
  return find_text (file, VOCAB, error) && find_text (file, MERGES, error);
}

static void
token_clear (gpointer token)
{
  g_free (((Token *) token)->text);
}

static int
compare_tokens (gconstpointer a, gconstpointer b)
{
  return strcmp (((const Token *) a)->text, ((const Token *) b)->text);
}

/* Adds the tokens of a piece of the vocabulary, each id checked. */
static gboolean
add_tokens (GArray *vocab, JsonObject *piece, const DloralSafetensors *file,
    int vocab_size, GError **error)
{
  JsonObjectIter iter;
  const char *text;
  JsonNode *node;
  gint64 id;

  json_object_iter_init (&iter, piece);
  while (json_object_iter_next (&iter, &text, &node)) {
    Token token = {.place = vocab->len };

    if (!dloral_json_get_int (node, &id) || id < 0 || id >= vocab_size) {
      g_autofree char *quoted = dloral_json_quote (text);
      g_autofree char *found = dloral_json_describe (node);

      return fail (file, VOCAB, error, "token %s: expected an id from 0 to %d, "
          "which the text encoder embeds, found %s", quoted, vocab_size - 1,
          found);
    }
    if (!g_utf8_validate (text, -1, NULL)) {    /* half a surrogate pair */
      g_autofree char *quoted = dloral_json_quote (text);

      return fail (file, VOCAB, error, "token %s: expected text, found what is "
          "not valid UTF-8", quoted);
    }
    token.text = g_strdup (text);
    token.id = (int) id;
    g_array_append_val (vocab, token);
  }
  return TRUE;
}

/* Sorts them; whether all are different. */
static gboolean
sort_tokens (GArray *vocab, const DloralSafetensors *file, GError **error)
{
  g_array_sort (vocab, compare_tokens);
  for (guint i = 1; i < vocab->len; i++) {
    const Token *token = &g_array_index (vocab, Token, i);

    if (compare_tokens (token - 1, token) == 0) {
      g_autofree char *quoted = dloral_json_quote (token->text);

      return fail (file, VOCAB, error, "expected every key once, found %s "
          "twice", quoted);
    }
  }
  return TRUE;
}

/* Tokens, sorted; NULL and `error` on failure. */
static GArray *
read_vocab (const DloralSafetensors *file, int vocab_size, GError **error)
{
  const DloralEntry *e = find_text (file, VOCAB, error);
  g_autofree char *text = NULL;
  g_autofree char *problem = NULL;
  g_autoptr (GPtrArray) pieces = NULL;
  GArray *vocab;
  gboolean ok = TRUE;

  if (e == NULL)
    return NULL;
  text = g_strndup ((const char *) e->data, e->size);
  pieces = dloral_json_parse_pieces (text, e->size, DLORAL_MAX_VOCABULARY,
      &problem);
  if (pieces == NULL) {
    fail (file, VOCAB, error, "%s", problem);
    return NULL;
  }
  vocab = g_array_new (FALSE, FALSE, sizeof (Token));
  g_array_set_clear_func (vocab, token_clear);
  for (guint i = 0; ok && i < pieces->len; i++)
    ok = add_tokens (vocab, pieces->pdata[i], file, vocab_size, error);
  if (!ok || !sort_tokens (vocab, file, error))
    g_clear_pointer (&vocab, g_array_unref);
  return vocab;
}

/* The token's id, or -1. */
static int
get_id (const GArray *vocab, const char *text)
{
  const Token key = {.text = (char *) text };
  const Token *token = vocab->len == 0 ? NULL :
      bsearch (&key, vocab->data, vocab->len, sizeof key, compare_tokens);

  return token ? token->id : -1;
}

/* How vocabularies write a byte: as the Latin-1 character where that one is
 * printable, the others in order from U+0100 on. */
static gunichar
get_byte_char (int byte)
{
  static const int printable[][2] = { {33, 126}, {161, 172}, {174, 255} };
  int others = byte;

  for (guint i = 0; i < G_N_ELEMENTS (printable); i++) {
    if (byte >= printable[i][0] && byte <= printable[i][1])
      return byte;
    if (byte > printable[i][1])
      others -= printable[i][1] - printable[i][0] + 1;
  }
  return 256 + others;
}

static gboolean
read_bytes (DloralTokenizer *t, const DloralSafetensors *file,
    const GArray *vocab, GError **error)
{
  static const char *const ends[2] = { "", END_OF_WORD };

  for (int end = 0; end < 2; end++)
    for (int byte = 0; byte < 256; byte++) {
      char token[6 + sizeof END_OF_WORD] = "";

      g_unichar_to_utf8 (get_byte_char (byte), token);
      strcat (token, ends[end]);
      t->bytes[end][byte] = get_id (vocab, token);
      if (t->bytes[end][byte] < 0)
        return fail (file, VOCAB, error, "expected a token for every byte, "
            "inside a word and at its end, found no '%s'", token);
    }
  return TRUE;
}

static char *normalise (const char *text, gsize length);

/* The first token of that id in the file. */
static gboolean
read_special (Special *special, const char *key, int id,
    const DloralSafetensors *file, const GArray *vocab, GError **error)
{
  const Token *found = NULL;

  for (guint i = 0; i < vocab->len; i++) {
    const Token *token = &g_array_index (vocab, Token, i);

    if (token->id == id && *token->text
        && (!found || token->place < found->place))
      found = token;
  }
  if (found == NULL)
    return fail (file, VOCAB, error, "expected a token of id %d, "
        "tokenizer.%s_token_id in the config, found none", id, key);
  special->text = g_strdup (found->text);
  special->length = strlen (found->text);
  special->id = id;
  return TRUE;
}

static gboolean
read_specials (DloralTokenizer *t, const DloralSafetensors *file,
    const GArray *vocab, GError **error)
{
  const DloralTokenizerConfig *c = &t->config;

  if (!read_special (&t->specials[0], "bos", c->bos_token_id, file, vocab,
          error)
      || !read_special (&t->specials[1], "eos", c->eos_token_id, file, vocab,
          error)
      || !read_special (&t->padding, "pad", c->pad_token_id, file, vocab,
          error))
    return FALSE;
  for (int i = 0; i < 2; i++) {
    Special *s = &t->specials[i];
    g_autofree char *token = s->text;

    s->text = normalise (token, s->length);
    s->length = strlen (s->text);
  }
  return TRUE;
}

static gpointer
pair (int left, int right)
{
  G_STATIC_ASSERT (DLORAL_MAX_VOCABULARY <= 1 << 16);

  return GUINT_TO_POINTER ((guint) left << 16 | (guint) right);
}

/* "left right" as the next merge, the first one where it comes twice. Takes the
 * line apart. */
static gboolean
add_merge (DloralTokenizer *t, char *line, const GArray *vocab)
{
  char *space = strchr (line, ' ');
  g_autofree char *joined = NULL;
  int left, right, id;

  if (space == NULL || strchr (space + 1, ' '))
    return FALSE;
  *space = '\0';
  joined = g_strconcat (line, space + 1, NULL);
  left = get_id (vocab, line);
  right = get_id (vocab, space + 1);
  id = get_id (vocab, joined);
  *space = ' ';
  if (left < 0 || right < 0 || id < 0)
    return FALSE;
  g_array_append_val (t->merged, id);
  if (!g_hash_table_contains (t->merges, pair (left, right)))
    g_hash_table_insert (t->merges, pair (left, right),
        GUINT_TO_POINTER (t->merged->len));
  return TRUE;
}

/* The first line is a heading. */
static gboolean
read_merges (DloralTokenizer *t, const DloralSafetensors *file,
    const GArray *vocab, GError **error)
{
  const DloralEntry *e = find_text (file, MERGES, error);
  g_autofree char *text = NULL;
  char *line, *end;

  if (e == NULL)
    return FALSE;
  if (!g_utf8_validate ((const char *) e->data, e->size, NULL))
    return fail (file, MERGES, error, "expected lines of two tokens, found "
        "text that is not valid UTF-8");
  text = g_strndup ((const char *) e->data, e->size);
  end = strchr (g_strstrip (text), '\n');
  for (int i = 1; end && i <= MAX_MERGES; i++) {
    line = end + 1;
    end = strchr (line, '\n');
    if (end)
      *end = '\0';
    if (!add_merge (t, line, vocab)) {
      g_autofree char *found = dloral_json_quote (line);

      return fail (file, MERGES, error, "line %d: expected two tokens with a "
          "space between, they and both together in the vocabulary, found %s",
          i + 1, found);
    }
  }
  return TRUE;
}

DloralTokenizer *
dloral_tokenizer_new (const DloralSafetensors *file,
    const DloralTokenizerConfig *config, int vocab_size, GError **error)
{
  GArray *vocab = read_vocab (file, vocab_size, error);
  DloralTokenizer *t;
  gboolean ok;

  if (vocab == NULL)
    return NULL;
  t = g_new0 (DloralTokenizer, 1);
  t->config = *config;
  t->merges = g_hash_table_new (NULL, NULL);
  t->merged = g_array_new (FALSE, FALSE, sizeof (int));
  ok = read_bytes (t, file, vocab, error)
      && read_specials (t, file, vocab, error)
      && read_merges (t, file, vocab, error);
  g_array_unref (vocab);
  if (!ok) {
    dloral_tokenizer_free (t);
    return NULL;
  }
  return t;
}

void
dloral_tokenizer_free (DloralTokenizer *t)
{
  g_hash_table_unref (t->merges);
  g_array_unref (t->merged);
  g_free (t->specials[0].text);
  g_free (t->specials[1].text);
  g_free (t->padding.text);
  g_free (t);
}

/* --- Words ---------------------------------------------------------------- */

/* GLib lowers letters, not the numerals and signs that have a case. */
static gunichar
lower (gunichar c)
{
  if (c >= 0x2160 && c <= 0x216f)       /* Roman numerals */
    return c + 16;
  if (c >= 0x24b6 && c <= 0x24cf)       /* circled letters */
    return c + 26;
  return g_unichar_tolower (c);
}

/* NFC, then the lower case of every character alone. */
static char *
normalise (const char *text, gsize length)
{
  g_autofree char *nfc = g_utf8_normalize (text, length, G_NORMALIZE_NFC);
  GString *s = g_string_sized_new (length);

  for (const char *p = nfc; *p; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);

    g_string_append_unichar (s, lower (c));
    if (c == 0x130)             /* I with a dot is the one that becomes two */
      g_string_append_unichar (s, 0x307);
  }
  return g_string_free (s, FALSE);
}

typedef enum
{
  SIGN,
  SPACE,
  LETTER,
  DIGIT,
} CharClass;

static CharClass
classify (gunichar c)
{
  switch (g_unichar_type (c)) {
    case G_UNICODE_LOWERCASE_LETTER:
    case G_UNICODE_MODIFIER_LETTER:
    case G_UNICODE_OTHER_LETTER:
    case G_UNICODE_TITLECASE_LETTER:
    case G_UNICODE_UPPERCASE_LETTER:
      return LETTER;
    case G_UNICODE_DECIMAL_NUMBER:
    case G_UNICODE_LETTER_NUMBER:
    case G_UNICODE_OTHER_NUMBER:
      return DIGIT;
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
    case G_UNICODE_SPACE_SEPARATOR:
      return SPACE;
    default:
      return (c >= '\t' && c <= '\r') || c == 0x85 ? SPACE : SIGN;
  }
}

/* Where the word that begins at p ends; a space is one, too. */
static const char *
find_word_end (const char *p)
{
  static const char *const contractions[] =
      { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
  CharClass class = classify (g_utf8_get_char (p));

  for (guint i = 0; i < G_N_ELEMENTS (contractions); i++)
    if (g_str_has_prefix (p, contractions[i]))
      return p + strlen (contractions[i]);
  do
    p = g_utf8_next_char (p);
  while (*p && class != DIGIT && classify (g_utf8_get_char (p)) == class);
  return p;
}

/* --- Encoding ------------------------------------------------------------- */

/* Ids of a text so far. */
typedef struct
{
  const DloralTokenizer *t;
  int *ids;
  int n, max;                   /* one place is left for the end */
} Output;

static void
put (Output *out, int id)
{
  if (out->n < out->max)
    out->ids[out->n++] = id;
}

static guint
get_rank (const DloralTokenizer *t, int left, int right)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (t->merges,
          pair (left, right))) - 1;
}

/* Merges neighbours among ids [n], best first, the left one of equals, until no
 * merge applies; how many remain. ranks [n] is scratch. */
static int
merge (const DloralTokenizer *t, int *ids, guint *ranks, int n)
{
  for (int i = 0; i + 1 < n; i++)
    ranks[i] = get_rank (t, ids[i], ids[i + 1]);
  while (n > 1) {
    int best = 0;

    for (int i = 1; i + 1 < n; i++)
      if (ranks[i] < ranks[best])
        best = i;
    if (ranks[best] == G_MAXUINT)
      break;
    ids[best] = g_array_index (t->merged, int, ranks[best]);
    n--;
    memmove (ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
    memmove (ranks + best, ranks + best + 1, (n - best - 1) * sizeof *ranks);
    if (best > 0)
      ranks[best - 1] = get_rank (t, ids[best - 1], ids[best]);
    if (best + 1 < n)
      ranks[best] = get_rank (t, ids[best], ids[best + 1]);
  }
  return n;
}

static void
put_word (Output *out, const char *word, gsize length)
{
  g_autofree int *ids = g_new (int, length);
  g_autofree guint *ranks = g_new (guint, length);
  int n;

  for (gsize i = 0; i < length; i++)
    ids[i] = out->t->bytes[i + 1 == length][(guint8) word[i]];
  n = merge (out->t, ids, ranks, (int) length);
  for (int i = 0; i < n; i++)
    put (out, ids[i]);
}

/* Normalised text without special tokens. */
static void
put_words (Output *out, const char *text, gsize length)
{
  g_autofree char *piece = g_strndup (text, length);

  for (const char *p = piece, *end; *p && out->n < out->max; p = end) {
    end = find_word_end (p);
    if (classify (g_utf8_get_char (p)) != SPACE)
      put_word (out, p, end - p);
  }
}

/* The longest of begin and end that the text at p begins with, or NULL. */
static const Special *
find_special (const DloralTokenizer *t, const char *p)
{
  const Special *found = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (t->specials); i++) {
    const Special *s = &t->specials[i];

    if (strncmp (p, s->text, s->length) == 0
        && (!found || s->length > found->length))
      found = s;
  }
  return found;
}

/* Text that may hold begin and end. */
static void
put_normalised (Output *out, const char *text, gsize length)
{
  g_autofree char *normal = normalise (text, length);
  const char *start = normal, *p = normal;

  while (*p) {
    const Special *found = find_special (out->t, p);

    if (found == NULL) {
      p++;
      continue;
    }
    put_words (out, start, p - start);
    put (out, found->id);
    start = p += found->length;
  }
  put_words (out, start, p - start);
}

/* Begin or end may be the padding token, too. */
static gboolean
is_padding_special (const DloralTokenizer *t)
{
  return t->config.pad_token_id != t->config.bos_token_id
      && t->config.pad_token_id != t->config.eos_token_id;
}

static void
put_text (Output *out, const char *text)
{
  const Special *padding = &out->t->padding;
  const char *found;

  while (is_padding_special (out->t)
      && (found = strstr (text, padding->text)) != NULL) {
    put_normalised (out, text, found - text);
    put (out, padding->id);
    text = found + padding->length;
  }
  put_normalised (out, text, strlen (text));
}

void
dloral_tokenizer_encode (const DloralTokenizer *t, const char *text, int *ids)
{
  g_autofree char *valid = g_utf8_make_valid (text, strnlen (text, MAX_TEXT));
  Output out = { t, ids, 0, t->config.max_length - 1 };

  put (&out, t->config.bos_token_id);
  put_text (&out, valid);
  ids[out.n++] = t->config.eos_token_id;
  while (out.n < t->config.max_length)
    ids[out.n++] = t->config.pad_token_id;
}
