/* The seam between the engine and what computes: a device compiles planned
 * graphs and runs them. cpu/ implements it on oneDNN; every other backend is a
 * sibling folder with the same table.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "graph.h"

G_BEGIN_DECLS

typedef struct _DloralDevice DloralDevice;
typedef struct _DloralPlan DloralPlan;
typedef struct _DloralQueue DloralQueue;
typedef struct _DloralEvent DloralEvent;
typedef struct _DloralBackend DloralBackend;

/* Time of one operator, summed over runs since profiling was switched on. */
typedef struct
{
  double seconds;
  gboolean library;             /* spent in the vendor's library */
} DloralOpTime;

typedef struct
{
  DloralPrecision precision;
  int threads;                  /* of the CPU; 0: all cores */
  int ordinal;                  /* of several devices of a kind; -1: the first */
  gboolean tune;                /* choose implementations by timing them */
} DloralDeviceParams;

struct _DloralBackend
{
  const char *name;             /* "cpu" */

  /* A device apart: with memory of its own, and queues that run beside the host
   * and each other. If not, device memory is the host's and whatever a queue is
   * given has been done when the call returns. */
  gboolean discrete;

  /* Opens the device. A device holds packed weights, shared by all its plans;
   * safe to use from several threads. */
  DloralDevice *(*open) (const DloralDeviceParams * params, GError ** error);
  void (*close) (DloralDevice * device);

  /* The activation type graphs must be built with on this device. */
  DloralDtype (*get_act_dtype) (DloralDevice * device);

  /* Whether the device multiplies in fp8 where a graph says what is needed for it
   * and this is the precision it was opened with; NULL: never. */
  gboolean (*has_fp8) (DloralDevice * device);

  /* Packs weights (reusing those of equal key), chooses implementations. The
   * graph must be planned and outlive the plan. Looks at graph->cancelled between
   * operators. */
  DloralPlan *(*compile) (DloralDevice * device, const DloralGraph * graph,
      GError ** error);
  void (*plan_free) (DloralPlan * plan);

  /* Bytes of device memory a run needs as its arena: the graph's and the
   * backend's scratch. Plans that never run at once may share one arena. */
  gsize (*plan_get_arena_size) (const DloralPlan * plan);

  /* Memory of the device, DLORAL_ALIGN-aligned, uninitialised. */
  gpointer (*alloc) (DloralDevice * device, gsize size, GError ** error);
  void (*free) (DloralDevice * device, gpointer memory);

  /* Memory of the host that the device copies from and to by itself. */
  gpointer (*alloc_host) (DloralDevice * device, gsize size, GError ** error);
  void (*free_host) (DloralDevice * device, gpointer memory);

  /* A queue does what it is given one thing after another; one thread at a time
   * gives. urgent: goes before queues that are not. Freeing waits for its end. */
  DloralQueue *(*queue_new) (DloralDevice * device, gboolean urgent,
      GError ** error);
  void (*queue_free) (DloralQueue * queue);

  /* TRUE: what runs in the queue, and what it is given until FALSE, ends before its
   * next operator: run fails with DLORAL_ERROR_CANCELLED, and what it would have
   * written holds anything. Any thread. NULL: what a queue was given is done. */
  void (*queue_interrupt) (DloralQueue * queue, gboolean interrupt);

  /* Waits in the calling thread until the queue has nothing left to do. */
  gboolean (*queue_finish) (DloralQueue * queue, GError ** error);

  /* Runs the plan: `bindings` [n_bindings] are device memory of the bound
   * tensors. No allocation but for combinations of arena and bindings not seen
   * before, no logging. A plan is run in one queue, an arena used by one. */
  gboolean (*run) (DloralPlan * plan, DloralQueue * queue, gpointer arena,
      gpointer const *bindings, GError ** error);

  /* Copies between host and device, in the queue. Host memory that is not
   * alloc_host's may hold up the caller. */
  gboolean (*upload) (DloralQueue * queue, gpointer device_memory,
      gconstpointer host_memory, gsize size, GError ** error);
  gboolean (*download) (DloralQueue * queue, gpointer host_memory,
      gconstpointer device_memory, gsize size, GError ** error);

  /* Copies rows of a frame [format.size] in device memory from (in) or to where
   * the caller says, in the queue. NULL: nobody else has memory of the device. */
  gboolean (*copy_rows) (DloralQueue * queue, gpointer frame,
      const DloralVideoRows * rows, gboolean in, GError ** error);

  /* An event marks a point in a queue: everything given before. Another queue
   * waits for the point it marks when asked. Recorded again, it marks another. */
  DloralEvent *(*event_new) (DloralDevice * device, GError ** error);
  void (*event_free) (DloralEvent * event);
  gboolean (*event_record) (DloralEvent * event, DloralQueue * queue,
      GError ** error);
  gboolean (*queue_wait) (DloralQueue * queue, DloralEvent * event,
      GError ** error);

  /* Waits in the calling thread; a failure of anything before comes out here. */
  gboolean (*event_finish) (DloralEvent * event, GError ** error);
  /* Whether there is nothing to wait for. */
  gboolean (*event_is_past) (DloralEvent * event);
  /* Nanoseconds between two events that are past. */
  gint64 (*event_get_elapsed) (DloralEvent * from, DloralEvent * to);

  /* Per-operator times, off by default: `times` [number of ops], owned by the
   * plan and added to by every run; enable = FALSE stops. */
  const DloralOpTime *(*plan_profile) (DloralPlan * plan, gboolean enable);
};

/* The backends of this build, best first, NULL at the end. */
extern const DloralBackend *const dloral_backends[];

extern const DloralBackend dloral_cpu_backend;
extern const DloralBackend dloral_cuda_backend;

G_END_DECLS
