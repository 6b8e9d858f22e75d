/* What the user may set and read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

#include "dloralenums.h"

#define DEFAULT_DEVICE DLORAL_DEVICE_AUTO
#define DEFAULT_PRECISION DLORAL_PRECISION_AUTO
#define DEFAULT_THREADS 0
#define DEFAULT_CUDA_DEVICE_ID (-1)
#define DEFAULT_TUNE FALSE
#define DEFAULT_ASYNC_DEPTH 2
#define DEFAULT_COLOR_FIX DLORAL_COLOR_FIX_AUTO
#define DEFAULT_VAE DLORAL_VAE_FULL
#define DEFAULT_CONSISTENCY_STRENGTH 1.0
#define DEFAULT_DETAIL_STRENGTH 1.0
#define DEFAULT_TEMPORAL_WINDOW 1
#define DEFAULT_TILE_SIZE 0
#define DEFAULT_TILE_OVERLAP 0
#define DEFAULT_SCENE_CUT_THRESHOLD 15.0
#define DEFAULT_AUTO_PROMPT DLORAL_AUTO_PROMPT_OFF
#define DEFAULT_OVERLOAD DLORAL_OVERLOAD_BLOCK
#define DEFAULT_BYPASS FALSE
#define DEFAULT_SKIP_STATIC FALSE

#define MAX_THREADS 1024
#define MAX_ASYNC_DEPTH 16
#define MAX_STRENGTH 2.0
#define MAX_TILE_SIZE 4096

enum
{
  PROP_0,
  PROP_MODEL,
  PROP_DEVICE,
  PROP_PRECISION,
  PROP_THREADS,
  PROP_CUDA_DEVICE_ID,
  PROP_TUNE,
  PROP_ASYNC_DEPTH,
  PROP_COLOR_FIX,
  PROP_VAE,
  PROP_PROMPT,
  PROP_AUTO_PROMPT,
  PROP_TAGGER,
  PROP_CONSISTENCY_STRENGTH,
  PROP_DETAIL_STRENGTH,
  PROP_TEMPORAL_WINDOW,
  PROP_TILE_SIZE,
  PROP_TILE_OVERLAP,
  PROP_SCENE_CUT_THRESHOLD,
  PROP_OVERLOAD,
  PROP_BYPASS,
  PROP_SKIP_STATIC,
  PROP_STATS,
};

void
gst_dloral_init_settings (DloralSettings * settings)
{
  *settings = (DloralSettings) {
    .device = DEFAULT_DEVICE,
    .precision = DEFAULT_PRECISION,
    .threads = DEFAULT_THREADS,
    .cuda_device_id = DEFAULT_CUDA_DEVICE_ID,
    .tune = DEFAULT_TUNE,
    .async_depth = DEFAULT_ASYNC_DEPTH,
    .color_fix = DEFAULT_COLOR_FIX,
    .vae = DEFAULT_VAE,
    .temporal_window = DEFAULT_TEMPORAL_WINDOW,
    .tile_size = DEFAULT_TILE_SIZE,
    .tile_overlap = DEFAULT_TILE_OVERLAP,
    .scene_cut_threshold = DEFAULT_SCENE_CUT_THRESHOLD,
    .auto_prompt = DEFAULT_AUTO_PROMPT,
    .overload = DEFAULT_OVERLOAD,
    .bypass = DEFAULT_BYPASS,
    .skip_static = DEFAULT_SKIP_STATIC,
    .consistency_strength = DEFAULT_CONSISTENCY_STRENGTH,
    .detail_strength = DEFAULT_DETAIL_STRENGTH,
  };
}

static void
gst_dloral_set_property (GObject * object, guint id, const GValue * value,
    GParamSpec * pspec)
{
  DloralSettings *settings = &GST_DLORAL (object)->settings;

  GST_OBJECT_LOCK (object);
  switch (id) {
    case PROP_MODEL:
      g_free (settings->model);
      settings->model = g_value_dup_string (value);
      break;
    case PROP_DEVICE:
      settings->device = g_value_get_enum (value);
      break;
    case PROP_PRECISION:
      settings->precision = g_value_get_enum (value);
      break;
    case PROP_THREADS:
      settings->threads = g_value_get_uint (value);
      break;
    case PROP_CUDA_DEVICE_ID:
      settings->cuda_device_id = g_value_get_int (value);
      break;
    case PROP_TUNE:
      settings->tune = g_value_get_boolean (value);
      break;
    case PROP_ASYNC_DEPTH:
      settings->async_depth = g_value_get_uint (value);
      break;
    case PROP_COLOR_FIX:
      settings->color_fix = g_value_get_enum (value);
      break;
    case PROP_VAE:
      settings->vae = g_value_get_enum (value);
      break;
    case PROP_PROMPT:
      g_free (settings->prompt);
      settings->prompt = g_value_dup_string (value);
      break;
    case PROP_AUTO_PROMPT:
      settings->auto_prompt = g_value_get_enum (value);
      break;
    case PROP_TAGGER:
      g_free (settings->tagger);
      settings->tagger = g_value_dup_string (value);
      break;
    case PROP_CONSISTENCY_STRENGTH:
      settings->consistency_strength = g_value_get_double (value);
      break;
    case PROP_DETAIL_STRENGTH:
      settings->detail_strength = g_value_get_double (value);
      break;
    case PROP_TEMPORAL_WINDOW:
      settings->temporal_window = g_value_get_uint (value);
      break;
    case PROP_TILE_SIZE:
      settings->tile_size = g_value_get_uint (value);
      break;
    case PROP_TILE_OVERLAP:
      settings->tile_overlap = g_value_get_uint (value);
      break;
    case PROP_SCENE_CUT_THRESHOLD:
      settings->scene_cut_threshold = g_value_get_double (value);
      break;
    case PROP_OVERLOAD:
      settings->overload = g_value_get_enum (value);
      break;
    case PROP_BYPASS:
      settings->bypass = g_value_get_boolean (value);
      break;
    case PROP_SKIP_STATIC:
      settings->skip_static = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (object);
  if (id == PROP_AUTO_PROMPT || id == PROP_TAGGER || id == PROP_MODEL)
    gst_dloral_note_beginning (GST_DLORAL (object), DLORAL_BEGINNING_VIDEO);
  if ((pspec->flags & GST_PARAM_MUTABLE_PLAYING) != 0)
    gst_dloral_wish (GST_DLORAL (object));
}

/* Times of stages are means over all frames. */
static GstStructure *
gst_dloral_create_stats (GstDloral * self)
{
  DloralState *state = &self->state;
  const DloralStats *stats = &state->stats;
  GstStructure *s;
  gchar *tags;
  guint64 n;

  g_mutex_lock (&state->lock);
  n = MAX (stats->frames_computed, 1);
  s = gst_structure_new ("application/x-dloral-stats",
      "frames-in", G_TYPE_UINT64, stats->frames_in,
      "frames-out", G_TYPE_UINT64, stats->frames_out,
      "frames-dropped", G_TYPE_UINT64, stats->frames_dropped,
      "frames-discarded", G_TYPE_UINT64, stats->frames_discarded,
      "frames-bypassed", G_TYPE_UINT64, stats->frames_bypassed,
      "frames-plain", G_TYPE_UINT64, stats->frames_plain,
      "frames-repeated", G_TYPE_UINT64, stats->frames_repeated,
      "latency", G_TYPE_UINT64, stats->latency,
      "encode-time", G_TYPE_UINT64, stats->stage_ns[DLORAL_STAGE_ENCODE] / n,
      "restore-time", G_TYPE_UINT64, stats->stage_ns[DLORAL_STAGE_RESTORE] / n,
      "decode-time", G_TYPE_UINT64, stats->stage_ns[DLORAL_STAGE_DECODE] / n,
      "memory", G_TYPE_UINT64, state->session ?
      (guint64) dloral_stream_get_memory (state->session->stream) : 0,
      "device", G_TYPE_STRING, stats->device,
      "precision", G_TYPE_STRING, stats->precision, NULL);
  tags = state->preparer ? dloral_preparer_dup_tags (state->preparer) : NULL;
  gst_structure_set (s, "tags", G_TYPE_STRING, tags ? tags : "", NULL);
  g_free (tags);
  g_mutex_unlock (&state->lock);
  return s;
}

static void
gst_dloral_get_property (GObject * object, guint id, GValue * value,
    GParamSpec * pspec)
{
  const DloralSettings *settings = &GST_DLORAL (object)->settings;

  if (id == PROP_STATS) {
    g_value_take_boxed (value, gst_dloral_create_stats (GST_DLORAL (object)));
    return;
  }
  GST_OBJECT_LOCK (object);
  switch (id) {
    case PROP_MODEL:
      g_value_set_string (value, settings->model);
      break;
    case PROP_DEVICE:
      g_value_set_enum (value, settings->device);
      break;
    case PROP_PRECISION:
      g_value_set_enum (value, settings->precision);
      break;
    case PROP_THREADS:
      g_value_set_uint (value, settings->threads);
      break;
    case PROP_CUDA_DEVICE_ID:
      g_value_set_int (value, settings->cuda_device_id);
      break;
    case PROP_TUNE:
      g_value_set_boolean (value, settings->tune);
      break;
    case PROP_ASYNC_DEPTH:
      g_value_set_uint (value, settings->async_depth);
      break;
    case PROP_COLOR_FIX:
      g_value_set_enum (value, settings->color_fix);
      break;
    case PROP_VAE:
      g_value_set_enum (value, settings->vae);
      break;
    case PROP_PROMPT:
      g_value_set_string (value, settings->prompt);
      break;
    case PROP_AUTO_PROMPT:
      g_value_set_enum (value, settings->auto_prompt);
      break;
    case PROP_TAGGER:
      g_value_set_string (value, settings->tagger);
      break;
    case PROP_CONSISTENCY_STRENGTH:
      g_value_set_double (value, settings->consistency_strength);
      break;
    case PROP_DETAIL_STRENGTH:
      g_value_set_double (value, settings->detail_strength);
      break;
    case PROP_TEMPORAL_WINDOW:
      g_value_set_uint (value, settings->temporal_window);
      break;
    case PROP_TILE_SIZE:
      g_value_set_uint (value, settings->tile_size);
      break;
    case PROP_TILE_OVERLAP:
      g_value_set_uint (value, settings->tile_overlap);
      break;
    case PROP_SCENE_CUT_THRESHOLD:
      g_value_set_double (value, settings->scene_cut_threshold);
      break;
    case PROP_OVERLOAD:
      g_value_set_enum (value, settings->overload);
      break;
    case PROP_BYPASS:
      g_value_set_boolean (value, settings->bypass);
      break;
    case PROP_SKIP_STATIC:
      g_value_set_boolean (value, settings->skip_static);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
      break;
  }
  GST_OBJECT_UNLOCK (object);
}

void
gst_dloral_install_properties (GObjectClass * klass)
{
  const GParamFlags ready = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS
      | GST_PARAM_MUTABLE_READY;
  const GParamFlags playing = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS
      | GST_PARAM_MUTABLE_PLAYING;

  klass->set_property = gst_dloral_set_property;
  klass->get_property = gst_dloral_get_property;

  /**
   * GstDloral:model:
   *
   * Path of the model file (safetensors). Unset: the small model that comes
   * with the plugin.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_MODEL,
      g_param_spec_string ("model", "Model",
          "Path of the model file (unset: the small model that comes with the "
          "plugin)", NULL, playing));

  /**
   * GstDloral:device:
   *
   * What computes.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_DEVICE,
      g_param_spec_enum ("device", "Device", "What computes",
          GST_TYPE_DLORAL_DEVICE, DEFAULT_DEVICE, ready));

  /**
   * GstDloral:precision:
   *
   * Type the networks compute in.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_PRECISION,
      g_param_spec_enum ("precision", "Precision",
          "Type the networks compute in", GST_TYPE_DLORAL_PRECISION,
          DEFAULT_PRECISION, playing));

  /**
   * GstDloral:threads:
   *
   * Number of threads that compute on the CPU; 0: one for each core.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_THREADS,
      g_param_spec_uint ("threads", "Threads",
          "Number of threads that compute on the CPU (0 = one for each core)",
          0, MAX_THREADS, DEFAULT_THREADS, ready));

  /**
   * GstDloral:cuda-device-id:
   *
   * Which of several NVIDIA GPUs computes; -1: the first.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_CUDA_DEVICE_ID,
      g_param_spec_int ("cuda-device-id", "CUDA device ID",
          "Which NVIDIA GPU computes (-1 = the first)", -1, G_MAXINT,
          DEFAULT_CUDA_DEVICE_ID, ready));

  /**
   * GstDloral:tune:
   *
   * Time several implementations of each operation on the GPU and keep the
   * fastest. The first start with a frame size takes minutes then; what was
   * found is kept on disk.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_TUNE,
      g_param_spec_boolean ("tune", "Tune",
          "Time several implementations on the GPU and keep the fastest",
          DEFAULT_TUNE, ready));

  /**
   * GstDloral:async-depth:
   *
   * Number of frames that may be computed while further ones come in. 0: each
   * frame is computed in the thread that brings it.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_ASYNC_DEPTH,
      g_param_spec_uint ("async-depth", "Async depth",
          "Number of frames in flight (0 = compute in the calling thread)",
          0, MAX_ASYNC_DEPTH, DEFAULT_ASYNC_DEPTH, ready));

  /**
   * GstDloral:color-fix:
   *
   * Correction of the result's colours against those of the input.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_COLOR_FIX,
      g_param_spec_enum ("color-fix", "Colour correction",
          "Correction of the result's colours against those of the input",
          GST_TYPE_DLORAL_COLOR_FIX, DEFAULT_COLOR_FIX, playing));

  /**
   * GstDloral:vae:
   *
   * What turns pictures into what the model works on, and back. The tiny one
   * is many times faster and shows less detail; not every model file has it,
   * the one that comes with the plugin does not.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_VAE,
      g_param_spec_enum ("vae", "Coder",
          "What turns pictures into what the model works on, and back",
          GST_TYPE_DLORAL_VAE, DEFAULT_VAE, playing));

  /**
   * GstDloral:prompt:
   *
   * What is to be seen, in words. Unset: the prompt stored in the model file. Acts
   * on model files with a text encoder; others say so in a warning. A change while
   * playing is prepared beside the frames and holds from some next frame on.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_PROMPT,
      g_param_spec_string ("prompt", "Prompt",
          "What is to be seen, in words (unset: what the model file says)",
          NULL, playing));

  /**
   * GstDloral:auto-prompt:
   *
   * Frames in which a tagger looks for what is to be seen. What it finds goes before
   * #GstDloral:prompt, as in the published pipeline: "TAGS, PROMPT,". It works
   * beside the frames, for seconds on a CPU; they go on as before and, from some
   * next frame on, with what was found, which an element message "dloral-tags" then
   * tells (strings "tags" and "prompt"). Acts on model files with a text encoder;
   * others say so in a warning. With "scene" the tagger stays in memory.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_AUTO_PROMPT,
      g_param_spec_enum ("auto-prompt", "Automatic prompt",
          "Frames in which a tagger looks for what is to be seen",
          GST_TYPE_DLORAL_AUTO_PROMPT, DEFAULT_AUTO_PROMPT, playing));

  /**
   * GstDloral:tagger:
   *
   * Path of a file with a tagger (safetensors), for #GstDloral:auto-prompt. Unset:
   * the model file's own.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_TAGGER,
      g_param_spec_string ("tagger", "Tagger",
          "Path of the file with the tagger for auto-prompt (unset: the model "
          "file's own)", NULL, playing));

  /**
   * GstDloral:consistency-strength:
   *
   * Share of the C-LoRA adapter, which learned to be steady in time: 0 leaves it
   * out, 1 is as it was trained. Acts on models that keep their adapters apart. A
   * change while playing is prepared beside the frames and holds from some next
   * frame on.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_CONSISTENCY_STRENGTH,
      g_param_spec_double ("consistency-strength", "Consistency strength",
          "Strength of the adapter for steadiness in time (0 = none, 1 = as "
          "trained)",
          0, MAX_STRENGTH, DEFAULT_CONSISTENCY_STRENGTH, playing));

  /**
   * GstDloral:detail-strength:
   *
   * Share of the D-LoRA adapter, which learned detail: 0 leaves it out, 1 is as it
   * was trained. Otherwise like #GstDloral:consistency-strength.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_DETAIL_STRENGTH,
      g_param_spec_double ("detail-strength", "Detail strength",
          "Strength of the adapter for detail (0 = none, 1 = as trained)",
          0, MAX_STRENGTH, DEFAULT_DETAIL_STRENGTH, playing));

  /**
   * GstDloral:temporal-window:
   *
   * Number of earlier frames that the retrieval looks back at; 0: every frame is
   * restored by itself.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_TEMPORAL_WINDOW,
      g_param_spec_uint ("temporal-window", "Temporal window",
          "Number of earlier frames the retrieval looks back at (0 = none)",
          0, DLORAL_MAX_WINDOW, DEFAULT_TEMPORAL_WINDOW, playing));

  /**
   * GstDloral:tile-size:
   *
   * Side of the tiles in which large frames are restored, in latents (for most
   * models one latent is 8 x 8 pixels of the result). 0: 96 for models with
   * attention, else none; less when memory is short.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_TILE_SIZE,
      g_param_spec_uint ("tile-size", "Tile size",
          "Side of the tiles large frames are restored in, in latents (0 = "
          "automatic)",
          0, MAX_TILE_SIZE, DEFAULT_TILE_SIZE, playing));

  /**
   * GstDloral:tile-overlap:
   *
   * Overlap of neighbouring tiles, in latents; 0: a third of their side.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_TILE_OVERLAP,
      g_param_spec_uint ("tile-overlap", "Tile overlap",
          "Overlap of neighbouring tiles, in latents (0 = automatic)",
          0, MAX_TILE_SIZE, DEFAULT_TILE_OVERLAP, playing));

  /**
   * GstDloral:scene-cut-threshold:
   *
   * Difference of two frames from which on the second one begins a new scene and
   * is restored without regard to the first: the mean absolute difference in
   * percent of white, or its change, whichever is less. 0: never.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_SCENE_CUT_THRESHOLD,
      g_param_spec_double ("scene-cut-threshold", "Scene cut threshold",
          "Difference of frames that is a scene cut, in percent of white (0 = "
          "never)",
          0, 100, DEFAULT_SCENE_CUT_THRESHOLD, playing));

  /**
   * GstDloral:overload:
   *
   * What becomes of frames that come faster than the model restores them, when as
   * many as #GstDloral:async-depth allows are on their way and the oldest is not
   * finished: upstream waits, they are dropped, or they leave enlarged but not
   * restored. With the latter two the latency stays what is announced. Frames that
   * have to wait for downstream are none of these. Acts with an async-depth of
   * 1 and more.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_OVERLOAD,
      g_param_spec_enum ("overload", "Overload",
          "What becomes of frames that come faster than they can be restored",
          GST_TYPE_DLORAL_OVERLOAD, DEFAULT_OVERLOAD, playing));

  /**
   * GstDloral:bypass:
   *
   * Enlarge frames without restoring them, to compare or to save power. Size and
   * format stay what they are; the model stays at hand.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_BYPASS,
      g_param_spec_boolean ("bypass", "Bypass",
          "Enlarge frames without restoring them", DEFAULT_BYPASS, playing));

  /**
   * GstDloral:skip-static:
   *
   * Let a frame that is exactly the one before have its result, instead of
   * computing it anew: for shared screens and pictures that stand still. It costs
   * a comparison of the two.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_SKIP_STATIC,
      g_param_spec_boolean ("skip-static", "Skip static frames",
          "Use the last result again for a frame that is exactly the one before",
          DEFAULT_SKIP_STATIC, playing));

  /**
   * GstDloral:stats:
   *
   * What was done since the element was started, all but the strings of type
   * guint64. Frames: frames-in, of which each was counted or will be as one of
   * frames-out, frames-dropped (late, or too many for the model, see
   * #GstDloral:overload) and frames-discarded (by a flush, a stop or an error).
   * Of frames-out, those that are not restored: frames-bypassed, which were to be
   * merely enlarged, frames-plain, of which the model's result was not a number,
   * and frames-repeated, see #GstDloral:skip-static. Nanoseconds: latency of the
   * frame measured last, and encode-time, restore-time and decode-time, the mean
   * times of the stages. Bytes: memory that frames take beside the model. Strings,
   * empty until the model is loaded: device and precision; and tags, empty until
   * frames are restored with some, see #GstDloral:auto-prompt.
   *
   * Since: 0.1
   */
  g_object_class_install_property (klass, PROP_STATS,
      g_param_spec_boxed ("stats", "Statistics",
          "Frames in and out, latency and mean times of the stages in "
          "nanoseconds, memory in bytes, device, precision and tags",
          GST_TYPE_STRUCTURE, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));

  gst_type_mark_as_plugin_api (GST_TYPE_DLORAL_DEVICE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DLORAL_PRECISION, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DLORAL_COLOR_FIX, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DLORAL_VAE, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DLORAL_AUTO_PROMPT, 0);
  gst_type_mark_as_plugin_api (GST_TYPE_DLORAL_OVERLOAD, 0);
}
