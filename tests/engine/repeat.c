/* Whether a frame repeats the one before, and whether the computing is behind.
 *
 *   repeat MODEL
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/dloral.h"
#include "tests/device.h"

#include <string.h>

#define W 22
#define H 17
#define PADDING 5

static DloralModel *model;

static DloralStream *
new_stream (int width, int height, gboolean deep, int depth)
{
  GError *error = NULL;
  DloralStream *s = dloral_stream_new (model, &(DloralStreamParams) {
      .width = width, .height = height, .deep = deep, .async_depth = depth,
      DLORAL_STREAM_DEFAULTS }, &error);

  g_assert_no_error (error);
  return s;
}

/* --- Formats, with bytes that belong to no sample ----------------------------- */

typedef struct
{
  const char *name;
  DloralVideoKind kind;
  int depth, w_sub, h_sub;
  int planes[3];                /* of each component */
  int offsets[3];               /* in a pixel, bytes */
  int steps[3];
} Layout;

static const Layout layouts[] = {
  {"rgb", DLORAL_VIDEO_RGB, 8, 0, 0, {0, 0, 0}, {0, 1, 2}, {3, 3, 3}},
  {"xrgb", DLORAL_VIDEO_RGB, 8, 0, 0, {0, 0, 0}, {1, 2, 3}, {4, 4, 4}},
  {"grey", DLORAL_VIDEO_GREY, 8, 0, 0, {0}, {0}, {1}},
  {"i420", DLORAL_VIDEO_YUV, 8, 1, 1, {0, 1, 2}, {0, 0, 0}, {1, 1, 1}},
  {"nv12", DLORAL_VIDEO_YUV, 8, 1, 1, {0, 1, 1}, {0, 0, 1}, {1, 2, 2}},
  {"yuy2", DLORAL_VIDEO_YUV, 8, 1, 0, {0, 0, 0}, {0, 1, 3}, {2, 4, 4}},
  {"p010", DLORAL_VIDEO_YUV, 10, 1, 1, {0, 1, 1}, {0, 0, 2}, {2, 4, 4}},
};

static void
make_format (const Layout *l, DloralVideoFormat *format)
{
  gsize offset = 0;

  *format = (DloralVideoFormat) {
    .kind = l->kind, .width = W, .height = H, .opaque = -1,
    .deep = l->depth > 8, .depth = l->depth, .shift = 16 - l->depth, .w_sub = l->w_sub,
    .h_sub = l->h_sub, .kr = 0.299, .kb = 0.114 };
  for (int plane = 0; plane < 3; plane++) {
    int stride = 0, rows = 0;

    for (int i = 0; i < (l->kind == DLORAL_VIDEO_GREY ? 1 : 3); i++)
      if (l->planes[i] == plane) {
        int sub = i > 0 && l->kind == DLORAL_VIDEO_YUV;

        stride = MAX (stride, dloral_video_get_chroma (W, sub && l->w_sub)
            * l->steps[i] + 4 + PADDING);
        rows = dloral_video_get_chroma (H, sub && l->h_sub);
        format->components[i].offset = offset + l->offsets[i];
        format->components[i].step = l->steps[i];
      }
    for (int i = 0; i < 3; i++)
      if (l->planes[i] == plane)
        format->components[i].stride = stride;
    offset += (gsize) stride * rows;
  }
  format->size = offset;
  dloral_video_format_init_matrix (format);
}

/* Which bytes are samples: 1, others 0. */
static guint8 *
make_mask (const DloralVideoFormat *f)
{
  guint8 *mask = g_malloc0 (f->size);

  for (int i = 0; i < (f->kind == DLORAL_VIDEO_GREY ? 1 : 3); i++) {
    const DloralVideoComponent *c = &f->components[i];
    int sub = i > 0 && f->kind == DLORAL_VIDEO_YUV;

    for (int y = 0; y < dloral_video_get_chroma (H, sub && f->h_sub); y++)
      for (int x = 0; x < dloral_video_get_chroma (W, sub && f->w_sub); x++)
        memset (mask + c->offset + y * c->stride + x * c->step, 1,
            f->depth > 8 ? 2 : 1);
  }
  return mask;
}

/* Samples of a picture, anything else anywhere else. */
static void
fill (DloralFrame *frame, const DloralVideoFormat *f, const guint8 *mask)
{
  for (gsize i = 0; i < f->size; i++)
    frame->lq[i] = mask[i] ? i * 7 % 251 : g_random_int () % 256;
}

/* A byte of padding may sit between samples that are compared together: only
 * between those of one pixel, as xRGB's first byte. */
static gboolean
lies_between (const Layout *l)
{
  return g_str_equal (l->name, "xrgb");
}

static void
test_repeat (gconstpointer data)
{
  const Layout *l = data;
  DloralStream *s = new_stream (W, H, l->depth > 8, 1);
  g_autofree guint8 *mask = NULL;
  DloralVideoFormat format;
  DloralFrame *last, *frame;
  GError *error = NULL;

  make_format (l, &format);
  mask = make_mask (&format);
  if (lies_between (l))
    memset (mask, 1, format.size);
  g_assert_true (dloral_stream_set_formats (s, &format, NULL, &error));
  last = dloral_stream_acquire (s);
  fill (last, &format, mask);
  dloral_stream_submit (s, last);
  for (gsize i = 0; i < format.size; i += 1 + i % 13) {
    frame = dloral_stream_acquire (s);
    g_assert_true (frame != last);
    fill (frame, &format, mask);
    g_assert_true (dloral_stream_is_repeat (s, frame, last));
    frame->lq[i] ^= 1;
    if (!lies_between (l))
      g_assert_cmpint (dloral_stream_is_repeat (s, frame, last), ==, !mask[i]);
    dloral_stream_cancel (s, frame);
  }
  dloral_stream_release (s, dloral_stream_collect (s, TRUE));
  frame = dloral_stream_acquire (s);
  g_assert_true (frame != last);
  dloral_stream_cancel (s, frame);
  dloral_stream_free (s);
}

/* --- Behind -------------------------------------------------------------------- */

static void
test_behind (void)
{
  DloralStream *s = new_stream (160, 90, FALSE, 2);
  DloralFrame *finished;

  for (int i = 0; i < 3; i++) {
    DloralFrame *f;

    g_assert_false (dloral_stream_is_behind (s));
    f = dloral_stream_acquire (s);
    memset (f->lq, 100, 90 * f->lq_stride);
    dloral_stream_submit (s, f);
  }
  /* Unless the first is finished meanwhile. */
  if (!dloral_stream_is_behind (s)) {
    finished = dloral_stream_collect (s, FALSE);
    g_assert_nonnull (finished);
  } else {
    finished = dloral_stream_collect (s, TRUE);
  }
  g_assert_false (dloral_stream_is_behind (s));
  dloral_stream_release (s, finished);
  g_assert_false (dloral_stream_is_behind (s));
  dloral_stream_free (s);
}

int
main (int argc, char **argv)
{
  GError *error = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 2);
  model = dloral_model_open (&(DloralModelParams) { .path = argv[1],
      .device = test_get_device () }, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (layouts); i++) {
    g_autofree char *path = g_strconcat ("/repeat/", layouts[i].name, NULL);

    g_test_add_data_func (path, &layouts[i], test_repeat);
  }
  g_test_add_func ("/behind", test_behind);
  result = g_test_run ();
  dloral_model_unref (model);
  return result;
}
