/* The web server, see webrtc-server.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "webrtc-server.h"

#include "webrtc-peer.h"

#include <libsoup/soup.h>
#include <string.h>

#define SIGNALLING "/signalling"

struct _WebrtcServer
{
  const WebrtcServerParams *params;
  SoupServer *soup;
  GHashTable *peers;            /* a set */
};

/* --- Page ------------------------------------------------------------------- */

static const struct
{
  const char *path, *resource, *type;
} files[] = {
  { "/", "index.html", "text/html; charset=utf-8" },
  { "/page.css", "page.css", "text/css; charset=utf-8" },
  { "/page.js", "page.js", "text/javascript; charset=utf-8" },
  { "/bicubic.js", "bicubic.js", "text/javascript; charset=utf-8" },
  { "/delay.js", "delay.js", "text/javascript; charset=utf-8" },
};

static void
send_file (SoupServerMessage * message, guint i)
{
  g_autofree char *path = g_strconcat ("/webrtc/", files[i].resource, NULL);
  g_autoptr (GBytes) bytes = g_resources_lookup_data (path, 0, NULL);
  SoupMessageHeaders *headers =
      soup_server_message_get_response_headers (message);

  soup_message_headers_set_content_type (headers, files[i].type, NULL);
  soup_message_headers_append (headers, "Cache-Control", "no-cache");
  soup_message_headers_append (headers, "X-Content-Type-Options", "nosniff");
  soup_message_headers_append (headers, "Content-Security-Policy",
      "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'");
  soup_message_body_append_bytes (soup_server_message_get_response_body
      (message), bytes);
  soup_server_message_set_status (message, SOUP_STATUS_OK, NULL);
}

static void
on_request (SoupServer * soup, SoupServerMessage * message, const char *path,
    GHashTable * query, gpointer user_data)
{
  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    if (strcmp (path, files[i].path) == 0) {
      send_file (message, i);
      return;
    }
  }
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

/* --- Origin ------------------------------------------------------------------ */

/* Whether it is the address that the connection was made to. A name is none, but
 * for localhost: of others it is not known whose they are. */
static gboolean
is_address (const char *host, GInetAddress * address)
{
  g_autofree char *text = g_inet_address_to_string (address);

  return strcmp (host, text) == 0 || (strcmp (host, "localhost") == 0
      && g_inet_address_get_is_loopback (address));
}

/* Pages of other servers may open WebSockets to this one, too. */
static gboolean
is_own_origin (WebrtcServer * self, SoupServerMessage * message,
    const char *origin)
{
  const char *scheme = self->params->certificate ? "https" : "http";
  GSocketAddress *local = soup_server_message_get_local_address (message);
  g_autoptr (GUri) uri = g_uri_parse (origin, G_URI_FLAGS_SCHEME_NORMALIZE,
      NULL);
  GInetSocketAddress *address;

  if (!uri || !G_IS_INET_SOCKET_ADDRESS (local) || !g_uri_get_host (uri))
    return FALSE;
  address = G_INET_SOCKET_ADDRESS (local);
  return strcmp (g_uri_get_scheme (uri), scheme) == 0
      && g_uri_get_port (uri) == g_inet_socket_address_get_port (address)
      && is_address (g_uri_get_host (uri),
      g_inet_socket_address_get_address (address));
}

static void
before_signalling (SoupServer * soup, SoupServerMessage * message,
    const char *path, GHashTable * query, gpointer user_data)
{
  WebrtcServer *self = user_data;
  const char *origin = soup_message_headers_get_one
      (soup_server_message_get_request_headers (message), "Origin");

  before_request (soup, message, path, query, NULL);
  if (!origin || !(is_own_origin (self, message, origin)
          || (self->params->origins && g_strv_contains ((const char *const *)
                  self->params->origins, origin))))
    soup_server_message_set_status (message, SOUP_STATUS_FORBIDDEN, NULL);
}

/* --- Participants ------------------------------------------------------------ */

static void
on_peer_ended (WebrtcPeer * peer, gpointer user_data)
{
  WebrtcServer *self = user_data;

  g_hash_table_remove (self->peers, peer);
}

static void
on_websocket (SoupServer * soup, SoupServerMessage * message,
    const char *path, SoupWebsocketConnection * connection, gpointer user_data)
{
  WebrtcServer *self = user_data;
  g_autofree char *text = NULL;

  if (g_hash_table_size (self->peers) < (guint) self->params->participants) {
    g_hash_table_add (self->peers, webrtc_peer_new (connection,
            &self->params->media, self->params->idle_timeout, on_peer_ended,
            self));
    return;
  }
  text = g_strdup_printf ("All places are taken: %d can take part at a time. "
      "Please try again later.", self->params->participants);
  webrtc_peer_turn_away (connection, "full", text);
}

/* --- Making ------------------------------------------------------------------- */

static gboolean
load_certificate (WebrtcServer * self, GError ** error)
{
  const char *path = self->params->certificate;
  g_autoptr (GTlsCertificate) certificate = NULL;

  if (!path)
    return TRUE;
  certificate = g_tls_certificate_new_from_file (path, error);
  if (!certificate) {
    g_prefix_error (error, "cannot use \"%s\" as certificate and key: ", path);
    return FALSE;
  }
  soup_server_set_tls_certificate (self->soup, certificate);
  return TRUE;
}

static gboolean
listen_on (WebrtcServer * self, GError ** error)
{
  const WebrtcServerParams *params = self->params;
  g_autoptr (GSocketAddress) address =
      g_inet_socket_address_new_from_string (params->host, params->port);
  GError *cause = NULL;

  if (!address) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" is no IP address: --host takes one of this machine's, or "
        "0.0.0.0 for all", params->host);
    return FALSE;
  }
  if (soup_server_listen (self->soup, address,
          params->certificate ? SOUP_SERVER_LISTEN_HTTPS : 0, &cause))
    return TRUE;
  g_set_error (error, G_IO_ERROR, cause->code, "cannot listen on %s, port %d: "
      "%s: choose others with --host and --port", params->host, params->port,
      cause->message);
  g_error_free (cause);
  return FALSE;
}

WebrtcServer *
webrtc_server_new (const WebrtcServerParams * params, GError ** error)
{
  WebrtcServer *self = g_new0 (WebrtcServer, 1);

  self->params = params;
  self->peers = g_hash_table_new (NULL, NULL);
  self->soup = soup_server_new (NULL, NULL);
  soup_server_add_early_handler (self->soup, "/", before_request, self, NULL);
  soup_server_add_handler (self->soup, "/", on_request, self, NULL);
  soup_server_add_early_handler (self->soup, SIGNALLING, before_signalling,
      self, NULL);
  soup_server_add_websocket_handler (self->soup, SIGNALLING, NULL, NULL,
      on_websocket, self, NULL);
  if (!load_certificate (self, error) || !listen_on (self, error))
    g_clear_pointer (&self, webrtc_server_free);
  return self;
}

void
webrtc_server_close (WebrtcServer * self)
{
  g_autoptr (GList) peers = g_hash_table_get_keys (self->peers);

  soup_server_remove_handler (self->soup, SIGNALLING);
  for (GList * l = peers; l; l = l->next)
    webrtc_peer_end (l->data, "over", "The server was stopped.");
}

void
webrtc_server_free (WebrtcServer * self)
{
  webrtc_server_close (self);
  soup_server_disconnect (self->soup);
  g_object_unref (self->soup);
  g_hash_table_unref (self->peers);
  g_free (self);
}

char *
webrtc_server_get_url (WebrtcServer * self)
{
  GSList *uris = soup_server_get_uris (self->soup);
  char *url = g_uri_to_string (uris->data);

  g_slist_free_full (uris, (GDestroyNotify) g_uri_unref);
  return url;
}
