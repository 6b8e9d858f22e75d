/* TAESD and TAESDV: convolutions of three by three, ReLU, nothing else.
 *
 * The published networks are lists of layers, and a tensor's name is its
 * layer's place in the list; so they are built by walking along it. All widths
 * are those of the file's tensors. Pictures are in [0, 1] there, which costs a
 * pass on the way in (zero padding must stay black) and nothing on the way out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "taesd.h"

#define ENCODER "tiny.encoder"
#define DECODER "tiny.decoder"
#define VIDEO_DECODER "tiny.video_decoder"

#define STAGES 3                /* that halve or double the sides */
#define STAGE_BLOCKS 3
#define PUBLISHED_WIDTH 64
#define MAX_WIDTH 1024

/* A walk along a list of layers. */
typedef struct
{
  DloralBuilder *b;
  const char *net;
  int layer;                    /* place of the next one */
  gboolean remember, forget;
  DloralTensor *past;           /* what the next block remembers, or NULL */
} Walk;

static char *
layer_name (const Walk *walk, const char *suffix)
{
  return g_strdup_printf ("%s.%d%s", walk->net, walk->layer, suffix);
}

/* Outputs of the next layer, as the file has them. */
static int
read_width (const Walk *walk)
{
  g_autofree char *name = layer_name (walk, ".weight");
  const DloralEntry *entry = dloral_safetensors_find (walk->b->file, name);

  return entry && entry->rank == 4 ?
      CLAMP (entry->shape[0], 1, MAX_WIDTH) : PUBLISHED_WIDTH;
}

/* Where the input of a block is to be written; NULL: to any new tensor. */
static DloralTensor *
bind_block_input (Walk *walk, int h, int w, int c)
{
  DloralGraph *g = walk->b->g;

  if (!walk->remember)
    return NULL;
  walk->past = dloral_graph_bind (g, h, w, c, g->act_dtype);
  return dloral_graph_bind (g, h, w, c, g->act_dtype);
}

/* --- Layers ---------------------------------------------------------------- */

/* The first convolution of a block that remembers: its weight is that of
 * [x, past] side by side. */
static DloralTensor *
remembering_conv (Walk *walk, const char *name, DloralTensor *x)
{
  DloralBuilder *b = walk->b;
  int c = x->c;
  g_autofree char *weight = g_strconcat (name, ".weight", NULL);
  g_autofree char *bias = g_strconcat (name, ".bias", NULL);
  DloralTensor *of_past = NULL;

  if (!walk->forget)
    of_past = dloral_conv_weights (b, name, walk->past,
        dloral_builder_weight_slice (b, weight, c, 2 * c, 3, 3, c, c), NULL,
        &(DloralConvParams) { 0 });
  return dloral_conv_weights (b, name, x,
      dloral_builder_weight_slice (b, weight, c, 2 * c, 3, 3, 0, c),
      dloral_builder_weight (b, bias, c, 1, 1, 1),
      &(DloralConvParams) { .act = DLORAL_ACT_RELU, .residual = of_past });
}

/* relu (x + three convolutions of it). last: what follows is no block. */
static DloralTensor *
block (Walk *walk, DloralTensor *x, gboolean last)
{
  DloralBuilder *b = walk->b;
  g_autofree char *first = layer_name (walk, ".conv.0");
  g_autofree char *second = layer_name (walk, ".conv.2");
  g_autofree char *third = layer_name (walk, ".conv.4");
  DloralTensor *h;

  h = walk->remember ? remembering_conv (walk, first, x) :
      dloral_conv (b, first, x, x->c, .act = DLORAL_ACT_RELU);
  h = dloral_conv (b, second, h, x->c, .act = DLORAL_ACT_RELU);
  walk->layer++;
  return dloral_conv (b, third, h, x->c, .residual = x,
      .act = DLORAL_ACT_RELU,
      .dst = last ? NULL : bind_block_input (walk, x->h, x->w, x->c));
}

static DloralTensor *
blocks (Walk *walk, DloralTensor *x, int n)
{
  for (int i = 0; i < n; i++)
    x = block (walk, x, i == n - 1);
  return x;
}

static DloralTensor *
unbiased_conv (Walk *walk, DloralTensor *x, int c,
    const DloralConvParams *params)
{
  g_autofree char *scope = layer_name (walk, "");
  g_autofree char *weight = layer_name (walk, ".weight");

  walk->layer++;
  return dloral_conv_weights (walk->b, scope, x,
      dloral_builder_weight (walk->b, weight, c, x->c, 3, 3), NULL, params);
}

/* To half the size. */
static DloralTensor *
down (Walk *walk, DloralTensor *x)
{
  return unbiased_conv (walk, x, read_width (walk),
      &(DloralConvParams) { .stride = 2 });
}

/* To twice the size. */
static DloralTensor *
up (Walk *walk, DloralTensor *x)
{
  int c;

  walk->layer++;                /* the enlargement has no tensors */
  c = read_width (walk);
  return unbiased_conv (walk, x, c, &(DloralConvParams) {
      .enlarge = TRUE,
      .dst = bind_block_input (walk, 2 * x->h, 2 * x->w, c) });
}

/* The tensor · gain + offset. */
static const DloralWeight *
scaled (DloralBuilder *b, const char *name, int o, int i, int kernel,
    float gain, float offset)
{
  float *values = dloral_builder_read (b, name, o, i, kernel, kernel);
  g_autofree char *key = g_strdup_printf ("%s·%g%+g", name, gain, offset);

  for (gsize n = 0; values && n < (gsize) o * i * kernel * kernel; n++)
    values[n] = values[n] * gain + offset;
  return dloral_builder_constant (b, key, o, i, kernel, kernel, values);
}

/* --- Encoder --------------------------------------------------------------- */

/* Refuses what cannot be a tiny coder for this model. */
static void
check (DloralBuilder *b)
{
  const char *path = dloral_safetensors_get_path (b->file);
  int factor = dloral_config_get_downscale (b->config);

  if (b->error)
    return;
  if (!dloral_builder_has (b, ENCODER ".0.weight"))
    g_set_error (&b->error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT, "File '%s': "
        "expected a tiny coder, tensor '" ENCODER ".0.weight' and others, "
        "found none; use the full coder", path);
  else if (factor != 1 << STAGES)
    g_set_error (&b->error, DLORAL_ERROR, DLORAL_ERROR_CONFIG, "File '%s': "
        "key 'vae': expected latents of %d pixels to a side, as its tiny coder "
        "makes them, found %d; use the full coder", path, 1 << STAGES, factor);
}

void
dloral_taesd_encode (DloralBuilder *b, DloralTensor *x, DloralTensor *latent)
{
  static const float half[4] = { .5f, .5f, .5f, .5f };
  Walk walk = {.b = b,.net = ENCODER };
  g_autofree char *in = layer_name (&walk, ""), *out = NULL;

  check (b);
  x = dloral_resize (b, x, x->h, x->w, DLORAL_RESIZE_BILINEAR, half, half);
  x = dloral_conv (b, in, x, read_width (&walk), 0);
  walk.layer++;
  x = blocks (&walk, x, 1);
  for (int i = 0; i < STAGES; i++)
    x = blocks (&walk, down (&walk, x), STAGE_BLOCKS);
  out = layer_name (&walk, "");
  dloral_conv (b, out, x, latent->c, .dst = latent);
}

/* --- Decoder --------------------------------------------------------------- */

gboolean
dloral_taesd_remembers (const DloralSafetensors *file)
{
  return dloral_safetensors_find (file, VIDEO_DECODER ".1.weight") != NULL;
}

/* tanh (latent / 3), the list's first layer but for a factor of 3. */
static DloralTensor *
clamp (Walk *walk, DloralTensor *latent)
{
  int n = latent->c;
  float *third = g_new0 (float, n * n);

  for (int i = 0; i < n; i++)
    third[i * n + i] = 1 / 3.f;
  walk->layer++;
  return dloral_conv_weights (walk->b, DECODER, latent,
      dloral_builder_constant (walk->b, "tiny.third", n, n, 1, 1, third), NULL,
      &(DloralConvParams) { .kernel = 1, .act = DLORAL_ACT_TANH,
        .dtype = DLORAL_F32 });
}

/* The first convolution and its ReLU; takes the clamp's factor. */
static DloralTensor *
decoder_conv_in (Walk *walk, DloralTensor *x)
{
  DloralBuilder *b = walk->b;
  g_autofree char *scope = layer_name (walk, "");
  g_autofree char *weight = layer_name (walk, ".weight");
  g_autofree char *bias = layer_name (walk, ".bias");
  int c = read_width (walk);

  walk->layer += 2;
  return dloral_conv_weights (b, scope, x,
      scaled (b, weight, c, x->c, 3, 3, 0),
      dloral_builder_weight (b, bias, c, 1, 1, 1),
      &(DloralConvParams) { .act = DLORAL_ACT_RELU,
        .dst = bind_block_input (walk, x->h, x->w, c) });
}

/* The last one; from [0, 1] to [-1, 1]. */
static DloralTensor *
decoder_conv_out (Walk *walk, DloralTensor *x)
{
  DloralBuilder *b = walk->b;
  g_autofree char *scope = layer_name (walk, "");
  g_autofree char *weight = layer_name (walk, ".weight");
  g_autofree char *bias = layer_name (walk, ".bias");

  return dloral_conv_weights (b, scope, x,
      scaled (b, weight, 3, x->c, 3, 2, 0), scaled (b, bias, 3, 1, 1, 2, -1),
      &(DloralConvParams) { .dtype = DLORAL_F32 });
}

DloralTensor *
dloral_taesd_decode (DloralBuilder *b, DloralTensor *latent, gboolean forget)
{
  gboolean remember = dloral_taesd_remembers (b->file);
  Walk walk = {.b = b,.net = remember ? VIDEO_DECODER : DECODER,
    .remember = remember,.forget = forget
  };
  DloralTensor *x;

  check (b);
  x = decoder_conv_in (&walk, clamp (&walk, latent));
  for (int i = 0; i < STAGES; i++)
    x = up (&walk, blocks (&walk, x, STAGE_BLOCKS));
  return decoder_conv_out (&walk, blocks (&walk, x, 1));
}
