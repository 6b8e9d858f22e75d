/* What a device makes of numbers that it multiplies in fp8.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "harness.h"

G_BEGIN_DECLS

/* What e4m3 says of its codes, 0 … 255; no number where that is none. */
double dloral_e4m3_decode (int code);

/* The code nearest to x, found by trying all; the even one of two. */
int dloral_e4m3_find (float x);

/* Every bf16 number as the input of a product that leaves it as it is: to the bit
 * the nearest in e4m3; and no number stays none. */
void dloral_compare_conversions (const DloralBackend * backend,
    DloralDevice * device);

G_END_DECLS
