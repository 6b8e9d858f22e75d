/* Packed weights, shared by all plans of a device.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "dnnl_compat.h"
#include "engine/graph.h"

G_BEGIN_DECLS

typedef struct _DloralWeights DloralWeights;
typedef struct _DloralPacked DloralPacked;

/* Some rows [o] of a weight, as f32 in the order that the weight fills. */
typedef struct
{
  const DloralWeight *weight;
  int first;                    /* first row */
  DloralOperand layout;         /* of the rows from there */
} DloralWeightRows;

/* Does not take the engine. */
DloralWeights *dloral_weights_new (dnnl_engine_t engine);
/* Everything packed must have been released. */
void dloral_weights_free (DloralWeights * self);

/* The rows in layout `md`, packed now unless another plan did. One weight at a
 * time is in memory as f32. Any thread. `op` is for messages. */
DloralPacked *dloral_weights_pack (DloralWeights * self,
    const DloralWeightRows * rows, DloralConstMd md, const DloralOp * op,
    GError ** error);
/* packed may be NULL. Any thread. */
void dloral_weights_release (DloralWeights * self, DloralPacked * packed);

dnnl_memory_t dloral_packed_get_memory (const DloralPacked * packed);

G_END_DECLS
