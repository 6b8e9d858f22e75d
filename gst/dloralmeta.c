/* What is attached to a frame goes along with it; what speaks of pixels is
 * scaled.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#include <gst/video/gstvideometa.h>

static gpointer
dloral_copy_structure (gconstpointer structure, gpointer user_data)
{
  return gst_structure_copy (structure);
}

/* gst-video-scale leaves `params` behind; this does not. */
static void
dloral_scale_region (GstBuffer * outbuf,
    const GstVideoRegionOfInterestMeta * region, const GstVideoInfo * in,
    const GstVideoInfo * out)
{
  GstVideoRegionOfInterestMeta *scaled =
      gst_buffer_add_video_region_of_interest_meta_id (outbuf,
      region->roi_type,
      gst_util_uint64_scale_int (region->x, out->width, in->width),
      gst_util_uint64_scale_int (region->y, out->height, in->height),
      gst_util_uint64_scale_int (region->w, out->width, in->width),
      gst_util_uint64_scale_int (region->h, out->height, in->height));

  scaled->id = region->id;
  scaled->parent_id = region->parent_id;
  scaled->params = g_list_copy_deep (region->params, dloral_copy_structure,
      NULL);
}

static void
dloral_scale_crop (GstBuffer * outbuf, const GstVideoCropMeta * crop,
    const GstVideoInfo * in, const GstVideoInfo * out)
{
  GstVideoCropMeta *scaled = gst_buffer_add_video_crop_meta (outbuf);

  scaled->x = gst_util_uint64_scale_int (crop->x, out->width, in->width);
  scaled->y = gst_util_uint64_scale_int (crop->y, out->height, in->height);
  scaled->width =
      gst_util_uint64_scale_int (crop->width, out->width, in->width);
  scaled->height =
      gst_util_uint64_scale_int (crop->height, out->height, in->height);
}

/* Whether nothing but being video's is said of the meta. */
static gboolean
dloral_meta_is_independent (const GstMetaInfo * info)
{
  const gchar *const *tag = gst_meta_api_type_get_tags (info->api);

  for (; tag && *tag; tag++) {
    if (!g_str_equal (*tag, GST_META_TAG_VIDEO_STR)
        && !g_str_equal (*tag, GST_META_TAG_VIDEO_ORIENTATION_STR))
      return FALSE;
  }
  return TRUE;
}

gboolean
gst_dloral_transform_meta (GstBaseTransform * trans, GstBuffer * outbuf,
    GstMeta * meta, GstBuffer * inbuf)
{
  const DloralState *state = &GST_DLORAL (trans)->state;

  if (meta->info->api == GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE) {
    dloral_scale_region (outbuf, (GstVideoRegionOfInterestMeta *) meta,
        &state->in, &state->out);
    return FALSE;
  }
  if (meta->info->api == GST_VIDEO_CROP_META_API_TYPE) {
    dloral_scale_crop (outbuf, (GstVideoCropMeta *) meta, &state->in,
        &state->out);
    return FALSE;
  }
  return dloral_meta_is_independent (meta->info);
}
