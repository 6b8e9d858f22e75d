/* Every operator in float64.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "reference.h"

#include <math.h>
#include <string.h>

typedef void (*Reference) (const DloralOp * op, const double *const *src,
    double *dst);

/* Element of a packed [h][w][c] array. */
static gsize
at (const DloralTensor * t, int y, int x, int c)
{
  return ((gsize) y * t->w + x) * t->c + c;
}

static gsize
length (const DloralTensor * t)
{
  return (gsize) t->h * t->w * t->c;
}

/* The weight's values in a new array; zeros of `n` where there is none. */
static float *
fill (const DloralWeight * weight, gsize n)
{
  float *values = g_new0 (float, n);

  if (weight)
    weight->fill (weight, values);
  return values;
}

static double
activate (double x, DloralAct act)
{
  switch (act) {
    case DLORAL_ACT_RELU:
      return MAX (x, 0);
    case DLORAL_ACT_SILU:
      return x / (1 + exp (-x));
    case DLORAL_ACT_QUICK_GELU:
      return x / (1 + exp (-1.702 * x));
    case DLORAL_ACT_GELU:
      return 0.5 * x * (1 + erf (x / sqrt (2)));
    case DLORAL_ACT_TANH:
      return tanh (x);
    default:
      return x;
  }
}

/* --- products ------------------------------------------------------------- */

/* What is multiplied, in new arrays. */
typedef struct
{
  double *x;
  float *weight, *bias;
} Operands;

/* The e4m3 number nearest to scale · x, divided by the scale: 3 bits behind the
 * point from 2^-6 on, multiples of 2^-9 below, nothing beyond 448. */
static double
round_e4m3 (double x, double scale)
{
  double size = fabs (x * scale), step;

  step = size < 0x1p-6 ? 0x1p-9 : exp2 (floor (log2 (size)) - 3);
  return copysign (fmin (rint (size / step) * step, 448) / scale, x);
}

/* cuda/quantize.h: powers of two; twice the input's largest expected value has
 * room, and the weights' own. */
static void
quantise (const DloralOp * op, Operands * operands)
{
  gsize n = length (op->src[0]), n_weights = dloral_weight_get_length (op->weight);
  double scale = exp2 (floor (log2 (448 / (2 * (double) op->input_max))));
  double max = 0;

  for (gsize i = 0; i < n; i++)
    operands->x[i] = round_e4m3 (operands->x[i], scale);
  for (gsize i = 0; i < n_weights; i++)
    max = fmax (max, fabs (operands->weight[i]));
  scale = exp2 (floor (log2 (448 / max)));
  for (gsize i = 0; i < n_weights; i++)
    operands->weight[i] = round_e4m3 (operands->weight[i], scale);
}

static Operands
take_operands (const DloralOp * op, const double *const *src)
{
  Operands operands = {
    g_memdup2 (src[0], length (op->src[0]) * sizeof **src),
    fill (op->weight, dloral_weight_get_length (op->weight)),
    fill (op->bias, op->weight->o)
  };

  if (op->input_max > 0)
    quantise (op, &operands);
  return operands;
}

static void
clear_operands (Operands * operands)
{
  g_free (operands->x);
  g_free (operands->weight);
  g_free (operands->bias);
}

/* Of the source, or of the source enlarged. */
static double
conv_sum (const DloralOp * op, const double *src, const float *weight, int y,
    int x, int o)
{
  const DloralWeight *w = op->weight;
  const DloralTensor *s = op->src[0];
  int scale = op->u.conv.enlarge ? 2 : 1;
  double sum = 0;

  for (int ky = 0; ky < w->kh; ky++)
    for (int kx = 0; kx < w->kw; kx++) {
      int sy = y * op->u.conv.stride + ky - op->u.conv.pad_top;
      int sx = x * op->u.conv.stride + kx - op->u.conv.pad_left;

      if (sy < 0 || sy >= scale * s->h || sx < 0 || sx >= scale * s->w)
        continue;
      for (int i = 0; i < w->i; i++)
        sum += src[at (s, sy / scale, sx / scale, i)]
            * weight[((o * w->i + i) * w->kh + ky) * w->kw + kx];
    }
  return sum;
}

static void
conv (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;
  Operands o = take_operands (op, src);

  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++)
      for (int c = 0; c < d->c; c++) {
        double sum = conv_sum (op, o.x, o.weight, y, x, c) + o.bias[c];

        if (op->n_src == 2)
          sum += src[1][at (d, y, x, c)];
        dst[at (d, y, x, c)] = activate (sum, op->u.conv.act);
      }
  clear_operands (&o);
}

static double
dot (const float *weight, const double *x, int n)
{
  double sum = 0;

  for (int i = 0; i < n; i++)
    sum += weight[i] * x[i];
  return sum;
}

static void
linear (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;
  int n = op->weight->i;
  Operands o = take_operands (op, src);

  for (gsize p = 0; p < (gsize) d->h * d->w; p++)
    for (int c = 0; c < d->c; c++) {
      const double *x = o.x + p * n;
      double y = dot (o.weight + c * n, x, n) + o.bias[c];

      if (op->u.linear.geglu)
        y *= activate (dot (o.weight + (c + d->c) * n, x, n)
            + o.bias[c + d->c], DLORAL_ACT_GELU);
      else
        y = activate (y, op->u.linear.act);
      dst[p * d->c + c] = y + (op->n_src == 2 ? src[1][p * d->c + c] : 0);
    }
  clear_operands (&o);
}

/* The first key that query i sees. */
static gsize
get_group_start (const DloralOp * op, gsize i)
{
  int rows = op->u.attention.rows;

  return rows ? i / rows * rows : 0;
}

/* The row of the bias, [kinds · heads · rows], for query i. */
static gsize
get_bias_row (const DloralOp * op, gsize i, int head)
{
  int rows = op->u.attention.rows, across = op->u.attention.across;
  int group = i / rows, n = op->dst->h * op->dst->w / rows, kind = 0;

  if (op->u.attention.kinds == 4 && (group + 1) % across == 0)
    kind += 1;
  if (op->u.attention.kinds == 4 && group + across >= n)
    kind += 2;
  return ((gsize) kind * op->u.attention.heads + head) * rows + i % rows;
}

/* One query row of one head. Score buffer [keys]. */
static void
attend (const DloralOp * op, const double *const *src, double *dst, gsize i,
    int head, const float *bias, double *score)
{
  const DloralTensor *k = op->src[1], *v = op->src[2];
  gsize start = get_group_start (op, i);
  gsize end = op->u.attention.causal ? i + 1 : op->u.attention.rows ?
      start + op->u.attention.rows : (gsize) k->h * k->w;
  int d = op->u.attention.head_dim;
  const int *first = op->u.attention.first;
  const double *q = src[0] + i * op->src[0]->c + first[0] + head * d;
  double max = -INFINITY, sum = 0;

  for (gsize j = start; j < end; j++) {
    score[j] = 0;
    for (int e = 0; e < d; e++)
      score[j] += q[e] * src[1][j * k->c + first[1] + head * d + e];
    score[j] *= op->u.attention.scale;
    if (bias)
      score[j] += bias[get_bias_row (op, i, head) * op->u.attention.rows
          + j - start];
    max = MAX (max, score[j]);
  }
  for (gsize j = start; j < end; j++)
    sum += score[j] = exp (score[j] - max);
  for (int e = 0; e < d; e++) {
    double out = 0;

    for (gsize j = start; j < end; j++)
      out += score[j] / sum * src[2][j * v->c + first[2] + head * d + e];
    dst[i * op->dst->c + head * d + e] = out;
  }
}

static void
attention (const DloralOp * op, const double *const *src, double *dst)
{
  double *score = g_new (double, (gsize) op->src[1]->h * op->src[1]->w);
  float *bias = NULL;

  if (op->weight) {
    bias = g_new (float, dloral_weight_get_length (op->weight));
    op->weight->fill (op->weight, bias);
  }
  for (gsize i = 0; i < (gsize) op->dst->h * op->dst->w; i++)
    for (int head = 0; head < op->u.attention.heads; head++)
      attend (op, src, dst, i, head, bias, score);
  g_free (bias);
  g_free (score);
}

/* --- norms ---------------------------------------------------------------- */

static void
concat (const DloralOp * op, const double *const *src, double *dst)
{
  int first = 0;

  for (int i = 0; i < op->n_src; first += op->src[i]->c, i++)
    for (gsize p = 0; p < (gsize) op->dst->h * op->dst->w; p++)
      for (int c = 0; c < op->src[i]->c; c++)
        dst[p * op->dst->c + first + c] = src[i][p * op->src[i]->c + c];
}

/* Normalises pixels × n values that are `step` apart from pixel to pixel. */
static void
normalise (double *x, gsize pixels, int n, int step, double eps,
    const float *gamma, const float *beta)
{
  double mean = 0, variance = 0, count = (double) pixels * n;

  for (gsize p = 0; p < pixels; p++)
    for (int c = 0; c < n; c++)
      mean += x[p * step + c] / count;
  for (gsize p = 0; p < pixels; p++)
    for (int c = 0; c < n; c++)
      variance += pow (x[p * step + c] - mean, 2) / count;
  for (gsize p = 0; p < pixels; p++)
    for (int c = 0; c < n; c++)
      x[p * step + c] = (x[p * step + c] - mean) / sqrt (variance + eps)
          * gamma[c] + beta[c];
}

static void
group_norm (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;
  int size = d->c / op->u.group_norm.groups;
  float *gamma = fill (op->weight, d->c), *beta = fill (op->bias, d->c);

  concat (op, src, dst);
  for (int c = 0; c < d->c; c += size)
    normalise (dst + c, (gsize) d->h * d->w, size, d->c, op->u.group_norm.eps,
        gamma + c, beta + c);
  for (gsize i = 0; i < length (d); i++)
    dst[i] = activate (dst[i], op->u.group_norm.act);
  g_free (gamma);
  g_free (beta);
}

static void
layer_norm (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;
  float *gamma = fill (op->weight, d->c), *beta = fill (op->bias, d->c);

  memcpy (dst, src[0], length (d) * sizeof *dst);
  for (gsize p = 0; p < (gsize) d->h * d->w; p++)
    normalise (dst + p * d->c, 1, d->c, d->c, op->u.layer_norm.eps, gamma,
        beta);
  g_free (gamma);
  g_free (beta);
}

/* --- sizes ---------------------------------------------------------------- */

/* Source coordinate of output i. */
static double
resize_position (int i, int n_in, int n_out, DloralResizeMode mode)
{
  if (mode == DLORAL_RESIZE_NEAREST)
    return i * n_in / n_out;
  if (mode == DLORAL_RESIZE_BILINEAR)
    return MAX ((i + 0.5) * n_in / n_out - 0.5, 0);
  return n_out == 1 ? 0 : (double) i * (n_in - 1) / (n_out - 1);
}

/* src at (x, y), bilinear; `border`: coordinates outside are those of the edge,
 * else there is zero. */
static double
sample (const DloralTensor * t, const double *src, double x, double y, int c,
    gboolean border)
{
  double sum = 0;

  if (border) {
    x = CLAMP (x, 0, t->w - 1);
    y = CLAMP (y, 0, t->h - 1);
  }
  for (int i = 0; i < 4; i++) {
    double xi = floor (x) + (i & 1), yi = floor (y) + (i >> 1);

    if (xi >= 0 && xi < t->w && yi >= 0 && yi < t->h)
      sum += (1 - fabs (x - xi)) * (1 - fabs (y - yi))
          * src[at (t, yi, xi, c)];
  }
  return sum;
}

static void
resize (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *s = op->src[0], *d = op->dst;
  DloralResizeMode mode = op->u.resize.mode;

  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++)
      for (int c = 0; c < d->c; c++) {
        double value = sample (s, src[0],
            resize_position (x, s->w, d->w, mode),
            resize_position (y, s->h, d->h, mode), c, TRUE);

        if (mode != DLORAL_RESIZE_NEAREST)
          value = value * op->u.resize.gain[c % 4]
              + op->u.resize.offset[c % 4];
        dst[at (d, y, x, c)] = value;
      }
}

static void
pool (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *s = op->src[0], *d = op->dst;

  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++)
      for (int c = 0; c < d->c; c++)
        dst[at (d, y, x, c)] = (src[0][at (s, 2 * y, 2 * x, c)]
            + src[0][at (s, 2 * y, 2 * x + 1, c)]
            + src[0][at (s, 2 * y + 1, 2 * x, c)]
            + src[0][at (s, 2 * y + 1, 2 * x + 1, c)]) / 4;
}

static void
warp (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;

  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++)
      for (int c = 0; c < d->c; c++) {
        const double *flow = src[1] + ((gsize) y * d->w + x) * 2;

        dst[at (d, y, x, c)] = sample (op->src[0], src[0], x + flow[0],
            y + flow[1], c, op->u.warp.border);
      }
}

/* --- parts ---------------------------------------------------------------- */

static void
crop (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;

  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++)
      for (int c = 0; c < d->c; c++)
        dst[at (d, y, x, c)] = src[0][at (op->src[0], y + op->u.crop.y,
                x + op->u.crop.x, c)];
}

static void
paste (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst, *s = op->src[0];
  float *weights = g_new (float, (gsize) s->h * s->w);

  if (op->weight)
    op->weight->fill (op->weight, weights);
  for (gsize i = 0; i < length (d); i++)
    dst[i] = op->n_src > 1 ? src[1][i] : 0;
  for (int y = 0; y < s->h; y++)
    for (int x = 0; x < s->w; x++)
      for (int c = 0; c < d->c; c++) {
        double *to = &dst[at (d, y + op->u.paste.y, x + op->u.paste.x, c)];
        double value = src[0][at (s, y, x, c)];

        *to = op->weight ? *to + weights[y * s->w + x] * value : value;
      }
  g_free (weights);
}

static void
gather (const DloralOp * op, const double *const *src, double *dst)
{
  int n = op->weight->o, c = op->src[0]->c;
  float *rows = g_new (float, n);

  op->weight->fill (op->weight, rows);
  for (int j = 0; j < n; j++)
    for (int k = 0; k < c; k++)
      dst[(gsize) j * c + k] = src[0][(gsize) rows[j] * c + k];
  g_free (rows);
}

/* --- retrieval ------------------------------------------------------------ */

/* x̃ᵀ · weight · ỹ of one pair; x and y have c elements. */
static double
retrieval_score (const float *weight, const double *x, const double *y, int c)
{
  double sum = 0;

  for (int a = 0; a <= c; a++)
    for (int b = 0; b <= c; b++)
      sum += (a < c ? x[a] : 1) * weight[a * (c + 1) + b] * (b < c ? y[b] : 1);
  return sum;
}

/* Adds one position's part to dst [c]. */
static void
retrieve_pair (const DloralOp * op, const float *weight, const float *value,
    const double *x, const double *y, double *dst)
{
  int c = op->dst->c;

  for (int head = 0; head < op->u.retrieval.heads; head++) {
    double score = retrieval_score (weight + head * (c + 1) * (c + 1), x, y,
        c);
    const float *v = value + head * c * (c + 1);

    for (int o = 0; score > 0 && o < c; o++)
      dst[o] += score * (dot (v + o * (c + 1), y, c) + v[o * (c + 1) + c]);
  }
}

static void
retrieval (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;
  int reach = op->u.retrieval.window > 0 ? op->u.retrieval.window / 2
      : MAX (d->h, d->w);
  float *weight = fill (op->weight, dloral_weight_get_length (op->weight));
  float *value = fill (op->u.retrieval.value,
      dloral_weight_get_length (op->u.retrieval.value));
  float *bias = fill (op->bias, d->c);

  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++) {
      gsize i = at (d, y, x, 0);

      for (int c = 0; c < d->c; c++)
        dst[i + c] = src[0][i + c] + bias[c];
      for (int yj = MAX (y - reach, 0); yj <= MIN (y + reach, d->h - 1); yj++)
        for (int xj = MAX (x - reach, 0); xj <= MIN (x + reach, d->w - 1);
            xj++)
          retrieve_pair (op, weight, value, src[0] + i,
              src[1] + at (d, yj, xj, 0), dst + i);
    }
  g_free (weight);
  g_free (value);
  g_free (bias);
}

/* --- pictures ------------------------------------------------------------- */

/* White. */
static double
get_max (const DloralTensor * picture)
{
  return picture->dtype == DLORAL_U16 ? 65535 : 255;
}

/* Keys' cubic with parameter a. */
static double
cubic (double x, double a)
{
  x = fabs (x);
  if (x < 1)
    return (a + 2) * x * x * x - (a + 3) * x * x + 1;
  return x < 2 ? a * (x * x * x - 5 * x * x + 8 * x - 4) : 0;
}

/* Output i of a line of n values, `step` apart, Pillow's way: weights outside
 * the line do not count, the rest are divided by their sum and rounded to 22
 * bits; the result is rounded to a level. */
static double
upsample_value (const double *line, int n, int step, int i, int scale,
    double max)
{
  double center = (i + 0.5) / scale, sum = 0, total = 0;

  for (int j = 0; j < n; j++)
    total += cubic (j + 0.5 - center, -0.5);
  for (int j = 0; j < n; j++)
    sum += line[(gsize) j * step]
        * round (cubic (j + 0.5 - center, -0.5) / total * (1 << 22));
  return CLAMP (floor (sum / (1 << 22) + 0.5), 0, max);
}

static void
upsample (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *s = op->src[0], *d = op->dst;
  int scale = op->u.upsample.scale, w = s->w * scale, h = s->h * scale;
  double *wide = g_new (double, (gsize) s->h * w * 3);

  for (int y = 0; y < s->h; y++)
    for (int x = 0; x < w; x++)
      for (int c = 0; c < 3; c++)
        wide[((gsize) y * w + x) * 3 + c] =
            upsample_value (src[0] + at (s, y, 0, c), s->w, 3, x, scale,
            get_max (s));
  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++)
      for (int c = 0; c < 3; c++)
        dst[at (d, y, x, c)] = upsample_value (wide + MIN (x, w - 1) * 3 + c,
            s->h, w * 3, MIN (y, h - 1), scale, get_max (d));
  g_free (wide);
}

static double
shrink_value (const DloralTensor * t, const double *src, double y, double x,
    int c)
{
  double sum = 0;

  for (int j = -1; j <= 2; j++)
    for (int i = -1; i <= 2; i++) {
      int sy = floor (y) + j, sx = floor (x) + i;

      sum += cubic (y - sy, -0.75) * cubic (x - sx, -0.75)
          * src[at (t, CLAMP (sy, 0, t->h - 1), CLAMP (sx, 0, t->w - 1), c)];
    }
  return 2 * sum / get_max (t) - 1;
}

static void
shrink (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;
  double factor = op->u.shrink.factor;

  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++)
      for (int c = 0; c < 3; c++)
        dst[at (d, y, x, c)] = shrink_value (op->src[0], src[0],
            (y + 0.5) * factor - 0.5, (x + 0.5) * factor - 0.5, c);
}

/* --- video ---------------------------------------------------------------- */

static double
clamp_level (double level, double max)
{
  return floor (CLAMP (level, 0, max) + 0.5);
}

static double
get_sample (const DloralVideoFormat * f, const double *frame, int component,
    int y, int x)
{
  const DloralVideoComponent *c = &f->components[component];
  const double *p = frame + c->offset + (gsize) y * c->stride + x * c->step;

  return f->depth > 8 ? fmod (floor ((p[0] + 256 * p[1]) / (1 << f->shift)),
      1 << f->depth) : p[0];
}

static void
set_sample (const DloralVideoFormat * f, double *frame, int component, int y,
    int x, double value)
{
  const DloralVideoComponent *c = &f->components[component];
  double *p = frame + c->offset + (gsize) y * c->stride + x * c->step;

  value *= 1 << f->shift;
  p[0] = f->depth > 8 ? fmod (value, 256) : value;
  if (f->depth > 8)
    p[1] = floor (value / 256);
}

/* Chroma where the luma sample at y, x lies, linear between samples. */
static double
get_chroma (const DloralVideoFormat * f, const double *frame, int component,
    int y, int x)
{
  double cy = f->h_sub ? (f->v_cosited ? y / 2. : (y - 0.5) / 2) : y;
  double cx = f->w_sub ? (f->h_cosited ? x / 2. : (x - 0.5) / 2) : x;
  int h = f->h_sub ? (f->height + 1) / 2 : f->height;
  int w = f->w_sub ? (f->width + 1) / 2 : f->width;
  double value = 0;

  for (int j = 0; j < 2; j++)
    for (int i = 0; i < 2; i++) {
      double yi = floor (cy) + j, xi = floor (cx) + i;

      value += (1 - fabs (cy - yi)) * (1 - fabs (cx - xi)) * get_sample (f,
          frame, component, CLAMP (yi, 0, h - 1), CLAMP (xi, 0, w - 1));
    }
  return value;
}

/* Levels of luma and of chroma from nothing to full. */
static double
get_range (const DloralVideoFormat * f, gboolean chroma)
{
  return f->limited ? (chroma ? 224 : 219) * pow (2, f->depth - 8) :
      pow (2, f->depth) - 1;
}

static double
get_black (const DloralVideoFormat * f)
{
  return f->limited ? 16 * pow (2, f->depth - 8) : 0;
}

static void
unpack_pixel (const DloralVideoFormat * f, const double *frame, int y, int x,
    double *rgb)
{
  double middle = 128 * pow (2, f->depth - 8), kg = 1 - f->kr - f->kb;
  double luma = (get_sample (f, frame, 0, y, x) - get_black (f))
      / get_range (f, FALSE), cb = 0, cr = 0;

  if (f->kind == DLORAL_VIDEO_YUV) {
    cb = (get_chroma (f, frame, 1, y, x) - middle) / get_range (f, TRUE);
    cr = (get_chroma (f, frame, 2, y, x) - middle) / get_range (f, TRUE);
  }
  rgb[0] = luma + 2 * (1 - f->kr) * cr;
  rgb[2] = luma + 2 * (1 - f->kb) * cb;
  rgb[1] = (luma - f->kr * rgb[0] - f->kb * rgb[2]) / kg;
}

static void
unpack (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralVideoFormat *f = &op->u.video.format;
  double max = get_max (op->dst);

  for (int y = 0; y < f->height; y++)
    for (int x = 0; x < f->width; x++) {
      double rgb[3];

      if (f->kind == DLORAL_VIDEO_RGB)
        for (int c = 0; c < 3; c++)
          rgb[c] = (get_sample (f, src[0], c, y, x) - get_black (f))
              / get_range (f, FALSE);
      else
        unpack_pixel (f, src[0], y, x, rgb);
      for (int c = 0; c < 3; c++)
        dst[at (op->dst, y, x, c)] = clamp_level (max * rgb[c], max);
    }
}

/* Luma, and chroma from -0.5 to 0.5, of a pixel; the nearest that there is. */
static void
get_yuv (const DloralOp * op, const double *src, int y, int x, double *yuv)
{
  const DloralVideoFormat *f = &op->u.video.format;
  const double *rgb = src + at (op->src[0], CLAMP (y, 0, f->height - 1),
      CLAMP (x, 0, f->width - 1), 0);
  double max = get_max (op->src[0]);

  yuv[0] = (f->kr * rgb[0] + (1 - f->kr - f->kb) * rgb[1] + f->kb * rgb[2])
      / max;
  yuv[1] = (rgb[2] / max - yuv[0]) / (2 - 2 * f->kb);
  yuv[2] = (rgb[0] / max - yuv[0]) / (2 - 2 * f->kr);
}

/* How much the pixel `away` from the first that a sample covers counts. */
static double
get_share (int away, int sub, gboolean cosited)
{
  if (!sub)
    return away == 0;
  if (cosited)
    return away == 0 ? 0.5 : 0.25;
  return away < 0 ? 0 : 0.5;
}

static void
pack_chroma (const DloralOp * op, const double *src, double *dst, int cy,
    int cx)
{
  const DloralVideoFormat *f = &op->u.video.format;
  double sum[3] = { 0 }, yuv[3];

  for (int j = -1; j <= 1; j++)
    for (int i = -1; i <= 1; i++) {
      get_yuv (op, src, (cy << f->h_sub) + j, (cx << f->w_sub) + i, yuv);
      for (int c = 1; c < 3; c++)
        sum[c] += get_share (j, f->h_sub, f->v_cosited)
            * get_share (i, f->w_sub, f->h_cosited) * yuv[c];
    }
  for (int c = 1; c < 3; c++)
    set_sample (f, dst, c, cy, cx, clamp_level (128 * pow (2, f->depth - 8)
            + get_range (f, TRUE) * sum[c], pow (2, f->depth) - 1));
}

static void
pack_yuv (const DloralOp * op, const double *src, double *dst)
{
  const DloralVideoFormat *f = &op->u.video.format;
  double yuv[3];

  for (int y = 0; y < f->height; y++)
    for (int x = 0; x < f->width; x++) {
      get_yuv (op, src, y, x, yuv);
      set_sample (f, dst, 0, y, x, clamp_level (get_black (f)
              + get_range (f, FALSE) * yuv[0], pow (2, f->depth) - 1));
      if (f->kind == DLORAL_VIDEO_YUV && y % (1 + f->h_sub) == 0
          && x % (1 + f->w_sub) == 0)
        pack_chroma (op, src, dst, y >> f->h_sub, x >> f->w_sub);
    }
}

/* Bytes that belong to no sample may be anything: NAN. */
static void
pack (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralVideoFormat *f = &op->u.video.format;

  for (gsize i = 0; i < length (op->dst); i++)
    dst[i] = NAN;
  if (f->kind != DLORAL_VIDEO_RGB) {
    pack_yuv (op, src[0], dst);
    return;
  }
  for (int y = 0; y < f->height; y++)
    for (int x = 0; x < f->width; x++) {
      for (int c = 0; c < 3; c++)
        set_sample (f, dst, c, y, x, clamp_level (get_black (f)
                + get_range (f, FALSE) * src[0][at (op->src[0], y, x, c)]
                / get_max (op->src[0]), pow (2, f->depth) - 1));
      for (int i = 0; f->opaque >= 0 && i < f->depth / 8; i++)
        dst[f->opaque + y * f->components[0].stride
            + x * f->components[0].step + i] = 255;
    }
}

/* -------------------------------------------------------------------------- */

/* Where a picture's sample is in a tensor of patches. */
static gsize
patch_index (const DloralTensor * t, int patch, int y, int x, int c)
{
  return at (t, y / patch, x / patch, ((y % patch) * patch + x % patch) * 3
      + c);
}

static void
from_picture (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *s = op->src[0];

  for (int y = 0; y < s->h; y++)
    for (int x = 0; x < s->w; x++)
      for (int c = 0; c < 3; c++)
        dst[patch_index (op->dst, op->u.from_picture.patch, y, x, c)] =
            2 * src[0][at (s, y, x, c)] / get_max (s) - 1;
}

/* Mean and deviation of the visible part of one channel, on [0, 1]. */
static void
channel_statistics (const DloralOp * op, const double *picture, int c,
    double *mean, double *deviation)
{
  int h = op->u.to_picture.height, w = op->u.to_picture.width;
  double n = (double) h * w, square = 0;

  *mean = 0;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++)
      *mean += picture[at (op->dst, y, x, c)] / n;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++)
      square += pow (picture[at (op->dst, y, x, c)] - *mean, 2);
  *deviation = sqrt ((n > 1 ? square / (n - 1) : 0) + 1e-5);
}

static void
adain (const DloralOp * op, double *x, const double *lq)
{
  for (int c = 0; c < 3; c++) {
    double mean, deviation, lq_mean, lq_deviation;

    channel_statistics (op, x, c, &mean, &deviation);
    channel_statistics (op, lq, c, &lq_mean, &lq_deviation);
    for (gsize p = 0; p < length (op->dst) / 3; p++)
      x[3 * p + c] = (x[3 * p + c] - mean) / deviation * lq_deviation
          + lq_mean;
  }
}

/* The binomial kernel at one place of the visible part, edges repeated. */
static double
blur_value (const DloralOp * op, const double *x, int y0, int x0, int c,
    int dilation)
{
  static const double kernel[3] = { 0.25, 0.5, 0.25 };
  double sum = 0;

  for (int j = 0; j < 3; j++)
    for (int i = 0; i < 3; i++) {
      int yi = y0 + (j - 1) * dilation, xi = x0 + (i - 1) * dilation;

      sum += kernel[j] * kernel[i] * x[at (op->dst,
              CLAMP (yi, 0, op->u.to_picture.height - 1),
              CLAMP (xi, 0, op->u.to_picture.width - 1), c)];
    }
  return sum;
}

/* Replaces x by its low frequencies and adds the high ones to `high`, unless
 * that is NULL. */
static void
split_frequencies (const DloralOp * op, double *x, double *high)
{
  double *low = g_new (double, length (op->dst));

  for (int dilation = 1; dilation <= 16; dilation *= 2) {
    memcpy (low, x, length (op->dst) * sizeof *low);
    for (int y = 0; y < op->u.to_picture.height; y++)
      for (int col = 0; col < op->u.to_picture.width; col++)
        for (int c = 0; c < 3; c++)
          low[at (op->dst, y, col, c)] = blur_value (op, x, y, col, c,
              dilation);
    for (gsize i = 0; high && i < length (op->dst); i++)
      high[i] += x[i] - low[i];
    memcpy (x, low, length (op->dst) * sizeof *low);
  }
  g_free (low);
}

static void
wavelet (const DloralOp * op, double *x, double *lq)
{
  gsize n = length (op->dst);
  double *high = g_new0 (double, n);

  split_frequencies (op, x, high);
  split_frequencies (op, lq, NULL);
  for (gsize i = 0; i < n; i++)
    x[i] = high[i] + lq[i];
  g_free (high);
}

/* x and lq on [0, 1]. Without a correction values are rounded to levels; with
 * one they are truncated, corrected and rounded. */
static void
correct (const DloralOp * op, double *x, double *lq)
{
  double max = get_max (op->dst);

  if (op->u.to_picture.color_fix == DLORAL_COLOR_FIX_NONE)
    return;
  for (gsize i = 0; i < length (op->dst); i++)
    x[i] = floor (x[i] * max) / max;
  if (op->u.to_picture.color_fix == DLORAL_COLOR_FIX_ADAIN)
    adain (op, x, lq);
  else
    wavelet (op, x, lq);
}

static void
to_picture (const DloralOp * op, const double *const *src, double *dst)
{
  const DloralTensor *d = op->dst;
  double *lq = g_new (double, length (d)), max = get_max (d), half = max / 2;

  for (int y = 0; y < d->h; y++)
    for (int x = 0; x < d->w; x++)
      for (int c = 0; c < 3; c++) {
        gsize i = at (d, y, x, c);
        double value = src[0][patch_index (op->src[0],
                op->u.to_picture.patch, y, x, c)];

        if (op->u.to_picture.lq_residual)
          value += src[1][i] / half - 1;
        /* In the order that keeps whole levels whole. */
        dst[i] = CLAMP (value * half + half, 0, max) / max;
        lq[i] = src[1][i] / max;
      }
  correct (op, dst, lq);
  for (gsize i = 0; i < length (d); i++)
    dst[i] = floor (CLAMP (dst[i], 0, 1) * max + 0.5);
  g_free (lq);
}

static void
abs_max (const DloralOp * op, const double *const *src, double *dst)
{
  *dst = 0;
  for (gsize i = 0; i < length (op->src[0]); i++)
    *dst = MAX (*dst, fabs (src[0][i]));
}

/* -------------------------------------------------------------------------- */

static const Reference references[DLORAL_N_OPS] = {
  [DLORAL_OP_CONV] = conv,
  [DLORAL_OP_LINEAR] = linear,
  [DLORAL_OP_GROUP_NORM] = group_norm,
  [DLORAL_OP_LAYER_NORM] = layer_norm,
  [DLORAL_OP_ATTENTION] = attention,
  [DLORAL_OP_RESIZE] = resize,
  [DLORAL_OP_POOL] = pool,
  [DLORAL_OP_WARP] = warp,
  [DLORAL_OP_CONCAT] = concat,
  [DLORAL_OP_CROP] = crop,
  [DLORAL_OP_PASTE] = paste,
  [DLORAL_OP_GATHER] = gather,
  [DLORAL_OP_RETRIEVAL] = retrieval,
  [DLORAL_OP_UNPACK] = unpack,
  [DLORAL_OP_PACK] = pack,
  [DLORAL_OP_UPSAMPLE] = upsample,
  [DLORAL_OP_SHRINK] = shrink,
  [DLORAL_OP_FROM_PICTURE] = from_picture,
  [DLORAL_OP_TO_PICTURE] = to_picture,
  [DLORAL_OP_ABS_MAX] = abs_max,
};

double *
dloral_reference_run (const DloralOp * op, const double *const *src)
{
  double *dst = g_new (double, length (op->dst));

  references[op->kind] (op, src, dst);
  return dst;
}
