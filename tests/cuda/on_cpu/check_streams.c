/* Tests of streams and events.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

#include <stdatomic.h>

/* Something a stream stops at until it is opened. Not GLib's: ThreadSanitizer does
 * not see how those order. */
typedef struct
{
  atomic_bool reached, open;
} Gate;

static void
stop_at_gate (gpointer data)
{
  Gate *gate = data;

  atomic_store (&gate->reached, TRUE);
  while (!atomic_load (&gate->open))
    g_usleep (100);
}

static void
set_one (gpointer data)
{
  *(int *) data = 1;
}

typedef struct
{
  const int *from;
  int *to;
} Copy;

static void
copy_int (gpointer data)
{
  Copy *copy = data;

  *copy->to = *copy->from;
}

static CUstream
open_stream (void)
{
  CUstream stream = NULL;

  assert_success (cuStreamCreateWithPriority (&stream, CU_STREAM_NON_BLOCKING,
          -5));
  return stream;
}

static CUevent
open_event (void)
{
  CUevent event = NULL;

  assert_success (cuEventCreate (&event, 0));
  return event;
}

/* --- tests ---------------------------------------------------------------- */

static void
test_beside (Fixture * fixture, gconstpointer data)
{
  Gate gate = { 0 };
  CUstream other = open_stream ();
  int done = 0;

  assert_success (cuda_on_cpu_enqueue (fixture->stream, stop_at_gate, &gate,
          NULL));
  assert_success (cuda_on_cpu_enqueue (other, set_one, &done, NULL));
  assert_success (cuStreamSynchronize (other));
  g_assert_cmpint (done, ==, 1);
  atomic_store (&gate.open, TRUE);
  assert_success (cuStreamSynchronize (fixture->stream));
  assert_success (cuStreamDestroy (other));
}

/* One stream waits for what another does before an event. */
static void
test_order (Fixture * fixture, gconstpointer data)
{
  Gate gate = { 0 };
  CUstream other = open_stream ();
  CUevent event = open_event ();
  int value = 0, seen = -1;
  Copy copy = { &value, &seen };

  assert_success (cuda_on_cpu_enqueue (fixture->stream, stop_at_gate, &gate,
          NULL));
  assert_success (cuda_on_cpu_enqueue (fixture->stream, set_one, &value, NULL));
  assert_success (cuEventRecord (event, fixture->stream));
  assert_success (cuStreamWaitEvent (other, event, 0));
  assert_success (cuda_on_cpu_enqueue (other, copy_int, &copy, NULL));
  g_usleep (2000);
  atomic_store (&gate.open, TRUE);
  assert_success (cuStreamSynchronize (other));
  g_assert_cmpint (seen, ==, 1);
  assert_success (cuEventDestroy (event));
  assert_success (cuStreamDestroy (other));
}

/* A wait means the record that was latest when it was asked for. */
static void
test_wait_latest (Fixture * fixture, gconstpointer data)
{
  Gate gate = { 0 };
  CUstream other = open_stream ();
  CUevent event = open_event ();
  int done = 0;

  assert_success (cuStreamWaitEvent (other, event, 0));
  assert_success (cuStreamSynchronize (other));
  assert_success (cuEventQuery (event));
  assert_success (cuEventSynchronize (event));
  assert_success (cuEventRecord (event, fixture->stream));
  assert_success (cuStreamWaitEvent (other, event, 0));
  assert_success (cuda_on_cpu_enqueue (fixture->stream, stop_at_gate, &gate,
          NULL));
  assert_success (cuEventRecord (event, fixture->stream));
  assert_success (cuda_on_cpu_enqueue (other, set_one, &done, NULL));
  assert_success (cuStreamSynchronize (other));
  g_assert_cmpint (done, ==, 1);
  assert_result (cuEventQuery (event), CUDA_ERROR_NOT_READY);
  atomic_store (&gate.open, TRUE);
  assert_success (cuEventSynchronize (event));
  assert_success (cuEventQuery (event));
  assert_success (cuEventDestroy (event));
  assert_success (cuStreamDestroy (other));
}

static void
wait_a_little (gpointer data)
{
  g_usleep (5000);
}

static void
test_elapsed (Fixture * fixture, gconstpointer data)
{
  CUevent start = open_event (), end = open_event (), untimed = NULL;
  float ms = -1;

  assert_success (cuEventCreate (&untimed, CU_EVENT_DISABLE_TIMING));
  assert_result (cuEventElapsedTime (&ms, start, end),
      CUDA_ERROR_INVALID_HANDLE);
  assert_success (cuEventRecord (start, fixture->stream));
  assert_success (cuEventRecord (untimed, fixture->stream));
  assert_success (cuda_on_cpu_enqueue (fixture->stream, wait_a_little, NULL,
          NULL));
  assert_success (cuEventRecord (end, fixture->stream));
  assert_result (cuEventElapsedTime (&ms, start, end), CUDA_ERROR_NOT_READY);
  assert_success (cuEventSynchronize (end));
  assert_success (cuEventElapsedTime (&ms, start, end));
  g_assert_cmpfloat (ms, >=, 5);
  g_assert_cmpfloat (ms, <, 5000);
  assert_result (cuEventElapsedTime (&ms, untimed, end),
      CUDA_ERROR_INVALID_HANDLE);
  assert_success (cuEventDestroy (start));
  assert_success (cuEventDestroy (end));
  assert_success (cuEventDestroy (untimed));
  assert_result (cuEventRecord (end, fixture->stream),
      CUDA_ERROR_INVALID_HANDLE);
}

/* Pinned memory is read when the stream gets there, not before. */
static void
test_pinned (Fixture * fixture, gconstpointer data)
{
  Gate gate = { 0 };
  void *host = NULL;
  CUdeviceptr p = fixture_upload (fixture, NULL, sizeof (int));
  int value = 0;

  assert_success (cuMemHostAlloc (&host, sizeof (int), 0));
  *(int *) host = 1;
  assert_success (cuda_on_cpu_enqueue (fixture->stream, stop_at_gate, &gate,
          NULL));
  assert_success (cuMemcpyHtoDAsync (p, host, sizeof (int), fixture->stream));
  *(int *) host = 2;
  atomic_store (&gate.open, TRUE);
  fixture_download (fixture, &value, p, sizeof value);
  g_assert_cmpint (value, ==, 2);
  assert_success (cuMemFree (p));
  assert_success (cuMemFreeHost (host));
}

/* What a stream has when it is destroyed, it still does. */
static void
test_destroy (Fixture * fixture, gconstpointer data)
{
  CUstream stream = open_stream ();
  CUevent event = open_event ();
  int done = 0;

  assert_success (cuda_on_cpu_enqueue (stream, wait_a_little, NULL, NULL));
  assert_success (cuda_on_cpu_enqueue (stream, set_one, &done, NULL));
  assert_success (cuEventRecord (event, stream));
  assert_success (cuStreamDestroy (stream));
  assert_result (cuStreamSynchronize (stream), CUDA_ERROR_INVALID_HANDLE);
  assert_result (cuStreamDestroy (stream), CUDA_ERROR_INVALID_HANDLE);
  assert_success (cuEventSynchronize (event));
  g_assert_cmpint (done, ==, 1);
  assert_success (cuEventDestroy (event));
}

static void
test_default (Fixture * fixture, gconstpointer data)
{
  int done = 0;
  CUdeviceptr p = 0;

  assert_success (cuMemAlloc (&p, sizeof done));
  assert_success (cuMemsetD8Async (p, 1, sizeof done, NULL));
  assert_success (cuMemcpyDtoHAsync (&done, p, sizeof done, NULL));
  assert_success (cuStreamSynchronize (NULL));
  g_assert_cmphex (done, ==, 0x01010101);
  assert_success (cuMemFree (p));
}

/* Two streams without an event between them. */
static void
test_race (void)
{
#ifdef __SANITIZE_THREAD__
  if (in_subprocess (NULL, NULL)) {
    Fixture fixture;
    CUstream other;
    int value = 0, seen = 0;
    Copy copy = { &value, &seen };

    fixture_open (&fixture, NULL);
    other = open_stream ();
    assert_success (cuda_on_cpu_enqueue (fixture.stream, set_one, &value,
            NULL));
    assert_success (cuda_on_cpu_enqueue (other, copy_int, &copy, NULL));
    assert_success (cuStreamSynchronize (fixture.stream));
    assert_success (cuStreamSynchronize (other));
    return;
  }
  g_test_trap_assert_stderr ("*data race*copy_int*");
#else
  g_test_skip ("only ThreadSanitizer sees it");
#endif
}

void
add_stream_tests (void)
{
  add_test ("/stream/beside", test_beside, NULL);
  add_test ("/stream/order", test_order, NULL);
  add_test ("/stream/wait-latest", test_wait_latest, NULL);
  add_test ("/stream/elapsed", test_elapsed, NULL);
  add_test ("/stream/pinned", test_pinned, NULL);
  add_test ("/stream/destroy", test_destroy, NULL);
  add_test ("/stream/default", test_default, NULL);
  g_test_add_func ("/stream/race", test_race);
}
