/* Tests of the faults that can be asked for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

static void
test_once (Fixture * fixture, gconstpointer data)
{
  CUdeviceptr p = 0;
  int version;
  long n_calls = cuda_on_cpu_get_calls ();

  cuda_on_cpu_fail_at (2, CUDA_ERROR_OUT_OF_MEMORY);
  assert_success (cuDriverGetVersion (&version));
  assert_result (cuMemAlloc (&p, 1), CUDA_ERROR_OUT_OF_MEMORY);
  g_assert_cmpuint (p, ==, 0);
  assert_success (cuMemAlloc (&p, 1));
  g_assert_cmpint (cuda_on_cpu_get_calls (), ==, n_calls + 3);
  cuda_on_cpu_fail_at (1, CUDA_ERROR_UNKNOWN);
  assert_result (cuMemFree (p), CUDA_ERROR_UNKNOWN);
  g_assert_cmpint (cuda_on_cpu_get_allocations (), ==, 0);
  cuda_on_cpu_fail_at (1, CUDA_ERROR_UNKNOWN);
  cuda_on_cpu_fail_at (0, 0);
  assert_success (cuDriverGetVersion (&version));
}

static gpointer
call_in_thread (gpointer data)
{
  int version;

  assert_result (cuDriverGetVersion (&version), CUDA_ERROR_ILLEGAL_ADDRESS);
  return NULL;
}

static void
wait_and_set (gpointer data)
{
  g_usleep (2000);
  ++*(int *) data;
}

/* After a fatal fault nothing runs, everything fails, and what is freed is. */
static void
test_fatal (Fixture * fixture, gconstpointer data)
{
  CUdeviceptr p = fixture_upload (fixture, NULL, 100);
  CUevent event = NULL;
  int n_done = 0, n_done_then, version;

  assert_success (cuEventCreate (&event, 0));
  for (int i = 0; i < 100; i++)
    assert_success (cuda_on_cpu_enqueue (fixture->stream, wait_and_set, &n_done,
            NULL));
  assert_success (cuEventRecord (event, fixture->stream));
  cuda_on_cpu_fail_at (1, CUDA_ERROR_ILLEGAL_ADDRESS);
  assert_result (cuEventQuery (event), CUDA_ERROR_ILLEGAL_ADDRESS);
  n_done_then = n_done;
  g_assert_cmpint (n_done_then, <, 100);
  assert_result (cuStreamSynchronize (fixture->stream),
      CUDA_ERROR_ILLEGAL_ADDRESS);
  assert_result (cuEventSynchronize (event), CUDA_ERROR_ILLEGAL_ADDRESS);
  assert_result (cuDriverGetVersion (&version), CUDA_ERROR_ILLEGAL_ADDRESS);
  assert_result (cuda_on_cpu_enqueue (fixture->stream, wait_and_set, &n_done,
          NULL), CUDA_ERROR_ILLEGAL_ADDRESS);
  g_thread_join (g_thread_new (NULL, call_in_thread, NULL));
  assert_result (cuMemFree (p), CUDA_ERROR_ILLEGAL_ADDRESS);
  g_assert_cmpint (cuda_on_cpu_get_allocations (), ==, 0);
  g_assert_cmpint (n_done, ==, n_done_then);

  assert_result (cuCtxPopCurrent (NULL), CUDA_ERROR_ILLEGAL_ADDRESS);
  cuda_on_cpu_reset ();
  g_assert_cmpint (cuda_on_cpu_get_handles (), ==, 0);
  fixture_open (fixture, NULL);
}

/* A reset frees what a program has left behind. */
static void
test_reset (Fixture * fixture, gconstpointer data)
{
  CUdeviceptr p;
  void *host;
  CUevent event;
  gsize available, total;

  fixture_upload (fixture, "left", 4);
  assert_success (cuMemHostAlloc (&host, 100, 0));
  assert_success (cuEventCreate (&event, 0));
  assert_success (cuStreamBeginCapture (fixture->stream,
          CU_STREAM_CAPTURE_MODE_GLOBAL));
  cuda_on_cpu_reset ();
  g_assert_cmpint (cuda_on_cpu_get_allocations (), ==, 0);
  g_assert_cmpint (cuda_on_cpu_get_handles (), ==, 0);
  assert_result (cuMemAlloc (&p, 1), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  assert_success (cuCtxPopCurrent (NULL));
  fixture_open (fixture, NULL);
  assert_success (cuMemGetInfo (&available, &total));
  g_assert_cmpuint (available, ==, total);
}

static void
test_environment (void)
{
  if (in_subprocess ("CUDA_ON_CPU_FAIL", "3:100")) {
    int version;

    assert_success (cuDriverGetVersion (&version));
    assert_success (cuDriverGetVersion (&version));
    assert_result (cuInit (0), CUDA_ERROR_NO_DEVICE);
    assert_success (cuInit (0));
    return;
  }
  g_test_trap_assert_passed ();
}

void
add_fault_tests (void)
{
  add_test ("/fault/once", test_once, NULL);
  add_test ("/fault/fatal", test_fatal, NULL);
  add_test ("/fault/reset", test_reset, NULL);
  g_test_add_func ("/fault/environment", test_environment);
}
