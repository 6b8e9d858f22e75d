/* What of a browser's offer we can serve, see webrtc-offer.h. Relies on nothing
 * in the text: it comes from anybody.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "webrtc-offer.h"

#include <gio/gio.h>
#include <gst/gst.h>
#include <string.h>

/* No encoder here looks ahead or keeps a frame back, and each makes a key frame
 * only when it is asked for one, as a browser does when it has lost something. */
static const WebrtcCodec codecs[] = {
  {
    .encoding = "VP8",
    .factories = { "rtpvp8depay", "vp8dec", "vp8enc", "rtpvp8pay" },
    .depay = "rtpvp8depay request-keyframe=true wait-for-keyframe=true",
    .decode = "vp8dec name=decode automatic-request-sync-points=true",
    .encode = "vp8enc name=encode deadline=1 cpu-used=8 end-usage=cbr lag-in-frames=0"
        " keyframe-max-dist=3000 threads=2",
    .pay = "rtpvp8pay picture-id-mode=15-bit",
    .bitrate_property = "target-bitrate",
    .bitrate_unit = 1,
  },
  {
    .encoding = "H264",
    .factories = { "rtph264depay", "avdec_h264", "x264enc", "rtph264pay" },
    .depay = "rtph264depay request-keyframe=true wait-for-keyframe=true"
        " ! video/x-h264,stream-format=byte-stream,alignment=au",
    .decode = "avdec_h264 name=decode automatic-request-sync-points=true thread-type=slice",
    .encode = "x264enc name=encode tune=zerolatency speed-preset=ultrafast key-int-max=3000"
        " ! video/x-h264,profile=constrained-baseline",
    .pay = "rtph264pay config-interval=-1 aggregate-mode=zero-latency",
    .bitrate_property = "bitrate",
    .bitrate_unit = 1000,
  },
  {
    .encoding = "H264",
    .factories = { "rtph264depay", "openh264dec", "openh264enc", "rtph264pay" },
    .depay = "rtph264depay request-keyframe=true wait-for-keyframe=true"
        " ! video/x-h264,stream-format=byte-stream,alignment=au",
    .decode = "openh264dec name=decode automatic-request-sync-points=true",
    .encode = "openh264enc name=encode complexity=low rate-control=bitrate gop-size=3000"
        " ! video/x-h264,profile=constrained-baseline",
    .pay = "rtph264pay config-interval=-1 aggregate-mode=zero-latency",
    .bitrate_property = "bitrate",
    .bitrate_unit = 1,
  },
};

#define N_MEDIAS 2

/* --- Codecs --------------------------------------------------------------- */

static gboolean
is_usable (const WebrtcCodec * codec)
{
  for (guint i = 0; codec->factories[i]; i++) {
    GstElementFactory *factory =
        gst_element_factory_find (codec->factories[i]);

    if (!factory)
      return FALSE;
    gst_object_unref (factory);
  }
  return TRUE;
}

static const WebrtcCodec *
find_codec (const char *encoding)
{
  for (guint i = 0; i < G_N_ELEMENTS (codecs); i++) {
    if (g_ascii_strcasecmp (codecs[i].encoding, encoding) == 0
        && is_usable (&codecs[i]))
      return &codecs[i];
  }
  return NULL;
}

char *
webrtc_offer_missing_codecs (void)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (codecs); i++) {
    if (is_usable (&codecs[i]))
      return NULL;
    for (guint j = 0; codecs[i].factories[j]; j++)
      g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "",
          codecs[i].factories[j]);
  }
  return g_string_free (g_steal_pointer (&names), FALSE);
}

/* H.264 comes in many profiles; what our encoders write is the baseline's, in
 * packets of mode 1. */
static gboolean
suits (const GstStructure * format)
{
  const char *encoding = gst_structure_get_string (format, "encoding-name");
  const char *mode = gst_structure_get_string (format, "packetization-mode");
  const char *level = gst_structure_get_string (format, "profile-level-id");
  const char *profile = gst_structure_get_string (format, "profile");

  if (g_ascii_strcasecmp (encoding, "H264") != 0)
    return TRUE;
  /* GStreamer names the profile where each side may have a level of its own. */
  return g_strcmp0 (mode, "1") == 0
      && ((level && g_str_has_prefix (level, "42"))
      || (profile && g_str_has_suffix (profile, "baseline")));
}

/* The payload type of the first format of `media` that suits, and its codec;
 * `only` limits it to one codec. -1: none. */
static int
choose_format (const GstSDPMedia * media, const WebrtcCodec * only,
    const WebrtcCodec ** codec)
{
  for (guint i = 0; i < gst_sdp_media_formats_len (media); i++) {
    guint64 payload;
    g_autoptr (GstCaps) caps = NULL;
    const GstStructure *format;
    const char *encoding;

    if (!g_ascii_string_to_unsigned (gst_sdp_media_get_format (media, i), 10, 0,
            127, &payload, NULL))
      continue;
    caps = gst_sdp_media_get_caps_from_media (media, payload);
    format = caps ? gst_caps_get_structure (caps, 0) : NULL;
    encoding = format ? gst_structure_get_string (format, "encoding-name")
        : NULL;
    if (!encoding || !suits (format))
      continue;
    *codec = find_codec (encoding);
    if (*codec && (!only || *codec == only))
      return payload;
  }
  return -1;
}

/* --- Offers --------------------------------------------------------------- */

static gboolean
fail (GError ** error, const char *message)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, message);
  return FALSE;
}

/* What webrtcbin takes for granted in a medium. */
static gboolean
is_complete (const GstSDPMessage * sdp, const GstSDPMedia * media)
{
  static const char *const attributes[] = { "ice-ufrag", "ice-pwd",
    "fingerprint", "setup"
  };

  if (g_strcmp0 (gst_sdp_media_get_media (media), "video") != 0
      || !gst_sdp_media_get_attribute_val (media, "mid"))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (attributes); i++) {
    if (!gst_sdp_media_get_attribute_val (media, attributes[i])
        && !gst_sdp_message_get_attribute_val (sdp, attributes[i]))
      return FALSE;
  }
  return TRUE;
}

static gboolean
choose_codec (WebrtcOffer * self, GError ** error)
{
  for (guint i = 0; i < N_MEDIAS; i++) {
    const GstSDPMedia *media = gst_sdp_message_get_media (self->sdp, i);

    if (!is_complete (self->sdp, media))
      return fail (error, "The offer is not one of two videos.");
    self->payload[i] = choose_format (media, self->codec, &self->codec);
    if (self->payload[i] < 0)
      return fail (error, "The offer has no codec that can be used here: VP8 "
          "or H.264 (baseline profile, packetization mode 1).");
  }
  return TRUE;
}

gboolean
webrtc_offer_parse (WebrtcOffer * self, const char *text, GError ** error)
{
  memset (self, 0, sizeof *self);
  if (!g_str_has_prefix (text, "v=0")
      || gst_sdp_message_new_from_text (text, &self->sdp) != GST_SDP_OK)
    return fail (error, "The offer is not SDP.");
  if (gst_sdp_message_medias_len (self->sdp) != N_MEDIAS)
    return fail (error, "The offer is not one of two videos.");
  return choose_codec (self, error);
}

void
webrtc_offer_clear (WebrtcOffer * self)
{
  g_clear_pointer (&self->sdp, gst_sdp_message_free);
}
