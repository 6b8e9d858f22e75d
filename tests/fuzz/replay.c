/* Runs a target over files, without libFuzzer: the inputs that cover it and
 * those that once broke it.
 *
 *   TARGET FOLDER...
 *
 * Names each file before it is tried: the last one named is the one that failed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "target.h"

#include <stdio.h>

static void
try_file (const char *path)
{
  g_autofree char *data = NULL;
  GError *error = NULL;
  gsize size;

  printf ("%s\n", path);
  fflush (stdout);
  g_file_get_contents (path, &data, &size, &error);
  g_assert_no_error (error);
  LLVMFuzzerTestOneInput ((const uint8_t *) data, size);
}

/* How many files there are. */
static int
try_folder (const char *folder)
{
  GError *error = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &error);
  const char *name;
  int n = 0;

  g_assert_no_error (error);
  for (; (name = g_dir_read_name (dir)); n++) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    try_file (path);
  }
  return n;
}

int
main (int argc, char **argv)
{
  int n = 0;

  LLVMFuzzerInitialize (&argc, &argv);
  for (int i = 1; i < argc; i++)
    n += try_folder (argv[i]);
  printf ("%d files\n", n);
  return n > 0 ? 0 : 1;
}
