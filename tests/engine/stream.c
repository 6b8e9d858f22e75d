/* Streams and models: order, state in time, flushing, sharing. Arguments: a
 * model, and which of its coders to take, "full" or "tiny".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/dloral.h"
#include "tests/device.h"

#include <glib/gstdio.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define W 24
#define H 20
#define N_FRAMES 6

static DloralModel *model;
static DloralVae vae;

static DloralStream *
new_stream_of (DloralStreamParams params)
{
  GError *error = NULL;
  DloralStream *s;

  params.width = W;
  params.height = H;
  params.vae = vae;
  params.temporal_window = 1;
  params.conditions = (DloralConditions) { NULL, 1, 1 };
  s = dloral_stream_new (model, &params, &error);
  g_assert_no_error (error);
  g_assert_nonnull (s);
  return s;
}

/* The frames of these tests jump; only some are to be taken for cuts. */
static DloralStream *
new_stream_with (int async_depth, double scene_cut_threshold)
{
  return new_stream_of ((DloralStreamParams) { .async_depth = async_depth,
      .scene_cut_threshold = scene_cut_threshold });
}

static DloralStream *
new_stream (int async_depth)
{
  return new_stream_with (async_depth, 0);
}

/* Of pictures of 16 bits. */
static DloralStream *
new_deep_stream (DloralColorFix color_fix)
{
  return new_stream_of ((DloralStreamParams) { .deep = TRUE,
      .color_fix = color_fix });
}

/* Frame t: a moving pattern, different in every pixel. */
static void
fill (DloralFrame *f, int t)
{
  for (int y = 0; y < H; y++)
    for (int x = 0; x < 3 * W; x++)
      f->lq[y * f->lq_stride + x] =
          (guint8) (127 + 60 * ((x / 3 + t) / 4 % 2) + (y * 7 + x * 3) % 50);
}

static void
submit (DloralStream *s, int t, gboolean discont)
{
  DloralFrame *f = dloral_stream_acquire (s);

  g_assert_nonnull (f);
  fill (f, t);
  f->discont = discont;
  f->user_data = GINT_TO_POINTER (t);
  dloral_stream_submit (s, f);
}

/* The oldest frame's picture [4·H][4·W][3]; it must be frame t. */
static guint8 *
collect (DloralStream *s, int t)
{
  DloralFrame *f = dloral_stream_collect (s, TRUE);
  guint8 *picture = g_malloc (16 * H * W * 3);

  g_assert_nonnull (f);
  g_assert_no_error (f->error);
  g_assert_cmpint (GPOINTER_TO_INT (f->user_data), ==, t);
  for (int y = 0; y < 4 * H; y++)
    memcpy (picture + y * 12 * W, f->hr + y * f->hr_stride, 12 * W);
  dloral_stream_release (s, f);
  return picture;
}

/* All frames through a stream that keeps as many in flight as it may. */
static void
restore_all (int async_depth, guint8 **pictures)
{
  DloralStream *s = new_stream (async_depth);
  int collected = 0;

  for (int t = 0; t < N_FRAMES; t++) {
    if (t - collected > MAX (async_depth, 1) - 1) {
      pictures[collected] = collect (s, collected);
      collected++;
    }
    submit (s, t, FALSE);
  }
  for (; collected < N_FRAMES; collected++)
    pictures[collected] = collect (s, collected);
  g_assert_null (dloral_stream_collect (s, FALSE));
  dloral_stream_free (s);
}

static void
assert_equal_pictures (const guint8 *a, const guint8 *b)
{
  g_assert_cmpmem (a, 16 * H * W * 3, b, 16 * H * W * 3);
}

static void
free_pictures (guint8 **pictures)
{
  for (int t = 0; t < N_FRAMES; t++)
    g_free (pictures[t]);
}

static void
test_depths_agree (void)
{
  guint8 *inline_pictures[N_FRAMES], *pictures[N_FRAMES];

  restore_all (0, inline_pictures);
  for (int depth = 1; depth <= 4; depth++) {
    restore_all (depth, pictures);
    for (int t = 0; t < N_FRAMES; t++)
      assert_equal_pictures (pictures[t], inline_pictures[t]);
    free_pictures (pictures);
  }
  free_pictures (inline_pictures);
}

/* A frame depends on the one before it, and on a discontinuity it does not. */
static void
test_past (void)
{
  DloralStream *s = new_stream (0);
  g_autofree guint8 *alone = NULL, *after = NULL, *cut = NULL;

  submit (s, 3, FALSE);
  alone = collect (s, 3);
  submit (s, 0, TRUE);
  g_free (collect (s, 0));
  submit (s, 3, FALSE);
  after = collect (s, 3);
  g_assert_true (memcmp (alone, after, 16 * H * W * 3) != 0);
  submit (s, 3, TRUE);
  cut = collect (s, 3);
  assert_equal_pictures (cut, alone);
  dloral_stream_free (s);
}

/* Another scene leaves no trace; neither does it where nothing is a cut. */
static void
test_scene_cut (void)
{
  DloralStream *with = new_stream_with (0, 10), *without = new_stream (0);
  g_autofree guint8 *alone = NULL, *cut = NULL, *uncut = NULL;
  DloralStream *streams[] = { with, without };

  submit (with, 3, TRUE);
  alone = collect (with, 3);
  for (int i = 0; i < 2; i++)   /* a still scene, then one that differs */
    for (int t = 0; t < 3; t++) {
      submit (streams[i], 0, t == 0);
      g_free (collect (streams[i], 0));
    }
  submit (with, 3, FALSE);
  cut = collect (with, 3);
  assert_equal_pictures (cut, alone);
  submit (without, 3, FALSE);
  uncut = collect (without, 3);
  g_assert_true (memcmp (uncut, alone, 16 * H * W * 3) != 0);
  dloral_stream_free (with);
  dloral_stream_free (without);
}

/* --- formats ---------------------------------------------------------------- */

/* I420 or I420_10LE, its rows a little longer than its pixels. */
static DloralVideoFormat
make_format_of (int width, int height, int depth, gboolean deep)
{
  int size = depth > 8 ? 2 : 1, stride = (width + 8) * size, half = stride / 2;
  int rows = (height + 1) / 2;
  gsize luma = (gsize) stride * height, chroma = (gsize) half * rows;
  DloralVideoFormat format = {
    .kind = DLORAL_VIDEO_YUV, .width = width, .height = height, .deep = deep,
    .size = luma + 2 * chroma, .opaque = -1, .limited = TRUE, .depth = depth,
    .w_sub = 1, .h_sub = 1, .h_cosited = TRUE, .kr = 0.299, .kb = 0.114,
    .components = { { 0, stride, size }, { luma, half, size },
        { luma + chroma, half, size } },
  };

  dloral_video_format_init_matrix (&format);
  return format;
}

static DloralVideoFormat
make_format (int width, int height)
{
  return make_format_of (width, height, 8, FALSE);
}

/* A picture in the format, in a new array. */
static guint8 *
pack_frame (const DloralVideoFormat *format, const guint8 *rgb, gsize stride)
{
  g_autofree gpointer scratch =
      g_malloc (dloral_video_get_scratch_size (format));
  guint8 *frame = g_malloc0 (format->size);

  dloral_video_pack (format, rgb, stride, frame, 0, format->height, scratch);
  return frame;
}

/* Fills f with frame t as it comes out of the format. */
static void
fill_unpacked (DloralFrame *f, const DloralVideoFormat *format, int t)
{
  g_autofree gpointer scratch =
      g_malloc (dloral_video_get_scratch_size (format));
  g_autofree guint8 *frame = NULL;

  fill (f, t);
  frame = pack_frame (format, f->lq, f->lq_stride);
  dloral_video_unpack (format, frame, f->lq, f->lq_stride, 0, H, scratch);
}

/* The pictures of all frames as RGB, through a stream in no other format. */
static void
restore_unpacked (DloralStream *s, const DloralVideoFormat *format,
    guint8 **pictures)
{
  for (int t = 0; t < N_FRAMES; t++) {
    DloralFrame *f = dloral_stream_acquire (s);

    fill_unpacked (f, format, t);
    f->discont = t == 0;
    f->user_data = GINT_TO_POINTER (t);
    dloral_stream_submit (s, f);
    pictures[t] = collect (s, t);
  }
}

/* Submits frame t in the format, and wants that of the picture back. */
static void
check_packed (DloralStream *s, const DloralVideoFormat *in,
    const DloralVideoFormat *out, const guint8 *picture, int t)
{
  g_autofree guint8 *want = pack_frame (out, picture, 12 * W);
  g_autofree guint8 *rgb = g_malloc (3 * W * H), *frame = NULL;
  DloralFrame source = { .lq = rgb, .lq_stride = 3 * W }, *f;
  g_autofree guint8 *got = g_malloc0 (out->size);

  fill (&source, t);
  frame = pack_frame (in, rgb, 3 * W);
  f = dloral_stream_acquire (s);
  g_assert_cmpint (f->lq_stride, ==, in->components[0].stride);
  memcpy (f->lq, frame, in->size);
  f->discont = t == 0;
  dloral_stream_submit (s, f);
  f = dloral_stream_collect (s, TRUE);
  g_assert_no_error (f->error);
  for (int i = 0; i < 3; i++)
    for (int y = 0; y < (i ? 2 : 4) * H; y++)
      memcpy (got + out->components[i].offset + y * out->components[i].stride,
          f->hr + out->components[i].offset + y * out->components[i].stride,
          (i ? 2 : 4) * W);
  dloral_stream_release (s, f);
  g_assert_cmpmem (got, out->size, want, out->size);
}

/* Frames in another format come to the same as when converted by hand; and so it
 * is after going from one to the other. */
static void
test_formats (void)
{
  DloralVideoFormat in = make_format (W, H), out = make_format (4 * W, 4 * H);
  guint8 *pictures[N_FRAMES], *again[N_FRAMES];
  DloralStream *s = new_stream (2);
  gsize memory = dloral_stream_get_memory (s);
  GError *error = NULL;

  restore_unpacked (s, &in, pictures);
  dloral_stream_set_formats (s, &in, &out, &error);
  g_assert_no_error (error);
  for (int t = 0; t < N_FRAMES; t++)
    check_packed (s, &in, &out, pictures[t], t);
  g_assert_false (dloral_stream_set_formats (s, &out, &in, &error));
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT);
  g_clear_error (&error);
  check_packed (s, &in, &out, pictures[0], 0);
  g_assert_true (dloral_stream_set_formats (s, NULL, NULL, NULL));
  g_assert_cmpint (dloral_stream_get_memory (s), ==, memory);
  restore_unpacked (s, &in, again);
  for (int t = 0; t < N_FRAMES; t++)
    assert_equal_pictures (again[t], pictures[t]);
  free_pictures (pictures);
  free_pictures (again);
  dloral_stream_free (s);
}

/* --- pictures of 16 bits ---------------------------------------------------- */

/* The oldest frame's picture of 16 bits [4·H][4·W][3]. */
static guint16 *
collect_deep (DloralStream *s)
{
  DloralFrame *f = dloral_stream_collect (s, TRUE);
  guint16 *picture = g_new (guint16, 16 * H * W * 3);

  g_assert_nonnull (f);
  g_assert_no_error (f->error);
  g_assert_false (f->plain);
  for (int y = 0; y < 4 * H; y++)
    memcpy (picture + y * 12 * W, f->hr + y * f->hr_stride, 24 * W);
  dloral_stream_release (s, f);
  return picture;
}

/* Frame t, whose levels are those of fill (). */
static void
submit_deep (DloralStream *s, int t)
{
  DloralFrame *f = dloral_stream_acquire (s);
  g_autofree guint8 *rgb = g_malloc (3 * W * H);
  DloralFrame source = { .lq = rgb, .lq_stride = 3 * W };

  g_assert_cmpint (f->lq_stride, ==, 6 * W);
  fill (&source, t);
  for (int i = 0; i < 3 * W * H; i++)
    ((guint16 *) f->lq)[i] = 257 * rgb[i];
  f->discont = t == 0;
  dloral_stream_submit (s, f);
}

/* With the same to restore, the result is what 8 bits have, but for what those
 * are rounded by on the way. */
static void
test_deep (void)
{
  static const DloralColorFix fixes[] = {
    DLORAL_COLOR_FIX_NONE, DLORAL_COLOR_FIX_ADAIN, DLORAL_COLOR_FIX_WAVELET
  };

  for (guint i = 0; i < G_N_ELEMENTS (fixes); i++) {
    DloralStream *s = new_stream_of ((DloralStreamParams) {
        .color_fix = fixes[i] });
    DloralStream *deep = new_deep_stream (fixes[i]);
    double worst = 0, sum = 0;

    for (int t = 0; t < N_FRAMES; t++) {
      g_autofree guint8 *bytes = NULL;
      g_autofree guint16 *picture = NULL;

      submit (s, t, t == 0);
      bytes = collect (s, t);
      submit_deep (deep, t);
      picture = collect_deep (deep);
      for (int k = 0; k < 16 * H * W * 3; k++) {
        double error = fabs (picture[k] / 257.0 - bytes[k]);

        worst = MAX (worst, error);
        sum += error / (16 * H * W * 3 * N_FRAMES);
      }
    }
    g_assert_cmpfloat (worst, <, 4);
    g_assert_cmpfloat (sum, <, 0.6);
    dloral_stream_free (s);
    dloral_stream_free (deep);
  }
}

/* Bits of a frame on its way in and out. */
static const struct { int in, out; } depths[] = {
  { 10, 10 }, { 10, 8 }, { 8, 10 }
};

/* Submits frame t in the format, which makes of it what `unpacked` becomes. */
static void
submit_packed (DloralStream *s, const DloralVideoFormat *in, int t,
    guint16 *unpacked)
{
  g_autofree gpointer scratch = g_malloc (dloral_video_get_scratch_size (in));
  g_autofree guint16 *picture = g_new (guint16, 3 * W * H);
  DloralFrame *f = dloral_stream_acquire (s);

  for (int i = 0; i < 3 * W * H; i++)
    picture[i] = 20000 + (i * 7919 + t * 4001) % 25000;
  memset (f->lq, 0, in->size);
  dloral_video_pack (in, picture, 6 * W, f->lq, 0, H, scratch);
  dloral_video_unpack (in, f->lq, unpacked, 6 * W, 0, H, scratch);
  f->discont = t == 0;
  dloral_stream_submit (s, f);
}

/* The frame that is ready has the picture, in the format. */
static void
check_packed_deep (DloralStream *s, const DloralVideoFormat *out,
    const guint16 *picture)
{
  g_autofree gpointer scratch = g_malloc (dloral_video_get_scratch_size (out));
  g_autofree guint8 *want = g_malloc0 (out->size);
  DloralFrame *f = dloral_stream_collect (s, TRUE);

  g_assert_no_error (f->error);
  memcpy (want, f->hr, out->size);      /* what is in no sample */
  dloral_video_pack (out, picture, 24 * W, want, 0, 4 * H, scratch);
  g_assert_cmpmem (f->hr, out->size, want, out->size);
  dloral_stream_release (s, f);
}

/* Frames of other depths come to what they come to when converted by hand. */
static void
test_deep_formats (void)
{
  DloralStream *plain = new_deep_stream (DLORAL_COLOR_FIX_AUTO);
  DloralStream *s = new_deep_stream (DLORAL_COLOR_FIX_AUTO);

  for (guint i = 0; i < G_N_ELEMENTS (depths); i++) {
    DloralVideoFormat in = make_format_of (W, H, depths[i].in, TRUE);
    DloralVideoFormat out = make_format_of (4 * W, 4 * H, depths[i].out, TRUE);

    g_assert_true (dloral_stream_set_formats (s, &in, &out, NULL));
    for (int t = 0; t < 3; t++) {
      g_autofree guint16 *unpacked = g_new (guint16, 3 * W * H);
      g_autofree guint16 *picture = NULL;
      DloralFrame *f = dloral_stream_acquire (plain);

      submit_packed (s, &in, t, unpacked);
      memcpy (f->lq, unpacked, 6 * W * H);
      f->discont = t == 0;
      dloral_stream_submit (plain, f);
      picture = collect_deep (plain);
      check_packed_deep (s, &out, picture);
    }
  }
  dloral_stream_free (plain);
  dloral_stream_free (s);
}

static void
test_depths_refused (void)
{
  DloralVideoFormat formats[] = {
    make_format_of (W, H, 10, TRUE), make_format_of (W, H, 10, FALSE),
    make_format_of (W, H, 8, TRUE)
  };
  DloralVideoFormat shallow = make_format (W, H);
  DloralStream *s = new_stream (0), *deep;
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++) {
    g_assert_false (dloral_stream_set_formats (s, &formats[i], NULL, &error));
    g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT);
    g_clear_error (&error);
  }
  dloral_stream_free (s);
  deep = new_deep_stream (DLORAL_COLOR_FIX_AUTO);
  g_assert_false (dloral_stream_set_formats (deep, &shallow, NULL, &error));
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT);
  g_clear_error (&error);
  dloral_stream_free (deep);
}

/* Level of the ramp in the middle of pixel x, of 10 bits, where pixels are
 * 1 / scale wide. */
static double
get_ramp (int x, int scale)
{
  return 500 + 1.3 * ((x + 0.5) / scale - 0.5);
}

/* A grey ramp in frames of so many bits, restored: root of the mean square of its
 * error in levels of 10 bits; and how many levels are no multiple of 4. */
static double
restore_ramp (int depth, int *n_fine)
{
  int w = 4 * W, size = depth > 8 ? 2 : 1, unit = 1 << (10 - depth);
  gboolean deep = depth > 8;
  DloralVideoFormat in = make_format_of (W, H, depth, deep);
  DloralVideoFormat out = make_format_of (w, 4 * H, depth, deep);
  DloralStream *s = deep ? new_deep_stream (DLORAL_COLOR_FIX_AUTO) :
      new_stream (0);
  DloralFrame *f;
  double square = 0;

  g_assert_true (dloral_stream_set_formats (s, &in, &out, NULL));
  f = dloral_stream_acquire (s);
  memset (f->lq, 0, in.size);
  for (gsize i = size - 1; i < in.size; i += size)
    f->lq[i] = deep ? 512 >> 8 : 128;
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++) {
      int level = rint (get_ramp (x, 1) / unit);
      guint8 *p = f->lq + y * in.components[0].stride + x * size;

      p[0] = level;
      if (deep)
        p[1] = level >> 8;
    }
  dloral_stream_submit (s, f);
  f = dloral_stream_collect (s, TRUE);
  g_assert_no_error (f->error);
  *n_fine = 0;
  for (int y = 0; y < 4 * H; y++)
    for (int x = 0; x < w; x++) {
      const guint8 *p = f->hr + y * out.components[0].stride + x * size;
      int level = unit * (p[0] | (deep ? p[1] << 8 : 0));

      square += pow (level - get_ramp (x, 4), 2);
      *n_fine += level % 4 != 0;
    }
  dloral_stream_release (s, f);
  dloral_stream_free (s);
  return sqrt (square / (16 * W * H));
}

/* What a frame of 10 bits has that one of 8 has not reaches the result: beside the
 * model's own error there is none of rounding to every fourth level, whose square
 * is 4 * 4 / 12 in the mean. */
static void
test_ramp (void)
{
  int n_fine, n_none;
  double rounding = 4 * 4 / 12.;
  double error = restore_ramp (10, &n_fine);
  double coarse_error = restore_ramp (8, &n_none);

  g_assert_cmpint (n_none, ==, 0);
  g_assert_cmpint (n_fine, >, 16 * W * H / 2);
  g_assert_cmpfloat (coarse_error, <, 2);
  g_assert_cmpfloat (pow (coarse_error, 2) - pow (error, 2), >,
      0.75 * rounding);
}

/* --- flushing ---------------------------------------------------------------- */

static gpointer
acquire_thread (gpointer s)
{
  return dloral_stream_acquire (s);
}

static void
test_flush (void)
{
  DloralStream *s = new_stream (2);
  g_autofree guint8 *fresh = NULL, *again = NULL;
  GThread *waiting;

  submit (s, 1, FALSE);
  fresh = collect (s, 1);
  for (int t = 0; t < 3; t++)
    submit (s, t, FALSE);
  waiting = g_thread_new ("acquire", acquire_thread, s);
  g_usleep (20000);
  dloral_stream_set_flushing (s, TRUE);
  g_assert_null (g_thread_join (waiting));
  g_assert_null (dloral_stream_collect (s, TRUE));
  dloral_stream_set_flushing (s, FALSE);
  submit (s, 1, FALSE);
  again = collect (s, 1);
  assert_equal_pictures (again, fresh);
  dloral_stream_free (s);
}

static void
test_free_in_flight (void)
{
  for (int i = 0; i < 5; i++) {
    DloralStream *s = new_stream (3);

    for (int t = 0; t <= i % 4; t++)
      submit (s, t, FALSE);
    dloral_stream_free (s);
  }
}

static void
test_cancel (void)
{
  DloralStream *s = new_stream (1);

  for (int i = 0; i < 10; i++)
    dloral_stream_cancel (s, dloral_stream_acquire (s));
  dloral_stream_free (s);
}

/* A copy of the default model in which every value of a tensor is NaN. */
static DloralModel *
open_broken_model (const char *path, const char *tensor)
{
  g_autofree char *content = NULL, *key = g_strdup_printf ("\"%s\"", tensor);
  g_autofree char *folder = g_dir_make_tmp ("dloral-XXXXXX", NULL);
  g_autofree char *broken = g_build_filename (folder, "model", NULL);
  DloralModelParams params = { .path = broken,
    .device = test_get_device () };
  g_autoptr (GError) error = NULL;
  DloralModel *result;
  guint64 header;
  int first, end;
  gsize size;

  g_assert_true (g_file_get_contents (path, &content, &size, NULL));
  memcpy (&header, content, 8);
  g_assert_cmpint (sscanf (strstr (strstr (content + 8, key),
              "data_offsets") + strlen ("data_offsets\":["), "%d,%d", &first,
          &end), ==, 2);
  for (int i = first; i < end; i += 2)
    memcpy (content + 8 + GUINT64_FROM_LE (header) + i, "\x00\x7e", 2);
  g_assert_true (g_file_set_contents (broken, content, size, NULL));
  result = dloral_model_open (&params, &error);
  g_assert_no_error (error);
  g_unlink (broken);
  g_rmdir (folder);
  return result;
}

static double
get_mean (const guint8 *picture, gsize stride, int width, int height)
{
  double sum = 0;

  for (int y = 0; y < height; y++)
    for (int x = 0; x < 3 * width; x++)
      sum += picture[y * stride + x];
  return sum / (3 * width * height);
}

/* What is not a number does not leave; the frame does, merely enlarged. */
static void
test_not_finite (gconstpointer path)
{
  static const char *const tensors[] = {
    "unet.conv_out.bias", "cfr.cross_attn_module.value_conv.bias",
    "vae.encoder.conv_in.weight", "vae.decoder.conv_out.bias"
  };

  for (int i = 0; i < (vae == DLORAL_VAE_TINY ? 2 : 4); i++) {
    DloralModel *broken = open_broken_model (path, tensors[i]);
    DloralModel *whole = model;
    DloralStream *s;

    model = broken;
    s = new_stream (1);
    model = whole;
    for (int t = 0; t < 3; t++) {
      DloralFrame *f;

      submit (s, t, FALSE);
      f = dloral_stream_collect (s, TRUE);
      g_assert_no_error (f->error);
      g_assert_true (f->plain);
      g_assert_cmpfloat (fabs (get_mean (f->hr, f->hr_stride, 4 * W, 4 * H)
              - get_mean (f->lq, f->lq_stride, W, H)), <, 1);
      dloral_stream_release (s, f);
    }
    dloral_stream_free (s);
    dloral_model_unref (broken);
  }
}

static void
test_model_is_shared (gconstpointer path)
{
  DloralModelParams params = {.path = path,
    .device = test_get_device ()
  };
  GError *error = NULL;
  DloralModel *same = dloral_model_open (&params, &error), *other;

  g_assert_true (same == model);
  params.precision = DLORAL_PRECISION_F32;
  other = dloral_model_open (&params, &error);
  g_assert_no_error (error);
  g_assert_true (other != model);
  g_assert_cmpstr (dloral_model_get_precision_name (other), ==, "f32");
  dloral_model_unref (other);
  dloral_model_unref (same);
}

static void
test_sizes_refused (void)
{
  const int sizes[][2] = { {15, 16}, {16, 15}, {8193, 16}, {0, 0}, {-4, 64} };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    GError *error = NULL;

    g_assert_null (dloral_stream_new (model, &(DloralStreamParams) {
            .width = sizes[i][0], .height = sizes[i][1],
            DLORAL_STREAM_DEFAULTS }, &error));
    g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT);
    g_error_free (error);
  }
}

int
main (int argc, char **argv)
{
  GError *error = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 3);
  vae = g_str_equal (argv[2], "tiny") ? DLORAL_VAE_TINY : DLORAL_VAE_FULL;
  model = dloral_model_open (&(DloralModelParams) { .path = argv[1],
      .device = test_get_device () }, &error);
  g_assert_no_error (error);
  g_test_add_func ("/stream/depths-agree", test_depths_agree);
  g_test_add_func ("/stream/past", test_past);
  g_test_add_func ("/stream/scene-cut", test_scene_cut);
  g_test_add_func ("/stream/formats", test_formats);
  /* A model that was not trained makes much of little differences. */
  if (vae == DLORAL_VAE_FULL) {
    g_test_add_func ("/stream/deep", test_deep);
    g_test_add_func ("/stream/ramp", test_ramp);
  }
  g_test_add_func ("/stream/deep-formats", test_deep_formats);
  g_test_add_func ("/stream/depths-refused", test_depths_refused);
  g_test_add_func ("/stream/flush", test_flush);
  g_test_add_func ("/stream/free-in-flight", test_free_in_flight);
  g_test_add_func ("/stream/cancel", test_cancel);
  g_test_add_func ("/stream/sizes-refused", test_sizes_refused);
  g_test_add_data_func ("/stream/not-finite", argv[1], test_not_finite);
  g_test_add_data_func ("/model/shared", argv[1], test_model_is_shared);
  result = g_test_run ();
  dloral_model_unref (model);
  return result;
}
