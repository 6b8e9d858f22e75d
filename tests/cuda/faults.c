/* Every call to the driver and to cuDNN fails once: no crash, no leak, an error that
 * says what failed, and the frames after it are right. Of the many calls of a
 * stream's making only some are tried, of the others all.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/cudnn.h"
#include "cuda/driver.h"
#include "engine/stream.h"
#include "stand_ins.h"

#include <string.h>

/* For initialisers of VideoParams: a model that takes little time. */
#define TINY .model = "tiny", .device = DLORAL_DEVICE_CUDA, \
    .width = 16, .height = 16

/* --- Faults --------------------------------------------------------------------- */

typedef struct
{
  gboolean cudnn;
  int code;
  DloralError error;
  const char *text;             /* in the error's message */
} Fault;

static const Fault unknown = { FALSE, CUDA_ERROR_UNKNOWN, DLORAL_ERROR_DEVICE,
  "failed with error 999, CUDA_ERROR_UNKNOWN: " };
static const Fault no_memory = { FALSE, CUDA_ERROR_OUT_OF_MEMORY,
  DLORAL_ERROR_MEMORY, NULL };
static const Fault fatal = { FALSE, CUDA_ERROR_ILLEGAL_ADDRESS,
  DLORAL_ERROR_DEVICE_LOST, "this process" };
static const Fault execution = { TRUE, CUDNN_STATUS_EXECUTION_FAILED,
  DLORAL_ERROR_DEVICE, "failed with CUDNN_STATUS_EXECUTION_FAILED: cudnn" };
static const Fault allocation = { TRUE,
  CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, DLORAL_ERROR_MEMORY,
  "failed with CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED: cudnn" };

static void
fail_at (const Fault *fault, long call)
{
  const StandIns *s = stand_ins_get ();

  (fault->cudnn ? s->cudnn_fail_at : s->cuda_fail_at) (call, fault->code);
}

/* What failed in the driver may have been told by cuDNN, which called it. */
static void
check_error (const GError *error, const Fault *fault)
{
  g_assert_nonnull (error);
  g_debug ("%s", error->message);
  g_assert_true (error->domain == DLORAL_ERROR);
  g_assert_nonnull (strstr (error->message, "cuda: "));
  if (!fault->cudnn && strstr (error->message, "cuDNN's "))
    return;
  g_assert_cmpint (error->code, ==, (int) fault->error);
  if (fault->text)
    g_assert_nonnull (strstr (error->message, fault->text));
  else
    g_assert_true (strstr (error->message, " failed with error 2, ")
        || strstr (error->message, " bytes are needed and "));
}

/* --- What may fail and change nothing ------------------------------------------- */

static DloralDriver driver;     /* before it is watched */
static DloralCudnnApi cudnn;
static const char *tolerated;   /* atomic: which of these failed first */

static void
tolerate (const char *function)
{
  (void) g_atomic_pointer_compare_and_exchange (&tolerated, NULL, function);
}

/* Frees, and waiting before that; what tells times, and whether to wait. */
#define TOLERATED(X) \
  X (cuCtxPushCurrent, CUcontext) X (cuCtxPopCurrent, CUcontext *) \
  X (cuDevicePrimaryCtxRelease, CUdevice) X (cuModuleUnload, CUmodule) \
  X (cuMemFree, CUdeviceptr) X (cuMemFreeHost, void *) \
  X (cuStreamSynchronize, CUstream) X (cuStreamDestroy, CUstream) \
  X (cuGraphDestroy, CUgraph) X (cuGraphExecDestroy, CUgraphExec) \
  X (cuEventDestroy, CUevent) X (cuEventQuery, CUevent)

#define DEFINE(function, Type) \
static CUresult \
watch_ ## function (Type object) \
{ \
  CUresult result = driver.function (object); \
\
  if (result != CUDA_SUCCESS && result != CUDA_ERROR_NOT_READY) \
    tolerate (#function); \
  return result; \
}
TOLERATED (DEFINE)
#undef DEFINE

static CUresult
watch_elapsed (float *ms, CUevent from, CUevent to)
{
  CUresult result = driver.cuEventElapsedTime (ms, from, to);

  if (result != CUDA_SUCCESS)
    tolerate ("cuEventElapsedTime");
  return result;
}

static cudnnStatus_t
watch_destroy_descriptor (cudnnBackendDescriptor_t descriptor)
{
  cudnnStatus_t status = cudnn.cudnnBackendDestroyDescriptor (descriptor);

  if (status != CUDNN_STATUS_SUCCESS)
    tolerate ("cudnnBackendDestroyDescriptor");
  return status;
}

static cudnnStatus_t
watch_destroy (cudnnHandle_t handle)
{
  cudnnStatus_t status = cudnn.cudnnDestroy (handle);

  if (status != CUDNN_STATUS_SUCCESS)
    tolerate ("cudnnDestroy");
  return status;
}

/* The backend's tables are the process's; nothing else uses them yet. */
static void
watch (void)
{
  GError *error = NULL;
  DloralDriver *d = (DloralDriver *) dloral_driver_get (&error);
  DloralCudnnApi *c = (DloralCudnnApi *) dloral_cudnn_get_api (&error);

  g_assert_no_error (error);
  driver = *d;
  cudnn = *c;
#define WATCH(function, Type) d->function = watch_ ## function;
  TOLERATED (WATCH)
#undef WATCH
  d->cuEventElapsedTime = watch_elapsed;
  c->cudnnBackendDestroyDescriptor = watch_destroy_descriptor;
  c->cudnnDestroy = watch_destroy;
}

/* --- What is right -------------------------------------------------------------- */

/* The video from its n-th frame on, without and with changed conditions. */
static Video expected[2][VIDEO_FRAMES];

static void
expect (const VideoParams *params)
{
  for (int steady = 0; steady < 2; steady++)
    for (int first = 0; first < VIDEO_FRAMES; first++) {
      VideoParams p = *params;

      p.async_depth = 0;
      p.first = first;
      p.steady = steady;
      video_restore (&expected[!steady][first], &p);
      g_assert_no_error (expected[!steady][first].opening);
      g_assert_no_error (expected[!steady][first].changing);
      g_assert_nonnull (expected[!steady][first].pictures[VIDEO_FRAMES - 1]);
    }
  stand_ins_assert_clean ();
}

static void
expect_no_more (void)
{
  for (int i = 0; i < 2 * VIDEO_FRAMES; i++)
    video_clear (&expected[i / VIDEO_FRAMES][i % VIDEO_FRAMES]);
}

/* Another engine of cuDNN's, or our kernels in its place, round otherwise. */
static gboolean
is_near (const guint8 *a, const guint8 *b, gsize n, int distance)
{
  for (gsize i = 0; i < n; i++)
    if (ABS (a[i] - b[i]) > distance)
      return FALSE;
  return TRUE;
}

static gboolean
is_right (const guint8 *picture, const VideoParams *params, int t, int changed,
    int first, int distance)
{
  return is_near (picture, expected[changed][first].pictures[t],
      video_get_size (params), distance);
}

/* A frame knows those from `start` on. Of a frame that failed, others in flight
 * may have known more. */
static void
check_picture (const Video *video, const VideoParams *params, int t, int start,
    int distance)
{
  int changed = t >= VIDEO_CHANGE && video->changing == NULL;
  gboolean right = is_right (video->pictures[t], params, t, changed, start,
      distance);

  for (int first = 0; params->async_depth > 0 && first <= t; first++)
    right = right || is_right (video->pictures[t], params, t, changed, first,
        distance);
  g_assert_true (right);
}

/* Returns how many things failed. */
static int
check_video (const Video *video, const VideoParams *params, const Fault *fault)
{
  int failures = 0, start = 0;

  if (video->opening) {
    check_error (video->opening, fault);
    return 1;
  }
  if (video->changing) {
    check_error (video->changing, fault);
    failures++;
  }
  for (int t = 0; t < VIDEO_FRAMES; t++) {
    if (video->errors[t]) {
      check_error (video->errors[t], fault);
      failures++;
      start = t + 1;
    } else {
      check_picture (video, params, t, start, fault->cudnn ? 4 : 0);
    }
  }
  return failures;
}

/* --- Once ----------------------------------------------------------------------- */

/* How far from one call to the next that fails, in each phase. */
typedef struct
{
  const Fault *fault;
  long strides[VIDEO_N_PHASES];
} Series;

/* The context could not be entered, so nothing of it could be freed. */
static void
forget_leaks (void)
{
  g_debug ("leaked: %ld, %ld", stand_ins_get ()->cuda_get_allocations (),
      stand_ins_get ()->cuda_get_handles ());
  stand_ins_get ()->cuda_reset ();
}

/* Plans are made otherwise, or not timed, or not kept; there is no cuBLASLt to
 * choose from. */
static gboolean
has_other_means (const VideoParams *params, const Fault *fault,
    VideoPhase phase)
{
  return (params->tune && phase == VIDEO_OPENING)
      || ((fault->cudnn || params->tune)
      && (phase == VIDEO_STARTING || phase == VIDEO_CHANGING));
}

static void
fail_once (const VideoParams *params, const Fault *fault, VideoPhase phase,
    long call)
{
  Video video;
  int failures;

  g_debug ("%s call %ld", fault->cudnn ? "cuDNN" : "driver", call);
  g_atomic_pointer_set (&tolerated, NULL);
  fail_at (fault, call);
  video_restore (&video, params);
  fail_at (fault, 0);
  failures = check_video (&video, params, fault);
  if (tolerated)
    g_debug ("%s failed, %d failures", tolerated, failures);
  g_assert_cmpint (failures, <=, 1);
  if (failures == 0 && !has_other_means (params, fault, phase))
    g_assert_nonnull (tolerated);
  if (failures == 0 && g_strcmp0 (tolerated, "cuCtxPushCurrent") == 0)
    forget_leaks ();
  stand_ins_assert_clean ();
  video_clear (&video);
}

static void
run_series (const VideoParams *params, const Series *series)
{
  Video whole;
  const long *calls;
  long call = 1;

  video_restore (&whole, params);
  g_assert_no_error (whole.opening);
  calls = series->fault->cudnn ? whole.cudnn_calls : whole.cuda_calls;
  for (VideoPhase phase = 0; phase < VIDEO_N_PHASES; phase++)
    for (; call <= calls[phase]; call += series->strides[phase])
      fail_once (params, series->fault, phase, call);
  video_clear (&whole);
}

static void
run_all (const VideoParams *params, int n, const Series *series)
{
  expect (params);
  watch ();
  for (int i = 0; i < n; i++)
    run_series (params, &series[i]);
  expect_no_more ();
}

/* --- For good ------------------------------------------------------------------- */

static void
check_lost (const VideoParams *params)
{
  Video video;

  video_restore (&video, params);
  check_error (video.opening, &fatal);
  video_clear (&video);
}

/* After it nothing works any more, and nothing on the device can be freed. */
static void
fail_for_good (const VideoParams *params, long call)
{
  gboolean lost = FALSE;
  Video video;

  g_debug ("driver call %ld", call);
  fail_at (&fatal, call);
  video_restore (&video, params);
  if (video.opening)
    check_error (video.opening, &fatal);
  for (int t = 0; t < VIDEO_FRAMES && !video.opening; t++) {
    lost = lost || video.errors[t];
    if (lost)
      check_error (video.errors[t], &fatal);
    if (t + 1 == VIDEO_CHANGE && (lost || video.changing)) {
      check_error (video.changing, &fatal);
      lost = TRUE;
    }
  }
  video_clear (&video);
  check_lost (params);
  stand_ins_get ()->cuda_reset ();
}

/* --- Again and again ------------------------------------------------------------ */

/* A frame in which a call may fail. Whether it did. */
static gboolean
restore_one (DloralStream *s, const VideoParams *params, const Fault *fault,
    int t, int first)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *picture = NULL;

  video_submit (s, params, t, t == first);
  picture = video_collect (s, params, t, &error);
  if (error)
    check_error (error, fault);
  else
    g_assert_true (is_right (picture, params, t, 0, first, 0));
  return error != NULL;
}

/* Frames 2 and 3, and then again 3 alone. Whether there was such a call. */
static gboolean
restore_three (DloralStream *s, const VideoParams *params, const Fault *fault,
    long call)
{
  const StandIns *c = stand_ins_get ();
  long (*get_calls) (void) = fault->cudnn ? c->cudnn_get_calls :
      c->cuda_get_calls;
  long end = get_calls () + call;
  gboolean failed;

  g_debug ("call %ld of a frame", call);
  g_atomic_pointer_set (&tolerated, NULL);
  fail_at (fault, call);
  failed = restore_one (s, params, fault, 2, 2);
  failed |= restore_one (s, params, fault, 3, failed ? 3 : 2);
  fail_at (fault, 0);
  end -= get_calls ();
  g_assert_false (restore_one (s, params, fault, 3, 3));
  g_assert_true (failed || g_atomic_pointer_get (&tolerated) || end > 0);
  return end <= 0;
}

/* Every step-th call of two frames, again and again of the same stream. */
static void
run_on (const VideoParams *params, const Fault *fault, int step)
{
  GError *error = NULL;
  DloralModel *model = video_open (params, &error);
  DloralStream *s = video_start (model, params, &error);
  long call = 1;

  g_assert_no_error (error);
  while (restore_three (s, params, fault, call))
    call += step;
  dloral_stream_free (s);
  dloral_model_unref (model);
  stand_ins_assert_clean ();
}

/* --- Tests ---------------------------------------------------------------------- */

static void
test_driver (gconstpointer depth)
{
  const VideoParams params = { TINY, .async_depth = GPOINTER_TO_INT (depth) };
  const Series series[] = {
    { &unknown, { 1, 17, 1, 23, 23, 23 } },
    { &no_memory, { 5, 67, 19, 67, 67, 67 } },
  };

  const Series fewer[] = {
    { &unknown, { 7, 37, 37, 37, 37, 37 } },
    { &no_memory, { 22, 97, 97, 97, 97, 97 } },
  };

  if (stand_ins_enter_process (NULL))
    run_all (&params, G_N_ELEMENTS (series), depth ? fewer : series);
}

/* Plans are made, since none can be kept; or read. */
static void
test_cudnn (gconstpointer depth)
{
  static const char *const nowhere[] = { "XDG_CACHE_HOME", "/dev/null", NULL };
  const VideoParams params = { TINY, .async_depth = GPOINTER_TO_INT (depth) };
  const Series series[] = {
    { &execution, { 1, 307, 7, 307, 61, 13 } },
    { &allocation, { 7, 1009, 31, 1009, 211, 31 } },
  };
  const Series fewer[] = {
    { &execution, { 7, 701, 701, 701, 61, 13 } },
    { &allocation, { 7, 3001, 3001, 3001, 211, 31 } },
  };

  if (stand_ins_enter_process (depth ? NULL : nowhere))
    run_all (&params, G_N_ELEMENTS (series), depth ? fewer : series);
}

static void
test_running (gconstpointer vae)
{
  const VideoParams params = { TINY };
  const VideoParams remembers = { .model = "tiny-video",
    .device = DLORAL_DEVICE_CUDA, .width = 16, .height = 16,
    .vae = DLORAL_VAE_TINY };
  const VideoParams *p = vae ? &remembers : &params;
  int step = vae ? 3 : 1;

  if (!stand_ins_enter_process (NULL))
    return;
  expect (p);
  watch ();
  run_on (p, &unknown, step);
  run_on (p, &no_memory, 5 * step);
  run_on (p, &execution, step);
  run_on (p, &allocation, 3 * step);
  expect_no_more ();
}

/* Strengths that matter: they change, or stay as they were. */
static void
test_adapters (void)
{
  const VideoParams params = { .model = "conv", .device = DLORAL_DEVICE_CUDA,
    .width = 16, .height = 16 };
  const Series series =
      { &unknown, { 1000, 1000, 1000, 151, 1000, 1000 } };

  if (!stand_ins_enter_process (NULL))
    return;
  expect (&params);
  g_assert_cmpint (memcmp (expected[0][0].pictures[VIDEO_CHANGE],
          expected[1][0].pictures[VIDEO_CHANGE], video_get_size (&params)), !=,
      0);
  watch ();
  run_series (&params, &series);
  expect_no_more ();
}

/* Operators are timed, or not where events cannot be made. */
static void
test_profile (void)
{
  const VideoParams params = { TINY };
  const DloralOpTime *times;
  GError *error = NULL;
  DloralModel *model;
  DloralStream *s;

  if (!stand_ins_enter_process (NULL))
    return;
  expect (&params);
  watch ();
  model = video_open (&params, &error);
  s = video_start (model, &params, &error);
  g_assert_no_error (error);
  for (long call = 1; call <= 4; call++) {
    fail_at (&unknown, call);
    dloral_stream_profile (s, DLORAL_STAGE_RESTORE, TRUE, &times);
    fail_at (&unknown, 0);
    g_assert_false (restore_three (s, &params, &unknown, G_MAXINT));
    fail_at (&unknown, call);
    dloral_stream_profile (s, DLORAL_STAGE_RESTORE, FALSE, &times);
    fail_at (&unknown, 0);
  }
  dloral_stream_profile (s, DLORAL_STAGE_RESTORE, TRUE, &times);
  for (long call = 1; restore_three (s, &params, &unknown, call); call += 23)
    continue;
  dloral_stream_free (s);
  dloral_model_unref (model);
  stand_ins_assert_clean ();
  expect_no_more ();
}

/* Loading that failed may succeed the next time. */
static void
test_loading (void)
{
  const VideoParams params = { TINY };
  GError *error = NULL;
  DloralModel *model;

  if (!stand_ins_enter_process (NULL))
    return;
  for (long call = 1; call <= 4; call++) {
    fail_at (&unknown, call);
    g_assert_null (video_open (&params, &error));
    check_error (error, &unknown);
    g_clear_error (&error);
  }
  model = video_open (&params, &error);
  g_assert_no_error (error);
  dloral_model_unref (model);
  stand_ins_assert_clean ();
}

static void
test_fatal (gconstpointer depth)
{
  const VideoParams params = { TINY, .async_depth = GPOINTER_TO_INT (depth) };
  Video whole;

  if (!stand_ins_enter_process (NULL))
    return;
  video_restore (&whole, &params);
  g_assert_no_error (whole.opening);
  for (long call = 1; call <= whole.cuda_calls[VIDEO_FREEING]; call +=
      call <= whole.cuda_calls[VIDEO_OPENING] ? 3 : 29)
    fail_for_good (&params, call);
  video_clear (&whole);
}

/* Two streams on one GPU that is lost; the CPU is there. */
static void
test_lost (void)
{
  const VideoParams bf16 = { TINY };
  VideoParams f32 = { TINY, .precision = DLORAL_PRECISION_F32 };
  const VideoParams *params[] = { &bf16, &f32 };
  DloralModel *models[2];
  DloralStream *streams[2];
  GError *error = NULL;
  Video video;

  if (!stand_ins_enter_process (NULL))
    return;
  for (int i = 0; i < 2; i++) {
    models[i] = video_open (params[i], &error);
    g_assert_no_error (error);
    streams[i] = video_start (models[i], params[i], &error);
    g_assert_no_error (error);
  }
  fail_at (&fatal, 20);
  for (int t = 0; t < 4; t++) {
    video_submit (streams[t % 2], params[t % 2], t, FALSE);
    g_assert_null (video_collect (streams[t % 2], params[t % 2], t, &error));
    check_error (error, &fatal);
    g_clear_error (&error);
  }
  f32.device = DLORAL_DEVICE_CPU;
  video_restore (&video, &f32);
  g_assert_no_error (video.opening);
  g_assert_nonnull (video.pictures[VIDEO_FRAMES - 1]);
  video_clear (&video);
  for (int i = 0; i < 2; i++) {
    dloral_stream_free (streams[i]);
    dloral_model_unref (models[i]);
  }
  check_lost (&bf16);
  f32.device = DLORAL_DEVICE_AUTO;
  models[0] = video_open (&f32, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (dloral_model_get_device_name (models[0]), ==, "cpu");
  g_assert_nonnull (strstr (dloral_model_get_device_note (models[0]),
          "this process cannot use the GPU any more"));
  dloral_model_unref (models[0]);
}

/* Plans are timed, in memory made for that. */
static void
test_timing (void)
{
  static const char *const nowhere[] = { "XDG_CACHE_HOME", "/dev/null", NULL };
  const VideoParams params = { TINY, .tune = TRUE };
  const Series series[] = {
    { &unknown, { 22, 307, 1009, 307, 1009, 1009 } },
    { &no_memory, { 22, 503, 1009, 1009, 1009, 1009 } },
    { &execution, { 22, 1009, 10007, 1009, 10007, 10007 } },
  };

  if (stand_ins_enter_process (nowhere))
    run_all (&params, G_N_ELEMENTS (series), series);
}

static void
test_text (void)
{
  const VideoParams params = { .model = "sd",
    .device = DLORAL_DEVICE_CUDA, .width = 16, .height = 16 };
  const Series series[] = {
    { &unknown, { 50, 1601, 1601, 307, 1601, 1601 } },
    { &execution, { 50, 40009, 40009, 10007, 40009, 40009 } },
  };

  if (stand_ins_enter_process (NULL))
    run_all (&params, G_N_ELEMENTS (series), series);
}

/* --- Tags ----------------------------------------------------------------------- */

/* By a tagger opened for it. */
static char *
find_tags (DloralModel *model, GError **error)
{
  static const guint8 frame[3 * 24 * 20];
  g_autofree char *path = g_test_build_filename (G_TEST_DIST,
      "agreement/data/tagger/tagger.safetensors", NULL);
  DloralTagger *tagger = dloral_tagger_new (model, path, FALSE, NULL, error);
  DloralVideoFormat format;
  char *tags;

  g_assert_nonnull (tagger);    /* nothing of the device is used for that */
  dloral_video_format_init_rgb (&format, 24, 20, FALSE);
  tags = dloral_tagger_run (tagger, &format, frame, NULL, error);
  dloral_tagger_free (tagger);
  return tags;
}

static void
fail_tags_once (DloralModel *model, const Fault *fault, long call,
    const char *right)
{
  g_autofree char *tags = NULL, *again = NULL;
  g_autoptr (GError) error = NULL;

  g_debug ("%s call %ld", fault->cudnn ? "cuDNN" : "driver", call);
  g_atomic_pointer_set (&tolerated, NULL);
  fail_at (fault, call);
  tags = find_tags (model, &error);
  fail_at (fault, 0);
  if (tags == NULL)
    check_error (error, fault);
  else
    g_assert_cmpstr (tags, ==, right);
  if (tags && !fault->cudnn)
    g_assert_nonnull (tolerated);
  again = find_tags (model, NULL);
  g_assert_cmpstr (again, ==, right);
}

static void
run_tags (const VideoParams *params, const Fault *fault, long stride)
{
  const StandIns *s = stand_ins_get ();
  long (*get_calls) (void) =
      fault->cudnn ? s->cudnn_get_calls : s->cuda_get_calls;
  DloralModel *model = video_open (params, NULL);
  long before = get_calls (), n;
  g_autofree char *right = find_tags (model, NULL);

  g_assert_nonnull (right);
  n = get_calls () - before;
  dloral_model_unref (model);
  for (long call = 1; call <= n; call += stride) {
    model = video_open (params, NULL);
    fail_tags_once (model, fault, call, right);
    dloral_model_unref (model);
    if (g_strcmp0 (tolerated, "cuCtxPushCurrent") == 0)
      forget_leaks ();
    stand_ins_assert_clean ();
  }
}

static void
test_tags (void)
{
  const VideoParams params = { TINY };

  if (!stand_ins_enter_process (NULL))
    return;
  watch ();
  run_tags (&params, &unknown, 53);
  run_tags (&params, &no_memory, 101);
  run_tags (&params, &execution, 1009);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/driver/one", GINT_TO_POINTER (0), test_driver);
  g_test_add_data_func ("/driver/two", GINT_TO_POINTER (2), test_driver);
  g_test_add_data_func ("/cudnn/one", GINT_TO_POINTER (0), test_cudnn);
  g_test_add_data_func ("/cudnn/two", GINT_TO_POINTER (2), test_cudnn);
  g_test_add_data_func ("/running/full", GINT_TO_POINTER (DLORAL_VAE_FULL),
      test_running);
  g_test_add_data_func ("/running/tiny", GINT_TO_POINTER (DLORAL_VAE_TINY),
      test_running);
  g_test_add_data_func ("/fatal/one", GINT_TO_POINTER (0), test_fatal);
  g_test_add_data_func ("/fatal/two", GINT_TO_POINTER (2), test_fatal);
  g_test_add_func ("/lost", test_lost);
  g_test_add_func ("/adapters", test_adapters);
  g_test_add_func ("/timing", test_timing);
  g_test_add_func ("/profile", test_profile);
  g_test_add_func ("/loading", test_loading);
  g_test_add_func ("/text", test_text);
  g_test_add_func ("/tags", test_tags);
  return g_test_run ();
}
