/* How warp.cu divides its work, for who launches it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#define DLORAL_WARP_THREADS 256
