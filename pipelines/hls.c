/* A stream by HLS in a folder, see hls.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "hls.h"

#include "fmp4.h"
#include "playlist.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* Frames of AAC, in samples. The encoder's first one is what comes before the
 * sound. */
#define AUDIO_FRAME 1024
#define AUDIO_CODEC "mp4a.40.2"
#define AUDIO_BANDWIDTH 160000

/* Sound that waits for the video of the same time. */
#define MAX_AUDIO_FRAMES (120 * HLS_AUDIO_RATE / AUDIO_FRAME)

/* Shown when there was but one frame. */
#define DEFAULT_DELTA (40 * GST_MSECOND)

typedef struct
{
  GstBuffer *buffer;
  GstClockTime time;
} Frame;

/* A segment of the video, to which one of sound belongs. */
typedef struct
{
  GstClockTime start, end;
  gboolean discontinuity;
} Span;

struct _Hls
{
  GMutex lock;
  char *folder;
  GstClockTime segment;
  Playlist *video, *audio;
  guint bandwidth;

  GstCaps *video_caps;
  GBytes *video_header;
  GArray *frames;               /* Frame: of the segment that is not complete */
  gboolean discontinuity;       /* before it */
  GstClockTime origin;          /* the time that is zero */
  GstClockTime last, delta;     /* of video frames */
  GstClockTime end;             /* of the last segment */
  gint64 date_offset;           /* from running time to microseconds since 1970 */

  gboolean with_audio, has_audio_header;
  GQueue sound;                 /* Frame: that is in no segment yet */
  GQueue spans;                 /* Span: without sound yet */
  GstClockTime heard;           /* sound came up to this time */
  gint64 next;                  /* sample of the next frame of sound; -1: first */
  GstBuffer *silence;

  gboolean has_master;
  gboolean master_is_old;       /* the video has become another */
};

/* --- Beginning and end ------------------------------------------------------- */

static void
frame_clear (Frame * frame)
{
  gst_clear_buffer (&frame->buffer);
}

static void
frame_free (Frame * frame)
{
  frame_clear (frame);
  g_free (frame);
}

static void
sample_clear (Fmp4Sample * sample)
{
  gst_clear_buffer (&sample->buffer);
}

/* Of two channels. */
static GstBuffer *
make_silence (void)
{
  static const guint8 aac[] = { 0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c };

  return gst_buffer_new_memdup (aac, sizeof aac);
}

static gboolean
check_empty (const char *folder, GError ** error)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, error);
  const char *name;

  if (!dir)
    return FALSE;
  while ((name = g_dir_read_name (dir))) {
    if (!g_str_has_suffix (name, ".m3u8") && !g_str_has_suffix (name, ".m4s"))
      continue;
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS, "there is a stream in"
        " \"%s\" already (%s): empty the folder, or give another", folder, name);
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_folder (const char *folder, GError ** error)
{
  if (g_mkdir_with_parents (folder, 0777) == 0 && g_access (folder, W_OK | X_OK)
      == 0)
    return check_empty (folder, error);
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno),
      "cannot write in the folder \"%s\": %s; give another", folder,
      g_strerror (errno));
  return FALSE;
}

Hls *
hls_new (const char *folder, GstClockTime segment, guint keep, GError ** error)
{
  guint target = (segment + GST_SECOND - 1) / GST_SECOND;
  Hls *self;

  if (!check_folder (folder, error))
    return NULL;
  self = g_new0 (Hls, 1);
  g_mutex_init (&self->lock);
  self->folder = g_strdup (folder);
  self->segment = segment;
  self->video = playlist_new (folder, "video", target, keep);
  self->audio = playlist_new (folder, "audio", target, keep);
  self->frames = g_array_new (FALSE, FALSE, sizeof (Frame));
  g_array_set_clear_func (self->frames, (GDestroyNotify) frame_clear);
  self->delta = DEFAULT_DELTA;
  g_queue_init (&self->sound);
  g_queue_init (&self->spans);
  self->next = -1;
  self->silence = make_silence ();
  return self;
}

void
hls_free (Hls * self)
{
  g_queue_clear_full (&self->sound, (GDestroyNotify) frame_free);
  g_queue_clear_full (&self->spans, g_free);
  g_array_unref (self->frames);
  gst_clear_caps (&self->video_caps);
  g_clear_pointer (&self->video_header, g_bytes_unref);
  gst_buffer_unref (self->silence);
  playlist_free (self->video);
  playlist_free (self->audio);
  g_free (self->folder);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
hls_expect_audio (Hls * self)
{
  g_mutex_lock (&self->lock);
  self->with_audio = playlist_get_count (self->video) == 0;
  g_mutex_unlock (&self->lock);
}

void
hls_set_bandwidth (Hls * self, guint bandwidth)
{
  g_mutex_lock (&self->lock);
  self->bandwidth = bandwidth;
  g_mutex_unlock (&self->lock);
}

/* Rounded, a segment must not be longer than the playlist says (RFC 8216,
 * 4.3.3.1). */
GstClockTime
hls_get_max_duration (GstClockTime segment)
{
  return (segment + GST_SECOND - 1) / GST_SECOND * GST_SECOND + GST_SECOND / 2;
}

/* --- Master playlist ----------------------------------------------------------- */

static void
print_size (Hls * self, GString * text)
{
  GstStructure *s = gst_caps_get_structure (self->video_caps, 0);
  int width = 0, height = 0, par_n = 1, par_d = 1;

  gst_structure_get_int (s, "width", &width);
  gst_structure_get_int (s, "height", &height);
  gst_structure_get_fraction (s, "pixel-aspect-ratio", &par_n, &par_d);
  g_string_append_printf (text, ",RESOLUTION=%dx%d",
      (int) gst_util_uint64_scale_int_round (width, par_n, par_d), height);
}

/* What the source says, or what there was. */
static void
print_frame_rate (Hls * self, GString * text)
{
  GstStructure *s = gst_caps_get_structure (self->video_caps, 0);
  int n = 0, d = 1;
  guint64 rate;

  if (!gst_structure_get_fraction (s, "framerate", &n, &d) || n <= 0) {
    n = GST_SECOND / GST_MSECOND;
    d = MAX (1, self->delta / GST_MSECOND);
  }
  rate = gst_util_uint64_scale_int_round (1000, n, d);
  g_string_append_printf (text, ",FRAME-RATE=%u.%03u", (guint) (rate / 1000),
      (guint) (rate % 1000));
}

static gboolean
write_master (Hls * self, GError ** error)
{
  g_autoptr (GString) text = g_string_new ("#EXTM3U\n#EXT-X-VERSION:7\n"
      "#EXT-X-INDEPENDENT-SEGMENTS\n");
  g_autofree char *codec = fmp4_video_codec (self->video_caps);

  if (self->with_audio)
    g_string_append (text, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\","
        "NAME=\"Sound\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\","
        "URI=\"audio.m3u8\"\n");
  g_string_append_printf (text, "#EXT-X-STREAM-INF:BANDWIDTH=%u,CODECS=\"%s%s\"",
      self->bandwidth + (self->with_audio ? AUDIO_BANDWIDTH : 0), codec,
      self->with_audio ? "," AUDIO_CODEC : "");
  print_size (self, text);
  print_frame_rate (self, text);
  if (self->with_audio)
    g_string_append (text, ",AUDIO=\"sound\"");
  g_string_append (text, "\nvideo.m3u8\n");
  self->master_is_old = FALSE;
  self->has_master = TRUE;
  return playlist_write_file (self->folder, HLS_MASTER, text->str, text->len, error);
}

/* As soon as all that it names is there. */
static gboolean
update_master (Hls * self, GError ** error)
{
  if ((self->has_master && !self->master_is_old)
      || playlist_get_count (self->video) == 0
      || (self->with_audio && playlist_get_count (self->audio) == 0))
    return TRUE;
  return write_master (self, error);
}

/* --- Sound --------------------------------------------------------------------- */

static gint64
to_sample (Hls * self, GstClockTime time)
{
  gint64 ns = GST_CLOCK_DIFF (self->origin, time);

  /* Sound may come before the video. */
  return ns < 0 ? -(gint64) gst_util_uint64_scale_round (-ns, HLS_AUDIO_RATE,
      GST_SECOND) : (gint64) gst_util_uint64_scale_round (ns, HLS_AUDIO_RATE,
      GST_SECOND);
}

/* The sound that begins at `start`, or as soon as there is some. */
static gint64
find_first_sample (Hls * self, gint64 start)
{
  const Frame *frame;
  gint64 distance;

  while ((frame = g_queue_peek_head (&self->sound))) {
    distance = to_sample (self, frame->time) - start;
    if (distance >= 0)
      return start + distance % AUDIO_FRAME;
    frame_free (g_queue_pop_head (&self->sound));
  }
  return start;
}

/* The frame of sound that begins there; what is late goes. */
static GstBuffer *
take_sound (Hls * self, gint64 sample)
{
  Frame *frame;
  gint64 distance;

  while ((frame = g_queue_peek_head (&self->sound))) {
    distance = to_sample (self, frame->time) - sample;
    if (distance >= AUDIO_FRAME / 2)
      break;
    g_queue_pop_head (&self->sound);
    if (distance >= -AUDIO_FRAME / 2) {
      GstBuffer *buffer = g_steal_pointer (&frame->buffer);

      frame_free (frame);
      return buffer;
    }
    frame_free (frame);
  }
  return gst_buffer_ref (self->silence);
}

static gboolean
write_sound (Hls * self, const Span * span, GError ** error)
{
  gint64 start = to_sample (self, span->start), end = to_sample (self, span->end);
  g_autoptr (GArray) samples = g_array_new (FALSE, FALSE, sizeof (Fmp4Sample));
  guint count = playlist_get_count (self->audio);
  GstClockTime time;
  GByteArray *data;

  if (self->next < start)
    self->next = find_first_sample (self, start);
  start = self->next;
  g_array_set_clear_func (samples, (GDestroyNotify) sample_clear);
  do {
    Fmp4Sample sample = { take_sound (self, self->next), AUDIO_FRAME };

    g_array_append_val (samples, sample);
    self->next += AUDIO_FRAME;
  } while (self->next < end);

  data = fmp4_segment (FALSE, count + 1, start, samples);
  time = gst_util_uint64_scale (start, GST_SECOND, HLS_AUDIO_RATE);
  return playlist_add (self->audio, data,
      gst_util_uint64_scale_round (self->next - start, GST_SECOND,
          HLS_AUDIO_RATE), self->date_offset
      + (gint64) GST_TIME_AS_USECONDS (self->origin + time),
      span->discontinuity, error);
}

/* Sound comes before the restored video; if it does not, it is waited for until the
 * next segment is complete. */
static gboolean
write_sounds (Hls * self, gboolean all, GError ** error)
{
  Span *span;
  gboolean ok = TRUE;

  while (ok && self->with_audio && (span = g_queue_peek_head (&self->spans))) {
    if (!all && self->spans.length < 2 && self->heard < span->end)
      break;
    if (self->has_audio_header)
      ok = write_sound (self, span, error);
    else
      self->with_audio = FALSE; /* none came from the beginning */
    g_free (g_queue_pop_head (&self->spans));
  }
  return ok;
}

static gboolean
add_sound (Hls * self, GstSample * sample, GstClockTime time, GError ** error)
{
  GstClockTime before = gst_util_uint64_scale (AUDIO_FRAME, GST_SECOND,
      HLS_AUDIO_RATE);
  GByteArray *header;
  Frame *frame;

  if (!self->with_audio && playlist_get_count (self->video) > 0)
    return TRUE;
  if (!self->has_audio_header) {
    header = fmp4_audio_header (gst_sample_get_caps (sample));
    if (!header || !playlist_set_header (self->audio, header, error))
      return !header;
    self->has_audio_header = TRUE;
  }
  self->heard = time;
  if (time < before)
    return TRUE;
  frame = g_new (Frame, 1);
  *frame = (Frame) { gst_buffer_ref (gst_sample_get_buffer (sample)),
    time - before };
  g_queue_push_tail (&self->sound, frame);
  if (self->sound.length > MAX_AUDIO_FRAMES)
    frame_free (g_queue_pop_head (&self->sound));
  return write_sounds (self, FALSE, error) && update_master (self, error);
}

gboolean
hls_add_audio (Hls * self, GstSample * sample, GstClockTime time,
    GError ** error)
{
  gboolean ok;

  g_mutex_lock (&self->lock);
  ok = add_sound (self, sample, time, error);
  g_mutex_unlock (&self->lock);
  return ok;
}

/* --- Video --------------------------------------------------------------------- */

static guint64
to_ticks (Hls * self, GstClockTime time)
{
  return gst_util_uint64_scale_round (time - self->origin, FMP4_VIDEO_RATE,
      GST_SECOND);
}

static GstClockTime
get_start (Hls * self)
{
  return g_array_index (self->frames, Frame, 0).time;
}

static GArray *
make_samples (Hls * self, GstClockTime end)
{
  GArray *samples = g_array_new (FALSE, FALSE, sizeof (Fmp4Sample));
  guint n = self->frames->len;

  for (guint i = 0; i < n; i++) {
    Frame *frame = &g_array_index (self->frames, Frame, i);
    GstClockTime next = i + 1 < n ? frame[1].time : end;
    Fmp4Sample sample = { frame->buffer,
      to_ticks (self, next) - to_ticks (self, frame->time) };

    g_array_append_val (samples, sample);
  }
  return samples;
}

/* Writes the segment, which lasts until `end`. */
static gboolean
end_segment (Hls * self, GstClockTime end, GError ** error)
{
  g_autoptr (GArray) samples = make_samples (self, end);
  Span span = { get_start (self), end, self->discontinuity };
  guint64 ticks = to_ticks (self, span.start);
  GByteArray *data;

  data = fmp4_segment (TRUE, playlist_get_count (self->video) + 1, ticks, samples);
  g_array_set_size (self->frames, 0);
  self->end = end;
  self->discontinuity = FALSE;
  if (!playlist_add (self->video, data,
          gst_util_uint64_scale_round (to_ticks (self, end) - ticks, GST_SECOND,
              FMP4_VIDEO_RATE), self->date_offset
          + (gint64) GST_TIME_AS_USECONDS (span.start), span.discontinuity, error))
    return FALSE;
  if (self->with_audio)
    g_queue_push_tail (&self->spans, g_memdup2 (&span, sizeof span));
  return write_sounds (self, FALSE, error) && update_master (self, error);
}

/* FALSE only with `error`. */
static gboolean
take_caps (Hls * self, GstCaps * caps, gboolean * changed, GError ** error)
{
  g_autoptr (GBytes) bytes = NULL;
  GByteArray *header;

  *changed = FALSE;
  if (self->video_caps && gst_caps_is_equal (self->video_caps, caps))
    return TRUE;
  header = fmp4_video_header (caps);
  if (!header) {
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
        "the encoder does not say what it codes");
    return FALSE;
  }
  bytes = g_bytes_new (header->data, header->len);
  *changed = !self->video_header || !g_bytes_equal (self->video_header, bytes);
  if (!*changed) {
    g_byte_array_unref (header);
    return TRUE;
  }
  /* The last segment of the old one. */
  if (self->frames->len > 0
      && !end_segment (self, self->last + self->delta, error)) {
    g_byte_array_unref (header);
    return FALSE;
  }
  gst_caps_replace (&self->video_caps, caps);
  g_clear_pointer (&self->video_header, g_bytes_unref);
  self->video_header = g_steal_pointer (&bytes);
  self->master_is_old = TRUE;
  return playlist_set_header (self->video, header, error);
}

static void
begin_stretch (Hls * self, GstClockTime time, GstClockTime now)
{
  gboolean first = playlist_get_count (self->video) == 0;

  self->discontinuity = !first;
  self->date_offset = g_get_real_time () - (gint64) GST_TIME_AS_USECONDS (now);
  if (first)
    self->origin = time;
}

static gboolean
add_frame (Hls * self, GstSample * sample, GstClockTime time, GstClockTime now,
    GError ** error)
{
  GstBuffer *buffer = gst_sample_get_buffer (sample);
  gboolean is_key = !GST_BUFFER_FLAG_IS_SET (buffer, GST_BUFFER_FLAG_DELTA_UNIT);
  gboolean changed, gap;
  Frame frame;

  if (!take_caps (self, gst_sample_get_caps (sample), &changed, error))
    return FALSE;
  gap = changed;
  time = MAX (time, self->end);
  if (self->frames->len > 0) {
    time = MAX (time, self->last + GST_MSECOND);
    gap = time - get_start (self) >= hls_get_max_duration (self->segment);
    if (!gap)
      self->delta = time - self->last;
    if (is_key && !end_segment (self, gap ? self->last + self->delta : time,
            error))
      return FALSE;
  }
  if (self->frames->len == 0 && !is_key)
    return TRUE;
  if (self->frames->len == 0 && gap)
    begin_stretch (self, time, now);
  frame = (Frame) { gst_buffer_ref (buffer), time };
  g_array_append_val (self->frames, frame);
  self->last = time;
  return TRUE;
}

gboolean
hls_add_video (Hls * self, GstSample * sample, GstClockTime time,
    GstClockTime now, GError ** error)
{
  gboolean ok;

  g_mutex_lock (&self->lock);
  ok = add_frame (self, sample, time, now, error);
  g_mutex_unlock (&self->lock);
  return ok;
}

/* --- Ending ---------------------------------------------------------------------- */

/* What cannot be written does not keep the rest from being ended; the first failure
 * counts. */
static gboolean
finish (Hls * self, GError ** error)
{
  Playlist *playlists[] = { self->video, self->audio };
  gboolean ok = self->frames->len == 0
      || end_segment (self, self->last + self->delta, error);

  ok = write_sounds (self, TRUE, ok ? error : NULL) && ok;
  ok = update_master (self, ok ? error : NULL) && ok;
  for (guint i = 0; i < G_N_ELEMENTS (playlists); i++)
    if (playlist_get_count (playlists[i]) > 0)
      ok = playlist_end (playlists[i], ok ? error : NULL) && ok;
  return ok;
}

gboolean
hls_finish (Hls * self, GError ** error)
{
  gboolean ok;

  g_mutex_lock (&self->lock);
  ok = finish (self, error);
  g_mutex_unlock (&self->lock);
  return ok;
}

gboolean
hls_has (Hls * self, const char *file)
{
  gboolean has;

  g_mutex_lock (&self->lock);
  has = (self->has_master && g_str_equal (file, HLS_MASTER))
      || playlist_has (self->video, file) || playlist_has (self->audio, file);
  g_mutex_unlock (&self->lock);
  return has;
}
