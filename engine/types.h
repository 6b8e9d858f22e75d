/* Element types and precisions shared by every part of the engine.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Type of one element of a tensor or of a stored weight. */
typedef enum
{
  DLORAL_U8,
  DLORAL_F32,
  DLORAL_F16,
  DLORAL_BF16,
  DLORAL_E4M3,                  /* 8 bits, 4 of them exponent, the largest 448:
                                 * operands of products, never a tensor's type */
  DLORAL_U16,                   /* of pictures only */
} DloralDtype;

/* Precision a user asks for. Sums, statistics, flow, latents and softmax are
 * f32 in every one of them; what changes is the type of activations and
 * packed weights. */
typedef enum
{
  DLORAL_PRECISION_AUTO,        /* the fastest the device has: bf16, else f32 */
  DLORAL_PRECISION_F32,
  DLORAL_PRECISION_BF16,        /* f32 where the device has no bf16 */
  DLORAL_PRECISION_F16,         /* likewise */
  DLORAL_PRECISION_FP8,         /* bf16, and products in e4m3 where the model file
                                 * has scales for them; bf16 where the device has
                                 * no such products */
} DloralPrecision;

/* Correction of the result's colours against the upsampled input. */
typedef enum
{
  DLORAL_COLOR_FIX_AUTO,        /* what the model file's config says */
  DLORAL_COLOR_FIX_ADAIN,       /* per-channel mean and deviation */
  DLORAL_COLOR_FIX_WAVELET,     /* low frequencies of the input */
  DLORAL_COLOR_FIX_NONE,
} DloralColorFix;

/* What turns pictures into latents and back. */
typedef enum
{
  DLORAL_VAE_FULL,              /* the one the model was trained with */
  DLORAL_VAE_TINY,              /* TAESD, where the file has it */
} DloralVae;

/* Bytes of one element. */
static inline gsize
dloral_dtype_size (DloralDtype dtype)
{
  return dtype == DLORAL_U8 || dtype == DLORAL_E4M3 ? 1 :
      dtype == DLORAL_F32 ? 4 : 2;
}

G_END_DECLS
