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
  "videoconvert ! video/x-raw,format=I420 ! identity name=last" \
  " drop-allocation=true" \
  " ! pipewiresink name=camera mode=provide sync=false async=false"

typedef struct
{
  Live live;
  char *name;                   /* of the virtual camera; NULL: there is none */
  gboolean has_frame;           /* of the thread that gives it frames */
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

static GstPadProbeReturn
on_frame (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Camera *self = user_data;

  self->has_frame = TRUE;
  return GST_PAD_PROBE_REMOVE;
}

/* Sticky events that are dropped here come again before the frame does. */
static GstPadProbeReturn
before_caps (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  Camera *self = user_data;
  GstEventType type = GST_EVENT_TYPE (GST_PAD_PROBE_INFO_EVENT (info));

  if (!self->has_frame && (type == GST_EVENT_CAPS || type == GST_EVENT_SEGMENT
          || type == GST_EVENT_TAG))
    return GST_PAD_PROBE_DROP;
  return GST_PAD_PROBE_OK;
}

/* pipewiresink is a camera as soon as it has caps, but says how large frames are
 * with the first one: who opens it in between gets buffers of no size (0.3.65). */
static void
hold_caps (Camera * self)
{
  GstElement *last = gst_bin_get_by_name (GST_BIN (self->live.pipeline), "last");
  GstPad *sink = gst_element_get_static_pad (last, "sink");
  GstPad *src = gst_element_get_static_pad (last, "src");

  gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_BUFFER, on_frame, self, NULL);
  gst_pad_add_probe (src, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, before_caps,
      self, NULL);
  gst_object_unref (src);
  gst_object_unref (sink);
  gst_object_unref (last);
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
  if (self->name) {
    set_up_virtual_camera (self);
    hold_caps (self);
  }
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
