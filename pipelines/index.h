/* The frames of a file's video without decoding them: when each is to be seen,
 * and from which on it can be decoded.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  GstClockTime time;            /* running time, of the file read as a whole */
  GstClockTime stream_time;     /* what to seek to for it */
  gboolean is_key;
} IndexFrame;

typedef struct
{
  GArray *frames;               /* of IndexFrame, as they are stored */
  GstClockTimeDiff offset;      /* from timestamps to running times */
  GstClockTime end;             /* of what is seen longest */
  char *problem;                /* why the frames cannot be told apart by their
                                 * times; NULL */

  GstSegment segment;           /* of the frame that comes next */
  int width, height;
} Index;

void index_init (Index * self);
void index_clear (Index * self);

/* Takes a stream of frames that are not decoded. TRUE when `pad` is linked. */
gboolean index_link (Index * self, GstBin * pipeline, GstPad * pad);

/* After the end of the stream: puts the frames in the order in which they are
 * seen. FALSE and `error` when there is a problem. */
gboolean index_finish (Index * self, GError ** error);

G_END_DECLS
