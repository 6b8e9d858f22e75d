/* What the targets of libFuzzer share. A target is the one function below; it
 * ends normally whatever it is given, or has found a mistake: abort (), a
 * sanitizer's report, more time or memory than it was allowed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

/* libFuzzer's entries: the target's, and one that comes before. */
int LLVMFuzzerTestOneInput (const uint8_t * data, size_t size);
int LLVMFuzzerInitialize (int *argc, char ***argv);

/* The path of a file in memory with these bytes, until the next call. */
const char *target_write (gconstpointer bytes, gsize size);

/* Aborts unless `error` is the engine's, and one printable sentence that names
 * the file and says what was found; clears it. */
void target_check_error (GError ** error, const char *path);

G_END_DECLS
