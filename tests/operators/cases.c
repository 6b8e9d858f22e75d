/* Random and typical operators.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cases.h"

#include <math.h>
#include <string.h>

/* --- building blocks ------------------------------------------------------ */

static int
pick (GRand * rand, int low, int high)
{
  return g_rand_int_range (rand, low, high + 1);
}

/* One of a few values: pick_of (rand, 3, 1, 2, 4). */
static int
pick_of (GRand * rand, int n, ...)
{
  int chosen = pick (rand, 0, n - 1), value = 0;
  va_list list;

  va_start (list, n);
  for (int i = 0; i <= chosen; i++)
    value = va_arg (list, int);
  va_end (list);
  return value;
}

/* Sizes worth trying: 1, odd ones, whole vectors and one more or less. */
static int
pick_side (GRand * rand)
{
  return pick (rand, 0, 3) ? pick (rand, 1, 24) : pick_of (rand, 6, 1, 1, 16,
      31, 33, 65);
}

static int
pick_channels (GRand * rand)
{
  return pick (rand, 0, 1) ? pick (rand, 1, 70) : pick_of (rand, 6, 1, 3, 16,
      32, 64, 96);
}

/* The graph's activation type or f32. */
static DloralDtype
pick_dtype (const DloralCase * c, GRand * rand)
{
  return pick (rand, 0, 2) ? c->graph->act_dtype : DLORAL_F32;
}

/* Of pictures. */
static DloralDtype
pick_picture (GRand * rand)
{
  return g_rand_boolean (rand) ? DLORAL_U16 : DLORAL_U8;
}

static void
add_src (DloralCase * c, DloralOp * op, int h, int w, int channels,
    DloralDtype dtype)
{
  c->scale[op->n_src] = 1;
  op->src[op->n_src++] = dloral_graph_bind (c->graph, h, w, channels, dtype);
}

static void
set_dst (DloralCase * c, DloralOp * op, int h, int w, int channels,
    DloralDtype dtype)
{
  op->dst = dloral_graph_bind (c->graph, h, w, channels, dtype);
}

typedef struct
{
  guint32 seed;
  float scale, offset;
} Noise;

/* Sum of uniforms: nearly normal, and bounded. */
static float
normal (GRand * rand)
{
  double sum = 0;

  for (int i = 0; i < 12; i++)
    sum += g_rand_double (rand);
  return sum - 6;
}

/* Values that bf16 holds exactly, so that packing them loses nothing. */
static void
noise_fill (const DloralWeight * weight, float *dst)
{
  const Noise *noise = weight->data;
  GRand *rand = g_rand_new_with_seed (noise->seed);

  for (gsize i = 0; i < dloral_weight_get_length (weight); i++) {
    float value = normal (rand) * noise->scale + noise->offset;
    guint32 bits;

    memcpy (&bits, &value, sizeof bits);
    bits &= 0xffff0000;
    memcpy (&dst[i], &bits, sizeof bits);
  }
  g_rand_free (rand);
}

static const DloralWeight *
weight (DloralCase * c, GRand * rand, int o, int i, int kh, int kw,
    float scale, float offset)
{
  Noise noise = { g_rand_int (rand), scale, offset };
  DloralWeight w = { NULL, o, i, kh, kw, noise_fill, NULL, g_free, NULL };

  w.key = g_strdup_printf ("noise-%08x-%d-%d-%d-%d-%g-%g", noise.seed, o, i,
      kh, kw, scale, offset);
  w.data = g_memdup2 (&noise, sizeof noise);
  return dloral_graph_weight (c->graph, w);
}

/* Multiples of a power of two, at most 64 of it: bf16 holds the sums of any four
 * exactly, too. */
static void
coarse_fill (const DloralWeight * weight, float *dst)
{
  const Noise *noise = weight->data;
  GRand *rand = g_rand_new_with_seed (noise->seed);
  float step = exp2 (floor (log2 (noise->scale / 8)));

  for (gsize i = 0; i < dloral_weight_get_length (weight); i++)
    dst[i] = step * CLAMP (rint (normal (rand) * noise->scale / step), -64,
        64);
  g_rand_free (rand);
}

static const DloralWeight *
coarse_weight (DloralCase * c, GRand * rand, int o, int i, int kh, int kw,
    float scale)
{
  Noise noise = { g_rand_int (rand), scale, 0 };

  return dloral_graph_weight (c->graph, (DloralWeight) {
      .key = g_strdup_printf ("coarse-%08x-%d-%d-%g", noise.seed, o, i, scale),
      .o = o,.i = i,.kh = kh,.kw = kw,.fill = coarse_fill,
      .data = g_memdup2 (&noise, sizeof noise),.destroy = g_free });
}

static const DloralWeight *
bias (DloralCase * c, GRand * rand, int n)
{
  return weight (c, rand, n, 1, 1, 1, 0.5, 0);
}

/* --- random operators ----------------------------------------------------- */

/* Of a source twice as large. */
static void
build_enlarging_conv (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int in = pick_channels (rand), out = pick_channels (rand);

  op->u.conv.enlarge = TRUE;
  op->u.conv.stride = op->u.conv.pad_top = op->u.conv.pad_left = 1;
  op->u.conv.act = pick (rand, DLORAL_ACT_NONE, DLORAL_ACT_TANH);
  add_src (c, op, h, w, in, pick_dtype (c, rand));
  set_dst (c, op, 2 * h, 2 * w, out, pick_dtype (c, rand));
  op->weight = coarse_weight (c, rand, out, in, 3, 3, 1 / sqrt (in * 9));
  if (pick (rand, 0, 3))
    op->bias = bias (c, rand, out);
}

static void
build_plain_conv (DloralCase * c, DloralOp * op, GRand * rand)
{
  int k = pick_of (rand, 6, 1, 3, 3, 3, 5, 7), stride = pick_of (rand, 3, 1,
      1, 2);
  int h = pick_side (rand), w = pick_side (rand);
  int in = pick_channels (rand), out = pick_channels (rand);
  int pad_h = pick (rand, MAX (0, k - h), k - 1);
  int pad_w = pick (rand, MAX (0, k - w), k - 1);
  int dst_h = (h + pad_h - k) / stride + 1, dst_w = (w + pad_w - k) / stride
      + 1;

  op->u.conv.stride = stride;
  op->u.conv.pad_top = pick (rand, 0, pad_h);
  op->u.conv.pad_left = pick (rand, 0, pad_w);
  op->u.conv.act = pick (rand, DLORAL_ACT_NONE, DLORAL_ACT_TANH);
  add_src (c, op, h, w, in, pick_dtype (c, rand));
  if (pick (rand, 0, 1))
    add_src (c, op, dst_h, dst_w, out, pick_dtype (c, rand));
  set_dst (c, op, dst_h, dst_w, out, pick_dtype (c, rand));
  op->weight = weight (c, rand, out, in, k, k, 1 / sqrt (in * k * k), 0);
  if (pick (rand, 0, 3))
    op->bias = bias (c, rand, out);
}

static void
build_conv (DloralCase * c, DloralOp * op, GRand * rand)
{
  if (pick (rand, 0, 2))
    build_plain_conv (c, op, rand);
  else
    build_enlarging_conv (c, op, rand);
}

static void
build_linear (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int in = pick_channels (rand), out = pick_channels (rand);

  op->u.linear.geglu = pick (rand, 0, 2) == 0;
  if (!op->u.linear.geglu)
    op->u.linear.act = pick (rand, DLORAL_ACT_NONE, DLORAL_ACT_TANH);
  add_src (c, op, h, w, in, pick_dtype (c, rand));
  if (!op->u.linear.geglu && pick (rand, 0, 1))
    add_src (c, op, h, w, out, pick_dtype (c, rand));
  set_dst (c, op, h, w, out, pick_dtype (c, rand));
  op->weight = weight (c, rand, op->u.linear.geglu ? 2 * out : out, in, 1, 1,
      1 / sqrt (in), 0);
  if (pick (rand, 0, 3))
    op->bias = bias (c, rand, op->weight->o);
}

static void
build_group_norm (DloralCase * c, DloralOp * op, GRand * rand)
{
  /* One of four is too large for a GPU's multiprocessor to norm alone. */
  gboolean large = pick (rand, 0, 3) == 0;
  int h = large ? pick (rand, 24, 65) : pick_side (rand);
  int w = large ? pick (rand, 24, 65) : pick_side (rand);
  int groups = large ? pick (rand, 1, 2) : pick_of (rand, 5, 1, 2, 4, 8, 32);
  int size = large ? pick (rand, 10, 40) : pick (rand, 1, 9);
  int channels = groups * size, first = pick (rand, 1, channels);

  op->u.group_norm.groups = groups;
  op->u.group_norm.eps = 1e-5f;
  op->u.group_norm.act = pick_of (rand, 2, DLORAL_ACT_NONE, DLORAL_ACT_SILU);
  add_src (c, op, h, w, first, pick_dtype (c, rand));
  if (first < channels)
    add_src (c, op, h, w, channels - first, pick_dtype (c, rand));
  /* Far from zero: statistics must not drown. */
  for (int i = 0; i < op->n_src; i++)
    c->offset[i] = pick_of (rand, 3, 0, 10, -300);
  set_dst (c, op, h, w, channels, pick_dtype (c, rand));
  op->weight = weight (c, rand, channels, 1, 1, 1, 0.3, 1);
  op->bias = bias (c, rand, channels);
}

static void
build_layer_norm (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int channels = pick_channels (rand) + 1;

  op->u.layer_norm.eps = 1e-5f;
  add_src (c, op, h, w, channels, pick_dtype (c, rand));
  c->offset[0] = pick_of (rand, 2, 0, 3);
  set_dst (c, op, h, w, channels, pick_dtype (c, rand));
  op->weight = weight (c, rand, channels, 1, 1, 1, 0.3, 1);
  op->bias = bias (c, rand, channels);
}

/* Windows of a picture, or of several. */
static void
build_grouped_attention (DloralCase * c, DloralOp * op, GRand * rand)
{
  int heads = pick (rand, 1, 5), d = pick_of (rand, 5, 1, 8, 24, 32, 80);
  int rows = pick_of (rand, 6, 1, 4, 9, 16, 64, 144), width = heads * d;
  int lines = pick (rand, 1, 3), across = pick (rand, 1, 3);

  op->u.attention.heads = heads;
  op->u.attention.head_dim = d;
  op->u.attention.scale = 1 / sqrt (d);
  op->u.attention.rows = rows;
  op->u.attention.across = across;
  op->u.attention.kinds = pick_of (rand, 2, 1, 4);
  add_src (c, op, lines * across, rows, 3 * width, pick_dtype (c, rand));
  op->src[1] = op->src[2] = op->src[0];
  op->n_src = 3;
  for (int i = 0; i < 3; i++)
    op->u.attention.first[i] = i * width;
  op->weight = weight (c, rand, op->u.attention.kinds, heads * rows, rows, 1,
      2, 0);
  set_dst (c, op, lines * across, rows, width, pick_dtype (c, rand));
}

/* Three sources, each with `width` channels from its `first` on. In a fused
 * projection all three are the same tensor. */
static void
build_plain_attention (DloralCase * c, DloralOp * op, GRand * rand)
{
  int heads = pick (rand, 1, 5), d = pick_of (rand, 6, 1, 8, 16, 24, 40, 64);
  int h = pick_side (rand), w = pick (rand, 1, 12), width = heads * d;
  DloralDtype dtype = pick_dtype (c, rand);

  op->u.attention.heads = heads;
  op->u.attention.head_dim = d;
  op->u.attention.scale = 1 / sqrt (d);
  /* Now and then too many scores to be taken at once. */
  if (pick (rand, 0, 5) == 0) {
    heads = op->u.attention.heads = pick (rand, 1, 2);
    h = pick (rand, 35, 40);
    w = pick (rand, 31, 42);
    width = heads * d;
  }
  if (pick (rand, 0, 1)) {
    add_src (c, op, h, w, 3 * width, dtype);
    op->src[1] = op->src[2] = op->src[0];
    op->n_src = 3;
    for (int i = 0; i < 3; i++)
      op->u.attention.first[i] = i * width;
    op->u.attention.causal = pick (rand, 0, 1);
  } else {
    int keys = pick_of (rand, 3, 1, 77, 120), extra = pick_of (rand, 2, 0, 8);

    add_src (c, op, h, w, width, dtype);
    for (int i = 1; i < 3; i++) {
      add_src (c, op, 1, keys, width + extra, dtype);
      op->u.attention.first[i] = pick_of (rand, 2, 0, extra);
    }
  }
  c->scale[0] = pick_of (rand, 2, 1, 4);
  set_dst (c, op, h, w, width, pick_dtype (c, rand));
}

static void
build_attention (DloralCase * c, DloralOp * op, GRand * rand)
{
  if (pick (rand, 0, 2))
    build_plain_attention (c, op, rand);
  else
    build_grouped_attention (c, op, rand);
}

static void
build_resize (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int channels = pick (rand, 1, 9);
  int out_h = pick (rand, 0, 3) ? pick_side (rand) : h;
  int out_w = pick (rand, 0, 3) ? pick_side (rand) : w;
  DloralDtype dtype = DLORAL_F32;

  op->u.resize.mode = pick (rand, DLORAL_RESIZE_NEAREST,
      DLORAL_RESIZE_BILINEAR_ALIGNED);
  for (int i = 0; i < 4; i++) {
    op->u.resize.gain[i] = g_rand_double_range (rand, -2, 2);
    op->u.resize.offset[i] = g_rand_double_range (rand, -1, 1);
  }
  if (op->u.resize.mode == DLORAL_RESIZE_NEAREST)
    dtype = pick (rand, 0, 2) ? pick_dtype (c, rand) : DLORAL_U8;
  add_src (c, op, h, w, channels, dtype);
  set_dst (c, op, out_h, out_w, channels, dtype);
}

static void
build_pool (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand) + 1, w = pick_side (rand) + 1;
  int channels = pick (rand, 1, 20);

  add_src (c, op, h, w, channels, pick_dtype (c, rand));
  set_dst (c, op, h / 2, w / 2, channels, pick_dtype (c, rand));
}

static void
build_warp (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int channels = pick_of (rand, 6, 1, 3, 4, 5, 16, 20);

  op->u.warp.border = pick (rand, 0, 1);
  add_src (c, op, h, w, channels, DLORAL_F32);
  add_src (c, op, h, w, 2, DLORAL_F32);
  c->scale[1] = pick_of (rand, 3, 1, 8, 1000000);
  set_dst (c, op, h, w, channels, DLORAL_F32);
}

static void
build_concat (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand), n = pick (rand, 1, 4);
  int channels = 0;

  for (int i = 0; i < n; i++) {
    int part = pick (rand, 1, 40);

    add_src (c, op, h, w, part, pick_dtype (c, rand));
    channels += part;
  }
  set_dst (c, op, h, w, channels, pick_dtype (c, rand));
}

static void
build_crop (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  DloralDtype dtype = pick_dtype (c, rand);

  op->u.crop.y = pick (rand, 0, 7);
  op->u.crop.x = pick (rand, 0, 7);
  add_src (c, op, h + op->u.crop.y + pick (rand, 0, 3),
      w + op->u.crop.x + pick (rand, 0, 3), pick_channels (rand), dtype);
  set_dst (c, op, h, w, op->src[0]->c, dtype);
}

static void
build_paste (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int channels = pick_channels (rand);
  int whole_h = h + pick (rand, 0, 9), whole_w = w + pick (rand, 0, 9);
  DloralDtype dtype = pick_dtype (c, rand);

  op->u.paste.y = pick (rand, 0, whole_h - h);
  op->u.paste.x = pick (rand, 0, whole_w - w);
  if (pick (rand, 0, 1)) {
    op->weight = weight (c, rand, h, w, 1, 1, 1, 0);
    dtype = DLORAL_F32;
  }
  add_src (c, op, h, w, channels, dtype);
  if (pick (rand, 0, 1))
    add_src (c, op, whole_h, whole_w, channels, dtype);
  set_dst (c, op, whole_h, whole_w, channels, dtype);
}

/* Whole numbers from 0 to noise->offset. */
static void
index_fill (const DloralWeight * weight, float *dst)
{
  const Noise *noise = weight->data;
  GRand *rand = g_rand_new_with_seed (noise->seed);

  for (int i = 0; i < weight->o; i++)
    dst[i] = pick (rand, 0, noise->offset);
  g_rand_free (rand);
}

static void
build_gather (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int channels = pick_channels (rand), side_by_side = pick_of (rand, 2, 1, 4);
  int out_h = pick_side (rand), out_w = pick_side (rand);
  DloralDtype dtype = pick_dtype (c, rand);
  Noise noise = { g_rand_int (rand), 1, h * w - 1 };
  int n = out_h * out_w * side_by_side;

  add_src (c, op, h, w, channels, dtype);
  set_dst (c, op, out_h, out_w, side_by_side * channels, dtype);
  op->weight = dloral_graph_weight (c->graph, (DloralWeight) {
      .key = g_strdup_printf ("index-%08x-%d-%d", noise.seed, n, h * w),
      .o = n,.i = 1,.kh = 1,.kw = 1,.fill = index_fill,
      .data = g_memdup2 (&noise, sizeof noise),.destroy = g_free });
}

static void
build_retrieval (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand), heads = pick (rand, 1, 9);
  int channels = pick_of (rand, 6, 1, 3, 4, 8, 16, 20);

  op->u.retrieval.heads = heads;
  op->u.retrieval.window = pick_of (rand, 5, 0, 0, 1, 5, 7);
  add_src (c, op, h, w, channels, DLORAL_F32);
  add_src (c, op, h, w, channels, DLORAL_F32);
  set_dst (c, op, h, w, channels, DLORAL_F32);
  op->weight = weight (c, rand, heads, channels + 1, channels + 1, 1,
      1.0 / (channels + 1), 0);
  op->u.retrieval.value = weight (c, rand, heads, channels, channels + 1, 1,
      0.1 / heads, 0);
  op->bias = bias (c, rand, channels);
}

/* --- video ---------------------------------------------------------------- */

/* Planes or packed pixels one after another; what a row has beyond its samples
 * is random. */
typedef struct
{
  DloralVideoKind kind;
  int depth, shift, w_sub, h_sub;
  int n_planes;
  struct { int plane, at; } components[3];      /* at: bytes into a unit */
  int unit[3];                  /* bytes of a plane from one sample to the next, of
                                 * the first component in it */
  int unit_chroma;              /* and of the others */
  int opaque;
} Layout;

static const Layout layouts[] = {
  /* I420, NV12, NV21 */
  {DLORAL_VIDEO_YUV, 8, 0, 1, 1, 3, {{0, 0}, {1, 0}, {2, 0}}, {1, 1, 1}, 1, -1},
  {DLORAL_VIDEO_YUV, 8, 0, 1, 1, 2, {{0, 0}, {1, 0}, {1, 1}}, {1, 2}, 2, -1},
  {DLORAL_VIDEO_YUV, 8, 0, 1, 1, 2, {{0, 0}, {1, 1}, {1, 0}}, {1, 2}, 2, -1},
  /* YUY2, UYVY */
  {DLORAL_VIDEO_YUV, 8, 0, 1, 0, 1, {{0, 0}, {0, 1}, {0, 3}}, {2}, 4, -1},
  {DLORAL_VIDEO_YUV, 8, 0, 1, 0, 1, {{0, 1}, {0, 0}, {0, 2}}, {2}, 4, -1},
  /* Y42B, Y444 */
  {DLORAL_VIDEO_YUV, 8, 0, 1, 0, 3, {{0, 0}, {1, 0}, {2, 0}}, {1, 1, 1}, 1, -1},
  {DLORAL_VIDEO_YUV, 8, 0, 0, 0, 3, {{0, 0}, {1, 0}, {2, 0}}, {1, 1, 1}, 1, -1},
  /* P010_10LE, I420_10LE */
  {DLORAL_VIDEO_YUV, 10, 6, 1, 1, 2, {{0, 0}, {1, 0}, {1, 2}}, {2, 4}, 4, -1},
  {DLORAL_VIDEO_YUV, 10, 0, 1, 1, 3, {{0, 0}, {1, 0}, {2, 0}}, {2, 2, 2}, 2,
      -1},
  /* I422_10LE, Y444_10LE */
  {DLORAL_VIDEO_YUV, 10, 0, 1, 0, 3, {{0, 0}, {1, 0}, {2, 0}}, {2, 2, 2}, 2,
      -1},
  {DLORAL_VIDEO_YUV, 10, 0, 0, 0, 3, {{0, 0}, {1, 0}, {2, 0}}, {2, 2, 2}, 2,
      -1},
  /* GRAY8, GRAY16_LE */
  {DLORAL_VIDEO_GREY, 8, 0, 0, 0, 1, {{0, 0}}, {1}, 0, -1},
  {DLORAL_VIDEO_GREY, 16, 0, 0, 0, 1, {{0, 0}}, {2}, 0, -1},
  /* RGB, BGR, RGBx, xBGR */
  {DLORAL_VIDEO_RGB, 8, 0, 0, 0, 1, {{0, 0}, {0, 1}, {0, 2}}, {3}, 3, -1},
  {DLORAL_VIDEO_RGB, 8, 0, 0, 0, 1, {{0, 2}, {0, 1}, {0, 0}}, {3}, 3, -1},
  {DLORAL_VIDEO_RGB, 8, 0, 0, 0, 1, {{0, 0}, {0, 1}, {0, 2}}, {4}, 4, 3},
  {DLORAL_VIDEO_RGB, 8, 0, 0, 0, 1, {{0, 3}, {0, 2}, {0, 1}}, {4}, 4, 0},
  /* RGB of 16 bits, ARGB64_LE */
  {DLORAL_VIDEO_RGB, 16, 0, 0, 0, 1, {{0, 0}, {0, 2}, {0, 4}}, {6}, 6, -1},
  {DLORAL_VIDEO_RGB, 16, 0, 0, 0, 1, {{0, 2}, {0, 4}, {0, 6}}, {8}, 8, 0},
};

static void
lay_out (DloralVideoFormat * f, const Layout * l, GRand * rand)
{
  size_t offset[3];
  int stride[3];

  for (int i = 0; i < l->n_planes; i++) {
    int w = i > 0 ? dloral_video_get_chroma (f->width, l->w_sub) : f->width;
    int h = i > 0 ? dloral_video_get_chroma (f->height, l->h_sub) : f->height;

    offset[i] = f->size;
    stride[i] = (w + l->w_sub) * l->unit[i] + 2 * pick_of (rand, 3, 0, 1, 7);
    f->size += (gsize) h *stride[i];
  }
  for (int i = 0; i < (l->kind == DLORAL_VIDEO_GREY ? 1 : 3); i++) {
    int plane = l->components[i].plane;

    f->components[i] = (DloralVideoComponent) {
      offset[plane] + l->components[i].at, stride[plane],
      i > 0 ? l->unit_chroma : l->unit[0]
    };
  }
}

static void
pick_format (DloralVideoFormat * f, GRand * rand, int h, int w)
{
  static const double weights[][2] = {
    {0.299, 0.114}, {0.2126, 0.0722}, {0.2627, 0.0593}
  };
  const Layout *l = &layouts[g_rand_int_range (rand, 0,
          G_N_ELEMENTS (layouts))];
  const double *k = weights[g_rand_int_range (rand, 0, 3)];

  *f = (DloralVideoFormat) {
    .kind = l->kind,.width = w,.height = h,.opaque = l->opaque,
    .limited = g_rand_boolean (rand),.depth = l->depth,.shift = l->shift,
    .w_sub = l->w_sub,.h_sub = l->h_sub,.h_cosited = g_rand_boolean (rand),
    .v_cosited = g_rand_boolean (rand),.kr = k[0],.kb = k[1],
    .deep = l->depth > 8 || pick_picture (rand) == DLORAL_U16,
  };
  lay_out (f, l, rand);
  dloral_video_format_init_matrix (f);
}

static void
build_unpack (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);

  pick_format (&op->u.video.format, rand, h, w);
  add_src (c, op, 1, 1, op->u.video.format.size, DLORAL_U8);
  set_dst (c, op, h, w, 3, op->u.video.format.deep ? DLORAL_U16 : DLORAL_U8);
}

/* The picture may be larger than the frame. */
static void
build_pack (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);

  pick_format (&op->u.video.format, rand, h, w);
  add_src (c, op, h + pick_of (rand, 3, 0, 0, 5),
      w + pick_of (rand, 3, 0, 0, 7), 3,
      op->u.video.format.deep ? DLORAL_U16 : DLORAL_U8);
  set_dst (c, op, 1, 1, op->u.video.format.size + pick_of (rand, 2, 0, 37),
      DLORAL_U8);
}

/* -------------------------------------------------------------------------- */

static void
build_upsample (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int scale = pick_of (rand, 6, 4, 4, 4, 1, 2, 3);
  DloralDtype picture = pick_picture (rand);

  op->u.upsample.scale = scale;
  add_src (c, op, h, w, 3, picture);
  set_dst (c, op, h * scale + pick_of (rand, 3, 0, 0, 5),
      w * scale + pick_of (rand, 3, 0, 0, 7), 3, picture);
}

static void
build_shrink (DloralCase * c, DloralOp * op, GRand * rand)
{
  int factor = pick_of (rand, 6, 1, 2, 4, 8, 16, 32);
  int h = pick (rand, 1, 9), w = pick (rand, 1, 12);

  op->u.shrink.factor = factor;
  add_src (c, op, h * factor, w * factor, 3, pick_picture (rand));
  set_dst (c, op, h, w, 3, DLORAL_F32);
}

static void
build_from_picture (DloralCase * c, DloralOp * op, GRand * rand)
{
  int patch = pick_of (rand, 5, 1, 2, 3, 4, 8);
  int h = pick (rand, 1, 20), w = pick (rand, 1, 40);

  op->u.from_picture.patch = patch;
  add_src (c, op, h * patch, w * patch, 3, pick_picture (rand));
  set_dst (c, op, h, w, patch * patch * 3, pick_dtype (c, rand));
}

/* The whole picture is visible: what lies beyond is nobody's business. */
static void
build_to_picture (DloralCase * c, DloralOp * op, GRand * rand)
{
  int patch = pick_of (rand, 5, 1, 2, 3, 4, 8);
  int h = pick (rand, 1, 20), w = pick (rand, 1, 40);
  DloralDtype picture = pick_picture (rand);

  op->u.to_picture.patch = patch;
  op->u.to_picture.lq_residual = pick (rand, 0, 1);
  op->u.to_picture.color_fix = pick (rand, DLORAL_COLOR_FIX_ADAIN,
      DLORAL_COLOR_FIX_NONE);
  op->u.to_picture.height = h * patch - pick (rand, 0, patch - 1);
  op->u.to_picture.width = w * patch - pick (rand, 0, patch - 1);
  add_src (c, op, h, w, patch * patch * 3, pick_dtype (c, rand));
  c->scale[0] = 0.5;
  c->offset[0] = 0.2;
  add_src (c, op, h * patch, w * patch, 3, picture);
  set_dst (c, op, h * patch, w * patch, 3, picture);
  op->u.to_picture.finite = dloral_graph_bind (c->graph, 1, 1, 1, DLORAL_U8);
}

static void
build_abs_max (DloralCase * c, DloralOp * op, GRand * rand)
{
  add_src (c, op, pick_side (rand), pick_side (rand), pick_channels (rand),
      pick_dtype (c, rand));
  c->offset[0] = pick_of (rand, 3, 0, -5, 5);
  set_dst (c, op, 1, 1, 1, DLORAL_F32);
}

/* bf16 keeps 8 bits: rounding a value once costs up to 0.002 of it. */
const DloralCaseKind dloral_case_kinds[DLORAL_N_OPS] = {
  {DLORAL_OP_CONV, build_conv, 60, FALSE, 1e-5, 0.01, 0},
  {DLORAL_OP_LINEAR, build_linear, 40, FALSE, 1e-5, 0.03, 0},
  {DLORAL_OP_GROUP_NORM, build_group_norm, 40, TRUE, 2e-6, 0.01, 0},
  {DLORAL_OP_LAYER_NORM, build_layer_norm, 30, FALSE, 1e-5, 0.01, 0},
  {DLORAL_OP_ATTENTION, build_attention, 36, FALSE, 3e-5, 0.03, 0},
  {DLORAL_OP_RESIZE, build_resize, 40, TRUE, 2e-6, 0, 0},
  {DLORAL_OP_POOL, build_pool, 20, TRUE, 1e-6, 0.005, 0},
  {DLORAL_OP_WARP, build_warp, 30, TRUE, 2e-5, 0, 0},
  {DLORAL_OP_CONCAT, build_concat, 30, TRUE, 0, 0.005, 0},
  {DLORAL_OP_CROP, build_crop, 20, FALSE, 0, 0, 0},
  {DLORAL_OP_PASTE, build_paste, 20, FALSE, 1e-6, 1e-6, 0},
  {DLORAL_OP_GATHER, build_gather, 20, FALSE, 0, 0, 0},
  {DLORAL_OP_RETRIEVAL, build_retrieval, 30, TRUE, 2e-6, 0, 0},
  {DLORAL_OP_UNPACK, build_unpack, 120, FALSE, 0.01, 0.01, 0.03},
  {DLORAL_OP_PACK, build_pack, 120, FALSE, 0.01, 0.01, 0.03},
  {DLORAL_OP_UPSAMPLE, build_upsample, 50, TRUE, 0, 0, 0},
  {DLORAL_OP_SHRINK, build_shrink, 40, TRUE, 1e-6, 0, 0},
  {DLORAL_OP_FROM_PICTURE, build_from_picture, 40, TRUE, 1e-6, 0.005, 0},
  {DLORAL_OP_TO_PICTURE, build_to_picture, 80, TRUE, 1e-3, 1e-3, 0.1},
  {DLORAL_OP_ABS_MAX, build_abs_max, 30, FALSE, 0, 0, 0},
};

/* --- products in fp8 ------------------------------------------------------ */

/* What is expected of the source is more than there is, or less: then values are
 * cut off. */
static void
pick_input_max (DloralOp * op, GRand * rand)
{
  op->input_max = pick (rand, 0, 2) ? 5 : 0.3;
}

static void
build_fp8_conv (DloralCase * c, DloralOp * op, GRand * rand)
{
  int k = pick_of (rand, 3, 1, 3, 3), stride = pick_of (rand, 3, 1, 1, 2);
  int h = pick (rand, 3, 24), w = pick (rand, 3, 24);
  int in = 16 * pick (rand, 1, 6), out = 16 * pick (rand, 1, 6);
  int dst_h = (h + k - 1 - k) / stride + 1, dst_w = (w + k - 1 - k) / stride
      + 1;

  pick_input_max (op, rand);
  op->u.conv.stride = stride;
  op->u.conv.pad_top = op->u.conv.pad_left = k / 2;
  op->u.conv.act = pick (rand, DLORAL_ACT_NONE, DLORAL_ACT_SILU);
  add_src (c, op, h, w, in, c->graph->act_dtype);
  if (pick (rand, 0, 1))
    add_src (c, op, dst_h, dst_w, out, pick_dtype (c, rand));
  set_dst (c, op, dst_h, dst_w, out, pick_dtype (c, rand));
  op->weight = weight (c, rand, out, in, k, k, 1 / sqrt (in * k * k), 0);
  if (pick (rand, 0, 3))
    op->bias = bias (c, rand, out);
}

static void
build_fp8_linear (DloralCase * c, DloralOp * op, GRand * rand)
{
  int h = pick_side (rand), w = pick_side (rand);
  int in = 16 * pick (rand, 1, 6), out = 16 * pick (rand, 1, 6);

  pick_input_max (op, rand);
  op->u.linear.geglu = pick (rand, 0, 2) == 0;
  add_src (c, op, h, w, in, c->graph->act_dtype);
  if (!op->u.linear.geglu && pick (rand, 0, 1))
    add_src (c, op, h, w, out, c->graph->act_dtype);
  set_dst (c, op, h, w, out, c->graph->act_dtype);
  op->weight = weight (c, rand, op->u.linear.geglu ? 2 * out : out, in, 1, 1,
      1 / sqrt (in), 0);
  if (pick (rand, 0, 3))
    op->bias = bias (c, rand, op->weight->o);
}

/* The reference rounds operands as the backend does, so errors are bf16's. */
const DloralCaseKind dloral_fp8_case_kinds[] = {
  {DLORAL_OP_CONV, build_fp8_conv, 30, FALSE, 0, 0.01, 0},
  {DLORAL_OP_LINEAR, build_fp8_linear, 30, FALSE, 0, 0.01, 0},
};

/* --- typical operators of the default model, 320×180 → 1280×720 ----------- */

#define LQ_H 180
#define LQ_W 320
#define LATENT_H 90
#define LATENT_W 160

static void
typical_conv (DloralCase * c, DloralOp * op, GRand * rand, int h, int w,
    int in, int out, int k)
{
  op->u.conv.stride = 1;
  op->u.conv.pad_top = op->u.conv.pad_left = k / 2;
  add_src (c, op, h, w, in, c->graph->act_dtype);
  set_dst (c, op, h, w, out, c->graph->act_dtype);
  op->weight = weight (c, rand, out, in, k, k, 1 / sqrt (in * k * k), 0);
  op->bias = bias (c, rand, out);
}

static void
typical_conv_64 (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_conv (c, op, rand, LATENT_H, LATENT_W, 64, 64, 3);
}

static void
typical_conv_enlarging (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_conv (c, op, rand, LATENT_H / 2, LATENT_W / 2, 64, 64, 3);
  op->u.conv.enlarge = TRUE;
  op->dst->h *= 2;
  op->dst->w *= 2;
}

static void
typical_conv_in (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_conv (c, op, rand, LATENT_H, LATENT_W, 192, 64, 3);
}

static void
typical_conv_flow (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_conv (c, op, rand, 96, LATENT_W, 8, 16, 7);
}

static void
typical_linear (DloralCase * c, DloralOp * op, GRand * rand)
{
  add_src (c, op, 45, 80, 96, c->graph->act_dtype);
  set_dst (c, op, 45, 80, 288, c->graph->act_dtype);
  op->weight = weight (c, rand, 288, 96, 1, 1, 0.1, 0);
  op->bias = bias (c, rand, 288);
}

static void
typical_attention (DloralCase * c, DloralOp * op, GRand * rand)
{
  op->u.attention.heads = 4;
  op->u.attention.head_dim = 32;
  op->u.attention.scale = 0.18f;
  for (int i = 0; i < 3; i++)
    op->u.attention.first[i] = 128 * i;
  add_src (c, op, 23, 40, 384, c->graph->act_dtype);
  op->src[1] = op->src[2] = op->src[0];
  op->n_src = 3;
  set_dst (c, op, 23, 40, 128, c->graph->act_dtype);
}

static void
typical_norm (DloralCase * c, DloralOp * op, GRand * rand, int h, int w,
    int first, int second)
{
  int channels = first + second;

  op->u.group_norm.groups = 8;
  op->u.group_norm.eps = 1e-5f;
  op->u.group_norm.act = DLORAL_ACT_SILU;
  add_src (c, op, h, w, first, c->graph->act_dtype);
  if (second > 0)
    add_src (c, op, h, w, second, c->graph->act_dtype);
  set_dst (c, op, h, w, channels, c->graph->act_dtype);
  op->weight = weight (c, rand, channels, 1, 1, 1, 0.3, 1);
  op->bias = bias (c, rand, channels);
}

static void
typical_norm_64 (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_norm (c, op, rand, LATENT_H, LATENT_W, 64, 0);
}

static void
typical_norm_128 (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_norm (c, op, rand, LATENT_H, LATENT_W, 64, 64);
}

static void
typical_layer_norm (DloralCase * c, DloralOp * op, GRand * rand)
{
  op->u.layer_norm.eps = 1e-5f;
  add_src (c, op, 45, 80, 128, c->graph->act_dtype);
  set_dst (c, op, 45, 80, 128, c->graph->act_dtype);
  op->weight = weight (c, rand, 128, 1, 1, 1, 0.3, 1);
  op->bias = bias (c, rand, 128);
}

static void
typical_resize (DloralCase * c, DloralOp * op, GRand * rand)
{
  op->u.resize.mode = DLORAL_RESIZE_BILINEAR;
  for (int i = 0; i < 4; i++)
    op->u.resize.gain[i] = 1;
  add_src (c, op, LATENT_H, LATENT_W, 3, DLORAL_F32);
  set_dst (c, op, 96, LATENT_W, 3, DLORAL_F32);
}

static void
typical_nearest (DloralCase * c, DloralOp * op, GRand * rand)
{
  op->u.resize.mode = DLORAL_RESIZE_NEAREST;
  add_src (c, op, 45, 80, 128, c->graph->act_dtype);
  set_dst (c, op, LATENT_H, LATENT_W, 128, c->graph->act_dtype);
}

static void
typical_pool (DloralCase * c, DloralOp * op, GRand * rand)
{
  add_src (c, op, 96, LATENT_W, 3, DLORAL_F32);
  set_dst (c, op, 48, LATENT_W / 2, 3, DLORAL_F32);
}

static void
typical_warp_latent (DloralCase * c, DloralOp * op, GRand * rand)
{
  add_src (c, op, LATENT_H, LATENT_W, 16, DLORAL_F32);
  add_src (c, op, LATENT_H, LATENT_W, 2, DLORAL_F32);
  set_dst (c, op, LATENT_H, LATENT_W, 16, DLORAL_F32);
}

static void
typical_warp_flow (DloralCase * c, DloralOp * op, GRand * rand)
{
  op->u.warp.border = TRUE;
  add_src (c, op, 96, LATENT_W, 3, DLORAL_F32);
  add_src (c, op, 96, LATENT_W, 2, DLORAL_F32);
  set_dst (c, op, 96, LATENT_W, 3, DLORAL_F32);
}

static void
typical_concat (DloralCase * c, DloralOp * op, GRand * rand)
{
  add_src (c, op, 96, LATENT_W, 3, DLORAL_F32);
  add_src (c, op, 96, LATENT_W, 3, DLORAL_F32);
  add_src (c, op, 96, LATENT_W, 2, DLORAL_F32);
  set_dst (c, op, 96, LATENT_W, 8, c->graph->act_dtype);
}

static void
typical_retrieval (DloralCase * c, DloralOp * op, GRand * rand, int h, int w,
    int channels, int heads, int window)
{
  op->u.retrieval.heads = heads;
  op->u.retrieval.window = window;
  add_src (c, op, h, w, channels, DLORAL_F32);
  add_src (c, op, h, w, channels, DLORAL_F32);
  set_dst (c, op, h, w, channels, DLORAL_F32);
  op->weight = weight (c, rand, heads, channels + 1, channels + 1, 1, 0.1, 0);
  op->u.retrieval.value = weight (c, rand, heads, channels, channels + 1, 1,
      0.01, 0);
  op->bias = bias (c, rand, channels);
}

static void
typical_retrieval_window (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_retrieval (c, op, rand, LATENT_H, LATENT_W, 16, 2, 5);
}

static void
typical_retrieval_all (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_retrieval (c, op, rand, 64, 64, 4, 9, 0);
}

static void
typical_upsample (DloralCase * c, DloralOp * op, GRand * rand)
{
  op->u.upsample.scale = 4;
  add_src (c, op, LQ_H, LQ_W, 3, DLORAL_U8);
  set_dst (c, op, 4 * LQ_H, 4 * LQ_W, 3, DLORAL_U8);
}

static void
typical_shrink (DloralCase * c, DloralOp * op, GRand * rand)
{
  op->u.shrink.factor = 8;
  add_src (c, op, 4 * LQ_H, 4 * LQ_W, 3, DLORAL_U8);
  set_dst (c, op, LATENT_H, LATENT_W, 3, DLORAL_F32);
}

static void
typical_from_picture (DloralCase * c, DloralOp * op, GRand * rand)
{
  op->u.from_picture.patch = 8;
  add_src (c, op, 4 * LQ_H, 4 * LQ_W, 3, DLORAL_U8);
  set_dst (c, op, LATENT_H, LATENT_W, 192, c->graph->act_dtype);
}

static void
typical_to_picture (DloralCase * c, DloralOp * op, DloralColorFix color_fix)
{
  op->u.to_picture.patch = 8;
  op->u.to_picture.lq_residual = TRUE;
  op->u.to_picture.color_fix = color_fix;
  op->u.to_picture.height = 4 * LQ_H;
  op->u.to_picture.width = 4 * LQ_W;
  add_src (c, op, LATENT_H, LATENT_W, 192, c->graph->act_dtype);
  add_src (c, op, 4 * LQ_H, 4 * LQ_W, 3, DLORAL_U8);
  set_dst (c, op, 4 * LQ_H, 4 * LQ_W, 3, DLORAL_U8);
  op->u.to_picture.finite = dloral_graph_bind (c->graph, 1, 1, 1, DLORAL_U8);
  c->scale[0] = 0.3;
}

static void
typical_none (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_to_picture (c, op, DLORAL_COLOR_FIX_NONE);
}

static void
typical_adain (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_to_picture (c, op, DLORAL_COLOR_FIX_ADAIN);
}

static void
typical_wavelet (DloralCase * c, DloralOp * op, GRand * rand)
{
  typical_to_picture (c, op, DLORAL_COLOR_FIX_WAVELET);
}

typedef struct
{
  const char *name;
  DloralOpKind kind;
  void (*build) (DloralCase * c, DloralOp * op, GRand * rand);
} Typical;

static const Typical typicals[] = {
  {"conv 3×3 64→64, 160×90", DLORAL_OP_CONV, typical_conv_64},
  {"conv 3×3 64→64, 80×45→160×90", DLORAL_OP_CONV, typical_conv_enlarging},
  {"conv 3×3 192→64, 160×90", DLORAL_OP_CONV, typical_conv_in},
  {"conv 7×7 8→16, 160×96", DLORAL_OP_CONV, typical_conv_flow},
  {"linear 96→288, 80×45", DLORAL_OP_LINEAR, typical_linear},
  {"attention 4×32, 40×23", DLORAL_OP_ATTENTION, typical_attention},
  {"layer norm 128, 80×45", DLORAL_OP_LAYER_NORM, typical_layer_norm},
  {"group norm 64, 160×90", DLORAL_OP_GROUP_NORM, typical_norm_64},
  {"group norm 64+64, 160×90", DLORAL_OP_GROUP_NORM, typical_norm_128},
  {"resize bilinear 3, 160×90→96", DLORAL_OP_RESIZE, typical_resize},
  {"resize nearest 128, 80×45→160×90", DLORAL_OP_RESIZE, typical_nearest},
  {"pool 3, 160×96", DLORAL_OP_POOL, typical_pool},
  {"warp 16, 160×90", DLORAL_OP_WARP, typical_warp_latent},
  {"warp 3, 160×96", DLORAL_OP_WARP, typical_warp_flow},
  {"concat 3+3+2, 160×96", DLORAL_OP_CONCAT, typical_concat},
  {"retrieval 16×2, 160×90, window 5", DLORAL_OP_RETRIEVAL,
      typical_retrieval_window},
  {"retrieval 4×9, 64×64, all", DLORAL_OP_RETRIEVAL, typical_retrieval_all},
  {"upsample 320×180→1280×720", DLORAL_OP_UPSAMPLE, typical_upsample},
  {"shrink 1280×720→160×90", DLORAL_OP_SHRINK, typical_shrink},
  {"from picture 8, 1280×720", DLORAL_OP_FROM_PICTURE, typical_from_picture},
  {"to picture 8, 1280×720, none", DLORAL_OP_TO_PICTURE, typical_none},
  {"to picture 8, 1280×720, adain", DLORAL_OP_TO_PICTURE, typical_adain},
  {"to picture 8, 1280×720, wavelet", DLORAL_OP_TO_PICTURE, typical_wavelet},
};

/* -------------------------------------------------------------------------- */

static void
case_init (DloralCase * c, DloralOpKind kind,
    void (*build) (DloralCase * c, DloralOp * op, GRand * rand),
    DloralDtype act_dtype, guint32 seed)
{
  GRand *rand = g_rand_new_with_seed (seed);
  DloralOp op = {.kind = kind };

  memset (c, 0, sizeof *c);
  c->graph = dloral_graph_new ("case", act_dtype);
  build (c, &op, rand);
  dloral_graph_append (c->graph, &op);
  dloral_graph_plan (c->graph);
  c->op = c->graph->ops->pdata[0];
  g_rand_free (rand);
}

void
dloral_case_init (DloralCase * c, const DloralCaseKind * kind,
    DloralDtype act_dtype, guint32 seed)
{
  case_init (c, kind->kind, kind->build, act_dtype, seed);
}

gboolean
dloral_case_init_typical (DloralCase * c, int i, DloralDtype act_dtype,
    const char **name)
{
  if (i >= (int) G_N_ELEMENTS (typicals))
    return FALSE;
  *name = typicals[i].name;
  case_init (c, typicals[i].kind, typicals[i].build, act_dtype, 1);
  return TRUE;
}

void
dloral_case_clear (DloralCase * c)
{
  dloral_graph_free (c->graph);
}

static void
describe_tensor (GString * text, const DloralTensor * t)
{
  static const char *const names[] = {
    [DLORAL_U8] = "u8", [DLORAL_F32] = "f32", [DLORAL_F16] = "f16",
    [DLORAL_BF16] = "bf16", [DLORAL_U16] = "u16"
  };

  g_string_append_printf (text, " %d×%d×%d %s", t->h, t->w, t->c,
      names[t->dtype]);
}

char *
dloral_case_describe (const DloralCase * c)
{
  GString *text = g_string_new (dloral_op_kind_get_name (c->op->kind));

  for (int i = 0; i < c->op->n_src; i++)
    describe_tensor (text, c->op->src[i]);
  g_string_append (text, " →");
  describe_tensor (text, c->op->dst);
  return g_string_free (text, FALSE);
}
