/* A source that may be lost and come back, see feed.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "feed.h"

#include "feed-source.h"

#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

/* Seconds until the source is built anew. */
#define MIN_DELAY_S 1
#define MAX_DELAY_S 10

/* Frames that the pipeline does not take in time are left out, the oldest first. */
#define VIDEO_PROPERTIES "format=time is-live=true leaky-type=downstream" \
  " max-buffers=4 max-bytes=0 max-time=0"
#define AUDIO_PROPERTIES "format=time is-live=true leaky-type=downstream" \
  " max-buffers=0 max-bytes=0 max-time=5000000000"

struct _Feed
{
  FeedParams params;
  char *program, *name;         /* the source without passwords */
  Source source;
  GstElement *pipeline;         /* that of the program */
  GstElement *outlets[FEED_N_KINDS];
  FeedSource *current;          /* NULL: it is lost, and not yet built anew */
  FeedSource *last;             /* the one before, which may still be closing */
  guint retry, delay;
  gboolean there;               /* frames come */
  gboolean has_come;            /* they once did */
  char *said;                   /* what failed; NULL: nothing since frames came */
};

/* --- Names and advice ---------------------------------------------------------- */

static char *
hide_passwords (const char *text)
{
  g_autoptr (GstUri) uri = gst_uri_from_string (text);

  if (!uri || (!gst_uri_get_userinfo (uri)
          && !gst_uri_query_has_key (uri, "passphrase")))
    return g_strdup (text);
  gst_uri_set_userinfo (uri, NULL);
  gst_uri_remove_query_key (uri, "passphrase");
  return gst_uri_to_string (uri);
}

/* A sentence's end. */
static const char *
get_advice (const GError * error)
{
  if (g_error_matches (error, GST_RESOURCE_ERROR,
          GST_RESOURCE_ERROR_NOT_AUTHORIZED))
    return "; give the right name and password, as rtsp://NAME:PASSWORD@HOST/ or"
        " srt://HOST:PORT?passphrase=PASSPHRASE";
  if (g_error_matches (error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN))
    return "";
  if (g_error_matches (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT))
    return "; have it send others";
  return "; give one that has video";
}

/* Before the first frame; a camera that boots is waited for. */
static gboolean
is_final (const GError * error)
{
  return g_error_matches (error, GST_RESOURCE_ERROR,
      GST_RESOURCE_ERROR_NOT_AUTHORIZED)
      || g_error_matches (error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN)
      || g_error_matches (error, GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE)
      || g_error_matches (error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT);
}

/* What rtspsrc calls a resource. */
static const char *
get_reason (Feed * self, const GError * error)
{
  if (error->domain != GST_RESOURCE_ERROR
      || (error->code != GST_RESOURCE_ERROR_OPEN_READ_WRITE
          && error->code != GST_RESOURCE_ERROR_READ))
    return error->message;
  return self->there ? "the connection has ended" : "cannot connect";
}

/* Once until it is back, and once more where a person has to do something. */
static void
say_lost (Feed * self, const GError * error)
{
  const char *reason = get_reason (self, error);
  const char *advice = is_final (error) ? get_advice (error) : "";

  if (self->said && (!is_final (error) || g_str_equal (self->said, reason)))
    return;
  g_free (self->said);
  self->said = g_strdup (reason);
  if (self->there)
    fprintf (stderr, "%s: \"%s\" is lost: %s%s; trying to get it back\n",
        self->program, self->name, reason, advice);
  else
    fprintf (stderr, "%s: \"%s\" is not there: %s%s; trying again\n",
        self->program, self->name, reason, advice);
}

/* --- Losing it and getting it back ----------------------------------------------- */

static gboolean build (Feed * self, GError ** error);
static void on_ended (gpointer user_data, const GError * error);

static gboolean
on_retry (gpointer user_data)
{
  Feed *self = user_data;
  g_autoptr (GError) error = NULL;

  self->retry = 0;
  if (build (self, &error))
    feed_start (self);
  else
    on_ended (self, error);
  return G_SOURCE_REMOVE;
}

static void
schedule (Feed * self)
{
  self->retry = g_timeout_add_seconds (self->delay, on_retry, self);
  if (!self->params.waits)
    self->delay = MIN (2 * self->delay, MAX_DELAY_S);
}

static void
fail (Feed * self, const GError * error)
{
  g_autoptr (GError) failure = g_error_new (error->domain, error->code,
      "\"%s\": %s%s", self->name, error->message, get_advice (error));

  self->params.failed (self->params.user_data, failure);
}

static void
stop (Feed * self)
{
  if (self->last)
    feed_source_free (self->last, FALSE);
  self->last = g_steal_pointer (&self->current);
  feed_source_stop (self->last);
}

static void
on_ended (gpointer user_data, const GError * error)
{
  Feed *self = user_data;
  gboolean was_there = self->there;

  if (self->current)
    stop (self);
  if (!self->has_come && is_final (error)) {
    fail (self, error);
    return;
  }
  say_lost (self, error);
  self->there = FALSE;
  schedule (self);
  if (was_there && self->params.lost)
    self->params.lost (self->params.user_data);
}

static void
on_came (gpointer user_data, gboolean with_audio)
{
  Feed *self = user_data;

  if (self->said)
    fprintf (stderr, "%s: \"%s\" is %s\n", self->program, self->name,
        self->has_come ? "back" : "there");
  g_clear_pointer (&self->said, g_free);
  self->there = self->has_come = TRUE;
  self->delay = MIN_DELAY_S;
  if (self->params.came)
    self->params.came (self->params.user_data, with_audio);
}

/* --- Life ------------------------------------------------------------------------ */

static gboolean
build (Feed * self, GError ** error)
{
  FeedSourceParams params = {
    .source = &self->source,
    .outlets = {self->outlets[FEED_VIDEO], self->outlets[FEED_AUDIO]},
    .waits = self->params.waits,
    .came = on_came,
    .ended = on_ended,
    .user_data = self,
  };

  self->current = feed_source_new (&params, error);
  return self->current != NULL;
}

static gboolean
add_outlet (Feed * self, guint kind, GstPad * sink, const char *properties,
    GError ** error)
{
  g_autofree char *launch = g_strdup_printf ("appsrc %s", properties);
  GstElement *appsrc = gst_parse_launch (launch, error);
  GstPad *src;
  gboolean ok;

  if (!appsrc)
    return FALSE;
  self->outlets[kind] = gst_object_ref_sink (appsrc);
  gst_bin_add (GST_BIN (self->pipeline), appsrc);
  src = gst_element_get_static_pad (appsrc, "src");
  ok = gst_pad_link (src, sink) == GST_PAD_LINK_OK;
  gst_object_unref (src);
  if (!ok)
    g_set_error_literal (error, GST_CORE_ERROR, GST_CORE_ERROR_NEGOTIATION,
        "the source cannot be linked");
  return ok;
}

/* What would be tried for ever otherwise. */
static gboolean
check_uri (Feed * self, GError ** error)
{
  const char *text = self->source.value;
  g_autoptr (GError) reason = NULL;
  g_autofree char *host = NULL;
  GstElement *element = NULL;

  if (g_strcmp0 (self->source.property, "uri") != 0)
    return TRUE;
  if (g_uri_split (text, G_URI_FLAGS_HAS_PASSWORD, NULL, NULL, &host, NULL,
          NULL, NULL, NULL, &reason))
    element = gst_element_make_from_uri (GST_URI_SRC, text, NULL, &reason);
  gst_clear_object (&element);
  if (!reason && !g_str_has_prefix (text, "file:")
      && !g_str_has_prefix (text, "srt:") && (!host || !*host))
    g_set_error_literal (&reason, G_URI_ERROR, G_URI_ERROR_BAD_HOST,
        "there is no host in it");
  if (reason)
    g_set_error (error, G_URI_ERROR, G_URI_ERROR_FAILED,
        "\"%s\" is no address of a source: %s; give one as"
        " rtsp://HOST:PORT/PATH, srt://HOST:PORT or rtmp://HOST/APP/STREAM", self->name, reason->message);
  return !reason;
}

static gboolean
set_up (Feed * self, GError ** error)
{
  const FeedParams *params = &self->params;
  g_autoptr (GstClock) clock = gst_system_clock_obtain ();

  gst_pipeline_use_clock (GST_PIPELINE (self->pipeline), clock);
  return source_init (&self->source, params->text, params->size, error)
      && check_uri (self, error)
      && add_outlet (self, FEED_VIDEO, params->video, VIDEO_PROPERTIES, error)
      && (!params->audio || add_outlet (self, FEED_AUDIO, params->audio,
          AUDIO_PROPERTIES, error)) && build (self, error);
}

Feed *
feed_new (GstElement * pipeline, const FeedParams * params, GError ** error)
{
  Feed *self = g_new0 (Feed, 1);

  self->params = *params;
  self->program = g_strdup (params->program);
  self->name = hide_passwords (params->text);
  self->pipeline = gst_object_ref (pipeline);
  self->delay = MIN_DELAY_S;
  if (set_up (self, error))
    return self;
  feed_free (self);
  return NULL;
}

void
feed_start (Feed * self)
{
  feed_source_start (self->current,
      gst_element_get_base_time (self->pipeline));
}

void
feed_free (Feed * self)
{
  if (self->retry)
    g_source_remove (self->retry);
  if (self->current)
    stop (self);
  if (self->last)
    feed_source_free (self->last, TRUE);
  for (guint i = 0; i < FEED_N_KINDS; i++)
    gst_clear_object (&self->outlets[i]);
  gst_object_unref (self->pipeline);
  source_clear (&self->source);
  g_free (self->program);
  g_free (self->name);
  g_free (self->said);
  g_free (self);
}
