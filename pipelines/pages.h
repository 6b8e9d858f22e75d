/* What programs of this folder that serve a page by HTTP share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <libsoup/soup.h>

G_BEGIN_DECLS

typedef struct
{
  const char *path, *type;
  const char *resource;         /* a GResource's path */
} Page;

/* An early handler: nobody has anything to upload. */
void pages_refuse_uploads (SoupServer * soup, SoupServerMessage * message,
    const char *path, GHashTable * query, gpointer user_data);

/* Answers with the page of that path; FALSE: there is none of `n`. `policy` is
 * the Content-Security-Policy. */
gboolean pages_send (SoupServerMessage * message, const Page * pages, guint n,
    const char *path, const char *policy);

/* Answers with `bytes`. `caching`: the Cache-Control. */
void pages_send_bytes (SoupServerMessage * message, GBytes * bytes,
    const char *type, const char *caching);

/* FALSE and `error` with what to do. Port 0: any that is free. */
gboolean pages_listen (SoupServer * soup, const char *host, int port,
    SoupServerListenOptions options, GError ** error);

/* Where it listens; to be freed. */
char *pages_get_url (SoupServer * soup);

G_END_DECLS
