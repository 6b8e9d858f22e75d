/* Plans on disk: read again by whoever comes next, whatever happened to them
 * meanwhile.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/device.h"
#include "stand_ins.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#define TINY .model = "tiny", .device = DLORAL_DEVICE_CUDA, .width = 16, \
    .height = 16

/* --- Searches ------------------------------------------------------------------- */

static DloralCudnnApi cudnn;    /* before it is watched */
static int searches;            /* atomic: for an engine, what the cache saves */

static cudnnStatus_t
watch_create (cudnnBackendDescriptorType_t type,
    cudnnBackendDescriptor_t *descriptor)
{
  g_atomic_int_add (&searches, type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  return cudnn.cudnnBackendCreateDescriptor (type, descriptor);
}

static void
watch (void)
{
  GError *error = NULL;
  DloralCudnnApi *api = (DloralCudnnApi *) dloral_cudnn_get_api (&error);

  g_assert_no_error (error);
  cudnn = *api;
  api->cudnnBackendCreateDescriptor = watch_create;
}

/* --- Files ---------------------------------------------------------------------- */

static char *
get_folder (void)
{
  return g_build_filename (g_getenv ("XDG_CACHE_HOME"), "gst-dloral", NULL);
}

/* Paths of all plans, in order. */
static GPtrArray *
list_plans (void)
{
  g_autofree char *folder = get_folder ();
  GDir *dir = g_dir_open (folder, 0, NULL);
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)) != NULL) {
    g_assert_true (g_str_has_suffix (name, ".plan"));
    g_ptr_array_add (paths, g_build_filename (folder, name, NULL));
  }
  g_clear_pointer (&dir, g_dir_close);
  return paths;
}

static guint
count_plans (void)
{
  g_autoptr (GPtrArray) paths = list_plans ();

  return paths->len;
}

/* --- Videos --------------------------------------------------------------------- */

/* Returns how many engines had to be searched for. */
static int
restore (Video *video, gboolean tune)
{
  const VideoParams params = { TINY, .tune = tune };
  int before = searches;

  video_restore (video, &params);
  g_assert_no_error (video->opening);
  g_assert_no_error (video->changing);
  for (int t = 0; t < VIDEO_FRAMES; t++)
    g_assert_no_error (video->errors[t]);
  stand_ins_assert_clean ();
  return searches - before;
}

static void
assert_same (const Video *a, const Video *b)
{
  const VideoParams params = { TINY };
  gsize size = video_get_size (&params);

  for (int t = 0; t < VIDEO_FRAMES; t++)
    g_assert_cmpmem (a->pictures[t], size, b->pictures[t], size);
}

static void
test_kept (gconstpointer tune)
{
  Video first, second;
  guint n_plans;

  if (!stand_ins_enter_process (NULL))
    return;
  watch ();
  g_assert_cmpint (restore (&first, tune != NULL), >, 0);
  n_plans = count_plans ();
  g_assert_cmpint (n_plans, >, 0);
  g_assert_cmpint (restore (&second, tune != NULL), ==, 0);
  g_assert_cmpint (count_plans (), ==, n_plans);
  g_assert_cmpint (second.cudnn_calls[VIDEO_FREEING], <,
      first.cudnn_calls[VIDEO_FREEING]);
  assert_same (&first, &second);
  video_clear (&second);
  g_assert_cmpint (restore (&second, tune == NULL), >, 0);
  g_assert_cmpint (count_plans (), >, n_plans);
  assert_same (&first, &second);
  video_clear (&first);
  video_clear (&second);
}

/* --- Processes that share a folder ------------------------------------------------ */

/* Reports to its parent by what it leaves and asserts. */
static void
test_empty (void)
{
  Video video;

  if (!stand_ins_enter_process (NULL))
    return;
  watch ();
  g_assert_cmpint (restore (&video, FALSE), >, 0);
  video_clear (&video);
}

static void
test_full (void)
{
  Video video;

  if (!stand_ins_enter_process (NULL))
    return;
  watch ();
  g_assert_cmpint (restore (&video, FALSE), ==, 0);
  video_clear (&video);
}

static GSubprocess *
begin (const char *program, const char *test)
{
  GError *error = NULL;
  GSubprocess *process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE
      | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error, program, "--GTestSubprocess",
      "-p", test, NULL);

  g_assert_no_error (error);
  return process;
}

static void
end (GSubprocess *process)
{
  g_autofree char *text = NULL;
  GError *error = NULL;

  g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &text, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (text, ==, "");
  g_assert_true (g_subprocess_get_successful (process));
  g_object_unref (process);
}

static const char *program;

static void
run (const char *test)
{
  end (begin (program, test));
}

static void
test_processes (void)
{
  guint n_plans;

  if (!stand_ins_enter_process (NULL))
    return;
  run ("/cache/empty");
  n_plans = count_plans ();
  run ("/cache/full");
  g_setenv ("CUDNN_ON_CPU_VERSION", "91400", TRUE);
  run ("/cache/empty");
  g_assert_cmpint (count_plans (), ==, 2 * n_plans);
  run ("/cache/full");
}

static void
test_at_once (void)
{
  GSubprocess *processes[3];

  if (!stand_ins_enter_process (NULL))
    return;
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    processes[i] = begin (program, "/cache/some");
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    end (processes[i]);
  run ("/cache/full");
}

static void
test_some (void)
{
  Video video;

  if (!stand_ins_enter_process (NULL))
    return;
  restore (&video, FALSE);
  video_clear (&video);
}

/* --- Damage ----------------------------------------------------------------------- */

static DloralDevice *
open_device (void)
{
  const DloralDeviceParams params = { .ordinal = -1 };
  GError *error = NULL;
  DloralDevice *device = dloral_device_open (&params, &error);

  g_assert_no_error (error);
  return device;
}

/* The plan of a product of `rows` rows. Whether an engine was searched for. */
static gboolean
make_plan (DloralDevice *device, gint64 rows)
{
  const gint64 x[] = { 1, rows, 16 }, x_strides[] = { 16 * rows, 16, 1 };
  const gint64 w[] = { 1, 16, 8 }, w_strides[] = { 128, 1, 16 };
  const gint64 y[] = { 1, rows, 8 }, y_strides[] = { 8 * rows, 8, 1 };
  DloralCudnnGraph *g = dloral_cudnn_graph_new (device->cudnn, FALSE, NULL);
  GError *error = NULL;
  DloralCudnnPlan *plan;
  int before = searches;

  dloral_cudnn_matmul (g, dloral_cudnn_tensor (g, 3, x, x_strides, DLORAL_BF16,
          DLORAL_CUDNN_MEMORY), dloral_cudnn_tensor (g, 3, w, w_strides,
          DLORAL_BF16, DLORAL_CUDNN_MEMORY), dloral_cudnn_tensor (g, 3, y,
          y_strides, DLORAL_F32, DLORAL_CUDNN_MEMORY));
  plan = dloral_cudnn_graph_finish (g, &error);
  g_assert_no_error (error);
  g_assert_nonnull (plan);
  dloral_cudnn_plan_free (plan);
  return searches > before;
}

/* A plan's file. */
typedef struct
{
  DloralDevice *device;
  char *path, *contents, *other;        /* other: of another plan */
  gsize size, other_size;
} File;

static void
open_file (File *f)
{
  g_autoptr (GPtrArray) paths = NULL;

  f->device = open_device ();
  g_assert_true (make_plan (f->device, 4));
  paths = list_plans ();
  g_assert_cmpint (paths->len, ==, 1);
  f->path = g_strdup (paths->pdata[0]);
  g_assert_true (g_file_get_contents (f->path, &f->contents, &f->size, NULL));
  g_assert_false (make_plan (f->device, 4));
  g_assert_true (make_plan (f->device, 5));
  g_ptr_array_unref (paths);
  paths = list_plans ();
  g_assert_cmpint (paths->len, ==, 2);
  g_assert_true (g_file_get_contents (paths->pdata[g_str_equal (f->path,
                  paths->pdata[0])], &f->other, &f->other_size, NULL));
}

static void
close_file (File *f)
{
  dloral_device_close (f->device);
  g_free (f->path);
  g_free (f->contents);
  g_free (f->other);
  stand_ins_assert_clean ();
}

/* What the file says now is not used, and replaced by what it should say. */
static void
check_ignored (File *f, const char *contents, gsize size)
{
  g_autofree char *after = NULL;
  gsize n;

  g_assert_true (g_file_set_contents (f->path, contents, size, NULL));
  g_assert_true (make_plan (f->device, 4));
  g_assert_true (g_file_get_contents (f->path, &after, &n, NULL));
  g_assert_cmpmem (after, n, f->contents, f->size);
  g_assert_false (make_plan (f->device, 4));
}

static void
test_damaged (void)
{
  File f;

  if (!stand_ins_enter_process (NULL))
    return;
  watch ();
  open_file (&f);
  for (gsize i = 0; i < f.size; i++) {
    g_autofree char *copy = g_memdup2 (f.contents, f.size);

    copy[i] ^= 1 << i % 8;
    check_ignored (&f, copy, f.size);
    check_ignored (&f, f.contents, i);
  }
  check_ignored (&f, f.other, f.other_size);
  check_ignored (&f, "\0\n\n\n\n\n\n\n", 8);
  close_file (&f);
}

/* A file that is none cannot be replaced, either. */
static void
test_unreadable (void)
{
  File f;

  if (!stand_ins_enter_process (NULL))
    return;
  watch ();
  open_file (&f);
  g_unlink (f.path);
  g_assert_cmpint (g_mkdir (f.path, 0700), ==, 0);
  g_assert_true (make_plan (f.device, 4));
  g_assert_true (make_plan (f.device, 4));
  close_file (&f);
}

/* Nowhere to keep anything: a file where the folder should be; a folder that
 * nothing may be written to. */
static void
test_unwritable (gconstpointer read_only)
{
  g_autofree char *folder = NULL;
  DloralDevice *device;

  if (!stand_ins_enter_process (NULL))
    return;
  watch ();
  folder = get_folder ();
  if (read_only)
    g_assert_cmpint (g_mkdir (folder, 0500), ==, 0);
  else
    g_assert_true (g_file_set_contents (folder, "", 0, NULL));
  device = open_device ();
  g_assert_true (make_plan (device, 4));
  /* Nothing is read-only to root. */
  g_assert_true (make_plan (device, 4) || (read_only
          && g_access (folder, W_OK) == 0));
  dloral_device_close (device);
  stand_ins_assert_clean ();
}

int
main (int argc, char **argv)
{
  program = argv[0];
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/cache/kept", NULL, test_kept);
  g_test_add_data_func ("/cache/tuned", GINT_TO_POINTER (TRUE), test_kept);
  g_test_add_func ("/cache/processes", test_processes);
  g_test_add_func ("/cache/at-once", test_at_once);
  g_test_add_func ("/cache/damaged", test_damaged);
  g_test_add_func ("/cache/unreadable", test_unreadable);
  g_test_add_data_func ("/cache/no-folder", NULL, test_unwritable);
  g_test_add_data_func ("/cache/read-only", GINT_TO_POINTER (TRUE),
      test_unwritable);
  if (g_test_subprocess ()) {   /* parts of others */
    g_test_add_func ("/cache/empty", test_empty);
    g_test_add_func ("/cache/full", test_full);
    g_test_add_func ("/cache/some", test_some);
  }
  return g_test_run ();
}
