/* Options that say how dloral restores, see settings.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "settings.h"

#include <gio/gio.h>

void
settings_add (Settings * self, GOptionContext * context)
{
  const GOptionEntry entries[] = {
    {"model", 0, 0, G_OPTION_ARG_FILENAME, &self->model, NULL, NULL},
    {"device", 0, 0, G_OPTION_ARG_STRING, &self->device, NULL, NULL},
    {"consistency", 0, 0, G_OPTION_ARG_DOUBLE, &self->consistency, NULL, NULL},
    {"detail", 0, 0, G_OPTION_ARG_DOUBLE, &self->detail, NULL, NULL},
    {NULL}
  };

  *self = (Settings) { .consistency = 1, .detail = 1 };
  g_option_context_add_main_entries (context, entries, NULL);
}

gboolean
settings_check (const Settings * self, GError ** error)
{
  static const char *const devices[] = { "auto", "cpu", "cuda", NULL };

  if (!(self->consistency >= 0 && self->consistency <= 2))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "--consistency takes a number from 0 to 2");
  else if (!(self->detail >= 0 && self->detail <= 2))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "--detail takes a number from 0 to 2");
  else if (self->device && !g_strv_contains (devices, self->device))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "--device takes auto, cpu or cuda");
  else if (self->model && !g_file_test (self->model, G_FILE_TEST_IS_REGULAR))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
        "cannot open \"%s\": there is no such model file", self->model);
  else
    return TRUE;
  return FALSE;
}

gboolean
settings_check_range (const char *name, int value, int min, int max,
    GError ** error)
{
  if (value >= min && value <= max)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
      "--%s takes a number from %d to %d, not %d", name, min, max, value);
  return FALSE;
}

void
settings_apply (const Settings * self, GstElement * restore)
{
  g_object_set (restore, "model", self->model, "consistency-strength",
      self->consistency, "detail-strength", self->detail, NULL);
  if (self->device)
    gst_util_set_object_arg (G_OBJECT (restore), "device", self->device);
}

void
settings_clear (Settings * self)
{
  g_clear_pointer (&self->model, g_free);
  g_clear_pointer (&self->device, g_free);
}
