/* One life of a feed's source, from when it is built until it is lost: a pipeline
 * whose frames go to the appsrcs of another one, in that one's time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "source.h"

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct _FeedSource FeedSource;

enum
{ FEED_VIDEO, FEED_AUDIO, FEED_N_KINDS };

typedef struct
{
  const Source *source;
  GstElement *outlets[FEED_N_KINDS];    /* appsrcs; no sound is read where the
                                           second is NULL */
  gboolean waits;               /* may give no frame for as long as it likes
                                   before the first one */

  /* In the default main context. Frames come, for the first time. */
  void (*came) (gpointer user_data, gboolean with_audio);
  /* Once: they come no more, and why. Then it is to be stopped. */
  void (*ended) (gpointer user_data, const GError * error);
  gpointer user_data;
} FeedSourceParams;

FeedSource *feed_source_new (const FeedSourceParams * params, GError ** error);

/* `base_time`: of the pipeline with the outlets, which runs by the system's
 * clock. Does not wait. */
void feed_source_start (FeedSource * self, GstClockTime base_time);

/* No callback and no frame comes after this. Does not wait: it closes by itself. */
void feed_source_stop (FeedSource * self);

/* After that. `wait`: until it is closed, but not for ever. A process must not end
 * before: libraries are unloaded in use then. */
void feed_source_free (FeedSource * self, gboolean wait);

G_END_DECLS
