/* A file in, the same file with its video restored out: decode, dloral, encode
 * anew, and the other streams carried over, see tracks.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

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
} Stage;

typedef struct
{
  Stage stage;
  const char *in, *out;         /* paths; `out` is overwritten */
  Container container;
  const Encoder *encoder;
  GstClockTime start, stop;     /* of IN; NONE: to the end */
  GstClockTime done;            /* STAGE_PART: what there is already; NONE */
  GPtrArray *parts;             /* STAGE_JOIN: of Part */
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
 * left as it is. */
gboolean transcode_run (Transcode * self, GCancellable * cancellable,
    TranscodeResult * result, GError ** error);

/* After a run: the frame half-way through the file. */
Picture *transcode_get_picture (Transcode * self);

G_END_DECLS
