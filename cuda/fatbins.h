/* The compiled kernels, for every architecture, one image a .cu file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* NULL at the end. */
extern const void *const dloral_fatbins[];
