/* What quantize.cu's kernels are told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <stddef.h>

#define DLORAL_QUANTIZE_THREADS 256

/* Neighbouring elements that a thread takes. */
#define DLORAL_QUANTIZE_EACH 16

typedef struct
{
  const void *x;                /* [n] */
  void *y;                      /* [n], e4m3 */
  size_t n;                     /* a multiple of DLORAL_QUANTIZE_EACH */
  float scale;
} DloralQuantizeParams;
