/* The web server, see webrtc-server.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "webrtc-server.h"

#include "pages.h"
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

static const Page pages[] = {
  { "/", "text/html; charset=utf-8", "/webrtc/index.html" },
  { "/page.css", "text/css; charset=utf-8", "/webrtc/page.css" },
  { "/page.js", "text/javascript; charset=utf-8", "/webrtc/page.js" },
  { "/bicubic.js", "text/javascript; charset=utf-8", "/webrtc/bicubic.js" },
  { "/delay.js", "text/javascript; charset=utf-8", "/webrtc/delay.js" },
};

static void
on_request (SoupServer * soup, SoupServerMessage * message, const char *path,
    GHashTable * query, gpointer user_data)
{
  if (!pages_send (message, pages, G_N_ELEMENTS (pages), path, "default-src 'self';"
          " connect-src 'self' ws: wss:; frame-ancestors 'none'"))
    soup_server_message_set_status (message, SOUP_STATUS_NOT_FOUND, NULL);
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

  pages_refuse_uploads (soup, message, path, query, NULL);
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

WebrtcServer *
webrtc_server_new (const WebrtcServerParams * params, GError ** error)
{
  WebrtcServer *self = g_new0 (WebrtcServer, 1);

  self->params = params;
  self->peers = g_hash_table_new (NULL, NULL);
  self->soup = soup_server_new (NULL, NULL);
  soup_server_add_early_handler (self->soup, "/", pages_refuse_uploads, NULL,
      NULL);
  soup_server_add_handler (self->soup, "/", on_request, self, NULL);
  soup_server_add_early_handler (self->soup, SIGNALLING, before_signalling,
      self, NULL);
  soup_server_add_websocket_handler (self->soup, SIGNALLING, NULL, NULL,
      on_websocket, self, NULL);
  if (!load_certificate (self, error) || !pages_listen (self->soup, params->host,
          params->port, params->certificate ? SOUP_SERVER_LISTEN_HTTPS : 0, error))
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
  return pages_get_url (self->soup);
}
