/* The plugin: one element.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloral.h"

static gboolean
plugin_init (GstPlugin * plugin)
{
  return GST_ELEMENT_REGISTER (dloral, plugin);
}

#define PACKAGE "gst-dloral"

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, dloral,
    "Video super-resolution by one-step diffusion", plugin_init,
    DLORAL_VERSION, "LGPL", PACKAGE, "gst-dloral")
