/* The engine against PyTorch: every intermediate tensor and the final pictures
 * of the cases in data/, and bf16 against f32.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <math.h>
#include <string.h>

#include "case.h"
#include "check.h"
#include "engine/dloral.h"
#include "tests/device.h"

/* bf16 against f32 in dB: random models amplify what a trained one does not. */
#define MIN_PSNR_RANDOM 27
#define MIN_PSNR_DEFAULT 40

static DloralStream *
open_stream (const char *path, DloralPrecision precision,
    const DloralStreamParams *params, DloralModel **model)
{
  DloralModelParams model_params = {.path = path,
    .device = test_get_device (),.precision = precision
  };
  g_autoptr (GError) error = NULL;
  DloralStream *stream;

  *model = dloral_model_open (&model_params, &error);
  g_assert_no_error (error);
  stream = dloral_stream_new (*model, params, &error);
  g_assert_no_error (error);
  return stream;
}

static void
check_tensors (const AgreementCase *c, DloralStream *stream, int frame)
{
  static const char *const names[] = { "latent", "aligned", "fused", "flow" };
  gboolean first = frame == 0 || agreement_case_is_cut (c, frame);
  float *eps, *x0;
  int h, w, channels;

  /* The first frame has no flow. */
  for (guint i = 0; i < (first ? 3 : 4); i++) {
    float *x = agreement_dup_planes (stream, names[i], &h, &w, &channels);

    agreement_check_tensor (c->tensors, names[i], frame, x, h, w, channels);
  }
  eps = agreement_dup_planes (stream, "fused", &h, &w, &channels);
  x0 = agreement_dup_planes (stream, "x0", &h, &w, &channels);
  for (int i = 0; i < h * w * channels; i++)
    eps[i] -= x0[i];
  g_free (x0);
  agreement_check_tensor (c->tensors, "eps", frame, eps, h, w, channels);
}

/* All pictures of a case, [n_frames][4·height][4·width][3]; with `check`, the
 * tensors of each frame too. */
static guint8 *
restore_case (const AgreementCase *c, DloralPrecision precision,
    DloralColorFix fix, gboolean check)
{
  DloralStreamParams params = {.width = c->width,.height = c->height,
    .color_fix = fix,.vae = c->vae, DLORAL_STREAM_DEFAULTS
  };
  gsize lq_size = (gsize) c->width * c->height * 3;
  guint8 *hr = g_malloc (16 * lq_size * c->n_frames);
  DloralModel *model;
  DloralStream *stream = open_stream (c->model, precision, &params, &model);

  for (int i = 0; i < c->n_frames; i++) {
    agreement_restore (stream, c->width, c->height, c->lq + i * lq_size,
        c->tensors && agreement_case_is_cut (c, i), hr + i * 16 * lq_size);
    if (check)
      check_tensors (c, stream, i);
  }
  dloral_stream_free (stream);
  dloral_model_unref (model);
  return hr;
}

static void
test_f32 (gconstpointer folder)
{
  AgreementCase *c = agreement_case_require (folder);
  gsize picture_size = (gsize) 16 * c->width * c->height * 3;

  for (guint i = 0; i < G_N_ELEMENTS (agreement_color_fixes); i++) {
    DloralColorFix fix = agreement_color_fixes[i];
    g_autofree guint8 *hr = NULL;

    if (c->pictures[fix] == NULL)
      continue;
    hr = restore_case (c, DLORAL_PRECISION_F32, fix,
        fix == DLORAL_COLOR_FIX_NONE);
    agreement_check_pictures (agreement_color_fix_get_name (fix),
        hr + c->first_picture * picture_size, c->pictures[fix],
        (c->n_frames - c->first_picture) * picture_size);
  }
  agreement_case_free (c);
}

/* Whether bf16 asked for is bf16 got; else the test is skipped. */
static gboolean
have_bf16 (const char *path)
{
  DloralModelParams params = {.path = path,
    .device = test_get_device (),.precision = DLORAL_PRECISION_BF16
  };
  g_autoptr (GError) error = NULL;
  DloralModel *model = dloral_model_open (&params, &error);
  gboolean have;

  g_assert_no_error (error);
  have = strcmp (dloral_model_get_precision_name (model), "bf16") == 0;
  dloral_model_unref (model);
  if (!have)
    g_test_skip ("this CPU has no bf16");
  return have;
}

static void
check_bf16 (const AgreementCase *c, DloralColorFix fix, double min_psnr)
{
  gsize size = (gsize) 16 * c->width * c->height * 3 * c->n_frames;
  g_autofree guint8 *f32 = restore_case (c, DLORAL_PRECISION_F32, fix, FALSE);
  g_autofree guint8 *bf16 = restore_case (c, DLORAL_PRECISION_BF16, fix,
      FALSE);
  double psnr = agreement_psnr (f32, bf16, size);

  g_test_message ("bf16 against f32: %.1f dB", psnr);
  g_assert_cmpfloat (psnr, >=, min_psnr);
}

static void
test_bf16 (gconstpointer folder)
{
  AgreementCase *c = agreement_case_require (folder);

  if (have_bf16 (c->model))
    check_bf16 (c, DLORAL_COLOR_FIX_NONE, MIN_PSNR_RANDOM);
  agreement_case_free (c);
}

/* Gratings of several widths that move, a bright box that moves otherwise. */
static void
draw_frame (guint8 *rgb, int width, int height, int t)
{
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++, rgb += 3) {
      double wide = sin (.11 * x + .07 * y - .4 * t);
      double narrow = sin (.9 * x - .5 * y + .9 * t) * (y > height / 2);
      gboolean box = ABS (x - 3 * t - width / 3) < 9 && ABS (y - 20) < 7;

      for (int c = 0; c < 3; c++)
        rgb[c] = 110 + 40 * wide + (18 + 8 * c) * narrow + box * (70 - 25 * c);
    }
  }
}

static void
test_default_model (gconstpointer path)
{
  AgreementCase c = {.model = (char *) path,.width = 96,.height = 64,
    .n_frames = 4
  };
  gsize size = (gsize) c.width * c.height * 3;

  if (!have_bf16 (path))
    return;
  c.lq = g_malloc (size * c.n_frames);
  for (int t = 0; t < c.n_frames; t++)
    draw_frame (c.lq + t * size, c.width, c.height, t);
  check_bf16 (&c, DLORAL_COLOR_FIX_AUTO, MIN_PSNR_DEFAULT);
  g_free (c.lq);
}

/* Arguments: the default model, and folders with further cases. */
int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  agreement_add_cases ("/agreement/%s/f32", argc - 2, argv + 2, test_f32);
  agreement_add_cases ("/agreement/%s/bf16", argc - 2, argv + 2, test_bf16);
  if (argc > 1)
    g_test_add_data_func ("/agreement/default/bf16", argv[1],
        test_default_model);
  return g_test_run ();
}
