/* Running weights/calibrate on a few drawn frames.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define CALIBRATED_WIDTH 48
#define CALIBRATED_HEIGHT 32
#define CALIBRATED_FRAMES 2

/* Frame t, RGB [CALIBRATED_HEIGHT][CALIBRATED_WIDTH][3]: gratings of several widths
 * that move, a bright box that moves otherwise. */
void calibrated_draw (guint8 * rgb, int t);

/* Frame t as a PPM file of the folder; its path. */
char *calibrated_write_frame (const char *folder, int t);

/* Runs `program` with these arguments, NULL at the end; what it says on stderr, or
 * NULL where it succeeded. */
char *calibrated_run (const char *program, ...) G_GNUC_NULL_TERMINATED;

/* Calibrates `model` with all frames into the folder: the path of the result. Fails
 * the test where the program does. */
char *calibrated_new (const char *program, const char *model,
    const char *folder);

G_END_DECLS
