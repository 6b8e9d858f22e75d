/* What the kernels' sources share: the level they are compiled for, vectors of
 * its width, and elements of either float type.
 *
 * Every source is compiled once a level, with LEVEL its name; KERNEL () makes
 * names of functions the level's own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "kernels.h"

#include <stdint.h>
#include <string.h>

#define KERNEL_PASTE(name, level) dloral_##name##_##level
#define KERNEL_NAME(name, level) KERNEL_PASTE (name, level)
#define KERNEL(name) KERNEL_NAME (name, LEVEL)

#if defined (__AVX512F__)
#define VECTOR_BYTES 64
#elif defined (__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

/* f32 lanes of one register. */
#define LANES (VECTOR_BYTES / 4)

typedef float Vector __attribute__ ((vector_size (VECTOR_BYTES)));
typedef int32_t Mask __attribute__ ((vector_size (VECTOR_BYTES)));

#define INLINE static inline __attribute__ ((always_inline))

INLINE Vector
vector_load (const float *p)
{
  Vector v;
  memcpy (&v, p, sizeof v);
  return v;
}

INLINE void
vector_store (float *p, Vector v)
{
  memcpy (p, &v, sizeof v);
}

/* max (v, 0); NaN gives 0. */
INLINE Vector
vector_relu (Vector v)
{
#if defined (__AVX512F__)
  return __builtin_ia32_maxps512_mask (v, (Vector) { 0 }, (Vector) { 0 },
      -1, 4);
#elif defined (__AVX__)
  return __builtin_ia32_maxps256 (v, (Vector) { 0 });
#elif defined (__SSE__)
  return __builtin_ia32_maxps (v, (Vector) { 0 });
#else
  return (Vector) ((Mask) v & (v > (Vector) { 0 }));
#endif
}

INLINE float
bits_to_float (uint32_t bits)
{
  float value;
  memcpy (&value, &bits, sizeof value);
  return value;
}

INLINE uint32_t
float_to_bits (float value)
{
  uint32_t bits;
  memcpy (&bits, &value, sizeof bits);
  return bits;
}

/* Element i of an array of that type; `type` is a constant where these are
 * used, so the branch costs nothing. */
INLINE float
element_get (const void *restrict array, gsize i, DloralKernelType type)
{
  if (type == DLORAL_KERNEL_BF16)
    return bits_to_float ((uint32_t) ((const uint16_t *) array)[i] << 16);
  return ((const float *) array)[i];
}

/* To nearest, ties to even; NaN stays NaN. */
INLINE void
element_set (void *restrict array, gsize i, float value,
    DloralKernelType type)
{
  if (type == DLORAL_KERNEL_BF16) {
    uint32_t bits = float_to_bits (value);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;

    ((uint16_t *) array)[i] = value == value ? rounded : 0x7fc0;
  } else {
    ((float *) array)[i] = value;
  }
}

INLINE void *
element_at (const void *array, gsize i, DloralKernelType type)
{
  return (guint8 *) array + i * (type == DLORAL_KERNEL_BF16 ? 2 : 4);
}

/* Fill in the level's functions. */
void KERNEL (channels_init) (DloralKernels * kernels);
void KERNEL (planes_init) (DloralKernels * kernels);
void KERNEL (retrieval_init) (DloralKernels * kernels);
void KERNEL (bytes_init) (DloralKernels * kernels);
