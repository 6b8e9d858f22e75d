/* Choices as types of properties: the engine's, and what only the element knows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

#define GST_TYPE_DLORAL_DEVICE (gst_dloral_device_get_type ())
GType gst_dloral_device_get_type (void);

#define GST_TYPE_DLORAL_PRECISION (gst_dloral_precision_get_type ())
GType gst_dloral_precision_get_type (void);

#define GST_TYPE_DLORAL_COLOR_FIX (gst_dloral_color_fix_get_type ())
GType gst_dloral_color_fix_get_type (void);

#define GST_TYPE_DLORAL_VAE (gst_dloral_vae_get_type ())
GType gst_dloral_vae_get_type (void);

/* Which frames the tagger looks at, to find a prompt. */
typedef enum
{
  DLORAL_AUTO_PROMPT_OFF,
  DLORAL_AUTO_PROMPT_FIRST_FRAME,
  DLORAL_AUTO_PROMPT_SCENE,
} DloralAutoPrompt;

#define GST_TYPE_DLORAL_AUTO_PROMPT (gst_dloral_auto_prompt_get_type ())
GType gst_dloral_auto_prompt_get_type (void);

/* What becomes of frames that come faster than they can be restored. */
typedef enum
{
  DLORAL_OVERLOAD_BLOCK,
  DLORAL_OVERLOAD_DROP,
  DLORAL_OVERLOAD_BYPASS,
} DloralOverload;

#define GST_TYPE_DLORAL_OVERLOAD (gst_dloral_overload_get_type ())
GType gst_dloral_overload_get_type (void);

G_END_DECLS
