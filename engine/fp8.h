/* Scales for products in fp8: the largest magnitude that a product's input had in a
 * calibration, kept in the model file as "fp8.<weight>.input", f32 [1]. The weight
 * is the layer's as the file calls it, the first of several that share an input;
 * where it is cut by input channels, these follow: "[64:128]".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "graph.h"

G_BEGIN_DECLS

/* Channels of products in fp8 are multiples of this: what cuDNN asks for. */
#define DLORAL_FP8_CHANNELS 16

/* The name of the product's scale, or NULL where there is to be none: layers that
 * are no UNet's and no full VAE's, or whose channels do not fit. */
char *dloral_fp8_get_name (const DloralOp * op);

/* The scale of that name. 0 and `error`, which says how to get one, where there is
 * none or it is no positive number. */
float dloral_fp8_read (const DloralSafetensors * file, const char *name,
    GError ** error);

G_END_DECLS
