/* Scales for products in fp8.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fp8.h"

#include <math.h>

char *
dloral_fp8_get_name (const DloralOp *op)
{
  const char *name = op->weight ? op->weight->name : NULL;

  if (name == NULL
      || !(g_str_has_prefix (name, "unet.") || g_str_has_prefix (name, "vae."))
      || op->src[0]->c % DLORAL_FP8_CHANNELS != 0
      || op->dst->c % DLORAL_FP8_CHANNELS != 0)
    return NULL;
  return g_strdup_printf ("fp8.%s.input", name);
}

float
dloral_fp8_read (const DloralSafetensors *file, const char *name,
    GError **error)
{
  const char *path = dloral_safetensors_get_path (file);
  const gint64 shape[] = { 1 };
  const DloralEntry *entry;
  float max;

  if (dloral_safetensors_find (file, name) == NULL) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_SCALES,
        "File '%s' has no tensor '%s', which precision fp8 needs; make a file "
        "that has it: build/weights/calibrate %s -o OUTPUT FRAME.ppm…", path,
        name, path);
    return 0;
  }
  entry = dloral_safetensors_require (file, name, 1, shape, error);
  if (entry == NULL)
    return 0;
  dloral_entry_read_f32 (entry, 0, 1, &max);
  if (max > 0 && isfinite (max))
    return max;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE,
      "File '%s': tensor '%s': expected a positive number, found %g; calibrate "
      "the file anew", path, name, max);
  return 0;
}
