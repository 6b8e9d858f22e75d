/* One participant, see webrtc-peer.h. All of it is the main context's. A
 * function that may end the participant is the last that its caller calls.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "webrtc-peer.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* An offer of a browser has about 6 KB. */
#define MAX_MESSAGE 65536

#define STRENGTH_MAX 2.0

struct _WebrtcPeer
{
  SoupWebsocketConnection *connection;
  const WebrtcMediaParams *params;
  WebrtcMedia *media;           /* NULL: no offer yet */
  WebrtcPeerEnded ended;
  gpointer user_data;
  guint tick;
  gint64 idle_timeout, last_frame;      /* microseconds */
  guint64 frames_in;
};

/* --- Out ------------------------------------------------------------------- */

static void
send_json (SoupWebsocketConnection * connection, JsonBuilder * builder)
{
  g_autoptr (JsonNode) root = json_builder_get_root (builder);
  g_autofree char *text = json_to_string (root, FALSE);

  if (soup_websocket_connection_get_state (connection)
      == SOUP_WEBSOCKET_STATE_OPEN)
    soup_websocket_connection_send_text (connection, text);
}

static JsonBuilder *
begin (const char *type)
{
  JsonBuilder *builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "type");
  json_builder_add_string_value (builder, type);
  return builder;
}

static void
add_string (JsonBuilder * builder, const char *name, const char *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

static void
add_int (JsonBuilder * builder, const char *name, gint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, value);
}

static void
add_double (JsonBuilder * builder, const char *name, double value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, value);
}

static void
finish (WebrtcPeer * self, JsonBuilder * builder)
{
  json_builder_end_object (builder);
  send_json (self->connection, builder);
  g_object_unref (builder);
}

static void
send_stats (WebrtcPeer * self, const WebrtcMediaStats * stats)
{
  JsonBuilder *builder = begin ("stats");

  add_int (builder, "time", g_get_monotonic_time () / 1000);
  add_int (builder, "in", stats->frames_in);
  add_int (builder, "out", stats->frames_out);
  add_int (builder, "dropped", stats->frames_dropped);
  add_int (builder, "bypassed", stats->frames_bypassed);
  add_double (builder, "latency", stats->latency / 1e6);
  add_int (builder, "width", stats->width);
  add_int (builder, "height", stats->height);
  add_int (builder, "outWidth", stats->out_width);
  add_int (builder, "outHeight", stats->out_height);
  add_double (builder, "consistency", stats->consistency);
  add_double (builder, "detail", stats->detail);
  add_string (builder, "device", stats->device);
  add_string (builder, "precision", stats->precision);
  add_string (builder, "codec", stats->codec);
  finish (self, builder);
}

/* --- End ------------------------------------------------------------------- */

void
webrtc_peer_turn_away (SoupWebsocketConnection * connection,
    const char *reason, const char *message)
{
  g_autoptr (JsonBuilder) builder = begin ("end");

  if (soup_websocket_connection_get_state (connection)
      != SOUP_WEBSOCKET_STATE_OPEN)
    return;
  add_string (builder, "reason", reason);
  add_string (builder, "message", message);
  json_builder_end_object (builder);
  send_json (connection, builder);
  /* What was sent is on its way until then. */
  g_signal_connect (g_object_ref (connection), "closed",
      G_CALLBACK (g_object_unref), NULL);
  soup_websocket_connection_close (connection, SOUP_WEBSOCKET_CLOSE_NORMAL,
      reason);
}

void
webrtc_peer_end (WebrtcPeer * self, const char *reason, const char *message)
{
  WebrtcPeerEnded ended = self->ended;
  gpointer user_data = self->user_data;

  g_signal_handlers_disconnect_by_data (self->connection, self);
  g_source_remove (self->tick);
  if (message)
    webrtc_peer_turn_away (self->connection, reason, message);
  g_clear_pointer (&self->media, webrtc_media_free);
  g_object_unref (self->connection);
  g_free (self);
  ended (self, user_data);
}

static void
on_closed (SoupWebsocketConnection * connection, gpointer user_data)
{
  webrtc_peer_end (user_data, NULL, NULL);
}

/* --- From the media -------------------------------------------------------- */

static void
on_answer (gpointer user_data, const char *sdp)
{
  WebrtcPeer *self = user_data;
  JsonBuilder *builder = begin ("answer");

  add_string (builder, "sdp", sdp);
  add_double (builder, "consistency", self->params->settings.consistency);
  add_double (builder, "detail", self->params->settings.detail);
  finish (self, builder);
}

static void
on_candidate (gpointer user_data, const char *candidate, guint index)
{
  JsonBuilder *builder = begin ("candidate");

  add_string (builder, "candidate", candidate);
  add_int (builder, "index", index);
  finish (user_data, builder);
}

static void
on_media_failed (gpointer user_data, const char *message)
{
  webrtc_peer_end (user_data, "media", message);
}

static gboolean
on_tick (gpointer user_data)
{
  WebrtcPeer *self = user_data;
  gint64 now = g_get_monotonic_time ();
  WebrtcMediaStats stats = { 0 };

  if (self->media) {
    webrtc_media_get_stats (self->media, &stats);
    if (stats.frames_in != self->frames_in)
      self->last_frame = now;
    self->frames_in = stats.frames_in;
    send_stats (self, &stats);
    webrtc_media_stats_clear (&stats);
  }
  if (now - self->last_frame > self->idle_timeout)
    webrtc_peer_end (self, "idle", "No video has come for a while, so the "
        "place was given up.");
  return G_SOURCE_CONTINUE;
}

/* --- In -------------------------------------------------------------------- */

static const char *
get_string (JsonObject * object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  if (!node || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;
  return json_node_get_string (node);
}

/* -1: it is no number from 0 to `max`. */
static double
get_number (JsonObject * object, const char *name, double max)
{
  JsonNode *node = json_object_get_member (object, name);
  GType type = node ? json_node_get_value_type (node) : G_TYPE_INVALID;
  double value;

  if (type != G_TYPE_INT64 && type != G_TYPE_DOUBLE)
    return -1;
  value = json_node_get_double (node);
  return value >= 0 && value <= max ? value : -1;
}

static void
take_offer (WebrtcPeer * self, const char *sdp)
{
  static const WebrtcMediaCallbacks callbacks = {
    on_answer, on_candidate, on_media_failed
  };
  g_autoptr (GError) error = NULL;

  if (self->media) {
    webrtc_peer_end (self, "message", "A second offer has come.");
    return;
  }
  self->media = webrtc_media_new (self->params, sdp, &callbacks, self, &error);
  if (!self->media)
    webrtc_peer_end (self, "offer", error->message);
}

/* FALSE: it is not one that may come now. */
static gboolean
take_object (WebrtcPeer * self, JsonObject * object)
{
  const char *type = get_string (object, "type");
  const char *sdp = get_string (object, "sdp");
  const char *candidate = get_string (object, "candidate");
  double index = get_number (object, "index", 1);
  double consistency = get_number (object, "consistency", STRENGTH_MAX);
  double detail = get_number (object, "detail", STRENGTH_MAX);

  if (g_strcmp0 (type, "offer") == 0 && sdp)
    take_offer (self, sdp);
  else if (!self->media)
    return FALSE;
  else if (g_strcmp0 (type, "candidate") == 0 && candidate && index >= 0
      && g_str_has_prefix (candidate, "candidate:"))
    webrtc_media_add_candidate (self->media, candidate, index);
  else if (g_strcmp0 (type, "settings") == 0 && consistency >= 0 && detail >= 0)
    webrtc_media_set_strengths (self->media, consistency, detail);
  else
    return FALSE;
  return TRUE;
}

/* JSON-GLib descends into what is nested for as long as the stack lasts: a flat
 * object has one brace outside its strings. */
static gboolean
is_flat (const char *text)
{
  gboolean quoted = FALSE;
  guint n_open = 0;

  for (; *text; text++) {
    if (quoted && *text == '\\' && text[1])
      text++;
    else if (*text == '"')
      quoted = !quoted;
    else if (!quoted && (*text == '{' || *text == '['))
      n_open++;
  }
  return n_open <= 1;
}

static gboolean
take_text (WebrtcPeer * self, const char *text)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonNode *root;

  if (!is_flat (text)
      || !json_parser_load_from_data (parser, text, -1, NULL))
    return FALSE;
  root = json_parser_get_root (parser);
  return root && JSON_NODE_HOLDS_OBJECT (root)
      && take_object (self, json_node_get_object (root));
}

static void
on_message (SoupWebsocketConnection * connection, int type, GBytes * message,
    gpointer user_data)
{
  gsize size;
  const char *data = g_bytes_get_data (message, &size);
  g_autofree char *text = g_strndup (data, size);

  if (type != SOUP_WEBSOCKET_DATA_TEXT || !take_text (user_data, text))
    webrtc_peer_end (user_data, "message",
        "A message came that is not understood here.");
}

/* --- Making ----------------------------------------------------------------- */

WebrtcPeer *
webrtc_peer_new (SoupWebsocketConnection * connection,
    const WebrtcMediaParams * params, guint idle_timeout,
    WebrtcPeerEnded ended, gpointer user_data)
{
  WebrtcPeer *self = g_new0 (WebrtcPeer, 1);

  self->connection = g_object_ref (connection);
  self->params = params;
  self->ended = ended;
  self->user_data = user_data;
  self->idle_timeout = idle_timeout * G_USEC_PER_SEC;
  self->last_frame = g_get_monotonic_time ();
  self->tick = g_timeout_add (1000, on_tick, self);
  /* What is larger closes the connection. */
  soup_websocket_connection_set_max_incoming_payload_size (connection,
      MAX_MESSAGE);
  g_signal_connect (connection, "message", G_CALLBACK (on_message), self);
  g_signal_connect (connection, "closed", G_CALLBACK (on_closed), self);
  return self;
}
