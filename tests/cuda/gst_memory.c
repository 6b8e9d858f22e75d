/* GStreamer's own CUDA library on the driver of on_cpu/: its contexts and buffers,
 * read and written through system memory, through device pointers, and from another
 * context. Any warning of its fails the test.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#define GST_USE_UNSTABLE_API
#include "on_cpu/on_cpu.h"

#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>

#define assert_success(call) g_assert_cmpint (call, ==, CUDA_SUCCESS)

/* A frame in a buffer of a pool. */
typedef struct
{
  CUcontext primary;            /* beside GStreamer's */
  GstCudaContext *context;
  GstVideoInfo info;
  GstBufferPool *pool;
  GstBuffer *buffer;
} Fixture;

/* --- fixture -------------------------------------------------------------- */

static GstBufferPool *
open_pool (GstCudaContext *context, const GstVideoInfo *info)
{
  GstBufferPool *pool = gst_cuda_buffer_pool_new (context);
  GstStructure *config = gst_buffer_pool_get_config (pool);
  GstCaps *caps = gst_video_info_to_caps (info);

  gst_caps_set_features (caps, 0,
      gst_caps_features_new (GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY, NULL));
  gst_buffer_pool_config_set_params (config, caps, info->size, 0, 0);
  g_assert_true (gst_buffer_pool_set_config (pool, config));
  g_assert_true (gst_buffer_pool_set_active (pool, TRUE));
  gst_caps_unref (caps);
  return pool;
}

static void
fixture_open (Fixture *f, gconstpointer format)
{
  g_assert_true (gst_cuda_load_library ());
  f->context = gst_cuda_context_new (0);
  g_assert_nonnull (f->context);
  assert_success (cuDevicePrimaryCtxRetain (&f->primary, 0));
  g_assert_true (gst_video_info_set_format (&f->info,
          gst_video_format_from_string (format), 98, 50));
  f->pool = open_pool (f->context, &f->info);
  g_assert_cmpint (gst_buffer_pool_acquire_buffer (f->pool, &f->buffer, NULL),
      ==, GST_FLOW_OK);
  g_assert_true (gst_is_cuda_memory (gst_buffer_peek_memory (f->buffer, 0)));
}

/* Nothing is left on the device. */
static void
fixture_close (Fixture *f, gconstpointer format)
{
  gst_buffer_unref (f->buffer);
  g_assert_true (gst_buffer_pool_set_active (f->pool, FALSE));
  gst_object_unref (f->pool);
  gst_object_unref (f->context);
  assert_success (cuDevicePrimaryCtxRelease (0));
  g_assert_cmpint (cuda_on_cpu_get_allocations (), ==, 0);
  g_assert_cmpint (cuda_on_cpu_get_handles (), ==, 0);
}

static void
map (const Fixture *f, GstVideoFrame *frame, int flags)
{
  g_assert_true (gst_video_frame_map (frame, &f->info, f->buffer,
          (GstMapFlags) flags));
}

/* --- planes --------------------------------------------------------------- */

typedef struct
{
  guint8 *data;                 /* or a device pointer */
  gsize pitch, width, height;   /* bytes, bytes, rows */
} Plane;

/* In the formats tried, plane i begins with component i. */
static Plane
get_plane (const GstVideoFrame *frame, guint i)
{
  return (Plane) { GST_VIDEO_FRAME_PLANE_DATA (frame, i),
    GST_VIDEO_FRAME_PLANE_STRIDE (frame, i),
    GST_VIDEO_FRAME_COMP_WIDTH (frame, i)
        * GST_VIDEO_FRAME_COMP_PSTRIDE (frame, i),
    GST_VIDEO_FRAME_COMP_HEIGHT (frame, i)
  };
}

/* The same rows in system memory, as narrow as may be. */
static Plane
make_plane (const Plane *like)
{
  return (Plane) { g_malloc0 (like->width * like->height), like->width,
    like->width, like->height
  };
}

static guint8
get_byte (guint plane, gsize x, gsize y)
{
  return 80 * plane + 7 * y + x;
}

static void
fill (const Plane *plane, guint i)
{
  for (gsize y = 0; y < plane->height; y++)
    for (gsize x = 0; x < plane->width; x++)
      plane->data[y * plane->pitch + x] = get_byte (i, x, y);
}

static void
assert_filled (const Plane *plane, guint i)
{
  for (gsize y = 0; y < plane->height; y++)
    for (gsize x = 0; x < plane->width; x++)
      g_assert_cmpint (plane->data[y * plane->pitch + x], ==,
          get_byte (i, x, y));
}

/* --- frames --------------------------------------------------------------- */

static void
write_as_system (const Fixture *f)
{
  GstVideoFrame frame;

  map (f, &frame, GST_MAP_WRITE);
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&frame); i++) {
    Plane plane = get_plane (&frame, i);

    fill (&plane, i);
  }
  gst_video_frame_unmap (&frame);
}

static void
assert_as_system (const Fixture *f)
{
  GstVideoFrame frame;

  map (f, &frame, GST_MAP_READ);
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&frame); i++) {
    Plane plane = get_plane (&frame, i);

    assert_filled (&plane, i);
  }
  gst_video_frame_unmap (&frame);
}

/* Between device and system memory, in the current context. */
static void
copy_plane (const Plane *device, const Plane *host, gboolean up)
{
  CUDA_MEMCPY2D copy = { .WidthInBytes = host->width, .Height = host->height };

  copy.srcMemoryType = up ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE;
  copy.dstMemoryType = up ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
  copy.srcHost = copy.dstHost = host->data;
  copy.srcDevice = copy.dstDevice = (CUdeviceptr) device->data;
  copy.srcPitch = up ? host->pitch : device->pitch;
  copy.dstPitch = up ? device->pitch : host->pitch;
  assert_success (cuMemcpy2D (&copy));
}

/* --- tests ---------------------------------------------------------------- */

static void
test_context (void)
{
  GstCudaContext *context, *wrapper;
  CUcontext primary;

  g_assert_true (gst_cuda_load_library ());
  context = gst_cuda_context_new (0);
  g_assert_nonnull (context);
  g_assert_cmpint (gst_cuda_context_get_texture_alignment (context), ==, 512);
  g_assert_cmpint (cuda_on_cpu_get_handles (), ==, 1);
  assert_success (cuDevicePrimaryCtxRetain (&primary, 0));
  g_assert_true (primary != gst_cuda_context_get_handle (context));

  wrapper = gst_cuda_context_new_wrapped (primary, 0);
  g_assert_nonnull (wrapper);
  g_assert_true (gst_cuda_context_get_handle (wrapper) == primary);
  g_assert_false (gst_cuda_context_can_access_peer (wrapper, context));
  gst_object_unref (context);
  g_assert_cmpint (cuda_on_cpu_get_handles (), ==, 0);
  g_assert_true (gst_cuda_context_push (wrapper));
  g_assert_true (gst_cuda_context_pop (NULL));
  gst_object_unref (wrapper);
  assert_success (cuDevicePrimaryCtxRelease (0));
}

/* Written by the CPU, read from the device. */
static void
test_upload (Fixture *f, gconstpointer format)
{
  GstVideoFrame frame;

  write_as_system (f);
  map (f, &frame, GST_MAP_READ | GST_MAP_CUDA);
  g_assert_true (gst_cuda_context_push (f->context));
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&frame); i++) {
    Plane device = get_plane (&frame, i), host = make_plane (&device);

    g_assert_true (cuda_on_cpu_check_range ((CUdeviceptr) device.data,
            (device.height - 1) * device.pitch + device.width));
    copy_plane (&device, &host, FALSE);
    assert_filled (&host, i);
    g_free (host.data);
  }
  g_assert_true (gst_cuda_context_pop (NULL));
  gst_video_frame_unmap (&frame);
}

/* Written on the device, read by the CPU. */
static void
test_download (Fixture *f, gconstpointer format)
{
  GstVideoFrame frame;

  map (f, &frame, GST_MAP_WRITE | GST_MAP_CUDA);
  g_assert_true (gst_cuda_context_push (f->context));
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&frame); i++) {
    Plane device = get_plane (&frame, i), host = make_plane (&device);

    fill (&host, i);
    copy_plane (&device, &host, TRUE);
    g_free (host.data);
  }
  g_assert_true (gst_cuda_context_pop (NULL));
  gst_video_frame_unmap (&frame);
  assert_as_system (f);
}

/* GStreamer copies it on the device. */
static void
test_copy (Fixture *f, gconstpointer format)
{
  GstBuffer *copy;

  write_as_system (f);
  copy = gst_buffer_copy_deep (f->buffer);
  g_assert_nonnull (copy);
  gst_buffer_unref (f->buffer);
  f->buffer = copy;
  assert_as_system (f);
}

/* A plane there or back between GStreamer's context and the primary one. */
static void
cross (const Fixture *f, const Plane *theirs, const Plane *ours, gboolean back,
    CUstream stream)
{
  CUDA_MEMCPY3D_PEER copy = { .srcMemoryType = CU_MEMORYTYPE_DEVICE,
    .dstMemoryType = CU_MEMORYTYPE_DEVICE, .WidthInBytes = theirs->width,
    .Height = theirs->height, .Depth = 1
  };
  CUcontext handle = gst_cuda_context_get_handle (f->context);

  copy.srcContext = back ? f->primary : handle;
  copy.dstContext = back ? handle : f->primary;
  copy.srcDevice = (CUdeviceptr) (back ? ours : theirs)->data;
  copy.dstDevice = (CUdeviceptr) (back ? theirs : ours)->data;
  copy.srcPitch = (back ? ours : theirs)->pitch;
  copy.dstPitch = (back ? theirs : ours)->pitch;
  assert_success (cuMemcpy3DPeerAsync (&copy, stream));
}

/* Into the primary context, cleared in GStreamer's, and back. */
static void
cross_plane (const Fixture *f, const Plane *theirs, CUstream stream)
{
  Plane ours = *theirs;
  CUdeviceptr memory = 0;

  ours.pitch = theirs->width + 3;
  assert_success (cuMemAlloc (&memory, ours.pitch * ours.height));
  ours.data = (guint8 *) memory;
  cross (f, theirs, &ours, FALSE, stream);
  assert_success (cuStreamSynchronize (stream));
  assert_success (cuCtxPushCurrent (gst_cuda_context_get_handle (f->context)));
  assert_success (cuMemsetD8Async ((CUdeviceptr) theirs->data, 0,
          (theirs->height - 1) * theirs->pitch + theirs->width, NULL));
  assert_success (cuStreamSynchronize (NULL));
  assert_success (cuCtxPopCurrent (NULL));
  cross (f, theirs, &ours, TRUE, stream);
  assert_success (cuStreamSynchronize (stream));
  assert_success (cuMemFree (memory));
}

static void
test_other_context (Fixture *f, gconstpointer format)
{
  GstVideoFrame frame;
  CUstream stream = NULL;

  write_as_system (f);
  map (f, &frame, GST_MAP_READWRITE | GST_MAP_CUDA);
  assert_success (cuCtxPushCurrent (f->primary));
  assert_success (cuStreamCreate (&stream, CU_STREAM_NON_BLOCKING));
  for (guint i = 0; i < GST_VIDEO_FRAME_N_PLANES (&frame); i++) {
    Plane plane = get_plane (&frame, i);

    cross_plane (f, &plane, stream);
  }
  assert_success (cuStreamDestroy (stream));
  assert_success (cuCtxPopCurrent (NULL));
  gst_video_frame_unmap (&frame);
  assert_as_system (f);
}

/* --- running them --------------------------------------------------------- */

static void
fail_on_warning (GstDebugCategory *category, GstDebugLevel level,
    const char *file, const char *function, int line, GObject *object,
    GstDebugMessage *message, gpointer data)
{
  if (level <= GST_LEVEL_WARNING)
    g_error ("%s: %s", function, gst_debug_message_get (message));
}

static void
add_tests (const char *format)
{
  const struct
  {
    const char *name;
    void (*run) (Fixture *, gconstpointer);
  } tests[] = {
    { "upload", test_upload }, { "download", test_download },
    { "copy", test_copy }, { "other-context", test_other_context },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++) {
    g_autofree char *path = g_strdup_printf ("/%s/%s", format, tests[i].name);

    g_test_add (path, Fixture, format, fixture_open, tests[i].run,
        fixture_close);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  gst_init (&argc, &argv);
  gst_debug_remove_log_function (gst_debug_log_default);
  gst_debug_add_log_function (fail_on_warning, NULL, NULL);
  gst_debug_set_default_threshold (GST_LEVEL_WARNING);
  gst_cuda_memory_init_once ();
  g_test_add_func ("/context", test_context);
  add_tests ("I420");
  add_tests ("NV12");
  add_tests ("NV21");
  add_tests ("P010_10LE");
  add_tests ("I422_10LE");
  add_tests ("RGBA");
  return g_test_run ();
}
