/* Convolutions as cuDNN counts them: dims n, c, h, w, whatever the layout.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conv.h"

/* What the bottom or right edge needs for `out` positions to be reached. */
static int
get_padding_after (int in, int out, int kernel, int stride, int before)
{
  return MAX ((out - 1) * stride + kernel - in - before, 0);
}

DloralProduct
dloral_conv_get_product (const DloralOp *op)
{
  const DloralTensor *x = op->src[0], *y = op->dst;
  const DloralWeight *w = op->weight;
  int stride = op->u.conv.stride, top = op->u.conv.pad_top;
  int left = op->u.conv.pad_left;

  return (DloralProduct) {
    .conv = TRUE,
    .geometry = { stride, { top, left },
        { get_padding_after (x->h, y->h, w->kh, stride, top),
            get_padding_after (x->w, y->w, w->kw, stride, left) } },
    .x = { 4, { 1, x->c, x->h, x->w },
        { (gint64) x->h * x->w * x->c, 1, (gint64) x->w * x->c, x->c } },
    .w = { 4, { w->o, w->i, w->kh, w->kw },
        { (gint64) w->kh * w->kw * w->i, 1, (gint64) w->kw * w->i, w->i } },
    .y = { 4, { 1, y->c, y->h, y->w },
        { (gint64) y->h * y->w * y->c, 1, (gint64) y->w * y->c, y->c } },
    .bias = { 4, { 1, y->c, 1, 1 }, { y->c, 1, y->c, y->c } },
    .halves = 1,
    .act = op->u.conv.act,
  };
}

DloralCudaOp *
dloral_cuda_conv_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  DloralProduct product;

  if (op->u.conv.enlarge)
    return dloral_cuda_phases_new (device, op, error);
  product = dloral_conv_get_product (op);
  return dloral_product_new (device, op, &product);
}
