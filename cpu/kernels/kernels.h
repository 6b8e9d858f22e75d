/* Loops over pixels, compiled once for every x86-64 level and chosen when the
 * program meets its CPU: one table of function pointers, as decoders do it. A
 * function here is single-threaded, allocates nothing and knows no graph; the
 * operators around it split the work.
 *
 * Float arrays are f32 or bf16 (see DloralKernelType); sizes are in elements.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/types.h"

G_BEGIN_DECLS

/* First index of functions that exist for several element types. */
typedef enum
{
  DLORAL_KERNEL_F32,
  DLORAL_KERNEL_BF16,
  DLORAL_N_KERNEL_TYPES
} DloralKernelType;

typedef enum
{
  DLORAL_LEVEL_PLAIN,           /* what every machine of the family has */
  DLORAL_LEVEL_V3,              /* AVX2, FMA */
  DLORAL_LEVEL_V4,              /* AVX-512 */
  DLORAL_LEVEL_BF16,            /* and its bf16 instructions */
  DLORAL_N_LEVELS
} DloralLevel;

/* Pictures' levels, u8 or u16, M being the highest: 255 or 65535. */
typedef enum
{
  DLORAL_PICTURE_U8,
  DLORAL_PICTURE_U16,
  DLORAL_N_PICTURE_TYPES
} DloralPictureType;

/* Of pictures of one type; sizes are in levels unless said otherwise. */
typedef struct
{
  /* dst = Σ k[t] · src[e + 3 · t], k with 22 bits after the point, rounded. */
  void (*filter_across) (void *dst, const void *src, const gint32 k[4],
      gsize n);

  /* dst = Σ k[t] · rows[t], likewise. */
  void (*filter_down) (void *dst, const void *const rows[4],
      const gint32 k[4], gsize n);

  /* dst = Σ k[t] · rows[t] as f32. */
  void (*blend) (float *dst, const void *const rows[4], const float k[4],
      gsize n);

  /* dst = 2 · src / M − 1. */
  void (*from_levels[DLORAL_N_KERNEL_TYPES]) (void *dst, const void *src,
      gsize n);

  /* dst = src in [−1, 1] (+ lq, a level in [−1, 1], unless NULL), clamped, as
   * 0 … M plus `bias`, truncated. FALSE if some src is not finite. */
  gboolean (*to_levels[DLORAL_N_KERNEL_TYPES]) (void *dst, const void *src,
      const void *lq, float bias, gsize n);

  /* Adds sum and sum of squares of n RGB pixels to sums[3], squares[3]. */
  void (*moments) (const void *src, gsize n, guint64 sums[3],
      guint64 squares[3]);

  /* pixels = pixels · gain[rgb] + offset[rgb], clamped and rounded, in place,
   * n RGB pixels. */
  void (*affine) (void *pixels, gsize n, const float gain[3],
      const float offset[3]);

  /* dst = a − b. */
  void (*difference) (float *dst, const void *a, const void *b, gsize n);

  /* dst = dst + x, clamped and rounded, in place. */
  void (*add) (void *dst, const float *x, gsize n);
} DloralPictureKernels;

/* Columns of a retrieval tile and the most channels it takes. */
#define DLORAL_TILE 32
#define DLORAL_TILE_CHANNELS 64

typedef struct
{
  const char *name;             /* "plain", "v3", "v4", "bf16" */

  /* --- channels ---------------------------------------------------------- */

  /* dst[p · dst_step + i] = src[p · src_step + i], i < c, [dst][src] types. */
  void (*convert[DLORAL_N_KERNEL_TYPES][DLORAL_N_KERNEL_TYPES]) (void *dst,
      gsize dst_step, const void *src, gsize src_step, int c, gsize pixels);

  /* Per channel of src [pixels][c]: mean [c] and sum of squared differences
   * from it, m2 [c]. pixels > 0. */
  void (*moments[DLORAL_N_KERNEL_TYPES]) (const void *src, int c,
      gsize pixels, double *mean, double *m2);

  /* dst = (src − mean[c]) · scale[c] + shift[c], then SiLU if wanted; the mean
   * of a bf16 source is taken as zero. dst's pixels are dst_step apart, src is
   * [pixels][c]. [dst][src] types. */
  void (*normalise[DLORAL_N_KERNEL_TYPES][DLORAL_N_KERNEL_TYPES]) (void *dst,
      gsize dst_step, const void *src, int c, gsize pixels,
      const float *mean, const float *scale, const float *shift,
      gboolean silu);

  /* --- planes ------------------------------------------------------------ */

  /* dst = a + (b − a) · t, n elements. */
  void (*lerp) (float *dst, const float *a, const float *b, float t, gsize n);

  /* dst = (a + 2 · b + c) / 4, n elements. */
  void (*binomial) (float *dst, const float *a, const float *b,
      const float *c, gsize n);

  /* dst[j · dst_step + i] = src[i · src_step + j], i < rows, j < columns. */
  void (*transpose) (float *dst, gsize dst_step, const float *src,
      gsize src_step, int rows, int columns);

  /* dst [h][w][c] = src sampled at (x + u, y + v) for rows first … last − 1;
   * flow [h][w][2]. border: clamp coordinates, else outside is zero. */
  void (*warp) (float *dst, const float *src, const float *flow, int h, int w,
      int c, int first, int last, gboolean border);

  /* --- retrieval --------------------------------------------------------- */

  /* sum [m][c + 1] = Σ over j < n of relu (query[m] · ỹⱼ) · ỹⱼ, ỹ = [key; 1].
   * query [m][c + 1]; key[k] at key + k · plane, readable up to n rounded up
   * to a multiple of 16, c ≤ DLORAL_TILE_CHANNELS. */
  void (*retrieve) (float *sum, const float *query, int m, const float *key,
      gsize plane, gsize n, int c);

  /* For DLORAL_TILE columns l and m ≤ 2 heads, each of c + 1 rows of query and
   * sum: sum[k][l] = Σ over the window of relu (query[·][l] · ỹ) · ỹ[k], k ≤ c.
   * Planes of ỹ are `plane` apart, rows `stride` apart; key points at the
   * window's first element for l = 0. Where all planes of ỹ, the ones' too, are
   * zero, nothing is added. */
  void (*retrieve_window) (float (*sum)[DLORAL_TILE],
      const float (*query)[DLORAL_TILE], int m, const float *key,
      gsize plane, gsize stride, int c, int window);

  /* dst[o] (+)= Σ over i < n_in of matrix[o · n_in + i] · src[i], rows of
   * DLORAL_TILE columns. */
  void (*mix) (float (*dst)[DLORAL_TILE], const float (*src)[DLORAL_TILE],
      const float *matrix, int n_out, int n_in, gboolean add);

  DloralPictureKernels pictures[DLORAL_N_PICTURE_TYPES];
} DloralKernels;

/* The table in use: the best level of this CPU unless a test chose another.
 * Any thread. */
const DloralKernels *dloral_kernels_get (void);

/* For tests: use this level. FALSE, and nothing changes, where this CPU or
 * build has it not. Not while operators run. */
gboolean dloral_kernels_select (DloralLevel level);

/* Index of F32 or BF16. */
static inline DloralKernelType
dloral_kernel_type (DloralDtype dtype)
{
  return dtype == DLORAL_BF16 ? DLORAL_KERNEL_BF16 : DLORAL_KERNEL_F32;
}

/* Those of pictures of U8 or U16. */
static inline const DloralPictureKernels *
dloral_picture_kernels_get (DloralDtype dtype)
{
  return &dloral_kernels_get ()->pictures[dtype == DLORAL_U16 ?
      DLORAL_PICTURE_U16 : DLORAL_PICTURE_U8];
}

G_END_DECLS
