/* A model at work on frames of one size and depth.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/dloral.h"

G_BEGIN_DECLS

typedef struct
{
  gint refs;
  DloralModel *model;
  DloralStream *stream;
  gint width, height;           /* of its frames */
  gboolean deep;                /* their pictures are of 16 bits */
  gboolean on_cuda;             /* computes there */
} DloralSession;

/* Takes a reference to the model. May take seconds. NULL and `error` on
 * failure. */
DloralSession *dloral_session_new (DloralModel * model,
    const DloralStreamParams * params, GError ** error);

/* The last one to unref waits for the frame that is being computed; others in
 * flight are lost. Any thread. */
DloralSession *dloral_session_ref (DloralSession * session);
void dloral_session_unref (DloralSession * session);

G_END_DECLS
