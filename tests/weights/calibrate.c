/* weights/calibrate: what it measures and writes, what it refuses; and model files
 * whose scales are none.
 *
 *   calibrate CALIBRATE MODEL
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "calibrated.h"
#include "engine/dloral.h"
#include "tests/folder.h"

#include <math.h>
#include <string.h>

#define SCALES 15               /* of the default model */

static const char *calibrate, *default_model;

static DloralModel *
open_model (const char *path, DloralPrecision precision, GError **error)
{
  const DloralModelParams params = { .path = path,
    .device = DLORAL_DEVICE_CPU, .precision = precision
  };

  return dloral_model_open (&params, error);
}

/* --- What it measures ------------------------------------------------------------- */

static float
find_largest (DloralStream *s, const char *name)
{
  int h, w, c;
  g_autofree float *values = dloral_stream_dup_tensor (s, name, &h, &w, &c);
  float max = 0;

  for (int i = 0; i < h * w * c; i++)
    max = fmaxf (max, fabsf (values[i]));
  return max;
}

/* Of what unet.conv_in sees, which is what a stream says of its tensors. */
static float
measure (void)
{
  const DloralStreamParams params = { .width = CALIBRATED_WIDTH,
    .height = CALIBRATED_HEIGHT, DLORAL_STREAM_DEFAULTS
  };
  GError *error = NULL;
  DloralModel *model = open_model (default_model, DLORAL_PRECISION_AUTO,
      &error);
  DloralStream *s = dloral_stream_new (model, &params, &error);
  float max = 0;

  g_assert_no_error (error);
  for (int t = 0; t < CALIBRATED_FRAMES; t++) {
    DloralFrame *f = dloral_stream_acquire (s);

    calibrated_draw (f->lq, t);
    dloral_stream_submit (s, f);
    dloral_stream_release (s, dloral_stream_collect (s, TRUE));
    max = fmaxf (max, find_largest (s, "aligned"));
    max = fmaxf (max, find_largest (s, "fused"));
  }
  dloral_stream_free (s);
  dloral_model_unref (model);
  return max;
}

static float
get_scale (const DloralSafetensors *file, const char *name)
{
  float max;

  dloral_entry_read_f32 (dloral_safetensors_find (file, name), 0, 1, &max);
  return max;
}

static void
test_measured (void)
{
  g_autofree char *folder = test_folder_new ();
  g_autofree char *path = calibrated_new (calibrate, default_model, folder);
  GError *error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (path, &error);
  DloralModel *model = open_model (path, DLORAL_PRECISION_FP8, &error);

  g_assert_no_error (error);
  /* The stream's are f32, what is multiplied may be bf16. */
  g_assert_cmpfloat_with_epsilon (get_scale (file,
          "fp8.unet.conv_in.weight.input") / measure (), 1, 0.005);
  dloral_model_unref (model);
  dloral_safetensors_free (file);
  test_folder_remove (folder);
}

/* --- What it writes ---------------------------------------------------------------- */

/* header: the JSON of a safetensors file; data: what follows it. */
static char *
read_file (const char *path, const char **header, gsize *header_size,
    const char **data, gsize *data_size)
{
  GError *error = NULL;
  guint64 length;
  char *contents;
  gsize size;

  g_file_get_contents (path, &contents, &size, &error);
  g_assert_no_error (error);
  memcpy (&length, contents, sizeof length);
  *header = contents + sizeof length;
  *header_size = GUINT64_FROM_LE (length);
  *data = *header + *header_size;
  *data_size = size - sizeof length - *header_size;
  return contents;
}

/* All that was there, as it was; then the scales. */
static void
test_written (void)
{
  g_autofree char *folder = test_folder_new ();
  g_autofree char *path = calibrated_new (calibrate, default_model, folder);
  const char *header, *old_header, *data, *old_data;
  gsize header_size, old_header_size, size, old_size;
  g_autofree char *old = read_file (default_model, &old_header,
      &old_header_size, &old_data, &old_size);
  g_autofree char *new = read_file (path, &header, &header_size, &data, &size);

  while (old_header[old_header_size - 1] != '}')
    old_header_size--;
  g_assert_cmpmem (header, old_header_size - 1, old_header,
      old_header_size - 1);
  g_assert_cmpint (header_size % 8, ==, 0);
  g_assert_cmpint (size, ==, old_size + SCALES * sizeof (float));
  g_assert_cmpmem (data, old_size, old_data, old_size);
  test_folder_remove (folder);
}

/* --- What it refuses --------------------------------------------------------------- */

static void
assert_only (const char *folder, guint n)
{
  GDir *dir = g_dir_open (folder, 0, NULL);
  guint found = 0;

  while (g_dir_read_name (dir))
    found++;
  g_dir_close (dir);
  g_assert_cmpuint (found, ==, n);
}

static void
assert_refused (const char *model, const char *output, const char *first,
    const char *second, const char *what)
{
  g_autofree char *said = calibrated_run (calibrate, model, "-o", output, first,
      second, NULL);

  g_assert_nonnull (said);
  g_assert_nonnull (strstr (said, what));
}

/* One frame of another size. */
static char *
write_other (const char *folder)
{
  char *path = g_build_filename (folder, "other.ppm", NULL);
  GString *other = g_string_new ("P6 16 16 255\n");
  GError *error = NULL;

  for (int i = 0; i < 16 * 16 * 3; i++)
    g_string_append_c (other, 'x');
  g_file_set_contents (path, other->str, other->len, &error);
  g_assert_no_error (error);
  g_string_free (other, TRUE);
  return path;
}

static void
test_refused (void)
{
  g_autofree char *folder = test_folder_new ();
  g_autofree char *frame = calibrated_write_frame (folder, 0);
  g_autofree char *other = write_other (folder);
  g_autofree char *output = g_build_filename (folder, "output", NULL);
  g_autofree char *nowhere = g_build_filename (folder, "no", "output", NULL);
  g_autofree char *missing = g_build_filename (folder, "missing", NULL);

  assert_refused (default_model, output, frame, other, "expected 48×32");
  assert_refused (default_model, output, frame, default_model, "PPM");
  assert_refused (default_model, output, missing, NULL, "missing");
  assert_refused (missing, output, frame, NULL, "missing");
  assert_refused (default_model, nowhere, frame, NULL, "cannot be written");
  assert_refused (default_model, folder, frame, NULL, "cannot be written");
  assert_only (folder, 2);
  g_assert_null (calibrated_run (calibrate, default_model, "-o", output, frame,
          NULL));
  assert_refused (output, nowhere, frame, NULL, "calibrated already");
  assert_only (folder, 3);
  test_folder_remove (folder);
}

/* Pictures that end early, or have more, or other levels. */
static void
test_pictures (void)
{
  static const char *const bad[] = {
    "", "P", "P6", "P5 1 1 255\nx", "P6 1 1 255\n", "P6 1 1 255\nxx",
    "P6 1 1 255\nxxxx", "P6 1 1 254\nxxx", "P6 0 1 255\n", "P6 1 -1 255\nxxx",
    "P6 99999999999 99999999999 255\nxxx", "P6 # no more",
  };
  g_autofree char *folder = test_folder_new ();
  g_autofree char *frame = g_build_filename (folder, "bad.ppm", NULL);
  g_autofree char *output = g_build_filename (folder, "output", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    GError *error = NULL;

    g_file_set_contents (frame, bad[i], -1, &error);
    g_assert_no_error (error);
    assert_refused (default_model, output, frame, NULL, "expected one picture");
  }
  test_folder_remove (folder);
}

/* --- Model files -------------------------------------------------------------------- */

static void
test_none (void)
{
  GError *error = NULL;

  g_assert_null (open_model (default_model, DLORAL_PRECISION_FP8, &error));
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_SCALES);
  g_assert_nonnull (strstr (error->message, "build/weights/calibrate"));
  g_clear_error (&error);
}

/* Whatever the CPU computes in, it says that this is not what was asked for. */
static void
test_cpu (void)
{
  g_autofree char *folder = test_folder_new ();
  g_autofree char *path = calibrated_new (calibrate, default_model, folder);
  GError *error = NULL;
  DloralModel *model = open_model (path, DLORAL_PRECISION_FP8, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (dloral_model_get_precision_name (model), !=, "fp8");
  g_assert_cmpstr (dloral_model_get_device_note (model), ==, "cpu: this device "
      "multiplies in no fp8, which GPUs of compute capability 8.9 or later do");
  dloral_model_unref (model);
  test_folder_remove (folder);
}

/* The last scale of the file is its last four bytes. */
static void
test_bad (void)
{
  static const float bad[] = { 0, -1, NAN, INFINITY };
  g_autofree char *folder = test_folder_new ();
  g_autofree char *path = calibrated_new (calibrate, default_model, folder);
  g_autofree char *contents = NULL;
  gsize size;

  g_assert_true (g_file_get_contents (path, &contents, &size, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    GError *error = NULL;
    DloralModel *model;

    memcpy (contents + size - sizeof *bad, &bad[i], sizeof *bad);
    g_assert_true (g_file_set_contents (path, contents, size, NULL));
    g_assert_null (open_model (path, DLORAL_PRECISION_FP8, &error));
    g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE);
    g_assert_nonnull (strstr (error->message, "expected a positive number"));
    g_clear_error (&error);
    model = open_model (path, DLORAL_PRECISION_BF16, &error);
    g_assert_no_error (error);
    dloral_model_unref (model);
  }
  test_folder_remove (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  calibrate = argv[1];
  default_model = argv[2];
  g_test_add_func ("/calibrate/measured", test_measured);
  g_test_add_func ("/calibrate/written", test_written);
  g_test_add_func ("/calibrate/refused", test_refused);
  g_test_add_func ("/calibrate/pictures", test_pictures);
  g_test_add_func ("/calibrate/none", test_none);
  g_test_add_func ("/calibrate/cpu", test_cpu);
  g_test_add_func ("/calibrate/bad", test_bad);
  return g_test_run ();
}
