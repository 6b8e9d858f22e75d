/* GStreamer's CUDA library, from 1.22 on.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralcudamemory.h"

#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudautils.h>

/* --- What there is ------------------------------------------------------- */

gboolean
dloral_cuda_memory_is_in_caps (const GstCaps * caps)
{
  return gst_caps_features_contains (gst_caps_get_features (caps, 0),
      DLORAL_CUDA_FEATURE);
}

gboolean
dloral_cuda_memory_is_frame (GstBuffer * buffer)
{
  return gst_buffer_n_memory (buffer) == 1
      && gst_is_cuda_memory (gst_buffer_peek_memory (buffer, 0));
}

/* --- Contexts and pools -------------------------------------------------- */

void
dloral_cuda_memory_set_context (GstElement * element, GstContext * context,
    gint device, GstObject ** cuda)
{
  gst_cuda_handle_set_context (element, context, device,
      (GstCudaContext **) cuda);
}

gboolean
dloral_cuda_memory_answer_query (GstElement * element, GstQuery * query,
    GstObject * cuda)
{
  return gst_cuda_handle_context_query (element, query,
      (GstCudaContext *) cuda);
}

GstBufferPool *
dloral_cuda_memory_pool_new (GstElement * element, gint device,
    GstObject ** cuda)
{
  if (!gst_cuda_load_library ()
      || !gst_cuda_ensure_element_context (element, device,
          (GstCudaContext **) cuda))
    return NULL;
  gst_cuda_memory_init_once ();
  return gst_cuda_buffer_pool_new (GST_CUDA_CONTEXT_CAST (*cuda));
}

gboolean
dloral_cuda_memory_is_pool (GstBufferPool * pool)
{
  return GST_IS_CUDA_BUFFER_POOL (pool);
}

/* --- Frames -------------------------------------------------------------- */

/* The rows of a plane: where the mapped frame has them, and where `info`. */
static DloralVideoRows
dloral_rows_of_plane (const GstVideoFrame * frame, const GstVideoInfo * info,
    gpointer context, guint plane)
{
  gint component = 0;

  while (GST_VIDEO_INFO_COMP_PLANE (info, component) != plane)
    component++;
  return (DloralVideoRows) {
    .context = context,
    .address = (guintptr) GST_VIDEO_FRAME_PLANE_DATA (frame, plane),
    .stride = GST_VIDEO_FRAME_PLANE_STRIDE (frame, plane),
    .offset = GST_VIDEO_INFO_PLANE_OFFSET (info, plane),
    .frame_stride = GST_VIDEO_INFO_PLANE_STRIDE (info, plane),
    .width = (gsize) GST_VIDEO_INFO_COMP_WIDTH (info, component)
        * GST_VIDEO_INFO_COMP_PSTRIDE (info, component),
    .height = GST_VIDEO_INFO_COMP_HEIGHT (info, component),
  };
}

/* From 1.24 on, work on a frame may still be going on when it comes. */
static void
dloral_cuda_memory_wait (GstMemory * memory)
{
#if GST_CHECK_VERSION (1, 24, 0)
  gst_cuda_memory_sync (GST_CUDA_MEMORY_CAST (memory));
#endif
}

typedef gboolean (*DloralCopyRows) (DloralStream * stream,
    DloralFrame * frame, const DloralVideoRows * rows, int n, GError ** error);

static gboolean
dloral_cuda_memory_copy (DloralCopyRows copy, DloralStream * stream,
    DloralFrame * frame, const GstVideoInfo * info, GstBuffer * buffer,
    GstMapFlags flags, GError ** error)
{
  GstMemory *memory = gst_buffer_peek_memory (buffer, 0);
  gpointer context =
      gst_cuda_context_get_handle (GST_CUDA_MEMORY_CAST (memory)->context);
  DloralVideoRows rows[GST_VIDEO_MAX_PLANES];
  GstVideoFrame mapped;
  gboolean ok;
  guint i;

  if (!gst_video_frame_map (&mapped, info, buffer, flags | GST_MAP_CUDA)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "cuda: a frame in the GPU's memory cannot be mapped");
    return FALSE;
  }
  dloral_cuda_memory_wait (memory);
  for (i = 0; i < GST_VIDEO_INFO_N_PLANES (info); i++)
    rows[i] = dloral_rows_of_plane (&mapped, info, context, i);
  ok = copy (stream, frame, rows, GST_VIDEO_INFO_N_PLANES (info), error);
  gst_video_frame_unmap (&mapped);
  return ok;
}

gboolean
dloral_cuda_memory_put (DloralStream * stream, DloralFrame * frame,
    const GstVideoInfo * info, GstBuffer * buffer, GError ** error)
{
  return dloral_cuda_memory_copy (dloral_stream_put_rows, stream, frame, info,
      buffer, GST_MAP_READ, error);
}

gboolean
dloral_cuda_memory_take (DloralStream * stream, DloralFrame * frame,
    const GstVideoInfo * info, GstBuffer * buffer, GError ** error)
{
  return dloral_cuda_memory_copy (dloral_stream_take_rows, stream, frame, info,
      buffer, GST_MAP_WRITE, error);
}
