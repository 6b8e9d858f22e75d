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
} Window;

/* Drops what is outside the window; a buffer that begins before it and reaches
 * into it is shortened where `may_clip`, as a line of subtitles may be, and
 * dropped otherwise. `window` must outlive the pad. */
void window_watch (GstPad * pad, const Window * window, gboolean may_clip);

G_END_DECLS
