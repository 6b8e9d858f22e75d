/* A model file with scales: the one that it is made of, with more tensors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/dloral.h"

G_BEGIN_DECLS

/* Copies the safetensors file `from` (one that has been opened, so it is sound) to
 * `to` and adds the values, char * → float *, f32 [1] each, by names that it does
 * not have. `to` is there when all of it is. */
gboolean dloral_scales_write (const char *from, const char *to,
    GHashTable * values, GError ** error);

G_END_DECLS
