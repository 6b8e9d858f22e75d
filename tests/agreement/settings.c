/* What PyTorch computes with other settings than the usual ones; and changing
 * them while frames are being computed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "case.h"
#include "check.h"
#include "tests/device.h"

#include <string.h>

/* data/settings/NAME.safetensors holds the results; make_case.py knows the
 * settings, too. */
typedef struct
{
  const char *name, *folder;    /* of the model and its frames */
  double consistency, detail;
  int window, tile, overlap;
} Setting;

static const Setting settings[] = {
  {"base", "conv", 0, 0, 1, 0, 0},
  {"strengths", "conv", 0.5, 2, 1, 0, 0},
  {"window-0", "sd", 1, 1, 0, 0, 0},
  {"window-2", "sd", 1, 1, 2, 0, 0},
  {"tiles", "sd", 1, 1, 1, 8, 3},
  {"tiles-window-2", "sd", 1, 1, 2, 6, 2},
};

static AgreementCase *
require_case (const char *folder)
{
  g_autofree char *path =
      g_test_build_filename (G_TEST_DIST, "data", folder, NULL);

  return agreement_case_require (path);
}

static DloralModel *
open_model (const AgreementCase *c)
{
  DloralModelParams params = {.path = c->model,.device = test_get_device (),
    .precision = DLORAL_PRECISION_F32
  };
  g_autoptr (GError) error = NULL;
  DloralModel *model = dloral_model_open (&params, &error);

  g_assert_no_error (error);
  return model;
}

static DloralStream *
open_stream (DloralModel *model, const AgreementCase *c, const Setting *s,
    int async_depth)
{
  DloralStreamParams params = {.width = c->width,.height = c->height,
    .async_depth = async_depth,.temporal_window = s->window,
    .tile_size = s->tile,.tile_overlap = s->overlap,
    .color_fix = DLORAL_COLOR_FIX_NONE,
    .conditions = { NULL, s->consistency, s->detail },
  };
  g_autoptr (GError) error = NULL;
  DloralStream *stream = dloral_stream_new (model, &params, &error);

  g_assert_no_error (error);
  return stream;
}

static DloralSafetensors *
open_results (const Setting *s)
{
  g_autofree char *file = g_strconcat (s->name, ".safetensors", NULL);
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "data",
      "settings", file, NULL);
  g_autoptr (GError) error = NULL;
  DloralSafetensors *results = dloral_safetensors_open (path, &error);

  g_assert_no_error (error);
  return results;
}

static void
restore_and_check (const AgreementCase *c, DloralStream *stream,
    const DloralSafetensors *results, int frame)
{
  gsize lq_size = (gsize) c->width * c->height * 3;
  g_autofree guint8 *hr = g_malloc (16 * lq_size);
  int h, w, channels;
  float *x0;

  agreement_restore (stream, c->width, c->height, c->lq + frame * lq_size,
      FALSE, hr);
  x0 = agreement_dup_planes (stream, "x0", &h, &w, &channels);
  agreement_check_tensor (results, "x0", frame, x0, h, w, channels);
}

static void
test_setting (gconstpointer data)
{
  const Setting *s = data;
  AgreementCase *c = require_case (s->folder);
  DloralSafetensors *results = open_results (s);
  DloralModel *model = open_model (c);
  DloralStream *stream = open_stream (model, c, s, 0);

  for (int i = 0; i < c->n_frames; i++)
    restore_and_check (c, stream, results, i);
  dloral_stream_free (stream);
  dloral_model_unref (model);
  dloral_safetensors_free (results);
  agreement_case_free (c);
}

#define WIDE 500
#define LOW 16
#define FIRST_ROW 28
#define N_ROWS 8

/* A frame so wide that the published code takes its VAE's attention in tiles. */
static void
test_wide (void)
{
  static const Setting s = { "wide", "sd", 1, 1, 1, 0, 0 };
  AgreementCase *c = require_case (s.folder);
  DloralSafetensors *results = open_results (&s);
  const DloralEntry *rows = dloral_safetensors_find (results, "rows");
  g_autofree guint8 *hr = g_malloc (16 * WIDE * LOW * 3);
  DloralModel *model = open_model (c);
  DloralStream *stream;
  int h, w, n;

  c->width = WIDE;
  c->height = LOW;
  stream = open_stream (model, c, &s, 0);
  agreement_restore (stream, WIDE, LOW,
      dloral_safetensors_find (results, "lq")->data, FALSE, hr);
  for (int i = 0; i < 2; i++) {
    const char *name = i ? "x0" : "latent";
    float *x = agreement_dup_planes (stream, name, &h, &w, &n);

    agreement_check_tensor (results, name, 0, x, h, w, n);
  }
  agreement_check_pictures ("rows", hr + FIRST_ROW * 12 * WIDE, rows->data,
      N_ROWS * 12 * WIDE);
  dloral_stream_free (stream);
  dloral_model_unref (model);
  dloral_safetensors_free (results);
  agreement_case_free (c);
}

/* The second frame's strengths are other than the first's; its past is not. */
static void
test_change (void)
{
  const Setting *before = &settings[0], *after = &settings[1];
  AgreementCase *c = require_case (before->folder);
  DloralSafetensors *results[] = { open_results (before),
    open_results (after)
  };
  DloralConditions conditions = { NULL, after->consistency, after->detail };
  DloralModel *model = open_model (c);
  DloralStream *stream = open_stream (model, c, before, 0);
  g_autoptr (GError) error = NULL;

  restore_and_check (c, stream, results[0], 0);
  g_assert_true (dloral_stream_set_conditions (stream, &conditions, &error));
  g_assert_no_error (error);
  restore_and_check (c, stream, results[1], 1);
  dloral_stream_free (stream);
  dloral_model_unref (model);
  dloral_safetensors_free (results[0]);
  dloral_safetensors_free (results[1]);
  agreement_case_free (c);
}

static void
test_change_refused (void)
{
  AgreementCase *c = require_case (settings[0].folder);
  DloralSafetensors *results = open_results (&settings[0]);
  DloralModel *model = open_model (c);
  DloralStream *stream = open_stream (model, c, &settings[0], 0);
  const DloralConditions bad[] = { {NULL, -0.1, 1}, {NULL, 1, 2.1} };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (dloral_stream_set_conditions (stream, &bad[i], &error));
    g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT);
  }
  restore_and_check (c, stream, results, 0);
  dloral_stream_free (stream);
  dloral_model_unref (model);
  dloral_safetensors_free (results);
  agreement_case_free (c);
}

/* --- While playing ---------------------------------------------------------- */

#define N_FRAMES 24

typedef struct
{
  const AgreementCase *c;
  DloralStream *stream;
  gint submitted, changed_at;   /* atomic; frames */
} Playing;

/* Always the same picture, without a past: only strengths make a difference. */
static void
submit_still (Playing *p)
{
  DloralFrame *frame = dloral_stream_acquire (p->stream);

  for (int y = 0; y < p->c->height; y++)
    memcpy (frame->lq + y * frame->lq_stride, p->c->lq + y * p->c->width * 3,
        p->c->width * 3);
  frame->discont = TRUE;
  dloral_stream_submit (p->stream, frame);
  g_atomic_int_inc (&p->submitted);
}

static gpointer
change (gpointer data)
{
  Playing *p = data;
  DloralConditions conditions = { NULL, settings[1].consistency,
    settings[1].detail
  };
  g_autoptr (GError) error = NULL;

  while (g_atomic_int_get (&p->submitted) < 5)
    g_usleep (100);
  g_assert_true (dloral_stream_set_conditions (p->stream, &conditions,
          &error));
  g_atomic_int_set (&p->changed_at, g_atomic_int_get (&p->submitted));
  return NULL;
}

static void
restore_still (const AgreementCase *c, DloralModel *model, const Setting *s,
    guint8 *hr)
{
  DloralStream *stream = open_stream (model, c, s, 0);

  agreement_restore (stream, c->width, c->height, c->lq, FALSE, hr);
  dloral_stream_free (stream);
}

static gboolean
is_picture (const DloralFrame *frame, const guint8 *hr, gsize row, int rows)
{
  for (int y = 0; y < rows; y++)
    if (memcmp (frame->hr + y * frame->hr_stride, hr + y * row, row) != 0)
      return FALSE;
  return TRUE;
}

/* Every frame has either the old strengths or the new ones, whole; once new,
 * always new, at the latest with what is submitted after the call returned. */
static void
test_change_while_playing (void)
{
  AgreementCase *c = require_case (settings[0].folder);
  gsize row = (gsize) c->width * 12;
  int rows = 4 * c->height, first_new = N_FRAMES;
  g_autofree guint8 *old = g_malloc (row * rows), *new = g_malloc (row * rows);
  DloralModel *model = open_model (c);
  Playing p = {.c = c,.changed_at = -1 };
  GThread *thread;

  restore_still (c, model, &settings[0], old);
  restore_still (c, model, &settings[1], new);
  g_assert_true (memcmp (old, new, row * rows) != 0);
  p.stream = open_stream (model, c, &settings[0], 2);
  thread = g_thread_new ("change", change, &p);
  submit_still (&p);
  for (int i = 0; i < N_FRAMES; i++) {
    DloralFrame *frame;

    submit_still (&p);
    frame = dloral_stream_collect (p.stream, TRUE);
    g_assert_no_error (frame->error);
    if (first_new == N_FRAMES && !is_picture (frame, old, row, rows))
      first_new = i;
    if (first_new < N_FRAMES)
      g_assert_true (is_picture (frame, new, row, rows));
    dloral_stream_release (p.stream, frame);
    if (i > N_FRAMES / 2)       /* surely the change is through by the end */
      while (g_atomic_int_get (&p.changed_at) < 0)
        g_usleep (100);
  }
  g_thread_join (thread);
  g_assert_cmpint (first_new, >, 0);
  g_assert_cmpint (first_new, <=, MIN (p.changed_at, N_FRAMES - 1));
  dloral_stream_free (p.stream);
  dloral_model_unref (model);
  agreement_case_free (c);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (settings); i++) {
    g_autofree char *path =
        g_strconcat ("/settings/", settings[i].name, NULL);

    g_test_add_data_func (path, &settings[i], test_setting);
  }
  g_test_add_func ("/settings/wide", test_wide);
  g_test_add_func ("/settings/change", test_change);
  g_test_add_func ("/settings/change-refused", test_change_refused);
  g_test_add_func ("/settings/change-while-playing",
      test_change_while_playing);
  return g_test_run ();
}
