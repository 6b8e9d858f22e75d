/* Where the default model is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Its file, near the plugin or where it was installed. NULL when there is none;
 * then `error` says where it was looked for. */
gchar *dloral_find_default_model (GError ** error);

G_END_DECLS
