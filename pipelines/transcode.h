/* A file in, the same file with its video restored out: decode, dloral, encode
 * anew, and the other streams carried over, see tracks.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "encoders.h"
#include "picture.h"
#include "progress.h"
#include "tracks.h"

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct
{
  const char *in, *out;         /* paths; `out` is overwritten */
  Container container;
  const Encoder *encoder;
  Window window;
} TranscodeParams;

typedef struct
{
  guint n_frames;
  int width, height;            /* of the video that went out */
  double seconds;               /* the whole run took */
} TranscodeResult;

typedef struct _Transcode Transcode;

/* NULL and `error` when a GStreamer element is missing. `params` must outlive
 * the result. */
Transcode *transcode_new (const TranscodeParams * params, GError ** error);
void transcode_free (Transcode * self);

/* Runs the default main context until the file is done, with a progress
 * display. FALSE with G_IO_ERROR_CANCELLED when a source of that context
 * cancels. */
gboolean transcode_run (Transcode * self, GCancellable * cancellable,
    TranscodeResult * result, GError ** error);

/* After a run: the frame half-way through the file. */
Picture *transcode_get_picture (Transcode * self);

G_END_DECLS
