/* Linear layers: matrix products, and in f32 convolutions of 1×1, for which cuDNN
 * has engines that compute f32 as f32. cuBLASLt may do better.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "product.h"

/* [rows][i] · [i][o] */
static DloralProduct
get_matrices (gint64 rows, gint64 i, gint64 o)
{
  return (DloralProduct) {
    .x = { 3, { 1, rows, i }, { rows * i, i, 1 } },
    .w = { 3, { 1, i, o }, { i * o, 1, i } },
    .y = { 3, { 1, rows, o }, { rows * o, o, 1 } },
    .bias = { 3, { 1, 1, o }, { o, o, 1 } },
  };
}

/* One line of `rows` pixels. */
static DloralProduct
get_pictures (gint64 rows, gint64 i, gint64 o)
{
  return (DloralProduct) {
    .conv = TRUE,
    .geometry = { .stride = 1 },
    .x = { 4, { 1, i, 1, rows }, { rows * i, 1, rows * i, i } },
    .w = { 4, { o, i, 1, 1 }, { i, 1, i, i } },
    .y = { 4, { 1, o, 1, rows }, { rows * o, 1, rows * o, o } },
    .bias = { 4, { 1, o, 1, 1 }, { o, 1, o, o } },
  };
}

DloralCudaOp *
dloral_cuda_linear_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  const DloralTensor *x = op->src[0], *y = op->dst;
  gint64 rows = (gint64) x->h * x->w;
  gboolean f32 = x->dtype == DLORAL_F32 && y->dtype == DLORAL_F32;
  DloralProduct product = f32 ? get_pictures (rows, x->c, y->c) :
      get_matrices (rows, x->c, y->c);

  product.halves = op->u.linear.geglu ? 2 : 1;
  product.act = op->u.linear.act;
  product.act_first = TRUE;
  return dloral_cuda_gemm_new (device, op, dloral_product_new (device, op,
          &product));
}
