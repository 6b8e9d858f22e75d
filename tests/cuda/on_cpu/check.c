/* Tests of libcuda.so.1 on the CPU: memory, devices, contexts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

#include <string.h>

/* --- fixture -------------------------------------------------------------- */

void
fixture_open (Fixture * fixture, gconstpointer data)
{
  assert_success (cuInit (0));
  assert_success (cuDevicePrimaryCtxRetain (&fixture->context, 0));
  assert_success (cuCtxPushCurrent (fixture->context));
  assert_success (cuModuleLoadData (&fixture->module, "image"));
  assert_success (cuStreamCreateWithPriority (&fixture->stream,
          CU_STREAM_NON_BLOCKING, 0));
}

void
fixture_close (Fixture * fixture, gconstpointer data)
{
  CUcontext context = NULL;

  assert_success (cuStreamSynchronize (fixture->stream));
  assert_success (cuStreamDestroy (fixture->stream));
  assert_success (cuModuleUnload (fixture->module));
  assert_success (cuCtxPopCurrent (&context));
  g_assert_true (context == fixture->context);
  assert_success (cuDevicePrimaryCtxRelease (0));
  g_assert_cmpint (cuda_on_cpu_get_allocations (), ==, 0);
  g_assert_cmpint (cuda_on_cpu_get_handles (), ==, 0);
}

CUfunction
fixture_get_kernel (Fixture * fixture, const char *name)
{
  CUfunction function = NULL;

  assert_success (cuModuleGetFunction (&function, fixture->module, name));
  return function;
}

CUdeviceptr
fixture_upload (Fixture * fixture, const void *data, gsize size)
{
  CUdeviceptr address = 0;

  assert_success (cuMemAlloc (&address, size));
  if (data)
    assert_success (cuMemcpyHtoDAsync (address, data, size, fixture->stream));
  return address;
}

void
fixture_download (Fixture * fixture, void *data, CUdeviceptr src, gsize size)
{
  assert_success (cuMemcpyDtoHAsync (data, src, size, fixture->stream));
  assert_success (cuStreamSynchronize (fixture->stream));
}

void
fixture_launch (Fixture * fixture, const char *name, unsigned n_blocks,
    unsigned n_threads, unsigned shared, void **args)
{
  assert_success (cuLaunchKernel (fixture_get_kernel (fixture, name), n_blocks,
          1, 1, n_threads, 1, 1, shared, fixture->stream, args, NULL));
}

void
add_test (const char *path, void (*run) (Fixture *, gconstpointer),
    gconstpointer data)
{
  g_test_add (path, Fixture, data, fixture_open, run, fixture_close);
}

gboolean
in_subprocess (const char *variable, const char *value)
{
  if (g_test_subprocess ())
    return TRUE;
  if (variable)
    g_setenv (variable, value, TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  if (variable)
    g_unsetenv (variable);
  return FALSE;
}

/* --- memory --------------------------------------------------------------- */

static void
test_allocate (Fixture * fixture, gconstpointer data)
{
  guint8 bytes[1000];
  CUdeviceptr p = 0, q = 0;
  gsize available = 0, total = 0;

  assert_result (cuMemAlloc (&p, 0), CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemAlloc (&p, sizeof bytes));
  g_assert_cmpuint (p % 256, ==, 0);
  fixture_download (fixture, bytes, p, sizeof bytes);
  for (gsize i = 0; i < sizeof bytes; i++)
    g_assert_cmphex (bytes[i], ==, 0xcb);
  assert_success (cuMemGetInfo (&available, &total));
  g_assert_cmpuint (available, ==, total - 1000);
  assert_result (cuMemAlloc (&q, available + 1), CUDA_ERROR_OUT_OF_MEMORY);
  g_assert_cmpint (cuda_on_cpu_get_allocations (), ==, 1);

  g_assert_true (cuda_on_cpu_check_range (p, 1000));
  g_assert_true (cuda_on_cpu_check_range (p + 1000, 0));
  g_assert_false (cuda_on_cpu_check_range (p, 1001));
  g_assert_false (cuda_on_cpu_check_range (p - 1, 1));
  g_assert_false (cuda_on_cpu_check_range ((CUdeviceptr) bytes, 1));
  assert_success (cuMemFree (p));
  g_assert_false (cuda_on_cpu_check_range (p, 1));
}

static void
test_free (Fixture * fixture, gconstpointer data)
{
  CUdeviceptr p = 0;
  void *host = NULL;

  assert_success (cuMemAlloc (&p, 100));
  assert_success (cuMemHostAlloc (&host, 100, CU_MEMHOSTALLOC_PORTABLE));
  g_assert_cmphex (((guint8 *) host)[99], ==, 0xcb);
  assert_result (cuMemFree (p + 4), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemFree ((CUdeviceptr) host), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemFreeHost ((void *) p), CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemFree (p));
  assert_result (cuMemFree (p), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemFree (0), CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemFreeHost (host));
  assert_result (cuMemFreeHost (host), CUDA_ERROR_INVALID_VALUE);
}

static void
test_copy (Fixture * fixture, gconstpointer data)
{
  guint8 in[300], out[300];
  CUdeviceptr a = fixture_upload (fixture, NULL, 300);
  CUdeviceptr b = fixture_upload (fixture, NULL, 300);

  for (int i = 0; i < 300; i++)
    in[i] = i;
  assert_success (cuMemcpyHtoDAsync (a, in, 300, fixture->stream));
  memset (in, 0, 300);          /* it is not pinned, hence has been read */
  assert_success (cuMemsetD8Async (b, 7, 300, fixture->stream));
  assert_success (cuMemcpyDtoDAsync (b + 100, a + 200, 100, fixture->stream));
  fixture_download (fixture, out, b, 300);
  for (int i = 0; i < 300; i++)
    g_assert_cmpint (out[i], ==, i / 100 == 1 ? (i + 100) % 256 : 7);

  assert_result (cuMemcpyHtoDAsync (a + 1, in, 300, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemcpyHtoDAsync ((CUdeviceptr) out, in, 300,
          fixture->stream), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemcpyDtoHAsync (out, b + 201, 100, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemcpyDtoDAsync (a, b, 301, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemsetD8Async (b, 0, 301, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemFree (a));
  assert_success (cuMemFree (b));
}

static void
test_memory_limit (void)
{
  if (in_subprocess ("CUDA_ON_CPU_MEMORY", "1000")) {
    Fixture fixture;
    CUdeviceptr p = 0, q = 0;

    fixture_open (&fixture, NULL);
    assert_success (cuMemAlloc (&p, 600));
    assert_result (cuMemAlloc (&q, 401), CUDA_ERROR_OUT_OF_MEMORY);
    assert_success (cuMemAlloc (&q, 400));
    assert_success (cuMemFree (p));
    assert_success (cuMemAlloc (&p, 600));
    return;
  }
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr ("*2 allocations of 1000 bytes were never freed*");
}

/* --- devices and contexts ------------------------------------------------- */

static void
test_no_device (void)
{
  int n;

  if (in_subprocess ("CUDA_ON_CPU_DEVICES", "0")) {
    assert_result (cuInit (0), CUDA_ERROR_NO_DEVICE);
    assert_result (cuDeviceGetCount (&n), CUDA_ERROR_NOT_INITIALIZED);
    assert_success (cuDriverGetVersion (&n));
    g_assert_cmpint (n, ==, 13000);
    return;
  }
  g_test_trap_assert_passed ();
}

static void
test_two_devices (void)
{
  if (in_subprocess ("CUDA_ON_CPU_DEVICES", "2")) {
    CUcontext first, second;
    CUstream stream;
    CUdevice device;
    int n;

    assert_success (cuInit (0));
    assert_success (cuDeviceGetCount (&n));
    g_assert_cmpint (n, ==, 2);
    assert_success (cuDeviceGet (&device, 1));
    assert_result (cuDeviceGet (&device, 2), CUDA_ERROR_INVALID_DEVICE);
    assert_success (cuDevicePrimaryCtxRetain (&first, 0));
    assert_success (cuDevicePrimaryCtxRetain (&second, 1));
    g_assert_true (first != second);
    assert_success (cuCtxPushCurrent (first));
    assert_success (cuStreamCreateWithPriority (&stream, 0, -1));
    assert_success (cuCtxPushCurrent (second));
    assert_result (cuStreamSynchronize (stream), CUDA_ERROR_INVALID_HANDLE);
    assert_success (cuCtxPopCurrent (NULL));
    assert_success (cuStreamSynchronize (stream));
    assert_success (cuStreamDestroy (stream));
    return;
  }
  g_test_trap_assert_passed ();
}

static void
test_device (void)
{
  if (in_subprocess ("CUDA_ON_CPU_ARCH", "86")) {
    char name[8];
    int value;

    assert_result (cuDeviceGetName (name, 8, 0), CUDA_ERROR_NOT_INITIALIZED);
    assert_success (cuInit (0));
    assert_success (cuDeviceGetName (name, 8, 0));
    g_assert_cmpstr (name, ==, "CPU");
    assert_success (cuDeviceGetAttribute (&value,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0));
    g_assert_cmpint (value, ==, 8);
    assert_success (cuDeviceGetAttribute (&value,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0));
    g_assert_cmpint (value, ==, 6);
    assert_success (cuDeviceGetAttribute (&value,
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0));
    g_assert_cmpint (value, ==, 99 << 10);
    return;
  }
  g_test_trap_assert_passed ();
}

static gpointer
call_without_context (gpointer data)
{
  Fixture *fixture = data;
  CUdeviceptr p;

  assert_result (cuMemAlloc (&p, 1), CUDA_ERROR_INVALID_CONTEXT);
  assert_result (cuStreamSynchronize (fixture->stream),
      CUDA_ERROR_INVALID_CONTEXT);
  assert_result (cuCtxPopCurrent (NULL), CUDA_ERROR_INVALID_CONTEXT);
  assert_success (cuCtxPushCurrent (fixture->context));
  assert_success (cuStreamSynchronize (fixture->stream));
  assert_success (cuCtxPopCurrent (NULL));
  return NULL;
}

static void
test_context (Fixture * fixture, gconstpointer data)
{
  CUcontext context;
  CUdeviceptr p;

  g_thread_join (g_thread_new (NULL, call_without_context, fixture));
  assert_success (cuDevicePrimaryCtxRetain (&context, 0));
  g_assert_true (context == fixture->context);
  assert_success (cuDevicePrimaryCtxRelease (0));
  assert_success (cuDevicePrimaryCtxRelease (0));
  assert_result (cuMemAlloc (&p, 1), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  assert_result (cuDevicePrimaryCtxRelease (0), CUDA_ERROR_INVALID_CONTEXT);
  assert_success (cuDevicePrimaryCtxRetain (&context, 0));
}

static void
test_errors (void)
{
  const char *text = NULL;

  assert_success (cuGetErrorName (CUDA_ERROR_ILLEGAL_ADDRESS, &text));
  g_assert_cmpstr (text, ==, "CUDA_ERROR_ILLEGAL_ADDRESS");
  assert_success (cuGetErrorString (CUDA_ERROR_OUT_OF_MEMORY, &text));
  g_assert_cmpstr (text, ==, "out of memory");
  assert_result (cuGetErrorName (12345, &text), CUDA_ERROR_INVALID_VALUE);
  g_assert_null (text);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_test ("/memory/allocate", test_allocate, NULL);
  add_test ("/memory/free", test_free, NULL);
  add_test ("/memory/copy", test_copy, NULL);
  g_test_add_func ("/memory/limit", test_memory_limit);
  g_test_add_func ("/device/none", test_no_device);
  g_test_add_func ("/device/two", test_two_devices);
  g_test_add_func ("/device/attributes", test_device);
  add_test ("/device/context", test_context, NULL);
  g_test_add_func ("/device/errors", test_errors);
  add_kernel_tests ();
  add_stream_tests ();
  add_capture_tests ();
  add_context_tests ();
  add_copy_tests ();
  add_fault_tests ();
  return g_test_run ();
}
