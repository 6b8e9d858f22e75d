/* Serving a page by HTTP, see pages.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pages.h"

#include <string.h>

void
pages_refuse_uploads (SoupServer * soup, SoupServerMessage * message,
    const char *path, GHashTable * query, gpointer user_data)
{
  const char *method = soup_server_message_get_method (message);

  soup_message_body_set_accumulate (soup_server_message_get_request_body
      (message), FALSE);
  if (strcmp (method, "GET") != 0 && strcmp (method, "HEAD") != 0)
    soup_server_message_set_status (message, SOUP_STATUS_METHOD_NOT_ALLOWED,
        NULL);
}

void
pages_send_bytes (SoupServerMessage * message, GBytes * bytes,
    const char *type, const char *caching)
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

gboolean
pages_send (SoupServerMessage * message, const Page * pages, guint n,
    const char *path, const char *policy)
{
  g_autoptr (GBytes) bytes = NULL;
  guint i = 0;

  while (i < n && strcmp (path, pages[i].path) != 0)
    i++;
  if (i == n)
    return FALSE;
  bytes = g_resources_lookup_data (pages[i].resource, 0, NULL);
  soup_message_headers_append (soup_server_message_get_response_headers
      (message), "Content-Security-Policy", policy);
  pages_send_bytes (message, bytes, pages[i].type, "no-cache");
  return TRUE;
}

gboolean
pages_listen (SoupServer * soup, const char *host, int port,
    SoupServerListenOptions options, GError ** error)
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
  if (soup_server_listen (soup, address, options, &cause))
    return TRUE;
  g_set_error (error, G_IO_ERROR, cause->code, "cannot listen on %s, port %d: "
      "%s: choose others with --host and --port", host, port, cause->message);
  return FALSE;
}

char *
pages_get_url (SoupServer * soup)
{
  GSList *uris = soup_server_get_uris (soup);
  char *url = g_uri_to_string (uris->data);

  g_slist_free_full (uris, (GDestroyNotify) g_uri_unref);
  return url;
}
