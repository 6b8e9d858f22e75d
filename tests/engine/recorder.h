/* A backend that computes nothing and checks everything: that a plan's tensors
 * are written before they are read and keep what was written, that whatever two
 * queues or threads do to the same memory is ordered by events or waiting, that
 * nothing is freed too early or not at all.
 *
 * What is copied from the device begins with 8 bytes that tell which frames it was
 * made from (bit t: frame t), if it is that long; all others are 1. Copies are done as
 * late as the engine allows, when it waits for them; until then it is all 0.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/backend.h"

G_BEGIN_DECLS

/* Calls that can be made to go wrong: the first ones do nothing and say that they
 * did it, the others fail. */
typedef enum
{
  RECORDER_WAIT,                /* of a queue for an event */
  RECORDER_RECORD,
  RECORDER_FINISH,              /* an event */
  RECORDER_ALLOC,
  RECORDER_COMPILE,
  RECORDER_RUN,
  RECORDER_N_CALLS
} RecorderCall;

extern const DloralBackend recorder_backend;

/* Forgets everything. The n-th such call from now on goes wrong, -1: none. */
void recorder_start (RecorderCall call, int nth);

/* What was wrong since, strings, to be unreffed; memory and the like that is
 * still there among it. */
GPtrArray *recorder_stop (void);

/* How often it was called since the start. */
int recorder_get_count (RecorderCall call);

/* The caller writes a frame to host memory, or reads what was made; which returns
 * the frames it was made from. */
void recorder_host_writes (gpointer memory, gsize size, int frame);
guint64 recorder_host_reads (gconstpointer memory, gsize size);

G_END_DECLS
