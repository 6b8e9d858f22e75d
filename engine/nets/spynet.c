/* SPyNet: optical flow from coarse to fine, six small networks.
 *
 * As BasicVSR uses it and DLoRAL inherits it, with its quirk: the frames come
 * in [-1, 1] where the normalisation expects [0, 1].
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "nets.h"

#define LEVELS DLORAL_SPYNET_LEVELS
#define N_CONVS (DLORAL_SPYNET_WIDTHS + 1)
#define KERNEL 7
#define MULTIPLE 32             /* 2^(LEVELS - 1) */

/* ImageNet's statistics. */
static const float gain[4] = { 1 / 0.229f, 1 / 0.224f, 1 / 0.225f, 1 };
static const float offset[4] =
    { -0.485f / 0.229f, -0.456f / 0.224f, -0.406f / 0.225f, 0 };

/* The finest level's side, of a frame's. */
static int
round_up (int n, int shrink)
{
  int side = (n + shrink - 1) / shrink;

  return (side + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
}

/* pyramid[l], l = 0 coarsest: normalised, every level half the next. */
static void
build_pyramid (DloralBuilder *b, DloralTensor *x, DloralTensor **pyramid)
{
  int shrink = b->config->cfr.spynet_shrink;

  x = dloral_resize (b, x, round_up (x->h, shrink), round_up (x->w, shrink),
      DLORAL_RESIZE_BILINEAR, gain, offset);
  for (int l = LEVELS - 1; l >= 0; l--) {
    pyramid[l] = x;
    if (l == 0)
      break;
    x = dloral_graph_tensor (b->g, x->h / 2, x->w / 2, x->c, DLORAL_F32);
    dloral_graph_append (b->g, &(DloralOp) {
        .kind = DLORAL_OP_POOL, .scope = "cfr.spynet", .n_src = 1,
        .src = { pyramid[l] }, .dst = x });
  }
}

static DloralTensor *
warp (DloralBuilder *b, DloralTensor *x, DloralTensor *flow)
{
  DloralTensor *y = dloral_graph_tensor (b->g, x->h, x->w, x->c, DLORAL_F32);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_WARP, .scope = "cfr.spynet", .n_src = 2,
      .src = { x, flow }, .dst = y, .u.warp = { .border = TRUE } });
  return y;
}

/* The first convolution of a level. Without a flow (the coarsest level) its
 * two last input channels are zero, so their weights are left out. */
static DloralTensor *
first_conv (DloralBuilder *b, const char *prefix, DloralTensor *x, int c)
{
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".bias", NULL);

  return dloral_conv_weights (b, prefix, x,
      dloral_builder_weight_slice (b, weight, c, 8, KERNEL, KERNEL, 0, x->c),
      dloral_builder_weight (b, bias, c, 1, 1, 1),
      &(DloralConvParams) { .kernel = KERNEL, .act = DLORAL_ACT_RELU });
}

/* flow + the level's network of [ref, warped, flow]; flow NULL: zero. */
static DloralTensor *
refine (DloralBuilder *b, int level, DloralTensor *ref, DloralTensor *supp,
    DloralTensor *flow)
{
  const int *widths = b->config->cfr.spynet_channels;
  DloralTensor *x = flow ?
      dloral_concat (b, b->g->act_dtype, ref, warp (b, supp, flow), flow,
      NULL) : dloral_concat (b, b->g->act_dtype, ref, supp, NULL);

  for (int j = 0; j < N_CONVS; j++) {
    g_autofree char *prefix =
        g_strdup_printf ("cfr.spynet.basic_module.%d.basic_module.%d.conv",
        level, j);

    if (j == 0)
      x = first_conv (b, prefix, x, widths[0]);
    else if (j < N_CONVS - 1)
      x = dloral_conv (b, prefix, x, widths[j], .kernel = KERNEL,
          .act = DLORAL_ACT_RELU);
    else
      x = dloral_conv (b, prefix, x, 2, .kernel = KERNEL, .residual = flow,
          .dtype = DLORAL_F32);
  }
  return x;
}

void
dloral_spynet (DloralBuilder *b, DloralTensor *ref, DloralTensor *supp,
    DloralTensor *flow)
{
  DloralTensor *refs[LEVELS], *supps[LEVELS], *f = NULL;
  float back[4] = { 1, 1, 1, 1 };
  static const float twice[4] = { 2, 2, 2, 2 };

  build_pyramid (b, ref, refs);
  build_pyramid (b, supp, supps);
  for (int l = 0; l < LEVELS; l++) {
    if (f)
      f = dloral_resize (b, f, 2 * f->h, 2 * f->w,
          DLORAL_RESIZE_BILINEAR_ALIGNED, twice, NULL);
    f = refine (b, l, refs[l], supps[l], f);
  }
  back[0] = (float) flow->w / f->w;
  back[1] = (float) flow->h / f->h;
  dloral_resize_into (b, f, flow, DLORAL_RESIZE_BILINEAR, back, NULL);
}
