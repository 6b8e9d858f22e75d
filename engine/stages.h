/* The three stages of a frame as graphs, and what each is bound to.
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
} DloralGeometry;

void dloral_geometry_init (DloralGeometry * geometry,
    const DloralConfig * config, int width, int height, DloralColorFix fix,
    DloralVae vae);

/* Graphs. RESTORE_FIRST is RESTORE for a frame without a past: it is its own
 * predecessor, flow zero. DECODE_FIRST likewise, for a decoder that remembers.
 * CONDITION computes what the prompt fixes. */
typedef enum
{
  DLORAL_GRAPH_ENCODE,
  DLORAL_GRAPH_RESTORE,
  DLORAL_GRAPH_RESTORE_FIRST,
  DLORAL_GRAPH_DECODE,
  DLORAL_GRAPH_DECODE_FIRST,
  DLORAL_GRAPH_CONDITION,
  DLORAL_N_GRAPHS
} DloralGraphKind;

/* Bindings, in order; h × w are latent sizes, H × W HR's. */
enum
{
  DLORAL_ENCODE_LQ,             /* u8 [height][width][3] */
  DLORAL_ENCODE_HR,             /* u8 [H][W][3], upsampled */
  DLORAL_ENCODE_SMALL,          /* f32 [h][w][3], for the flow */
  DLORAL_ENCODE_LATENT,         /* f32 [h][w][c] */
};

enum
{
  DLORAL_RESTORE_PREV_SMALL,
  DLORAL_RESTORE_SMALL,
  DLORAL_RESTORE_PREV_LATENT,
  DLORAL_RESTORE_LATENT,
  DLORAL_RESTORE_FLOW,          /* f32 [h][w][2]; RESTORE_FIRST leaves it */
  DLORAL_RESTORE_ALIGNED,       /* f32 [h][w][c], likewise the next two */
  DLORAL_RESTORE_FUSED,
  DLORAL_RESTORE_X0,
  DLORAL_RESTORE_KV,            /* and following: one a cross-attention */
};

enum
{
  DLORAL_DECODE_X0,
  DLORAL_DECODE_HR,
  DLORAL_DECODE_OUT,            /* u8 [H][W][3] */
  DLORAL_DECODE_MEMORY,         /* and following: pairs, of the frame before
                                 * and for the next one */
};

enum
{
  DLORAL_CONDITION_PROMPT,      /* f32 [1][tokens][cross_attention_dim] */
  DLORAL_CONDITION_KV,
};

/* Whether a stream needs that graph: CONDITION is only for models with text,
 * DECODE_FIRST only for decoders that remember. */
gboolean dloral_graph_is_needed (const DloralModel * model,
    const DloralGeometry * geometry, DloralGraphKind kind);

/* Builds and plans a graph that is needed. NULL and `error` when the file lacks
 * something. */
DloralGraph *dloral_graph_build (const DloralModel * model,
    const DloralGeometry * geometry, DloralGraphKind kind, GError ** error);

G_END_DECLS
