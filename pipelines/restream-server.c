/* Serves a stream by HLS, see restream-server.h. What belongs to the stream is known
 * by its name alone, so that nothing else can be asked for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "restream-server.h"

#include <libsoup/soup.h>
#include <string.h>

struct _RestreamServer
{
  SoupServer *soup;
  char *folder;
  Hls *hls;
};

/* --- Files -------------------------------------------------------------------- */

static const struct
{
  const char *path, *resource, *type;
} files[] = {
  { "/", "index.html", "text/html; charset=utf-8" },
  { "/page.css", "page.css", "text/css; charset=utf-8" },
  { "/page.js", "page.js", "text/javascript; charset=utf-8" },
};

static void
send_bytes (SoupServerMessage * message, GBytes * bytes, const char *type,
    const char *caching)
{
  SoupMessageHeaders *headers =
      soup_server_message_get_response_headers (message);

  soup_message_headers_set_content_type (headers, type, NULL);
  soup_message_headers_append (headers, "Cache-Control", caching);
  soup_message_headers_append (headers, "X-Content-Type-Options", "nosniff");
  soup_message_body_append_bytes (soup_server_message_get_response_body
      (message), bytes);
  soup_server_message_set_status (message, SOUP_STATUS_OK, NULL);
}

static void
send_page (SoupServerMessage * message, guint i)
{
  g_autofree char *path = g_strconcat ("/restream/", files[i].resource, NULL);
  g_autoptr (GBytes) bytes = g_resources_lookup_data (path, 0, NULL);

  soup_message_headers_append (soup_server_message_get_response_headers
      (message), "Content-Security-Policy", "default-src 'self'; "
      "media-src 'self' blob:; frame-ancestors 'none'");
  send_bytes (message, bytes, files[i].type, "no-cache");
}

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
  send_bytes (message, bytes, get_type (file),
      is_playlist (file) ? "no-cache" : "max-age=3600");
}

static void
on_request (SoupServer * soup, SoupServerMessage * message, const char *path,
    GHashTable * query, gpointer user_data)
{
  RestreamServer *self = user_data;

  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    if (strcmp (path, files[i].path) == 0) {
      send_page (message, i);
      return;
    }
  }
  if (path[0] == '/' && hls_has (self->hls, path + 1))
    send_file (self, message, path + 1);
  else
    soup_server_message_set_status (message, SOUP_STATUS_NOT_FOUND, NULL);
}

/* Nobody has anything to upload. */
static void
before_request (SoupServer * soup, SoupServerMessage * message,
    const char *path, GHashTable * query, gpointer user_data)
{
  const char *method = soup_server_message_get_method (message);

  soup_message_body_set_accumulate (soup_server_message_get_request_body
      (message), FALSE);
  if (strcmp (method, "GET") != 0 && strcmp (method, "HEAD") != 0)
    soup_server_message_set_status (message, SOUP_STATUS_METHOD_NOT_ALLOWED,
        NULL);
}

/* --- Making ------------------------------------------------------------------- */

static gboolean
listen_on (RestreamServer * self, const char *host, int port, GError ** error)
{
  g_autoptr (GSocketAddress) address =
      g_inet_socket_address_new_from_string (host, port);
  g_autoptr (GError) cause = NULL;

  if (!address) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" is no IP address: --host takes one of this machine's, or "
        "0.0.0.0 for all", host);
    return FALSE;
  }
  if (soup_server_listen (self->soup, address, 0, &cause))
    return TRUE;
  g_set_error (error, G_IO_ERROR, cause->code, "cannot listen on %s, port %d: "
      "%s: choose others with --host and --port", host, port, cause->message);
  return FALSE;
}

RestreamServer *
restream_server_new (const char *folder, Hls * hls, const char *host, int port,
    GError ** error)
{
  RestreamServer *self = g_new0 (RestreamServer, 1);

  self->folder = g_strdup (folder);
  self->hls = hls;
  self->soup = soup_server_new (NULL, NULL);
  soup_server_add_early_handler (self->soup, "/", before_request, self, NULL);
  soup_server_add_handler (self->soup, "/", on_request, self, NULL);
  if (!listen_on (self, host, port, error))
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
  GSList *uris = soup_server_get_uris (self->soup);
  char *url = g_uri_to_string (uris->data);

  g_slist_free_full (uris, (GDestroyNotify) g_uri_unref);
  return url;
}
