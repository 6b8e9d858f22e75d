/* Frames through a stream; its tensors, and a tagger's, against PyTorch's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

#include <math.h>
#include <string.h>

/* Largest error, in standard deviations. */
#define BOUND 1e-3

void
agreement_restore (DloralStream *stream, int width, int height,
    const guint8 *lq, gboolean cut, guint8 *hr)
{
  DloralFrame *frame = dloral_stream_acquire (stream);

  g_assert_nonnull (frame);
  for (int y = 0; y < height; y++)
    memcpy (frame->lq + y * frame->lq_stride, lq + (gsize) y * width * 3,
        (gsize) width * 3);
  frame->discont = cut;
  dloral_stream_submit (stream, frame);
  g_assert_true (dloral_stream_collect (stream, TRUE) == frame);
  g_assert_no_error (frame->error);
  for (int y = 0; y < 4 * height; y++)
    memcpy (hr + (gsize) y * 12 * width, frame->hr + y * frame->hr_stride,
        (gsize) 12 * width);
  dloral_stream_release (stream, frame);
}

/* [h][w][c] → [c][h][w] in place of `x`, which is freed. */
static float *
to_planes (float *x, int h, int w, int c)
{
  float *planes = g_new (float, (gsize) h * w * c);

  for (int i = 0; i < h * w; i++)
    for (int k = 0; k < c; k++)
      planes[(gsize) k * h * w + i] = x[(gsize) i * c + k];
  g_free (x);
  return planes;
}

static double
get_deviation (const float *x, gsize n)
{
  double sum = 0, squares = 0;

  for (gsize i = 0; i < n; i++)
    sum += x[i];
  for (gsize i = 0; i < n; i++)
    squares += (x[i] - sum / n) * (x[i] - sum / n);
  return sqrt (squares / n);
}

void
agreement_check_values (const char *name, const DloralEntry *expected,
    const float *found)
{
  gsize n = 1;
  double largest = 0, deviation;
  g_autofree float *values = NULL;

  for (int i = 0; i < expected->rank; i++)
    n *= expected->shape[i];
  values = g_new (float, n);
  dloral_entry_read_f32 (expected, 0, n, values);
  for (gsize i = 0; i < n; i++) {
    g_assert_true (isfinite (found[i]));
    largest = fmax (largest, fabs (found[i] - values[i]));
  }
  deviation = get_deviation (values, n);
  g_test_message ("%s: off by %.2g, deviation %.3g", name, largest, deviation);
  g_assert_cmpfloat (largest, <=, BOUND * deviation);
}

void
agreement_check_tensor (const DloralSafetensors *file, const char *name, int frame,
    float *found, int h, int w, int c)
{
  g_autofree char *full = g_strdup_printf ("%s.%d", name, frame);
  const DloralEntry *entry = dloral_safetensors_find (file, full);

  if (entry == NULL) {          /* a case may begin at its second frame */
    g_assert_cmpint (frame, ==, 0);
    g_free (found);
    return;
  }
  g_assert_cmpint (entry->rank, ==, 4);
  g_assert_cmpint (entry->shape[1], ==, c);
  g_assert_cmpint (entry->shape[2], ==, h);
  g_assert_cmpint (entry->shape[3], ==, w);
  agreement_check_values (full, entry, found);
  g_free (found);
}

float *
agreement_dup_planes (DloralStream *stream, const char *name, int *h, int *w, int *c)
{
  float *x = dloral_stream_dup_tensor (stream, name, h, w, c);

  g_assert_nonnull (x);
  return to_planes (x, *h, *w, *c);
}
