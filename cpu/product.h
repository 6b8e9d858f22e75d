/* A matrix product with everything that can be done in its own pass: the core
 * of convolutions and linear layers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "device.h"
#include "primitive.h"

G_BEGIN_DECLS

/* dst = act (src * weight + bias + operand) and its variants. Tensors are
 * asked for shape and type only. A source in f32 with a destination in bf16
 * is rounded first. */
typedef struct
{
  const DloralOp *op;           /* for messages */
  const DloralTensor *src, *dst;
  const DloralWeight *weight, *bias;    /* bias may be NULL */
  int first;                    /* row of weight that makes dst's channel 0 */
  int stride, pad_top, pad_left;
  DloralAct act;
  const DloralTensor *operand;  /* of dst's shape, or NULL */
  gboolean multiply;            /* times the operand, not plus */
  gboolean act_last;            /* else the operand comes after act */
} DloralProductParams;

typedef struct
{
  DloralDevice *device;
  const DloralOp *op;
  DloralPrimitive round;        /* src to bf16 in scratch, where needed */
  DloralPrimitive copy;         /* operand to dst, where the product adds to
                                 * dst */
  DloralPrimitive product;
  DloralPacked *weight, *bias;
  int operand_arg;              /* of product; 0: none */
  gsize rounded_size;           /* bytes of scratch before the scratchpad */
  gsize scratch_size;
} DloralProduct;

/* On failure self is cleared. */
gboolean dloral_product_init (DloralProduct * self, DloralDevice * device,
    const DloralProductParams * params, GError ** error);
void dloral_product_clear (DloralProduct * self);
gboolean dloral_product_run (DloralProduct * self, gconstpointer src,
    gconstpointer operand, gpointer dst, guint8 * scratch, GError ** error);

G_END_DECLS
