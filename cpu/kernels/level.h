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
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define KERNEL_PASTE(name, level) dloral_##name##_##level
#define KERNEL_NAME(name, level) KERNEL_PASTE (name, level)
#define KERNEL(name) KERNEL_NAME (name, LEVEL)

#if defined (__AVX512F__)
#define VECTOR_BYTES 64
#elif defined (__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

/* f32 lanes of one register. */
#define LANES (VECTOR_BYTES / 4)

typedef float Vector __attribute__ ((vector_size (VECTOR_BYTES)));
typedef int32_t Mask __attribute__ ((vector_size (VECTOR_BYTES)));
typedef uint32_t Words __attribute__ ((vector_size (VECTOR_BYTES)));
typedef uint16_t Halves __attribute__ ((vector_size (VECTOR_BYTES / 2)));
typedef uint8_t Bytes __attribute__ ((vector_size (VECTOR_BYTES / 4)));

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

INLINE Vector
vector_set (float value)
{
  return value - (Vector) { 0 };
}

/* What C has no word for, or the compiler no short way: VECTOR_INVERT is 1 / v
 * to 11 bits or more; WIDEN extends by zeros; NARROW keeps the low bits. */
#if defined (__AVX512F__)
#define VECTOR_MAX(a, b) ((Vector) _mm512_max_ps ((__m512) (a), (__m512) (b)))
#define VECTOR_MIN(a, b) ((Vector) _mm512_min_ps ((__m512) (a), (__m512) (b)))
#define VECTOR_INVERT(v) ((Vector) _mm512_rcp14_ps ((__m512) (v)))
#define HALVES_WIDEN(h) ((Words) _mm512_cvtepu16_epi32 ((__m256i) (h)))
#define WORDS_NARROW(w) ((Halves) _mm512_cvtepi32_epi16 ((__m512i) (w)))
#define BYTES_WIDEN(b) ((Mask) _mm512_cvtepu8_epi32 ((__m128i) (b)))
#define BYTES_NARROW(w) ((Bytes) _mm512_cvtepi32_epi8 ((__m512i) (w)))
#elif defined (__AVX2__)
#define VECTOR_MAX(a, b) ((Vector) _mm256_max_ps ((__m256) (a), (__m256) (b)))
#define VECTOR_MIN(a, b) ((Vector) _mm256_min_ps ((__m256) (a), (__m256) (b)))
#define VECTOR_INVERT(v) ((Vector) _mm256_rcp_ps ((__m256) (v)))
#define HALVES_WIDEN(h) ((Words) _mm256_cvtepu16_epi32 ((__m128i) (h)))
#define WORDS_NARROW(w) __builtin_convertvector (w, Halves)
#define BYTES_WIDEN(b) __builtin_convertvector (b, Mask)
#define BYTES_NARROW(w) __builtin_convertvector (w, Bytes)
#elif defined (__SSE2__)
#define VECTOR_MAX(a, b) ((Vector) _mm_max_ps ((__m128) (a), (__m128) (b)))
#define VECTOR_MIN(a, b) ((Vector) _mm_min_ps ((__m128) (a), (__m128) (b)))
#define VECTOR_INVERT(v) ((Vector) _mm_rcp_ps ((__m128) (v)))
#define HALVES_WIDEN(h) __builtin_convertvector (h, Words)
#define WORDS_NARROW(w) __builtin_convertvector (w, Halves)
#define BYTES_WIDEN(b) __builtin_convertvector (b, Mask)
#define BYTES_NARROW(w) __builtin_convertvector (w, Bytes)
#else
#define VECTOR_SELECT(test, a, b)                                             \
  ((Vector) (((test) & (Mask) (a)) | (~(test) & (Mask) (b))))
#define VECTOR_MAX(a, b) VECTOR_SELECT ((a) > (b), a, b)
#define VECTOR_MIN(a, b) VECTOR_SELECT ((a) < (b), a, b)
#define VECTOR_INVERT(v) (1 / (v))
#define HALVES_WIDEN(h) __builtin_convertvector (h, Words)
#define WORDS_NARROW(w) __builtin_convertvector (w, Halves)
#define BYTES_WIDEN(b) __builtin_convertvector (b, Mask)
#define BYTES_NARROW(w) __builtin_convertvector (w, Bytes)
#endif

/* Has v in a register where the compiler would load it once for every use:
 * loads across cache lines cost more than what is done with them. */
INLINE Vector
vector_keep (Vector v)
{
#ifdef __SSE2__
  __asm__ ("" : "+x" (v));
#endif
  return v;
}

/* max (v, 0); NaN gives 0. */
INLINE Vector
vector_relu (Vector v)
{
  return VECTOR_MAX (v, (Vector) { 0 });
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

/* LANES elements from i on. */
INLINE Vector
elements_get (const void *restrict array, gsize i, DloralKernelType type)
{
  if (type == DLORAL_KERNEL_BF16) {
    Halves halves;

    memcpy (&halves, (const uint16_t *) array + i, sizeof halves);
    return (Vector) (HALVES_WIDEN (halves) << 16);
  }
  return vector_load ((const float *) array + i);
}

/* To nearest, ties to even; NaN stays NaN. */
INLINE Halves
vector_to_bf16 (Vector v)
{
#ifdef __AVX512BF16__
  return (Halves) _mm512_cvtneps_pbh ((__m512) v);
#else
  Words bits = (Words) v, number = (Words) (v == v);
  Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;

  return WORDS_NARROW ((rounded & number) | (0x7fc0 & ~number));
#endif
}

/* As element_set (). */
INLINE void
elements_set (void *restrict array, gsize i, Vector v, DloralKernelType type)
{
  if (type == DLORAL_KERNEL_BF16) {
    Halves halves = vector_to_bf16 (v);

    memcpy ((uint16_t *) array + i, &halves, sizeof halves);
  } else {
    vector_store ((float *) array + i, v);
  }
}

/* LANES bytes as integers. */
INLINE Mask
bytes_widen (const uint8_t *p)
{
  Bytes bytes;

  memcpy (&bytes, p, sizeof bytes);
  return BYTES_WIDEN (bytes);
}

/* LANES bytes as floats. */
INLINE Vector
bytes_get (const uint8_t *p)
{
  return __builtin_convertvector (bytes_widen (p), Vector);
}

/* Stores integers as bytes, those out of range as the nearest byte. */
INLINE void
bytes_saturate (uint8_t *p, Mask v)
{
  Bytes bytes;

  v &= v > 0;
#ifdef __AVX512F__
  bytes = (Bytes) _mm512_cvtusepi32_epi8 ((__m512i) v);
#else
  v |= v > 255;
  bytes = BYTES_NARROW (v & 255);
#endif
  memcpy (p, &bytes, sizeof bytes);
}

/* Truncates values from 0 to 255. */
INLINE void
bytes_set (uint8_t *p, Vector v)
{
  Bytes bytes = BYTES_NARROW (__builtin_convertvector (v, Mask));

  memcpy (p, &bytes, sizeof bytes);
}

/* LANES halves as integers. */
INLINE Mask
halves_widen (const uint16_t *p)
{
  Halves halves;

  memcpy (&halves, p, sizeof halves);
  return (Mask) HALVES_WIDEN (halves);
}

/* LANES halves as floats. */
INLINE Vector
halves_get (const uint16_t *p)
{
  return __builtin_convertvector (halves_widen (p), Vector);
}

/* Stores integers as halves, those out of range as the nearest half. */
INLINE void
halves_saturate (uint16_t *p, Mask v)
{
  Halves halves;

  v &= v > 0;
  v |= v > 65535;
  halves = WORDS_NARROW ((Words) v);
  memcpy (p, &halves, sizeof halves);
}

/* Truncates values from 0 to 65535. */
INLINE void
halves_set (uint16_t *p, Vector v)
{
  Halves halves = WORDS_NARROW ((Words) __builtin_convertvector (v, Mask));

  memcpy (p, &halves, sizeof halves);
}

/* Fill in the level's functions. */
void KERNEL (channels_init) (DloralKernels * kernels);
void KERNEL (planes_init) (DloralKernels * kernels);
void KERNEL (retrieval_init) (DloralKernels * kernels);
void KERNEL (pictures_init) (DloralKernels * kernels);
