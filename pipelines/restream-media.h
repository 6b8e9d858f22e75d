/* From a source to a stream by HLS: what the source gives is restored, coded and cut
 * into segments. Frames that come faster than they can be restored are enlarged
 * only, so that segments are as long as ever.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "hls.h"
#include "settings.h"

G_BEGIN_DECLS

typedef struct
{
  const char *source;
  const Settings *settings;
  GstClockTime segment;

  /* In the default main context. It ends now, because of `error`, or because it was
   * asked to where that is NULL. */
  void (*on_ended) (gpointer user_data, const GError * error);
  gpointer user_data;
} RestreamMediaParams;

typedef struct _RestreamMedia RestreamMedia;

/* `params` and `hls` must outlive the result. */
RestreamMedia *restream_media_new (const RestreamMediaParams * params,
    Hls * hls, GError ** error);
void restream_media_free (RestreamMedia * self);

/* What came is still restored and written, then it has ended. */
void restream_media_finish (RestreamMedia * self);
gboolean restream_media_is_finishing (RestreamMedia * self);

/* Frames so far, and those of them that there was no time to restore. */
void restream_media_count (RestreamMedia * self, guint64 * frames,
    guint64 * bypassed);

G_END_DECLS
