/* What resize.cu's kernels are told, and how they divide their work.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#define DLORAL_RESIZE_THREADS 256

/* Rows of dst that a thread of resize_nearest writes. */
#define DLORAL_RESIZE_ROWS 4

typedef struct
{
  int h, w;                     /* of src */
  int dst_h, dst_w, c;
  int aligned;                  /* DLORAL_RESIZE_BILINEAR_ALIGNED */
  int vector;                   /* channels moved as one: 4 or 1 */
  float gain[4], offset[4];
} DloralBilinear;

/* Rows that a thread of concat converts. */
#define DLORAL_CONCAT_EACH 4

/* Tensors are of the kernel's type, or f32 where is_f32 is set. */
typedef struct
{
  const void *data;             /* [rows][c] */
  int c;                        /* 0: there is none */
  int is_f32;
} DloralConcatSource;

typedef struct
{
  DloralConcatSource src[4];    /* side by side */
  void *dst;                    /* [rows][c] */
  int dst_is_f32;
  int rows, c;
  int vector;                   /* elements moved as one: 8 or 1 */
} DloralConcat;
