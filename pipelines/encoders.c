/* The video encoders that --encoder names, see encoders.h. Each is set to a
 * constant quality at which what was restored is still to be seen, and to
 * closed groups of pictures, so that a key frame is a place to go on from.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "encoders.h"

#include <gio/gio.h>

/* As muxers take them. */
#define H264 "video/x-h264,stream-format=avc,alignment=au"
#define H265 "video/x-h265,stream-format=hvc1,alignment=au"
#define AV1 "video/x-av1,stream-format=obu-stream,alignment=tu"
#define VP9 "video/x-vp9"

static const Encoder encoders[] = {
  {"x264", "x264enc",
      "x264enc name=encode pass=qual quantizer=18 speed-preset=faster",
      H264, "gstreamer1.0-plugins-ugly"},
  {"x265", "x265enc",
      "x265enc name=encode speed-preset=faster option-string=crf=20:open-gop=0"
      " ! h265parse", H265, "gstreamer1.0-plugins-bad"},
  {"av1", "svtav1enc",
      "svtav1enc name=encode preset=8 crf=24 ! av1parse",
      AV1, "gstreamer1.0-plugins-bad"},
  {"av1", "av1enc",
      "av1enc name=encode end-usage=q cpu-used=8 row-mt=true ! av1parse",
      AV1, "gstreamer1.0-plugins-bad"},
  {"svt-av1", "svtav1enc",
      "svtav1enc name=encode preset=8 crf=24 ! av1parse",
      AV1, "gstreamer1.0-plugins-bad 1.24 or later"},
  {"vp9", "vp9enc",
      "vp9enc name=encode end-usage=cq cq-level=18 bits-per-pixel=0.3"
      " deadline=1 cpu-used=4 row-mt=true",
      VP9, "gstreamer1.0-plugins-good"},
  {"nvenc", "nvh264enc",
      "nvh264enc name=encode rc-mode=vbr const-quality=20 ! h264parse",
      H264, "gstreamer1.0-plugins-bad and NVIDIA's driver"},
  {"nvenc-h265", "nvh265enc",
      "nvh265enc name=encode rc-mode=vbr const-quality=22 ! h265parse",
      H265, "gstreamer1.0-plugins-bad and NVIDIA's driver"},
};

static gboolean
fits (const Encoder * encoder, Container container)
{
  return container != CONTAINER_WEBM
      || g_str_equal (encoder->caps, VP9)
      || g_str_equal (encoder->caps, AV1);
}

static gboolean
is_installed (const Encoder * encoder)
{
  g_autoptr (GstElementFactory) factory =
      gst_element_factory_find (encoder->factory);

  return factory != NULL;
}

static char *
list_names (void)
{
  GString *names = g_string_new (encoders[0].name);

  for (guint i = 1; i < G_N_ELEMENTS (encoders); i++) {
    if (!g_str_equal (encoders[i].name, encoders[i - 1].name))
      g_string_append_printf (names, ", %s", encoders[i].name);
  }
  return g_string_free (names, FALSE);
}

const Encoder *
encoder_find (const char *name, Container container, GError ** error)
{
  const Encoder *absent = NULL;
  g_autofree char *names = NULL;

  if (!name)
    name = container == CONTAINER_WEBM ? "vp9" : "x264";
  for (guint i = 0; i < G_N_ELEMENTS (encoders); i++) {
    if (!g_str_equal (encoders[i].name, name))
      continue;
    absent = &encoders[i];
    if (!fits (absent, container)) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
          "a .webm file does not take what %s makes: choose vp9 or av1, or a "
          "name that ends in .mkv", name);
      return NULL;
    }
    if (is_installed (absent))
      return absent;
  }
  names = list_names ();
  if (absent)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
        "the encoder %s is not here: GStreamer has no element %s, install %s",
        name, absent->factory, absent->package);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "there is no encoder \"%s\", choose one of %s", name, names);
  return NULL;
}

const char *
encoder_choose_format (GstElement * encode, guint depth)
{
  static const char *const formats[] = { "I420_10LE", "P010_10LE", "I420",
    "NV12"
  };
  GstPadTemplate *template = gst_element_get_pad_template (encode, "sink");
  g_autoptr (GstCaps) taken = gst_pad_template_get_caps (template);

  for (guint i = depth > 8 ? 0 : 2; i < G_N_ELEMENTS (formats); i++) {
    g_autoptr (GstCaps) caps = gst_caps_new_simple ("video/x-raw",
        "format", G_TYPE_STRING, formats[i], NULL);

    if (gst_caps_can_intersect (caps, taken))
      return formats[i];
  }
  return "I420";
}
