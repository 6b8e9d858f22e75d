/* A file in, the same file with its video restored out: decode, dloral, encode
 * anew, and the other streams carried over, see tracks.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "index.h"
#include "parts.h"
#include "progress.h"
#include "video.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum
{
  STAGE_ALL,                    /* IN to OUT */
  STAGE_PART,                   /* IN's video to a part, see parts.h */
  STAGE_JOIN,                   /* parts, and IN but for its video, to OUT */
  STAGE_INDEX,                  /* IN's frames to an index, nothing decoded */
} Stage;

typedef struct
{
  Stage stage;
  const char *in, *out;         /* paths; `out` is overwritten, STAGE_INDEX has
                                 * none */
  Container container;
  const Encoder *encoder;
  GstClockTime start, stop;     /* of IN; NONE: to the end */
  char **properties;            /* of dloral, NAME=VALUE each; NULL: none */
  GstClockTime done;            /* STAGE_PART: what there is already; NONE */
  GstClockTime lead;            /* STAGE_PART: restored from here on, so that
                                 * the model knows what came before; up to
                                 * `done` not kept */
  const WindowJump *jump;       /* STAGE_PART: where reading begins; NULL: at
                                 * the beginning */
  GPtrArray *parts;             /* STAGE_JOIN: of Part */
  Index *index;                 /* STAGE_INDEX: is filled */
} TranscodeParams;

typedef struct
{
  guint n_frames;
  int width, height;            /* of the video that went out */
  double seconds;               /* the whole run took */
  gboolean is_whole;            /* `out` can be read, if cut short */
} TranscodeResult;

typedef struct _Transcode Transcode;

/* NULL and `error` when a GStreamer element is missing. `params` must outlive
 * the result. */
Transcode *transcode_new (const TranscodeParams * params, GError ** error);
void transcode_free (Transcode * self);

/* Runs the default main context until the file is done, with a progress
 * display. FALSE with G_IO_ERROR_CANCELLED when a source of that context
 * cancels: at the first time the result is brought to an end, at the second
 * left as it is. With G_IO_ERROR_NOT_SUPPORTED when the jump is not possible in
 * that file, with G_IO_ERROR_INVALID_DATA when IN is to blame. */
gboolean transcode_run (Transcode * self, GCancellable * cancellable,
    TranscodeResult * result, GError ** error);

/* While it runs: how many frames are done. */
guint transcode_count_frames (Transcode * self);

/* After a run: the frame half-way through the file. */
Picture *transcode_get_picture (Transcode * self);

G_END_DECLS
