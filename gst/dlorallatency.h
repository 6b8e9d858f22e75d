/* The latency that is announced, from those that are measured.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define DLORAL_LATENCY_WINDOW 32

/* Announced: the longest of the last frames and 5 % more. It rises at once when
 * a frame takes longer than announced, and falls when the whole window stayed
 * 25 % below. */
typedef struct
{
  GstClockTime window[DLORAL_LATENCY_WINDOW];
  guint count;                  /* frames measured so far */
  GstClockTime announced;       /* valid when count > 0 */
} DloralLatency;

/* Adds one frame's latency. TRUE: the announced one changed. */
gboolean dloral_latency_add (DloralLatency * latency, GstClockTime measured);

G_END_DECLS
