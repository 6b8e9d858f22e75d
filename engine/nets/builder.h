/* What every network is written with: weights by name, and the few layers that
 * all of them share.
 *
 * The first failure (a missing tensor, a wrong shape) is kept in `error` and
 * building goes on, since shapes come from the config; look at it at the end. So
 * is that the graph was cancelled, after which nothing is read any more.
 * Prefixes are the tensor names without ".weight" and ".bias".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/config.h"
#include "engine/graph.h"
#include "layer.h"

G_BEGIN_DECLS

typedef struct
{
  DloralGraph *g;
  const DloralSafetensors *file;
  const DloralConfig *config;
  GError *error;
  const char *space;            /* set before the keys of weights where the file
                                 * is not the model's; NULL: it is */
  /* Of the layers that have adapters: consistency, detail. 1 each at first. */
  double strengths[DLORAL_N_ADAPTERS];
  gboolean fp8;                 /* inputs' largest magnitudes are wanted */
  float *temb;                  /* silu (time embedding) [temb_length], or NULL */
  int temb_length;
  /* The UNet's cross-attentions, in order: what keys and values need. A UNet
   * that is built again in the same graph (tiles) uses the same ones. */
  GPtrArray *cross_prefixes;    /* char *, "….attn2" */
  GPtrArray *cross_kv;          /* DloralTensor *, bound [1][tokens][2·c] */
  guint cross_next;             /* the one that is met next */
} DloralBuilder;

DloralBuilder *dloral_builder_new (DloralGraph * g,
    const DloralSafetensors * file, const DloralConfig * config);

/* Frees the builder, not the graph. FALSE and `error` if anything failed. */
gboolean dloral_builder_finish (DloralBuilder * b, GError ** error);

/* Frees the builder; its graph, planned, or NULL and `error`. */
DloralGraph *dloral_builder_finish_graph (DloralBuilder * b, GError ** error);

/* --- Weights ------------------------------------------------------------- */

/* The file's tensor [o][i][kh][kw] with its adapters merged. Where the file has
 * it as [o][i] or with trailing 1s, that is the same. */
const DloralWeight *dloral_builder_weight (DloralBuilder * b, const char *name,
    int o, int i, int kh, int kw);

/* Input channels [first, first + n) of the file's [o][i][kh][kw]. */
const DloralWeight *dloral_builder_weight_slice (DloralBuilder * b,
    const char *name, int o, int i, int kh, int kw, int first, int n);

/* Up to three [o][i] matrices on top of each other. */
const DloralWeight *dloral_builder_weight_stack (DloralBuilder * b,
    const char *const *names, int n_names, int o, int i);

/* A constant computed here; takes `values` (g_malloc; NULL gives NULL). The key
 * must say what it is among all constants of the model. */
const DloralWeight *dloral_builder_constant (DloralBuilder * b,
    const char *key, int o, int i, int kh, int kw, float *values);

/* The whole tensor [o][i][kh][kw] as f32, to be freed with g_free (); NULL after
 * any failure, so that nothing is sized by what no file has confirmed. */
float *dloral_builder_read (DloralBuilder * b, const char *name,
    int o, int i, int kh, int kw);

gboolean dloral_builder_has (DloralBuilder * b, const char *name);

/* --- Layers --------------------------------------------------------------- */

typedef struct
{
  int kernel;                   /* 0: 3 */
  int stride;                   /* 0: 1 */
  gboolean pad_after_only;      /* SD's VAE pads its strided ones below and
                                 * to the right only */
  gboolean enlarge;             /* x ×2 by nearest neighbour first */
  DloralAct act;
  DloralTensor *residual;
  const DloralWeight *bias;     /* instead of the file's */
  DloralDtype dtype;            /* of the result; 0 (U8): the graph's */
  DloralTensor *dst;            /* write here instead of a new tensor */
} DloralConvParams;

/* [h][w][x->c] → [h'][w'][c], `same` padding. */
DloralTensor *dloral_conv_params (DloralBuilder * b, const char *prefix,
    DloralTensor * x, int c, const DloralConvParams * params);
#define dloral_conv(b, prefix, x, c, ...) \
    dloral_conv_params (b, prefix, x, c, &(DloralConvParams) { __VA_ARGS__ })

/* As above, the weights given. */
DloralTensor *dloral_conv_weights (DloralBuilder * b, const char *scope,
    DloralTensor * x, const DloralWeight * weight, const DloralWeight * bias,
    const DloralConvParams * params);

/* weight · x + bias (NULL: none) (+ residual). */
DloralTensor *dloral_linear (DloralBuilder * b, const char *scope,
    DloralTensor * x, const DloralWeight * weight, const DloralWeight * bias,
    DloralTensor * residual);

/* act (the layer `prefix` · x) + residual (NULL: none), to c channels. Writes y,
 * or a new tensor where that is NULL. */
DloralTensor *dloral_linear_layer (DloralBuilder * b, const char *prefix,
    DloralTensor * x, int c, DloralAct act, DloralTensor * residual,
    DloralTensor * y);

/* Group norm of x, or of x and skip side by side (skip may be NULL). */
DloralTensor *dloral_group_norm (DloralBuilder * b, const char *prefix,
    DloralTensor * x, DloralTensor * skip, int groups, float eps,
    DloralAct act);

/* Over the channels of every position. dst: write here instead of a new tensor
 * (NULL). */
DloralTensor *dloral_layer_norm (DloralBuilder * b, const char *prefix,
    DloralTensor * x, float eps, DloralTensor * dst);

/* ResnetBlock2D: of x, or of x and skip side by side, to c channels. Adds the
 * builder's time embedding where it has one. */
DloralTensor *dloral_resnet (DloralBuilder * b, const char *prefix,
    DloralTensor * x, DloralTensor * skip, int c, int groups, float eps);

/* Appends a convolution or linear layer, with what fp8 needs to know of it. */
void dloral_append_product (DloralBuilder * b, const DloralOp * op);

/* softmax (q kᵀ / √(c / heads)) v; q, k and v start at channels first[0 … 2]. */
DloralTensor *dloral_attention (DloralBuilder * b, const char *scope,
    DloralTensor * q, DloralTensor * k, DloralTensor * v, const int *first,
    int c, int heads);

/* Resized · gain[c] + offset[c] (NULL: 1 and 0). */
DloralTensor *dloral_resize (DloralBuilder * b, DloralTensor * x, int h, int w,
    DloralResizeMode mode, const float *gain, const float *offset);
void dloral_resize_into (DloralBuilder * b, DloralTensor * x,
    DloralTensor * y, DloralResizeMode mode, const float *gain,
    const float *offset);

/* Channels side by side, converted to dtype. NULL ends the list. */
DloralTensor *dloral_concat (DloralBuilder * b, DloralDtype dtype,
    DloralTensor * first, ...) G_GNUC_NULL_TERMINATED;

/* Rows [y, y + h) and columns [x0, x0 + w) of x. */
DloralTensor *dloral_crop (DloralBuilder * b, const char *scope,
    DloralTensor * x, int y, int x0, int h, int w);

/* dst = sum (NULL: zero) with part laid at (y, x): added with its shares [h][w],
 * or in the place of what is there (NULL). */
void dloral_paste (DloralBuilder * b, const char *scope, DloralTensor * sum,
    DloralTensor * part, int y, int x, const DloralWeight * shares,
    DloralTensor * dst);

/* dst = x, converted to dst's type. */
void dloral_convert_into (DloralBuilder * b, DloralTensor * x,
    DloralTensor * dst);

/* x in the graph's activation type: itself, or a converted copy. */
DloralTensor *dloral_cast (DloralBuilder * b, DloralTensor * x);

/* Nearest to h × w, then the 3×3 convolution of an Upsample2D. */
DloralTensor *dloral_upsampler (DloralBuilder * b, const char *prefix,
    DloralTensor * x, int h, int w);

G_END_DECLS
