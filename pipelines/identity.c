/* What tells a file from another, see identity.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "identity.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1 << 20)

/* Adds what there is from `offset` on, `size` bytes at most. */
static gboolean
add_range (GChecksum * sum, int fd, off_t offset, goffset size)
{
  g_autofree guint8 *data = g_malloc (MIB);
  gssize n;

  while (size > 0) {
    n = pread (fd, data, MIN (size, MIB), offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return n == 0;
    g_checksum_update (sum, data, n);
    offset += n;
    size -= n;
  }
  return TRUE;
}

static gboolean
add_ends (GChecksum * sum, int fd, goffset size)
{
  guint64 stored = GUINT64_TO_LE ((guint64) size);

  g_checksum_update (sum, (const guint8 *) &stored, sizeof stored);
  return add_range (sum, fd, 0, MIB)
      && add_range (sum, fd, MAX (size - MIB, 0), MIB);
}

static char *
sum_up (const char *path, gboolean all, GError ** error)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  gboolean ok = fd >= 0 && fstat (fd, &st) == 0
      && (all ? add_range (sum, fd, 0, st.st_size)
      : add_ends (sum, fd, st.st_size));

  if (!ok)
    paths_set_errno_error (error, "cannot read", path);
  if (fd >= 0)
    close (fd);
  return ok ? g_strdup (g_checksum_get_string (sum)) : NULL;
}

char *
identity_of (const char *path, GError ** error)
{
  return sum_up (path, FALSE, error);
}

char *
identity_of_all (const char *path, GError ** error)
{
  return sum_up (path, TRUE, error);
}
