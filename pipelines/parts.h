/* Restored and encoded video in files of its own, each from one run: GStreamer's
 * data protocol, which keeps every timestamp as it was and is readable up to
 * wherever writing stopped.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  char *path;
  guint n_kept;                 /* its first so many buffers count */
  char *caps;                   /* of them, once it has been scanned */
} Part;

/* A GDestroyNotify. */
void part_free (gpointer part);

/* Looks through a file that a run has left. `is_whole`: all of it was written,
 * so all is kept; otherwise what comes before the last key frame, as the frames
 * from there on may refer to ones that never came. `end` grows to the latest
 * time of a frame that is kept. What cannot be read counts as not there. */
void part_scan (Part * part, gboolean is_whole, GstClockTime * end);

/* One after the other as one stream: a bin with a pad "src". Elements of `parts`
 * are Part. */
GstElement *parts_new_source (GPtrArray * parts, GError ** error);

G_END_DECLS
