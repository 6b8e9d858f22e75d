/* Reading a safetensors file: 8 bytes of header length, a JSON header that
 * names every tensor, the tensors' bytes. Order of the checks: the file, the
 * header's size, its text, each tensor alone, all tensors together.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "safetensors.h"

#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

/* Some twenty times the header of an SD 2.1-sized model: bounds the memory and
 * time that reading a hostile one takes. */
#define MAX_HEADER (8 << 20)
#define PREFIX 8                /* bytes of header length */
#define RELEASED_SIZE (1 << 18) /* bytes; smaller reads leave their pages */

typedef struct
{
  DloralEntry entry;            /* first: handed out in its place */
  guint64 begin, end;           /* in the data section */
} Tensor;

struct _DloralSafetensors
{
  char *path;                   /* displayable */
  GMappedFile *map;
  const guint8 *data;           /* the data section [data_size] */
  guint64 data_size;
  GHashTable *metadata;         /* char * → char * */
  GHashTable *tensors;          /* name → Tensor, which owns the name */
};

/* Every type the format knows, by its bits. */
static const struct
{
  const char *name;
  int bits;
  DloralDtype dtype;
} types[] = {
  {"F32", 32, DLORAL_F32},
  {"F16", 16, DLORAL_F16},
  {"BF16", 16, DLORAL_BF16},
  {"U8", 8, DLORAL_U8},
  {"BOOL", 8, DLORAL_DTYPE_FOREIGN},
  {"F4", 4, DLORAL_DTYPE_FOREIGN},
  {"F6_E2M3", 6, DLORAL_DTYPE_FOREIGN},
  {"F6_E3M2", 6, DLORAL_DTYPE_FOREIGN},
  {"I8", 8, DLORAL_DTYPE_FOREIGN},
  {"F8_E4M3", 8, DLORAL_DTYPE_FOREIGN},
  {"F8_E5M2", 8, DLORAL_DTYPE_FOREIGN},
  {"F8_E8M0", 8, DLORAL_DTYPE_FOREIGN},
  {"F8_E4M3FNUZ", 8, DLORAL_DTYPE_FOREIGN},
  {"F8_E5M2FNUZ", 8, DLORAL_DTYPE_FOREIGN},
  {"I16", 16, DLORAL_DTYPE_FOREIGN},
  {"U16", 16, DLORAL_DTYPE_FOREIGN},
  {"I32", 32, DLORAL_DTYPE_FOREIGN},
  {"U32", 32, DLORAL_DTYPE_FOREIGN},
  {"I64", 64, DLORAL_DTYPE_FOREIGN},
  {"U64", 64, DLORAL_DTYPE_FOREIGN},
  {"F64", 64, DLORAL_DTYPE_FOREIGN},
  {"C64", 64, DLORAL_DTYPE_FOREIGN},
};

G_DEFINE_QUARK (dloral-error-quark, dloral_error)

/* --- Messages ------------------------------------------------------------ */

static void G_GNUC_PRINTF (4, 5)
fail (const DloralSafetensors * file, DloralError code, GError ** error,
    const char *format, ...)
{
  va_list args;
  char *message;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, DLORAL_ERROR, code, "File '%s': %s", file->path, message);
  g_free (message);
}

static void G_GNUC_PRINTF (4, 5)
fail_tensor (const DloralSafetensors * file, const char *name, GError ** error,
    const char *format, ...)
{
  va_list args;
  char *message, *quoted = dloral_json_quote (name);

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  fail (file, DLORAL_ERROR_FILE, error, "tensor %s: %s", quoted, message);
  g_free (message);
  g_free (quoted);
}

/* "what: expected `expected`, found `node`". */
static void
fail_node (const DloralSafetensors * file, const char *name, const char *what,
    const char *expected, JsonNode * node, GError ** error)
{
  char *found = dloral_json_describe (node);

  fail_tensor (file, name, error, "%s: expected %s, found %s", what, expected,
      found);
  g_free (found);
}

static char *
format_shape (int rank, const gint64 * shape)
{
  GString *s = g_string_new ("[");
  int i;

  for (i = 0; i < rank; i++)
    g_string_append_printf (s, "%s%" G_GINT64_FORMAT, i ? ", " : "", shape[i]);
  g_string_append_c (s, ']');
  return g_string_free (s, FALSE);
}

/* --- The file ------------------------------------------------------------ */

static const char *
describe_mode (mode_t mode)
{
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return "a directory";
    case S_IFIFO:
      return "a named pipe";
    case S_IFCHR:
    case S_IFBLK:
      return "a device";
    default:
      return "something else";
  }
}

static gboolean
map_fd (DloralSafetensors * file, int fd, GError ** error)
{
  GError *cause = NULL;
  struct stat st;

  if (fstat (fd, &st) < 0) {
    fail (file, DLORAL_ERROR_NOT_FOUND, error, "cannot be examined: %s",
        g_strerror (errno));
    return FALSE;
  }
  if (!S_ISREG (st.st_mode)) {
    fail (file, DLORAL_ERROR_FILE, error, "expected a regular file, found %s",
        describe_mode (st.st_mode));
    return FALSE;
  }
  file->map = g_mapped_file_new_from_fd (fd, FALSE, &cause);
  if (!file->map) {
    gboolean memory = g_error_matches (cause, G_FILE_ERROR,
        G_FILE_ERROR_NOMEM);
    fail (file, memory ? DLORAL_ERROR_MEMORY : DLORAL_ERROR_NOT_FOUND, error,
        "its %" G_GINT64_FORMAT " bytes cannot be mapped into memory: %s",
        (gint64) st.st_size, cause->message);
    g_error_free (cause);
  }
  return file->map != NULL;
}

static gboolean
map_path (DloralSafetensors * file, const char *path, GError ** error)
{
  /* Neither a pipe nor a terminal may hold us up. */
  int fd = g_open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
  gboolean ok;

  if (fd < 0) {
    fail (file, DLORAL_ERROR_NOT_FOUND, error, "cannot be opened: %s; check "
        "the path and its permissions", g_strerror (errno));
    return FALSE;
  }
  ok = map_fd (file, fd, error);
  close (fd);
  return ok;
}

/* The header's text, or NULL. Sets data and data_size. */
static const char *
find_header (DloralSafetensors * file, gsize * length, GError ** error)
{
  const guint8 *bytes = (guint8 *) g_mapped_file_get_contents (file->map);
  gsize size = g_mapped_file_get_length (file->map);
  guint64 header;

  if (size < PREFIX) {
    fail (file, DLORAL_ERROR_FILE, error, "expected at least %d bytes, found "
        "%" G_GSIZE_FORMAT "; the file is truncated", PREFIX, size);
    return NULL;
  }
  memcpy (&header, bytes, PREFIX);
  header = GUINT64_FROM_LE (header);
  if (header > size - PREFIX || header > MAX_HEADER) {
    fail (file, DLORAL_ERROR_FILE, error, "expected a header of at most %"
        G_GSIZE_FORMAT " bytes, found a length of %" G_GUINT64_FORMAT "; the "
        "file is truncated or not a safetensors file",
        MIN (size - PREFIX, MAX_HEADER), header);
    return NULL;
  }
  file->data = bytes + PREFIX + header;
  file->data_size = size - PREFIX - header;
  *length = header;
  return (const char *) bytes + PREFIX;
}

/* --- One tensor ---------------------------------------------------------- */

/* Sets type and dtype; the bits of one element, or 0. */
static int
read_type (const DloralSafetensors * file, JsonObject * object, DloralEntry * e,
    GError ** error)
{
  JsonNode *node = json_object_get_member (object, "dtype");
  const char *name;
  guint i;

  if (dloral_json_get_string (node, &name)) {
    for (i = 0; i < G_N_ELEMENTS (types); i++) {
      if (g_str_equal (name, types[i].name)) {
        e->type = types[i].name;
        e->dtype = types[i].dtype;
        return types[i].bits;
      }
    }
  }
  fail_node (file, e->name, "dtype", "a type such as 'F32', 'F16' or 'BF16'",
      node, error);
  return 0;
}

/* Sets rank and shape. */
static gboolean
read_shape (const DloralSafetensors * file, JsonObject * object,
    DloralEntry * e, GError ** error)
{
  JsonNode *node = json_object_get_member (object, "shape");
  JsonArray *list;
  int i;

  if (!node || !JSON_NODE_HOLDS_ARRAY (node)
      || json_array_get_length (json_node_get_array (node)) > DLORAL_MAX_RANK) {
    fail_node (file, e->name, "shape", "a list of at most "
        G_STRINGIFY (DLORAL_MAX_RANK) " sizes", node, error);
    return FALSE;
  }
  list = json_node_get_array (node);
  e->rank = json_array_get_length (list);
  for (i = 0; i < e->rank; i++) {
    node = json_array_get_element (list, i);
    if (!dloral_json_get_int (node, &e->shape[i]) || e->shape[i] < 0) {
      char *where = g_strdup_printf ("shape[%d]", i);
      fail_node (file, e->name, where, "a whole number from 0", node, error);
      g_free (where);
      return FALSE;
    }
  }
  return TRUE;
}

/* Sets begin and end, inside the data section. */
static gboolean
read_range (const DloralSafetensors * file, JsonObject * object, Tensor * t,
    GError ** error)
{
  JsonNode *node = json_object_get_member (object, "data_offsets");
  JsonArray *list = NULL;
  gint64 begin, end;

  if (node && JSON_NODE_HOLDS_ARRAY (node))
    list = json_node_get_array (node);
  if (!list || json_array_get_length (list) != 2
      || !dloral_json_get_int (json_array_get_element (list, 0), &begin)
      || !dloral_json_get_int (json_array_get_element (list, 1), &end)) {
    fail_node (file, t->entry.name, "data_offsets", "a list of 2 whole numbers",
        node, error);
    return FALSE;
  }
  if (begin < 0 || begin > end || (guint64) end > file->data_size) {
    fail_tensor (file, t->entry.name, error, "data_offsets: expected a range "
        "within the file's %" G_GUINT64_FORMAT " bytes of data, found "
        "[%" G_GINT64_FORMAT ", %" G_GINT64_FORMAT "]; the file is %s",
        file->data_size, begin, end, begin >= 0 && begin <= end
        ? "truncated" : "damaged");
    return FALSE;
  }
  t->begin = begin;
  t->end = end;
  return TRUE;
}

/* Whether the shape's elements of `bits` fill the tensor's bytes exactly. */
static gboolean
check_size (const DloralSafetensors * file, const Tensor * t, int bits,
    GError ** error)
{
  const DloralEntry *e = &t->entry;
  guint64 needed = bits;
  gboolean overflow = FALSE;
  char *shape;
  int i;

  for (i = 0; i < e->rank; i++)
    overflow |= __builtin_mul_overflow (needed, (guint64) e->shape[i], &needed);
  if (!overflow && needed % 8 == 0 && needed / 8 == t->end - t->begin)
    return TRUE;

  shape = format_shape (e->rank, e->shape);
  if (overflow)
    fail_tensor (file, e->name, error, "shape: expected a size that can exist, "
        "found %s of %s", shape, e->type);
  else
    fail_tensor (file, e->name, error, "expected %" G_GUINT64_FORMAT " bytes "
        "for %s of %s, found data_offsets of %" G_GUINT64_FORMAT " bytes",
        needed / 8 + (needed % 8 != 0), shape, e->type, t->end - t->begin);
  g_free (shape);
  return FALSE;
}

static gboolean
read_tensor (const DloralSafetensors * file, JsonNode * node, Tensor * t,
    GError ** error)
{
  JsonObject *object;
  int bits;

  if (!JSON_NODE_HOLDS_OBJECT (node)) {
    fail_node (file, t->entry.name, "description", "an object", node, error);
    return FALSE;
  }
  object = json_node_get_object (node);
  bits = read_type (file, object, &t->entry, error);
  if (!bits || !read_shape (file, object, &t->entry, error)
      || !read_range (file, object, t, error)
      || !check_size (file, t, bits, error))
    return FALSE;
  t->entry.data = file->data + t->begin;
  t->entry.size = t->end - t->begin;
  return TRUE;
}

static void
tensor_free (Tensor * t)
{
  g_free ((char *) t->entry.name);
  g_free (t);
}

static gboolean
add_tensor (DloralSafetensors * file, const char *name, JsonNode * node,
    GError ** error)
{
  Tensor *t = g_new0 (Tensor, 1);

  t->entry.name = g_strdup (name);
  g_hash_table_insert (file->tensors, (char *) t->entry.name, t);
  return read_tensor (file, node, t, error);
}

/* --- The header ---------------------------------------------------------- */

static gboolean
add_metadata (DloralSafetensors * file, JsonNode * node, GError ** error)
{
  JsonObjectIter iter;
  const char *key, *value;
  char *found;

  if (JSON_NODE_HOLDS_OBJECT (node)) {
    json_object_iter_init (&iter, json_node_get_object (node));
    while (json_object_iter_next (&iter, &key, &node)) {
      if (!dloral_json_get_string (node, &value)) {
        char *quoted = dloral_json_quote (key);
        found = dloral_json_describe (node);
        fail (file, DLORAL_ERROR_FILE, error, "__metadata__ %s: expected a "
            "string, found %s", quoted, found);
        g_free (found);
        g_free (quoted);
        return FALSE;
      }
      g_hash_table_insert (file->metadata, g_strdup (key), g_strdup (value));
    }
    return TRUE;
  }
  found = dloral_json_describe (node);
  fail (file, DLORAL_ERROR_FILE, error, "__metadata__: expected an object of "
      "strings, found %s", found);
  g_free (found);
  return FALSE;
}

static gboolean
read_header (DloralSafetensors * file, const char *text, gsize length,
    GError ** error)
{
  /* Our own copy: what was screened is what gets parsed. */
  char *copy = g_strndup (text, length), *problem;
  JsonObject *header = dloral_json_parse (copy, length, DLORAL_JSON_KEYS,
      &problem);
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;
  gboolean ok = TRUE;

  g_free (copy);
  if (!header) {
    fail (file, DLORAL_ERROR_FILE, error, "header: %s", problem);
    g_free (problem);
    return FALSE;
  }
  json_object_iter_init (&iter, header);
  while (ok && json_object_iter_next (&iter, &name, &node)) {
    if (g_str_equal (name, "__metadata__"))
      ok = add_metadata (file, node, error);
    else
      ok = add_tensor (file, name, node, error);
  }
  json_object_unref (header);
  return ok;
}

static int
compare_tensors (gconstpointer a, gconstpointer b)
{
  const Tensor *s = *(Tensor * const *) a, *t = *(Tensor * const *) b;

  if (s->begin != t->begin)
    return s->begin < t->begin ? -1 : 1;
  return s->end < t->end ? -1 : s->end > t->end;
}

/* Whether `t` begins where its predecessor (NULL: none) ended. */
static gboolean
check_adjacent (const DloralSafetensors * file, const Tensor * previous,
    const Tensor * t, GError ** error)
{
  guint64 end = previous ? previous->end : 0;

  if (t->begin < end) {
    char *other = dloral_json_quote (previous->entry.name);
    fail_tensor (file, t->entry.name, error, "data_offsets: expected bytes of "
        "its own, found [%" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT "] "
        "overlapping tensor %s, which ends at %" G_GUINT64_FORMAT, t->begin,
        t->end, other, end);
    g_free (other);
  } else if (t->begin > end) {
    fail_tensor (file, t->entry.name, error, "data_offsets: expected it to "
        "begin at byte %" G_GUINT64_FORMAT ", where the tensor before it ends, "
        "found %" G_GUINT64_FORMAT, end, t->begin);
  }
  return t->begin == end;
}

/* Whether the tensors lie side by side and fill the data section. */
static gboolean
check_layout (const DloralSafetensors * file, GError ** error)
{
  GPtrArray *sorted = g_ptr_array_new ();
  const Tensor *last = NULL;
  GHashTableIter iter;
  gpointer tensor;
  gboolean ok = TRUE;
  guint i;

  g_hash_table_iter_init (&iter, file->tensors);
  while (g_hash_table_iter_next (&iter, NULL, &tensor))
    g_ptr_array_add (sorted, tensor);
  g_ptr_array_sort (sorted, compare_tensors);
  for (i = 0; i < sorted->len && ok; i++) {
    ok = check_adjacent (file, last, sorted->pdata[i], error);
    last = sorted->pdata[i];
  }
  g_ptr_array_unref (sorted);
  if (ok && file->data_size != (last ? last->end : 0)) {
    fail (file, DLORAL_ERROR_FILE, error, "expected %" G_GUINT64_FORMAT
        " bytes of data, found %" G_GUINT64_FORMAT "; the file is longer than "
        "its header says", last ? last->end : 0, file->data_size);
    ok = FALSE;
  }
  return ok;
}

/* --- Interface ----------------------------------------------------------- */

DloralSafetensors *
dloral_safetensors_open (const char *path, GError ** error)
{
  DloralSafetensors *file = g_new0 (DloralSafetensors, 1);
  const char *header;
  gsize length;

  file->path = g_filename_display_name (path);
  file->metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      g_free);
  file->tensors = g_hash_table_new_full (g_str_hash, g_str_equal, NULL,
      (GDestroyNotify) tensor_free);
  if (map_path (file, path, error)
      && (header = find_header (file, &length, error))
      && read_header (file, header, length, error)
      && check_layout (file, error))
    return file;
  dloral_safetensors_free (file);
  return NULL;
}

void
dloral_safetensors_free (DloralSafetensors * file)
{
  if (!file)
    return;
  g_hash_table_unref (file->tensors);
  g_hash_table_unref (file->metadata);
  if (file->map)
    g_mapped_file_unref (file->map);
  g_free (file->path);
  g_free (file);
}

const char *
dloral_safetensors_get_path (const DloralSafetensors * file)
{
  return file->path;
}

const char *
dloral_safetensors_get_metadata (const DloralSafetensors * file,
    const char *key)
{
  return g_hash_table_lookup (file->metadata, key);
}

const DloralEntry *
dloral_safetensors_find (const DloralSafetensors * file, const char *name)
{
  return g_hash_table_lookup (file->tensors, name);
}

/* The size of dimension i, where those that are not there count 1. */
static gint64
get_dim (int rank, const gint64 * shape, int i)
{
  return i < rank ? shape[i] : 1;
}

static gboolean
has_shape (const DloralEntry * e, int rank, const gint64 * shape)
{
  int i;

  for (i = 0; i < MAX (rank, e->rank); i++)
    if (get_dim (rank, shape, i) != get_dim (e->rank, e->shape, i))
      return FALSE;
  return TRUE;
}

const DloralEntry *
dloral_safetensors_require (const DloralSafetensors * file, const char *name,
    int rank, const gint64 * shape, GError ** error)
{
  const DloralEntry *e = dloral_safetensors_find (file, name);
  char *expected = format_shape (rank, shape), *found = NULL;

  if (!e) {
    fail_tensor (file, name, error, "expected shape %s of F32, F16 or BF16, "
        "found no such tensor; the file does not hold the model that its "
        "config describes", expected);
  } else if (e->dtype == DLORAL_DTYPE_FOREIGN || e->dtype == DLORAL_U8) {
    fail_tensor (file, name, error, "expected F32, F16 or BF16, found %s",
        e->type);
    e = NULL;
  } else if (e->size == 0 || !has_shape (e, rank, shape)) {
    found = format_shape (e->rank, e->shape);
    fail_tensor (file, name, error, "expected shape %s, found %s", expected,
        found);
    e = NULL;
  }
  g_free (found);
  g_free (expected);
  return e;
}

/* --- Elements ------------------------------------------------------------ */

static inline guint16
load_u16 (const guint8 * p)
{
  guint16 v;

  memcpy (&v, p, sizeof (v));
  return GUINT16_FROM_LE (v);
}

static inline float
float_from_bits (guint32 bits)
{
  float f;

  memcpy (&f, &bits, sizeof (f));
  return f;
}

/* Without branches and without subnormal floats on the way, which a
 * processor may have been told to flush to zero. */
static inline float
float_from_f16 (guint16 half)
{
  guint32 magnitude = (half & 0x7fffu) << 13;
  float subnormal = (float) (gint32) (half & 0x3ffu) * 0x1p-24f;
  guint32 bits;

  memcpy (&bits, &subnormal, sizeof (bits));
  bits = magnitude >= 1u << 23 ? magnitude + (112u << 23) : bits;
  bits = magnitude >= 31u << 23 ? magnitude | 0x7f800000u : bits;
  return float_from_bits (bits | (half & 0x8000u) << 16);
}

static void
read_f16 (const guint8 * src, gsize n, float *restrict dst)
{
  gsize i;

  for (i = 0; i < n; i++)
    dst[i] = float_from_f16 (load_u16 (src + 2 * i));
}

static void
read_bf16 (const guint8 * src, gsize n, float *restrict dst)
{
  gsize i;

  for (i = 0; i < n; i++)
    dst[i] = float_from_bits ((guint32) load_u16 (src + 2 * i) << 16);
}

static void
read_f32 (const guint8 * src, gsize n, float *restrict dst)
{
  gsize i;

  for (i = 0; i < n; i++) {
    guint32 bits;

    memcpy (&bits, src + 4 * i, sizeof (bits));
    dst[i] = float_from_bits (GUINT32_FROM_LE (bits));
  }
}

/* What was read once is rarely read again: without this, the process would hold
 * a large file beside what was packed of it. The system keeps its own copy as
 * long as it likes. */
static void
release_pages (const guint8 * start, gsize size)
{
  gsize page = sysconf (_SC_PAGESIZE);
  guintptr first = ((guintptr) start + page - 1) / page * page;
  guintptr end = ((guintptr) start + size) / page * page;

  if (size >= RELEASED_SIZE)
    madvise ((gpointer) first, end - first, MADV_DONTNEED);     /* a hint */
}

void
dloral_entry_read_f32 (const DloralEntry * entry, gsize first, gsize n,
    float *dst)
{
  gsize element = dloral_dtype_size (entry->dtype);

  switch (entry->dtype) {
    case DLORAL_F32:
      read_f32 (entry->data + 4 * first, n, dst);
      break;
    case DLORAL_F16:
      read_f16 (entry->data + 2 * first, n, dst);
      break;
    case DLORAL_BF16:
      read_bf16 (entry->data + 2 * first, n, dst);
      break;
    default:
      g_return_if_reached ();   /* not a float entry */
  }
  release_pages (entry->data + element * first, element * n);
}
