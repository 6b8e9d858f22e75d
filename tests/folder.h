/* A folder for a while.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <glib/gstdio.h>

static inline char *
test_folder_new (void)
{
  GError *error = NULL;
  char *folder = g_dir_make_tmp ("dloral-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

/* With all that is in it; nothing, where there is none. */
static inline void
test_folder_remove (const char *path)
{
  GDir *folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder && (name = g_dir_read_name (folder)) != NULL) {
    g_autofree char *inside = g_build_filename (path, name, NULL);

    if (g_file_test (inside, G_FILE_TEST_IS_DIR))
      test_folder_remove (inside);
    else
      g_unlink (inside);
  }
  g_clear_pointer (&folder, g_dir_close);
  g_rmdir (path);
}
