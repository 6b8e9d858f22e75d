/* Serves a stream by HLS, see restream-server.h. What belongs to the stream is known
 * by its name alone, so that nothing else can be asked for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "restream-server.h"

#include "pages.h"

struct _RestreamServer
{
  SoupServer *soup;
  char *folder;
  Hls *hls;
};

/* --- Files -------------------------------------------------------------------- */

static const Page pages[] = {
  { "/", "text/html; charset=utf-8", "/restream/index.html" },
  { "/page.css", "text/css; charset=utf-8", "/restream/page.css" },
  { "/page.js", "text/javascript; charset=utf-8", "/restream/page.js" },
};

static gboolean
is_playlist (const char *file)
{
  return g_str_has_suffix (file, ".m3u8");
}

static const char *
get_type (const char *file)
{
  if (is_playlist (file))
    return "application/vnd.apple.mpegurl";
  return g_str_has_prefix (file, "audio") ? "audio/mp4" : "video/mp4";
}

/* Players of other pages may read it. */
static void
send_file (RestreamServer * self, SoupServerMessage * message,
    const char *file)
{
  g_autofree char *path = g_build_filename (self->folder, file, NULL);
  g_autoptr (GBytes) bytes = NULL;
  char *data;
  gsize n;

  soup_message_headers_append (soup_server_message_get_response_headers
      (message), "Access-Control-Allow-Origin", "*");
  if (!g_file_get_contents (path, &data, &n, NULL)) {
    soup_server_message_set_status (message, SOUP_STATUS_NOT_FOUND, NULL);
    return;
  }
  bytes = g_bytes_new_take (data, n);
  pages_send_bytes (message, bytes, get_type (file),
      is_playlist (file) ? "no-cache" : "max-age=3600");
}

static void
on_request (SoupServer * soup, SoupServerMessage * message, const char *path,
    GHashTable * query, gpointer user_data)
{
  RestreamServer *self = user_data;

  if (pages_send (message, pages, G_N_ELEMENTS (pages), path, "default-src 'self';"
          " media-src 'self' blob:; frame-ancestors 'none'"))
    return;
  if (path[0] == '/' && hls_has (self->hls, path + 1))
    send_file (self, message, path + 1);
  else
    soup_server_message_set_status (message, SOUP_STATUS_NOT_FOUND, NULL);
}

/* --- Making ------------------------------------------------------------------- */

RestreamServer *
restream_server_new (const char *folder, Hls * hls, const char *host, int port,
    GError ** error)
{
  RestreamServer *self = g_new0 (RestreamServer, 1);

  self->folder = g_strdup (folder);
  self->hls = hls;
  self->soup = soup_server_new (NULL, NULL);
  soup_server_add_early_handler (self->soup, "/", pages_refuse_uploads, NULL,
      NULL);
  soup_server_add_handler (self->soup, "/", on_request, self, NULL);
  if (!pages_listen (self->soup, host, port, 0, error))
    g_clear_pointer (&self, restream_server_free);
  return self;
}

void
restream_server_free (RestreamServer * self)
{
  soup_server_disconnect (self->soup);
  g_object_unref (self->soup);
  g_free (self->folder);
  g_free (self);
}

char *
restream_server_get_url (RestreamServer * self)
{
  return pages_get_url (self->soup);
}
