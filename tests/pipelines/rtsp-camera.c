/* A camera that speaks RTSP, for tests: gst-rtsp-server as it comes.
 *
 *   rtsp-camera ADDRESS PORT LAUNCH [USER PASSWORD]
 *
 * LAUNCH: what it shows, as for gst-launch, with a payloader named pay0; PORT 0:
 * any. The port is written on standard output when it can be called.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/gst.h>
#include <gst/rtsp-server/rtsp-server.h>
#include <stdio.h>

static void
ask_for_password (GstRTSPServer * server, GstRTSPMediaFactory * factory,
    const char *user, const char *password)
{
  GstRTSPAuth *auth = gst_rtsp_auth_new ();
  GstRTSPToken *token = gst_rtsp_token_new (GST_RTSP_TOKEN_MEDIA_FACTORY_ROLE,
      G_TYPE_STRING, "viewer", NULL);

  gst_rtsp_media_factory_add_role (factory, "viewer",
      GST_RTSP_PERM_MEDIA_FACTORY_ACCESS, G_TYPE_BOOLEAN, TRUE,
      GST_RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, G_TYPE_BOOLEAN, TRUE, NULL);
  gst_rtsp_auth_set_supported_methods (auth, GST_RTSP_AUTH_DIGEST);
  gst_rtsp_auth_add_digest (auth, user, password, token);
  gst_rtsp_server_set_auth (server, auth);
  gst_rtsp_token_unref (token);
  g_object_unref (auth);
}

int
main (int argc, char **argv)
{
  GMainLoop *loop = g_main_loop_new (NULL, FALSE);
  GstRTSPMediaFactory *factory;
  GstRTSPMountPoints *mounts;
  GstRTSPServer *server;

  gst_init (NULL, NULL);
  if (argc != 4 && argc != 6)
    return 2;
  server = gst_rtsp_server_new ();
  factory = gst_rtsp_media_factory_new ();
  gst_rtsp_media_factory_set_launch (factory, argv[3]);
  gst_rtsp_media_factory_set_shared (factory, TRUE);
  if (argc == 6)
    ask_for_password (server, factory, argv[4], argv[5]);
  mounts = gst_rtsp_server_get_mount_points (server);
  gst_rtsp_mount_points_add_factory (mounts, "/camera", factory);
  g_object_unref (mounts);
  gst_rtsp_server_set_address (server, argv[1]);
  gst_rtsp_server_set_service (server, argv[2]);
  if (gst_rtsp_server_attach (server, NULL) == 0)
    return 1;
  printf ("%d\n", gst_rtsp_server_get_bound_port (server));
  fflush (stdout);
  g_main_loop_run (loop);
}
