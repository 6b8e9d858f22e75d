/* Dimension arithmetic, caps of the other pad, and the choice among them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralcaps.h"

/* --- Sides --------------------------------------------------------------- */

typedef struct
{
  gint min, max;
} DloralSpan;

/* Sides of the other pad when this one's lie in [min, max]; empty (min > max)
 * when none of them is allowed. */
static DloralSpan
dloral_span_transform (DloralSpan span, GstPadDirection direction)
{
  const gint max_out = DLORAL_SCALE * DLORAL_MAX_SIDE;
  DloralSpan other;

  if (direction == GST_PAD_SINK) {
    span.min = MAX (span.min, DLORAL_MIN_SIDE);
    span.max = MIN (span.max, DLORAL_MAX_SIDE);
    other = (DloralSpan) { span.min, span.max * DLORAL_SCALE };
  } else {
    span.min = MAX (span.min, DLORAL_MIN_SIDE);
    span.max = MIN (span.max, max_out);
    other.min = (span.min + DLORAL_SCALE - 1) / DLORAL_SCALE;
    other.min = MAX (other.min, DLORAL_MIN_SIDE);
    other.max = MIN (span.max, DLORAL_MAX_SIDE);
  }
  if (span.min > span.max)
    return (DloralSpan) { 1, 0 };
  return other;
}

static gboolean
dloral_span_to_value (DloralSpan span, GValue * value)
{
  if (span.min > span.max)
    return FALSE;
  if (span.min == span.max) {
    g_value_init (value, G_TYPE_INT);
    g_value_set_int (value, span.min);
  } else {
    g_value_init (value, GST_TYPE_INT_RANGE);
    gst_value_set_int_range (value, span.min, span.max);
  }
  return TRUE;
}

static gboolean
dloral_caps_transform_sides (const GValue * list, GstPadDirection direction,
    GValue * other)
{
  guint i, n = gst_value_list_get_size (list);

  g_value_init (other, GST_TYPE_LIST);
  for (i = 0; i < n; i++) {
    GValue value = G_VALUE_INIT;

    if (dloral_caps_transform_side (gst_value_list_get_value (list, i),
            direction, &value))
      gst_value_list_append_and_take_value (other, &value);
  }
  if (gst_value_list_get_size (other) > 0)
    return TRUE;
  g_value_unset (other);
  return FALSE;
}

gboolean
dloral_caps_transform_side (const GValue * side, GstPadDirection direction,
    GValue * other)
{
  DloralSpan span;

  if (G_VALUE_HOLDS_INT (side)) {
    span.min = span.max = g_value_get_int (side);
  } else if (GST_VALUE_HOLDS_INT_RANGE (side)) {
    span.min = gst_value_get_int_range_min (side);
    span.max = gst_value_get_int_range_max (side);
  } else if (GST_VALUE_HOLDS_LIST (side)) {
    return dloral_caps_transform_sides (side, direction, other);
  } else {
    return FALSE;
  }
  return dloral_span_to_value (dloral_span_transform (span, direction), other);
}

/* --- Structures of the other pad ----------------------------------------- */

/* Replaces a side by those of the other pad; a missing one stays missing. */
static gboolean
dloral_structure_transform_side (GstStructure * s, const gchar * field,
    GstPadDirection direction)
{
  const GValue *side = gst_structure_get_value (s, field);
  GValue other = G_VALUE_INIT;

  if (!side)
    return TRUE;
  if (!dloral_caps_transform_side (side, direction, &other))
    return FALSE;
  gst_structure_take_value (s, field, &other);
  return TRUE;
}

/* Any of the formats, and whatever colours go with it. */
static void
dloral_structure_free_format (GstStructure * s, const gchar * of)
{
  GValue formats = G_VALUE_INIT;

  g_value_init (&formats, GST_TYPE_LIST);
  if (gst_value_deserialize (&formats, of))
    gst_structure_set_value (s, "format", &formats);
  g_value_unset (&formats);
  gst_structure_remove_fields (s, "colorimetry", "chroma-site", NULL);
}

/* --- Memory -------------------------------------------------------------- */

static const struct
{
  const gchar *feature, *formats;
} dloral_memories[] = {
  {GST_CAPS_FEATURE_MEMORY_SYSTEM_MEMORY, DLORAL_VIDEO_FORMATS},
#ifdef HAVE_CUDA_MEMORY
  {DLORAL_CUDA_FEATURE, DLORAL_CUDA_FORMATS},
#endif
};

/* Index of the memory that the features ask for and nothing else, or -1. */
static gint
dloral_features_get_memory (const GstCapsFeatures * features)
{
  guint i;

  if (gst_caps_features_is_any (features)
      || gst_caps_features_get_size (features) != 1)
    return -1;
  for (i = 0; i < G_N_ELEMENTS (dloral_memories); i++)
    if (gst_caps_features_contains (features, dloral_memories[i].feature))
      return i;
  return -1;
}

/* --- Fields -------------------------------------------------------------- */

gboolean
dloral_caps_is_interlaced (const GstCaps * caps)
{
  const GstStructure *s = gst_caps_get_structure (caps, 0);
  const gchar *mode = gst_structure_get_string (s, "interlace-mode");

  return mode && !g_str_equal (mode, "progressive");
}

/* --- Caps of the other pad ----------------------------------------------- */

/* formats: those that the structure may have, NULL: what it has. */
static void
dloral_caps_append_other (GstCaps * result, const GstStructure * structure,
    GstPadDirection direction, gint memory, const gchar * formats)
{
  GstStructure *s = gst_structure_copy (structure);
  GstCapsFeatures *features =
      gst_caps_features_new (dloral_memories[memory].feature, NULL);

  if (formats)
    dloral_structure_free_format (s, formats);
  if (dloral_structure_transform_side (s, "width", direction)
      && dloral_structure_transform_side (s, "height", direction)
      && !gst_caps_is_subset_structure_full (result, s, features)) {
    gst_caps_append_structure_full (result, s, features);
  } else {
    gst_structure_free (s);
    gst_caps_features_free (features);
  }
}

/* What differs from the one pad's caps. */
typedef enum
{
  DLORAL_OTHER_SIZE,
  DLORAL_OTHER_FORMAT,
  DLORAL_OTHER_MEMORY,
} DloralOther;

static void
dloral_caps_append_transformed (GstCaps * result, GstCaps * caps,
    GstPadDirection direction, DloralOther other)
{
  guint i, n = gst_caps_get_size (caps);
  gint memory, m;

  for (i = 0; i < n; i++) {
    memory = dloral_features_get_memory (gst_caps_get_features (caps, i));
    for (m = 0; memory >= 0 && m < (gint) G_N_ELEMENTS (dloral_memories); m++)
      if ((m == memory) == (other != DLORAL_OTHER_MEMORY))
        dloral_caps_append_other (result, gst_caps_get_structure (caps, i),
            direction, m, other == DLORAL_OTHER_SIZE ? NULL :
            dloral_memories[m].formats);
  }
}

GstCaps *
dloral_caps_transform (GstCaps * caps, GstPadDirection direction,
    GstCaps * filter)
{
  GstCaps *result = gst_caps_new_empty ();

  if (gst_caps_is_any (caps)) {
    gst_caps_unref (result);
    result = gst_caps_from_string (direction == GST_PAD_SINK ?
        DLORAL_SRC_CAPS : DLORAL_SINK_CAPS);
  } else {
    dloral_caps_append_transformed (result, caps, direction,
        DLORAL_OTHER_SIZE);
    dloral_caps_append_transformed (result, caps, direction,
        DLORAL_OTHER_FORMAT);
    dloral_caps_append_transformed (result, caps, direction,
        DLORAL_OTHER_MEMORY);
  }
  if (filter) {
    GstCaps *both = gst_caps_intersect_full (filter, result,
        GST_CAPS_INTERSECT_FIRST);

    gst_caps_unref (result);
    result = both;
  }
  return result;
}

/* --- Choice of a format -------------------------------------------------- */

static gint
dloral_format_get_subsampling (const GstVideoFormatInfo * info)
{
  return GST_VIDEO_FORMAT_INFO_IS_YUV (info) ?
      GST_VIDEO_FORMAT_INFO_W_SUB (info, 1)
      + GST_VIDEO_FORMAT_INFO_H_SUB (info, 1) : 0;
}

static gint
dloral_format_get_depth (const GstVideoFormatInfo * info)
{
  return GST_VIDEO_FORMAT_INFO_DEPTH (info, 0);
}

/* How much of `in` is lost in `out`; 0: nothing, not even time. */
static gint
dloral_format_get_loss (GstVideoFormat in, GstVideoFormat out)
{
  const GstVideoFormatInfo *i = gst_video_format_get_info (in);
  const GstVideoFormatInfo *o = gst_video_format_get_info (out);
  gint loss = in == out ? 0 : 1;

  if (GST_VIDEO_FORMAT_INFO_IS_YUV (i) != GST_VIDEO_FORMAT_INFO_IS_YUV (o))
    loss += 2;
  if (GST_VIDEO_FORMAT_INFO_HAS_ALPHA (o)
      && !GST_VIDEO_FORMAT_INFO_HAS_ALPHA (i))
    loss += 1;
  if (dloral_format_get_depth (o) > dloral_format_get_depth (i))
    loss += 1;
  if (dloral_format_get_depth (o) < dloral_format_get_depth (i))
    loss += 4;
  if (!GST_VIDEO_FORMAT_INFO_IS_GRAY (i))
    loss += 8 * MAX (0, dloral_format_get_subsampling (o)
        - dloral_format_get_subsampling (i));
  if (GST_VIDEO_FORMAT_INFO_HAS_ALPHA (i)
      && !GST_VIDEO_FORMAT_INFO_HAS_ALPHA (o))
    loss += 64;
  if (GST_VIDEO_FORMAT_INFO_IS_GRAY (o) && !GST_VIDEO_FORMAT_INFO_IS_GRAY (i))
    loss += 128;
  return loss;
}

/* The format of `value` (a string or a list) that loses least of `in`. */
static GstVideoFormat
dloral_format_choose (const GValue * value, GstVideoFormat in, gint * loss)
{
  GstVideoFormat best = GST_VIDEO_FORMAT_UNKNOWN, format;
  guint i, n;

  *loss = G_MAXINT;
  if (value && G_VALUE_HOLDS_STRING (value)) {
    best = gst_video_format_from_string (g_value_get_string (value));
    if (best != GST_VIDEO_FORMAT_UNKNOWN)
      *loss = dloral_format_get_loss (in, best);
    return best;
  }
  n = value && GST_VALUE_HOLDS_LIST (value) ?
      gst_value_list_get_size (value) : 0;
  for (i = 0; i < n; i++) {
    gint l;

    format = dloral_format_choose (gst_value_list_get_value (value, i), in, &l);
    if (l < *loss) {
      *loss = l;
      best = format;
    }
  }
  return best;
}

/* Going from one memory to another costs more than another format, less than
 * chroma. */
#define DLORAL_MEMORY_LOSS 6

/* Keeps the structure that loses least of the format `in` in `memory`, fixes its
 * format. */
static GstCaps *
dloral_caps_fixate_format (GstCaps * caps, GstVideoFormat in, gint memory)
{
  GstVideoFormat best = GST_VIDEO_FORMAT_UNKNOWN;
  gint best_loss = G_MAXINT;
  guint i, at = 0, n = gst_caps_get_size (caps);
  GstCaps *result;

  for (i = 0; i < n; i++) {
    const GstStructure *s = gst_caps_get_structure (caps, i);
    GstVideoFormat format;
    gint loss;

    format = dloral_format_choose (gst_structure_get_value (s, "format"), in,
        &loss);
    if (format != GST_VIDEO_FORMAT_UNKNOWN && memory !=
        dloral_features_get_memory (gst_caps_get_features (caps, i)))
      loss += DLORAL_MEMORY_LOSS;
    if (loss < best_loss) {
      best_loss = loss;
      best = format;
      at = i;
    }
  }
  result = gst_caps_copy_nth (caps, at);
  gst_caps_unref (caps);
  if (best != GST_VIDEO_FORMAT_UNKNOWN)
    gst_caps_set_simple (result, "format", G_TYPE_STRING,
        gst_video_format_to_string (best), NULL);
  return result;
}

/* --- Choice of a size ---------------------------------------------------- */

static gint
dloral_structure_get_nearest (const GstStructure * s, const gchar * field,
    gint target)
{
  GstStructure *copy = gst_structure_copy (s);
  gint value = target;

  gst_structure_fixate_field_nearest_int (copy, field, target);
  gst_structure_get_int (copy, field, &value);
  gst_structure_free (copy);
  return value;
}

/* Fixes width and height nearest to w, h; where only one side can have that,
 * the other follows so that the shape stays. */
static void
dloral_structure_fixate_size (GstStructure * s, gint w, gint h)
{
  gint width = dloral_structure_get_nearest (s, "width", w);
  gint height = dloral_structure_get_nearest (s, "height", h);

  if ((gint64) width * h < (gint64) height * w)
    height = gst_util_uint64_scale_int_round (h, width, w);
  else
    width = gst_util_uint64_scale_int_round (w, height, h);
  width = dloral_structure_get_nearest (s, "width", width);
  height = dloral_structure_get_nearest (s, "height", height);
  gst_structure_set (s, "width", G_TYPE_INT, width, "height", G_TYPE_INT,
      height, NULL);
}

/* --- Colours ------------------------------------------------------------- */

/* The input's colours as a format of `out`'s kind has them: transfer and
 * primaries stay what they are; range and matrix change only between YUV, RGB
 * and grey. */
static GstVideoColorimetry
dloral_colorimetry_carry (const GstVideoInfo * in, const GstVideoInfo * out)
{
  GstVideoColorimetry c = in->colorimetry;
  gboolean same = GST_VIDEO_INFO_IS_YUV (in) == GST_VIDEO_INFO_IS_YUV (out)
      && GST_VIDEO_INFO_IS_RGB (in) == GST_VIDEO_INFO_IS_RGB (out);

  if (!same) {
    c.range = out->colorimetry.range;
    c.matrix = out->colorimetry.matrix;
  }
  return c;
}

/* Decoders write colorimetries without a matrix; those say as little as none. */
static void
dloral_structure_drop_vague_colors (GstStructure * s)
{
  const gchar *text = gst_structure_get_string (s, "colorimetry");
  GstVideoColorimetry colors;

  if (text && (!gst_video_colorimetry_from_string (&colors, text)
          || colors.matrix == GST_VIDEO_COLOR_MATRIX_UNKNOWN))
    gst_structure_remove_field (s, "colorimetry");
}

/* Sets a string field that is missing, or chooses `text` (taken) from a list of
 * them. */
static void
dloral_structure_fixate_string (GstStructure * s, const gchar * field,
    gchar * text)
{
  if (text && gst_structure_has_field (s, field))
    gst_structure_fixate_field_string (s, field, text);
  else if (text)
    gst_structure_set (s, field, G_TYPE_STRING, text, NULL);
  g_free (text);
}

/* YUV without colorimetry means BT.601 up to 576 lines and BT.709 above: left
 * out, a larger picture would change its colours. */
static void
dloral_structure_write_colors (GstStructure * s, const GstVideoInfo * in)
{
  const gchar *format = gst_structure_get_string (s, "format");
  GstVideoColorimetry colors;
  GstVideoInfo out;
  gint w, h;

  if (!format || !gst_structure_get_int (s, "width", &w)
      || !gst_structure_get_int (s, "height", &h)
      || !gst_video_info_set_format (&out,
          gst_video_format_from_string (format), w, h))
    return;
  if (GST_VIDEO_INFO_IS_YUV (&out))
    dloral_structure_drop_vague_colors (s);
  colors = dloral_colorimetry_carry (in, &out);
  dloral_structure_fixate_string (s, "colorimetry",
      gst_video_colorimetry_to_string (&colors));
  if (GST_VIDEO_INFO_IS_YUV (in) && GST_VIDEO_INFO_IS_YUV (&out)
      && in->chroma_site != GST_VIDEO_CHROMA_SITE_UNKNOWN)
    dloral_structure_fixate_string (s, "chroma-site",
        gst_video_chroma_site_to_string (in->chroma_site));
}

GstCaps *
dloral_caps_fixate (GstCaps * caps, GstPadDirection direction,
    GstCaps * othercaps)
{
  GstVideoInfo info;
  GstStructure *s;

  if (gst_caps_is_empty (othercaps) || !gst_video_info_from_caps (&info, caps))
    return gst_caps_fixate (othercaps);

  othercaps = dloral_caps_fixate_format (othercaps,
      GST_VIDEO_INFO_FORMAT (&info),
      dloral_features_get_memory (gst_caps_get_features (caps, 0)));
  s = gst_caps_get_structure (othercaps, 0);
  if (direction == GST_PAD_SINK)
    dloral_structure_fixate_size (s, info.width * DLORAL_SCALE,
        info.height * DLORAL_SCALE);
  else
    dloral_structure_fixate_size (s,
        (info.width + DLORAL_SCALE - 1) / DLORAL_SCALE,
        (info.height + DLORAL_SCALE - 1) / DLORAL_SCALE);
  if (direction == GST_PAD_SINK)
    dloral_structure_write_colors (s, &info);
  return gst_caps_fixate (othercaps);
}

gboolean
dloral_caps_is_possible (const GstVideoInfo * in, const GstVideoInfo * out)
{
  return in->width >= DLORAL_MIN_SIDE && in->width <= DLORAL_MAX_SIDE
      && in->height >= DLORAL_MIN_SIDE && in->height <= DLORAL_MAX_SIDE
      && out->width >= in->width && out->width <= in->width * DLORAL_SCALE
      && out->height >= in->height && out->height <= in->height * DLORAL_SCALE;
}
