/* Makes the bytes between a mapped file's end and its page's known to
 * AddressSanitizer: read past the end, they would be zeros. Linked with
 * --wrap.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <unistd.h>

#include <glib.h>
#include <sanitizer/asan_interface.h>

GMappedFile *__real_g_mapped_file_new_from_fd (int fd, gboolean writable,
    GError ** error);
GMappedFile *__wrap_g_mapped_file_new_from_fd (int fd, gboolean writable,
    GError ** error);
void __real_g_mapped_file_unref (GMappedFile * file);
void __wrap_g_mapped_file_unref (GMappedFile * file);

/* The rest of the last page, or NULL. */
static char *
get_rest (GMappedFile *file, gsize *n)
{
  gsize page = sysconf (_SC_PAGESIZE), size = g_mapped_file_get_length (file);

  *n = page - size % page;
  return size % page ? g_mapped_file_get_contents (file) + size : NULL;
}

GMappedFile *
__wrap_g_mapped_file_new_from_fd (int fd, gboolean writable, GError **error)
{
  GMappedFile *file = __real_g_mapped_file_new_from_fd (fd, writable, error);
  gsize n;
  char *rest = file ? get_rest (file, &n) : NULL;

  if (rest)
    ASAN_POISON_MEMORY_REGION (rest, n);
  return file;
}

void
__wrap_g_mapped_file_unref (GMappedFile *file)
{
  gsize n;
  char *rest = get_rest (file, &n);

  if (rest)
    ASAN_UNPOISON_MEMORY_REGION (rest, n);
  __real_g_mapped_file_unref (file);
}
