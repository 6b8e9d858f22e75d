/* One participant: what is said over the WebSocket, and when it ends. Messages
 * are flat JSON objects with a "type".
 *
 * From the page: offer (sdp), candidate (candidate, index), settings
 * (consistency, detail). To the page: answer (sdp), candidate, stats, and last
 * of all end (reason, message).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "webrtc-media.h"

#include <libsoup/soup.h>

G_BEGIN_DECLS

typedef struct _WebrtcPeer WebrtcPeer;

/* The participant is freed by the time it is called. */
typedef void (*WebrtcPeerEnded) (WebrtcPeer * self, gpointer user_data);

/* Ends by itself when anything is wrong or no frame has come for `idle_timeout`
 * seconds; frees itself then. `params` must outlive it. */
WebrtcPeer *webrtc_peer_new (SoupWebsocketConnection * connection,
    const WebrtcMediaParams * params, guint idle_timeout,
    WebrtcPeerEnded ended, gpointer user_data);

/* Says why, closes and frees. NULL message: nothing is said. */
void webrtc_peer_end (WebrtcPeer * self, const char *reason,
    const char *message);

/* The same for a connection that is no participant. */
void webrtc_peer_turn_away (SoupWebsocketConnection * connection,
    const char *reason, const char *message);

G_END_DECLS
