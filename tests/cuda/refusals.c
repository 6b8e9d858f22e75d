/* Machines on which the CUDA backend cannot work: one sentence says why, and the
 * CPU is used where that is allowed. And GPUs with little memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/driver.h"
#include "stand_ins.h"

#include <dlfcn.h>
#include <glib/gstdio.h>
#include <unistd.h>

/* --- No GPU that would do --------------------------------------------------------- */

typedef struct
{
  const char *name;
  const char *environment[3];   /* a variable and its value */
  const char *library;          /* which must not be there, or NULL */
  const char *message;          /* a pattern */
} Refusal;

static const Refusal refusals[] = {
  { "driver", { "LD_LIBRARY_PATH", "" }, "libcuda.so.1",
    "cuda: there is no NVIDIA driver (libcuda.so.1: *); install it or choose "
        "another device" },
  { "device", { "CUDA_ON_CPU_DEVICES", "0" }, NULL,
    "cuda: the driver sees no GPU; see whether CUDA_VISIBLE_DEVICES hides it, "
        "or choose another device" },
  { "old-driver", { "CUDA_ON_CPU_DRIVER_VERSION", "11080" }, NULL,
    "cuda: the driver is for CUDA 11.8, expected 1?.0 or later; install a newer "
        "one" },
  { "old-device", { "CUDA_ON_CPU_ARCH", "75" }, NULL,
    "cuda: CPU has compute capability 7.5, expected 8.0 or later; use another "
        "device" },
  { "very-old-cudnn", { "CUDNN_ON_CPU_VERSION", "80905" }, NULL,
    "cuda: libcudnn.so.9 is version 8.9, expected 9.8 or a later 9; install "
        "that" },
  { "old-cudnn", { "CUDNN_ON_CPU_VERSION", "90100" }, NULL,
    "cuda: libcudnn.so.9 is version 9.1, expected 9.8 or a later 9; install "
        "that" },
};

/* The model as it is asked for, opened; one frame of it. */
static void
restore_one (DloralModel *model, const VideoParams *params)
{
  GError *error = NULL;
  DloralStream *s = video_start (model, params, &error);

  g_assert_no_error (error);
  video_submit (s, params, 0, FALSE);
  g_free (video_collect (s, params, 0, &error));
  g_assert_no_error (error);
  dloral_stream_free (s);
}

static void
check_refusal (const Refusal *refusal)
{
  VideoParams params = { .model = "tiny", .device = DLORAL_DEVICE_CUDA,
    .width = 16, .height = 16 };
  g_autoptr (GError) error = NULL, none = NULL;
  DloralModel *model;

  g_assert_null (video_open (&params, &error));
  g_debug ("%s", error->message);
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE);
  g_assert_true (g_pattern_match_simple (refusal->message, error->message));
  params.device = DLORAL_DEVICE_AUTO;
  model = video_open (&params, &none);
  g_assert_no_error (none);
  g_assert_cmpstr (dloral_model_get_device_name (model), ==, "cpu");
  g_assert_cmpstr (dloral_model_get_device_note (model), ==, error->message);
  restore_one (model, &params);
  dloral_model_unref (model);
}

static void
test_refusal (gconstpointer data)
{
  const Refusal *refusal = data;
  gpointer library;

  if (!stand_ins_enter_process (refusal->environment))
    return;
  library = refusal->library ? dlopen (refusal->library, RTLD_LAZY) : NULL;
  if (library == NULL)
    check_refusal (refusal);
}

/* A folder with the driver in it, and a cuDNN that is none. */
static void
test_no_cudnn (void)
{
  static const Refusal refusal = { .message = "cuda: cuDNN 9 cannot be loaded "
        "(*libcudnn.so.9: *); install cuDNN 9.8 or later" };
  g_autofree char *folder = g_dir_make_tmp ("dloral-XXXXXX", NULL);
  g_autofree char *driver = g_build_filename (folder, "libcuda.so.1", NULL);
  g_autofree char *library = g_build_filename (folder, "libcudnn.so.9", NULL);
  const char *environment[] = { "LD_LIBRARY_PATH", folder, NULL };

  if (!g_test_subprocess ()) {
    g_auto (GStrv) folders = g_strsplit (g_getenv ("LD_LIBRARY_PATH"), ":", 0);
    g_autofree char *target = g_build_filename (folders[0], "libcuda.so.1",
        NULL);

    g_assert_true (g_file_set_contents (library, "", 0, NULL));
    g_assert_cmpint (symlink (target, driver), ==, 0);
  }
  if (stand_ins_enter_process (environment))
    check_refusal (&refusal);
  g_unlink (library);
  g_unlink (driver);
  g_rmdir (folder);
}

/* A GPU without fp8, and a model in which none would be used. */
static void
test_no_fp8 (void)
{
  const VideoParams params = { .model = "tiny", .device = DLORAL_DEVICE_CUDA,
    .precision = DLORAL_PRECISION_FP8, .width = 16, .height = 16 };
  GError *error = NULL;
  DloralModel *model;

  if (!stand_ins_enter_process ((const char *[]) { "CUDA_ON_CPU_ARCH", "86",
              NULL }))
    return;
  model = video_open (&params, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (dloral_model_get_precision_name (model), ==, "bf16");
  g_assert_cmpstr (dloral_model_get_device_note (model), ==, "cuda: this device "
      "multiplies in no fp8, which GPUs of compute capability 8.9 or later do");
  restore_one (model, &params);
  dloral_model_unref (model);
}

/* --- Little memory ----------------------------------------------------------------- */

/* For initialisers of VideoParams: latents are 64 × 32, and smaller tiles than the
 * whole have 32 to a side. */
#define WIDE .model = "tiny", .device = DLORAL_DEVICE_CUDA, .width = 128, \
    .height = 64
#define TILE 32

static gsize
get_used (void)
{
  const DloralDriver *driver = dloral_driver_get (NULL);
  gsize available = 0, total = 0;
  CUcontext context;

  g_assert_cmpint (driver->cuDevicePrimaryCtxRetain (&context, 0), ==, 0);
  g_assert_cmpint (driver->cuCtxPushCurrent (context), ==, 0);
  g_assert_cmpint (driver->cuMemGetInfo (&available, &total), ==, 0);
  g_assert_cmpint (driver->cuCtxPopCurrent (&context), ==, 0);
  g_assert_cmpint (driver->cuDevicePrimaryCtxRelease (0), ==, 0);
  return total - available;
}

/* Bytes in use while there is a stream with tiles of this size, 0: as it likes. */
static gsize
measure (int tile_size)
{
  const VideoParams params = { WIDE, .tile_size = tile_size };
  GError *error = NULL;
  DloralModel *model = video_open (&params, &error);
  DloralStream *s = video_start (model, &params, &error);
  gsize used;

  g_assert_no_error (error);
  used = get_used ();
  dloral_stream_free (s);
  dloral_model_unref (model);
  stand_ins_assert_clean ();
  return used;
}

static gboolean
enter_small_process (gsize memory)
{
  g_autofree char *size = g_strdup_printf ("%" G_GSIZE_FORMAT, memory);
  const char *environment[] = { "CUDA_ON_CPU_MEMORY", size, NULL };

  return stand_ins_enter_process (environment);
}

static guint8 *
restore_wide (int tile_size, gsize *memory)
{
  const VideoParams params = { WIDE, .tile_size = tile_size };
  GError *error = NULL;
  DloralModel *model = video_open (&params, &error);
  DloralStream *s = video_start (model, &params, &error);
  guint8 *picture;

  g_assert_no_error (error);
  *memory = dloral_stream_get_memory (s);
  video_submit (s, &params, 0, FALSE);
  picture = video_collect (s, &params, 0, &error);
  g_assert_no_error (error);
  dloral_stream_free (s);
  dloral_model_unref (model);
  stand_ins_assert_clean ();
  return picture;
}

/* Too little for the whole frame: tiles are chosen. */
static void
test_smaller_tiles (void)
{
  const VideoParams params = { WIDE };
  g_autofree guint8 *chosen = NULL, *asked = NULL;
  gsize memory[2];

  if (!enter_small_process (g_test_subprocess () ? 0 :
          (measure (0) + measure (TILE)) / 2))
    return;
  chosen = restore_wide (0, &memory[0]);
  asked = restore_wide (TILE, &memory[1]);
  g_assert_cmpuint (memory[0], ==, memory[1]);
  g_assert_cmpmem (chosen, video_get_size (&params), asked,
      video_get_size (&params));
}

/* Too little for anything: how much there is not is told. */
static void
test_too_small (gconstpointer divisor)
{
  const VideoParams params = { WIDE };
  GError *error = NULL;
  DloralModel *model;

  if (!enter_small_process (g_test_subprocess () ? 0 :
          measure (TILE) / GPOINTER_TO_INT (divisor)))
    return;
  model = video_open (&params, &error);
  g_assert_no_error (error);
  g_assert_null (video_start (model, &params, &error));
  g_debug ("%s", error->message);
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY);
  g_assert_true (g_pattern_match_simple ("*cuda: not enough memory on the GPU: "
          "* bytes are needed and * are available; smaller frames need less",
          error->message));
  g_clear_error (&error);
  dloral_model_unref (model);
  stand_ins_assert_clean ();
}

int
main (int argc, char **argv)
{
  static const int divisors[] = { 2, 16, 1000, 100000 };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (refusals); i++) {
    g_autofree char *path = g_strconcat ("/", refusals[i].name, NULL);

    g_test_add_data_func (path, &refusals[i], test_refusal);
  }
  g_test_add_func ("/cudnn", test_no_cudnn);
  g_test_add_func ("/no-fp8", test_no_fp8);
  g_test_add_func ("/memory/smaller-tiles", test_smaller_tiles);
  for (guint i = 0; i < G_N_ELEMENTS (divisors); i++) {
    g_autofree char *path = g_strdup_printf ("/memory/too-small/%d",
        divisors[i]);

    g_test_add_data_func (path, GINT_TO_POINTER (divisors[i]), test_too_small);
  }
  return g_test_run ();
}
