/* The 8-bit type of products: 4 bits of exponent, 3 of mantissa, no infinity. From
 * 2^-9 to 448, with full precision from 2^-6 on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <math.h>
#include <string.h>

G_BEGIN_DECLS

#define DLORAL_E4M3_MAX 448

/* To the nearest, ties to even; what is too large becomes the largest there is. */
static inline guint8
dloral_e4m3_from_float (float x)
{
  guint8 sign = signbit (x) ? 0x80 : 0;
  float size = fabsf (x);
  guint32 bits;

  if (isnan (x))
    return 0x7f | sign;
  if (size >= DLORAL_E4M3_MAX)
    return 0x7e | sign;
  if (size < 0x1p-6f)           /* multiples of 2^-9 */
    return (guint8) rintf (size * 0x1p9f) | sign;
  memcpy (&bits, &size, sizeof bits);
  bits = (bits + 0x7ffff + (bits >> 20 & 1)) >> 20;
  return (bits - ((127 - 7) << 3)) | sign;
}

/* The largest power of two that leaves `max` in range; 1 where max is 0 or no
 * number. The quotient of two such is finite. */
static inline float
dloral_e4m3_get_scale (float max)
{
  int exponent;
  float mantissa = frexpf (max, &exponent);     /* 0.5 … 1; 448 is 0.875 · 2^9 */

  if (!(max > 0) || isinf (max))
    return 1;
  exponent = 9 - exponent - (mantissa > 0.875f);
  return ldexpf (1, CLAMP (exponent, -63, 63));
}

G_END_DECLS
