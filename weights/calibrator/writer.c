/* Adding tensors to a safetensors file: their entries at the header's end, their
 * values behind all others.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ALIGNMENT 8             /* of the data, after eight bytes of length */

typedef struct
{
  const char *header;           /* JSON */
  gsize header_size;
  const char *data;
  gsize data_size;
} Parts;

static Parts
take_apart (GMappedFile *file)
{
  const char *contents = g_mapped_file_get_contents (file);
  guint64 length;
  Parts p;

  memcpy (&length, contents, sizeof length);
  p.header = contents + sizeof length;
  p.header_size = GUINT64_FROM_LE (length);
  p.data = p.header + p.header_size;
  p.data_size = g_mapped_file_get_length (file) - sizeof length - p.header_size;
  return p;
}

/* The header with an entry a name, its values following the data that are there. */
static GString *
extend_header (const Parts *p, GList *names)
{
  const char *end = g_strrstr_len (p->header, p->header_size, "}");
  GString *header = g_string_new_len (p->header, end - p->header);
  gsize at = p->data_size;

  for (GList *l = names; l; l = l->next, at += sizeof (float))
    g_string_append_printf (header, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[1],"
        "\"data_offsets\":[%" G_GSIZE_FORMAT ",%" G_GSIZE_FORMAT "]}",
        (const char *) l->data, at, at + sizeof (float));
  g_string_append_c (header, '}');
  while (header->len % ALIGNMENT != 0)
    g_string_append_c (header, ' ');
  return header;
}

static gboolean
put (FILE *file, gconstpointer bytes, gsize size)
{
  return size == 0 || fwrite (bytes, size, 1, file) == 1;
}

static gboolean
put_values (FILE *file, GList *names, GHashTable *values)
{
  for (GList *l = names; l; l = l->next) {
    guint32 bits;

    memcpy (&bits, g_hash_table_lookup (values, l->data), sizeof bits);
    bits = GUINT32_TO_LE (bits);
    if (!put (file, &bits, sizeof bits))
      return FALSE;
  }
  return TRUE;
}

static gboolean
put_all (FILE *file, const Parts *p, GHashTable *values)
{
  GList *names = g_list_sort (g_hash_table_get_keys (values),
      (GCompareFunc) strcmp);
  GString *header = extend_header (p, names);
  guint64 length = GUINT64_TO_LE ((guint64) header->len);
  gboolean ok = put (file, &length, sizeof length)
      && put (file, header->str, header->len)
      && put (file, p->data, p->data_size) && put_values (file, names, values)
      && fflush (file) == 0 && fsync (fileno (file)) == 0;

  g_string_free (header, TRUE);
  g_list_free (names);
  return ok;
}

/* path: ends in XXXXXX, becomes the file's. */
static FILE *
open_part (char *path)
{
  int fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0666);
  FILE *file = fd < 0 ? NULL : fdopen (fd, "wb");

  if (fd >= 0 && file == NULL) {
    close (fd);
    g_unlink (path);
  }
  return file;
}

static gboolean
set_errno_error (const char *to, GError **error)
{
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE,
      "File '%s' cannot be written: %s", to, g_strerror (errno));
  return FALSE;
}

/* Written beside `to`, so that it can take its name. */
static gboolean
write_parts (const Parts *p, const char *to, GHashTable *values,
    GError **error)
{
  g_autofree char *path = g_strconcat (to, ".XXXXXX", NULL);
  FILE *file = open_part (path);
  gboolean ok;

  if (file == NULL)
    return set_errno_error (to, error);
  ok = put_all (file, p, values) || set_errno_error (to, error);
  if (fclose (file) != 0 && ok)
    ok = set_errno_error (to, error);
  if (ok && g_rename (path, to) != 0)
    ok = set_errno_error (to, error);
  if (!ok)
    g_unlink (path);
  return ok;
}

gboolean
dloral_scales_write (const char *from, const char *to, GHashTable *values,
    GError **error)
{
  GMappedFile *source = g_mapped_file_new (from, FALSE, error);
  gboolean ok;
  Parts p;

  if (source == NULL)
    return FALSE;
  p = take_apart (source);
  ok = write_parts (&p, to, values, error);
  g_mapped_file_unref (source);
  return ok;
}
