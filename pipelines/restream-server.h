/* Serves a stream by HLS, and a page that plays it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "hls.h"

G_BEGIN_DECLS

typedef struct _RestreamServer RestreamServer;

/* `host`: an IP address; port 0: any that is free. `hls` must outlive the result,
 * which belongs to the default main context. */
RestreamServer *restream_server_new (const char *folder, Hls * hls,
    const char *host, int port, GError ** error);
void restream_server_free (RestreamServer * self);

/* Where the page is. */
char *restream_server_get_url (RestreamServer * self);

G_END_DECLS
