/* Tests of contexts beside the primary one, of what belongs to them, of peers, and
 * of textures.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

#include <string.h>

/* One of its own, current in this thread. */
static CUcontext
create (CUdevice device)
{
  CUcontext context = NULL;

  assert_success (cuCtxCreate_v2 (&context, CU_CTX_SCHED_BLOCKING_SYNC,
          device));
  return context;
}

static void
assert_current (CUcontext expected)
{
  CUcontext context = NULL;

  assert_success (cuCtxPopCurrent (&context));
  g_assert_true (context == expected);
  assert_success (cuCtxPushCurrent (context));
}

static void
set_one (gpointer data)
{
  g_usleep (2000);
  *(int *) data = 1;
}

/* --- contexts ------------------------------------------------------------- */

static void
test_create (Fixture * fixture, gconstpointer data)
{
  long n_handles = cuda_on_cpu_get_handles ();
  CUcontext first, second, none = NULL;

  assert_result (cuCtxCreate_v2 (NULL, 0, 0), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuCtxCreate_v2 (&none, 1 << 20, 0), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuCtxCreate_v2 (&none, 0, 1), CUDA_ERROR_INVALID_DEVICE);
  g_assert_null (none);
  first = create (0);
  second = create (0);
  g_assert_true (first != second && first != fixture->context);
  g_assert_cmpint (cuda_on_cpu_get_handles (), ==, n_handles + 2);
  assert_current (second);
  assert_success (cuCtxDestroy (first));
  assert_current (second);
  assert_success (cuCtxDestroy (second));
  assert_result (cuCtxPopCurrent (NULL), CUDA_SUCCESS); /* the first */
  assert_current (fixture->context);
  g_assert_cmpint (cuda_on_cpu_get_handles (), ==, n_handles);

  assert_result (cuCtxDestroy (first), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  assert_result (cuCtxPushCurrent (first), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  assert_result (cuCtxDestroy (fixture->context), CUDA_ERROR_INVALID_CONTEXT);
  assert_result (cuCtxDestroy (NULL), CUDA_ERROR_INVALID_CONTEXT);
  assert_result (cuCtxPushCurrent ((CUcontext) fixture),
      CUDA_ERROR_INVALID_CONTEXT);
}

static gpointer
destroy_in_thread (gpointer context)
{
  assert_success (cuCtxDestroy (context));
  return NULL;
}

/* One that is current in another thread stays so, and is of no use there. */
static void
test_current_elsewhere (Fixture * fixture, gconstpointer data)
{
  CUcontext context = create (0);
  CUdeviceptr p;

  g_thread_join (g_thread_new (NULL, destroy_in_thread, context));
  assert_result (cuMemAlloc (&p, 1), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  assert_success (cuCtxPopCurrent (NULL));
}

/* What a context has when it is destroyed is destroyed, and said. */
static void
test_leave (void)
{
  if (in_subprocess (NULL, NULL)) {
    Fixture fixture;
    CUcontext context;
    CUdeviceptr p;
    CUstream stream;
    CUevent event;
    CUmodule module;
    void *host;
    gsize available, total;
    int done = 0;

    fixture_open (&fixture, NULL);
    context = create (0);
    assert_success (cuMemAlloc (&p, 100));
    assert_success (cuMemAllocHost (&host, 100));
    assert_success (cuModuleLoadData (&module, "image"));
    assert_success (cuEventCreate (&event, 0));
    assert_success (cuStreamCreate (&stream, 0));
    assert_success (cuMemsetD8Async (p, 0, 100, NULL));
    assert_success (cuda_on_cpu_enqueue (stream, set_one, &done, NULL));
    assert_success (cuCtxDestroy (context));
    g_assert_cmpint (done, ==, 1);
    g_assert_cmpint (cuda_on_cpu_get_allocations (), ==, 0);
    assert_success (cuMemGetInfo (&available, &total));
    g_assert_cmpuint (available, ==, total);
    fixture_close (&fixture, NULL);
    return;
  }
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr ("cuda_on_cpu: cuCtxDestroy: 2 allocations and 3 "
      "streams, *\n");
}

/* --- what belongs to one -------------------------------------------------- */

static void
check_ranges (gpointer data)
{
  const CUdeviceptr *memory = data;

  g_assert_true (cuda_on_cpu_check_range (memory[0], 16));
  g_assert_false (cuda_on_cpu_check_range (memory[1], 16));
}

/* What runs in a stream reaches what the stream's context does. */
static void
test_ranges (Fixture * fixture, gconstpointer data)
{
  CUdeviceptr memory[2] = { fixture_upload (fixture, NULL, 16), 0 };
  CUcontext context = create (0);

  assert_success (cuMemAlloc (&memory[1], 16));
  assert_success (cuda_on_cpu_enqueue (fixture->stream, check_ranges, memory,
          NULL));
  assert_success (cuCtxPopCurrent (NULL));
  assert_success (cuStreamSynchronize (fixture->stream));
  assert_success (cuMemFree (memory[0]));
  assert_success (cuCtxPushCurrent (context));
  assert_success (cuMemFree (memory[1]));
  assert_success (cuCtxDestroy (context));
}

/* Memory of the context beside the fixture's, in the fixture's. */
static void
test_memory_apart (Fixture * fixture, gconstpointer data)
{
  CUdeviceptr here = fixture_upload (fixture, NULL, 16), there = 0;
  CUcontext context = create (0);
  float a = 1, b = 0;
  int n = 4;

  assert_success (cuMemAlloc (&there, 16));
  g_assert_true (cuda_on_cpu_check_range (there, 16));
  g_assert_false (cuda_on_cpu_check_range (here, 16));
  assert_result (cuMemFree (here), CUDA_ERROR_INVALID_VALUE);
  assert_success (cuCtxPopCurrent (NULL));
  assert_result (cuMemsetD8Async (there, 0, 16, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemcpyDtoDAsync (there, here, 16, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemcpyDtoHAsync (&n, there, 4, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuLaunchKernel (fixture_get_kernel (fixture, "sample_scale"),
          1, 1, 1, 32, 1, 1, 0, fixture->stream,
          (void *[]) { &there, &a, &b, &n }, NULL), CUDA_ERROR_INVALID_VALUE);
  assert_success (cuCtxPushCurrent (context));
  assert_success (cuMemFree (there));
  assert_success (cuCtxDestroy (context));
  assert_success (cuMemFree (here));
}

/* Pinned memory is of every context, and freed in its own. */
static void
test_pinned (Fixture * fixture, gconstpointer data)
{
  CUcontext context = create (0);
  CUdeviceptr p;
  int *host = NULL, value = 0;

  assert_success (cuMemAllocHost ((void **) &host, sizeof *host));
  *host = 7;
  assert_success (cuCtxPopCurrent (NULL));
  p = fixture_upload (fixture, host, sizeof *host);
  fixture_download (fixture, &value, p, sizeof value);
  g_assert_cmpint (value, ==, 7);
  assert_result (cuMemFreeHost (host), CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemFree (p));
  assert_success (cuCtxPushCurrent (context));
  assert_success (cuMemFreeHost (host));
  assert_success (cuCtxDestroy (context));
}

static void
test_handles_apart (Fixture * fixture, gconstpointer data)
{
  CUfunction function = fixture_get_kernel (fixture, "sample_scale");
  CUcontext context = create (0);
  CUstream stream = NULL;
  CUevent event = NULL;

  assert_success (cuStreamCreate (&stream, CU_STREAM_NON_BLOCKING));
  assert_success (cuEventCreate (&event, 0));
  assert_result (cuLaunchKernel (function, 1, 1, 1, 32, 1, 1, 0, stream, NULL,
          NULL), CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuFuncSetAttribute (function,
          CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024),
      CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuModuleUnload (fixture->module), CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuStreamSynchronize (fixture->stream),
      CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuEventRecord (event, fixture->stream),
      CUDA_ERROR_INVALID_HANDLE);
  assert_success (cuCtxPopCurrent (NULL));
  assert_result (cuLaunchKernel (function, 1, 1, 1, 32, 1, 1, 0, stream, NULL,
          NULL), CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuEventRecord (event, fixture->stream),
      CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuStreamDestroy (stream), CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuEventDestroy (event), CUDA_ERROR_INVALID_HANDLE);
  assert_success (cuCtxPushCurrent (context));
  assert_success (cuEventDestroy (event));
  assert_success (cuStreamDestroy (stream));
  assert_success (cuCtxDestroy (context));
}

static void
copy_int (gpointer data)
{
  int *values = data;

  values[1] = values[0];
}

/* A stream waits for another context's event. */
static void
test_wait_for_other (Fixture * fixture, gconstpointer data)
{
  CUcontext context = create (0);
  CUstream stream = NULL;
  CUevent event = NULL;
  int values[2] = { 0, 0 };

  assert_success (cuStreamCreate (&stream, 0));
  assert_success (cuEventCreate (&event, CU_EVENT_DISABLE_TIMING));
  assert_success (cuda_on_cpu_enqueue (stream, set_one, values, NULL));
  assert_success (cuEventRecord (event, stream));
  assert_success (cuCtxPopCurrent (NULL));
  assert_success (cuStreamWaitEvent (fixture->stream, event, 0));
  assert_success (cuda_on_cpu_enqueue (fixture->stream, copy_int, values,
          NULL));
  assert_success (cuStreamSynchronize (fixture->stream));
  g_assert_cmpint (values[1], ==, 1);
  assert_success (cuCtxPushCurrent (context));
  assert_success (cuEventDestroy (event));
  assert_success (cuStreamDestroy (stream));
  assert_success (cuCtxDestroy (context));
}

/* --- peers ---------------------------------------------------------------- */

static void
use_peer (CUcontext first, CUcontext second)
{
  CUdeviceptr p, q;

  assert_success (cuMemAlloc (&p, 16));
  assert_success (cuCtxPushCurrent (first));
  assert_success (cuMemAlloc (&q, 16));
  assert_result (cuMemcpyDtoDAsync (q, p, 16, NULL), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuCtxEnablePeerAccess (second, 1), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuCtxEnablePeerAccess (first, 0), CUDA_ERROR_INVALID_CONTEXT);
  assert_result (cuCtxDisablePeerAccess (second),
      CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
  assert_success (cuCtxEnablePeerAccess (second, 0));
  assert_result (cuCtxEnablePeerAccess (second, 0),
      CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
  assert_success (cuMemcpyDtoDAsync (q, p, 16, NULL));
  assert_success (cuStreamSynchronize (NULL));
  assert_success (cuCtxPopCurrent (NULL));
  assert_result (cuMemcpyDtoDAsync (q, p, 16, NULL), CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemFree (p));
  assert_success (cuCtxDestroy (second));
  assert_result (cuCtxDisablePeerAccess (second), CUDA_ERROR_INVALID_CONTEXT);
  assert_success (cuMemFree (q));
}

static void
test_peers (void)
{
  if (in_subprocess ("CUDA_ON_CPU_DEVICES", "2")) {
    CUcontext first, second, beside;
    int can = -1;

    assert_success (cuInit (0));
    assert_success (cuDeviceCanAccessPeer (&can, 0, 0));
    g_assert_cmpint (can, ==, 0);
    assert_success (cuDeviceCanAccessPeer (&can, 0, 1));
    g_assert_cmpint (can, ==, 1);
    assert_result (cuDeviceCanAccessPeer (&can, 0, 2),
        CUDA_ERROR_INVALID_DEVICE);
    first = create (0);
    beside = create (0);
    assert_result (cuCtxEnablePeerAccess (first, 0),
        CUDA_ERROR_PEER_ACCESS_UNSUPPORTED);
    assert_success (cuCtxDestroy (beside));
    second = create (1);
    use_peer (first, second);
    assert_success (cuCtxDestroy (first));
    g_assert_cmpint (cuda_on_cpu_get_allocations (), ==, 0);
    g_assert_cmpint (cuda_on_cpu_get_handles (), ==, 0);
    return;
  }
  g_test_trap_assert_passed ();
}

/* --- graphics ------------------------------------------------------------- */

/* An image of 100 x 20 elements of two bytes. */
static CUDA_RESOURCE_DESC
describe_image (CUdeviceptr p, gsize pitch)
{
  CUDA_RESOURCE_DESC resource;

  memset (&resource, 0, sizeof resource);
  resource.resType = CU_RESOURCE_TYPE_PITCH2D;
  resource.res.pitch2D.devPtr = p;
  resource.res.pitch2D.format = CU_AD_FORMAT_UNSIGNED_INT8;
  resource.res.pitch2D.numChannels = 2;
  resource.res.pitch2D.width = 100;
  resource.res.pitch2D.height = 20;
  resource.res.pitch2D.pitchInBytes = pitch;
  return resource;
}

static void
test_texture (Fixture * fixture, gconstpointer data)
{
  CUDA_TEXTURE_DESC texture;
  CUDA_RESOURCE_DESC image;
  CUtexObject object = 0;
  CUdeviceptr p = 0;
  gsize pitch = 0, bad[] = { 224, 192, 1024 };

  memset (&texture, 0, sizeof texture);
  assert_success (cuMemAllocPitch (&p, &pitch, 200, 20, 16));
  image = describe_image (p, pitch);
  assert_success (cuTexObjectCreate (&object, &image, &texture, NULL));
  g_assert_cmpuint (object, !=, 0);
  assert_success (cuTexObjectDestroy (object));
  assert_result (cuTexObjectDestroy (object), CUDA_ERROR_INVALID_VALUE);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    image = describe_image (p + (i == 0 ? 32 : 0), bad[i]);
    assert_result (cuTexObjectCreate (&object, &image, &texture, NULL),
        CUDA_ERROR_INVALID_VALUE);
  }
  image.resType = CU_RESOURCE_TYPE_ARRAY;
  assert_result (cuTexObjectCreate (&object, &image, &texture, NULL),
      CUDA_ERROR_NOT_SUPPORTED);
  assert_success (cuMemFree (p));
}

static void
test_opengl (Fixture * fixture, gconstpointer data)
{
  CUgraphicsResource resource = NULL;

  assert_result (cuGraphicsMapResources (1, &resource, fixture->stream),
      CUDA_ERROR_NOT_SUPPORTED);
  assert_result (cuGraphicsUnregisterResource (resource),
      CUDA_ERROR_NOT_SUPPORTED);
}

void
add_context_tests (void)
{
  add_test ("/context/create", test_create, NULL);
  add_test ("/context/current-elsewhere", test_current_elsewhere, NULL);
  g_test_add_func ("/context/leave", test_leave);
  add_test ("/context/ranges", test_ranges, NULL);
  add_test ("/context/memory", test_memory_apart, NULL);
  add_test ("/context/pinned", test_pinned, NULL);
  add_test ("/context/handles", test_handles_apart, NULL);
  add_test ("/context/wait-for-other", test_wait_for_other, NULL);
  g_test_add_func ("/context/peers", test_peers);
  add_test ("/graphics/texture", test_texture, NULL);
  add_test ("/graphics/opengl", test_opengl, NULL);
}
