/* Finding the stand-ins' controls; restoring a video and keeping what it says.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stand_ins.h"
#include "tests/folder.h"

#include <cuda.h>
#include <dlfcn.h>
#include <string.h>

#define CUBLASLT "libcublasLt.so.13"    /* need not be there */

/* --- Controls ------------------------------------------------------------------- */

static gpointer
find (const char *library, const char *name)
{
  gpointer handle = dlopen (library, RTLD_NOW | RTLD_LOCAL);
  gpointer symbol = handle ? dlsym (handle, name) : NULL;

  if (symbol == NULL && !g_str_equal (library, CUBLASLT))
    g_error ("%s has no %s; run the tests with meson", library, name);
  return symbol;
}

const StandIns *
stand_ins_get (void)
{
  static StandIns s;

  if (s.cuda_fail_at)
    return &s;
#define FIND(library, member, name) \
  s.member = (__typeof__ (s.member)) find (library, name)
  FIND ("libcuda.so.1", cuda_fail_at, "cuda_on_cpu_fail_at");
  FIND ("libcuda.so.1", cuda_get_calls, "cuda_on_cpu_get_calls");
  FIND ("libcuda.so.1", cuda_reset, "cuda_on_cpu_reset");
  FIND ("libcuda.so.1", cuda_get_allocations, "cuda_on_cpu_get_allocations");
  FIND ("libcuda.so.1", cuda_get_handles, "cuda_on_cpu_get_handles");
  FIND ("libcuda.so.1", cuda_pop_context, "cuCtxPopCurrent_v2");
  FIND ("libcudnn.so.9", cudnn_fail_at, "cudnn_on_cpu_fail_at");
  FIND ("libcudnn.so.9", cudnn_get_calls, "cudnn_on_cpu_get_calls");
  FIND ("libcudnn.so.9", cudnn_get_descriptors,
      "cudnn_on_cpu_get_descriptors");
  FIND (CUBLASLT, cublaslt_fail_at, "cublaslt_on_cpu_fail_at");
  FIND (CUBLASLT, cublaslt_get_calls, "cublaslt_on_cpu_get_calls");
  FIND (CUBLASLT, cublaslt_get_descriptors,
      "cublaslt_on_cpu_get_descriptors");
#undef FIND
  return &s;
}

void
stand_ins_assert_clean (void)
{
  const StandIns *s = stand_ins_get ();
  gpointer context = NULL;

  g_assert_cmpint (s->cuda_get_allocations (), ==, 0);
  g_assert_cmpint (s->cuda_get_handles (), ==, 0);
  g_assert_cmpint (s->cudnn_get_descriptors (), ==, 0);
  if (s->cublaslt_get_descriptors)
    g_assert_cmpint (s->cublaslt_get_descriptors (), ==, 0);
  g_assert_cmpint (s->cuda_pop_context (&context), ==,
      CUDA_ERROR_INVALID_CONTEXT);
}

/* --- Processes ------------------------------------------------------------------ */

static void
set_variable (const char *name, const char *value)
{
  if (value)
    g_setenv (name, value, TRUE);
  else
    g_unsetenv (name);
}

static void
run_process (const char *const *environment)
{
  g_autoptr (GPtrArray) before = g_ptr_array_new_with_free_func (g_free);

  for (int i = 0; environment && environment[i]; i += 2) {
    g_ptr_array_add (before, g_strdup (g_getenv (environment[i])));
    set_variable (environment[i], environment[i + 1]);
  }
  g_test_trap_subprocess (NULL, 0, 0);
  for (guint i = 0; i < before->len; i++)
    set_variable (environment[2 * i], before->pdata[i]);
}

gboolean
stand_ins_enter_process (const char *const *environment)
{
  g_autofree char *before = g_strdup (g_getenv ("XDG_CACHE_HOME"));
  g_autofree char *cache = NULL;

  if (g_test_subprocess ())
    return TRUE;
  cache = test_folder_new ();
  g_assert_nonnull (cache);
  set_variable ("XDG_CACHE_HOME", cache);
  run_process (environment);
  set_variable ("XDG_CACHE_HOME", before);
  test_folder_remove (cache);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr ("");
  return FALSE;
}

/* --- A video -------------------------------------------------------------------- */

static void
end_phase (Video *video, VideoPhase phase)
{
  const StandIns *s = stand_ins_get ();

  video->cuda_calls[phase] = s->cuda_get_calls () - video->cuda_begin;
  video->cudnn_calls[phase] = s->cudnn_get_calls () - video->cudnn_begin;
}

DloralModel *
video_open (const VideoParams *params, GError **error)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "agreement",
      "data", params->model, "model.safetensors", NULL);
  const DloralModelParams m = { .path = path, .device = params->device,
    .precision = params->precision, .cuda_device_id = -1, .tune = params->tune
  };

  return dloral_model_open (&m, error);
}

DloralStream *
video_start (DloralModel *model, const VideoParams *params, GError **error)
{
  DloralStreamParams s = { .width = params->width, .height = params->height,
    .async_depth = params->async_depth, .vae = params->vae,
    .tile_size = params->tile_size, DLORAL_STREAM_DEFAULTS
  };

  s.scene_cut_threshold = 0;
  return dloral_stream_new (model, &s, error);
}

/* Frame t: a moving pattern, different in every pixel. */
void
video_submit (DloralStream *s, const VideoParams *params, int t,
    gboolean discont)
{
  DloralFrame *f = dloral_stream_acquire (s);

  for (int y = 0; y < params->height; y++)
    for (int x = 0; x < 3 * params->width; x++)
      f->lq[y * f->lq_stride + x] =
          (guint8) (127 + 60 * ((x / 3 + t) / 4 % 2) + (y * 7 + x * 3) % 50);
  f->discont = discont;
  f->user_data = GINT_TO_POINTER (t);
  dloral_stream_submit (s, f);
}

guint8 *
video_collect (DloralStream *s, const VideoParams *params, int t,
    GError **error)
{
  DloralFrame *f = dloral_stream_collect (s, TRUE);
  guint8 *picture = NULL;

  g_assert_nonnull (f);
  g_assert_cmpint (GPOINTER_TO_INT (f->user_data), ==, t);
  if (f->error) {
    g_propagate_error (error, g_steal_pointer (&f->error));
  } else {
    g_assert_false (f->plain);
    picture = g_memdup2 (f->hr, video_get_size (params));
  }
  dloral_stream_release (s, f);
  return picture;
}

static void
collect (DloralStream *s, Video *video, const VideoParams *params, int t)
{
  video->pictures[t] = video_collect (s, params, t, &video->errors[t]);
}

/* Frames from `first` to `end`, as many in flight as may be. */
static void
restore_frames (DloralStream *s, Video *video, const VideoParams *params,
    int first, int end)
{
  int depth = MAX (params->async_depth, 1), collected = first;

  for (int t = first; t < end; t++) {
    if (t - collected == depth)
      collect (s, video, params, collected++);
    video_submit (s, params, t, FALSE);
  }
  while (collected < end)
    collect (s, video, params, collected++);
}

static void
restore_all (DloralStream *s, Video *video, const VideoParams *params)
{
  const DloralConditions changed = { NULL, 0.5, 1.5 };

  if (params->async_depth == 0 && params->first == 0)
    restore_frames (s, video, params, 0, 1);
  end_phase (video, VIDEO_FIRST);
  restore_frames (s, video, params, params->async_depth == 0 ?
      MAX (params->first, 1) : params->first, VIDEO_CHANGE);
  if (!params->steady)
    dloral_stream_set_conditions (s, &changed, &video->changing);
  end_phase (video, VIDEO_CHANGING);
  restore_frames (s, video, params, MAX (params->first, VIDEO_CHANGE),
      VIDEO_FRAMES);
  end_phase (video, VIDEO_REST);
}

void
video_restore (Video *video, const VideoParams *params)
{
  const StandIns *s = stand_ins_get ();
  DloralModel *model;
  DloralStream *stream = NULL;

  memset (video, 0, sizeof *video);
  video->cuda_begin = s->cuda_get_calls ();
  video->cudnn_begin = s->cudnn_get_calls ();
  model = video_open (params, &video->opening);
  end_phase (video, VIDEO_OPENING);
  if (model)
    stream = video_start (model, params, &video->opening);
  end_phase (video, VIDEO_STARTING);
  if (stream) {
    video->memory = dloral_stream_get_memory (stream);
    restore_all (stream, video, params);
    dloral_stream_free (stream);
  }
  if (model)
    dloral_model_unref (model);
  end_phase (video, VIDEO_FREEING);
}

void
video_clear (Video *video)
{
  g_clear_error (&video->opening);
  g_clear_error (&video->changing);
  for (int t = 0; t < VIDEO_FRAMES; t++) {
    g_clear_error (&video->errors[t]);
    g_clear_pointer (&video->pictures[t], g_free);
  }
}
