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
typedef struct _DloralBackend DloralBackend;

/* Time of one operator, summed over runs since profiling was switched on. */
typedef struct
{
  double seconds;
  gboolean library;             /* spent in the vendor's library */
} DloralOpTime;

struct _DloralBackend
{
  const char *name;             /* "cpu" */

  /* Opens the device. A device holds packed weights, shared by all its plans;
   * safe to use from several threads. threads: 0 = all cores. */
  DloralDevice *(*open) (DloralPrecision precision, int threads,
      GError ** error);
  void (*close) (DloralDevice * device);

  /* The activation type graphs must be built with on this device. */
  DloralDtype (*get_act_dtype) (DloralDevice * device);

  /* Packs weights (reusing those of equal key), chooses implementations. The
   * graph must be planned and outlive the plan. */
  DloralPlan *(*compile) (DloralDevice * device, const DloralGraph * graph,
      GError ** error);
  void (*plan_free) (DloralPlan * plan);

  /* Bytes of device memory a run needs as its arena: the graph's and the
   * backend's scratch. Plans that never run at once may share one arena. */
  gsize (*plan_get_arena_size) (const DloralPlan * plan);

  /* Memory of the device, DLORAL_ALIGN-aligned, uninitialised. */
  gpointer (*alloc) (DloralDevice * device, gsize size, GError ** error);
  void (*free) (DloralDevice * device, gpointer memory);

  /* Runs the plan in the calling thread: `bindings` [n_bindings] are
   * device pointers of the bound tensors. No allocation, no logging. One
   * plan is run by one thread at a time. */
  gboolean (*run) (DloralPlan * plan, gpointer arena,
      gpointer const *bindings, GError ** error);

  /* Per-operator times, off by default: `times` [number of ops], owned by the
   * plan and added to by every run; enable = FALSE stops. */
  const DloralOpTime *(*plan_profile) (DloralPlan * plan, gboolean enable);
};

/* The backends of this build, best first, NULL at the end. */
extern const DloralBackend *const dloral_backends[];

extern const DloralBackend dloral_cpu_backend;

G_END_DECLS
