/* The part of a file that is worked on, and its streams' time made plain: what
 * passes a watched pad has the running time as its timestamp, counted from the
 * beginning of the part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* Where reading begins, at a key frame. */
typedef struct
{
  GstClockTime key;             /* its stream time */
  GstClockTimeDiff offset;      /* from timestamps to the running time that they
                                 * have when all of the file is read */
} WindowJump;

typedef struct
{
  GstClockTime start, stop;     /* `stop`: GST_CLOCK_TIME_NONE: to the end */
  GstClockTime skip;            /* of the part, video before it is not wanted */
  const WindowJump *jump;       /* NULL: reading begins at the beginning */
  gulong block;                 /* keeps video back until the jump is done */
  gint closed;                  /* atomic: nothing more is taken */
  gint overshot;                /* atomic: the jump went past wanted video */
  GMutex lock;
  GPtrArray *subtitles;         /* under `lock`: their pads' Watch */
} Window;

typedef enum
{
  WINDOW_VIDEO,
  WINDOW_AUDIO,
  WINDOW_SUBTITLES,
} WindowKind;

/* `jump` may be NULL, and has to outlive the window. */
void window_init (Window * self, GstClockTime start, GstClockTime stop,
    GstClockTime skip, const WindowJump * jump);
void window_clear (Window * self);

/* Drops what is outside the part. A line of subtitles that reaches into it is
 * shortened. The pad is not to outlive the window. */
void window_watch (Window * self, GstPad * pad, WindowKind kind);

/* With `jump` set, for the pad that is watched for video, when all pads are
 * there: reads from there on. FALSE when the file cannot be read so. Nothing
 * passes the pad before. Not from a streaming thread. */
gboolean window_jump (Window * self, GstPad * pad);

/* From any thread: the streams end with what they have. */
void window_close (Window * self);

G_END_DECLS
