/* What tells a file from another, or from itself before it was changed, without
 * reading all of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* SHA-256 in hexadecimal: of the size, 8 bytes little endian, and the first and
 * the last MiB. The caller's; NULL and `error` when it cannot be read. */
char *identity_of (const char *path, GError ** error);

/* SHA-256 in hexadecimal of all that is in a file, as above. */
char *identity_of_all (const char *path, GError ** error);

G_END_DECLS
