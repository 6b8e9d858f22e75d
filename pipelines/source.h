/* Where the live programs of this folder take video from: what a person calls a
 * source, as the beginning of a pipeline.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  char *launch;                 /* as for gst-launch, gives raw video; its first
                                   element is called "source" */
  const char *property;         /* of "source", to be set to `value`; or NULL */
  char *value;
  gboolean stamp;               /* its frames have no time of their own */
} Source;

/* `text`: a file, a URI, a V4L2 device, libcamera[:NAME], pipewire[:NAME] or
 * test. `size`: "WIDTHxHEIGHT" that the video gets, or NULL. FALSE and `error`
 * where it can be said at once that nothing comes from there. */
gboolean source_init (Source * self, const char *text, const char *size,
    GError ** error);
void source_clear (Source * self);

/* A sentence's end: what to do when `text` gives no picture. */
const char *source_get_advice (const char *text);

G_END_DECLS
