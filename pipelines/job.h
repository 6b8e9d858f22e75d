/* One file from its name to its result.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>
#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  char *encoder;                /* NULL: the container's usual one */
  GstClockTime start, stop;     /* of the video; GST_CLOCK_TIME_NONE: its end */
  gboolean resume;              /* keep what is done, go on with what is kept */
  GCancellable *cancellable;
} JobOptions;

/* `out` NULL: beside `in`. Says on standard output what came of it. */
gboolean job_run (const char *in, const char *out, const JobOptions * options,
    GError ** error);

G_END_DECLS
