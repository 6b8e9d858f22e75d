/* Runs a target over files, without libFuzzer: the inputs that cover it and
 * those that once broke it.
 *
 *   PROGRAM FOLDER TARGET       tries FOLDER/corpus/TARGET, FOLDER/findings/TARGET
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

/* The files of folder/kind/target, if it is there; how many. */
static int
try_folder (const char *folder, const char *kind, const char *target)
{
  g_autofree char *path = g_build_filename (folder, kind, target, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;
  int n = 0;

  for (; dir && (name = g_dir_read_name (dir)); n++) {
    g_autofree char *file = g_build_filename (path, name, NULL);

    try_file (file);
  }
  return n;
}

int
main (int argc, char **argv)
{
  int n;

  if (argc != 3)
    g_error ("Say what: %s FOLDER TARGET", argv[0]);
  LLVMFuzzerInitialize (&argc, &argv);
  n = try_folder (argv[1], "corpus", argv[2]);
  g_assert_cmpint (n, >, 0);
  n += try_folder (argv[1], "findings", argv[2]);
  printf ("%d files\n", n);
  return 0;
}
