/* Serves the page, and a WebSocket to each participant.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "webrtc-media.h"

G_BEGIN_DECLS

typedef struct
{
  WebrtcMediaParams media;
  char *host;                   /* an IP address */
  int port;                     /* 0: any that is free */
  int participants;             /* at most */
  int idle_timeout;             /* in seconds */
  char *certificate;            /* path of a PEM file with its key; NULL: no TLS */
  char **origins;               /* further ones that pages may come from, or NULL */
} WebrtcServerParams;

typedef struct _WebrtcServer WebrtcServer;

/* `params` must outlive the result, which belongs to the default main context. */
WebrtcServer *webrtc_server_new (const WebrtcServerParams * params,
    GError ** error);
void webrtc_server_free (WebrtcServer * self);

/* Where the page is. */
char *webrtc_server_get_url (WebrtcServer * self);

/* Tells all participants that it is over, and takes no more. */
void webrtc_server_close (WebrtcServer * self);

G_END_DECLS
