/* How operators split rows or pixels: into a fixed number of strips, so that
 * neither scratch memory nor results depend on the number of threads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "op.h"
#include "kernels/kernels.h"

#include <string.h>

G_BEGIN_DECLS

#define DLORAL_STRIPS 64

/* First of n items that belongs to the strip; strip DLORAL_STRIPS gives n. */
static inline gsize
dloral_strip_start (int strip, gsize n)
{
  return n * strip / DLORAL_STRIPS;
}

/* The whole weight as f32 in a new array; zeros where there is none. */
static inline float *
dloral_weight_dup (const DloralWeight * weight, gsize length)
{
  float *values = g_new0 (float, length);

  if (weight)
    weight->fill (weight, values);
  return values;
}

/* Copies n pieces of `size` bytes. The sizes of patches of 4 and 8 pixels are
 * constants, for which no function is called. */
static inline void
dloral_copy_pieces (guint8 * dst, gsize dst_step, const guint8 * src,
    gsize src_step, gsize size, gsize n)
{
  for (gsize i = 0; i < n; i++, dst += dst_step, src += src_step) {
    if (size == 24)
      memcpy (dst, src, 24);
    else if (size == 48)
      memcpy (dst, src, 48);
    else if (size == 96)
      memcpy (dst, src, 96);
    else
      memcpy (dst, src, size);
  }
}

G_END_DECLS
