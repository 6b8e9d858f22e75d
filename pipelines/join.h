/* Parts that take the place of a file's own video.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "video.h"

G_BEGIN_DECLS

typedef struct
{
  GstBin *pipeline;
  GstElement *mux;
  Video *video;                 /* counts the frames */
  GstElement *source;           /* of the parts' video */
  gint started;                 /* atomic: `source` runs */
} Join;

/* With what is above `source` set: makes that, which is the caller's and has a
 * pad "src". It waits until the file's own video begins. Elements of `parts`
 * are Part. */
GstElement *join_build (Join * self, GPtrArray * parts, GError ** error);

/* Takes the file's own video, which is dropped. TRUE when the pad is linked. */
gboolean join_link (Join * self, GstPad * pad);

G_END_DECLS
