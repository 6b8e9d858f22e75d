/* One operator of a backend against its float64 reference, for any backend.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "harness.h"

G_BEGIN_DECLS

/* Runs the i-th random case of the kind three times in poisoned memory; fails
 * the test where its error is over the kind's bound. Returns the largest error as
 * a share of what is allowed. */
double dloral_compare_case (const DloralBackend * backend,
    DloralDevice * device, const DloralCaseKind * kind, int i);

/* Pillow's own results of enlarging pictures: equal to the bit. */
void dloral_compare_pillow (const DloralBackend * backend,
    DloralDevice * device);

/* One kernel in two convolutions of a graph, of a source and of it enlarged: what
 * was packed for one is not taken for the other. */
void dloral_compare_shared_kernel (const DloralBackend * backend,
    DloralDevice * device);

/* One value in a picture that is not finite: the enlarged input instead. The
 * device computes in any type. */
void dloral_compare_not_finite (const DloralBackend * backend,
    DloralDevice * device);

G_END_DECLS
