/* JSON from files nobody vouches for. json-glib recurses once a nesting level,
 * wraps large integers around, reads 010 as octal, skips comments and keeps the
 * last of two equal keys; its hash tables can be made to collide. A linear look
 * at the text, and a listener while it is parsed, refuse all of that.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "json.h"

#include <string.h>

#define MAX_DEPTH 16
#define MAX_SEPARATORS (1 << 17)        /* commas and colons in the text */
/* Keys that are made to collide cost their square: 8192 once, seconds; in an
 * object's objects, of which there can be many, fewer. */
#define MAX_INNER_KEYS 512
#define PIECE_KEYS 512
#define MAX_INT_DIGITS 18       /* always fits gint64 */
#define JSON_SPACE " \t\r\n"
#define MAX_QUOTED_CHARS 120

/* The end of the string literal that opens at text[i]: its closing quote, or
 * `length` where there is none. */
static gsize
skip_string (const char *text, gsize length, gsize i)
{
  for (i++; i < length && text[i] != '"'; i++)
    if (text[i] == '\\')
      i++;
  return MIN (i, length);
}

/* Whether the digits from text[i] on are the integer part of a number, not its
 * fraction or exponent. */
static gboolean
starts_integer (const char *text, gsize i)
{
  if (i > 0 && (text[i - 1] == '-' || text[i - 1] == '+'))
    i--;
  return i == 0 || !strchr (".eE", text[i - 1]);
}

/* The last of the run of digits that begins at text[i]; `length` when they are
 * an integer that the parser would misread. */
static gsize
skip_digits (const char *text, gsize length, gsize i)
{
  gsize end = i;

  while (end < length && g_ascii_isdigit (text[end]))
    end++;
  if (starts_integer (text, i) && (end - i > MAX_INT_DIGITS
          || (end - i > 1 && text[i] == '0')))
    return length;
  return end - 1;
}

/* NULL when text [length] looks like one object made of nothing but JSON's own
 * characters, in moderation. It has no NUL (it is valid UTF-8). */
static char *
screen (const char *text, gsize length, int max_keys)
{
  gsize i = strspn (text, JSON_SPACE);
  int depth = 0, separators = 0, keys[MAX_DEPTH + 1];

  if (i == length || text[i] != '{') {
    char *found = i < length ? dloral_json_quote (text + i) : NULL;
    char *problem = g_strconcat ("expected a JSON object, found ",
        found ? found : "nothing", NULL);
    g_free (found);
    return problem;
  }
  for (; i < length; i++) {
    char c = text[i];

    if (c == '"') {
      i = skip_string (text, length, i);
    } else if (g_ascii_isdigit (c)) {
      gsize end = skip_digits (text, length, i);
      if (end == length)
        return g_strdup_printf ("expected integers of at most %d digits "
            "without leading zeros, found another at byte %" G_GSIZE_FORMAT,
            MAX_INT_DIGITS, i);
      i = end;
    } else if (c == '[' || c == '{') {
      if (++depth > MAX_DEPTH)
        return g_strdup_printf ("expected at most %d levels of nesting, "
            "found more at byte %" G_GSIZE_FORMAT, MAX_DEPTH, i);
      keys[depth] = 0;
    } else if (c == ']' || c == '}') {
      if (--depth == 0)
        break;
    } else if (c == ':' || c == ',') {
      int max = depth > 1 ? MIN (max_keys, MAX_INNER_KEYS) : max_keys;

      keys[depth] += c == ':';
      if (keys[depth] > max)
        return g_strdup_printf ("expected at most %d keys in an object, found "
            "more at byte %" G_GSIZE_FORMAT, max, i);
      if (++separators > MAX_SEPARATORS)
        return g_strdup_printf ("expected at most %d commas and colons, found "
            "more at byte %" G_GSIZE_FORMAT, MAX_SEPARATORS, i);
    } else if (!strchr (JSON_SPACE ".+-eEtrufalsn", c)) {
      return g_strdup_printf ("expected JSON, found a stray byte 0x%02x at "
          "byte %" G_GSIZE_FORMAT, (guint8) c, i);
    }
  }
  if (depth > 0)
    return g_strdup ("expected a JSON object, found one without an end");
  i += 1 + strspn (text + i + 1, JSON_SPACE);
  if (i < length)
    return g_strdup_printf ("expected one JSON object, found more text at byte "
        "%" G_GSIZE_FORMAT, i);
  return NULL;
}

typedef struct
{
  GHashTable *seen;             /* of JsonObject → set of its keys */
  char *twice;                  /* the first key that came again */
} Listener;

/* Emitted for every member, a repeated one too. Stops listening at the first
 * repetition, before an address of a replaced object can be used anew. */
static void
on_member (JsonParser * parser, JsonObject * object, const char *key,
    Listener * listener)
{
  GHashTable *keys;

  if (listener->twice)
    return;
  keys = g_hash_table_lookup (listener->seen, object);
  if (!keys) {
    keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_insert (listener->seen, object, keys);
  }
  if (!g_hash_table_add (keys, g_strdup (key)))
    listener->twice = g_strdup (key);
}

static JsonObject *
parse_once_only (const char *text, gsize length, char **problem)
{
  JsonParser *parser = json_parser_new ();
  Listener listener = { 0, };
  GError *error = NULL;
  JsonObject *object = NULL;

  listener.seen = g_hash_table_new_full (NULL, NULL, NULL,
      (GDestroyNotify) g_hash_table_unref);
  g_signal_connect (parser, "object-member", G_CALLBACK (on_member), &listener);
  if (!json_parser_load_from_data (parser, text, length, &error)) {
    char *reason = dloral_json_quote (error->message);
    *problem = g_strdup_printf ("expected JSON, found a mistake: %s", reason);
    g_free (reason);
    g_clear_error (&error);
  } else if (listener.twice) {
    char *key = dloral_json_quote (listener.twice);
    *problem = g_strdup_printf ("expected every key once, found %s twice", key);
    g_free (key);
  } else {                      /* an object: screened */
    object = json_node_dup_object (json_parser_get_root (parser));
  }
  g_hash_table_unref (listener.seen);
  g_free (listener.twice);
  g_object_unref (parser);
  return object;
}

static gboolean
check_text (const char *text, gsize length, int max_keys, char **problem)
{
  *problem = g_utf8_validate (text, length, NULL) ?
      screen (text, length, max_keys) :
      g_strdup ("expected JSON, found text that is not valid UTF-8");
  return *problem == NULL;
}

JsonObject *
dloral_json_parse (const char *text, gsize length, int max_keys,
    char **problem)
{
  if (!check_text (text, length, max_keys, problem))
    return NULL;
  return parse_once_only (text, length, problem);
}

/* Where the piece of an object that begins at text[i] ends: at the comma behind
 * PIECE_KEYS members, or at the object's end. */
static gsize
find_piece_end (const char *text, gsize length, gsize i)
{
  int depth = 0, members = 0;

  for (; i < length; i++) {
    char c = text[i];

    if (c == '"')
      i = skip_string (text, length, i);
    else if (c == '[' || c == '{')
      depth++;
    else if ((c == ']' || c == '}') && depth-- == 0)
      break;
    else if (c == ',' && depth == 0 && ++members == PIECE_KEYS)
      break;
  }
  return i;
}

GPtrArray *
dloral_json_parse_pieces (const char *text, gsize length, int max_keys,
    char **problem)
{
  GPtrArray *pieces;
  gsize i, end;

  if (!check_text (text, length, max_keys, problem))
    return NULL;
  pieces = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);
  end = strcspn (text, "{");
  do {
    GString *piece = g_string_new ("{");
    JsonObject *object;

    i = end + 1;
    end = find_piece_end (text, length, i);
    g_string_append_len (piece, text + i, end - i);
    g_string_append_c (piece, text[end] == ',' ? '}' : text[end]);
    object = parse_once_only (piece->str, piece->len, problem);
    g_string_free (piece, TRUE);
    if (object)
      g_ptr_array_add (pieces, object);
    if (object && pieces->len > 1 && json_object_get_size (object) == 0)
      *problem = g_strdup ("expected JSON, found a comma with nothing behind");
  } while (*problem == NULL && text[end] == ',');
  if (*problem)
    g_clear_pointer (&pieces, g_ptr_array_unref);
  return pieces;
}

static GType
get_value_type (JsonNode * node)
{
  if (!node || !JSON_NODE_HOLDS_VALUE (node))
    return G_TYPE_INVALID;
  return json_node_get_value_type (node);
}

gboolean
dloral_json_get_int (JsonNode * node, gint64 * value)
{
  if (get_value_type (node) != G_TYPE_INT64)
    return FALSE;
  *value = json_node_get_int (node);
  return TRUE;
}

gboolean
dloral_json_get_number (JsonNode * node, double *value)
{
  GType type = get_value_type (node);

  if (type != G_TYPE_INT64 && type != G_TYPE_DOUBLE)
    return FALSE;
  *value = json_node_get_double (node);
  return TRUE;
}

gboolean
dloral_json_get_string (JsonNode * node, const char **value)
{
  if (get_value_type (node) != G_TYPE_STRING)
    return FALSE;
  *value = json_node_get_string (node);
  return TRUE;
}

char *
dloral_json_quote (const char *string)
{
  gsize length = strnlen (string, 4 * MAX_QUOTED_CHARS);
  char *valid = g_utf8_make_valid (string, length);
  GString *quoted = g_string_new ("'");
  const char *p = valid;
  int n;

  for (n = 0; *p && n < MAX_QUOTED_CHARS; n++, p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);
    g_string_append_unichar (quoted, g_unichar_isprint (c) ? c : '?');
  }
  g_string_append (quoted, *p ? "…'" : "'");
  g_free (valid);
  return g_string_free (quoted, FALSE);
}

char *
dloral_json_describe (JsonNode * node)
{
  const char *string;
  gint64 integer;
  double number;

  if (!node)
    return g_strdup ("nothing");
  if (JSON_NODE_HOLDS_OBJECT (node))
    return g_strdup ("an object");
  if (JSON_NODE_HOLDS_ARRAY (node))
    return g_strdup_printf ("a list of %u values",
        json_array_get_length (json_node_get_array (node)));
  if (JSON_NODE_HOLDS_NULL (node))
    return g_strdup ("null");
  if (dloral_json_get_string (node, &string))
    return dloral_json_quote (string);
  if (dloral_json_get_int (node, &integer))
    return g_strdup_printf ("%" G_GINT64_FORMAT, integer);
  if (dloral_json_get_number (node, &number))
    return g_strdup_printf ("the fraction %g", number);
  return g_strdup (json_node_get_boolean (node) ? "true" : "false");
}
