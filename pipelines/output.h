/* Where the live programs put video: a window, or a file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The end of a pipeline, as for gst-launch, that takes raw video; not to be
 * freed. NULL and `error` where there is no such thing, or `path` cannot be
 * written or is there already. The file's sink is called "out". */
const char *output_choose_window (GError ** error);
const char *output_describe_file (const char *path, GError ** error);

G_END_DECLS
