/* Where the live programs put video, see output.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "output.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <string.h>
#include <unistd.h>

#define X264 \
  "videoconvert ! video/x-raw,format=I420" \
  " ! x264enc pass=qual quantizer=18 speed-preset=faster" \
  " ! video/x-h264,profile=high"

static gboolean
opens (const char *factory)
{
  GstElement *sink = gst_element_factory_make (factory, NULL);
  gboolean ok = FALSE;

  if (!sink)
    return FALSE;
  gst_object_ref_sink (sink);
  ok = gst_element_set_state (sink, GST_STATE_READY)
      != GST_STATE_CHANGE_FAILURE;
  gst_element_set_state (sink, GST_STATE_NULL);
  gst_object_unref (sink);
  return ok;
}

/* autovideosink would rather show nothing than fail. Best first; the last does
 * not tell of mouse and keys. */
const char *
output_choose_window (GError ** error)
{
  const char *display = g_getenv ("DISPLAY");
  const char *wayland = g_getenv ("WAYLAND_DISPLAY");

  if (display && *display && opens ("xvimagesink"))
    return "videoconvert ! xvimagesink";
  if (display && *display && opens ("ximagesink"))
    return "videoconvert ! ximagesink";
  if (wayland && *wayland && opens ("waylandsink"))
    return "videoconvert ! waylandsink";
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
      "no window can be opened on the display \"%s\": set DISPLAY, or write a"
      " file, see --help", display ? display : "");
  return NULL;
}

const char *
output_describe_file (const char *path, GError ** error)
{
  const char *dot = strrchr (path, '.');
  g_autofree char *folder = g_path_get_dirname (path);

  if (g_file_test (path, G_FILE_TEST_EXISTS))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
        "\"%s\" is there already: give another name, or delete it", path);
  else if (g_access (folder, W_OK) < 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
        "cannot write in the folder \"%s\": %s", folder, g_strerror (errno));
  else if (dot && g_ascii_strcasecmp (dot, ".mkv") == 0)
    return X264 " ! h264parse ! matroskamux ! filesink name=out";
  else if (dot && g_ascii_strcasecmp (dot, ".mp4") == 0)
    return X264 " ! h264parse ! mp4mux ! filesink name=out";
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_FILENAME,
        "the video's name must end in .mkv or .mp4, not \"%s\"", path);
  return NULL;
}
