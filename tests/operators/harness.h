/* One operator, compiled and run through the backend's table, in memory that is
 * watched.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cases.h"
#include "engine/backend.h"

G_BEGIN_DECLS

/* Device memory between guards, and its image on the host. */
typedef struct
{
  gpointer device;
  guint8 *host;
  gsize size;                   /* without the guards */
} DloralBuffer;

typedef struct
{
  const DloralBackend *backend;
  DloralDevice *device;
  const DloralCase *c;
  DloralPlan *plan;
  DloralQueue *queue;
  DloralBuffer arena;
  DloralBuffer *buffers;        /* [n_bindings], sources filled */
  gpointer *bindings;           /* [n_bindings], of the device */
} DloralHarness;

/* Compiles the case and fills its sources with noise; fails the test when the
 * backend does. */
void dloral_harness_init (DloralHarness * h, const DloralBackend * backend,
    DloralDevice * device, const DloralCase * c, guint32 seed);
void dloral_harness_clear (DloralHarness * h);

/* Writes `poison` all over the results and the arena, runs, and checks that
 * nothing outside them and no source was written. */
void dloral_harness_run (DloralHarness * h, guint8 poison);

/* The host's image of a bound tensor: what the next run starts from, what the
 * last one left. */
gpointer dloral_harness_get (const DloralHarness * h, int binding);

/* Values of a bound tensor in a new array. */
double *dloral_harness_read (const DloralHarness * h, const DloralTensor * t);

G_END_DECLS
