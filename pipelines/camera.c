/* camera [SOURCE] [OPTION...]: a camera, restored, in a window, in a file or as
 * a virtual camera of PipeWire. pipelines/camera is the command that people run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "live.h"

#include <gio/gio.h>
#include <stdio.h>

/* In the format that all programs take. PipeWire's buffers come back with a size
 * of 0: nobody but pipewiresink, which knows, may write into them (seen in
 * 0.3.65). */
#define VIRTUAL_CAMERA \
  "videoconvert ! video/x-raw,format=I420 ! identity drop-allocation=true" \
  " ! pipewiresink name=camera mode=provide sync=false async=false"

typedef struct
{
  Live live;
  char *name;                   /* of the virtual camera; NULL: there is none */
} Camera;

static gboolean
parse (Camera * self, int argc, char **argv, GError ** error)
{
  const GOptionEntry entries[] = {
    {"virtual", 0, 0, G_OPTION_ARG_STRING, &self->name, NULL, NULL},
    {NULL}
  };

  if (!live_parse (&self->live, &argc, &argv, entries, error))
    return FALSE;
  if (self->name && self->live.out) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "give --virtual or --out, not both");
    return FALSE;
  }
  self->live.text = argc > 1 ? argv[1] : "/dev/video0";
  self->live.drop = !self->live.out;
  return TRUE;
}

static void
set_up_virtual_camera (Camera * self)
{
  GstElement *sink = gst_bin_get_by_name (GST_BIN (self->live.pipeline),
      "camera");
  GstStructure *properties = gst_structure_new ("properties",
      "media.class", G_TYPE_STRING, "Video/Source",
      "media.role", G_TYPE_STRING, "Camera",
      "node.name", G_TYPE_STRING, self->name,
      "node.description", G_TYPE_STRING, self->name, NULL);

  g_object_set (sink, "client-name", self->name, "stream-properties",
      properties, NULL);
  gst_structure_free (properties);
  gst_object_unref (sink);
}

static gboolean
camera (Camera * self, int argc, char **argv, GError ** error)
{
  if (!parse (self, argc, argv, error)
      || !live_build (&self->live, LIVE_QUEUE,
          self->name ? VIRTUAL_CAMERA : NULL, error))
    return FALSE;
  if (self->name)
    set_up_virtual_camera (self);
  return live_run (&self->live, error);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Camera self = { 0 };
  gboolean ok;

  live_init ();
  ok = camera (&self, argc, argv, &error);
  live_clear (&self.live);
  g_free (self.name);
  if (!ok)
    fprintf (stderr, "camera: %s\n", error->message);
  return ok ? 0 : 1;
}
