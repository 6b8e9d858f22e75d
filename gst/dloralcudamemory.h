/* Frames in a GPU's memory, as GStreamer's CUDA library has them: nothing of that
 * in builds without it (HAVE_CUDA_MEMORY).
 *
 * The library's contexts are not the engine's: frames are copied from one to the
 * other on the GPU, and finished when a function returns.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/video/video.h>

#include "engine/dloral.h"

G_BEGIN_DECLS

#define DLORAL_CUDA_FEATURE "memory:CUDAMemory"

/* What the library can allocate of what we convert. */
#define DLORAL_CUDA_FORMATS "{ I420, NV12, NV21, YUY2, UYVY, Y42B, Y444, " \
    "P010_10LE, I420_10LE, I422_10LE, RGB, BGR, RGBx, BGRx, RGBA, BGRA, ARGB, " \
    "ABGR }"

#ifdef HAVE_CUDA_MEMORY

/* Whether fixed caps ask for such frames. */
gboolean dloral_cuda_memory_is_in_caps (const GstCaps * caps);

/* Whether the buffer holds one. */
gboolean dloral_cuda_memory_is_frame (GstBuffer * buffer);

/* The element's context, which others give or which is made when it is needed
 * first; device: -1 for any. */
void dloral_cuda_memory_set_context (GstElement * element, GstContext * context,
    gint device, GstObject ** cuda);
gboolean dloral_cuda_memory_answer_query (GstElement * element,
    GstQuery * query, GstObject * cuda);

/* A pool of such frames, not configured yet; or NULL, and `cuda` stays NULL, where
 * there is no GPU. */
GstBufferPool *dloral_cuda_memory_pool_new (GstElement * element, gint device,
    GstObject ** cuda);

/* Whether a pool makes such frames. */
gboolean dloral_cuda_memory_is_pool (GstBufferPool * pool);

/* Between a buffer of `info` and a frame of the engine's, dense as that says.
 * FALSE and `error` on failure. */
gboolean dloral_cuda_memory_put (DloralStream * stream, DloralFrame * frame,
    const GstVideoInfo * info, GstBuffer * buffer, GError ** error);
gboolean dloral_cuda_memory_take (DloralStream * stream, DloralFrame * frame,
    const GstVideoInfo * info, GstBuffer * buffer, GError ** error);

#else

#define dloral_cuda_memory_is_in_caps(caps) FALSE
#define dloral_cuda_memory_is_frame(buffer) FALSE
#define dloral_cuda_memory_set_context(element, context, device, cuda) \
    ((void) (device))
#define dloral_cuda_memory_answer_query(element, query, cuda) FALSE
#define dloral_cuda_memory_pool_new(element, device, cuda) NULL
#define dloral_cuda_memory_is_pool(pool) FALSE
#define dloral_cuda_memory_put(stream, frame, info, buffer, error) FALSE
#define dloral_cuda_memory_take(stream, frame, info, buffer, error) \
    ((void) (stream), FALSE)

#endif

G_END_DECLS
