/* A thread that steers a stream: what the user changes while frames are played
 * is prepared beside them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

#include "engine/dloral.h"

G_BEGIN_DECLS

typedef struct _DloralTuner DloralTuner;

/* `stream` must outlive the tuner. A failure is posted as a warning of
 * `element`. */
DloralTuner *dloral_tuner_new (GstElement * element, DloralStream * stream);

/* Waits for what is being prepared. */
void dloral_tuner_free (DloralTuner * tuner);

/* Asks for these conditions and returns at once; of several that wait the last
 * one counts. Any thread. */
void dloral_tuner_set (DloralTuner * tuner,
    const DloralConditions * conditions);

G_END_DECLS
