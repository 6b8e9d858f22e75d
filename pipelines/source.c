/* Where the live programs of this folder take video from, see source.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "source.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <gst/gst.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Frames in a decoder's own memory would not reach the next element. */
#define DECODE "force-sw-decoders=true"

/* Cameras are asked for the mode that is nearest to this: they like to begin
 * with their largest. */
#define CAMERA_WIDTH 320
#define CAMERA_HEIGHT 240

typedef struct
{
  const char *prefix;
  const char *launch;
  const char *property;         /* takes what follows "prefix:" */
  gboolean camera;              /* gives several formats and sizes */
  const char *advice;
} Kind;

enum
{ KIND_TEST, KIND_LIBCAMERA, KIND_PIPEWIRE, KIND_V4L2, KIND_URI };

static const Kind kinds[] = {
  [KIND_TEST] = {"test", "videotestsrc name=source is-live=true pattern=smpte"
        " horizontal-speed=2 ! video/x-raw,format=I420,width=320,height=180,"
        "framerate=25/1", NULL, FALSE, "try again"},
  [KIND_LIBCAMERA] = {"libcamera", "libcamerasrc name=source", "camera-name",
        TRUE, "connect a camera (\"cam --list\" shows those that are there)"},
  [KIND_PIPEWIRE] = {"pipewire", "pipewiresrc name=source", "target-object", TRUE,
        "see that PipeWire runs and has a camera (\"pw-cli ls Node\" shows all"
        " that is there)"},
  [KIND_V4L2] = {"/dev/video", "v4l2src name=source", "device", TRUE,
        "connect a camera (\"ls /dev/video*\" shows those that are there)"},
  [KIND_URI] = {"", "uridecodebin name=source " DECODE, "uri", FALSE,
        "check the address, and that it is a video"},
};

static const Kind *
find_kind (const char *text, const char **rest)
{
  gsize n;

  *rest = text;
  for (guint i = KIND_TEST; i <= KIND_PIPEWIRE; i++) {
    n = strlen (kinds[i].prefix);
    if (strncmp (text, kinds[i].prefix, n) != 0)
      continue;
    if (text[n] == '\0' || (text[n] == ':' && kinds[i].property)) {
      *rest = text[n] == ':' && text[n + 1] != '\0' ? text + n + 1 : NULL;
      return &kinds[i];
    }
  }
  if (g_str_has_prefix (text, kinds[KIND_V4L2].prefix))
    return &kinds[KIND_V4L2];
  return &kinds[KIND_URI];
}

const char *
source_get_advice (const char *text)
{
  const char *rest;

  return find_kind (text, &rest)->advice;
}

static gboolean
check_device (const char *path, GError ** error)
{
  GStatBuf info;

  if (g_stat (path, &info) == 0 && S_ISCHR (info.st_mode))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
      "there is no camera \"%s\": %s", path, kinds[KIND_V4L2].advice);
  return FALSE;
}

static gboolean
check_libcamera (GError ** error)
{
  GstElementFactory *factory = gst_element_factory_find ("libcamerasrc");

  if (factory) {
    gst_object_unref (factory);
    return TRUE;
  }
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
      "\"libcamera\" needs GStreamer's plugin for it: apt-get install"
      " gstreamer1.0-libcamera");
  return FALSE;
}

/* What has no scheme is a file. */
static char *
make_uri (const char *text, GError ** error)
{
  g_autoptr (GFile) file = NULL;

  if (gst_uri_is_valid (text)) {
    g_autofree char *protocol = gst_uri_get_protocol (text);

    if (gst_uri_protocol_is_supported (GST_URI_SRC, protocol))
      return g_strdup (text);
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
        "\"%s\" cannot be opened: nothing here reads \"%s:\", install the"
        " GStreamer plugin for it", text, protocol);
    return NULL;
  }
  if (!g_file_test (text, G_FILE_TEST_IS_REGULAR)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
        "cannot open \"%s\": there is no such file; give a file, a URI,"
        " /dev/video0, libcamera, pipewire or test", text);
    return NULL;
  }
  file = g_file_new_for_commandline_arg (text);
  return g_file_get_uri (file);
}

static gboolean
parse_size (const char *size, int *width, int *height, GError ** error)
{
  char end;

  if (sscanf (size, "%5dx%5d%c", width, height, &end) == 2
      && *width >= 16 && *height >= 16 && *width <= 8192 && *height <= 8192)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
      "\"%s\" is not a size: give one as 320x180, from 16x16 up", size);
  return FALSE;
}

static char *
describe (const Kind * kind, int width, int height)
{
  GString *text = g_string_new (kind->launch);
  gboolean fixed = width > 0;

  if (!fixed) {
    width = CAMERA_WIDTH;
    height = CAMERA_HEIGHT;
  }
  if (kind->camera)
    g_string_append_printf (text, " ! capsfilter caps=\""
        "video/x-raw,width=%d,height=%d;image/jpeg,width=%d,height=%d;"
        "video/x-raw;image/jpeg\" ! decodebin " DECODE, width, height, width,
        height);
  g_string_append (text, " ! videoflip video-direction=auto"
      " ! deinterlace fields=top ! videoconvert");
  if (fixed)
    g_string_append_printf (text, " ! videoscale add-borders=true"
        " ! video/x-raw,width=%d,height=%d,pixel-aspect-ratio=1/1", width,
        height);
  return g_string_free (text, FALSE);
}

gboolean
source_init (Source * self, const char *text, const char *size,
    GError ** error)
{
  int width = 0, height = 0;
  const char *rest;
  const Kind *kind = find_kind (text, &rest);

  *self = (Source) { 0 };
  if (size && !parse_size (size, &width, &height, error))
    return FALSE;
  if (kind == &kinds[KIND_V4L2] && !check_device (text, error))
    return FALSE;
  if (kind == &kinds[KIND_LIBCAMERA] && !check_libcamera (error))
    return FALSE;
  if (kind == &kinds[KIND_URI]) {
    self->value = make_uri (text, error);
    if (!self->value)
      return FALSE;
  } else {
    self->value = g_strdup (rest);
  }
  self->stamp = kind == &kinds[KIND_PIPEWIRE];
  self->property = self->value ? kind->property : NULL;
  self->launch = describe (kind, width, height);
  return TRUE;
}

void
source_clear (Source * self)
{
  g_clear_pointer (&self->launch, g_free);
  g_clear_pointer (&self->value, g_free);
}
