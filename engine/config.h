/* The model file's `config`: what the networks look like, in the words of the
 * published configurations (diffusers' UNet2DConditionModel, AutoencoderKL,
 * transformers' CLIPTextModel) where there are any.
 * Nothing is assumed that the file can say; every number is bounded here, so
 * that what builds on it may multiply and allocate without fear.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "safetensors.h"

G_BEGIN_DECLS

#define DLORAL_MAX_LEVELS 8
#define DLORAL_SPYNET_LEVELS 6
#define DLORAL_SPYNET_WIDTHS 4
#define DLORAL_MAX_TOKENS 4096  /* of a prompt */
#define DLORAL_MAX_VOCABULARY 65536

/* AutoencoderKL. JSON object "vae". */
typedef struct
{
  int latent_channels;          /* 1 … 64 */
  float scaling_factor;         /* latent = scaling_factor × mean, > 0 */
  int levels;                   /* length of block_out_channels */
  int block_out_channels[DLORAL_MAX_LEVELS];
  int layers_per_block;         /* encoder; the decoder has one more */
  int norm_num_groups;
  int patch_size;               /* 1: none. Space-to-depth around the coder */
  gboolean mid_block;           /* default TRUE: two resnets in the middle */
  gboolean mid_block_add_attention;     /* default TRUE; needs mid_block */
  gboolean use_quant_conv;      /* default TRUE */
  gboolean use_post_quant_conv; /* default TRUE */
  gboolean lq_residual;         /* default FALSE: add the upsampled LQ frame */
  int decoder_layers_per_block; /* default layers_per_block + 1 */
} DloralVaeConfig;

/* UNet2DConditionModel. JSON object "unet". */
typedef struct
{
  int in_channels;              /* 2 × latent_channels */
  int out_channels;             /* latent_channels */
  int levels;
  int block_out_channels[DLORAL_MAX_LEVELS];
  gboolean down_attention[DLORAL_MAX_LEVELS];   /* CrossAttnDownBlock2D */
  gboolean up_attention[DLORAL_MAX_LEVELS];     /* CrossAttnUpBlock2D */
  gboolean mid_block;           /* mid_block_type is not null */
  gboolean mid_attention;       /* mid_block_type is UNetMidBlock2DCrossAttn,
                                 * the default */
  int heads[DLORAL_MAX_LEVELS]; /* attention_head_dim: the NUMBER of heads */
  int layers_per_block;         /* down; up blocks have one more */
  int cross_attention_dim;      /* 0: no text, no attn2 */
  int norm_num_groups;
  gboolean use_linear_projection;
} DloralUnetConfig;

/* Flow and cross-frame retrieval. JSON objects "cfr" and "spynet". */
typedef struct
{
  int heads;
  int embed_dim;
  float temperature;            /* > 0 */
  int window;                   /* 0: all positions, else odd side in latents */
  int spynet_channels[DLORAL_SPYNET_WIDTHS];    /* default 32, 64, 32, 16 */
  int spynet_shrink;            /* the finest flow's grid is the latents' made so
                                 * many times smaller: 1 (default), 2 or 4 */
} DloralCfrConfig;

/* CLIPTextModel. JSON object "text_encoder"; may be absent. */
typedef struct
{
  int num_hidden_layers;        /* 0: no text encoder */
  int num_attention_heads;
  int hidden_size;              /* unet.cross_attention_dim */
  int intermediate_size;
  gboolean quick_gelu;          /* hidden_act, else gelu */
  float layer_norm_eps;
  int max_position_embeddings;
  int vocab_size;
} DloralTextEncoderConfig;

/* CLIPTokenizer. JSON object "tokenizer", beside "text_encoder". */
typedef struct
{
  int bos_token_id, eos_token_id, pad_token_id; /* below vocab_size */
  int max_length;               /* 2 … max_position_embeddings */
} DloralTokenizerConfig;

/* RAM, "Recognize Anything": a Swin Transformer and a Query2Label decoder. JSON
 * object "tagger"; may be absent, or all there is in a file of its own. */
typedef struct
{
  int image_size;               /* side of the picture it sees */
  int patch_size;
  int embed_dim;                /* of the first stage; doubles with each */
  int stages;                   /* length of depths and num_heads; 0: no tagger */
  int depths[DLORAL_MAX_LEVELS];
  int num_heads[DLORAL_MAX_LEVELS];
  int window_size;
  int mlp_ratio;
  int projection_dim;           /* of labels and of what the decoder sees */
  int hidden_size;              /* of the decoder, like what follows */
  int num_hidden_layers;
  int num_attention_heads;
  int intermediate_size;
  float layer_norm_eps;
  int tags;
} DloralTaggerConfig;

/* Side of a stage's grid of tokens. */
int dloral_tagger_config_get_grid (const DloralTaggerConfig * tagger,
    int stage);

typedef struct
{
  int scale;                    /* 4 */
  int timestep;                 /* 0 … 999 */
  DloralColorFix color_fix;     /* never AUTO; absent: adain */
  DloralVaeConfig vae;
  DloralUnetConfig unet;
  DloralCfrConfig cfr;
  DloralTextEncoderConfig text_encoder;
  DloralTokenizerConfig tokenizer;
  DloralTaggerConfig tagger;
} DloralConfig;

/* Pixels of the HR grid to one side of a latent: patch_size × 2^(levels − 1). */
int dloral_config_get_downscale (const DloralConfig * config);

/* Reads and checks the config of an opened file. FALSE and `error` (naming the
 * file, the key, what was expected and found) when it is missing, malformed, or
 * impossible. */
gboolean dloral_config_read (DloralConfig * config,
    const DloralSafetensors * file, GError ** error);

/* The same for a file that is a tagger only (format "dloral-tagger"). */
gboolean dloral_tagger_config_read (DloralTaggerConfig * tagger,
    const DloralSafetensors * file, GError ** error);

G_END_DECLS
