/* The engine's errors as an element posts them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* Posts `error` as an error message of the element. `text` (taken) is the
 * sentence the user reads; NULL: the error's own message. That message is the
 * debug detail in either case. */
void dloral_element_post_error (GstElement * element, gchar * text,
    const GError * error);

/* The same as a warning of the element, which goes on. */
void dloral_element_post_warning (GstElement * element, gchar * text,
    const GError * error);

G_END_DECLS
