/* How much memory the process has.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"

#include <string.h>

gsize
bench_read_memory (const char *key)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/status", &text, NULL, NULL)
      || !(line = strstr (text, key)))
    return 0;
  line += strlen (key);
  return g_ascii_strtoull (line + strspn (line, " \t"), NULL, 10) * 1024;
}
