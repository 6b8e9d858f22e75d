/* What the kernels of to_picture.cu are told, and what the first of them tells
 * the second; read by C and by CUDA.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "picture.h"

/* Threads of a block, but finish_wavelet's: a warp for each of the moments, and
 * a multiple of 3, so that a thread finds its samples in the same order of
 * channels all the way. */
#define DLORAL_TO_PICTURE_THREADS 384

/* Sum and sum of squares of three channels, of the result and of the LQ frame:
 * [2][2][3]. */
#define DLORAL_MOMENTS 12

/* Pixels of a block of finish_wavelet, and how far its filter reaches. */
#define DLORAL_WAVELET_ROWS 32
#define DLORAL_WAVELET_COLUMNS 128
#define DLORAL_WAVELET_REACH 31
#define DLORAL_WAVELET_THREADS 192

/* int [ROWS][PITCH] of shared memory. 3 more than a multiple of 32, so that the
 * three channels of neighbouring rows are in different banks. */
#define DLORAL_WAVELET_PITCH 579

typedef struct
{
  DloralPatches patches;
  int picture_h, picture_w;
  int height, width;            /* visible */
  int lq_residual;
  int moments, difference;      /* whether to_levels shall find these */
  float bias;                   /* before a value is cut to a whole number */
  int blocks;                   /* of to_levels */
  long long n_also;             /* elements of `also` */
} DloralToPicture;

/* In scratch memory. */
typedef struct
{
  int *not_finite;              /* [blocks] */
  unsigned long long *moments;  /* [DLORAL_MOMENTS][blocks] */
  void *difference;             /* [picture_h][picture_w][3], LQ − result: short of
                                 * bytes, int of 16 bits */
} DloralFindings;
