/* One track of a stream by HLS in a folder, see playlist.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "playlist.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <stdio.h>

typedef struct
{
  char *file, *header;
  GstClockTime duration;
  gint64 date;
  gboolean discontinuity;
} Segment;

struct _Playlist
{
  char *folder, *name, *file;
  guint target, keep;
  char *header;                 /* of the next segment */
  guint n_headers;
  guint count;
  GQueue segments;              /* those whose files are there, oldest first */
  guint n_discontinuities;      /* that have left the playlist */
  gboolean ended;
};

static void
segment_free (Segment * segment)
{
  g_free (segment->file);
  g_free (segment->header);
  g_free (segment);
}

Playlist *
playlist_new (const char *folder, const char *name, guint target, guint keep)
{
  Playlist *self = g_new0 (Playlist, 1);

  self->folder = g_strdup (folder);
  self->name = g_strdup (name);
  self->file = g_strconcat (name, ".m3u8", NULL);
  self->target = target;
  self->keep = keep;
  g_queue_init (&self->segments);
  return self;
}

void
playlist_free (Playlist * self)
{
  g_queue_clear_full (&self->segments, (GDestroyNotify) segment_free);
  g_free (self->folder);
  g_free (self->name);
  g_free (self->file);
  g_free (self->header);
  g_free (self);
}

/* --- Files ------------------------------------------------------------------- */

static gboolean
write_all (const char *path, const void *data, gsize n)
{
  FILE *file = g_fopen (path, "wb");
  gboolean ok = file && fwrite (data, 1, n, file) == n;

  return file && fclose (file) == 0 && ok;
}

gboolean
playlist_write_file (const char *folder, const char *file, const void *data,
    gsize n, GError ** error)
{
  g_autofree char *path = g_build_filename (folder, file, NULL);
  g_autofree char *part = g_strconcat (path, ".part", NULL);
  int code;

  if (write_all (part, data, n) && g_rename (part, path) == 0)
    return TRUE;
  code = errno;
  g_unlink (part);
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code),
      "cannot write \"%s\": %s; make room, or write elsewhere", path,
      g_strerror (code));
  return FALSE;
}

static gboolean
write_array (Playlist * self, const char *file, GByteArray * array,
    GError ** error)
{
  gboolean ok = playlist_write_file (self->folder, file, array->data, array->len,
      error);

  g_byte_array_unref (array);
  return ok;
}

static void
delete_file (Playlist * self, const char *file)
{
  g_autofree char *path = g_build_filename (self->folder, file, NULL);

  g_unlink (path);
}

/* --- Playlist ---------------------------------------------------------------- */

/* The first segment that is named. */
static GList *
get_first (Playlist * self)
{
  guint n = self->segments.length;
  guint skip = self->keep > 0 && n > self->keep ? n - self->keep : 0;

  return g_queue_peek_nth_link (&self->segments, skip);
}

static void
print_head (Playlist * self, GString * text)
{
  guint named = self->segments.length;

  if (self->keep > 0)
    named = MIN (named, self->keep);
  g_string_append_printf (text, "#EXTM3U\n#EXT-X-VERSION:7\n"
      "#EXT-X-TARGETDURATION:%u\n#EXT-X-MEDIA-SEQUENCE:%u\n", self->target,
      self->count - named);
  if (self->n_discontinuities > 0)
    g_string_append_printf (text, "#EXT-X-DISCONTINUITY-SEQUENCE:%u\n",
        self->n_discontinuities);
  if (self->keep == 0)
    g_string_append (text, "#EXT-X-PLAYLIST-TYPE:EVENT\n");
  g_string_append (text, "#EXT-X-INDEPENDENT-SEGMENTS\n");
}

static void
print_segment (GString * text, const Segment * segment, const char *header)
{
  g_autoptr (GDateTime) second =
      g_date_time_new_from_unix_utc (segment->date / G_USEC_PER_SEC);
  g_autofree char *date = g_date_time_format (second, "%Y-%m-%dT%H:%M:%S");
  guint us = GST_TIME_AS_USECONDS (segment->duration + 500);

  if (segment->discontinuity)
    g_string_append (text, "#EXT-X-DISCONTINUITY\n");
  if (g_strcmp0 (segment->header, header) != 0)
    g_string_append_printf (text, "#EXT-X-MAP:URI=\"%s\"\n", segment->header);
  g_string_append_printf (text, "#EXT-X-PROGRAM-DATE-TIME:%s.%03dZ\n"
      "#EXTINF:%u.%06u,\n%s\n", date,
      (int) (segment->date % G_USEC_PER_SEC / 1000), us / 1000000,
      us % 1000000, segment->file);
}

static gboolean
write_playlist (Playlist * self, GError ** error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  const char *header = NULL;

  print_head (self, text);
  for (GList * l = get_first (self); l; l = l->next) {
    const Segment *segment = l->data;

    print_segment (text, segment, header);
    header = segment->header;
  }
  if (self->ended)
    g_string_append (text, "#EXT-X-ENDLIST\n");
  return playlist_write_file (self->folder, self->file, text->str, text->len,
      error);
}

/* Files stay for as long again as they were named, for those who have an older
 * playlist (RFC 8216, 6.2.2). */
static void
delete_old (Playlist * self)
{
  while (self->keep > 0 && self->segments.length > 2 * self->keep + 1) {
    Segment *old = g_queue_pop_head (&self->segments);
    const Segment *next = g_queue_peek_head (&self->segments);

    delete_file (self, old->file);
    if (g_strcmp0 (old->header, next->header) != 0)
      delete_file (self, old->header);
    segment_free (old);
  }
}

gboolean
playlist_set_header (Playlist * self, GByteArray * header, GError ** error)
{
  g_free (self->header);
  self->header = g_strdup_printf ("%s-header-%u.mp4", self->name,
      ++self->n_headers);
  return write_array (self, self->header, header, error);
}

gboolean
playlist_add (Playlist * self, GByteArray * data, GstClockTime duration,
    gint64 date, gboolean discontinuity, GError ** error)
{
  g_autofree char *file = g_strdup_printf ("%s-%05u.m4s", self->name,
      self->count);
  GList *first;
  Segment *segment;

  if (!write_array (self, file, data, error))
    return FALSE;
  segment = g_new (Segment, 1);
  *segment = (Segment) {
    .file = g_steal_pointer (&file),
    .header = g_strdup (self->header),
    .duration = duration,
    .date = date,
    .discontinuity = discontinuity,
  };
  first = get_first (self);
  g_queue_push_tail (&self->segments, segment);
  self->count++;
  if (first && first != get_first (self)
      && ((Segment *) first->data)->discontinuity)
    self->n_discontinuities++;
  if (!write_playlist (self, error))
    return FALSE;
  delete_old (self);
  return TRUE;
}

gboolean
playlist_end (Playlist * self, GError ** error)
{
  self->ended = TRUE;
  return write_playlist (self, error);
}

guint
playlist_get_count (Playlist * self)
{
  return self->count;
}

gboolean
playlist_has (Playlist * self, const char *file)
{
  if (self->count == 0)
    return FALSE;
  if (g_str_equal (file, self->file))
    return TRUE;
  for (GList * l = self->segments.head; l; l = l->next) {
    const Segment *segment = l->data;

    if (g_str_equal (file, segment->file) || g_str_equal (file, segment->header))
      return TRUE;
  }
  return FALSE;
}
