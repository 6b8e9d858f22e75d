/* webrtc-server: a page on which a browser sees its camera restored x4.
 * pipelines/webrtc is the command that people run, and says what the options
 * mean.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "signals.h"
#include "webrtc-server.h"

#include <gio/gio.h>
#include <gst/gst.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MAX_PARTICIPANTS 64

/* For the last messages to leave. */
#define FAREWELL_MS 200

static gboolean
parse_options (WebrtcServerParams * params, int *argc, char ***argv,
    GError ** error)
{
  const GOptionEntry entries[] = {
    { "host", 0, 0, G_OPTION_ARG_STRING, &params->host,
        "IP address to listen on", "ADDRESS" },
    { "port", 0, 0, G_OPTION_ARG_INT, &params->port, "TCP port", "N" },
    { "participants", 0, 0, G_OPTION_ARG_INT, &params->participants,
        "how many can take part at a time", "N" },
    { "idle-timeout", 0, 0, G_OPTION_ARG_INT, &params->idle_timeout,
        "seconds without video after which a participant ends", "S" },
    { "stun", 0, 0, G_OPTION_ARG_STRING, (gpointer) &params->media.stun,
        "STUN server", "stun://HOST:PORT" },
    { "certificate", 0, 0, G_OPTION_ARG_FILENAME, &params->certificate,
        "PEM file with certificate and key, for https", "FILE" },
    { "origin", 0, 0, G_OPTION_ARG_STRING_ARRAY, &params->origins,
        "a further address that the page is reached by", "URL" },
    { NULL },
  };
  GOptionContext *context = g_option_context_new (NULL);
  gboolean ok;

  g_option_context_add_main_entries (context, entries, NULL);
  settings_add (&params->media.settings, context);
  ok = g_option_context_parse (context, argc, argv, error);
  g_option_context_free (context);
  return ok;
}

static gboolean
check_options (WebrtcServerParams * params, int argc, char **argv,
    GError ** error)
{
  if (argc > 1) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" is no option: see --help", argv[1]);
    return FALSE;
  }
  if (params->media.stun && !g_str_has_prefix (params->media.stun, "stun://")) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" is no STUN server: give one as stun://HOST:PORT",
        params->media.stun);
    return FALSE;
  }
  return settings_check_range ("port", params->port, 0, 65535, error)
      && settings_check_range ("participants", params->participants, 1,
      MAX_PARTICIPANTS, error)
      && settings_check_range ("idle-timeout", params->idle_timeout, 1, 3600, error)
      && settings_check (&params->media.settings, error);
}

/* Video is received where the page is served. */
static const char *
choose_address (const char *host)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (host);

  return address && !g_inet_address_get_is_any (address) ? host : NULL;
}

static gboolean
serve (const WebrtcServerParams * params, GError ** error)
{
  GMainLoop *loop = g_main_loop_new (NULL, FALSE);
  WebrtcServer *server = webrtc_server_new (params, error);
  g_autofree char *url = NULL;

  if (server) {
    signals_watch ((SignalsFunc) g_main_loop_quit, loop);
    url = webrtc_server_get_url (server);
    printf ("webrtc: open %s in a browser (Ctrl-C ends)\n", url);
    fflush (stdout);
    g_main_loop_run (loop);

    webrtc_server_close (server);
    g_timeout_add_once (FAREWELL_MS, (GSourceOnceFunc) g_main_loop_quit, loop);
    g_main_loop_run (loop);
    webrtc_server_free (server);
  }
  g_main_loop_unref (loop);
  return server != NULL;
}

int
main (int argc, char **argv)
{
  WebrtcServerParams params = {
    .host = g_strdup ("127.0.0.1"),
    .port = 8080,
    .participants = 2,
    .idle_timeout = 15,
  };
  g_autoptr (GError) error = NULL;

  signal (SIGPIPE, SIG_IGN);
  gst_init (NULL, NULL);
  if (parse_options (&params, &argc, &argv, &error)
      && check_options (&params, argc, argv, &error)
      && webrtc_media_check (&params.media, &error)) {
    params.media.address = choose_address (params.host);
    if (serve (&params, &error))
      return 0;
  }
  fprintf (stderr, "webrtc: %s\n", error->message);
  return 1;
}
