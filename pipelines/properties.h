/* Properties of dloral that people set by NAME=VALUE.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The same settings in the same words, sorted, with absolute paths; the
 * caller's. `given` may be NULL. NULL and `error` where one is not among those
 * that say how the picture is made, or its value not one that it takes. */
char **properties_normalize (char **given, GError ** error);

/* What follows NAME= in the result of that; NULL: not set. */
const char *properties_get (char **properties, const char *name);

/* How many frames have to be restored and thrown away so that the next one
 * comes out as after all that came before it. */
guint properties_count_lead (char **properties);

G_END_DECLS
