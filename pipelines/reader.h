/* A file, demuxed and decoded as far as is wanted: the beginning of a pipeline.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>
#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  const char *in;               /* path */
  GstBin *pipeline;
  GstElement *decode;           /* decodebin: the user connects to it */
  gboolean has_video;           /* the user says so */
  char *missing;                /* description of a plugin that is not there */
  guint n_silent_ticks;

  GMutex lock;
  GPtrArray *sinks;             /* under `lock`: of decodebin's elements */
} Reader;

/* A period that suits reader_is_silent, in ms. */
#define READER_TICK_MS 100

void reader_init (Reader * self);

/* With `in` and `pipeline` set: adds the elements. */
gboolean reader_build (Reader * self, GError ** error);

/* After the pipeline has stopped. */
void reader_clear (Reader * self);

/* Whether the buffers of a stream, at a pad that decodebin asks about, are
 * whole frames: some containers have such, otherwise it takes a parser, which
 * leaves out what it cannot make sense of. */
gboolean reader_gives_frames (Reader * self, GstPad * pad, GstCaps * caps);

/* Every message of the pipeline that reader_parse_error may have to explain. */
void reader_take_note (Reader * self, GstMessage * message);

/* A new error that names the file, from a message of one; GStreamer's own
 * sentences mostly do not. G_IO_ERROR_INVALID_DATA where what was read is to
 * blame. */
GError *reader_parse_error (Reader * self, GstMessage * message);

/* To be asked every READER_TICK_MS: TRUE when there will be no video and
 * nothing will be said about it. */
gboolean reader_is_silent (Reader * self);

G_END_DECLS
