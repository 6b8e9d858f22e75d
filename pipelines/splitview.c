/* An element with a split picture, see splitview.h. A frame goes through dloral
 * with what it was attached to it, so that the halves are always of the same one,
 * whatever is dropped. Only what is shown is enlarged.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "splitview.h"

#include "picture.h"

#include <gst/video/navigation.h>
#include <math.h>
#include <string.h>

#define KEY_STEP 0.02
#define ZOOM_STEP 1.25

/* Of no tags, so that every element hands it on. */
#define BEFORE_META "DloralCompareBefore"

/* One half's way from a frame, or the part of it that is shown, to the canvas;
 * made anew when `in` changes. */
typedef struct
{
  GstVideoInfo in;
  GstVideoConverter *converter;
} Half;

struct _SplitView
{
  GstVideoFilter parent;
  Half before, after;
  GstBuffer *canvas;            /* of the right half, in full */

  GMutex lock;                  /* guards what follows */
  View view;
  gboolean dragging;
  double pointer_x, pointer_y;  /* in parts of the picture */
};

G_DEFINE_TYPE (SplitView, split_view, GST_TYPE_VIDEO_FILTER)

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink",
    GST_PAD_SINK, GST_PAD_ALWAYS,
    GST_STATIC_CAPS (GST_VIDEO_CAPS_MAKE (GST_VIDEO_FORMATS_ALL)));
static GstStaticPadTemplate src_template = GST_STATIC_PAD_TEMPLATE ("src",
    GST_PAD_SRC, GST_PAD_ALWAYS,
    GST_STATIC_CAPS (GST_VIDEO_CAPS_MAKE ("BGRx")));

/* --- View ---------------------------------------------------------------- */

static void
settle_view (View * view)
{
  double margin;

  view->divider = CLAMP (view->divider, 0, 1);
  view->zoom = CLAMP (view->zoom, 1, SPLIT_VIEW_MAX_ZOOM);
  margin = 0.5 / view->zoom;
  view->x = CLAMP (view->x, margin, 1 - margin);
  view->y = CLAMP (view->y, margin, 1 - margin);
}

void
split_view_set (SplitView * self, const View * view)
{
  g_mutex_lock (&self->lock);
  self->view = *view;
  settle_view (&self->view);
  g_mutex_unlock (&self->lock);
}

/* What is under the pointer stays there. */
static void
zoom_by (SplitView * self, double factor)
{
  View *view = &self->view;
  double x = self->pointer_x - 0.5, y = self->pointer_y - 0.5;
  double zoom = CLAMP (view->zoom * factor, 1, SPLIT_VIEW_MAX_ZOOM);

  view->x += x / view->zoom - x / zoom;
  view->y += y / view->zoom - y / zoom;
  view->zoom = zoom;
}

static void
on_key (SplitView * self, const char *key)
{
  static const char *const larger[] = { "plus", "equal", "KP_Add", "+", NULL };
  static const char *const smaller[] = { "minus", "KP_Subtract", "-", NULL };

  if (g_str_equal (key, "Left"))
    self->view.divider -= KEY_STEP;
  else if (g_str_equal (key, "Right"))
    self->view.divider += KEY_STEP;
  else if (g_strv_contains (larger, key))
    zoom_by (self, ZOOM_STEP);
  else if (g_strv_contains (smaller, key))
    zoom_by (self, 1 / ZOOM_STEP);
}

static void
on_button (SplitView * self, int button, gboolean down)
{
  if (button == 1)
    self->dragging = down;
  else if (down && button == 4)
    zoom_by (self, ZOOM_STEP);
  else if (down && button == 5)
    zoom_by (self, 1 / ZOOM_STEP);
}

static void
move_pointer (SplitView * self, double x, double y)
{
  const GstVideoInfo *out = &GST_VIDEO_FILTER (self)->out_info;

  if (GST_VIDEO_INFO_WIDTH (out) == 0)
    return;
  self->pointer_x = CLAMP (x / GST_VIDEO_INFO_WIDTH (out), 0, 1);
  self->pointer_y = CLAMP (y / GST_VIDEO_INFO_HEIGHT (out), 0, 1);
}

static void
navigate (SplitView * self, GstEvent * event)
{
  GstNavigationEventType type = gst_navigation_event_get_type (event);
  double x, y, dy = 0;
  const char *key;
  gboolean was_dragging = self->dragging;
  int button;

  if (gst_navigation_event_get_coordinates (event, &x, &y))
    move_pointer (self, x, y);
  if (type == GST_NAVIGATION_EVENT_KEY_PRESS
      && gst_navigation_event_parse_key_event (event, &key))
    on_key (self, key);
  else if ((type == GST_NAVIGATION_EVENT_MOUSE_BUTTON_PRESS
          || type == GST_NAVIGATION_EVENT_MOUSE_BUTTON_RELEASE)
      && gst_navigation_event_parse_mouse_button_event (event, &button, &x,
          &y))
    on_button (self, button, type == GST_NAVIGATION_EVENT_MOUSE_BUTTON_PRESS);
  else if (type == GST_NAVIGATION_EVENT_MOUSE_SCROLL
      && gst_navigation_event_parse_mouse_scroll_event (event, &x, &y, NULL,
          &dy) && dy != 0)
    zoom_by (self, dy > 0 ? ZOOM_STEP : 1 / ZOOM_STEP);
  /* Moves may be left out between a press and the release. */
  if (self->dragging || was_dragging)
    self->view.divider = self->pointer_x;
  settle_view (&self->view);
}

static gboolean
split_view_src_event (GstBaseTransform * trans, GstEvent * event)
{
  SplitView *self = SPLIT_VIEW (trans);

  if (GST_EVENT_TYPE (event) == GST_EVENT_NAVIGATION) {
    g_mutex_lock (&self->lock);
    navigate (self, event);
    g_mutex_unlock (&self->lock);
  }
  return GST_BASE_TRANSFORM_CLASS (split_view_parent_class)->src_event (trans,
      event);
}

/* --- Pairs --------------------------------------------------------------- */

/* dloral gets a copy that shares the frame's memory and carries the frame. */
static GstPadProbeReturn
before_restore (GstPad * pad, GstPadProbeInfo * info, gpointer user_data)
{
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);
  GstBuffer *copy = gst_buffer_copy (buffer);
  g_autoptr (GstCaps) caps = gst_pad_get_current_caps (pad);
  GstSample *sample = gst_sample_new (buffer, caps, NULL, NULL);
  GstCustomMeta *meta = gst_buffer_add_custom_meta (copy, BEFORE_META);

  gst_structure_set (gst_custom_meta_get_structure (meta), "sample",
      GST_TYPE_SAMPLE, sample, NULL);
  gst_sample_unref (sample);
  gst_buffer_unref (buffer);
  GST_PAD_PROBE_INFO_DATA (info) = copy;
  return GST_PAD_PROBE_OK;
}

void
split_view_watch (GstPad * sink)
{
  gst_pad_add_probe (sink, GST_PAD_PROBE_TYPE_BUFFER, before_restore, NULL,
      NULL);
}

/* NULL if there is none. */
static GstSample *
get_before (GstBuffer * buffer)
{
  GstCustomMeta *meta = gst_buffer_get_custom_meta (buffer, BEFORE_META);
  GstSample *sample = NULL;

  if (meta)
    gst_structure_get (gst_custom_meta_get_structure (meta), "sample",
        GST_TYPE_SAMPLE, &sample, NULL);
  return sample;
}

/* It ends here. */
static gboolean
split_view_transform_meta (GstBaseTransform * trans, GstBuffer * out,
    GstMeta * meta, GstBuffer * in)
{
  if (gst_meta_info_is_custom (meta->info)
      && gst_custom_meta_has_name ((GstCustomMeta *) meta, BEFORE_META))
    return FALSE;
  return GST_BASE_TRANSFORM_CLASS (split_view_parent_class)->transform_meta
      (trans, out, meta, in);
}

/* --- Drawing ------------------------------------------------------------- */

/* The part of a frame of w x h that is shown. Even, as chroma may be halved. */
static GstVideoRectangle
get_part (const View * view, int w, int h)
{
  GstVideoRectangle rect = { 0, 0, w, h };

  if (view->zoom > 1) {
    rect.w = MAX (2, (int) lrint (w / view->zoom) & ~1);
    rect.h = MAX (2, (int) lrint (h / view->zoom) & ~1);
    rect.x = CLAMP ((int) lrint (view->x * w - rect.w / 2.0) & ~1, 0,
        w - rect.w);
    rect.y = CLAMP ((int) lrint (view->y * h - rect.h / 2.0) & ~1, 0,
        h - rect.h);
  }
  return rect;
}

static void
half_clear (Half * half)
{
  g_clear_pointer (&half->converter, gst_video_converter_free);
}

static gboolean
half_set (Half * half, const GstVideoInfo * in, const GstVideoInfo * out)
{
  if (half->converter && gst_video_info_is_equal (&half->in, in))
    return TRUE;
  half_clear (half);
  half->in = *in;
  half->converter = gst_video_converter_new (in, out, picture_bicubic ());
  return half->converter != NULL;
}

/* A frame that shows `rect` of `frame` in place. GStreamer's converter could cut
 * out by itself, but forgets to enlarge where the whole frame is as large as
 * what it draws to (1.22). */
static GstVideoFrame
cut_out (const GstVideoFrame * frame, const GstVideoRectangle * rect)
{
  const GstVideoFormatInfo *format = frame->info.finfo;
  GstVideoFrame part = *frame;

  for (guint i = 0; i < GST_VIDEO_FORMAT_INFO_N_COMPONENTS (format); i++) {
    guint plane = GST_VIDEO_FORMAT_INFO_PLANE (format, i);

    part.data[plane] = (guint8 *) frame->data[plane]
        + (rect->y >> GST_VIDEO_FORMAT_INFO_H_SUB (format, i))
        * GST_VIDEO_FRAME_PLANE_STRIDE (frame, plane)
        + (rect->x >> GST_VIDEO_FORMAT_INFO_W_SUB (format, i))
        * GST_VIDEO_FORMAT_INFO_PSTRIDE (format, i);
  }
  part.info.width = rect->w;
  part.info.height = rect->h;
  return part;
}

static gboolean
half_draw (Half * half, const GstVideoFrame * frame,
    const GstVideoRectangle * rect, GstVideoFrame * out)
{
  GstVideoFrame part = cut_out (frame, rect);

  /* The converter wants equal rates. */
  part.info.fps_n = out->info.fps_n;
  part.info.fps_d = out->info.fps_d;
  if (!half_set (half, &part.info, &out->info))
    return FALSE;
  gst_video_converter_frame (half->converter, &part, out);
  return TRUE;
}

/* Left: the part `rect` of the frame before dloral. */
static gboolean
draw_before (SplitView * self, GstSample * sample, const View * view,
    GstVideoRectangle * rect, GstVideoFrame * out)
{
  GstVideoInfo info;
  GstVideoFrame frame;
  gboolean ok;

  if (!gst_video_info_from_caps (&info, gst_sample_get_caps (sample))
      || !gst_video_frame_map (&frame, &info, gst_sample_get_buffer (sample),
          GST_MAP_READ))
    return FALSE;
  *rect = get_part (view, info.width, info.height);
  ok = half_draw (&self->before, &frame, rect, out);
  gst_video_frame_unmap (&frame);

  /* The same part of the frame after it. */
  rect->x = rect->x * out->info.width / info.width;
  rect->y = rect->y * out->info.height / info.height;
  rect->w = rect->w * out->info.width / info.width;
  rect->h = rect->h * out->info.height / info.height;
  return ok;
}

/* Puts what is right of column x of `from` there, after a white line. */
static void
join (const GstVideoFrame * from, GstVideoFrame * to, double divider)
{
  int width = GST_VIDEO_FRAME_WIDTH (to);
  int x = lrint (divider * width);
  int line = MIN (MAX (1, width / 640), width - x);
  gsize stride = GST_VIDEO_FRAME_PLANE_STRIDE (to, 0);
  const guint8 *source = GST_VIDEO_FRAME_PLANE_DATA (from, 0);
  guint8 *sink = GST_VIDEO_FRAME_PLANE_DATA (to, 0);

  for (int y = 0; y < GST_VIDEO_FRAME_HEIGHT (to); y++) {
    memcpy (sink + 4 * x, source + 4 * x, 4 * (width - x));
    if (x > 0)
      memset (sink + 4 * x, 255, 4 * line);
    source += GST_VIDEO_FRAME_PLANE_STRIDE (from, 0);
    sink += stride;
  }
}

static gboolean
draw_after (SplitView * self, GstVideoFrame * in,
    const GstVideoRectangle * rect, double divider, GstVideoFrame * out)
{
  GstVideoFrame canvas;

  gboolean ok;

  if (!gst_video_frame_map (&canvas, &out->info, self->canvas,
          GST_MAP_READWRITE))
    return FALSE;
  ok = half_draw (&self->after, in, rect, &canvas);
  if (ok)
    join (&canvas, out, divider);
  gst_video_frame_unmap (&canvas);
  return ok;
}

static GstFlowReturn
split_view_transform_frame (GstVideoFilter * filter, GstVideoFrame * in,
    GstVideoFrame * out)
{
  SplitView *self = SPLIT_VIEW (filter);
  GstSample *before = get_before (in->buffer);
  GstVideoRectangle rect;
  gboolean ok;
  View view;

  g_mutex_lock (&self->lock);
  view = self->view;
  g_mutex_unlock (&self->lock);
  ok = before && draw_before (self, before, &view, &rect, out)
      && draw_after (self, in, &rect, view.divider, out);
  g_clear_pointer (&before, gst_sample_unref);
  if (ok)
    return GST_FLOW_OK;
  GST_ELEMENT_ERROR (self, STREAM, FAILED,
      ("a frame cannot be laid beside what it was"), (NULL));
  return GST_FLOW_ERROR;
}

/* --- Element ------------------------------------------------------------- */

static gboolean
split_view_set_info (GstVideoFilter * filter, GstCaps * in_caps,
    GstVideoInfo * in, GstCaps * out_caps, GstVideoInfo * out)
{
  SplitView *self = SPLIT_VIEW (filter);

  half_clear (&self->before);
  half_clear (&self->after);
  gst_clear_buffer (&self->canvas);
  self->canvas = gst_buffer_new_allocate (NULL, GST_VIDEO_INFO_SIZE (out),
      NULL);
  return self->canvas != NULL;
}

/* The size stays; the format does not, nor what colours are coded by. */
static GstCaps *
split_view_transform_caps (GstBaseTransform * trans,
    GstPadDirection direction, GstCaps * caps, GstCaps * filter)
{
  GstCaps *other = gst_caps_copy (caps), *result;
  GstStaticPadTemplate *template = direction == GST_PAD_SINK
      ? &src_template : &sink_template;
  GstCaps *formats = gst_static_pad_template_get_caps (template);

  for (guint i = 0; i < gst_caps_get_size (other); i++)
    gst_structure_remove_fields (gst_caps_get_structure (other, i), "format",
        "colorimetry", "chroma-site", NULL);
  result = gst_caps_intersect (other, formats);
  gst_caps_unref (formats);
  gst_caps_unref (other);
  if (!filter)
    return result;
  other = gst_caps_intersect_full (filter, result, GST_CAPS_INTERSECT_FIRST);
  gst_caps_unref (result);
  return other;
}

static void
split_view_finalize (GObject * object)
{
  SplitView *self = SPLIT_VIEW (object);

  half_clear (&self->before);
  half_clear (&self->after);
  gst_clear_buffer (&self->canvas);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (split_view_parent_class)->finalize (object);
}

static void
split_view_class_init (SplitViewClass * klass)
{
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);
  GstBaseTransformClass *trans_class = GST_BASE_TRANSFORM_CLASS (klass);
  GstVideoFilterClass *filter_class = GST_VIDEO_FILTER_CLASS (klass);

  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Split view",
      "Filter/Video", "Lays frames beside what they were", "gst-dloral");
  G_OBJECT_CLASS (klass)->finalize = split_view_finalize;
  trans_class->transform_caps = split_view_transform_caps;
  trans_class->transform_meta = split_view_transform_meta;
  trans_class->src_event = split_view_src_event;
  filter_class->set_info = split_view_set_info;
  filter_class->transform_frame = split_view_transform_frame;
}

static void
split_view_init (SplitView * self)
{
  g_mutex_init (&self->lock);
  self->view = (View) { 0.5, 1, 0.5, 0.5 };
  self->pointer_x = self->pointer_y = 0.5;
}

gboolean
split_view_register (void)
{
  static const char *tags[] = { NULL };

  gst_meta_register_custom (BEFORE_META, tags, NULL, NULL, NULL);
  return gst_element_register (NULL, "splitview", GST_RANK_NONE,
      TYPE_SPLIT_VIEW);
}
