/* Precision fp8 on a GPU or, with the libraries of on_cpu/ in the place of CUDA's,
 * without one: how weights are converted, whole pictures against bf16's.
 *
 *   fp8 CALIBRATE MODEL
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/e4m3.h"
#include "engine/dloral.h"
#include "tests/agreement/case.h"
#include "tests/folder.h"
#include "tests/operators/conversions.h"
#include "tests/weights/calibrated.h"

#include <string.h>

/* The least likeness of pictures in fp8 and in bf16, in dB: of the default model,
 * and of a random one, which has all kinds of layers and nothing that keeps
 * errors small. */
#define MIN_PSNR 38
#define MIN_PSNR_RANDOM 25

static const char *calibrate, *default_model;

/* --- Conversions ---------------------------------------------------------------- */

static void
assert_nearest (float x)
{
  g_assert_cmphex (dloral_e4m3_from_float (x), ==, dloral_e4m3_find (x));
}

/* Every number, every tie, what lies beside them, and beyond. */
static void
test_weights (void)
{
  assert_nearest (NAN);
  for (int sign = -1; sign <= 1; sign += 2) {
    assert_nearest (sign * INFINITY);
    for (int code = 0; code < 0x7e; code++) {
      double here = dloral_e4m3_decode (code);
      float tie = sign * (here + dloral_e4m3_decode (code + 1)) / 2;

      assert_nearest (sign * here);
      assert_nearest (tie);
      assert_nearest (nextafterf (tie, -INFINITY));
      assert_nearest (nextafterf (tie, INFINITY));
    }
    for (float x = 440; x < 1e38f; x *= 1.01f)
      assert_nearest (sign * x);
  }
}

static void
test_scale (void)
{
  g_assert_cmpfloat (dloral_e4m3_get_scale (448), ==, 1);
  g_assert_cmpfloat (dloral_e4m3_get_scale (nextafterf (448, 500)), ==, 0.5);
  g_assert_cmpfloat (dloral_e4m3_get_scale (1.75f), ==, 256);
  g_assert_cmpfloat (dloral_e4m3_get_scale (1.76f), ==, 128);
  g_assert_cmpfloat (dloral_e4m3_get_scale (0), ==, 1);
  g_assert_cmpfloat (dloral_e4m3_get_scale (NAN), ==, 1);
  g_assert_cmpfloat (dloral_e4m3_get_scale (INFINITY), ==, 1);
  for (float max = 1e-45f; max < 3e38f; max *= 1e9f) {
    float scale = dloral_e4m3_get_scale (max);

    g_assert_true (isnormal (1 / (scale * scale)));
  }
}

/* --- Pictures --------------------------------------------------------------------- */

#define PICTURE_SIZE ((gsize) 16 * CALIBRATED_WIDTH * CALIBRATED_HEIGHT * 3)

static DloralModel *
open_model (const char *path, DloralPrecision precision)
{
  const DloralModelParams params = { .path = path,
    .device = DLORAL_DEVICE_CUDA, .precision = precision, .cuda_device_id = -1
  };
  GError *error = NULL;
  DloralModel *model = dloral_model_open (&params, &error);

  g_assert_no_error (error);
  return model;
}

/* All frames, one after the other: [CALIBRATED_FRAMES][PICTURE_SIZE]. */
static guint8 *
restore (const char *path, DloralPrecision precision)
{
  const DloralStreamParams params = { .width = CALIBRATED_WIDTH,
    .height = CALIBRATED_HEIGHT, DLORAL_STREAM_DEFAULTS
  };
  DloralModel *model = open_model (path, precision);
  guint8 *pictures = g_malloc (CALIBRATED_FRAMES * PICTURE_SIZE);
  GError *error = NULL;
  DloralStream *s = dloral_stream_new (model, &params, &error);

  g_assert_no_error (error);
  for (int t = 0; t < CALIBRATED_FRAMES; t++) {
    DloralFrame *f = dloral_stream_acquire (s);

    calibrated_draw (f->lq, t);
    dloral_stream_submit (s, f);
    f = dloral_stream_collect (s, TRUE);
    g_assert_no_error (f->error);
    g_assert_false (f->plain);
    memcpy (pictures + t * PICTURE_SIZE, f->hr, PICTURE_SIZE);
    dloral_stream_release (s, f);
  }
  dloral_stream_free (s);
  dloral_model_unref (model);
  return pictures;
}

/* Whether fp8 asked for is fp8 got; else the test is skipped. */
static gboolean
have_fp8 (const char *path)
{
  DloralModel *model = open_model (path, DLORAL_PRECISION_FP8);
  gboolean have = g_str_equal (dloral_model_get_precision_name (model), "fp8");

  g_assert_true (have == (dloral_model_get_device_note (model) == NULL));
  dloral_model_unref (model);
  if (!have)
    g_test_skip ("this GPU has no fp8");
  return have;
}

static void
compare (const char *path, double min_psnr)
{
  g_autofree guint8 *bf16 = restore (path, DLORAL_PRECISION_BF16);
  g_autofree guint8 *fp8 = restore (path, DLORAL_PRECISION_FP8);
  double psnr = agreement_psnr (bf16, fp8, CALIBRATED_FRAMES * PICTURE_SIZE);

  g_test_message ("fp8 against bf16: %.1f dB", psnr);
  g_assert_cmpfloat (psnr, >=, min_psnr);
  g_assert_cmpfloat (psnr, <, G_MAXDOUBLE);
}

static void
check_pictures (const char *model, double min_psnr)
{
  g_autofree char *folder = test_folder_new ();
  g_autofree char *path = calibrated_new (calibrate, model, folder);

  if (have_fp8 (path))
    compare (path, min_psnr);
  test_folder_remove (folder);
}

static void
test_default (void)
{
  check_pictures (default_model, MIN_PSNR);
}

static void
test_random (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "data", "conv",
      "model.safetensors", NULL);

  check_pictures (path, MIN_PSNR_RANDOM);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  calibrate = argv[1];
  default_model = argv[2];
  g_test_add_func ("/weights", test_weights);
  g_test_add_func ("/scale", test_scale);
  g_test_add_func ("/pictures/default", test_default);
  g_test_add_func ("/pictures/random", test_random);
  return g_test_run ();
}
