/* Chapters of a part of a file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* A new table of contents with what is left of each chapter between `start` and
 * `stop` (GST_CLOCK_TIME_NONE: the end), counted from `start`. */
GstToc *chapters_cut (GstToc * toc, GstClockTime start, GstClockTime stop);

G_END_DECLS
