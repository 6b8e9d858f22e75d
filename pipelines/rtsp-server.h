/* The RTSP server of pipelines/rtsp: one medium for all clients, which exists
 * while there are any.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "rtsp-video.h"

#include <glib.h>

G_BEGIN_DECLS

typedef struct _RtspServer RtspServer;

typedef struct
{
  const char *host;             /* an IP address to listen on */
  int port;                     /* 0: any that is free */
  const char *path;             /* begins with a slash */
  const char *user, *password;  /* NULL: nobody is asked for them */
  int clients;                  /* at a time */
} RtspServerParams;

/* Listens; answers while the default main context runs. */
RtspServer *rtsp_server_new (const RtspServerParams * params,
    RtspVideo * video, GError ** error);

/* Closes all connections. */
void rtsp_server_free (RtspServer * self);

char *rtsp_server_get_url (RtspServer * self);

G_END_DECLS
