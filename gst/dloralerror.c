/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Which GStreamer error an engine's error is.
 */
#include "dloralerror.h"

#include "engine/dloral.h"

static void
dloral_error_get_gst_code (const GError * error, GQuark * domain, gint * code)
{
  *domain = GST_RESOURCE_ERROR;
  *code = GST_RESOURCE_ERROR_FAILED;
  if (error->domain != DLORAL_ERROR)
    return;

  switch ((DloralError) error->code) {
    case DLORAL_ERROR_NOT_FOUND:
      *code = GST_RESOURCE_ERROR_NOT_FOUND;
      break;
    case DLORAL_ERROR_FILE:
    case DLORAL_ERROR_CONFIG:
      *code = GST_RESOURCE_ERROR_READ;
      break;
    case DLORAL_ERROR_MEMORY:
      *code = GST_RESOURCE_ERROR_NO_SPACE_LEFT;
      break;
    case DLORAL_ERROR_DEVICE:
    case DLORAL_ERROR_DEVICE_LOST:
      *domain = GST_LIBRARY_ERROR;
      *code = GST_LIBRARY_ERROR_FAILED;
      break;
    case DLORAL_ERROR_CANCELLED:
      break;
    case DLORAL_ERROR_SCALES:
    case DLORAL_ERROR_ARGUMENT:
      *domain = GST_LIBRARY_ERROR;
      *code = GST_LIBRARY_ERROR_SETTINGS;
      break;
  }
}

static void
dloral_element_post (GstElement * element, GstMessageType type, gchar * text,
    const GError * error)
{
  GQuark domain;
  gint code;

  dloral_error_get_gst_code (error, &domain, &code);
  gst_element_message_full (element, type, domain, code,
      text ? text : g_strdup (error->message), g_strdup (error->message),
      __FILE__, GST_FUNCTION, __LINE__);
}

void
dloral_element_post_error (GstElement * element, gchar * text,
    const GError * error)
{
  dloral_element_post (element, GST_MESSAGE_ERROR, text, error);
}

void
dloral_element_post_warning (GstElement * element, gchar * text,
    const GError * error)
{
  dloral_element_post (element, GST_MESSAGE_WARNING, text, error);
}
