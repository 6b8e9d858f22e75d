/* A source that may be lost and come back: its decoded video, and its sound where
 * that is asked for, on pads of a pipeline that knows nothing of it. The source
 * has a pipeline of its own, which is built anew after 1 s, 2 s, 4 s ... at most
 * 10 s until frames come again. What the other one has from it is time stamps
 * that go on with its running time, buffers marked DISCONT where some are
 * missing, and never an EOS. A file that ends begins again.
 *
 * All functions and callbacks: in the thread of the default main context.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct _Feed Feed;

typedef struct
{
  const char *program;          /* begins the lines on standard error */
  const char *text;             /* the source, as in source.h; no PipeWire camera */
  const char *size;             /* as in source.h, or NULL */
  gboolean waits;               /* it waits to be called, as SRT's listener: that
                                   nobody calls is no failure, and it is built
                                   anew after 1 s always */

  /* Sink pads in the pipeline that frames go to: raw video, progressive and
   * upright, of sizes and formats that may change; raw sound. `audio` may be
   * NULL. */
  GstPad *video, *audio;

  /* The source gives frames, for the first time or again. */
  void (*came) (gpointer user_data, gboolean with_audio);
  /* It does not any more; standard error says so already. May be NULL. */
  void (*lost) (gpointer user_data);
  /* It has never given a frame and never will: a wrong password, a codec that
   * nothing here decodes, no video. `error` is for the person. */
  void (*failed) (gpointer user_data, const GError * error);
  gpointer user_data;
} FeedParams;

/* Adds appsrcs to `pipeline`, which gets the system's clock, and links them to
 * the pads. Strings and callbacks are copied. NULL and `error` where it can be
 * said at once that nothing comes from there. */
Feed *feed_new (GstElement * pipeline, const FeedParams * params,
    GError ** error);

/* Once, when the pipeline has been set to PLAYING. */
void feed_start (Feed * self);

/* Stops the source; nothing comes after this. The pipeline stays as it is, and
 * must be there still: before an EOS is sent to it, or before its end. */
void feed_free (Feed * self);

G_END_DECLS
