/* What goes beside the video: sound and subtitles, carried over as they are
 * where the container takes them, converted where that can be, and otherwise
 * left out with a word about it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "container.h"
#include "window.h"

G_BEGIN_DECLS

typedef struct
{
  GstBin *pipeline;
  GstElement *mux;
  Container container;
  Window *window;
  GMutex lock;
  GPtrArray *notes;             /* under `lock`: sentences for people */
} Tracks;

void tracks_init (Tracks * self);
void tracks_clear (Tracks * self);

/* Whether a stream of such caps needs no more decoding. */
gboolean tracks_is_ready (Tracks * self, GstCaps * caps);

/* For decodebin's pads that are not video. On failure an error is on the
 * pipeline's bus. */
void tracks_link (Tracks * self, GstPad * pad, GstCaps * caps);

/* Looks at what is said of the whole file along with the video, for what the
 * container does not take. */
void tracks_watch_file (Tracks * self, GstPad * pad);

/* Keeps a sentence, which it takes, unless it is there already. */
void tracks_take_note (Tracks * self, char *note);

/* Writes the sentences to standard error, once. */
void tracks_say_notes (Tracks * self);

G_END_DECLS
