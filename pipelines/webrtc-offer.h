/* What of a browser's offer we can serve.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <gst/sdp/sdp.h>

G_BEGIN_DECLS

/* A codec, as descriptions of GStreamer elements: those named decode and
 * encode are among them. */
typedef struct
{
  const char *encoding;         /* its name in RTP */
  const char *factories[5];     /* all that have to be there, and NULL */
  const char *depay, *decode, *encode, *pay;
  int bitrate_unit;             /* of the encoder's property, in bits/s */
  const char *bitrate_property;
} WebrtcCodec;

typedef struct
{
  GstSDPMessage *sdp;
  const WebrtcCodec *codec;
  int payload[2];               /* payload type in each of both media */
} WebrtcOffer;

/* FALSE and a sentence for the peer when it is no offer of two videos with a
 * codec in common with us: the first one the camera's, which comes back restored,
 * the second one to be sent by us. */
gboolean webrtc_offer_parse (WebrtcOffer * self, const char *text,
    GError ** error);
void webrtc_offer_clear (WebrtcOffer * self);

/* The elements that are missing for every codec, or NULL where one is there. */
char *webrtc_offer_missing_codecs (void);

G_END_DECLS
