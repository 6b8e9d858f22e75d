/* Subtitles of text, made what muxers take.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* What passes the pad as Pango's markup becomes plain text; <i>, <b> and the
 * like stay where `keep_tags`, as SubRip's in Matroska may have them. Other
 * streams stay as they are. */
void subtitles_make_plain (GstPad * pad, gboolean keep_tags);

G_END_DECLS
