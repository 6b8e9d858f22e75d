/* Running weights/calibrate.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "calibrated.h"

#include <math.h>
#include <string.h>

#define WIDTH CALIBRATED_WIDTH
#define HEIGHT CALIBRATED_HEIGHT

void
calibrated_draw (guint8 *rgb, int t)
{
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++, rgb += 3) {
      double wide = sin (.11 * x + .07 * y - .4 * t);
      double narrow = sin (.9 * x - .5 * y + .9 * t) * (y > HEIGHT / 2);
      gboolean box = ABS (x - 3 * t - WIDTH / 3) < 9 && ABS (y - 20) < 7;

      for (int c = 0; c < 3; c++)
        rgb[c] = 110 + 40 * wide + (18 + 8 * c) * narrow + box * (70 - 25 * c);
    }
}

char *
calibrated_write_frame (const char *folder, int t)
{
  static const char header[] =
      "P6\n# a comment\n" G_STRINGIFY (CALIBRATED_WIDTH) " "
      G_STRINGIFY (CALIBRATED_HEIGHT) "\n255\n";
  const gsize start = sizeof header - 1, size = start + WIDTH * HEIGHT * 3;
  g_autofree char *name = g_strdup_printf ("%d.ppm", t);
  g_autofree char *contents = g_malloc (size);
  char *path = g_build_filename (folder, name, NULL);
  GError *error = NULL;

  memcpy (contents, header, start);
  calibrated_draw ((guint8 *) contents + start, t);
  g_file_set_contents (path, contents, size, &error);
  g_assert_no_error (error);
  return path;
}

static char *
run (GPtrArray *arguments)
{
  g_autofree char *out = NULL;
  char *said = NULL;
  GError *error = NULL;
  int status;

  g_ptr_array_add (arguments, NULL);
  g_spawn_sync (NULL, (char **) arguments->pdata, NULL, G_SPAWN_DEFAULT, NULL,
      NULL, &out, &said, &status, &error);
  g_assert_no_error (error);
  if (!g_spawn_check_wait_status (status, NULL))
    return said;
  g_assert_cmpstr (said, ==, "");
  g_free (said);
  return NULL;
}

char *
calibrated_run (const char *program, ...)
{
  g_autoptr (GPtrArray) arguments = g_ptr_array_new ();
  va_list list;

  va_start (list, program);
  for (const char *a = program; a; a = va_arg (list, const char *))
    g_ptr_array_add (arguments, (gpointer) a);
  va_end (list);
  return run (arguments);
}

char *
calibrated_new (const char *program, const char *model, const char *folder)
{
  char *output = g_build_filename (folder, "calibrated.safetensors", NULL);
  g_autoptr (GPtrArray) arguments = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *said = NULL;

  for (const char **a = (const char *[]) { program, model, "-o", output, NULL };
      *a; a++)
    g_ptr_array_add (arguments, g_strdup (*a));
  for (int t = 0; t < CALIBRATED_FRAMES; t++)
    g_ptr_array_add (arguments, calibrated_write_frame (folder, t));
  said = run (arguments);
  g_assert_cmpstr (said, ==, NULL);
  return output;
}
