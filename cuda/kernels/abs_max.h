/* The size of abs_max.cu's block.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#define DLORAL_ABS_MAX_THREADS 1024
