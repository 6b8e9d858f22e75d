/* Puts right what matroskamux writes, see matroska.h. In place: what gets
 * shorter is filled up with zeros, which end a string, or with a Void element.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "matroska.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
  SEGMENT = 0x18538067,
  TRACKS = 0x1654AE6B,
  TRACK_ENTRY = 0xAE,
  TRACK_TYPE = 0x83,
  TRACK_NAME = 0x536E,
  TAGS = 0x1254C367,
  TAG = 0x7373,
  SIMPLE_TAG = 0x67C8,
  TAG_STRING = 0x4487,

  AUDIO = 2,                    /* values of TRACK_TYPE */
  SUBTITLES = 17,
};

typedef struct
{
  guint8 *start;                /* of its header */
  guint8 *data, *end;           /* of what is in it */
  guint32 id;
} Element;

typedef struct
{
  guint n_audio;                /* tracks of sound seen */
} Mend;

/* --- Reading ------------------------------------------------------------- */

/* A number whose first byte says how many there are; `keep`: with the bit that
 * does so, as in ids. Moves *at behind it; FALSE when it is cut off. */
static gboolean
read_number (guint8 ** at, guint8 * end, gboolean keep, guint64 * value)
{
  guint length = 1;
  guint8 first;

  if (*at >= end || **at == 0)
    return FALSE;
  first = **at;
  while (!(first & (0x80 >> (length - 1))))
    length++;
  if ((gsize) (end - *at) < length)
    return FALSE;
  *value = keep ? first : first & (0xff >> length);
  for (guint i = 1; i < length; i++)
    *value = *value << 8 | (*at)[i];
  *at += length;
  return TRUE;
}

/* The element at `at`, cut at `end` where it would be longer. */
static gboolean
read_element (guint8 * at, guint8 * end, Element * element)
{
  guint64 id, size;

  element->start = at;
  if (!read_number (&at, end, TRUE, &id)
      || !read_number (&at, end, FALSE, &size))
    return FALSE;
  element->id = id;
  element->data = at;
  element->end = size > (guint64) (end - at) ? end : at + size;
  return TRUE;
}

/* The first child of that id. */
static gboolean
find_child (const Element * parent, guint32 id, Element * child)
{
  for (guint8 * at = parent->data; read_element (at, parent->end, child);
      at = child->end) {
    if (child->id == id)
      return TRUE;
  }
  return FALSE;
}

/* --- Putting right ------------------------------------------------------- */

static void
mend_string (const Element * element)
{
  g_autofree char *text = g_strndup ((const char *) element->data,
      element->end - element->data);
  GValue value = G_VALUE_INIT;
  const char *plain;
  gsize room = element->end - element->data;

  if (text[0] != '"')
    return;
  g_value_init (&value, G_TYPE_STRING);
  if (gst_value_deserialize (&value, text)
      && (plain = g_value_get_string (&value)) && strlen (plain) <= room) {
    memset (element->data, 0, room);
    memcpy (element->data, plain, strlen (plain));
  }
  g_value_unset (&value);
}

static gboolean
is_made_up (const Element * name)
{
  static const char *const names[] = { "Video", "Audio", "Subtitle" };
  gsize size = strnlen ((const char *) name->data, name->end - name->data);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    if (size == strlen (names[i]) && memcmp (name->data, names[i], size) == 0)
      return TRUE;
  }
  return FALSE;
}

/* The made-up name makes room for a FlagDefault of 0, where that is wanted. */
static void
mend_track (Mend * self, const Element * track)
{
  static const guint8 not_default[] = { 0x88, 0x81, 0 };
  Element type, name;
  guint8 *at;
  guint kind;

  if (!find_child (track, TRACK_TYPE, &type) || type.data == type.end
      || !find_child (track, TRACK_NAME, &name) || !is_made_up (&name))
    return;
  kind = *type.data;
  at = name.start;
  if (kind == SUBTITLES || (kind == AUDIO && self->n_audio++ > 0)) {
    memcpy (at, not_default, sizeof not_default);
    at += sizeof not_default;
  }
  at[0] = 0xEC;                 /* Void */
  at[1] = 0x80 | (name.end - at - 2);
  memset (at + 2, 0, name.end - at - 2);
}

static void
mend_children (Mend * self, const Element * parent)
{
  Element child;

  for (guint8 * at = parent->data; read_element (at, parent->end, &child);
      at = child.end) {
    switch (child.id) {
      case SEGMENT:
      case TRACKS:
      case TAGS:
      case TAG:
      case SIMPLE_TAG:
        mend_children (self, &child);
        break;
      case TRACK_ENTRY:
        mend_track (self, &child);
        break;
      case TAG_STRING:
        mend_string (&child);
        break;
      default:
        break;
    }
  }
}

gboolean
matroska_mend (const char *path, GError ** error)
{
  int fd = g_open (path, O_RDWR | O_CLOEXEC, 0);
  void *map = MAP_FAILED;
  Mend mend = { 0 };
  Element all;
  struct stat st;
  int code;

  if (fd >= 0 && fstat (fd, &st) == 0)
    map = mmap (NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  code = errno;
  if (fd >= 0)
    close (fd);
  if (map == MAP_FAILED) {
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
        "cannot finish \"%s\": %s", path, g_strerror (code));
    return FALSE;
  }
  all = (Element) {.data = map,.end = (guint8 *) map + st.st_size };
  mend_children (&mend, &all);
  munmap (map, st.st_size);
  return TRUE;
}
