/* rtsp SOURCE [OPTION...]: a camera, restored, for any number of clients.
 * pipelines/rtsp is the command that people run, and says what the options mean.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "rtsp-server.h"
#include "rtsp-video.h"
#include "settings.h"
#include "signals.h"

#include <gio/gio.h>
#include <gst/gst.h>
#include <gst/pbutils/pbutils.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MAX_CLIENTS 1000

typedef struct
{
  Settings settings;
  RtspVideoParams video_params;
  RtspServerParams server_params;
  char *host, *path, *size, *user, *password_file, *password;
  RtspVideo *video;
  RtspServer *server;
  GMainLoop *loop;
  GError *error;                /* the first one */
} Rtsp;

/* --- Options --------------------------------------------------------------------- */

static gboolean
parse_options (Rtsp * self, int *argc, char ***argv, GError ** error)
{
  const GOptionEntry entries[] = {
    {"port", 0, 0, G_OPTION_ARG_INT, &self->server_params.port, NULL, NULL},
    {"host", 0, 0, G_OPTION_ARG_STRING, &self->host, NULL, NULL},
    {"path", 0, 0, G_OPTION_ARG_STRING, &self->path, NULL, NULL},
    {"user", 0, 0, G_OPTION_ARG_STRING, &self->user, NULL, NULL},
    {"password-file", 0, 0, G_OPTION_ARG_FILENAME, &self->password_file, NULL,
        NULL},
    {"clients", 0, 0, G_OPTION_ARG_INT, &self->server_params.clients, NULL,
        NULL},
    {"size", 0, 0, G_OPTION_ARG_STRING, &self->size, NULL, NULL},
    {NULL}
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  self->host = g_strdup ("127.0.0.1");
  self->path = g_strdup ("/restored");
  self->server_params.port = 8554;
  self->server_params.clients = 16;
  g_option_context_set_help_enabled (context, FALSE);
  settings_add (&self->settings, context);
  g_option_context_add_main_entries (context, entries, NULL);
  return g_option_context_parse (context, argc, argv, error)
      && settings_check (&self->settings, error);
}

static gboolean
read_password (Rtsp * self, GError ** error)
{
  g_autoptr (GError) reason = NULL;

  if (!self->user && !self->password_file)
    return TRUE;
  if (!self->user || !self->password_file) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "give --user and --password-file, or neither");
    return FALSE;
  }
  if (!g_file_get_contents (self->password_file, &self->password, NULL,
          &reason)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
        "cannot read the password: %s", reason->message);
    return FALSE;
  }
  self->password[strcspn (self->password, "\r\n")] = '\0';
  if (*self->password && *self->user && !strpbrk (self->user, ":\""))
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
      "a user needs a name without \":\", and a password in the first line of"
      " \"%s\"", self->password_file);
  return FALSE;
}

static gboolean
check_address (const Rtsp * self, GError ** error)
{
  g_autoptr (GInetAddress) address =
      g_inet_address_new_from_string (self->host);

  if (!address)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" is no IP address: give one of this machine with --host, or"
        " 0.0.0.0 for all", self->host);
  else if (*self->path != '/' || strpbrk (self->path, " ?#%\""))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "\"%s\" is no path: give one as /restored", self->path);
  else
    return TRUE;
  return FALSE;
}

static gboolean
check_options (Rtsp * self, int argc, char **argv, GError ** error)
{
  if (argc != 2) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
        "give one source, as rtsp://HOST/PATH: see --help");
    return FALSE;
  }
  self->video_params.text = argv[1];
  return settings_check_range ("port", self->server_params.port, 0, 65535, error)
      && settings_check_range ("clients", self->server_params.clients, 1, MAX_CLIENTS,
      error) && check_address (self, error) && read_password (self, error);
}

/* --- Running --------------------------------------------------------------------- */

static void
on_ready (gpointer user_data)
{
  Rtsp *self = user_data;
  g_autofree char *url = rtsp_server_get_url (self->server);

  printf ("%s\n", url);
  fflush (stdout);
}

static void
on_failed (gpointer user_data, const GError * error)
{
  Rtsp *self = user_data;

  if (!self->error)
    self->error = g_error_copy (error);
  g_main_loop_quit (self->loop);
}

static gboolean
set_up (Rtsp * self, GError ** error)
{
  RtspVideoParams *video = &self->video_params;
  RtspServerParams *server = &self->server_params;

  video->size = self->size;
  video->settings = &self->settings;
  video->ready = on_ready;
  video->failed = on_failed;
  video->user_data = self;
  self->video = rtsp_video_new (video, error);
  if (!self->video)
    return FALSE;
  server->host = self->host;
  server->path = self->path;
  server->user = self->user;
  server->password = self->password;
  self->server = rtsp_server_new (server, self->video, error);
  return self->server != NULL;
}

static gboolean
serve (Rtsp * self, int argc, char **argv, GError ** error)
{
  if (!parse_options (self, &argc, &argv, error)
      || !check_options (self, argc, argv, error) || !set_up (self, error))
    return FALSE;
  signals_watch ((SignalsFunc) g_main_loop_quit, self->loop);
  rtsp_video_start (self->video);
  g_main_loop_run (self->loop);
  if (!self->error)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}

static void
clear (Rtsp * self)
{
  g_clear_pointer (&self->server, rtsp_server_free);
  g_clear_pointer (&self->video, rtsp_video_free);
  settings_clear (&self->settings);
  g_main_loop_unref (self->loop);
  g_free (self->host);
  g_free (self->path);
  g_free (self->size);
  g_free (self->user);
  g_free (self->password_file);
  g_free (self->password);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  Rtsp self = { 0 };
  gboolean ok;

  signal (SIGPIPE, SIG_IGN);
  gst_init (NULL, NULL);
  gst_pb_utils_init ();
  self.loop = g_main_loop_new (NULL, FALSE);
  ok = serve (&self, argc, argv, &error);
  clear (&self);
  if (!ok)
    fprintf (stderr, "rtsp: %s\n", error->message);
  return ok ? 0 : 1;
}
