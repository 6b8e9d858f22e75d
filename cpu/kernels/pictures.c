/* Loops over pictures: bytes, then halves.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "level.h"

/* Bits after the point of the upsampling filter's coefficients. */
#define FIXED_BITS 22

/* Levels after which red, green and blue are back in the same lanes. */
#define RGB_BLOCK 48

/* --- u8 ------------------------------------------------------------------- */

INLINE guint8
fixed_to_byte (gint32 sum)
{
  gint32 v = (sum + (1 << (FIXED_BITS - 1))) >> FIXED_BITS;

  v = v < 0 ? 0 : v;
  return v > 255 ? 255 : v;
}

/* In fixed point, as Pillow does it: to the bit. */
INLINE void
filter_u8 (guint8 * restrict dst, const guint8 * r0, const guint8 * r1,
    const guint8 * r2, const guint8 * r3, const gint32 k[4], gsize n)
{
  const gint32 k0 = k[0], k1 = k[1], k2 = k[2], k3 = k[3];
  gsize i = 0;

  for (; i + LANES <= n; i += LANES) {
    Mask sum = k0 * bytes_widen (r0 + i) + k1 * bytes_widen (r1 + i)
        + k2 * bytes_widen (r2 + i) + k3 * bytes_widen (r3 + i)
        + (1 << (FIXED_BITS - 1));

    bytes_saturate (dst + i, sum >> FIXED_BITS);
  }
  for (; i < n; i++)
    dst[i] = fixed_to_byte (k0 * r0[i] + k1 * r1[i] + k2 * r2[i]
        + k3 * r3[i]);
}

#define NAME(x) x##_u8
#define Level guint8
#define MAX_LEVEL 255
#define GET bytes_get
#define SET bytes_set
#define Square guint32          /* holds 65536 squares */
#include "picture_loops.h"

/* --- u16 ------------------------------------------------------------------ */

/* Products with 22 bits would not fit; those of floats, which have 24, are wrong
 * by a hundredth of a level at most. */
INLINE void
filter_u16 (guint16 * restrict dst, const guint16 * r0, const guint16 * r1,
    const guint16 * r2, const guint16 * r3, const gint32 k[4], gsize n)
{
  const float unit = 1.0f / (1 << FIXED_BITS);
  const float k0 = k[0] * unit, k1 = k[1] * unit, k2 = k[2] * unit;
  const float k3 = k[3] * unit;
  gsize i = 0;

  for (; i + LANES <= n; i += LANES) {
    Vector sum = k0 * halves_get (r0 + i) + k1 * halves_get (r1 + i)
        + k2 * halves_get (r2 + i) + k3 * halves_get (r3 + i);

    halves_set (dst + i, VECTOR_MIN (vector_relu (sum), vector_set (65535))
        + 0.5f);
  }
  for (; i < n; i++) {
    float sum = k0 * r0[i] + k1 * r1[i] + k2 * r2[i] + k3 * r3[i];

    dst[i] = (gint32) ((sum < 0 ? 0 : sum > 65535 ? 65535 : sum) + 0.5f);
  }
}

#define NAME(x) x##_u16
#define Level guint16
#define MAX_LEVEL 65535
#define GET halves_get
#define SET halves_set
#define Square guint64
#include "picture_loops.h"

/* -------------------------------------------------------------------------- */

void
KERNEL (pictures_init) (DloralKernels * kernels)
{
  init_u8 (&kernels->pictures[DLORAL_PICTURE_U8]);
  init_u16 (&kernels->pictures[DLORAL_PICTURE_U16]);
}
