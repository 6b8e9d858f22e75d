/* Tests of capturing streams and of graphs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

#include <stdatomic.h>

static void
begin (Fixture * fixture)
{
  assert_success (cuStreamBeginCapture (fixture->stream,
          CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
}

static CUgraphExec
end (Fixture * fixture)
{
  CUgraph graph = NULL;
  CUgraphExec exec = NULL;

  assert_success (cuStreamEndCapture (fixture->stream, &graph));
  assert_success (cuGraphInstantiateWithFlags (&exec, graph, 0));
  assert_success (cuGraphDestroy (graph));
  return exec;
}

/* What is captured runs when launched, with the parameters of its capture. */
static void
test_replay (Fixture * fixture, gconstpointer data)
{
  float x[3] = { 1, 2, 3 }, y[3], a = 2, b = 1;
  int n = 3;
  CUdeviceptr d_x = fixture_upload (fixture, x, sizeof x);
  CUdeviceptr d_y = fixture_upload (fixture, NULL, sizeof x);
  CUgraphExec exec;

  begin (fixture);
  fixture_launch (fixture, "sample_scale", 1, 32, 0,
      (void *[]) { &d_x, &a, &b, &n });
  assert_success (cuMemcpyDtoDAsync (d_y, d_x, sizeof x, fixture->stream));
  assert_success (cuMemsetD8Async (d_y + 4, 0, 4, fixture->stream));
  a = b = 100;
  exec = end (fixture);
  fixture_download (fixture, y, d_x, sizeof y);
  g_assert_cmpfloat (y[2], ==, 3);
  for (int i = 1; i < 4; i++) {
    x[0] = 2 * x[0] + 1;
    x[2] = 2 * x[2] + 1;
    assert_success (cuGraphLaunch (exec, fixture->stream));
    fixture_download (fixture, y, d_y, sizeof y);
    g_assert_cmpfloat (y[0], ==, x[0]);
    g_assert_cmpfloat (y[1], ==, 0);
    g_assert_cmpfloat (y[2], ==, x[2]);
  }
  assert_success (cuGraphExecDestroy (exec));
  assert_success (cuMemFree (d_x));
  assert_success (cuMemFree (d_y));
}

typedef struct
{
  int n_run, n_destroyed;
} Counts;

static void
count_run (gpointer data)
{
  ((Counts *) data)->n_run++;
}

static void
count_destroyed (gpointer data)
{
  ((Counts *) data)->n_destroyed++;
}

/* Launches of one graph do not overlap, in whichever streams. */
static void
test_two_streams (Fixture * fixture, gconstpointer data)
{
  Counts counts = { 0 };
  CUgraphExec exec;
  CUstream other = NULL;

  assert_success (cuStreamCreateWithPriority (&other, 0, 0));
  begin (fixture);
  assert_success (cuda_on_cpu_enqueue (fixture->stream, count_run, &counts,
          count_destroyed));
  exec = end (fixture);
  for (int i = 0; i < 100; i++)
    assert_success (cuGraphLaunch (exec, i % 2 ? other : fixture->stream));
  assert_success (cuStreamSynchronize (other));
  assert_success (cuStreamSynchronize (fixture->stream));
  g_assert_cmpint (counts.n_run, ==, 100);
  g_assert_cmpint (counts.n_destroyed, ==, 0);
  assert_success (cuGraphExecDestroy (exec));
  g_assert_cmpint (counts.n_destroyed, ==, 1);
  assert_success (cuStreamDestroy (other));
}

static void
test_enqueue_destroys (Fixture * fixture, gconstpointer data)
{
  Counts counts = { 0 };

  assert_success (cuda_on_cpu_enqueue (fixture->stream, count_run, &counts,
          count_destroyed));
  assert_success (cuStreamSynchronize (fixture->stream));
  g_assert_cmpint (counts.n_run, ==, 1);
  g_assert_cmpint (counts.n_destroyed, ==, 1);
  assert_result (cuda_on_cpu_enqueue ((CUstream) &counts, count_run, &counts,
          count_destroyed), CUDA_ERROR_INVALID_HANDLE);
  g_assert_cmpint (counts.n_destroyed, ==, 2);
}

/* --- what upsets a capture ------------------------------------------------ */

static CUresult
call_mem_alloc (Fixture * fixture)
{
  CUdeviceptr p;

  return cuMemAlloc (&p, 1);
}

static CUresult
call_mem_free (Fixture * fixture)
{
  return cuMemFree (256);
}

static CUresult
call_synchronize (Fixture * fixture)
{
  return cuStreamSynchronize (fixture->stream);
}

static CUresult
call_module_load (Fixture * fixture)
{
  CUmodule module;

  return cuModuleLoadData (&module, "image");
}

static CUresult
call_event_query (Fixture * fixture)
{
  CUevent event;
  CUresult result;

  assert_success (cuEventCreate (&event, 0));
  result = cuEventQuery (event);
  assert_success (cuEventDestroy (event));
  return result;
}

static CUresult
call_event_synchronize (Fixture * fixture)
{
  CUevent event;
  CUresult result;

  assert_success (cuEventCreate (&event, 0));
  result = cuEventSynchronize (event);
  assert_success (cuEventDestroy (event));
  return result;
}

static CUresult (*const forbidden[]) (Fixture *) = {
  call_mem_alloc, call_mem_free, call_synchronize, call_module_load,
  call_event_query, call_event_synchronize
};

static void
test_forbidden (Fixture * fixture, gconstpointer data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (forbidden); i++) {
    CUgraph graph = NULL;
    Counts counts = { 0 };

    begin (fixture);
    assert_result (forbidden[i] (fixture),
        CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    assert_result (cuda_on_cpu_enqueue (fixture->stream, count_run, &counts,
            count_destroyed), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    g_assert_cmpint (counts.n_destroyed, ==, 1);
    assert_result (cuStreamEndCapture (fixture->stream, &graph),
        CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    g_assert_null (graph);
    assert_success (cuStreamSynchronize (fixture->stream));
  }
  assert_result (cuStreamEndCapture (fixture->stream, &(CUgraph) { NULL }),
      CUDA_ERROR_ILLEGAL_STATE);
}

static gpointer
use_other_thread (gpointer data)
{
  Fixture *fixture = data;
  CUdeviceptr p;
  CUgraph graph;

  assert_success (cuCtxPushCurrent (fixture->context));
  assert_success (cuMemAlloc (&p, 1));
  assert_success (cuMemFree (p));
  assert_result (cuStreamEndCapture (fixture->stream, &graph),
      CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
  assert_success (cuCtxPopCurrent (NULL));
  return NULL;
}

static void
test_other_thread (Fixture * fixture, gconstpointer data)
{
  begin (fixture);
  assert_result (cuStreamBeginCapture (fixture->stream,
          CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_ERROR_ILLEGAL_STATE);
  g_thread_join (g_thread_new (NULL, use_other_thread, fixture));
  assert_success (cuGraphExecDestroy (end (fixture)));
}

static void
test_events (Fixture * fixture, gconstpointer data)
{
  CUevent before, within;
  CUgraph graph = NULL;

  assert_success (cuEventCreate (&before, 0));
  assert_success (cuEventCreate (&within, 0));
  assert_success (cuEventRecord (before, fixture->stream));
  begin (fixture);
  assert_success (cuEventRecord (within, fixture->stream));
  assert_success (cuStreamWaitEvent (fixture->stream, within, 0));
  assert_result (cuStreamWaitEvent (fixture->stream, before, 0),
      CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  assert_result (cuStreamEndCapture (fixture->stream, &graph),
      CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  assert_result (cuEventQuery (within), CUDA_ERROR_CAPTURED_EVENT);
  assert_success (cuEventRecord (within, fixture->stream));
  assert_success (cuEventSynchronize (within));
  assert_success (cuEventDestroy (before));
  assert_success (cuEventDestroy (within));
}

void
add_capture_tests (void)
{
  add_test ("/capture/replay", test_replay, NULL);
  add_test ("/capture/two-streams", test_two_streams, NULL);
  add_test ("/capture/enqueue-destroys", test_enqueue_destroys, NULL);
  add_test ("/capture/forbidden", test_forbidden, NULL);
  add_test ("/capture/other-thread", test_other_thread, NULL);
  add_test ("/capture/events", test_events, NULL);
}
