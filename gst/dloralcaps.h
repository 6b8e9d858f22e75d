/* What sizes, formats and colours go with what: caps of one pad from caps of
 * the other. Pure functions, without an element.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>
#include <gst/video/video.h>

#include "dloralcudamemory.h"

G_BEGIN_DECLS

/* Output is at most this many times as large as the input, in each direction;
 * at least once as large. */
#define DLORAL_SCALE 4
#define DLORAL_MIN_SIDE 16
#define DLORAL_MAX_SIDE 8192

#define DLORAL_VIDEO_FORMATS "{ I420, NV12, NV21, YUY2, UYVY, Y42B, Y444, " \
    "P010_10LE, I420_10LE, I422_10LE, Y444_10LE, RGB, BGR, RGBx, BGRx, xRGB, " \
    "xBGR, RGBA, BGRA, ARGB, ABGR, GRAY8, GRAY16_LE }"

#define DLORAL_CAPS(memory, formats, sides) "video/x-raw" memory ", " \
    "format = (string) " formats ", " \
    "width = (int) " sides ", height = (int) " sides ", " \
    "framerate = (fraction) [ 0, max ], " \
    "interlace-mode = (string) progressive"

#ifdef HAVE_CUDA_MEMORY
#define DLORAL_CUDA_CAPS(sides) "; " DLORAL_CAPS ( \
    "(" DLORAL_CUDA_FEATURE ")", DLORAL_CUDA_FORMATS, sides)
#else
#define DLORAL_CUDA_CAPS(sides) ""
#endif

#define DLORAL_SINK_CAPS \
    DLORAL_CAPS ("", DLORAL_VIDEO_FORMATS, "[ 16, 8192 ]") \
    DLORAL_CUDA_CAPS ("[ 16, 8192 ]")

#define DLORAL_SRC_CAPS \
    DLORAL_CAPS ("", DLORAL_VIDEO_FORMATS, "[ 16, 32768 ]") \
    DLORAL_CUDA_CAPS ("[ 16, 32768 ]")

/* Sides (INT, INT_RANGE, or a LIST of them) that the other pad can have when
 * the pad of `direction` has `side`. Initialises `other`; FALSE, and `other`
 * untouched, when there are none. */
gboolean dloral_caps_transform_side (const GValue * side,
    GstPadDirection direction, GValue * other);

/* Whether fixed caps say that frames have two fields, or may. */
gboolean dloral_caps_is_interlaced (const GstCaps * caps);

/* Caps of the other pad when the pad of `direction` has `caps`; those of the
 * same memory and format first. */
GstCaps *dloral_caps_transform (GstCaps * caps, GstPadDirection direction,
    GstCaps * filter);

/* One of `othercaps` (taken), fixed, for the fixed `caps` of the pad of
 * `direction`: as near to x4 as can be, the same format and memory if they are
 * among them, the colours of the input written out. */
GstCaps *dloral_caps_fixate (GstCaps * caps, GstPadDirection direction,
    GstCaps * othercaps);

/* Whether an output of `out` can be made of `in`. */
gboolean dloral_caps_is_possible (const GstVideoInfo * in,
    const GstVideoInfo * out);

G_END_DECLS
