/* What group_norm.cu's kernels are told; the same for all three.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#define DLORAL_GROUP_NORM_THREADS 256
#define DLORAL_GROUP_NORM_WHOLE_THREADS 512

/* Tensors are of the kernel's type, or f32 where is_f32 is set. */
typedef struct
{
  const void *data;             /* [pixels][c] */
  int c;                        /* 0: there is none */
  int is_f32;
} DloralGroupNormSource;

typedef struct
{
  DloralGroupNormSource src[2]; /* side by side */
  void *dst;                    /* [pixels][c] */
  int dst_is_f32;
  const float *gamma, *beta;    /* [c] */
  float *partials;              /* [groups][chunks][2], aligned to 8 bytes */
  int pixels, c;
  int size;                     /* channels of a group */
  int slab;                     /* channels of a block, whole groups; the last
                                 * slab may have fewer */
  int chunk;                    /* pixels of a block; likewise */
  int chunks;
  int vector;                   /* channels moved as one: all places where a
                                 * group's slab or a source starts are multiples
                                 * of it */
  float eps;
  int silu;
} DloralGroupNorm;
