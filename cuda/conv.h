/* Convolutions as products.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "product.h"

G_BEGIN_DECLS

/* What is multiplied; of op->src[0] as it is. */
DloralProduct dloral_conv_get_product (const DloralOp * op);

G_END_DECLS
