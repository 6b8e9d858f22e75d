/* One track of a stream by HLS (RFC 8216) in a folder: its header, its segments
 * and the playlist that names them, where older ones go. What is there under its
 * name is whole: it is written under another one.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct _Playlist Playlist;

/* NAME.m3u8, with segments of about `target` seconds, and those of the last `keep` of
 * them; 0: of all. */
Playlist *playlist_new (const char *folder, const char *name, guint target,
    guint keep);
void playlist_free (Playlist * self);

/* Of what is added from now on. Takes the header. */
gboolean playlist_set_header (Playlist * self, GByteArray * header,
    GError ** error);

/* `date`: when it begins, in microseconds since 1970. `discontinuity`: time, or what
 * is in it, does not go on from the one before. Takes the segment. */
gboolean playlist_add (Playlist * self, GByteArray * segment,
    GstClockTime duration, gint64 date, gboolean discontinuity,
    GError ** error);

/* Says that nothing more comes. */
gboolean playlist_end (Playlist * self, GError ** error);

/* Segments that were ever added. */
guint playlist_get_count (Playlist * self);

/* Whether the file is one of its own. */
gboolean playlist_has (Playlist * self, const char *file);

gboolean playlist_write_file (const char *folder, const char *file,
    const void *data, gsize n, GError ** error);

G_END_DECLS
