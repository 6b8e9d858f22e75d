/* Conversions to fp8, as the format defines them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "conversions.h"

#include <math.h>
#include <string.h>

#define CHANNELS 16
#define ROWS (0x10000 / CHANNELS)
#define NO_NUMBER 0x7f

double
dloral_e4m3_decode (int code)
{
  int exponent = code >> 3 & 15, mantissa = code & 7;
  double size = exponent == 0 ? ldexp (mantissa, -9) :
      ldexp (8 + mantissa, exponent - 10);

  if ((code & 0x7f) == NO_NUMBER)
    return NAN;
  return code >> 7 ? -size : size;
}

int
dloral_e4m3_find (float x)
{
  double size = fabsf (x);
  int best = 0;

  if (isnan (x))
    return NO_NUMBER;
  if (isinf (x))
    size = 1e6;
  for (int code = 1; code < NO_NUMBER; code++) {
    double old = fabs (dloral_e4m3_decode (best) - size);
    double new = fabs (dloral_e4m3_decode (code) - size);

    if (new < old || (new == old && code % 2 == 0))
      best = code;
  }
  return best | (signbit (x) ? 0x80 : 0);
}

static void
fill_identity (const DloralWeight *weight, float *dst)
{
  for (int i = 0; i < CHANNELS * CHANNELS; i++)
    dst[i] = i / CHANNELS == i % CHANNELS;
}

/* y = 1 · x, where twice 224 is the largest number that there is. */
static void
make_case (DloralCase *c)
{
  DloralOp op = { .kind = DLORAL_OP_LINEAR, .n_src = 1, .input_max = 224 };

  memset (c, 0, sizeof *c);
  c->graph = dloral_graph_new ("conversions", DLORAL_BF16);
  op.src[0] = dloral_graph_bind (c->graph, 1, ROWS, CHANNELS, DLORAL_BF16);
  op.dst = dloral_graph_bind (c->graph, 1, ROWS, CHANNELS, DLORAL_BF16);
  op.weight = dloral_graph_weight (c->graph, (DloralWeight) {
      .key = g_strdup ("identity"), .o = CHANNELS, .i = CHANNELS, .kh = 1,
      .kw = 1, .fill = fill_identity });
  dloral_graph_append (c->graph, &op);
  dloral_graph_plan (c->graph);
  c->op = c->graph->ops->pdata[0];
}

static gboolean
is_number (int bits)
{
  return (bits & 0x7fff) <= 0x7f80;
}

static void
check_numbers (DloralHarness *h)
{
  guint16 *x = dloral_harness_get (h, 0);
  double *values, *results;

  for (int i = 0; i < 0x10000; i++)
    x[i] = is_number (i) ? i : 0;
  dloral_harness_run (h, 0xff);
  values = dloral_harness_read (h, h->c->op->src[0]);
  results = dloral_harness_read (h, h->c->op->dst);
  for (int i = 0; i < 0x10000; i++)
    g_assert_cmpfloat (results[i], ==,
        dloral_e4m3_decode (dloral_e4m3_find (values[i])));
  g_free (values);
  g_free (results);
}

/* In the last row of many; the others have none of it. */
static void
check_no_number (DloralHarness *h)
{
  guint16 *x = dloral_harness_get (h, 0);
  double *results;

  memset (x, 0, 0x10000 * sizeof *x);
  x[0xffff] = 0x7fc0;
  dloral_harness_run (h, 0xff);
  results = dloral_harness_read (h, h->c->op->dst);
  g_assert_true (isnan (results[0xffff]));
  for (int i = 0; i < 0x10000 - CHANNELS; i++)
    g_assert_cmpfloat (results[i], ==, 0);
  g_free (results);
}

void
dloral_compare_conversions (const DloralBackend *backend,
    DloralDevice *device)
{
  DloralCase c;
  DloralHarness h;

  make_case (&c);
  dloral_harness_init (&h, backend, device, &c, 1);
  check_numbers (&h);
  check_no_number (&h);
  dloral_harness_clear (&h);
  dloral_case_clear (&c);
}
