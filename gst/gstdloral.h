/* The element `dloral`.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/base/gstbasetransform.h>
#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_DLORAL (gst_dloral_get_type ())
G_DECLARE_FINAL_TYPE (GstDloral, gst_dloral, GST, DLORAL, GstBaseTransform);

GST_ELEMENT_REGISTER_DECLARE (dloral);

G_END_DECLS
