/* A frame size's grids; the stages of a frame as graphs, and what each is bound
 * to.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "model.h"
#include "nets/nets.h"
#include "nets/taesd.h"

G_BEGIN_DECLS

/* The grids of one frame size. */
typedef struct
{
  int width, height;            /* LQ frame */
  int hr_width, hr_height;      /* HR grid, padded to whole latents */
  int latent_width, latent_height;
  DloralColorFix color_fix;     /* never AUTO */
  DloralVae vae;
  int window;                   /* frames that the retrieval looks back */
  int tile, overlap;            /* latents; tile 0: the frame in one piece */
  DloralDtype picture_dtype;    /* u8 or u16 */
} DloralGeometry;

/* Without tiles. */
void dloral_geometry_init (DloralGeometry * geometry,
    const DloralConfig * config, const DloralStreamParams * params);

/* For a new graph of the type that the model's device computes in. */
DloralBuilder *dloral_stage_builder_new (const DloralModel * model,
    const char *name, const gint * cancelled);

/* Graphs, planned; NULL and `error` when the file lacks something, or once they
 * are cancelled (cancel.h), which their compilation can be, too. Their bindings
 * follow, in order; h × w are latent sizes, H × W HR's. */
enum
{
  DLORAL_ENCODE_LQ,             /* picture [height][width][3] */
  DLORAL_ENCODE_HR,             /* picture [H][W][3], upsampled */
  DLORAL_ENCODE_SMALL,          /* f32 [h][w][3], for the flow */
  DLORAL_ENCODE_LATENT,         /* f32 [h][w][c] */
};
DloralGraph *dloral_encode_graph (const DloralModel * model,
    const DloralGeometry * geometry, const gint * cancelled, GError ** error);

enum
{
  DLORAL_DECODE_X0,             /* f32 [h][w][c] */
  DLORAL_DECODE_HR,
  DLORAL_DECODE_OUT,            /* picture [H][W][3] */
  DLORAL_DECODE_FINITE,         /* u8 [1][1][1]: 0 where OUT is HR */
  DLORAL_DECODE_MEMORY,         /* and following, where the decoder remembers:
                                 * pairs, of the frame before and for the next */
};

/* first: of a frame without a past, for decoders that remember. */
DloralGraph *dloral_decode_graph (const DloralModel * model,
    const DloralGeometry * geometry, gboolean first, const gint * cancelled,
    GError ** error);

/* The step between them with `past` earlier frames to look back at. Without
 * any, a frame is its own predecessor, flow zero. strengths: of the adapters. */
enum
{
  DLORAL_RESTORE_SMALL,
  DLORAL_RESTORE_LATENT,
  DLORAL_RESTORE_FLOW,          /* f32 [h][w][2]; left alone without a past and
                                 * in tiles, as the next two are in tiles */
  DLORAL_RESTORE_ALIGNED,       /* f32 [h][w][c] */
  DLORAL_RESTORE_FUSED,
  DLORAL_RESTORE_X0,
  DLORAL_RESTORE_PAST,          /* small and latent of each, the nearest first;
                                 * then one a cross-attention */
};
DloralGraph *dloral_restore_graph (const DloralModel * model,
    const DloralGeometry * geometry, const double *strengths, int past,
    const gint * cancelled, GError ** error);

/* What those cross-attentions see of a prompt. Only for models with text. */
enum
{
  DLORAL_CONDITION_PROMPT,      /* f32 [1][tokens][cross_attention_dim] */
  DLORAL_CONDITION_KV,          /* and following: one a cross-attention */
};
DloralGraph *dloral_condition_graph (const DloralModel * model,
    const DloralGeometry * geometry, const double *strengths,
    const gint * cancelled, GError ** error);

G_END_DECLS
