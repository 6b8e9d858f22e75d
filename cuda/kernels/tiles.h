/* What tiles.cu's kernels are told. Lengths and places across are in elements
 * moved as one ("units"), a row of pixels being one row of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* Rows of dst that a thread writes. */
#define DLORAL_TILES_EACH 4

typedef struct
{
  const void *src;              /* of the first unit to copy */
  void *dst;
  int h, w;                     /* of dst */
  int src_w;
  int size;                     /* bytes of a unit: 1, 2, 4, 8 or 16 */
} DloralCrop;

typedef struct
{
  const void *src;
  void *dst;
  const float *rows;            /* [h]: which row of src; whole numbers */
  int h, w;                     /* of dst; rows of src are as wide */
  int size;                     /* bytes of a unit: 1, 2, 4, 8 or 16 */
} DloralGather;

typedef struct
{
  const void *part;             /* [part_h][part_w] */
  const void *below;            /* [h][w], NULL: zero */
  void *dst;                    /* [h][w] */
  int h, w;
  int part_h, part_w;
  int y, x;                     /* of the part in dst */
  int size;                     /* bytes of a unit: 1, 2, 4, 8 or 16 */
  const float *weights;         /* [part_h][part_w / pixel]; NULL: the part takes
                                 * the place of what is below */
  int pixel;                    /* units of one; used where there are weights */
} DloralPaste;
