/* Fragmented MP4 of one track, as CMAF has it: a header, and segments that are
 * one fragment each (ISO/IEC 14496-12, 23000-19). H.264 without reordered frames,
 * or AAC.
 *
 * GStreamer 1.22's mp4mux is not used: its fragments lack the flag that browsers
 * ask for (default-base-is-moof) and CMAF's brands, every track begins at the time
 * zero wherever it really does, which loses what sound and video have to do with
 * each other, and it takes no new size.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  GstBuffer *buffer;            /* owned by who made the sample */
  guint32 duration;             /* in units of the track's rate */
} Fmp4Sample;

/* Header of a track of video: `caps` is x264enc's, stream-format=avc. Units of
 * time are 1/90000 s. NULL where the caps lack something. */
#define FMP4_VIDEO_RATE 90000
GByteArray *fmp4_video_header (GstCaps * caps);

/* Of sound: audio/mpeg, stream-format=raw. Units are those of its rate. */
GByteArray *fmp4_audio_header (GstCaps * caps);

/* `time`: of the first of the samples (Fmp4Sample), which is the only one that can be
 * decoded without another where it is video. */
GByteArray *fmp4_segment (gboolean is_video, guint32 number, guint64 time,
    GArray * samples);

/* For RFC 6381's "codecs"; NULL where the caps lack something. */
char *fmp4_video_codec (GstCaps * caps);

G_END_DECLS
