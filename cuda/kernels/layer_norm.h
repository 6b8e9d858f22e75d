/* How layer_norm.cu divides its work, for who launches it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#define DLORAL_LAYER_NORM_THREADS 256

/* Bytes of shared memory before the rows: a sum of every warp. */
#define DLORAL_LAYER_NORM_SUMS (DLORAL_LAYER_NORM_THREADS / 32 * 4)
