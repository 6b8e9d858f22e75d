/* The restoring step as a graph: flow, alignment, retrieval and UNet, of a frame
 * in one piece or of its tiles one after another.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stages.h"
#include "tiles.h"

/* What one step works on: tensors of a frame, or of a tile. */
typedef struct
{
  DloralTensor *small, *latent;
  DloralTensor *past_small[DLORAL_MAX_WINDOW], *past_latent[DLORAL_MAX_WINDOW];
  DloralTensor *flow, *aligned, *fused, *x0;
  int n_past;
} Step;

static DloralTensor *
like (DloralBuilder *b, const DloralTensor *t, int c)
{
  return dloral_graph_tensor (b->g, t->h, t->w, c, DLORAL_F32);
}

/* --- Retrieval over time ---------------------------------------------------- */

/* fused = latent + what it finds in past frame i, brought to it by its flow. */
static void
look_back (DloralBuilder *b, const Step *s, int i, DloralTensor *flow,
    DloralTensor *aligned, DloralTensor *fused)
{
  dloral_spynet (b, s->small, s->past_small[i], flow);
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_WARP, .scope = "align", .n_src = 2,
      .src = { s->past_latent[i], flow }, .dst = aligned });
  dloral_retrieval (b, s->latent, aligned, fused);
}

static const DloralWeight *
equal_shares (DloralBuilder *b, const DloralTensor *t, int n)
{
  g_autofree char *key =
      g_strdup_printf ("share:%dx%d:1/%d", t->h, t->w, n);
  float *shares = g_new (float, (gsize) t->h * t->w);

  for (gsize i = 0; i < (gsize) t->h * t->w; i++)
    shares[i] = 1.f / n;
  return dloral_builder_constant (b, key, t->h, t->w, 1, 1, shares);
}

/* The mean of what is found in several past frames; the nearest one's alignment
 * is the UNet's. */
static void
look_back_far (DloralBuilder *b, const Step *s)
{
  const DloralWeight *share = equal_shares (b, s->latent, s->n_past);
  int c = s->latent->c;
  DloralTensor *found = like (b, s->latent, c), *sum = NULL;

  look_back (b, s, 0, s->flow, s->aligned, found);
  for (int i = 0; i < s->n_past; i++) {
    DloralTensor *next = i < s->n_past - 1 ? like (b, s->latent, c) : s->fused;

    if (i > 0) {
      found = like (b, s->latent, c);
      look_back (b, s, i, like (b, s->latent, 2), like (b, s->latent, c),
          found);
    }
    dloral_paste (b, "blend", sum, found, 0, 0, share, next);
    sum = next;
  }
}

static void
restore (DloralBuilder *b, const Step *s, int window, int tokens)
{
  if (s->n_past == 0)
    dloral_convert_into (b, s->latent, s->aligned);
  if (window == 0)
    dloral_convert_into (b, s->latent, s->fused);
  else if (s->n_past == 0)
    dloral_retrieval (b, s->latent, s->aligned, s->fused);
  else if (s->n_past == 1)
    look_back (b, s, 0, s->flow, s->aligned, s->fused);
  else
    look_back_far (b, s);
  dloral_unet (b, s->aligned, s->fused, tokens, s->x0);
}

/* --- Tiles ------------------------------------------------------------------ */

static Step
crop_step (DloralBuilder *b, const Step *whole, int y, int x, int size)
{
  Step s = { .n_past = whole->n_past };

  s.small = dloral_crop (b, "tile", whole->small, y, x, size, size);
  s.latent = dloral_crop (b, "tile", whole->latent, y, x, size, size);
  for (int i = 0; i < s.n_past; i++) {
    s.past_small[i] = dloral_crop (b, "tile", whole->past_small[i], y, x, size, size);
    s.past_latent[i] = dloral_crop (b, "tile", whole->past_latent[i], y, x, size, size);
  }
  s.flow = like (b, s.latent, 2);
  s.aligned = like (b, s.latent, s.latent->c);
  s.fused = like (b, s.latent, s.latent->c);
  s.x0 = like (b, s.latent, s.latent->c);
  return s;
}

/* The published code blends the two terms of x0 = fused - UNet apart, with the
 * same weights; that is blending x0. */
static void
restore_tiles (DloralBuilder *b, const Step *whole, const DloralTiles *tiles,
    int window, int tokens)
{
  int n = tiles->rows * tiles->columns;
  DloralTensor *sum = NULL;

  for (int i = 0; i < n; i++) {
    int row = i / tiles->columns, column = i % tiles->columns;
    int y = tiles->y[row], x = tiles->x[column];
    g_autofree char *key = g_strdup_printf ("share:%dx%d:%d+%d/%d",
        tiles->height, tiles->width, y, x, tiles->size);
    Step s = crop_step (b, whole, y, x, tiles->size);
    DloralTensor *next =
        i < n - 1 ? like (b, whole->x0, whole->x0->c) : whole->x0;

    restore (b, &s, window, tokens);
    dloral_paste (b, "blend", sum, s.x0, y, x, dloral_builder_constant (b,
            key, tiles->size, tiles->size, 1, 1,
            dloral_tiles_get_shares (tiles, row, column)), next);
    sum = next;
  }
}

/* --- Graphs ------------------------------------------------------------------ */

static DloralTensor *
bind (DloralBuilder *b, const DloralGeometry *geo, int c)
{
  return dloral_graph_bind (b->g, geo->latent_height, geo->latent_width, c,
      DLORAL_F32);
}

static void
build_restore (DloralBuilder *b, const DloralGeometry *geo, int past,
    int tokens)
{
  int c = b->config->vae.latent_channels;
  Step s = { .n_past = past };
  DloralTiles *tiles;

  s.small = bind (b, geo, 3);
  s.latent = bind (b, geo, c);
  s.flow = bind (b, geo, 2);
  s.aligned = bind (b, geo, c);
  s.fused = bind (b, geo, c);
  s.x0 = bind (b, geo, c);
  for (int i = 0; i < past; i++) {
    s.past_small[i] = bind (b, geo, 3);
    s.past_latent[i] = bind (b, geo, c);
  }
  if (geo->tile == 0) {
    restore (b, &s, geo->window, tokens);
    return;
  }
  tiles = dloral_tiles_new (geo->latent_height, geo->latent_width, geo->tile,
      geo->overlap);
  restore_tiles (b, &s, tiles, geo->window, tokens);
  dloral_tiles_free (tiles);
}

static DloralBuilder *
new_builder (const DloralModel *model, const char *name,
    const double *strengths, const gint *cancelled)
{
  DloralBuilder *b = dloral_stage_builder_new (model, name, cancelled);

  for (int a = 0; a < DLORAL_N_ADAPTERS; a++)
    b->strengths[a] = strengths[a];
  return b;
}

DloralGraph *
dloral_restore_graph (const DloralModel *model, const DloralGeometry *geo,
    const double *strengths, int past, const gint *cancelled, GError **error)
{
  DloralBuilder *b = new_builder (model, "restore", strengths, cancelled);

  build_restore (b, geo, past, model->tokens);
  return dloral_builder_finish_graph (b, error);
}

/* Which cross-attentions there are is known by building the UNet once. */
DloralGraph *
dloral_condition_graph (const DloralModel *model, const DloralGeometry *geo,
    const double *strengths, const gint *cancelled, GError **error)
{
  DloralBuilder *b = new_builder (model, "condition", strengths, cancelled);
  DloralBuilder *unet = new_builder (model, "unet", strengths, cancelled);
  DloralGraph *g = unet->g;
  DloralTensor *prompt;

  build_restore (unet, geo, 0, model->tokens);
  prompt = dloral_graph_bind (b->g, 1, model->tokens,
      model->config.unet.cross_attention_dim, DLORAL_F32);
  dloral_unet_condition (b, prompt, unet->cross_prefixes, unet->cross_kv);
  dloral_builder_finish (unet, b->error ? NULL : &b->error);
  dloral_graph_free (g);
  return dloral_builder_finish_graph (b, error);
}
