/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Rises at once, falls with hesitation: every change makes the pipeline
 * distribute its latency anew.
 */
#include "dlorallatency.h"

static GstClockTime
dloral_latency_get_longest (const DloralLatency * latency)
{
  guint i, n = MIN (latency->count, DLORAL_LATENCY_WINDOW);
  GstClockTime longest = 0;

  for (i = 0; i < n; i++)
    longest = MAX (longest, latency->window[i]);
  return longest;
}

gboolean
dloral_latency_add (DloralLatency * latency, GstClockTime measured)
{
  gboolean first = latency->count == 0;
  GstClockTime wanted;

  latency->window[latency->count++ % DLORAL_LATENCY_WINDOW] = measured;
  wanted = dloral_latency_get_longest (latency);
  wanted += wanted / 20;

  if (first || measured > latency->announced
      || (latency->count >= DLORAL_LATENCY_WINDOW
          && wanted < latency->announced - latency->announced / 4)) {
    latency->announced = wanted;
    return TRUE;
  }
  return FALSE;
}
