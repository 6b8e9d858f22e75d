/* The RTSP server of pipelines/rtsp, see rtsp-server.h. Clients have threads of
 * their own, as some answers take as long as a first picture does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "rtsp-server.h"

#include <gio/gio.h>
#include <gst/rtsp-server/rtsp-server.h>
#include <string.h>

/* Access units that a client has not asked for yet, between DESCRIBE and PLAY,
 * wait; of too many the oldest go. */
#define MEDIUM \
  "( appsrc name=access-units format=time is-live=true" \
  " leaky-type=downstream max-buffers=0 max-bytes=0 max-time=2000000000" \
  " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"

/* For RTP over UDP, which would otherwise be received on all addresses. */
#define MIN_UDP_PORT 50000
#define MAX_UDP_PORT 59999

/* A client has a connection, or two through HTTP; some come to be refused. */
#define CONNECTIONS_PER_CLIENT 4

/* Clients that are not heard of for so long are gone; gst-rtsp-server itself
 * closes connections that ask for nothing in 60 s. */
#define SESSION_TIMEOUT_S 30
#define CLEANUP_INTERVAL_S 2
#define POST_SESSION_TIMEOUT_S 10

/* At the end. */
#define MAX_ANSWER_MS 2000

/* Nobody has to send more. */
#define MAX_MESSAGE_BYTES 65536

#define ROLE "viewer"

struct _RtspServer
{
  RtspServerParams params;
  RtspVideo *video;
  GstRTSPServer *server;
  GSource *listener;
  guint cleanup;
  GWeakRef outlet;              /* of the medium */
  int n_connections;            /* atomic */
};

/* --- The medium, in clients' threads ---------------------------------------------- */

typedef GstRTSPMediaFactory RtspFactory;
typedef GstRTSPMediaFactoryClass RtspFactoryClass;

GType rtsp_factory_get_type (void);
G_DEFINE_TYPE (RtspFactory, rtsp_factory, GST_TYPE_RTSP_MEDIA_FACTORY);

/* One medium, whatever follows the path: the outlet is only one. */
static char *
make_key (GstRTSPMediaFactory * self, const GstRTSPUrl * url)
{
  return g_strdup ("restored");
}

static void
rtsp_factory_class_init (RtspFactoryClass * klass)
{
  klass->gen_key = make_key;
}

static void
rtsp_factory_init (RtspFactory * self)
{
}

static void
on_unprepared (GstRTSPMedia * media, gpointer user_data)
{
  RtspServer *self = user_data;

  rtsp_video_remove_outlet (self->video,
      g_object_get_data (G_OBJECT (media), "outlet"));
}

/* Its frames have the times of another pipeline: it runs by the same ones. */
static void
adopt_time (RtspServer * self, GstElement * element)
{
  GstObject *pipeline = gst_object_get_parent (GST_OBJECT (element));

  gst_element_set_start_time (GST_ELEMENT (pipeline), GST_CLOCK_TIME_NONE);
  gst_element_set_base_time (GST_ELEMENT (pipeline),
      rtsp_video_get_base_time (self->video));
  gst_object_unref (pipeline);
}

static void
on_media_configure (GstRTSPMediaFactory * factory, GstRTSPMedia * media,
    gpointer user_data)
{
  RtspServer *self = user_data;
  GstElement *element = gst_rtsp_media_get_element (media);
  GstElement *outlet = gst_bin_get_by_name (GST_BIN (element), "access-units");

  adopt_time (self, element);
  g_object_set_data_full (G_OBJECT (media), "outlet", outlet,
      gst_object_unref);
  g_signal_connect (media, "unprepared", G_CALLBACK (on_unprepared), self);
  g_weak_ref_set (&self->outlet, outlet);
  rtsp_video_set_outlet (self->video, outlet);
  gst_object_unref (element);
}

static GstRTSPMediaFactory *
make_factory (RtspServer * self)
{
  GstRTSPMediaFactory *factory =
      g_object_new (rtsp_factory_get_type (), NULL);
  g_autoptr (GstClock) clock = gst_system_clock_obtain ();

  gst_rtsp_media_factory_set_launch (factory, MEDIUM);
  gst_rtsp_media_factory_set_shared (factory, TRUE);
  gst_rtsp_media_factory_set_clock (factory, clock);
  gst_rtsp_media_factory_set_protocols (factory, GST_RTSP_LOWER_TRANS_UDP
      | GST_RTSP_LOWER_TRANS_TCP);
  gst_rtsp_media_factory_add_role (factory, ROLE,
      GST_RTSP_PERM_MEDIA_FACTORY_ACCESS, G_TYPE_BOOLEAN, TRUE,
      GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, G_TYPE_BOOLEAN, TRUE, NULL);
  g_signal_connect (factory, "media-configure",
      G_CALLBACK (on_media_configure), self);
  return factory;
}

/* --- Clients, in their threads ------------------------------------------------------ */

/* Without a picture there is nothing to describe. */
static GstRTSPStatusCode
on_describe (GstRTSPClient * client, GstRTSPContext * context,
    gpointer user_data)
{
  RtspServer *self = user_data;

  return rtsp_video_is_there (self->video) ? GST_RTSP_STS_OK
      : GST_RTSP_STS_SERVICE_UNAVAILABLE;
}

static void
on_play (GstRTSPClient * client, GstRTSPContext * context, gpointer user_data)
{
  RtspServer *self = user_data;

  rtsp_video_request_key_frame (self->video);
}

/* The pool would keep the place of one whose connection has broken. */
static void
on_session_closed (GstRTSPClient * client, GstRTSPSession * session)
{
  GstRTSPSessionPool *pool = gst_rtsp_client_get_session_pool (client);

  gst_rtsp_session_pool_remove (pool, session);
  g_object_unref (pool);
}

static void
on_new_session (GstRTSPClient * client, GstRTSPSession * session,
    gpointer user_data)
{
  gst_rtsp_session_set_timeout (session, SESSION_TIMEOUT_S);
  g_signal_connect_object (client, "closed", G_CALLBACK (on_session_closed),
      session, 0);
}

static void
on_closed (GstRTSPClient * client, gpointer user_data)
{
  RtspServer *self = user_data;

  g_atomic_int_add (&self->n_connections, -1);
}

static void
on_client (GstRTSPServer * server, GstRTSPClient * client, gpointer user_data)
{
  RtspServer *self = user_data;

  g_atomic_int_inc (&self->n_connections);
  g_object_set (client, "post-session-timeout",
      POST_SESSION_TIMEOUT_S, NULL);
  g_signal_connect (client, "pre-describe-request", G_CALLBACK (on_describe),
      self);
  g_signal_connect (client, "play-request", G_CALLBACK (on_play), self);
  g_signal_connect (client, "new-session", G_CALLBACK (on_new_session), self);
  g_signal_connect (client, "closed", G_CALLBACK (on_closed), self);
}

/* --- The server, in the main thread ---------------------------------------------------- */

/* More connections than there can be clients are not even heard. */
static gboolean
on_connection (GSocket * socket, GIOCondition condition, gpointer user_data)
{
  RtspServer *self = user_data;
  GSocket *refused;

  if (g_atomic_int_get (&self->n_connections)
      < self->params.clients * CONNECTIONS_PER_CLIENT)
    return gst_rtsp_server_io_func (socket, condition, self->server);
  refused = g_socket_accept (socket, NULL, NULL);
  g_clear_object (&refused);    /* closes it */
  return G_SOURCE_CONTINUE;
}

static gboolean
on_cleanup (gpointer user_data)
{
  gst_rtsp_session_pool_cleanup (user_data);
  return G_SOURCE_CONTINUE;
}

/* By digests only: passwords are not to be sent as they are. */
static void
set_up_password (RtspServer * self)
{
  GstRTSPAuth *auth = gst_rtsp_auth_new ();
  GstRTSPToken *token = gst_rtsp_token_new (GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE,
      G_TYPE_STRING, ROLE, NULL);

  gst_rtsp_auth_set_supported_methods (auth, GST_RTSP_AUTH_DIGEST);
  gst_rtsp_auth_set_realm (auth, "restored video");
  gst_rtsp_auth_add_digest (auth, self->params.user, self->params.password,
      token);
  gst_rtsp_server_set_auth (self->server, auth);
  gst_rtsp_token_unref (token);
  g_object_unref (auth);
}

static void
set_up_limits (RtspServer * self)
{
  GstRTSPSessionPool *sessions = gst_rtsp_session_pool_new ();
  GstRTSPThreadPool *threads = gst_rtsp_thread_pool_new ();

  gst_rtsp_session_pool_set_max_sessions (sessions, self->params.clients);
  gst_rtsp_server_set_session_pool (self->server, sessions);
  self->cleanup = g_timeout_add_seconds_full (G_PRIORITY_DEFAULT,
      CLEANUP_INTERVAL_S, on_cleanup, sessions, g_object_unref);
  gst_rtsp_thread_pool_set_max_threads (threads, -1);
  gst_rtsp_server_set_thread_pool (self->server, threads);
  g_object_unref (threads);
  gst_rtsp_server_set_content_length_limit (self->server, MAX_MESSAGE_BYTES);
}

static void
set_up_medium (RtspServer * self)
{
  GstRTSPMountPoints *mounts =
      gst_rtsp_server_get_mount_points (self->server);
  GstRTSPAddressPool *pool = gst_rtsp_address_pool_new ();
  GstRTSPMediaFactory *factory = make_factory (self);

  gst_rtsp_address_pool_add_range (pool, self->params.host,
      self->params.host, MIN_UDP_PORT, MAX_UDP_PORT, 0);
  gst_rtsp_media_factory_set_address_pool (factory, pool);
  gst_rtsp_mount_points_add_factory (mounts, self->params.path, factory);
  g_object_unref (pool);
  g_object_unref (mounts);
}

static gboolean
listen_for_clients (RtspServer * self, GError ** error)
{
  g_autoptr (GError) reason = NULL;
  g_autofree char *port = g_strdup_printf ("%d", self->params.port);
  g_autoptr (GSocket) socket = NULL;

  gst_rtsp_server_set_address (self->server, self->params.host);
  gst_rtsp_server_set_service (self->server, port);
  socket = gst_rtsp_server_create_socket (self->server, NULL, &reason);
  if (!socket) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
        "cannot listen on port %s of %s: %s; give another with --port or"
        " --host", port, self->params.host, reason->message);
    return FALSE;
  }
  self->listener = g_socket_create_source (socket, G_IO_IN, NULL);
  g_source_set_callback (self->listener, G_SOURCE_FUNC (on_connection), self,
      NULL);
  g_source_attach (self->listener, NULL);
  return TRUE;
}

RtspServer *
rtsp_server_new (const RtspServerParams * params, RtspVideo * video,
    GError ** error)
{
  RtspServer *self = g_new0 (RtspServer, 1);

  self->params = *params;
  self->video = video;
  self->server = gst_rtsp_server_new ();
  g_weak_ref_init (&self->outlet, NULL);
  set_up_limits (self);
  set_up_medium (self);
  if (params->user)
    set_up_password (self);
  g_signal_connect (self->server, "client-connected", G_CALLBACK (on_client),
      self);
  if (listen_for_clients (self, error))
    return self;
  rtsp_server_free (self);
  return NULL;
}

static GstRTSPFilterResult
close_client (GstRTSPServer * server, GstRTSPClient * client,
    gpointer user_data)
{
  return GST_RTSP_FILTER_REMOVE;
}

static GstRTSPFilterResult
close_session (GstRTSPSessionPool * pool, GstRTSPSession * session,
    gpointer user_data)
{
  return GST_RTSP_FILTER_REMOVE;
}

/* Those who wait for a first picture wait no more. */
static void
end_medium (RtspServer * self)
{
  GstElement *outlet = g_weak_ref_get (&self->outlet);

  if (outlet)
    GST_ELEMENT_ERROR (outlet, RESOURCE, CLOSE, (NULL), ("the server ends"));
  gst_clear_object (&outlet);
}

/* Their threads may be in the middle of an answer. */
static void
wait_for_clients (RtspServer * self, guint ms)
{
  for (guint i = 0; i < ms && g_atomic_int_get (&self->n_connections) > 0; i++)
    g_usleep (1000);
}

static void
close_clients (RtspServer * self)
{
  GstRTSPSessionPool *sessions =
      gst_rtsp_server_get_session_pool (self->server);

  g_list_free (gst_rtsp_server_client_filter (self->server, close_client,
          NULL));
  g_list_free (gst_rtsp_session_pool_filter (sessions, close_session, NULL));
  g_object_unref (sessions);
  wait_for_clients (self, MAX_ANSWER_MS);
  if (g_atomic_int_get (&self->n_connections) > 0) {
    end_medium (self);
    wait_for_clients (self, MAX_ANSWER_MS);
  }
}

void
rtsp_server_free (RtspServer * self)
{
  if (self->listener) {
    g_source_destroy (self->listener);
    g_source_unref (self->listener);
  }
  close_clients (self);
  g_source_remove (self->cleanup);
  g_object_unref (self->server);
  gst_rtsp_thread_pool_cleanup ();
  g_weak_ref_clear (&self->outlet);
  g_free (self);
}

char *
rtsp_server_get_url (RtspServer * self)
{
  gboolean ipv6 = strchr (self->params.host, ':') != NULL;
  /* What was asked for, or what was free. */
  g_autofree char *port = gst_rtsp_server_get_service (self->server);

  return g_strdup_printf ("rtsp://%s%s%s:%s%s", ipv6 ? "[" : "",
      self->params.host, ipv6 ? "]" : "", port, self->params.path);
}
