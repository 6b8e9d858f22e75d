/* Between video frames and the engine's: what a format is in the engine's words,
 * copies to and from its memory, and what the engine does not do itself, which is
 * other sizes than four times the input's, and alpha.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/video/video.h>

#include "engine/video.h"

G_BEGIN_DECLS

/* Both ways for one input and one output format. The two directions may be used
 * by two threads at once. Colours keep their transfer function and primaries;
 * only matrix, range and sampling change. */
typedef struct _DloralConvert DloralConvert;

/* Whether the engine's pictures must be of 16 bits for frames of these. */
gboolean dloral_convert_is_deep (const GstVideoInfo * in,
    const GstVideoInfo * out);

/* A frame of `info`, laid out as that says; deep: its pictures are of 16 bits. */
void dloral_convert_describe (const GstVideoInfo * info, gboolean deep,
    DloralVideoFormat * format);

/* `in`: the LQ frames; `out`: the frames made of HR pictures, which are 4 times
 * as large as `in`. threads: at most this many for large frames. */
DloralConvert *dloral_convert_new (const GstVideoInfo * in,
    const GstVideoInfo * out, guint threads);
void dloral_convert_free (DloralConvert * convert);

/* From one format and size to another, without the engine: Catmull-Rom with as many
 * taps as shrinking needs not to alias, in at most that many threads. Transfer
 * function and primaries are left alone. NULL where it cannot be done. */
GstVideoConverter *dloral_converter_new (const GstVideoInfo * in,
    const GstVideoInfo * out, guint threads);

/* What the engine is to take and to make. The latter is NULL for pictures as they
 * are. Owned by the converter. */
const DloralVideoFormat *dloral_convert_get_in (const DloralConvert * convert);
const DloralVideoFormat *dloral_convert_get_out (const DloralConvert * convert);

/* Whether what the engine makes is `out`; else it is RGB, and the rest is made
 * here. */
gboolean dloral_convert_is_direct (const DloralConvert * convert);

/* Whether `out` has alpha that comes from `in`. Then
 * dloral_convert_scale_alpha () fills the alpha of an output frame while its
 * input is at hand, and dloral_convert_take () leaves it alone. */
gboolean dloral_convert_has_alpha (const DloralConvert * convert);
void dloral_convert_scale_alpha (DloralConvert * convert,
    GstVideoFrame * in, GstVideoFrame * out);

/* A frame into the engine's memory. */
void dloral_convert_put (DloralConvert * convert, GstVideoFrame * in,
    guint8 * lq);

/* And what the engine made of it, to an output frame. stride: of its rows. */
void dloral_convert_take (DloralConvert * convert, const guint8 * hr,
    gsize stride, GstVideoFrame * out);

G_END_DECLS
