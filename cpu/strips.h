/* How operators split rows or pixels: into a fixed number of strips, so that
 * neither scratch memory nor results depend on the number of threads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "op.h"
#include "kernels/kernels.h"

G_BEGIN_DECLS

#define DLORAL_STRIPS 64

/* First of n items that belongs to the strip; strip DLORAL_STRIPS gives n. */
static inline gsize
dloral_strip_start (int strip, gsize n)
{
  return n * strip / DLORAL_STRIPS;
}

static inline gsize
dloral_align_up (gsize size)
{
  return (size + DLORAL_ALIGN - 1) / DLORAL_ALIGN * DLORAL_ALIGN;
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

G_END_DECLS
