/* Cross-frame retrieval by its exact low-rank form.
 *
 * Query, key, value and threshold are affine maps of latents with few channels,
 * so each head needs only two small matrices over x̃ = [z; 1], ỹ = [a; 1]:
 *   score  x̃ᵀ S ỹ  = q·k / √d - τ(q),  S = [Wq bq]ᵀ[Wk bk] / √d - t e₁ᵀ
 *   value  V ỹ      = Wo (Wv a + bv) / temperature
 * where t = [Wq bq]ᵀ wτ + bτ e₁ and e₁ picks the constant 1. Multiply-adds a pair
 * and head fall from 2·d to about 2·channels, memory from N² to N.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "nets.h"

#include <math.h>

#define MODULE "cfr.cross_attn_module."

/* A 1×1 convolution [rows][c] with its bias as one more column. */
typedef struct
{
  float *w, *b;
  int c;
} Affine;

static Affine
read_affine (DloralBuilder *b, const char *name, int rows, int c)
{
  g_autofree char *weight = g_strconcat (MODULE, name, ".weight", NULL);
  g_autofree char *bias = g_strconcat (MODULE, name, ".bias", NULL);
  Affine a = { dloral_builder_read (b, weight, rows, c, 1, 1),
    dloral_builder_read (b, bias, rows, 1, 1, 1), c
  };

  return a;
}

static void
clear_affine (Affine *a)
{
  g_free (a->w);
  g_free (a->b);
}

static double
affine_at (const Affine *a, int row, int col)
{
  return col < a->c ? a->w[(gsize) row * a->c + col] : a->b[row];
}

/* S, [heads][c+1][c+1]. */
static float *
fold_scores (DloralBuilder *b, int c)
{
  const DloralCfrConfig *cfr = &b->config->cfr;
  int d = cfr->embed_dim, n = c + 1;
  Affine q = read_affine (b, "query_conv", cfr->heads * d, c);
  Affine k = read_affine (b, "key_conv", cfr->heads * d, c);
  Affine t = read_affine (b, "threshold_fc", 1, d);
  float *s = b->error ? NULL : g_new (float, (gsize) cfr->heads * n * n);

  for (int h = 0; s && h < cfr->heads; h++)
    for (int x = 0; x < n; x++)
      for (int y = 0; y < n; y++) {
        double dot = 0, tau = x == c ? t.b[0] : 0;

        for (int e = 0; e < d; e++) {
          double qe = affine_at (&q, h * d + e, x);

          dot += qe * affine_at (&k, h * d + e, y);
          tau += qe * t.w[e];
        }
        s[((gsize) h * n + x) * n + y] = dot / sqrt (d) - (y == c ? tau : 0);
      }
  clear_affine (&q);
  clear_affine (&k);
  clear_affine (&t);
  return s;
}

/* V, [heads][c][c+1]. */
static float *
fold_values (DloralBuilder *b, int c)
{
  const DloralCfrConfig *cfr = &b->config->cfr;
  int d = cfr->embed_dim, n = c + 1, inner = cfr->heads * d;
  Affine v = read_affine (b, "value_conv", inner, c);
  g_autofree float *out =
      dloral_builder_read (b, MODULE "proj_out.weight", c, inner, 1, 1);
  float *values =
      b->error ? NULL : g_new (float, (gsize) cfr->heads * c * n);

  for (int h = 0; values && h < cfr->heads; h++)
    for (int o = 0; o < c; o++)
      for (int y = 0; y < n; y++) {
        double acc = 0;

        for (int e = 0; e < d; e++)
          acc += (double) out[(gsize) o * inner + h * d + e] *
              affine_at (&v, h * d + e, y);
        values[((gsize) h * c + o) * n + y] = acc / cfr->temperature;
      }
  clear_affine (&v);
  return values;
}

void
dloral_retrieval (DloralBuilder *b, DloralTensor *z, DloralTensor *aligned,
    DloralTensor *fused)
{
  const DloralCfrConfig *cfr = &b->config->cfr;
  int c = z->c, n = c + 1;

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_RETRIEVAL, .scope = "cfr.cross_attn_module",
      .n_src = 2, .src = { z, aligned }, .dst = fused,
      .weight = dloral_builder_constant (b, MODULE "scores", cfr->heads,
          n, n, 1, fold_scores (b, c)),
      .bias = dloral_builder_weight (b, MODULE "proj_out.bias", c, 1, 1, 1),
      .u.retrieval = { cfr->heads, cfr->window,
          dloral_builder_constant (b, MODULE "values", cfr->heads, c, n, 1,
              fold_values (b, c)) } });
}
