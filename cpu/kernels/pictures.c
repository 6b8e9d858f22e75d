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

/* The same for both bytes of a level apart, since products of 38 bits would not
 * fit: what the lower ones come to joins where the upper ones' point is. */
INLINE void
filter_u16 (guint16 * restrict dst, const guint16 * r0, const guint16 * r1,
    const guint16 * r2, const guint16 * r3, const gint32 k[4], gsize n)
{
  const gint32 k0 = k[0], k1 = k[1], k2 = k[2], k3 = k[3];
  gsize i = 0;

  for (; i + LANES <= n; i += LANES) {
    Mask v0 = halves_widen (r0 + i), v1 = halves_widen (r1 + i);
    Mask v2 = halves_widen (r2 + i), v3 = halves_widen (r3 + i);
    Mask high = k0 * (v0 >> 8) + k1 * (v1 >> 8) + k2 * (v2 >> 8)
        + k3 * (v3 >> 8);
    Mask low = k0 * (v0 & 255) + k1 * (v1 & 255) + k2 * (v2 & 255)
        + k3 * (v3 & 255) + (1 << (FIXED_BITS - 1));

    halves_saturate (dst + i, (high + (low >> 8)) >> (FIXED_BITS - 8));
  }
  for (; i < n; i++) {
    gint32 high = k0 * (r0[i] >> 8) + k1 * (r1[i] >> 8) + k2 * (r2[i] >> 8)
        + k3 * (r3[i] >> 8);
    gint32 low = k0 * (r0[i] & 255) + k1 * (r1[i] & 255) + k2 * (r2[i] & 255)
        + k3 * (r3[i] & 255) + (1 << (FIXED_BITS - 1));
    gint32 v = (high + (low >> 8)) >> (FIXED_BITS - 8);

    dst[i] = CLAMP (v, 0, 65535);
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
