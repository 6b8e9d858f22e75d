/* Looking whether somebody wants no more.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cancel.h"

#include "safetensors.h"

gboolean
dloral_check_cancelled (const gint *cancelled, GError **error)
{
  if (cancelled == NULL || !g_atomic_int_get (cancelled))
    return TRUE;
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED,
      "It was cancelled before it was done.");
  return FALSE;
}
