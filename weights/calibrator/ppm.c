/* Reading PPM files.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "ppm.h"

#include <string.h>

#define MAX_SIDE 65535

/* The number behind white space and comments; -1 where there is none. */
static int
read_number (const char **at, const char *end)
{
  int n = 0;

  while (*at < end && (g_ascii_isspace (**at) || **at == '#')) {
    const char *line = **at == '#' ? memchr (*at, '\n', end - *at) : *at;

    *at = line ? line + 1 : end;
  }
  if (*at == end || !g_ascii_isdigit (**at))
    return -1;
  for (; *at < end && g_ascii_isdigit (**at) && n <= MAX_SIDE; ++*at)
    n = 10 * n + (**at - '0');
  return n;
}

/* One byte of white space ends the header. */
static gboolean
parse (DloralPpm *ppm, gsize size)
{
  const char *at = ppm->contents + 2, *end = ppm->contents + size;
  int levels;

  if (size < 2 || memcmp (ppm->contents, "P6", 2) != 0)
    return FALSE;
  ppm->width = read_number (&at, end);
  ppm->height = read_number (&at, end);
  levels = read_number (&at, end);
  if (ppm->width < 1 || ppm->height < 1 || ppm->width > MAX_SIDE
      || ppm->height > MAX_SIDE || levels != 255 || at == end)
    return FALSE;
  ppm->rgb = (const guint8 *) at + 1;
  return (gsize) (end - at) == 1 + (gsize) ppm->width * ppm->height * 3;
}

gboolean
dloral_ppm_read (DloralPpm *ppm, const char *path, GError **error)
{
  gsize size;

  memset (ppm, 0, sizeof *ppm);
  if (!g_file_get_contents (path, &ppm->contents, &size, error))
    return FALSE;
  if (parse (ppm, size))
    return TRUE;
  dloral_ppm_clear (ppm);
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE, "File '%s': expected one "
      "picture in PPM, P6 with 255 levels; ffmpeg makes such files: ffmpeg -i "
      "CLIP -frames:v 30 %%03d.ppm", path);
  return FALSE;
}

void
dloral_ppm_clear (DloralPpm *ppm)
{
  g_clear_pointer (&ppm->contents, g_free);
}
