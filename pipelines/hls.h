/* A stream by HLS (RFC 8216, CMAF segments) in a folder: master.m3u8, and a playlist
 * for video and for sound each. The video's key frames say where segments begin;
 * sound is cut at the frames that are nearest, and silence put where it is missing.
 * Times go on all the while: where no video came for a while there is a hole in
 * them, and a discontinuity.
 *
 * From any thread.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define HLS_MASTER "master.m3u8"

/* What the sound must be coded as, by avenc_aac. */
#define HLS_AUDIO_RATE 48000
#define HLS_AUDIO_CAPS "audio/mpeg,mpegversion=4,stream-format=raw," \
  "rate=48000,channels=2"

/* Without video for so long, counted from the beginning of a segment of this length,
 * it is over, and the next frame begins another. */
GstClockTime hls_get_max_duration (GstClockTime segment);

typedef struct _Hls Hls;

/* `keep`: how many segments are named, older ones being deleted; 0: all. FALSE and
 * `error` where the folder cannot be used. */
Hls *hls_new (const char *folder, GstClockTime segment, guint keep,
    GError ** error);
void hls_free (Hls * self);

/* Before the first segment is complete: there is to be sound. */
void hls_expect_audio (Hls * self);

/* Bits/s that no segment of the video exceeds. */
void hls_set_bandwidth (Hls * self, guint bandwidth);

/* `time`: running time of the sample; `now`: the current one. H.264 as x264enc has it,
 * without reordered frames, every key frame beginning a segment. */
gboolean hls_add_video (Hls * self, GstSample * sample, GstClockTime time,
    GstClockTime now, GError ** error);

gboolean hls_add_audio (Hls * self, GstSample * sample, GstClockTime time,
    GError ** error);

/* Writes what there is, and that nothing more comes. */
gboolean hls_finish (Hls * self, GError ** error);

/* Whether the file belongs to the stream. */
gboolean hls_has (Hls * self, const char *file);

G_END_DECLS
