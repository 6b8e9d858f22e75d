/* How long something takes in a stream.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "driver.h"

G_BEGIN_DECLS

/* Seconds that the device spends on what one call of `launch` puts into the
 * stream, on average, after a few calls that do not count. Infinite where anything
 * fails; else it has been done when this returns. */
double dloral_stopwatch (const DloralDriver * driver, CUstream stream,
    gboolean (*launch) (gpointer data), gpointer data);

G_END_DECLS
