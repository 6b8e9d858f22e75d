/* Reading safetensors files: a corpus of broken ones, each refused with a
 * sentence that names the file, the tensor, what was expected and what was
 * found; and good ones, read to the last bit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "corpus.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define T CORPUS_TENSOR
#define HUGE_INT "999999999999999999"
#define TWO_62 "4611686018427387904"
#define TWO_63 "9223372036854775808"

/* --- Broken headers ------------------------------------------------------ */

typedef struct
{
  const char *name, *header;
  gsize data;                   /* bytes after the header, zeros */
  const char *words[4];         /* the message has these, and the path */
} Broken;

static const Broken broken[] = {
  /* Not JSON, or not the JSON it should be. */
  {"header-empty", "", 0, {"header", "expected a JSON object",
          "found nothing"}},
  {"header-blank", "    ", 0, {"header", "found nothing"}},
  {"header-text", "not json", 0, {"header", "expected a JSON object",
          "found 'not json'"}},
  {"header-list", "[1, 2]", 0, {"header", "expected a JSON object",
          "found '[1, 2]'"}},
  {"header-string", "\"abc\"", 0, {"expected a JSON object",
          "found '\"abc\"'"}},
  {"header-number", "17", 0, {"expected a JSON object", "found '17'"}},
  {"header-null", "null", 0, {"expected a JSON object", "found 'null'"}},
  {"header-cut", "{\"a\":{\"dtype\":\"F32\"", 0, {"header",
          "without an end"}},
  {"header-cut-string", "{\"a", 0, {"header", "without an end"}},
  {"header-cut-escape", "{\"a\\", 0, {"header", "without an end"}},
  {"header-two", "{} []", 0, {"header", "expected one JSON object",
          "more text at byte 3"}},
  {"header-closed-twice", "{}}", 0, {"header", "more text at byte 2"}},
  {"header-closed-wrongly", "{\"a\":[1}]", 0, {"header", "expected JSON"}},
  {"header-bare-key", "{a:1}", 0, {"header", "expected JSON"}},
  {"header-trailing-comma", "{\"a\":" T ("U8", "0", "0", "0") ",}", 0,
        {"header", "expected JSON"}},
  {"header-comment", "{/* \" */}", 0, {"header", "stray byte 0x2f"}},
  {"header-line-comment", "{# x\n}", 0, {"header", "stray byte 0x23"}},
  {"header-single-quotes", "{'a':1}", 0, {"header", "stray byte 0x27"}},
  {"header-assignment", "var x = {}", 0, {"header", "found 'var x = {}'"}},
  {"header-invalid-utf8", "{\"a\xff\":1}", 0, {"header", "UTF-8"}},
  {"header-cut-utf8", "{\"a\xe2\x82", 0, {"header", "UTF-8"}},
  {"header-nan", "{\"a\":NaN}", 0, {"header", "stray byte 0x4e"}},
  {"header-infinity", "{\"a\":-Infinity}", 0, {"header", "stray byte 0x49"}},
  {"header-half-surrogate", "{\"\\ud800\":1}", 0, {"found"}},
  {"header-lone-surrogate", "{\"\\ud800A\":1}", 0, {"found"}},
  {"header-cut-code-point", "{\"\\u12\":1}", 0, {"found"}},

  /* Metadata. */
  {"metadata-list", "{\"__metadata__\":[]}", 0, {"__metadata__",
          "expected an object of strings", "found a list"}},
  {"metadata-null", "{\"__metadata__\":null}", 0, {"__metadata__",
          "found null"}},
  {"metadata-number", "{\"__metadata__\":{\"format\":1}}", 0,
        {"__metadata__ 'format'", "expected a string", "found 1"}},
  {"metadata-object", "{\"__metadata__\":{\"config\":{\"scale\":4}}}", 0,
        {"__metadata__ 'config'", "expected a string", "found an object"}},
  {"metadata-twice", "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0,
        {"expected every key once", "found 'k' twice"}},

  /* A tensor's description. */
  {"tensor-number", "{\"a.b\":3}", 0, {"tensor 'a.b'", "expected an object",
          "found 3"}},
  {"tensor-list", "{\"a.b\":[]}", 0, {"tensor 'a.b'", "found a list of 0"}},
  {"tensor-twice", "{\"a.b\":" T ("U8", "1", "0", "1") ",\"a.b\":"
        T ("U8", "1", "1", "2") "}", 2, {"found 'a.b' twice"}},
  {"key-twice", "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0],"
        "\"data_offsets\":[0,0]}}", 0, {"found 'dtype' twice"}},
  {"replaced-object", "{\"a\":{\"x\":1},\"a\":{\"x\":1}}", 0,
        {"found 'a' twice"}},
  {"dtype-missing", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
        {"tensor 'a'", "dtype", "expected a type", "found nothing"}},
  {"dtype-unknown", "{\"a\":" T ("F128", "1", "0", "16") "}", 16,
        {"tensor 'a'", "dtype", "'F32', 'F16' or 'BF16'", "found 'F128'"}},
  {"dtype-lower-case", "{\"a\":" T ("f32", "1", "0", "4") "}", 4,
        {"tensor 'a'", "dtype", "found 'f32'"}},
  {"dtype-number", "{\"a\":{\"dtype\":32,\"shape\":[1],"
        "\"data_offsets\":[0,4]}}", 4, {"tensor 'a'", "dtype", "found 32"}},
  {"dtype-null", "{\"a\":{\"dtype\":null,\"shape\":[1],"
        "\"data_offsets\":[0,4]}}", 4, {"tensor 'a'", "dtype", "found null"}},

  {"shape-missing", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4,
        {"tensor 'a'", "shape", "expected a list", "found nothing"}},
  {"shape-number", "{\"a\":{\"dtype\":\"F32\",\"shape\":1,"
        "\"data_offsets\":[0,4]}}", 4, {"tensor 'a'", "shape", "found 1"}},
  {"shape-string", "{\"a\":" T ("F32", "\"1\"", "0", "4") "}", 4,
        {"tensor 'a'", "shape[0]", "expected a whole number", "found '1'"}},
  {"shape-negative", "{\"a\":" T ("F32", "2, -1", "0", "4") "}", 4,
        {"tensor 'a'", "shape[1]", "expected a whole number", "found -1"}},
  {"shape-two-negative", "{\"a\":" T ("F32", "-1, -1", "0", "4") "}", 4,
        {"tensor 'a'", "shape[0]", "found -1"}},
  {"shape-fraction", "{\"a\":" T ("F32", "1.5", "0", "6") "}", 6,
        {"tensor 'a'", "shape[0]", "found the fraction 1.5"}},
  {"shape-double", "{\"a\":" T ("F32", "1.0", "0", "4") "}", 4,
        {"tensor 'a'", "shape[0]", "whole number", "found the fraction 1"}},
  {"shape-exponent", "{\"a\":" T ("F32", "1e0", "0", "4") "}", 4,
        {"tensor 'a'", "shape[0]", "found the fraction 1"}},
  {"shape-infinite", "{\"a\":" T ("F32", "1e999", "0", "4") "}", 4,
        {"tensor 'a'", "shape[0]", "found the fraction inf"}},
  {"shape-bool", "{\"a\":" T ("F32", "true", "0", "4") "}", 4,
        {"tensor 'a'", "shape[0]", "found true"}},
  {"shape-null", "{\"a\":" T ("F32", "null", "0", "4") "}", 4,
        {"tensor 'a'", "shape[0]", "found null"}},
  {"shape-nested", "{\"a\":" T ("F32", "[1]", "0", "4") "}", 4,
        {"tensor 'a'", "shape[0]", "found a list of 1"}},
  {"shape-rank-9", "{\"a\":" T ("F32", "1,1,1,1,1,1,1,1,1", "0", "4") "}", 4,
        {"tensor 'a'", "shape", "at most 8 sizes", "found a list of 9"}},
  {"shape-octal", "{\"a\":" T ("U8", "010", "0", "8") "}", 8,
        {"header", "leading zeros"}},
  {"shape-hexadecimal", "{\"a\":" T ("U8", "0x8", "0", "8") "}", 8,
        {"header", "stray byte 0x78"}},
  {"shape-2-to-63", "{\"a\":" T ("U8", TWO_63, "0", "8") "}", 8,
        {"header", "integers of at most 18 digits"}},
  /* Would wrap around to 1. */
  {"shape-wraps", "{\"a\":" T ("U8", "-18446744073709551615", "0", "1") "}", 1,
        {"header", "integers of at most 18 digits"}},
  /* 2^32 · 2^32 · 4 is 0 in 64 bits. */
  {"shape-overflow", "{\"a\":" T ("F32", "4294967296, 4294967296", "0", "0")
        "}", 0, {"tensor 'a'", "shape", "a size that can exist",
          "[4294967296, 4294967296]"}},
  /* 2^58 elements of 64 bits: the bits overflow, not the elements. */
  {"shape-overflow-bits", "{\"a\":" T ("F64", "288230376151711744", "0", "0")
        "}", 0, {"tensor 'a'", "size that can exist", "288230376151711744"}},
  {"shape-huge", "{\"a\":" T ("F32", HUGE_INT, "0", "4") "}", 4,
        {"tensor 'a'", "shape", HUGE_INT}},

  {"offsets-missing", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4,
        {"tensor 'a'", "data_offsets", "expected a list of 2",
          "found nothing"}},
  {"offsets-one", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
        "\"data_offsets\":[0]}}", 4,
        {"tensor 'a'", "data_offsets", "found a list of 1"}},
  {"offsets-three", "{\"a\":" T ("F32", "1", "0", "4,8") "}", 4,
        {"tensor 'a'", "data_offsets", "found a list of 3"}},
  {"offsets-string", "{\"a\":" T ("F32", "1", "0", "\"4\"") "}", 4,
        {"tensor 'a'", "data_offsets", "2 whole numbers"}},
  {"offsets-fraction", "{\"a\":" T ("F32", "1", "0", "4.0") "}", 4,
        {"tensor 'a'", "data_offsets", "2 whole numbers"}},
  {"offsets-negative", "{\"a\":" T ("F32", "1", "-4", "0") "}", 4,
        {"tensor 'a'", "data_offsets", "4 bytes of data", "found [-4, 0]"}},
  {"offsets-reversed", "{\"a\":" T ("F32", "1", "4", "0") "}", 4,
        {"tensor 'a'", "data_offsets", "within", "found [4, 0]"}},
  {"offsets-truncated", "{\"a\":" T ("F32", "2", "0", "8") "}", 7,
        {"tensor 'a'", "the file's 7 bytes", "found [0, 8]", "truncated"}},
  {"offsets-no-data", "{\"a\":" T ("F32", "2", "0", "8") "}", 0,
        {"tensor 'a'", "the file's 0 bytes", "found [0, 8]", "truncated"}},
  {"offsets-huge", "{\"a\":" T ("F32", "1", "0", HUGE_INT) "}", 4,
        {"tensor 'a'", "data_offsets", "found [0, " HUGE_INT "]"}},
  {"offsets-2-to-62", "{\"a\":" T ("U8", TWO_62, "0", TWO_62) "}", 4,
        {"header", "at most 18 digits"}},
  {"size-small", "{\"a\":" T ("F32", "3, 2", "0", "20") "}", 20,
        {"tensor 'a'", "expected 24 bytes", "[3, 2] of F32",
          "found data_offsets of 20 bytes"}},
  {"size-large", "{\"a\":" T ("F16", "3", "0", "8") "}", 8,
        {"tensor 'a'", "expected 6 bytes", "of 8 bytes"}},
  {"size-scalar", "{\"a\":" T ("BF16", "", "0", "4") "}", 4,
        {"tensor 'a'", "expected 2 bytes", "[] of BF16"}},
  {"size-zero", "{\"a\":" T ("F32", "0", "0", "4") "}", 4,
        {"tensor 'a'", "expected 0 bytes", "of 4 bytes"}},
  {"size-foreign", "{\"a\":" T ("I64", "2", "0", "8") "}", 8,
        {"tensor 'a'", "expected 16 bytes", "[2] of I64"}},
  {"size-half-byte", "{\"a\":" T ("F4", "3", "0", "1") "}", 1,
        {"tensor 'a'", "expected 2 bytes", "[3] of F4"}},

  /* All tensors together. */
  {"overlap", "{\"a\":" T ("U8", "4", "0", "4") ",\"b\":"
        T ("U8", "4", "3", "7") "}", 7,
        {"tensor 'b'", "found [3, 7]", "overlapping tensor 'a'", "at 4"}},
  {"overlap-equal", "{\"a\":" T ("U8", "4", "0", "4") ",\"b\":"
        T ("U8", "4", "0", "4") "}", 4, {"overlapping tensor"}},
  {"overlap-inside", "{\"a\":" T ("U8", "8", "0", "8") ",\"b\":"
        T ("U8", "2", "4", "6") "}", 8,
        {"tensor 'b'", "found [4, 6]", "overlapping tensor 'a'"}},
  {"overlap-empty", "{\"a\":" T ("U8", "8", "0", "8") ",\"b\":"
        T ("U8", "0", "4", "4") "}", 8,
        {"tensor 'b'", "overlapping tensor 'a'"}},
  {"hole", "{\"a\":" T ("U8", "4", "0", "4") ",\"b\":" T ("U8", "2", "5", "7")
        "}", 7, {"tensor 'b'", "begin at byte 4", "found 5"}},
  {"hole-first", "{\"a\":" T ("U8", "4", "1", "5") "}", 5,
        {"tensor 'a'", "begin at byte 0", "found 1"}},
  {"oversized", "{\"a\":" T ("U8", "4", "0", "4") "}", 5,
        {"expected 4 bytes of data", "found 5", "longer than its header"}},
  {"oversized-empty", "{}", 1, {"expected 0 bytes of data", "found 1"}},

  /* Names that would spoil a message. */
  {"name-control", "{\"a\\u001b[2J\\nb\":1}", 0, {"tensor 'a?[2J?b'"}},
  {"name-empty", "{\"\":1}", 0, {"tensor ''", "found 1"}},
};

static void
check_broken (const char *path, DloralError code, const char *const *words)
{
  GError *error = NULL;

  g_assert_null (dloral_safetensors_open (path, &error));
  corpus_check_error (&error, code, path, words);
}

static void
test_broken (gconstpointer data)
{
  const Broken *b = data;
  char *path = corpus_write (b->name, b->header, NULL, b->data);

  check_broken (path, DLORAL_ERROR_FILE, b->words);
  g_free (path);
}

/* --- Broken files -------------------------------------------------------- */

typedef struct
{
  const char *name;
  guint64 length;               /* the claimed header length */
  gsize size;                   /* of the file, whose rest is spaces */
  const char *words[4];
} BrokenLength;

static const BrokenLength broken_lengths[] = {
  {"empty", 0, 0, {"expected at least 8 bytes", "found 0", "truncated"}},
  {"seven-bytes", 0, 7, {"expected at least 8 bytes", "found 7"}},
  {"length-zero", 0, 8, {"header", "found nothing"}},
  {"length-beyond", 3, 10, {"at most 2 bytes", "length of 3", "truncated"}},
  {"length-2-to-62", G_GUINT64_CONSTANT (1) << 62, 100,
        {"at most 92 bytes", TWO_62, "not a safetensors file"}},
  {"length-2-to-63", G_GUINT64_CONSTANT (1) << 63, 100, {TWO_63}},
  {"length-largest", G_MAXUINT64, 100, {"18446744073709551615"}},
  {"length-wraps", G_MAXUINT64 - 7, 100, {"18446744073709551608"}},
  {"length-32-bit", G_GUINT64_CONSTANT (1) << 32, 100, {"4294967296"}},
  {"length-beyond-reason", 20 << 20, (20 << 20) + 8,
        {"at most 8388608 bytes", "length of 20971520"}},
};

static void
test_broken_length (gconstpointer data)
{
  const BrokenLength *b = data;
  guint64 length = GUINT64_TO_LE (b->length);
  guint8 *bytes = g_malloc (b->size + 1);
  char *path = corpus_path (b->name);

  memset (bytes, ' ', b->size);
  memcpy (bytes, &length, MIN (b->size, sizeof (length)));
  corpus_write_bytes (path, bytes, b->size);
  check_broken (path, DLORAL_ERROR_FILE, b->words);
  g_free (path);
  g_free (bytes);
}

/* A header that repeats `unit` up to its allowed length; a parser that
 * recurses would run out of stack. */
static void
check_repeated (const char *start, const char *unit, const char *const *words)
{
  GString *header = g_string_new (start);
  char *path;

  while (header->len < 8000000)
    g_string_append (header, unit);
  path = corpus_write ("repeated", header->str, NULL, 0);
  check_broken (path, DLORAL_ERROR_FILE, words);
  g_free (path);
  g_string_free (header, TRUE);
}

static void
test_deep (void)
{
  static const char *const deep[] = { "at most 16 levels of nesting", NULL };
  static const char *const stray[] = { "stray byte", NULL };

  check_repeated ("{\"a\":", "[", deep);
  check_repeated ("", "{\"a\":", deep);
  check_repeated ("{\"a\\\"\":\"\\\\\",\"b\":", "[", deep);
  /* An opening quote inside of what a lax parser skips as a comment. */
  check_repeated ("{/*\"*/\"a\":", "[", stray);
  check_repeated ("{#\"\n\"a\":", "[", stray);
}

static void
test_many (void)
{
  static const char *const keys[] = { "header", "at most 8192 keys", NULL };
  static const char *const inner[] = { "header", "at most 512 keys", NULL };
  static const char *const separators[] = { "header",
    "at most 131072 commas and colons", NULL
  };

  check_repeated ("{\"a\":0", ",\"a\":0", keys);
  check_repeated ("{\"a\":{\"a\":0", ",\"a\":0", inner);
  check_repeated ("{\"a\":[0", ",0", separators);
  check_repeated ("{\"a\":[{}", ",{\"a\":0}", separators);
}

static void
test_long_name (void)
{
  static const char *const words[] = { "tensor 'éééé", "…'", NULL };
  GString *header = g_string_new ("{\"");
  char *path;

  while (header->len < 100000)
    g_string_append (header, "é");
  g_string_append (header, "\":1}");
  path = corpus_write ("long-name", header->str, NULL, 0);
  check_broken (path, DLORAL_ERROR_FILE, words);
  g_free (path);
  g_string_free (header, TRUE);
}

static void
test_no_regular_file (void)
{
  static const char *const missing[] = { "cannot be opened", "check the path",
    NULL
  };
  static const char *const directory[] = { "expected a regular file",
    "found a directory", NULL
  };
  static const char *const pipe[] = { "found a named pipe", NULL };
  static const char *const device[] = { "found a device", NULL };
  char *path = corpus_path ("missing"), *loop = corpus_path ("loop");
  char *fifo = corpus_path ("fifo"), *below, *parent;

  check_broken (path, DLORAL_ERROR_NOT_FOUND, missing);
  check_broken ("", DLORAL_ERROR_NOT_FOUND, missing);

  g_assert_cmpint (symlink (loop, loop), ==, 0);
  check_broken (loop, DLORAL_ERROR_NOT_FOUND, missing);

  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  check_broken (fifo, DLORAL_ERROR_FILE, pipe);
  below = g_build_filename (fifo, "file", NULL);
  check_broken (below, DLORAL_ERROR_NOT_FOUND, missing);

  parent = g_path_get_dirname (fifo);
  check_broken (parent, DLORAL_ERROR_FILE, directory);
  check_broken ("/dev/null", DLORAL_ERROR_FILE, device);
  check_broken ("/dev/zero", DLORAL_ERROR_FILE, device);
  g_free (parent);
  g_free (below);
  g_free (fifo);
  g_free (loop);
  g_free (path);
}

/* Every proper prefix of a good file is a bad one. */
static void
test_truncated (void)
{
  static const char *const words[] = { "truncated", NULL };
  GByteArray *bytes = corpus_make ("{\"a\":" T ("F32", "3", "0", "12") "}",
      NULL, 12);
  char *path = corpus_path ("truncated");
  guint size;

  for (size = 0; size < bytes->len; size++) {
    corpus_write_bytes (path, bytes->data, size);
    check_broken (path, DLORAL_ERROR_FILE, words);
  }
  g_free (path);
  g_byte_array_unref (bytes);
}

/* --- What a tensor must be ------------------------------------------------ */

static DloralSafetensors *
open_good (const char *name, const char *header, gconstpointer data,
    gsize size)
{
  char *path = corpus_write (name, header, data, size);
  GError *error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (path, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (dloral_safetensors_get_path (file), ==, path);
  g_free (path);
  return file;
}

static void
refuse (const DloralSafetensors * file, const char *name, int rank,
    const gint64 * shape, const char *const *words)
{
  GError *error = NULL;

  g_assert_null (dloral_safetensors_require (file, name, rank, shape, &error));
  corpus_check_error (&error, DLORAL_ERROR_FILE,
      dloral_safetensors_get_path (file), words);
}

static void
accept (const DloralSafetensors * file, const char *name, int rank,
    const gint64 * shape)
{
  GError *error = NULL;
  const DloralEntry *e;

  e = dloral_safetensors_require (file, name, rank, shape, &error);
  g_assert_no_error (error);
  g_assert_true (e == dloral_safetensors_find (file, name));
  g_assert_cmpstr (e->name, ==, name);
}

#define SHAPE(...) G_N_ELEMENTS (((gint64[]) { __VA_ARGS__ })), \
  (const gint64[]) { __VA_ARGS__ }
#define WORDS(...) (const char *const[]) { __VA_ARGS__, NULL }

static void
test_require (void)
{
  DloralSafetensors *file = open_good ("require",
      "{\"m\":" T ("F32", "3,2", "0", "24")
      ",\"v\":" T ("F16", "6,1", "24", "36")
      ",\"s\":" T ("BF16", "", "36", "38")
      ",\"u\":" T ("U8", "3,2", "38", "44")
      ",\"e\":" T ("F32", "0,4", "44", "44")
      ",\"i\":" T ("I32", "3,2", "44", "68") "}", NULL, 68);

  accept (file, "m", SHAPE (3, 2));
  accept (file, "m", SHAPE (3, 2, 1, 1));
  accept (file, "v", SHAPE (6));
  accept (file, "v", SHAPE (6, 1, 1, 1));
  accept (file, "s", 0, NULL);
  accept (file, "s", SHAPE (1));

  refuse (file, "m", SHAPE (2, 3), WORDS ("tensor 'm'", "expected shape [2, 3]",
          "found [3, 2]"));
  refuse (file, "m", SHAPE (6), WORDS ("expected shape [6]", "found [3, 2]"));
  refuse (file, "m", SHAPE (3), WORDS ("tensor 'm'", "found [3, 2]"));
  refuse (file, "m", SHAPE (1, 3, 2), WORDS ("expected shape [1, 3, 2]"));
  refuse (file, "m", SHAPE (3, 2, 2), WORDS ("expected shape [3, 2, 2]"));
  refuse (file, "m", 0, NULL, WORDS ("expected shape []", "found [3, 2]"));
  refuse (file, "v", SHAPE (1, 6), WORDS ("tensor 'v'", "found [6, 1]"));
  refuse (file, "none", SHAPE (3, 2), WORDS ("tensor 'none'",
          "expected shape [3, 2] of F32, F16 or BF16", "no such tensor"));
  refuse (file, "u", SHAPE (3, 2), WORDS ("tensor 'u'",
          "expected F32, F16 or BF16", "found U8"));
  refuse (file, "i", SHAPE (3, 2), WORDS ("tensor 'i'",
          "expected F32, F16 or BF16", "found I32"));
  refuse (file, "e", SHAPE (4, 4), WORDS ("tensor 'e'", "expected shape [4, 4]",
          "found [0, 4]"));
  refuse (file, "e", SHAPE (0, 4), WORDS ("tensor 'e'"));
  dloral_safetensors_free (file);
}

/* --- Good files ---------------------------------------------------------- */

static void
test_minimal (void)
{
  DloralSafetensors *file = open_good ("minimal", "{}", NULL, 0);

  g_assert_null (dloral_safetensors_find (file, "a"));
  g_assert_null (dloral_safetensors_get_metadata (file, "format"));
  dloral_safetensors_free (file);
  dloral_safetensors_free (NULL);
}

static void
test_metadata (void)
{
  DloralSafetensors *file = open_good ("metadata",
      " {\"__metadata__\": {\"a\": \"x\\u00e9\\n\\\"[{\\\\\", \"b\": \"\"}}   ",
      NULL, 0);

  g_assert_cmpstr (dloral_safetensors_get_metadata (file, "a"), ==,
      "xé\n\"[{\\");
  g_assert_cmpstr (dloral_safetensors_get_metadata (file, "b"), ==, "");
  g_assert_null (dloral_safetensors_get_metadata (file, "c"));
  g_assert_null (dloral_safetensors_find (file, "__metadata__"));
  dloral_safetensors_free (file);
}

/* As many tensors as may be. */
static void
test_many_tensors (void)
{
  GString *header = g_string_new ("{");
  DloralSafetensors *file;
  const DloralEntry *e;
  int i;

  for (i = 0; i < 8192; i++)
    g_string_append_printf (header, "%s\"t%d\":" T ("U8", "1,1,1,1", "%d",
            "%d"), i ? "," : "", i, 8191 - i, 8192 - i);
  g_string_append (header, "}");
  file = open_good ("many", header->str, NULL, 8192);
  e = dloral_safetensors_find (file, "t8191");
  g_assert_cmpuint (e->size, ==, 1);
  g_assert_true (e->data < dloral_safetensors_find (file, "t0")->data);
  dloral_safetensors_free (file);
  g_string_free (header, TRUE);
}

/* Every type's size, in any order in the header, empty ones in between. */
static void
test_types (void)
{
  static const struct { const char *type; int bytes; } types[] = {
    {"F32", 8}, {"F16", 4}, {"BF16", 4}, {"U8", 2}, {"BOOL", 2}, {"F4", 1},
    {"I8", 2}, {"F8_E4M3", 2}, {"F8_E5M2", 2}, {"F8_E8M0", 2},
    {"F8_E4M3FNUZ", 2}, {"F8_E5M2FNUZ", 2}, {"I16", 4}, {"U16", 4},
    {"I32", 8}, {"U32", 8}, {"I64", 16}, {"U64", 16}, {"F64", 16}, {"C64", 16},
  };
  GString *header = g_string_new ("{");
  DloralSafetensors *file;
  const DloralEntry *e;
  int size = 0, i;

  for (i = 0; i < (int) G_N_ELEMENTS (types); i++)
    size += types[i].bytes;
  for (i = 0; i < (int) G_N_ELEMENTS (types); i++) {
    g_string_append_printf (header, "\"%s\":" T ("%s", "2", "%d", "%d")
        ",\"empty %s\":" T ("%s", "0,5", "%d", "%d") ",", types[i].type,
        types[i].type, size - types[i].bytes, size, types[i].type,
        types[i].type, size, size);
    size -= types[i].bytes;
  }
  header->str[header->len - 1] = '}';
  size = 0;
  for (i = 0; i < (int) G_N_ELEMENTS (types); i++)
    size += types[i].bytes;

  file = open_good ("types", header->str, NULL, size);
  for (i = 0; i < (int) G_N_ELEMENTS (types); i++) {
    e = dloral_safetensors_find (file, types[i].type);
    g_assert_cmpstr (e->type, ==, types[i].type);
    g_assert_cmpuint (e->size, ==, types[i].bytes);
    g_assert_cmpint (e->rank, ==, 1);
    g_assert_cmpint (e->shape[0], ==, 2);
    if (i < 4)
      g_assert_cmpuint (dloral_dtype_size (e->dtype), ==, e->size / 2);
    else
      g_assert_true (e->dtype == DLORAL_DTYPE_FOREIGN);
  }
  dloral_safetensors_free (file);
  g_string_free (header, TRUE);
}

/* What a binary float of these fields is worth, by arithmetic alone. */
static double
decode_float (guint32 bits, int exponent_bits, int fraction_bits)
{
  int bias = (1 << (exponent_bits - 1)) - 1;
  int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
  double fraction = ldexp (bits & ((1u << fraction_bits) - 1), -fraction_bits);
  double value;

  if (exponent == (1 << exponent_bits) - 1)
    value = fraction == 0 ? INFINITY : NAN;
  else if (exponent == 0)
    value = ldexp (fraction, 1 - bias);
  else
    value = ldexp (1 + fraction, exponent - bias);
  return bits >> (exponent_bits + fraction_bits) ? -value : value;
}

/* All 65,536 values of a 16-bit type, at an odd address. */
static void
check_all_16 (const char *header, DloralDtype dtype, int exponent_bits)
{
  guint16 *data = g_new (guint16, 65536);
  float *values = g_new (float, 65536);
  DloralSafetensors *file;
  const DloralEntry *e;
  int i;

  for (i = 0; i < 65536; i++)
    data[i] = GUINT16_TO_LE (i);
  file = open_good ("all-16", header, data, 131072);
  e = dloral_safetensors_find (file, "a");
  g_assert_cmpint (e->dtype, ==, dtype);
  g_assert_cmpuint ((guintptr) e->data % 2, ==, 1);
  dloral_entry_read_f32 (e, 0, 65536, values);
  for (i = 0; i < 65536; i++) {
    double expected = decode_float (i, exponent_bits, 15 - exponent_bits);

    if (isnan (expected)) {
      g_assert_true (isnan (values[i]));
    } else {
      g_assert_true (values[i] == expected);
      g_assert_cmpint (signbit (values[i]) != 0, ==, i >> 15);
    }
  }
  dloral_safetensors_free (file);
  g_free (values);
  g_free (data);
}

static void
test_f16 (void)
{
  check_all_16 ("{\"a\":" T ("F16", "256, 256", "0", "131072") "} ",
      DLORAL_F16, 5);
}

static void
test_bf16 (void)
{
  check_all_16 ("{\"a\":" T ("BF16", "256, 256", "0", "131072") "}",
      DLORAL_BF16, 8);
}

static void
test_f32 (void)
{
  static const float values[] = { 0, -0.0f, 1, -1.5f, 3.4028235e38f, 1e-45f,
    INFINITY, -INFINITY, NAN, 0.18215f, 16777217, 1.17549435e-38f
  };
  DloralSafetensors *file;
  const DloralEntry *e;
  float read[G_N_ELEMENTS (values)];

  file = open_good ("f32", "{\"pad\":" T ("U8", "2", "0", "2") ",\"a\":"
      T ("F32", "10", "2", "42") "}", NULL, 42);
  dloral_safetensors_free (file);

  file = open_good ("f32", "{\"a\":" T ("F32", "3, 4", "0", "48") "} ", values,
      sizeof (values));
  e = dloral_safetensors_find (file, "a");
  g_assert_cmpint (e->dtype, ==, DLORAL_F32);
  g_assert_cmpint (e->rank, ==, 2);
  g_assert_cmpuint ((guintptr) e->data % 2, ==, 1);
  dloral_entry_read_f32 (e, 0, G_N_ELEMENTS (values), read);
  g_assert_cmpmem (read, sizeof (read), values, sizeof (values));
  dloral_safetensors_free (file);
}

/* Part of an entry, and nothing written beyond it. */
static void
test_ranges (void)
{
  static const guint8 data[] = { 0x00, 0x3c, 0x00, 0x40, 0x00, 0x42, 0x00, 0x44,
    0x80, 0x3f, 0x00, 0x40, 0x40, 0x40, 0x80, 0x40
  };
  DloralSafetensors *file = open_good ("ranges", "{\"h\":"
      T ("F16", "4", "0", "8") ",\"b\":" T ("BF16", "4", "8", "16") "}", data,
      sizeof (data));
  static const char *const names[] = { "h", "b" };
  float values[4];
  int i, first, n, k;

  for (i = 0; i < 2; i++) {
    const DloralEntry *e = dloral_safetensors_find (file, names[i]);
    for (first = 0; first <= 4; first++) {
      for (n = 0; n <= 4 - first; n++) {
        for (k = 0; k < 4; k++)
          values[k] = -7;
        dloral_entry_read_f32 (e, first, n, values);
        for (k = 0; k < 4; k++)
          g_assert_cmpfloat (values[k], ==, k < n ? first + k + 1 : -7);
      }
    }
  }
  dloral_safetensors_free (file);
}

int
main (int argc, char **argv)
{
  guint i;
  int result;

  g_test_init (&argc, &argv, NULL);
  corpus_init ();
  for (i = 0; i < G_N_ELEMENTS (broken); i++) {
    char *name = g_strconcat ("/safetensors/broken/", broken[i].name, NULL);
    g_test_add_data_func (name, &broken[i], test_broken);
    g_free (name);
  }
  for (i = 0; i < G_N_ELEMENTS (broken_lengths); i++) {
    char *name = g_strconcat ("/safetensors/broken/", broken_lengths[i].name,
        NULL);
    g_test_add_data_func (name, &broken_lengths[i], test_broken_length);
    g_free (name);
  }
  g_test_add_func ("/safetensors/broken/deep", test_deep);
  g_test_add_func ("/safetensors/broken/many", test_many);
  g_test_add_func ("/safetensors/broken/long-name", test_long_name);
  g_test_add_func ("/safetensors/broken/no-regular-file", test_no_regular_file);
  g_test_add_func ("/safetensors/broken/truncated", test_truncated);
  g_test_add_func ("/safetensors/require", test_require);
  g_test_add_func ("/safetensors/good/minimal", test_minimal);
  g_test_add_func ("/safetensors/good/metadata", test_metadata);
  g_test_add_func ("/safetensors/good/many-tensors", test_many_tensors);
  g_test_add_func ("/safetensors/good/types", test_types);
  g_test_add_func ("/safetensors/good/f16", test_f16);
  g_test_add_func ("/safetensors/good/bf16", test_bf16);
  g_test_add_func ("/safetensors/good/f32", test_f32);
  g_test_add_func ("/safetensors/good/ranges", test_ranges);
  result = g_test_run ();
  corpus_done ();
  return result;
}
