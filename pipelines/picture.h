/* The before/after picture: one frame as it came in, enlarged by plain bicubic,
 * beside the same frame as it went out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/video/video.h>

G_BEGIN_DECLS

/* Frames are offered from two pads in the same order, so from any threads. The
 * n-th `after` belongs to the n-th `before`. */
typedef struct
{
  GMutex lock;
  guint n_before, n_after;
  guint wanted;                 /* number of the frame in `before`, from 1 */
  gboolean settled;             /* no later frame is wanted */
  GstSample *before;
  GstSample *pair[2];           /* before, after */
} Picture;

void picture_init (Picture * self);
void picture_clear (Picture * self);

/* The first frame is kept for want of a better one; the first with `middle`
 * replaces it. Both take a reference to buffer and caps. */
void picture_offer_before (Picture * self, GstBuffer * buffer, GstCaps * caps,
    gboolean middle);
void picture_offer_after (Picture * self, GstBuffer * buffer, GstCaps * caps);

/* Writes a PNG. Fails also when no frame passed. */
gboolean picture_write (Picture * self, const char *path, GError ** error);

/* Writes any frame as a PNG. */
gboolean picture_write_sample (GstSample * sample, const char *path,
    GError ** error);

/* GstVideoConverter's options for bicubic with a = -0.5, the resize that the
 * restoration starts from. */
GstStructure *picture_bicubic (void);

G_END_DECLS
