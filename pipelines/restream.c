/* restream-hls: a stream from the network, restored x4, as a stream by HLS.
 * pipelines/restream is the command that people run, and says what the options
 * mean.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "restream-media.h"
#include "restream-server.h"
#include "signals.h"

#include <gio/gio.h>
#include <gst/pbutils/pbutils.h>
#include <signal.h>
#include <stdio.h>

#define MAX_SEGMENT_S 60
#define MAX_KEEP 100000

typedef struct
{
  Settings settings;
  char *source, *folder;
  char *host;                   /* NULL: loopback */
  int port;                     /* -1: nothing is served */
  double segment;               /* in seconds */
  int keep;

  Hls *hls;
  RestreamMedia *media;
  GMainLoop *loop;
  GError *error;                /* the first one */
} Restream;

/* --- Options ------------------------------------------------------------------- */

static gboolean
parse_options (Restream * self, int *argc, char ***argv, GError ** error)
{
  const GOptionEntry entries[] = {
    {"segment", 0, 0, G_OPTION_ARG_DOUBLE, &self->segment, NULL, NULL},
    {"keep", 0, 0, G_OPTION_ARG_INT, &self->keep, NULL, NULL},
    {"port", 0, 0, G_OPTION_ARG_INT, &self->port, NULL, NULL},
    {"host", 0, 0, G_OPTION_ARG_STRING, &self->host, NULL, NULL},
    {NULL}
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_help_enabled (context, FALSE);
  settings_add (&self->settings, context);
  g_option_context_add_main_entries (context, entries, NULL);
  return g_option_context_parse (context, argc, argv, error);
}

static gboolean
check_options (Restream * self, int argc, char **argv, GError ** error)
{
  const char *wrong = NULL;

  if (argc != 3)
    wrong = "a source and a folder are needed: see --help";
  else if (!(self->segment >= 0.5 && self->segment <= MAX_SEGMENT_S))
    wrong = "--segment takes seconds from 0.5 to " G_STRINGIFY (MAX_SEGMENT_S);
  else if (self->keep != 0 && (self->keep < 3 || self->keep > MAX_KEEP))
    wrong = "--keep takes a number from 3 to " G_STRINGIFY (MAX_KEEP)
        ", or 0 for all";
  else if (self->port < -1 || self->port > 65535)
    wrong = "--port takes a number from 0 to 65535";
  if (wrong) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, wrong);
    return FALSE;
  }
  self->source = argv[1];
  self->folder = argv[2];
  return settings_check (&self->settings, error);
}

/* --- Running ------------------------------------------------------------------- */

static void
on_ended (gpointer user_data, const GError * error)
{
  Restream *self = user_data;

  if (error && !self->error)
    self->error = g_error_copy (error);
  g_main_loop_quit (self->loop);
}

/* The second time nothing is waited for. */
static void
on_signal (gpointer user_data)
{
  Restream *self = user_data;

  if (restream_media_is_finishing (self->media))
    g_main_loop_quit (self->loop);
  else
    restream_media_finish (self->media);
}

static void
say_where (Restream * self, RestreamServer * server)
{
  g_autofree char *url = server ? restream_server_get_url (server) : NULL;
  g_autofree char *file = g_build_filename (self->folder, HLS_MASTER, NULL);

  if (url)
    printf ("restream: open %s in a browser, or %s%s in a player (Ctrl-C ends)\n",
        url, url, HLS_MASTER);
  else
    printf ("restream: the stream is in %s (Ctrl-C ends)\n", file);
  fflush (stdout);
}

static void
say_how_much (Restream * self)
{
  guint64 frames, bypassed;

  restream_media_count (self->media, &frames, &bypassed);
  printf ("restream: %" G_GUINT64_FORMAT " frames, of which %" G_GUINT64_FORMAT
      " were enlarged only, for want of time\n", frames, bypassed);
}

static void
run (Restream * self, RestreamServer * server)
{
  g_autoptr (GError) error = NULL;

  signals_watch (on_signal, self);
  say_where (self, server);
  g_main_loop_run (self->loop);
  say_how_much (self);
  g_clear_pointer (&self->media, restream_media_free);
  if (!hls_finish (self->hls, &error) && !self->error)
    self->error = g_steal_pointer (&error);
}

/* All that can be wrong is found before the source is opened. */
static void
restream (Restream * self)
{
  const RestreamMediaParams params = {
    .source = self->source,
    .settings = &self->settings,
    .segment = self->segment * GST_SECOND,
    .on_ended = on_ended,
    .user_data = self,
  };
  RestreamServer *server = NULL;

  self->hls = hls_new (self->folder, params.segment, self->keep, &self->error);
  if (!self->hls)
    return;
  self->loop = g_main_loop_new (NULL, FALSE);
  if (self->port >= 0)
    server = restream_server_new (self->folder, self->hls,
        self->host ? self->host : "127.0.0.1", self->port, &self->error);
  if (!self->error)
    self->media = restream_media_new (&params, self->hls, &self->error);
  if (self->media)
    run (self, server);
  g_clear_pointer (&server, restream_server_free);
  g_main_loop_unref (self->loop);
  hls_free (self->hls);
}

int
main (int argc, char **argv)
{
  Restream self = {.port = -1,.segment = 2,.keep = 6 };

  /* A write past a limit is to fail, not to kill. */
  signal (SIGXFSZ, SIG_IGN);
  signal (SIGPIPE, SIG_IGN);
  gst_init (NULL, NULL);
  gst_pb_utils_init ();
  if (parse_options (&self, &argc, &argv, &self.error)
      && check_options (&self, argc, argv, &self.error))
    restream (&self);
  settings_clear (&self.settings);
  g_free (self.host);
  if (!self.error)
    return 0;
  fprintf (stderr, "restream: %s\n", self.error->message);
  g_error_free (self.error);
  return 1;
}
