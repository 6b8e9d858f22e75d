/* An element whose picture is split by a line: left of it each frame as it was
 * before dloral, enlarged by bicubic, right of it the same frame as it is after.
 * Takes what dloral gives, gives BGRx of the same size. The line follows the
 * mouse and the keys Left and Right; the keys + and - and the wheel zoom.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/video/gstvideofilter.h>

G_BEGIN_DECLS

#define SPLIT_VIEW_MAX_ZOOM 16.0

typedef struct
{
  double divider;               /* 0: left edge … 1: right edge */
  double zoom;                  /* 1: all of the frame … SPLIT_VIEW_MAX_ZOOM */
  double x, y;                  /* centre of what is shown, in parts of 1 */
} View;

#define TYPE_SPLIT_VIEW (split_view_get_type ())
G_DECLARE_FINAL_TYPE (SplitView, split_view, SPLIT, VIEW, GstVideoFilter)

/* Makes "splitview" known to gst_parse_launch (). */
gboolean split_view_register (void);

void split_view_set (SplitView * self, const View * view);

/* Frames that pass `sink`, dloral's, take along what they are. */
void split_view_watch (GstPad * sink);

G_END_DECLS
