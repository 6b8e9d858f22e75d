/* What the programs of this folder share that show or record as they go: the
 * options of the element, a pipeline from a source through dloral, the main
 * loop around it, and errors in one line.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "settings.h"
#include "source.h"

#include <gst/gst.h>

G_BEGIN_DECLS

#define LIVE_QUEUE "queue max-size-buffers=2 max-size-bytes=0 max-size-time=0"

typedef struct
{
  /* Set by the program before live_build (), the rest being zero. */
  const char *text;             /* the source, as the person wrote it */
  gboolean drop;                /* frames that are too slow to restore are left
                                   out even where the source could wait */
  gboolean repeat;              /* a file that ends begins again */
  double start;                 /* seconds; a file begins at the key frame before
                                   this */

  /* Options. */
  char *out;                    /* a video to write */
  char *size;                   /* that the source is brought to */
  Settings settings;

  GstElement *pipeline;
  GstElement *restore;          /* dloral */
  Source source;
  GMainLoop *loop;
  GError *error;                /* the first one */
  char *missing;                /* description of a plugin that is not there */
  gboolean interrupted;         /* by Ctrl-C or its like */
  gboolean finishing;           /* the end of the stream is on its way */
  int is_started;               /* the pipeline; atomic */
  int n_frames;                 /* that reached dloral; atomic */
  int n_seen;                   /* of those at the last tick */
  int is_live;                  /* the source does not wait; atomic */
  guint n_silent_ticks;
} Live;

/* Once, before anything else. */
void live_init (void);

/* Reads the options, those of `entries` too; the source, if one is given, is
 * left as the only argument. */
gboolean live_parse (Live * self, int *argc, char ***argv,
    const GOptionEntry * entries, GError ** error);

/* SOURCE ! dloral name=restore ! `filter` ! `sink`, or a file where --out asks
 * for one, or a window where `sink` is NULL. */
gboolean live_build (Live * self, const char *filter, const char *sink,
    GError ** error);

/* Runs the default main context until the end, Ctrl-C or live_quit (). */
gboolean live_run (Live * self, GError ** error);

/* The program has what it wanted. From any thread. */
void live_quit (Live * self);

void live_clear (Live * self);

G_END_DECLS
