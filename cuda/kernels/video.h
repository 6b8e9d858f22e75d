/* How video.cu divides its work, for who launches it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* A block is one row: of pixels when unpacking, of chroma samples (or pixels,
 * where there are none) when packing. */
#define DLORAL_VIDEO_THREADS 128
