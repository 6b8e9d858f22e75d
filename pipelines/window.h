/* The part of a file that is worked on, and its streams' time made plain: what
 * passes a watched pad has the running time as its timestamp, counted from the
 * beginning of the part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  GstClockTime start, stop;     /* `stop`: GST_CLOCK_TIME_NONE: to the end */
  GstClockTime skip;            /* of the part, video before it is not wanted */
  gint closed;                  /* atomic: nothing more is taken */
  GMutex lock;
  GPtrArray *subtitles;         /* under `lock`: their pads' Watch */
} Window;

typedef enum
{
  WINDOW_VIDEO,
  WINDOW_AUDIO,
  WINDOW_SUBTITLES,
} WindowKind;

void window_init (Window * self, GstClockTime start, GstClockTime stop,
    GstClockTime skip);
void window_clear (Window * self);

/* Drops what is outside the part. A line of subtitles that reaches into it is
 * shortened. The pad is not to outlive the window. */
void window_watch (Window * self, GstPad * pad, WindowKind kind);

/* From any thread: the streams end with what they have. */
void window_close (Window * self);

G_END_DECLS
