/* The element with frames in a GPU's memory: they come to what frames in the
 * system's come to. With the real CUDA library of GStreamer, on whatever driver
 * there is. The argument is a model.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/gstharness.h>
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudautils.h>
#include <gst/video/video.h>

#include <string.h>

#define WIDTH 34
#define HEIGHT 26
#define N_FRAMES 4

static const char *model;

typedef enum { SYSTEM, CUDA } Memory;

typedef struct
{
  const char *device, *in, *out;        /* formats */
  Memory in_memory, out_memory;
  int scale;                    /* of the output */
  const char *property;         /* set to TRUE, or NULL */
} Case;

static const Case cases[] = {
  { "cuda", "NV12", "NV12", CUDA, CUDA, 4, NULL },
  { "cuda", "I420", "I420", CUDA, CUDA, 4, NULL },
  { "cuda", "P010_10LE", "P010_10LE", CUDA, CUDA, 4, NULL },
  { "cuda", "I420_10LE", "I420_10LE", CUDA, CUDA, 4, NULL },
  { "cuda", "I422_10LE", "I422_10LE", CUDA, CUDA, 4, NULL },
  { "cuda", "NV21", "UYVY", CUDA, CUDA, 4, NULL },
  { "cuda", "YUY2", "Y42B", CUDA, CUDA, 4, NULL },
  { "cuda", "Y444", "Y444", CUDA, CUDA, 4, NULL },
  { "cuda", "RGB", "RGB", CUDA, CUDA, 4, NULL },
  { "cuda", "BGRx", "BGRx", CUDA, CUDA, 4, NULL },
  { "cuda", "NV12", "I420", CUDA, SYSTEM, 4, NULL },
  { "cuda", "GRAY16_LE", "NV12", SYSTEM, CUDA, 4, NULL },
  /* The engine does not do these by itself: */
  { "cuda", "RGBA", "RGBA", CUDA, CUDA, 4, NULL },
  { "cuda", "NV12", "NV12", CUDA, CUDA, 2, NULL },
  { "cuda", "P010_10LE", "I420_10LE", CUDA, CUDA, 2, NULL },
  { "cpu", "NV12", "NV12", CUDA, CUDA, 4, NULL },
  { "cuda", "NV12", "NV12", CUDA, CUDA, 4, "bypass" },
  { "cuda", "NV12", "NV12", CUDA, CUDA, 4, "skip-static" },
};

/* --- Frames ------------------------------------------------------------------ */

static GstCaps *
make_caps (const char *format, Memory memory, int scale)
{
  GstCaps *caps = gst_caps_new_simple ("video/x-raw",
      "format", G_TYPE_STRING, format, "width", G_TYPE_INT, scale * WIDTH,
      "height", G_TYPE_INT, scale * HEIGHT,
      "framerate", GST_TYPE_FRACTION, 25, 1, NULL);

  if (memory == CUDA)
    gst_caps_set_features_simple (caps,
        gst_caps_features_new (GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY, NULL));
  return caps;
}

static GstBufferPool *
make_pool (GstCudaContext *context, GstCaps *caps)
{
  GstBufferPool *pool = gst_cuda_buffer_pool_new (context);
  GstStructure *config = gst_buffer_pool_get_config (pool);
  GstVideoInfo info;

  g_assert_true (gst_video_info_from_caps (&info, caps));
  gst_buffer_pool_config_set_params (config, caps, info.size, 0, 0);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  return pool;
}

/* Frame t in the system's memory. Only the upper bits differ, which every format
 * has. */
static GstBuffer *
make_frame (const GstVideoInfo *info, int t)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, info->size, NULL);
  GstMapInfo map;

  g_assert_true (gst_buffer_map (buffer, &map, GST_MAP_WRITE));
  for (gsize i = 0; i < map.size; i++)
    map.data[i] = (i * 7 + i / 41 * 11 + t * 5) % 251 & 0xc0;
  gst_buffer_unmap (buffer, &map);
  return buffer;
}

static void
copy_frame (GstBuffer *to, GstBuffer *from, const GstVideoInfo *info)
{
  GstVideoFrame a, b;

  g_assert_true (gst_video_frame_map (&a, info, from, GST_MAP_READ));
  g_assert_true (gst_video_frame_map (&b, info, to, GST_MAP_WRITE));
  g_assert_true (gst_video_frame_copy (&b, &a));
  gst_video_frame_unmap (&b);
  gst_video_frame_unmap (&a);
}

/* A copy in the system's memory, rows side by side as `info` has them. */
static GstBuffer *
bring_home (GstBuffer *buffer, const GstVideoInfo *info)
{
  GstBuffer *copy = gst_buffer_new_allocate (NULL, info->size, NULL);

  gst_buffer_memset (copy, 0, 0, info->size);
  copy_frame (copy, buffer, info);
  return copy;
}

/* --- The element ------------------------------------------------------------- */

static GstHarness *
new_harness (const Case *c)
{
  GstElement *element = gst_element_factory_make ("dloral", NULL);
  GstHarness *h;

  g_assert_nonnull (element);
  gst_util_set_object_arg (G_OBJECT (element), "device", c->device);
  g_object_set (element, "model", model, "async-depth", 2, NULL);
  if (c->property)
    g_object_set (element, c->property, TRUE, "scene-cut-threshold", 0.0, NULL);
  h = gst_harness_new_with_element (element, "sink", "src");
  gst_harness_set_live (h, FALSE);      /* frames wait for the model */
  gst_object_unref (element);
  return h;
}

static guint64
get_sum (GstHarness *h, const char *name)
{
  g_autoptr (GstStructure) stats = NULL;
  guint64 sum;

  gst_harness_get (h, "dloral", "stats", &stats, NULL);
  g_assert_true (gst_structure_get_uint64 (stats, name, &sum));
  return sum;
}

/* All frames through the element, each output brought home. Two and two are the
 * same where that matters. */
static void
restore (const Case *c, GstCudaContext *context, GstBuffer **results)
{
  GstCaps *in = make_caps (c->in, c->in_memory, 1);
  GstCaps *out = make_caps (c->out, c->out_memory, c->scale);
  GstBufferPool *pool = c->in_memory == CUDA ? make_pool (context, in) : NULL;
  GstHarness *h = new_harness (c);
  gboolean skip = g_strcmp0 (c->property, "skip-static") == 0;
  GstVideoInfo info, out_info;

  g_assert_true (gst_video_info_from_caps (&info, in));
  g_assert_true (gst_video_info_from_caps (&out_info, out));
  gst_harness_set_caps (h, gst_caps_ref (in), gst_caps_ref (out));
  for (int t = 0; t < N_FRAMES; t++) {
    GstBuffer *frame = make_frame (&info, skip ? t / 2 : t);

    if (pool) {
      GstBuffer *own = NULL;

      g_assert_cmpint (gst_buffer_pool_acquire_buffer (pool, &own, NULL), ==,
          GST_FLOW_OK);
      copy_frame (own, frame, &info);
      gst_buffer_unref (frame);
      frame = own;
    }
    GST_BUFFER_PTS (frame) = t * GST_SECOND / 25;
    g_assert_cmpint (gst_harness_push (h, frame), ==, GST_FLOW_OK);
  }
  g_assert_true (gst_harness_push_event (h, gst_event_new_eos ()));
  for (int t = 0; t < N_FRAMES; t++) {
    GstBuffer *result = gst_harness_pull (h);

    g_assert_nonnull (result);
    g_assert_cmpint (gst_is_cuda_memory (gst_buffer_peek_memory (result, 0)),
        ==, c->out_memory == CUDA);
    results[t] = bring_home (result, &out_info);
    gst_buffer_unref (result);
  }
  g_assert_cmpint (get_sum (h, "frames-repeated"), ==, skip ? 2 : 0);
  g_assert_cmpint (get_sum (h, "frames-bypassed"), ==,
      g_strcmp0 (c->property, "bypass") == 0 ? N_FRAMES : 0);
  gst_harness_teardown (h);
  if (pool) {
    gst_buffer_pool_set_active (pool, FALSE);
    gst_object_unref (pool);
  }
  gst_caps_unref (in);
  gst_caps_unref (out);
}

static void
assert_equal_frames (GstBuffer *a, GstBuffer *b)
{
  GstMapInfo x, y;

  g_assert_true (gst_buffer_map (a, &x, GST_MAP_READ));
  g_assert_true (gst_buffer_map (b, &y, GST_MAP_READ));
  g_assert_cmpmem (x.data, x.size, y.data, y.size);
  gst_buffer_unmap (a, &x);
  gst_buffer_unmap (b, &y);
}

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  Case at_home = *c;
  GstBuffer *results[N_FRAMES], *expected[N_FRAMES];
  GstCudaContext *context = gst_cuda_context_new (0);

  g_assert_nonnull (context);
  at_home.in_memory = at_home.out_memory = SYSTEM;
  restore (c, context, results);
  restore (&at_home, NULL, expected);
  for (int t = 0; t < N_FRAMES; t++) {
    assert_equal_frames (results[t], expected[t]);
    gst_buffer_unref (results[t]);
    gst_buffer_unref (expected[t]);
  }
  gst_object_unref (context);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 2);
  model = argv[1];
  g_assert_true (gst_cuda_load_library ());
  gst_cuda_memory_init_once ();
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    const Case *c = &cases[i];
    g_autofree char *path = g_strdup_printf ("/%s/%s-%s-to-%s-%s-x%d%s%s",
        c->device, c->in_memory == CUDA ? "cuda" : "system", c->in,
        c->out_memory == CUDA ? "cuda" : "system", c->out, c->scale,
        c->property ? "-" : "", c->property ? c->property : "");

    g_test_add_data_func (path, c, test_case);
  }
  return g_test_run ();
}
