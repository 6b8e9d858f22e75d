/* A clock by which cuBLASLt is faster than cuDNN, or slower: what is chosen by
 * timing is so what a test wants it to be. It works by changing the backend's
 * tables of functions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cuda/cublaslt.h"

G_BEGIN_DECLS

/* From now on; before any other thread uses the tables. Of what is favoured the
 * last that is timed is the fastest. */
void clock_favour (gboolean cublaslt);

/* How many times it was asked, and how many products cuBLASLt was given, since the
 * last call. */
void clock_count (int *readings, int *products);

G_END_DECLS
