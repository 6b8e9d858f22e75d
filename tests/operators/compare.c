/* One operator of a backend against its float64 reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "compare.h"

#include "harness.h"
#include "reference.h"

#include <math.h>
#include <string.h>

#define RUNS 3

static gboolean
is_half (const DloralTensor * t)
{
  return t->dtype == DLORAL_BF16 || t->dtype == DLORAL_F16;
}

static gboolean
is_f32 (const DloralCase * c)
{
  for (int i = 0; i < c->op->n_src; i++)
    if (is_half (c->op->src[i]))
      return FALSE;
  return !is_half (c->op->dst);
}

static gboolean
is_whole (const DloralTensor * t)
{
  return t->dtype == DLORAL_U8 || t->dtype == DLORAL_U16;
}

/* Whether it is from or to pictures of 16 bits, and whole. */
static gboolean
is_deep (const DloralOp * op)
{
  return is_whole (op->dst) && (op->dst->dtype == DLORAL_U16
      || op->src[0]->dtype == DLORAL_U16);
}

/* Library operators may pack weights in the graph's type, whatever the types
 * of their tensors. */
static double
get_bound (const DloralCaseKind * kind, const DloralCase * c)
{
  if (is_deep (c->op))
    return kind->bound_u16;
  if (is_f32 (c) && (kind->kernels
          || c->graph->act_dtype == DLORAL_F32))
    return kind->bound_f32;
  return kind->bound_half;
}

static gboolean
is_visible (const DloralOp * op, gsize i)
{
  gsize pixel = i / op->dst->c;

  return op->kind != DLORAL_OP_TO_PICTURE
      || ((int) (pixel / op->dst->w) < op->u.to_picture.height
      && (int) (pixel % op->dst->w) < op->u.to_picture.width);
}

/* Largest error as a share of the reference's value and root mean square
 * together. NaN where a value is not a number. */
static double
float_error (const DloralOp * op, const double *got, const double *want)
{
  gsize n = (gsize) op->dst->h * op->dst->w * op->dst->c;
  double square = 0, worst = 0, scale;

  for (gsize i = 0; i < n; i++)
    square += want[i] * want[i];
  scale = MAX (sqrt (square / n), 0.1);
  for (gsize i = 0; i < n && !isnan (worst); i++) {
    double error = fabs (got[i] - want[i]) / (fabs (want[i]) + scale);

    if (!(error <= worst))
      worst = error;
  }
  return worst;
}

/* What is compared at byte i: in pairs that are one sample, the sample at the
 * second one. */
static double
get_level (const DloralOp * op, const double *bytes, gsize i)
{
  const DloralVideoFormat *f = &op->u.video.format;

  if (op->kind != DLORAL_OP_PACK || f->depth == 8)
    return bytes[i];
  return i % 2 == 0 ? 0 : (bytes[i - 1] + 256 * bytes[i]) / (1 << f->shift);
}

/* Share of the samples that are one level off; infinite where one is further
 * off. One sample of any number may be. NAN is wanted where anything will do. A
 * correction may make two levels of one: of 16 bits, that is not rare. */
static double
level_error (const DloralOp * op, const double *got, const double *want)
{
  int most = op->kind == DLORAL_OP_TO_PICTURE && is_deep (op) ? 2 : 1;
  gsize n = (gsize) op->dst->h * op->dst->w * op->dst->c, off = 0;

  for (gsize i = 0; i < n; i++) {
    double error = fabs (get_level (op, got, i) - get_level (op, want, i));

    if (error == 0 || isnan (error) || !is_visible (op, i))
      continue;
    if (error > most)
      return INFINITY;
    off++;
  }
  return off > 1 ? (double) off / n : 0;
}

/* The error as a share of what is allowed; over 1 the test has failed. */
static double
check_result (const DloralCaseKind * kind, const DloralHarness * h, const double *want,
    guint32 seed)
{
  const DloralOp *op = h->c->op;
  double *got = dloral_harness_read (h, op->dst);
  double error = is_whole (op->dst) ? level_error (op, got, want)
      : float_error (op, got, want);
  double bound = get_bound (kind, h->c);

  if (!(error <= bound)) {
    char *text = dloral_case_describe (h->c);

    g_test_message ("case %u: %s: error %g, at most %g allowed", seed, text,
        error, bound);
    g_free (text);
    g_test_fail ();
  }
  g_free (got);
  return error > 0 ? error / bound : 0;
}

static double *
compute_reference (const DloralHarness * h)
{
  const DloralOp *op = h->c->op;
  double *src[DLORAL_MAX_SRC], *want;

  for (int i = 0; i < op->n_src; i++)
    src[i] = dloral_harness_read (h, op->src[i]);
  want = dloral_reference_run (op, (const double *const *) src);
  for (int i = 0; i < op->n_src; i++)
    g_free (src[i]);
  return want;
}

double
dloral_compare_case (const DloralBackend * backend, DloralDevice * device,
    const DloralCaseKind * kind, int i)
{
  static const guint8 poisons[RUNS] = { 0xff, 0x00, 0xff };
  guint32 seed = 1000 * kind->kind + i;
  DloralCase c;
  DloralHarness h;
  double *want, worst = 0;

  dloral_case_init (&c, kind, backend->get_act_dtype (device), seed);
  dloral_harness_init (&h, backend, device, &c, seed);
  want = compute_reference (&h);
  for (int run = 0; run < RUNS; run++) {
    dloral_harness_run (&h, poisons[run]);
    worst = MAX (worst, check_result (kind, &h, want, seed));
  }
  g_free (want);
  dloral_harness_clear (&h);
  dloral_case_clear (&c);
  return worst;
}

/* A picture of w × h and what Pillow makes of it: bytes of one and the other. */
static void
compare_picture (const DloralBackend * backend, DloralDevice * device,
    int w, int h, const char *bytes)
{
  DloralCase c = {.graph = dloral_graph_new ("pillow", DLORAL_F32) };
  DloralOp op = {.kind = DLORAL_OP_UPSAMPLE,.n_src = 1 };
  DloralHarness harness;

  op.src[0] = dloral_graph_bind (c.graph, h, w, 3, DLORAL_U8);
  op.dst = dloral_graph_bind (c.graph, 4 * h, 4 * w, 3, DLORAL_U8);
  op.u.upsample.scale = 4;
  dloral_graph_append (c.graph, &op);
  dloral_graph_plan (c.graph);
  c.op = c.graph->ops->pdata[0];
  dloral_harness_init (&harness, backend, device, &c, 1);
  memcpy (dloral_harness_get (&harness, 0), bytes, w * h * 3);
  dloral_harness_run (&harness, 0xff);
  g_assert_cmpmem (dloral_harness_get (&harness, 1), w * h * 48,
      bytes + w * h * 3, w * h * 48);
  dloral_harness_clear (&harness);
  dloral_case_clear (&c);
}

/* The file holds pictures: sizes (two bytes), picture, enlarged picture. */
void
dloral_compare_pillow (const DloralBackend * backend, DloralDevice * device)
{
  GError *error = NULL;
  char *contents;
  gsize size, at = 0;

  g_file_get_contents (TEST_DATA "/pillow-x4.bin", &contents, &size, &error);
  g_assert_no_error (error);
  while (at < size) {
    int w = (guint8) contents[at], h = (guint8) contents[at + 1];

    compare_picture (backend, device, w, h, contents + at + 2);
    at += 2 + w * h * 51;
  }
  g_free (contents);
}

/* bf16 holds the sums of any four exactly. */
static void
fill_coarse (const DloralWeight * weight, float *dst)
{
  for (gsize i = 0; i < dloral_weight_get_length (weight); i++)
    dst[i] = (i * 37 % 17 - 8.f) / 64;
}

static void
append_conv (DloralGraph * g, DloralTensor * x, const DloralWeight * kernel,
    gboolean enlarge)
{
  int scale = enlarge ? 2 : 1;
  DloralTensor *y = dloral_graph_bind (g, scale * x->h, scale * x->w,
      kernel->o, g->act_dtype);

  dloral_graph_append (g, &(DloralOp) {
      .kind = DLORAL_OP_CONV,.n_src = 1,.src = { x },.dst = y,
      .weight = kernel,.u.conv = { 1, 1, 1, DLORAL_ACT_NONE, enlarge } });
}

void
dloral_compare_shared_kernel (const DloralBackend * backend,
    DloralDevice * device)
{
  DloralGraph *g = dloral_graph_new ("shared", backend->get_act_dtype (device));
  DloralTensor *x = dloral_graph_bind (g, 5, 7, 16, g->act_dtype);
  const DloralWeight *kernel = dloral_graph_weight (g, (DloralWeight) {
      .key = g_strdup ("kernel"), .o = 8, .i = 16, .kh = 3, .kw = 3,
        .fill = fill_coarse });
  DloralCase c = {.graph = g,.scale = { 1 } };
  DloralHarness h;
  double *src;

  for (int enlarge = 0; enlarge < 2; enlarge++)
    append_conv (g, x, kernel, enlarge);
  dloral_graph_plan (g);
  c.op = g->ops->pdata[0];
  dloral_harness_init (&h, backend, device, &c, 1);
  dloral_harness_run (&h, 0xff);
  src = dloral_harness_read (&h, x);
  for (int i = 0; i < 2; i++) {
    const DloralOp *op = g->ops->pdata[i];
    double *got = dloral_harness_read (&h, op->dst);
    double *want = dloral_reference_run (op, (const double *const *) &src);

    g_assert_cmpfloat (float_error (op, got, want), <,
        dloral_case_kinds[DLORAL_OP_CONV].bound_half);
    g_free (got);
    g_free (want);
  }
  g_free (src);
  dloral_harness_clear (&h);
  dloral_case_clear (&c);
}

void
dloral_compare_not_finite (const DloralBackend * backend,
    DloralDevice * device)
{
  static const float bad[] = { 0, NAN, INFINITY, -INFINITY };
  const DloralCaseKind *kind = &dloral_case_kinds[DLORAL_OP_TO_PICTURE];

  for (int i = 0; i < 4 * kind->count; i++) {
    float value = bad[i % G_N_ELEMENTS (bad)];
    DloralCase c;
    DloralHarness h;
    float *x;

    dloral_case_init (&c, kind, DLORAL_F32, i);
    dloral_harness_init (&h, backend, device, &c, i);
    x = dloral_harness_get (&h, 0);
    x[i % (h.buffers[0].size / sizeof *x)] = value;
    dloral_harness_run (&h, 0xff);
    g_assert_cmpint (*(guint8 *) dloral_harness_get (&h,
            c.op->u.to_picture.finite->binding), ==, value == 0);
    if (value != 0)
      g_assert_cmpmem (dloral_harness_get (&h, 1), h.buffers[1].size,
          dloral_harness_get (&h, 2), h.buffers[2].size);
    dloral_harness_clear (&h);
    dloral_case_clear (&c);
  }
}
