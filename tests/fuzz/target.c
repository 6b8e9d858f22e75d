/* Files in memory, and a backend that models can be opened with: it has a
 * device and computes nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define _GNU_SOURCE
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/backend.h"
#include "tests/engine/corpus.h"

static int fd;
static char path[64];

/* --- Backend --------------------------------------------------------------- */

struct _DloralDevice
{
  int unused;
};

static DloralDevice *
device_open (const DloralDeviceParams *params, GError **error)
{
  static DloralDevice device;

  return &device;
}

static void
device_close (DloralDevice *device)
{
}

static DloralDtype
get_act_dtype (DloralDevice *device)
{
  return DLORAL_BF16;
}

static const DloralBackend backend = {
  .name = "none",
  .open = device_open,
  .close = device_close,
  .get_act_dtype = get_act_dtype,
};

const DloralBackend *const dloral_backends[] = { &backend, NULL };

/* --- Interface -------------------------------------------------------------- */

/* GLib's own end of an error is a trap, which libFuzzer does not catch; and a
 * warning is as bad. */
static void
on_log (const char *domain, GLogLevelFlags level, const char *message,
    gpointer data)
{
  fprintf (stderr, "%s: %s\n", domain ? domain : "?", message);
  abort ();
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  g_log_set_default_handler (on_log, NULL);
  fd = memfd_create ("input", MFD_CLOEXEC);
  g_assert_cmpint (fd, >=, 0);
  g_snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  return 0;
}

const char *
target_write (gconstpointer bytes, gsize size)
{
  g_assert_cmpint (ftruncate (fd, 0), ==, 0);
  g_assert_cmpint (pwrite (fd, bytes, size, 0), ==, (gssize) size);
  return path;
}

void
target_check_error (GError **error, const char *file)
{
  static const char *const words[] = { "found", NULL };
  /* The one sentence of another form. */
  gboolean scales = g_error_matches (*error, DLORAL_ERROR, DLORAL_ERROR_SCALES);

  corpus_check_error (error, (DloralError) (*error)->code, file,
      words + scales);
}
