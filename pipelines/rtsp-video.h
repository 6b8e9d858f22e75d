/* What pipelines/rtsp restores, once for all clients: a source, dloral, H.264.
 * Frames go through dloral only while there is somewhere to put them; the source
 * stays connected and the model loaded.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "settings.h"

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct _RtspVideo RtspVideo;

typedef struct
{
  const char *text, *size;      /* the source, as in source.h */
  const Settings *settings;

  /* In the default main context. Somebody who asks now gets a picture; the first
   * time only. */
  void (*ready) (gpointer user_data);
  /* It cannot go on. */
  void (*failed) (gpointer user_data, const GError * error);
  gpointer user_data;
} RtspVideoParams;

RtspVideo *rtsp_video_new (const RtspVideoParams * params, GError ** error);

void rtsp_video_start (RtspVideo * self);
void rtsp_video_free (RtspVideo * self);

/* --- From any thread ------------------------------------------------------- */

/* Whether the source gives frames. */
gboolean rtsp_video_is_there (RtspVideo * self);

/* Its frames have the times of a pipeline with this base time, on the system's
 * clock. */
GstClockTime rtsp_video_get_base_time (RtspVideo * self);

/* From now on access units go to this appsrc only, the first being a key frame. */
void rtsp_video_set_outlet (RtspVideo * self, GstElement * appsrc);

/* They go nowhere, if this is where they went. */
void rtsp_video_remove_outlet (RtspVideo * self, GstElement * appsrc);

/* For somebody who has come. Not more often than every half second. */
void rtsp_video_request_key_frame (RtspVideo * self);

G_END_DECLS
