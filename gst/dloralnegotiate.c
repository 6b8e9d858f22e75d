/* Caps of both pads, and the buffers that go with them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#include "dloralcaps.h"

#include <gst/video/gstvideometa.h>
#include <gst/video/gstvideopool.h>

#define GST_CAT_DEFAULT gst_dloral_debug

/* --- Caps ---------------------------------------------------------------- */

static GstCaps *
gst_dloral_transform_caps (GstBaseTransform * trans,
    GstPadDirection direction, GstCaps * caps, GstCaps * filter)
{
  GstCaps *result = dloral_caps_transform (caps, direction, filter);

  GST_LOG_OBJECT (trans, "%" GST_PTR_FORMAT " of the %s pad become %"
      GST_PTR_FORMAT, caps, direction == GST_PAD_SINK ? "sink" : "source",
      result);
  return result;
}

static GstCaps *
gst_dloral_fixate_caps (GstBaseTransform * trans, GstPadDirection direction,
    GstCaps * caps, GstCaps * othercaps)
{
  return dloral_caps_fixate (caps, direction, othercaps);
}

/* Says what to do about what is refused for a reason that caps alone do not make
 * plain. */
static gboolean
gst_dloral_accept_caps (GstBaseTransform * trans, GstPadDirection direction,
    GstCaps * caps)
{
  if (GST_DLORAL_PARENT_CLASS (trans)->accept_caps (trans, direction, caps))
    return TRUE;
  if (direction == GST_PAD_SINK && dloral_caps_is_interlaced (caps))
    GST_WARNING_OBJECT (trans, "Interlaced video is not accepted, put "
        "\"deinterlace\" in front: %" GST_PTR_FORMAT, caps);
  return FALSE;
}

static gboolean
gst_dloral_set_caps (GstBaseTransform * trans, GstCaps * incaps,
    GstCaps * outcaps)
{
  GstDloral *self = GST_DLORAL (trans);
  DloralState *state = &self->state;
  GstVideoInfo in, out;

  if (!gst_video_info_from_caps (&in, incaps)
      || !gst_video_info_from_caps (&out, outcaps)
      || !dloral_caps_is_possible (&in, &out)) {
    GST_ERROR_OBJECT (self, "cannot make %" GST_PTR_FORMAT " of %"
        GST_PTR_FORMAT, outcaps, incaps);
    return FALSE;
  }
  if (!gst_dloral_drain (self))
    return FALSE;
  GST_DEBUG_OBJECT (self, "%" GST_PTR_FORMAT " to %" GST_PTR_FORMAT, incaps,
      outcaps);

  gst_dloral_reset_session (self, &in, &out);
  g_mutex_lock (&state->lock);
  state->in = in;
  state->out = out;
  g_mutex_unlock (&state->lock);
  state->discont = TRUE;
  gst_dloral_wish (self);
  return TRUE;
}

/* --- Buffers ------------------------------------------------------------- */

/* A frame's size depends on its caps alone: buffers may be padded. */
static gboolean
gst_dloral_transform_size (GstBaseTransform * trans,
    GstPadDirection direction, GstCaps * caps, gsize size, GstCaps * othercaps,
    gsize * othersize)
{
  GstVideoInfo info;

  if (!gst_video_info_from_caps (&info, othercaps))
    return FALSE;
  *othersize = GST_VIDEO_INFO_SIZE (&info);
  return TRUE;
}

static void
gst_dloral_configure_pool (GstBufferPool * pool, GstCaps * caps, guint size,
    guint min, guint max, gboolean video_meta)
{
  GstStructure *config = gst_buffer_pool_get_config (pool);

  gst_buffer_pool_config_set_params (config, caps, size, min, max);
  if (video_meta)
    gst_buffer_pool_config_add_option (config,
        GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_set_config (pool, config);
}

/* A pool may know better how large its buffers are. */
static guint
gst_dloral_get_pool_size (GstBufferPool * pool)
{
  GstStructure *config = gst_buffer_pool_get_config (pool);
  guint size = 0;

  gst_buffer_pool_config_get_params (config, NULL, &size, NULL, NULL);
  gst_structure_free (config);
  return size;
}

/* Of frames in the GPU's memory. */
static void
gst_dloral_propose_pool (GstDloral * self, GstQuery * query, GstCaps * caps)
{
  GstBufferPool *pool = dloral_cuda_memory_pool_new (GST_ELEMENT_CAST (self),
      self->state.settings.cuda_device_id, &self->cuda);
  GstVideoInfo info;

  if (!pool)
    return;
  if (gst_video_info_from_caps (&info, caps)) {
    gst_dloral_configure_pool (pool, caps, GST_VIDEO_INFO_SIZE (&info), 0, 0,
        TRUE);
    gst_query_add_allocation_pool (query, pool,
        gst_dloral_get_pool_size (pool), 0, 0);
  }
  gst_object_unref (pool);
}

static gboolean
gst_dloral_propose_allocation (GstBaseTransform * trans,
    GstQuery * decide_query, GstQuery * query)
{
  gboolean need_pool;
  GstCaps *caps;

  if (!GST_DLORAL_PARENT_CLASS (trans)->propose_allocation (trans,
          decide_query, query))
    return FALSE;
  gst_query_parse_allocation (query, &caps, &need_pool);
  if (caps && need_pool && dloral_cuda_memory_is_in_caps (caps))
    gst_dloral_propose_pool (GST_DLORAL (trans), query, caps);
  if (!gst_query_find_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL))
    gst_query_add_allocation_meta (query, GST_VIDEO_META_API_TYPE, NULL);
  return TRUE;
}

/* One output buffer for each frame in flight, one that is being pushed and one
 * that downstream shows meanwhile: with fewer, we would wait for ourselves. */
static guint
gst_dloral_get_min_buffers (GstDloral * self)
{
  return self->state.settings.async_depth + 2;
}

/* Downstream's pool if it is large enough. */
static GstBufferPool *
gst_dloral_take_offered_pool (GstDloral * self, GstQuery * query, guint * size,
    guint * min, guint * max)
{
  GstBufferPool *pool = NULL;

  if (gst_query_get_n_allocation_pools (query) > 0)
    gst_query_parse_nth_allocation_pool (query, 0, &pool, size, min, max);
  if (*max != 0 && *max < gst_dloral_get_min_buffers (self)) {
    GST_INFO_OBJECT (self, "downstream's pool has only %u buffers: not used",
        *max);
    gst_clear_object (&pool);
  }
  if (!pool)
    *min = *max = 0;
  return pool;
}

static GstBufferPool *
gst_dloral_make_pool (GstDloral * self, gboolean cuda)
{
  GstBufferPool *pool;

  if (!cuda)
    return gst_video_buffer_pool_new ();
  pool = dloral_cuda_memory_pool_new (GST_ELEMENT_CAST (self),
      self->state.settings.cuda_device_id, &self->cuda);
  if (!pool)
    GST_ELEMENT_ERROR (self, RESOURCE, NOT_FOUND,
        ("Frames were to be in the GPU's memory, but no GPU can be used."),
        ("no CUDA context"));
  return pool;
}

static gboolean
gst_dloral_decide_allocation (GstBaseTransform * trans, GstQuery * query)
{
  GstDloral *self = GST_DLORAL (trans);
  guint size = 0, min = 0, max = 0;
  gboolean video_meta = gst_query_find_allocation_meta (query,
      GST_VIDEO_META_API_TYPE, NULL);
  gboolean cuda;
  GstBufferPool *pool;
  GstVideoInfo info;
  GstCaps *caps;

  gst_query_parse_allocation (query, &caps, NULL);
  if (!caps || !gst_video_info_from_caps (&info, caps))
    return FALSE;

  cuda = dloral_cuda_memory_is_in_caps (caps);
  pool = gst_dloral_take_offered_pool (self, query, &size, &min, &max);
  if (pool && cuda && !dloral_cuda_memory_is_pool (pool))
    gst_clear_object (&pool);
  if (!pool && !(pool = gst_dloral_make_pool (self, cuda)))
    return FALSE;
  size = MAX (size, (guint) GST_VIDEO_INFO_SIZE (&info));
  gst_dloral_configure_pool (pool, caps, size, min, max, video_meta);
  size = gst_dloral_get_pool_size (pool);

  if (gst_query_get_n_allocation_pools (query) > 0)
    gst_query_set_nth_allocation_pool (query, 0, pool, size, min, max);
  else
    gst_query_add_allocation_pool (query, pool, size, min, max);
  gst_object_unref (pool);

  return GST_DLORAL_PARENT_CLASS (trans)->decide_allocation (trans,
      query);
}

void
gst_dloral_install_negotiation (GstBaseTransformClass * klass)
{
  klass->transform_caps = GST_DEBUG_FUNCPTR (gst_dloral_transform_caps);
  klass->accept_caps = GST_DEBUG_FUNCPTR (gst_dloral_accept_caps);
  klass->fixate_caps = GST_DEBUG_FUNCPTR (gst_dloral_fixate_caps);
  klass->set_caps = GST_DEBUG_FUNCPTR (gst_dloral_set_caps);
  klass->transform_size = GST_DEBUG_FUNCPTR (gst_dloral_transform_size);
  klass->propose_allocation = GST_DEBUG_FUNCPTR (gst_dloral_propose_allocation);
  klass->decide_allocation = GST_DEBUG_FUNCPTR (gst_dloral_decide_allocation);
  klass->transform_meta = GST_DEBUG_FUNCPTR (gst_dloral_transform_meta);
}
