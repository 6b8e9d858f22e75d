/* Reading cases and comparing pictures.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "case.h"

#include <math.h>
#include <stdio.h>

const DloralColorFix agreement_color_fixes[3] = {
  DLORAL_COLOR_FIX_NONE, DLORAL_COLOR_FIX_ADAIN, DLORAL_COLOR_FIX_WAVELET
};

const char *
agreement_color_fix_get_name (DloralColorFix fix)
{
  return fix == DLORAL_COLOR_FIX_ADAIN ? "adain" :
      fix == DLORAL_COLOR_FIX_WAVELET ? "wavelet" : "none";
}

/* The size is in a file name: "lq-128x96-rgb.raw". */
static gboolean
find_size (AgreementCase *c, const char *folder, GError **error)
{
  GDir *dir = g_dir_open (folder, 0, error);
  const char *name;

  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) && c->lq_path == NULL) {
    if (sscanf (name, "lq-%dx%d-rgb.raw", &c->width, &c->height) == 2)
      c->lq_path = g_build_filename (folder, name, NULL);
  }
  g_dir_close (dir);
  if (c->lq_path == NULL || c->width < 1 || c->height < 1) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_NOT_FOUND,
        "%s: expected frames named lq-WxH-rgb.raw, found none", folder);
    return FALSE;
  }
  return TRUE;
}

/* A file of whole pictures of `picture_size` bytes; their number goes to *n. */
static guint8 *
read_pictures (const char *path, gsize picture_size, int *n, GError **error)
{
  char *content;
  gsize size;

  if (!g_file_get_contents (path, &content, &size, error))
    return NULL;
  *n = size / picture_size;
  if (*n == 0 || size % picture_size != 0) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE,
        "%s: expected pictures of %" G_GSIZE_FORMAT " bytes, found %"
        G_GSIZE_FORMAT " bytes in all", path, picture_size, size);
    g_free (content);
    return NULL;
  }
  return (guint8 *) content;
}

static gboolean
read_results (AgreementCase *c, const char *folder, GError **error)
{
  gsize picture_size = (gsize) 16 * c->width * c->height * 3;

  for (guint i = 0; i < G_N_ELEMENTS (agreement_color_fixes); i++) {
    DloralColorFix fix = agreement_color_fixes[i];
    g_autofree char *name = g_strdup_printf ("ref-%s-%dx%d-rgb.raw",
        agreement_color_fix_get_name (fix), 4 * c->width, 4 * c->height);
    g_autofree char *path = g_build_filename (folder, name, NULL);
    int n;

    if (fix != DLORAL_COLOR_FIX_NONE && !g_file_test (path, G_FILE_TEST_EXISTS))
      continue;
    c->pictures[fix] = read_pictures (path, picture_size, &n, error);
    if (c->pictures[fix] == NULL)
      return FALSE;
    c->first_picture = c->n_frames - n;
    if (c->first_picture < 0 || c->first_picture > 1) {
      g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE,
          "%s: expected a picture for each of %d frames, found %d", path,
          c->n_frames, n);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
find_vae (AgreementCase *c, GError **error)
{
  DloralSafetensors *model = dloral_safetensors_open (c->model, error);

  if (model == NULL)
    return FALSE;
  if (dloral_safetensors_find (model, "tiny.encoder.0.weight"))
    c->vae = DLORAL_VAE_TINY;
  dloral_safetensors_free (model);
  return TRUE;
}

static gboolean
read_case (AgreementCase *c, const char *folder, GError **error)
{
  g_autofree char *name = NULL, *path = NULL;

  if (!find_size (c, folder, error))
    return FALSE;
  c->model = g_build_filename (folder, "model.safetensors", NULL);
  c->lq = read_pictures (c->lq_path, (gsize) c->width * c->height * 3,
      &c->n_frames, error);
  if (c->lq == NULL || !find_vae (c, error) ||
      !read_results (c, folder, error))
    return FALSE;
  name = g_strdup_printf ("intermediates-%dx%d.safetensors", c->width,
      c->height);
  path = g_build_filename (folder, name, NULL);
  c->tensors = dloral_safetensors_open (path, error);
  return c->tensors != NULL;
}

AgreementCase *
agreement_case_require (const char *folder)
{
  AgreementCase *c = g_new0 (AgreementCase, 1);
  g_autoptr (GError) error = NULL;

  read_case (c, folder, &error);
  g_assert_no_error (error);
  return c;
}

void
agreement_case_free (AgreementCase *c)
{
  for (guint i = 0; i < G_N_ELEMENTS (c->pictures); i++)
    g_free (c->pictures[i]);
  if (c->tensors)
    dloral_safetensors_free (c->tensors);
  g_free (c->model);
  g_free (c->lq_path);
  g_free (c->lq);
  g_free (c);
}

gboolean
agreement_case_is_cut (const AgreementCase *c, int frame)
{
  g_autofree char *flow = g_strdup_printf ("flow.%d", frame);

  return frame > 0 && dloral_safetensors_find (c->tensors, flow) == NULL;
}

static void
skip (gconstpointer folder)
{
  g_autofree char *message = g_strdup_printf ("no folder %s",
      (const char *) folder);

  g_test_skip (message);
}

static void
add_case (const char *path, const char *folder, GTestDataFunc test)
{
  g_autofree char *name = g_path_get_basename (folder);
  g_auto (GStrv) parts = g_strsplit (path, "%s", 2);
  g_autofree char *full = g_strjoinv (name, parts);

  g_test_add_data_func_full (full, g_strdup (folder), test, g_free);
}

void
agreement_add_cases (const char *path, int n_more, char **more,
    GTestDataFunc test)
{
  static const char *const own[] = {
    "sd", "small", "conv", "tiny", "tiny-video"
  };

  for (guint i = 0; i < G_N_ELEMENTS (own); i++) {
    g_autofree char *folder = g_test_build_filename (G_TEST_DIST, "data",
        own[i], NULL);

    add_case (path, folder, test);
  }
  for (int i = 0; i < n_more; i++)
    add_case (path, more[i],
        g_file_test (more[i], G_FILE_TEST_IS_DIR) ? test : skip);
}

void
agreement_check_pictures (const char *what, const guint8 *found,
    const guint8 *expected, gsize n_bytes)
{
  gsize n_differ = 0, n_beyond_1 = 0;
  int largest = 0;

  for (gsize i = 0; i < n_bytes; i++) {
    int difference = ABS (found[i] - expected[i]);

    n_differ += difference > 0;
    n_beyond_1 += difference > 1;
    largest = MAX (largest, difference);
  }
  g_test_message ("%s: %.3f %% of samples differ, %.4f %% by more than 1, "
      "at most by %d", what, 100. * n_differ / n_bytes,
      100. * n_beyond_1 / n_bytes, largest);
  g_assert_cmpint (largest, <=, 2);
  g_assert_cmpfloat (n_beyond_1, <=, 0.001 * n_bytes);
}

double
agreement_psnr (const guint8 *a, const guint8 *b, gsize n_bytes)
{
  double sum = 0;

  for (gsize i = 0; i < n_bytes; i++)
    sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum > 0 ? 10 * log10 (255. * 255. * n_bytes / sum) : G_MAXDOUBLE;
}
