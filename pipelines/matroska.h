/* Puts right what matroskamux writes otherwise than it should.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* In a finished file: tags lose the quotes and escapes that matroskamux 1.22
 * puts around them, and tracks the names "Video", "Audio" and "Subtitle" that
 * it makes up; of the tracks of sound only the first, and of those of subtitles
 * none stays marked as a default one. */
gboolean matroska_mend (const char *path, GError ** error);

G_END_DECLS
