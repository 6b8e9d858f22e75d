/* A tracer of GStreamer's that writes down which frames a program decodes and
 * encodes, for tests that look at it from outside: to the file that FRAMES_LOG
 * names it adds a line for each frame,
 *
 *   decoded TIME                  that leaves a decoder of video
 *   encoded TIME SHA-256          that enters the element called "encode"
 *
 * with the timestamp in ns and the sum over the lines of the picture's planes.
 * Loaded by GST_TRACERS=frames, found by GST_PLUGIN_PATH.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define GST_USE_UNSTABLE_API
#include <gst/video/video.h>

#include <stdio.h>
#include <string.h>

typedef struct
{
  GstTracer parent;
  FILE *log;
} FramesTracer;

typedef GstTracerClass FramesTracerClass;

static GType frames_tracer_get_type (void);
G_DEFINE_TYPE (FramesTracer, frames_tracer, GST_TYPE_TRACER)

static void
add_plane (GChecksum * sum, const GstVideoFrame * frame, guint plane)
{
  const guint8 *row = GST_VIDEO_FRAME_PLANE_DATA (frame, plane);
  int width = GST_VIDEO_FRAME_COMP_WIDTH (frame, plane)
      * GST_VIDEO_FRAME_COMP_PSTRIDE (frame, plane);

  for (int y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT (frame, plane); y++) {
    g_checksum_update (sum, row, width);
    row += GST_VIDEO_FRAME_PLANE_STRIDE (frame, plane);
  }
}

/* Of formats with a plane for each component. */
static char *
sum_up (GstPad * pad, GstBuffer * buffer)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GstVideoInfo info;
  GstVideoFrame frame;

  if (!caps || !gst_video_info_from_caps (&info, caps)
      || !gst_video_frame_map (&frame, &info, buffer, GST_MAP_READ))
    return g_strdup ("unreadable");
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&frame); i++)
    add_plane (sum, &frame, i);
  gst_video_frame_unmap (&frame);
  return g_strdup (g_checksum_get_string (sum));
}

static gboolean
is_decoder (GstObject * parent)
{
  GstElementFactory *factory = GST_IS_ELEMENT (parent)
      ? gst_element_get_factory (GST_ELEMENT (parent)) : NULL;

  return factory && gst_element_factory_list_is_type (factory,
      GST_ELEMENT_FACTORY_TYPE_DECODER | GST_ELEMENT_FACTORY_TYPE_MEDIA_VIDEO);
}

static void
on_push (FramesTracer * self, GstClockTime now, GstPad * pad,
    GstBuffer * buffer)
{
  GstPad *peer = GST_PAD_PEER (pad);
  GstObject *from = GST_OBJECT_PARENT (pad);
  GstObject *to = peer ? GST_OBJECT_PARENT (peer) : NULL;

  if (from && is_decoder (from))
    fprintf (self->log, "decoded %" G_GUINT64_FORMAT "\n",
        GST_BUFFER_PTS (buffer));
  if (to && strcmp (GST_OBJECT_NAME (to), "encode") == 0) {
    g_autofree char *sum = sum_up (pad, buffer);

    fprintf (self->log, "encoded %" G_GUINT64_FORMAT " %s\n",
        GST_BUFFER_PTS (buffer), sum);
  }
}

static void
frames_tracer_init (FramesTracer * self)
{
  self->log = fopen (g_getenv ("FRAMES_LOG"), "a");
  if (!self->log)
    g_error ("FRAMES_LOG cannot be written");
  setvbuf (self->log, NULL, _IOLBF, 0);
  gst_tracing_register_hook (GST_TRACER (self), "pad-push-pre",
      G_CALLBACK (on_push));
}

static void
frames_tracer_finalize (GObject * object)
{
  fclose (((FramesTracer *) object)->log);
  G_OBJECT_CLASS (frames_tracer_parent_class)->finalize (object);
}

static void
frames_tracer_class_init (FramesTracerClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = frames_tracer_finalize;
}

static gboolean
plugin_init (GstPlugin * plugin)
{
  return gst_tracer_register (plugin, "frames", frames_tracer_get_type ());
}

#define PACKAGE "gst-dloral"

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, frames,
    "what is decoded and encoded", plugin_init, "0.1", "LGPL", PACKAGE, PACKAGE)
