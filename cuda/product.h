/* A convolution or a matrix product on cuDNN with what follows it: bias,
 * activation, residual, gate. In one kernel where cuDNN has one that does it
 * all, else followed by our epilogue.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "op.h"

G_BEGIN_DECLS

#define DLORAL_CUDNN_RANK 4

typedef struct
{
  int rank;
  gint64 dims[DLORAL_CUDNN_RANK], strides[DLORAL_CUDNN_RANK];
} DloralShape;

/* What is multiplied, as cuDNN sees it. */
typedef struct
{
  gboolean conv;                /* else a matrix product */
  DloralCudnnConv geometry;     /* of a convolution */
  DloralShape x, w, y, bias;    /* of one half, if there are two */
  int halves;                   /* 2: y = first · gelu (second), w and bias have
                                 * twice the rows */
  DloralAct act;
  gboolean act_first;           /* before the residual is added, else after */
  gboolean direct;              /* y is not dense: only cuDNN can write it */
} DloralProduct;

/* For op's src[0], src[1] (the residual, if there), weight, bias and dst. What it
 * has for `prepare` fails without an error where the product is direct and cuDNN has
 * no kernel that does it all. */
DloralCudaOp *dloral_product_new (DloralDevice * device, const DloralOp * op,
    const DloralProduct * product);

G_END_DECLS
