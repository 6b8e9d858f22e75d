/* Which kernel an operator takes where each of its tensors may be f32.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/graph.h"

G_BEGIN_DECLS

/* The one type besides f32 that an operator's tensors have, or f32. */
static inline DloralDtype
dloral_op_get_kernel_type (const DloralOp * op)
{
  for (int i = 0; i < op->n_src; i++)
    if (op->src[i]->dtype != DLORAL_F32)
      return op->src[i]->dtype;
  return op->dst->dtype;
}

G_END_DECLS
