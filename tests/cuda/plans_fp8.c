/* Products in e4m3 as the UNet and the VAE have them, compiled by the real cuDNN for
 * a GPU that is not there: all in one kernel each, or in bf16 where they cannot be.
 *
 *   plans-fp8 DEVICE.json
 *
 * Prints a line a product: how it is computed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/plan.h"
#include "no_device.h"

#include <stdio.h>
#include <string.h>

typedef struct
{
  const char *name;
  DloralOpKind kind;
  int side, in, out, kernel, stride;
  gboolean bias, residual, geglu;
  DloralDtype dst;
  gboolean bf16;                /* where it stays in that */
} Case;

static const Case cases[] = {
  { "conv 3x3", DLORAL_OP_CONV, 64, 320, 320, 3, 1, TRUE, FALSE, FALSE,
      DLORAL_BF16, FALSE },
  { "conv 3x3, residual", DLORAL_OP_CONV, 64, 640, 320, 3, 1, TRUE, TRUE,
      FALSE, DLORAL_BF16, FALSE },
  { "conv 3x3, strided", DLORAL_OP_CONV, 64, 320, 320, 3, 2, TRUE, FALSE,
      FALSE, DLORAL_BF16, FALSE },
  { "conv 1x1, no bias, residual", DLORAL_OP_CONV, 32, 320, 640, 1, 1, FALSE,
      TRUE, FALSE, DLORAL_BF16, FALSE },
  { "conv 3x3 of the VAE", DLORAL_OP_CONV, 256, 128, 128, 3, 1, TRUE, TRUE,
      FALSE, DLORAL_BF16, FALSE },
  { "conv 3x3 to f32", DLORAL_OP_CONV, 64, 64, 16, 3, 1, TRUE, FALSE, FALSE,
      DLORAL_F32, FALSE },
  { "conv 3x3, 320 to 4", DLORAL_OP_CONV, 64, 320, 4, 3, 1, TRUE, FALSE, FALSE,
      DLORAL_BF16, TRUE },
  { "linear, no bias", DLORAL_OP_LINEAR, 64, 320, 960, 1, 1, FALSE, FALSE,
      FALSE, DLORAL_BF16, FALSE },
  { "linear, residual", DLORAL_OP_LINEAR, 64, 1280, 320, 1, 1, TRUE, TRUE,
      FALSE, DLORAL_BF16, FALSE },
  { "geglu", DLORAL_OP_LINEAR, 64, 320, 1280, 1, 1, TRUE, FALSE, TRUE,
      DLORAL_BF16, FALSE },
};

static const DloralWeight *
add_weight (DloralGraph *g, int o, int i, int kernel)
{
  return dloral_graph_weight (g, (DloralWeight) {
      .o = o, .i = i, .kh = kernel, .kw = kernel });
}

static DloralGraph *
make_graph (const Case *c)
{
  DloralGraph *g = dloral_graph_new (c->name, DLORAL_BF16);
  int side = c->side / c->stride;
  DloralOp op = { .kind = c->kind, .n_src = 1 + c->residual, .input_max = 10 };

  op.src[0] = dloral_graph_bind (g, c->side, c->side, c->in, DLORAL_BF16);
  if (c->residual)
    op.src[1] = dloral_graph_bind (g, side, side, c->out, DLORAL_BF16);
  op.dst = dloral_graph_bind (g, side, side, c->out, c->dst);
  op.weight = add_weight (g, c->out * (1 + c->geglu), c->in, c->kernel);
  if (c->bias)
    op.bias = add_weight (g, op.weight->o, 1, 1);
  if (c->kind == DLORAL_OP_CONV)
    op.u.conv.stride = c->stride;
  if (c->kind == DLORAL_OP_CONV)
    op.u.conv.pad_top = op.u.conv.pad_left = c->kernel / 2;
  else
    op.u.linear.geglu = c->geglu;
  dloral_graph_append (g, &op);
  dloral_graph_plan (g);
  return g;
}

/* Whether the product is computed in the type that it should be. */
static gboolean
check (DloralDevice *device, const Case *c)
{
  DloralGraph *graph = make_graph (c);
  GError *error = NULL;
  DloralPlan *plan = dloral_cuda_compile (device, graph, &error);
  const char *how;
  gboolean ok;

  g_assert_no_error (error);
  how = dloral_cuda_plan_describe (plan, 0);
  ok = (strstr (how, "e4m3") == NULL) == c->bf16;
  printf ("%s: %s%s\n", c->name, how, ok ? "" : ", not as it should be");
  dloral_cuda_plan_free (plan);
  dloral_graph_free (graph);
  return ok;
}

int
main (int argc, char **argv)
{
  DloralDevice *device;
  int bad = 0;

  if (argc != 2) {
    fprintf (stderr, "plans-fp8 DEVICE.json\n");
    return 2;
  }
  device = no_device_new (argv[1], NULL);
  device->fp8 = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    bad += !check (device, &cases[i]);
  return bad > 0;
}
