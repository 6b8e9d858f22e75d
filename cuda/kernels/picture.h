/* What the kernels of picture.cu are told, and how pictures lie in tensors of
 * patches; read by C and by CUDA.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* --- upsample ------------------------------------------------------------- */

#define DLORAL_UPSAMPLE_MAX_SCALE 16

/* Source pixels of a block's tile. */
#define DLORAL_UPSAMPLE_ROWS 8
#define DLORAL_UPSAMPLE_COLUMNS 32

/* Rows beside the tile that its filter reaches, above and below together. */
#define DLORAL_UPSAMPLE_HALO 4

/* A source pixel is 0, 1 or more away from the picture's first and from its
 * last, and has its outputs' weights accordingly. */
#define DLORAL_UPSAMPLE_PLACES 9

/* Output i · scale + p of a line reads the four sources from
 * i − 2 + (2p + 1 ≥ scale) on, with 22 bits after the weights' point; that of a
 * source outside is 0. */
typedef struct
{
  int weight[4];
} DloralTaps;

typedef struct
{
  int src_h, src_w, dst_h, dst_w, scale;
  DloralTaps taps[DLORAL_UPSAMPLE_PLACES * DLORAL_UPSAMPLE_MAX_SCALE];
                                /* [place][scale] */
} DloralUpsample;

/* --- shrink --------------------------------------------------------------- */

#define DLORAL_SHRINK_THREADS 192

typedef struct
{
  int src_h, src_w, dst_h, dst_w, factor;
  int first;                    /* of the four sources of output 0 */
  float weight[4];
} DloralShrink;

/* --- patches -------------------------------------------------------------- */

#define DLORAL_FROM_PICTURE_THREADS 256

/* A tensor [h][w][lines][line], and its picture [h][lines][w][line]: patches
 * have `lines` lines of `line` samples, three a pixel. Patches of one pixel are
 * taken for one of a whole row, since that is the same: w and lines are 1.
 * layout: what is known of it beforehand. */
typedef struct
{
  int h, w, lines, line, layout;
} DloralPatches;

enum
{
  DLORAL_PATCHES_ANY = 0,
  DLORAL_PATCHES_ROWS = 1,      /* w and lines are 1, line a multiple of 8 */
                                /* 2, 4, 8, 16: lines, and line / 3 */
};

/* Samples that a thread moves at once: as many as `line` is a multiple of, and
 * 16 bytes of the tensor at most. */
#define DLORAL_PATCHES_GROUP(layout, element_size)                            \
  ((layout) == DLORAL_PATCHES_ANY ? 1 : (layout) == 2 ? 2                     \
      : (layout) == 4 || (element_size) == 4 ? 4 : 8)
