/* Two events with some runs between.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stopwatch.h"

#include <math.h>

#define WARM_UP 2
#define RUNS 5

static gboolean
repeat (int times, gboolean (*launch) (gpointer data), gpointer data)
{
  for (int i = 0; i < times; i++)
    if (!launch (data))
      return FALSE;
  return TRUE;
}

double
dloral_stopwatch (const DloralDriver *driver, CUstream stream,
    gboolean (*launch) (gpointer data), gpointer data)
{
  CUevent begun = NULL, done = NULL;
  float ms = INFINITY;

  if (!DLORAL_DRIVER_CALL (driver, NULL, cuEventCreate, &begun,
          CU_EVENT_DEFAULT) || !DLORAL_DRIVER_CALL (driver, NULL,
          cuEventCreate, &done, CU_EVENT_DEFAULT)
      || !repeat (WARM_UP, launch, data)
      || !DLORAL_DRIVER_CALL (driver, NULL, cuEventRecord, begun, stream)
      || !repeat (RUNS, launch, data)
      || !DLORAL_DRIVER_CALL (driver, NULL, cuEventRecord, done, stream)
      || !DLORAL_DRIVER_CALL (driver, NULL, cuEventSynchronize, done)
      || !DLORAL_DRIVER_CALL (driver, NULL, cuEventElapsedTime, &ms, begun,
          done))
    ms = INFINITY;
  if (begun)
    driver->cuEventDestroy (begun);
  if (done)
    driver->cuEventDestroy (done);
  return ms / 1e3 / RUNS;
}
