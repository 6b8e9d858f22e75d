/* YUV and grey frames to RGB and back, to the nearest level. (GStreamer's
 * converter computes its matrices in 8 bits: there and back, a grey of 120 is
 * 117.)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/video/video.h>

G_BEGIN_DECLS

/* Integers of 14 fractional bits; offsets in levels. */
typedef struct
{
  gint luma_offset, chroma_offset;
  gint y, rv, gu, gv, bu;       /* to RGB */
  gint yr, yg, yb;              /* and back */
  gint ur, ug, ub;
  gint vr, vg, vb;
} DloralMatrix;

/* Matrix and range of an 8-bit YUV or grey format. */
void dloral_matrix_init (DloralMatrix * matrix,
    const GstVideoColorimetry * colorimetry);

/* Between a YUV or grey frame (chroma subsampled or not, planar or not) and RGB
 * [height][stride], 3 bytes a pixel. Chroma is interpolated linearly, from
 * where the frame's chroma-site says it lies. */
void dloral_yuv_to_rgb (const DloralMatrix * matrix, GstVideoFrame * yuv,
    guint8 * rgb, gsize stride);
void dloral_yuv_from_rgb (const DloralMatrix * matrix, GstVideoFrame * yuv,
    const guint8 * rgb, gsize stride);

G_END_DECLS
