/* The stages of a frame: encode, restore, decode; and the prompt's part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stages.h"

static int
round_up (int n, int multiple)
{
  return (n + multiple - 1) / multiple * multiple;
}

void
dloral_geometry_init (DloralGeometry *geometry, const DloralConfig *config,
    int width, int height, DloralColorFix fix, DloralVae vae)
{
  int factor = dloral_config_get_downscale (config);

  geometry->width = width;
  geometry->height = height;
  geometry->hr_width = round_up (width * config->scale, factor);
  geometry->hr_height = round_up (height * config->scale, factor);
  geometry->latent_width = geometry->hr_width / factor;
  geometry->latent_height = geometry->hr_height / factor;
  geometry->color_fix =
      fix == DLORAL_COLOR_FIX_AUTO ? config->color_fix : fix;
  geometry->vae = vae;
}

/* Bound tensors by grid. */
static DloralTensor *
bind_latent (DloralBuilder *b, const DloralGeometry *geo, int c)
{
  return dloral_graph_bind (b->g, geo->latent_height, geo->latent_width, c,
      DLORAL_F32);
}

static DloralTensor *
bind_hr (DloralBuilder *b, const DloralGeometry *geo)
{
  return dloral_graph_bind (b->g, geo->hr_height, geo->hr_width, 3, DLORAL_U8);
}

/* Picture u8 → [H/p][W/p][3·p·p]. */
static DloralTensor *
from_picture (DloralBuilder *b, DloralTensor *hr, int p, DloralDtype dtype)
{
  DloralTensor *x = dloral_graph_tensor (b->g, hr->h / p, hr->w / p, 3 * p * p,
      dtype);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_FROM_PICTURE, .n_src = 1, .src = { hr }, .dst = x,
      .u.from_picture = { p } });
  return x;
}

static void
build_encode (DloralBuilder *b, const DloralGeometry *geo)
{
  DloralTensor *lq = dloral_graph_bind (b->g, geo->height, geo->width, 3,
      DLORAL_U8);
  DloralTensor *hr = bind_hr (b, geo);
  DloralTensor *small = bind_latent (b, geo, 3);
  DloralTensor *latent = bind_latent (b, geo, b->config->vae.latent_channels);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_UPSAMPLE, .n_src = 1, .src = { lq }, .dst = hr,
      .u.upsample = { b->config->scale } });
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_SHRINK, .n_src = 1, .src = { hr }, .dst = small,
      .u.shrink = { dloral_config_get_downscale (b->config) } });
  if (geo->vae == DLORAL_VAE_TINY)
    dloral_taesd_encode (b, from_picture (b, hr, 1, DLORAL_F32), latent);
  else
    dloral_vae_encode (b, from_picture (b, hr, b->config->vae.patch_size,
            b->g->act_dtype), latent);
}

/* aligned = the previous latent moved along the flow. */
static void
align (DloralBuilder *b, DloralTensor *prev, DloralTensor *flow,
    DloralTensor *aligned)
{
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_WARP, .scope = "align", .n_src = 2,
      .src = { prev, flow }, .dst = aligned });
}

static void
build_restore (DloralBuilder *b, const DloralGeometry *geo, int tokens,
    gboolean first)
{
  int c = b->config->vae.latent_channels;
  DloralTensor *prev_small = bind_latent (b, geo, 3);
  DloralTensor *small = bind_latent (b, geo, 3);
  DloralTensor *prev = bind_latent (b, geo, c);
  DloralTensor *latent = bind_latent (b, geo, c);
  DloralTensor *flow = bind_latent (b, geo, 2);
  DloralTensor *aligned = bind_latent (b, geo, c);
  DloralTensor *fused = bind_latent (b, geo, c);
  DloralTensor *x0 = bind_latent (b, geo, c);

  if (first) {
    dloral_convert_into (b, latent, aligned);
  } else {
    dloral_spynet (b, small, prev_small, flow);
    align (b, prev, flow, aligned);
  }
  dloral_retrieval (b, latent, aligned, fused);
  dloral_unet (b, aligned, fused, tokens, x0);
}

static void
build_decode (DloralBuilder *b, const DloralGeometry *geo, gboolean first)
{
  const DloralVaeConfig *vae = &b->config->vae;
  gboolean tiny = geo->vae == DLORAL_VAE_TINY;
  DloralTensor *x0 = bind_latent (b, geo, vae->latent_channels);
  DloralTensor *hr = bind_hr (b, geo);
  DloralTensor *out = bind_hr (b, geo);
  DloralTensor *x = tiny ? dloral_taesd_decode (b, x0, first) :
      dloral_vae_decode (b, x0);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_TO_PICTURE, .n_src = 2, .src = { x, hr }, .dst = out,
      .u.to_picture = { tiny ? 1 : vae->patch_size,
          !tiny && vae->lq_residual, geo->color_fix,
          geo->height * b->config->scale, geo->width * b->config->scale } });
}

/* Which cross-attentions there are is known by building the UNet once. */
static void
build_condition (DloralBuilder *b, const DloralGeometry *geo,
    const DloralModel *model)
{
  DloralGraph *g = dloral_graph_new ("unet", b->g->act_dtype);
  DloralBuilder *unet = dloral_builder_new (g, b->file, b->config);
  DloralTensor *prompt;

  build_restore (unet, geo, model->tokens, TRUE);
  prompt = dloral_graph_bind (b->g, 1, model->tokens,
      model->config.unet.cross_attention_dim, DLORAL_F32);
  dloral_unet_condition (b, prompt, unet->cross_prefixes, unet->cross_kv);
  dloral_builder_finish (unet, b->error ? NULL : &b->error);
  dloral_graph_free (g);
}

gboolean
dloral_graph_is_needed (const DloralModel *model, const DloralGeometry *geo,
    DloralGraphKind kind)
{
  if (kind == DLORAL_GRAPH_CONDITION)
    return model->tokens > 0;
  if (kind == DLORAL_GRAPH_DECODE_FIRST)
    return geo->vae == DLORAL_VAE_TINY && dloral_taesd_remembers (model->file);
  return TRUE;
}

DloralGraph *
dloral_graph_build (const DloralModel *model, const DloralGeometry *geo,
    DloralGraphKind kind, GError **error)
{
  static const char *const names[DLORAL_N_GRAPHS] = {
    "encode", "restore", "restore-first", "decode", "decode-first",
    "condition"
  };
  DloralGraph *g = dloral_graph_new (names[kind],
      model->backend->get_act_dtype (model->device));
  DloralBuilder *b = dloral_builder_new (g, model->file, &model->config);

  switch (kind) {
    case DLORAL_GRAPH_ENCODE:
      build_encode (b, geo);
      break;
    case DLORAL_GRAPH_RESTORE:
    case DLORAL_GRAPH_RESTORE_FIRST:
      build_restore (b, geo, model->tokens,
          kind == DLORAL_GRAPH_RESTORE_FIRST);
      break;
    case DLORAL_GRAPH_DECODE:
    case DLORAL_GRAPH_DECODE_FIRST:
      build_decode (b, geo, kind == DLORAL_GRAPH_DECODE_FIRST);
      break;
    default:
      build_condition (b, geo, model);
  }
  if (!dloral_builder_finish (b, error)) {
    dloral_graph_free (g);
    return NULL;
  }
  dloral_graph_plan (g);
  return g;
}
