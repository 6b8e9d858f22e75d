/* Between video frames and the engine's RGB pictures.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/video/video.h>

G_BEGIN_DECLS

/* Both ways for one input and one output format. The two directions may be used
 * by two threads at once. Colours keep their transfer function and primaries;
 * only matrix, range and sampling change. */
typedef struct _DloralConvert DloralConvert;

/* `in`: the LQ frames; `out`: the frames made of HR pictures, which are 4 times
 * as large as `in`. threads: at most this many for large frames. */
DloralConvert *dloral_convert_new (const GstVideoInfo * in,
    const GstVideoInfo * out, guint threads);
void dloral_convert_free (DloralConvert * convert);

/* Whether `out` has alpha that comes from `in`. Then
 * dloral_convert_scale_alpha () fills the alpha of an output frame while its
 * input is at hand, and dloral_convert_from_rgb () leaves it alone. */
gboolean dloral_convert_has_alpha (const DloralConvert * convert);
void dloral_convert_scale_alpha (DloralConvert * convert,
    GstVideoFrame * in, GstVideoFrame * out);

/* An LQ frame to RGB [height][stride], 3 bytes a pixel. */
void dloral_convert_to_rgb (DloralConvert * convert, GstVideoFrame * in,
    guint8 * rgb, gsize stride);

/* An RGB picture [4 * height of in][stride] to an output frame. */
void dloral_convert_from_rgb (DloralConvert * convert, const guint8 * rgb,
    gsize stride, GstVideoFrame * out);

G_END_DECLS
