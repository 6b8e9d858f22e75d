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

/* The times of the two latest frames, NONE: there is no such frame. */
typedef struct
{
  GstClockTime last, before;
} PartEnd;

#define PART_END_NONE ((PartEnd) { GST_CLOCK_TIME_NONE, GST_CLOCK_TIME_NONE })

/* Looks through a file that a run has left. `is_whole`: all of it was written,
 * so all is kept; otherwise what comes before the last key frame, as the frames
 * from there on may refer to ones that never came. The frames that are kept are
 * added to `end`. What cannot be read counts as not there. */
void part_scan (Part * part, gboolean is_whole, PartEnd * end);

/* One after the other as one stream: a bin with a pad "src". Elements of `parts`
 * are Part. */
GstElement *parts_new_source (GPtrArray * parts, GError ** error);

G_END_DECLS
