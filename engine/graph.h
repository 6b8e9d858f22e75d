/* A graph of tensors and operators: what a network computes, written once.
 *
 * A network is a function that appends operators to a graph. Nothing is computed
 * meanwhile but constants. dloral_graph_plan () then gives every tensor a place
 * in one arena; a backend compiles the graph and runs it as often as asked.
 *
 * Tensors are NHWC with N = 1: [h][w][c], densely packed. A tensor is written
 * by exactly one operator, or bound from outside at every run. One thread builds
 * a graph; afterwards it is read-only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cancel.h"
#include "safetensors.h"
#include "video.h"

G_BEGIN_DECLS

typedef struct _DloralGraph DloralGraph;
typedef struct _DloralWeight DloralWeight;

/* Writes the whole weight as f32 in its declared order into dst. Called at
 * compile time, in any thread, for one weight of a device at a time. */
typedef void (*DloralWeightFill) (const DloralWeight * weight, float *dst);

/* A constant: a matrix, a convolution kernel or a vector. `key` names its
 * content: weights of equal key are equal, so backends share what they packed. */
struct _DloralWeight
{
  char *key;
  int o, i, kh, kw;             /* [o][i][kh][kw]; a vector is [o][1][1][1] */
  DloralWeightFill fill;
  gpointer data;
  GDestroyNotify destroy;
  char *name;                   /* in the model file (fp8.h); NULL: not as it
                                 * stands there */
};

static inline gsize
dloral_weight_get_length (const DloralWeight * w)
{
  return (gsize) w->o * w->i * w->kh * w->kw;
}

typedef struct
{
  int id;                       /* index in the graph's list of tensors */
  int h, w, c;
  DloralDtype dtype;
  int binding;                  /* index into a run's bindings, or -1 */
  /* Set by dloral_graph_plan () for tensors that are not bound: */
  gsize offset;                 /* bytes from the arena's start */
  int first, last;              /* operators that write it and read it last */
} DloralTensor;

static inline gsize
dloral_tensor_get_size (const DloralTensor * t)
{
  return (gsize) t->h * t->w * t->c * dloral_dtype_size (t->dtype);
}

typedef enum
{
  DLORAL_ACT_NONE,
  DLORAL_ACT_RELU,
  DLORAL_ACT_SILU,
  DLORAL_ACT_GELU,              /* erf form */
  DLORAL_ACT_QUICK_GELU,        /* x · sigmoid (1.702 · x) */
  DLORAL_ACT_TANH,
} DloralAct;

typedef enum
{
  DLORAL_OP_CONV,
  DLORAL_OP_LINEAR,
  DLORAL_OP_GROUP_NORM,
  DLORAL_OP_LAYER_NORM,
  DLORAL_OP_ATTENTION,
  DLORAL_OP_RESIZE,
  DLORAL_OP_POOL,
  DLORAL_OP_WARP,
  DLORAL_OP_CONCAT,
  DLORAL_OP_CROP,
  DLORAL_OP_PASTE,
  DLORAL_OP_GATHER,             /* dst, as rows as wide as a pixel of src[0]: row j
                                 * is pixel weight[j] of src[0]; any type, the
                                 * same. weight [rows], whole numbers, which f32
                                 * holds up to 2^24 */
  DLORAL_OP_RETRIEVAL,
  DLORAL_OP_UNPACK,
  DLORAL_OP_PACK,
  DLORAL_OP_UPSAMPLE,
  DLORAL_OP_SHRINK,
  DLORAL_OP_FROM_PICTURE,
  DLORAL_OP_TO_PICTURE,
  DLORAL_OP_ABS_MAX,            /* dst, f32 [1][1][1] = the largest |src[0]|, of
                                 * activation type or F32; not a number where
                                 * one of them is none */
  DLORAL_N_OPS
} DloralOpKind;

typedef enum
{
  DLORAL_RESIZE_NEAREST,        /* source index floor (i · in / out) */
  DLORAL_RESIZE_BILINEAR,       /* half-pixel centres, no antialias */
  DLORAL_RESIZE_BILINEAR_ALIGNED,       /* align_corners = True */
} DloralResizeMode;

#define DLORAL_MAX_SRC 4

/* Activation tensors (conv, linear, norms, attention) have the graph's
 * activation type or F32; each operator takes and writes either. */
typedef struct
{
  DloralOpKind kind;
  const char *scope;            /* where in the network, for messages; owned */
  int n_src;
  DloralTensor *src[DLORAL_MAX_SRC];
  DloralTensor *dst;
  const DloralWeight *weight, *bias;    /* bias may be NULL */
  /* Of conv and linear, where fp8 may be multiplied: the name of the largest
   * |src[0]| to expect (owned; else NULL), and that (0: not known). */
  const char *input;
  float input_max;
  union
  {
    /* dst = act (src[0] * weight + bias + residual); residual is src[1] where
     * n_src is 2, of dst's shape. Output size from dst. Zero padding; what
     * bottom and right need follows from dst's size. Square stride.
     * enlarge: of src[0] enlarged ×2 by nearest neighbour; then the kernel is
     * 3×3, stride and padding 1, and there is no residual. */
    struct { int stride, pad_top, pad_left; DloralAct act; gboolean enlarge; }
        conv;

    /* Every position alone: dst = act (weight · src[0] + bias) + residual
     * (src[1], optional). geglu: weight is [2·c][i], dst = a · gelu (b) with
     * a the first c rows' result and b the others'; no residual then. */
    struct { DloralAct act; gboolean geglu; } linear;

    /* Over the channels of src[0] and, where n_src is 2, src[1] side by side.
     * weight is gamma, bias is beta, each [c]. act NONE or SILU.
     * Statistics over h × w × (c / groups), in f32 or better. */
    struct { int groups; float eps; DloralAct act; } group_norm;

    /* Over channels at every position; weight gamma, bias beta. */
    struct { float eps; } layer_norm;

    /* dst[n][heads · d] = softmax (scale · q kᵀ) v, head by head. Sources are
     * query, key, value; each starts at channel `first` of its source, so that
     * one fused projection can feed all three. Scores and softmax in f32.
     * causal: query i sees keys 0 … i only; there are as many as queries.
     * rows: 0, or positions come in groups of that many, as many in each source,
     * and see their own group only, not causal. To a group's scaled scores is
     * added what weight [kinds][heads·rows][rows], finite, has for its kind: 0
     * where `kinds` is 1; where that is 4, groups lie `across` side by side, and 1
     * more in the last column, 2 more in the last line of them. */
    struct { int heads, head_dim; float scale; int first[3]; gboolean causal;
      int rows, kinds, across; } attention;

    /* dst[c] = resized · gain[c % 4] + offset[c % 4], f32 in and out except
     * NEAREST, which copies any type and ignores gain and offset. */
    struct { DloralResizeMode mode; float gain[4], offset[4]; } resize;

    /* src[0] f32 [h][w][c] sampled at (x + u, y + v), src[1] = flow f32
     * [h][w][2] (u, v); bilinear. border: clamp coordinates, else outside is
     * zero. */
    struct { gboolean border; } warp;

    /* dst [h][w][c] = src[0] from row y and column x on; any type, the same. */
    struct { int y, x; } crop;

    /* dst = src[1] (where n_src is 2, else zero), of dst's shape, plus
     * weight [h][w] · src[0] [h][w][c] from row y and column x on; all f32.
     * weight NULL: src[0] takes the place of what was there; any type, the
     * same. */
    struct { int y, x; } paste;

    /* dst = src[0] + bias + Σ over heads and positions j of
     * relu (x̃ᵀ · weight[head] · ỹⱼ) · value[head] · ỹⱼ, x̃ = [src[0]; 1],
     * ỹ = [src[1]; 1]; all f32. weight [heads][c+1][c+1], value
     * [heads][c][c+1], bias [c]. window 0: all positions; else only those at
     * most window / 2 away in x and in y, inside the picture. */
    struct { int heads, window; const DloralWeight *value; } retrieval;

    /* Pictures are u8 or u16, both of an operator the same; in what follows, M is
     * the highest level of that, 255 or 65535.
     *
     * unpack: src[0], the bytes of a video frame, u8 and at least `size` of them
     * in any shape, → dst, a picture [height][width][3], RGB. pack: src[0], a
     * picture [≥ height][≥ width][3], of which the upper left is seen, → dst, such
     * bytes; those that belong to no sample stay as they are. Pictures are u16
     * where the format is deep. */
    struct { DloralVideoFormat format; } video;

    /* src[0], a picture [h][w][3] → dst, one [H][W][3]: Pillow's bicubic
     * (a = -0.5, rounded to whole levels after each pass) by `scale`; what lies
     * beyond h·scale, w·scale repeats the edge. */
    struct { int scale; } upsample;

    /* src[0], a picture [H][W][3] → dst f32 [H/f][W/f][3] in [-1, 1]: bicubic
     * a = -0.75 without antialias (torch's F.interpolate), edges clamped. */
    struct { int factor; } shrink;

    /* src[0], a picture [H][W][3] → dst [H/p][W/p][p·p·3], 2·x/M - 1, channels
     * (dy, dx, rgb). */
    struct { int patch; } from_picture;

    /* src[0] [H/p][W/p][p·p·3], channels (dy, dx, rgb), in [-1, 1]; src[1] =
     * upsampled LQ frame [H][W][3] → dst, a picture [H][W][3]. x = src[0] (+ the
     * LQ frame in [-1, 1] if lq_residual), clamped, to [0, 1], corrected against
     * the LQ frame, to whole levels as the published code does. Statistics
     * and filters see the visible height × width only. `finite`, bound, u8
     * [1][1][1], becomes 1; or 0 where src[0] or, if n_src is 3, src[2] (any
     * shape, f32) holds what is not a finite number: dst is src[1] then. */
    struct { int patch; gboolean lq_residual; DloralColorFix color_fix;
      int height, width; const DloralTensor *finite; } to_picture;
  } u;
} DloralOp;

struct _DloralGraph
{
  const char *name;             /* "encode", … for messages and benchmarks */
  DloralDtype act_dtype;        /* F32 or BF16 */
  GPtrArray *tensors;           /* DloralTensor */
  GPtrArray *ops;               /* DloralOp, in an order that can be run */
  GPtrArray *weights;           /* DloralWeight */
  int n_bindings;
  gsize arena_size;             /* set by dloral_graph_plan () */
  /* Whoever builds or compiles it looks here whether to go on (cancel.h), and
   * nobody later. NULL at first. */
  const gint *cancelled;
};

/* Every offset and arena is a multiple of this many bytes. */
#define DLORAL_ALIGN 64

static inline gsize
dloral_align (gsize size)
{
  return (size + DLORAL_ALIGN - 1) / DLORAL_ALIGN * DLORAL_ALIGN;
}

DloralGraph *dloral_graph_new (const char *name, DloralDtype act_dtype);
void dloral_graph_free (DloralGraph * graph);

/* A tensor bound at every run, at the next free index. */
DloralTensor *dloral_graph_bind (DloralGraph * g, int h, int w, int c,
    DloralDtype dtype);

/* The tensor bound at that index. */
const DloralTensor *dloral_graph_get_bound (const DloralGraph * g, int binding);

/* A tensor that some operator will write. */
DloralTensor *dloral_graph_tensor (DloralGraph * g, int h, int w, int c,
    DloralDtype dtype);

/* Takes ownership of a weight (all fields but `key` by value). */
const DloralWeight *dloral_graph_weight (DloralGraph * g, DloralWeight weight);

/* Appends an operator; copies *op (scope and input too). */
void dloral_graph_append (DloralGraph * g, const DloralOp * op);

/* Gives each unbound tensor its place: two tensors share bytes only when
 * their lifetimes are apart. A tensor never overlaps a source of the operator
 * that writes it. */
void dloral_graph_plan (DloralGraph * g);

/* "conv", "group_norm", … */
const char *dloral_op_kind_get_name (DloralOpKind kind);

/* Multiply-adds × 2 of one run of the operator, for benchmarks. */
double dloral_op_get_flops (const DloralOp * op);

G_END_DECLS
