/* The before/after picture, see picture.h. Both halves show the middle half of
 * the frame, so that the whole is as large as the frame that went out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "picture.h"

#include <gio/gio.h>
#include <string.h>

#define PNG_TIMEOUT (120 * GST_SECOND)

void
picture_init (Picture * self)
{
  memset (self, 0, sizeof *self);
  g_mutex_init (&self->lock);
}

void
picture_clear (Picture * self)
{
  g_clear_pointer (&self->before, gst_sample_unref);
  g_clear_pointer (&self->pair[0], gst_sample_unref);
  g_clear_pointer (&self->pair[1], gst_sample_unref);
  g_mutex_clear (&self->lock);
}

void
picture_offer_before (Picture * self, GstBuffer * buffer, GstCaps * caps,
    gboolean middle)
{
  g_mutex_lock (&self->lock);
  self->n_before++;
  if (!self->settled && (middle || self->n_before == 1)) {
    g_clear_pointer (&self->before, gst_sample_unref);
    self->before = gst_sample_new (buffer, caps, NULL, NULL);
    self->wanted = self->n_before;
    self->settled = middle;
  }
  g_mutex_unlock (&self->lock);
}

void
picture_offer_after (Picture * self, GstBuffer * buffer, GstCaps * caps)
{
  g_mutex_lock (&self->lock);
  self->n_after++;
  if (self->before && self->n_after == self->wanted) {
    g_clear_pointer (&self->pair[0], gst_sample_unref);
    g_clear_pointer (&self->pair[1], gst_sample_unref);
    self->pair[0] = g_steal_pointer (&self->before);
    self->pair[1] = gst_sample_new (buffer, caps, NULL, NULL);
  }
  g_mutex_unlock (&self->lock);
}

/* --- Drawing ------------------------------------------------------------- */

GstStructure *
picture_bicubic (void)
{
  return gst_structure_new ("options",
      GST_VIDEO_CONVERTER_OPT_RESAMPLER_METHOD,
      GST_TYPE_VIDEO_RESAMPLER_METHOD, GST_VIDEO_RESAMPLER_METHOD_CUBIC,
      GST_VIDEO_RESAMPLER_OPT_CUBIC_B, G_TYPE_DOUBLE, 0.0,
      GST_VIDEO_RESAMPLER_OPT_CUBIC_C, G_TYPE_DOUBLE, 0.5, NULL);
}

/* `canvas` is all of the sample's frame, in RGB. */
static gboolean
draw (GstSample * sample, GstVideoFrame * canvas)
{
  GstVideoConverter *converter;
  GstVideoInfo info;
  GstVideoFrame frame;

  if (!gst_video_info_from_caps (&info, gst_sample_get_caps (sample))
      || !gst_video_frame_map (&frame, &info, gst_sample_get_buffer (sample),
          GST_MAP_READ))
    return FALSE;

  /* The converter wants equal rates; the canvas has none. */
  info.fps_n = canvas->info.fps_n;
  info.fps_d = canvas->info.fps_d;
  converter = gst_video_converter_new (&info, &canvas->info,
      picture_bicubic ());
  if (converter) {
    gst_video_converter_frame (converter, &frame, canvas);
    gst_video_converter_free (converter);
  }
  gst_video_frame_unmap (&frame);
  return converter != NULL;
}

/* A new RGB buffer with the sample's frame at the size of `info`. */
static GstBuffer *
draw_new (GstSample * sample, GstVideoInfo * info)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (info),
      NULL);
  GstVideoFrame canvas;
  gboolean ok = FALSE;

  if (buffer && gst_video_frame_map (&canvas, info, buffer, GST_MAP_WRITE)) {
    ok = draw (sample, &canvas);
    gst_video_frame_unmap (&canvas);
  }
  if (!ok)
    gst_clear_buffer (&buffer);
  return buffer;
}

/* Puts the middle halves of both side by side into `after`, a white line
 * between them. Rows are 3·width bytes and the stride. */
static void
merge (const guint8 * before, guint8 * after, int width, int height,
    gsize stride)
{
  int half = width / 2, x = (width - half) / 2;
  int line = MAX (1, width / 800);

  for (int y = 0; y < height; y++) {
    memmove (after + 3 * half, after + 3 * x, 3 * (width - half));
    memcpy (after, before + 3 * x, 3 * half);
    memset (after + 3 * (half - line), 255, 3 * 2 * line);
    before += stride;
    after += stride;
  }
}

static GstSample *
compose (GstSample * const *pair)
{
  g_autoptr (GstBuffer) before = NULL;
  g_autoptr (GstBuffer) after = NULL;
  g_autoptr (GstCaps) caps = NULL;
  GstVideoInfo info;
  GstMapInfo from, to;

  if (!gst_video_info_from_caps (&info, gst_sample_get_caps (pair[1])))
    return NULL;
  gst_video_info_set_format (&info, GST_VIDEO_FORMAT_RGB,
      GST_VIDEO_INFO_WIDTH (&info), GST_VIDEO_INFO_HEIGHT (&info));
  before = draw_new (pair[0], &info);
  after = draw_new (pair[1], &info);
  if (!before || !after || !gst_buffer_map (before, &from, GST_MAP_READ))
    return NULL;

  if (gst_buffer_map (after, &to, GST_MAP_READWRITE)) {
    merge (from.data, to.data, GST_VIDEO_INFO_WIDTH (&info),
        GST_VIDEO_INFO_HEIGHT (&info), GST_VIDEO_INFO_PLANE_STRIDE (&info, 0));
    gst_buffer_unmap (after, &to);
  }
  gst_buffer_unmap (before, &from);
  caps = gst_video_info_to_caps (&info);
  return gst_sample_new (after, caps, NULL, NULL);
}

static gboolean
write_buffer (GstBuffer * buffer, const char *path, GError ** error)
{
  GstMapInfo map;
  gboolean ok;

  if (!gst_buffer_map (buffer, &map, GST_MAP_READ)) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
        "cannot read the picture for \"%s\" back", path);
    return FALSE;
  }
  ok = g_file_set_contents_full (path, (const char *) map.data, map.size,
      G_FILE_SET_CONTENTS_CONSISTENT, 0666, error);
  gst_buffer_unmap (buffer, &map);
  return ok;
}

gboolean
picture_write_sample (GstSample * sample, const char *path, GError ** error)
{
  GstCaps *caps = gst_caps_new_empty_simple ("image/png");
  GstSample *png = gst_video_convert_sample (sample, caps, PNG_TIMEOUT, error);
  gboolean ok;

  gst_caps_unref (caps);
  if (!png)
    return FALSE;
  ok = write_buffer (gst_sample_get_buffer (png), path, error);
  gst_sample_unref (png);
  return ok;
}

gboolean
picture_write (Picture * self, const char *path, GError ** error)
{
  GstSample *drawn = self->pair[1] ? compose (self->pair) : NULL;
  gboolean ok;

  if (!drawn) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED,
        "there is no frame to make \"%s\" of", path);
    return FALSE;
  }
  ok = picture_write_sample (drawn, path, error);
  gst_sample_unref (drawn);
  return ok;
}
