/* The branch of a pipeline that restores and encodes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "encoders.h"
#include "picture.h"
#include "tracks.h"

G_BEGIN_DECLS

typedef struct
{
  const Encoder *encoder;
  const Window *window;
  Tracks *tracks;               /* takes what is to be said */
  char **properties;            /* of dloral, NAME=VALUE each; NULL: none */
  GstClockTime done;            /* frames up to here are not wanted again; NONE */
  GstElement *bin;              /* has a pad "sink" and a pad "src" */
  Picture picture;
  gboolean encoding;            /* a frame has reached the encoder */

  GMutex lock;                  /* guards what follows */
  guint n_frames;
  int width, height;
  GstClockTime position, duration;
} Video;

void video_init (Video * self);

/* With what is above `bin` set: makes the bin, which is the caller's. */
gboolean video_build (Video * self, GError ** error);

/* After the bin has stopped. */
void video_clear (Video * self);

G_END_DECLS
