/* A frame size's grids; encoding and decoding as graphs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stages.h"

#include <string.h>

static int
round_up (int n, int multiple)
{
  return (n + multiple - 1) / multiple * multiple;
}

void
dloral_geometry_init (DloralGeometry *geometry, const DloralConfig *config,
    const DloralStreamParams *params)
{
  int factor = dloral_config_get_downscale (config);
  int width = params->width, height = params->height;

  memset (geometry, 0, sizeof *geometry);
  geometry->width = width;
  geometry->height = height;
  geometry->hr_width = round_up (width * config->scale, factor);
  geometry->hr_height = round_up (height * config->scale, factor);
  geometry->latent_width = geometry->hr_width / factor;
  geometry->latent_height = geometry->hr_height / factor;
  geometry->color_fix = params->color_fix == DLORAL_COLOR_FIX_AUTO ?
      config->color_fix : params->color_fix;
  geometry->vae = params->vae;
  geometry->window = params->temporal_window;
  geometry->picture_dtype = params->deep ? DLORAL_U16 : DLORAL_U8;
}

static DloralTensor *
bind_latent (DloralBuilder *b, const DloralGeometry *geo, int c)
{
  return dloral_graph_bind (b->g, geo->latent_height, geo->latent_width, c,
      DLORAL_F32);
}

static DloralTensor *
bind_hr (DloralBuilder *b, const DloralGeometry *geo)
{
  return dloral_graph_bind (b->g, geo->hr_height, geo->hr_width, 3,
      geo->picture_dtype);
}

/* Picture → [H/p][W/p][3·p·p]. */
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
      geo->picture_dtype);
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

static void
build_decode (DloralBuilder *b, const DloralGeometry *geo, gboolean first)
{
  const DloralVaeConfig *vae = &b->config->vae;
  gboolean tiny = geo->vae == DLORAL_VAE_TINY;
  DloralTensor *x0 = bind_latent (b, geo, vae->latent_channels);
  DloralTensor *hr = bind_hr (b, geo);
  DloralTensor *out = bind_hr (b, geo);
  DloralTensor *finite = dloral_graph_bind (b->g, 1, 1, 1, DLORAL_U8);
  DloralTensor *x = tiny ? dloral_taesd_decode (b, x0, first) :
      dloral_vae_decode (b, x0);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_TO_PICTURE, .n_src = 3, .src = { x, hr, x0 },
      .dst = out,
      .u.to_picture = { tiny ? 1 : vae->patch_size,
          !tiny && vae->lq_residual, geo->color_fix,
          geo->height * b->config->scale, geo->width * b->config->scale,
          finite } });
}

DloralBuilder *
dloral_stage_builder_new (const DloralModel *model, const char *name,
    const gint *cancelled)
{
  DloralGraph *g = dloral_graph_new (name,
      model->backend->get_act_dtype (model->device));
  DloralBuilder *b = dloral_builder_new (g, model->file, &model->config);

  g->cancelled = cancelled;
  b->fp8 = model->params.precision == DLORAL_PRECISION_FP8;
  return b;
}

DloralGraph *
dloral_encode_graph (const DloralModel *model, const DloralGeometry *geo,
    const gint *cancelled, GError **error)
{
  DloralBuilder *b = dloral_stage_builder_new (model, "encode", cancelled);

  build_encode (b, geo);
  return dloral_builder_finish_graph (b, error);
}

DloralGraph *
dloral_decode_graph (const DloralModel *model, const DloralGeometry *geo,
    gboolean first, const gint *cancelled, GError **error)
{
  DloralBuilder *b = dloral_stage_builder_new (model, "decode", cancelled);

  build_decode (b, geo, first);
  return dloral_builder_finish_graph (b, error);
}
