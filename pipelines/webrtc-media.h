/* One participant's media: video by WebRTC in; out the same restored, and the
 * same as it came, without being coded anew.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "settings.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  Settings settings;            /* what a participant begins with */
  const char *stun;             /* URL, or NULL: none */
  const char *address;          /* where media are received, or NULL: all */
} WebrtcMediaParams;

/* Called from the default main context; not after webrtc_media_free (). */
typedef struct
{
  void (*answer) (gpointer user_data, const char *sdp);
  void (*candidate) (gpointer user_data, const char *candidate, guint index);
  /* A sentence for the participant. Nothing more will come. */
  void (*failed) (gpointer user_data, const char *message);
} WebrtcMediaCallbacks;

typedef struct
{
  guint64 frames_in, frames_out, frames_dropped, frames_bypassed;
  guint64 latency;              /* of the element, in nanoseconds */
  int width, height, out_width, out_height;     /* 0: not known yet */
  double consistency, detail;
  char *device, *precision;
  const char *codec;
} WebrtcMediaStats;

typedef struct _WebrtcMedia WebrtcMedia;

/* NULL and a sentence for the participant when the offer cannot be served. */
WebrtcMedia *webrtc_media_new (const WebrtcMediaParams * params,
    const char *offer, const WebrtcMediaCallbacks * callbacks,
    gpointer user_data, GError ** error);
void webrtc_media_free (WebrtcMedia * self);

void webrtc_media_add_candidate (WebrtcMedia * self, const char *candidate,
    guint index);

/* 0 … 2, while frames flow. */
void webrtc_media_set_strengths (WebrtcMedia * self, double consistency,
    double detail);

void webrtc_media_get_stats (WebrtcMedia * self, WebrtcMediaStats * stats);
void webrtc_media_stats_clear (WebrtcMediaStats * stats);

/* Whether all is there that participants will need, the model included. */
gboolean webrtc_media_check (const WebrtcMediaParams * params, GError ** error);

G_END_DECLS
