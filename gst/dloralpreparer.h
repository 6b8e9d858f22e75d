/* Prepares what frames are restored with, in a thread of its own: opens the
 * model, makes it ready for frames of a size, steers it, finds a prompt. It is
 * told what is wished for, as often as that changes, and does what is missing. The
 * application hears how far it is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

#include "dloralenums.h"
#include "dloralprompter.h"
#include "dloralsession.h"

G_BEGIN_DECLS

typedef struct
{
  DloralModelParams model;      /* path NULL: the default model */
  DloralStreamParams stream;    /* width 0: no frames yet, only open the model */
  DloralAutoPrompt auto_prompt; /* what is found goes before the stream's prompt */
  const gchar *tagger;          /* path; NULL: in the model's file */
} DloralWish;

typedef struct _DloralPreparer DloralPreparer;

/* Messages are posted as `element`, which must outlive the preparer: progress
 * (codes "load" and "compile") and, where a wish cannot be fulfilled, an error; or
 * a warning while there is a session for such frames, which then goes
 * on. */
DloralPreparer *dloral_preparer_new (GstElement * element);

/* What is being done is given up, and no message is posted any more after. What was
 * taken must not be in use. */
void dloral_preparer_free (DloralPreparer * preparer);

/* Wishes anew; copies. Never waits. Any thread. */
void dloral_preparer_wish (DloralPreparer * preparer,
    const DloralWish * wish);

/* The session for the latest wish, once: a reference, or NULL if it is the one
 * taken last. Waits for it until then (monotonic time; 0: not at all, G_MAXINT64:
 * as long as it takes), unless there will be none or the wait is interrupted. */
DloralSession *dloral_preparer_take (DloralPreparer * preparer,
    gint64 until);

/* Whether the latest wish could not be fulfilled. While that is not known, waits
 * until then (as above), unless interrupted. */
gboolean dloral_preparer_has_failed (DloralPreparer * preparer, gint64 until);

/* Finds a prompt in the sample, which is taken, once all else is done, and steers
 * the session with it. Instead of one that waits for that. A failure is said in a
 * warning, and then none is looked at until model, tagger or auto_prompt are
 * others. Never waits. Any thread. */
void dloral_preparer_look_at (DloralPreparer * preparer,
    DloralSample * sample);

/* The tags that frames are restored with, NULL: none. To be freed. Any thread. */
gchar *dloral_preparer_dup_tags (DloralPreparer * preparer);

/* TRUE wakes whoever waits, now and until FALSE is set. Any thread. */
void dloral_preparer_set_interrupted (DloralPreparer * preparer,
    gboolean interrupted);

G_END_DECLS
