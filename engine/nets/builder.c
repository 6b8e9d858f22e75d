/* Weights by name and the layers all networks share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "builder.h"

#include "engine/fp8.h"

#include <math.h>
#include <string.h>

DloralBuilder *
dloral_builder_new (DloralGraph *g, const DloralSafetensors *file,
    const DloralConfig *config)
{
  DloralBuilder *b = g_new0 (DloralBuilder, 1);

  b->g = g;
  b->file = file;
  b->config = config;
  for (int a = 0; a < DLORAL_N_ADAPTERS; a++)
    b->strengths[a] = 1;
  b->cross_prefixes = g_ptr_array_new_with_free_func (g_free);
  b->cross_kv = g_ptr_array_new ();
  return b;
}

gboolean
dloral_builder_finish (DloralBuilder *b, GError **error)
{
  gboolean ok = b->error == NULL;

  if (!ok)
    g_propagate_error (error, b->error);
  g_ptr_array_unref (b->cross_prefixes);
  g_ptr_array_unref (b->cross_kv);
  g_free (b->temb);
  g_free (b);
  return ok;
}

DloralGraph *
dloral_builder_finish_graph (DloralBuilder *b, GError **error)
{
  DloralGraph *g = b->g;

  if (!dloral_builder_finish (b, error)) {
    dloral_graph_free (g);
    return NULL;
  }
  dloral_graph_plan (g);
  return g;
}

/* --- Weights ------------------------------------------------------------- */

/* Where a weight's values lie in the file: input channels from `first` of up to
 * three layers, on top of each other. */
typedef struct
{
  DloralLayer layers[3];
  int n_layers, first;
} FileSource;

static void
fill_from_file (const DloralWeight *w, float *dst)
{
  const FileSource *s = w->data;

  for (int l = 0; l < s->n_layers; l++) {
    dloral_layer_read (&s->layers[l], s->first, w->i, dst);
    dst += dloral_weight_get_length (w) / s->n_layers;
  }
}

static void
fill_constant (const DloralWeight *w, float *dst)
{
  memcpy (dst, w->data, dloral_weight_get_length (w) * sizeof *dst);
}

static gboolean
find_layer (DloralBuilder *b, DloralLayer *layer, const char *name, int o,
    int i, int kh, int kw)
{
  if (b->error || !dloral_check_cancelled (b->g->cancelled, &b->error) ||
      !dloral_layer_find (layer, b->file, name, o, i, kh, kw, &b->error))
    return FALSE;
  for (int a = 0; a < DLORAL_N_ADAPTERS; a++)
    layer->adapters[a].strength = b->strengths[a];
  return TRUE;
}

/* Names what a layer's weight holds: equal keys, equal values. */
static void
append_key (GString *key, const char *name, const DloralLayer *layer)
{
  g_string_append (key, name);
  for (int a = 0; a < DLORAL_N_ADAPTERS; a++)
    if (layer->adapters[a].rank > 0)
      g_string_append_printf (key, "@%.9g", layer->adapters[a].strength);
}

const DloralWeight *
dloral_builder_weight_slice (DloralBuilder *b, const char *name, int o, int i,
    int kh, int kw, int first, int n)
{
  FileSource *s = g_new0 (FileSource, 1);
  GString *key;

  if (!find_layer (b, &s->layers[0], name, o, i, kh, kw)) {
    g_free (s);
    return NULL;
  }
  s->n_layers = 1;
  s->first = first;
  key = g_string_new (b->space);
  append_key (key, name, &s->layers[0]);
  if (n != i)
    g_string_append_printf (key, "[%d:%d]", first, first + n);
  return dloral_graph_weight (b->g, (DloralWeight) {
      .key = g_string_free (key, FALSE),
      .o = o, .i = n, .kh = kh, .kw = kw,
      .fill = fill_from_file, .data = s, .destroy = g_free,
      .name = n == i ? g_strdup (name) :
          g_strdup_printf ("%s[%d:%d]", name, first, first + n) });
}

const DloralWeight *
dloral_builder_weight (DloralBuilder *b, const char *name, int o, int i,
    int kh, int kw)
{
  return dloral_builder_weight_slice (b, name, o, i, kh, kw, 0, i);
}

const DloralWeight *
dloral_builder_weight_stack (DloralBuilder *b, const char *const *names,
    int n_names, int o, int i)
{
  FileSource *s = g_new0 (FileSource, 1);
  GString *key = g_string_new (b->space);

  for (int n = 0; n < n_names; n++) {
    find_layer (b, &s->layers[n], names[n], o, i, 1, 1);
    g_string_append (key, n ? "+" : "");
    append_key (key, names[n], &s->layers[n]);
  }
  if (b->error) {
    g_string_free (key, TRUE);
    g_free (s);
    return NULL;
  }
  s->n_layers = n_names;
  return dloral_graph_weight (b->g, (DloralWeight) {
      .key = g_string_free (key, FALSE),
      .o = n_names * o, .i = i, .kh = 1, .kw = 1,
      .fill = fill_from_file, .data = s, .destroy = g_free,
      .name = g_strdup (names[0]) });
}

const DloralWeight *
dloral_builder_constant (DloralBuilder *b, const char *key, int o, int i,
    int kh, int kw, float *values)
{
  if (values == NULL)
    return NULL;
  return dloral_graph_weight (b->g, (DloralWeight) {
      .key = g_strconcat (b->space ? b->space : "", key, NULL), .o = o, .i = i, .kh = kh, .kw = kw,
      .fill = fill_constant, .data = values, .destroy = g_free });
}

float *
dloral_builder_read (DloralBuilder *b, const char *name, int o, int i, int kh,
    int kw)
{
  DloralLayer layer;
  float *values;

  if (!find_layer (b, &layer, name, o, i, kh, kw))
    return NULL;
  values = g_new (float, (gsize) o * i * kh * kw);
  dloral_layer_read (&layer, 0, i, values);
  return values;
}

gboolean
dloral_builder_has (DloralBuilder *b, const char *name)
{
  return dloral_safetensors_find (b->file, name) != NULL;
}

/* --- Layers --------------------------------------------------------------- */

void
dloral_append_product (DloralBuilder *b, const DloralOp *op)
{
  g_autofree char *name = dloral_fp8_get_name (op);
  DloralOp product = *op;

  product.input = name;
  if (name && b->fp8 && b->error == NULL)
    product.input_max = dloral_fp8_read (b->file, name, &b->error);
  dloral_graph_append (b->g, &product);
}

DloralTensor *
dloral_conv_weights (DloralBuilder *b, const char *scope, DloralTensor *x,
    const DloralWeight *weight, const DloralWeight *bias,
    const DloralConvParams *params)
{
  int stride = params->stride ? params->stride : 1;
  int kernel = params->kernel ? params->kernel : 3;
  int pad = params->pad_after_only ? 0 : kernel / 2;
  int round_up = params->pad_after_only ? 0 : stride - 1;
  int scale = params->enlarge ? 2 : 1;
  DloralTensor *y = params->dst;

  if (y == NULL)
    y = dloral_graph_tensor (b->g, (x->h * scale + round_up) / stride,
        (x->w * scale + round_up) / stride, weight ? weight->o : 1,
        params->dtype ? params->dtype : b->g->act_dtype);
  dloral_append_product (b, &(DloralOp) {
      .kind = DLORAL_OP_CONV, .scope = scope,
      .n_src = params->residual ? 2 : 1, .src = { x, params->residual },
      .dst = y, .weight = weight, .bias = bias,
      .u.conv = { stride, pad, pad, params->act, params->enlarge } });
  return y;
}

DloralTensor *
dloral_conv_params (DloralBuilder *b, const char *prefix, DloralTensor *x,
    int c, const DloralConvParams *params)
{
  int kernel = params->kernel ? params->kernel : 3;
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".bias", NULL);

  return dloral_conv_weights (b, prefix, x,
      dloral_builder_weight (b, weight, c, x->c, kernel, kernel),
      params->bias ? params->bias :
      dloral_builder_weight (b, bias, c, 1, 1, 1), params);
}

DloralTensor *
dloral_linear (DloralBuilder *b, const char *scope, DloralTensor *x,
    const DloralWeight *weight, const DloralWeight *bias,
    DloralTensor *residual)
{
  DloralTensor *y = dloral_graph_tensor (b->g, x->h, x->w,
      weight ? weight->o : 1, b->g->act_dtype);

  dloral_append_product (b, &(DloralOp) {
      .kind = DLORAL_OP_LINEAR, .scope = scope,
      .n_src = residual ? 2 : 1, .src = { x, residual }, .dst = y,
      .weight = weight, .bias = bias });
  return y;
}

DloralTensor *
dloral_linear_layer (DloralBuilder *b, const char *prefix, DloralTensor *x,
    int c, DloralAct act, DloralTensor *residual, DloralTensor *y)
{
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".bias", NULL);

  if (y == NULL)
    y = dloral_graph_tensor (b->g, x->h, x->w, c, b->g->act_dtype);
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_LINEAR, .scope = prefix,
      .n_src = residual ? 2 : 1, .src = { x, residual }, .dst = y,
      .weight = dloral_builder_weight (b, weight, c, x->c, 1, 1),
      .bias = dloral_builder_weight (b, bias, c, 1, 1, 1),
      .u.linear = { .act = act } });
  return y;
}

DloralTensor *
dloral_group_norm (DloralBuilder *b, const char *prefix, DloralTensor *x,
    DloralTensor *skip, int groups, float eps, DloralAct act)
{
  int c = x->c + (skip ? skip->c : 0);
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".bias", NULL);
  DloralTensor *y = dloral_graph_tensor (b->g, x->h, x->w, c, b->g->act_dtype);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_GROUP_NORM, .scope = prefix,
      .n_src = skip ? 2 : 1, .src = { x, skip }, .dst = y,
      .weight = dloral_builder_weight (b, weight, c, 1, 1, 1),
      .bias = dloral_builder_weight (b, bias, c, 1, 1, 1),
      .u.group_norm = { groups, eps, act } });
  return y;
}

DloralTensor *
dloral_layer_norm (DloralBuilder *b, const char *prefix, DloralTensor *x,
    float eps, DloralTensor *dst)
{
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".bias", NULL);

  if (dst == NULL)
    dst = dloral_graph_tensor (b->g, x->h, x->w, x->c, b->g->act_dtype);
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_LAYER_NORM, .scope = prefix, .n_src = 1, .src = { x },
      .dst = dst, .weight = dloral_builder_weight (b, weight, x->c, 1, 1, 1),
      .bias = dloral_builder_weight (b, bias, x->c, 1, 1, 1),
      .u.layer_norm = { eps } });
  return dst;
}

/* conv1's bias with the projected time embedding: the timestep is fixed, so
 * time_emb_proj (silu (emb)) is a constant of the layer. */
static const DloralWeight *
fold_time_embedding (DloralBuilder *b, const char *prefix, int c)
{
  g_autofree char *conv_bias = g_strconcat (prefix, ".conv1.bias", NULL);
  g_autofree char *weight =
      g_strconcat (prefix, ".time_emb_proj.weight", NULL);
  g_autofree char *bias = g_strconcat (prefix, ".time_emb_proj.bias", NULL);
  g_autofree char *key = g_strconcat (conv_bias, "+temb", NULL);
  float *sum = dloral_builder_read (b, conv_bias, c, 1, 1, 1);
  g_autofree float *pb = dloral_builder_read (b, bias, c, 1, 1, 1);
  g_autofree float *pw =
      dloral_builder_read (b, weight, c, b->temb_length, 1, 1);

  for (int o = 0; pw && o < c; o++) {
    double acc = pb[o];

    for (int i = 0; i < b->temb_length; i++)
      acc += (double) pw[(gsize) o * b->temb_length + i] * b->temb[i];
    sum[o] += acc;
  }
  return dloral_builder_constant (b, key, c, 1, 1, 1, sum);
}

/* The 1×1 convolution of x and skip side by side, as the sum of one of each:
 * the concatenation itself is never made. */
static DloralTensor *
shortcut (DloralBuilder *b, const char *prefix, DloralTensor *x,
    DloralTensor *skip, int c)
{
  int in = x->c + (skip ? skip->c : 0);
  g_autofree char *scope = g_strconcat (prefix, ".conv_shortcut", NULL);
  g_autofree char *weight = g_strconcat (scope, ".weight", NULL);
  g_autofree char *bias = g_strconcat (scope, ".bias", NULL);
  DloralTensor *y;

  if (in == c)
    return skip ? dloral_concat (b, b->g->act_dtype, x, skip, NULL) : x;
  y = dloral_conv_weights (b, scope, x,
      dloral_builder_weight_slice (b, weight, c, in, 1, 1, 0, x->c),
      dloral_builder_weight (b, bias, c, 1, 1, 1),
      &(DloralConvParams) { .kernel = 1 });
  if (skip)
    y = dloral_conv_weights (b, scope, skip,
        dloral_builder_weight_slice (b, weight, c, in, 1, 1, x->c, skip->c),
        NULL, &(DloralConvParams) { .kernel = 1, .residual = y });
  return y;
}

DloralTensor *
dloral_resnet (DloralBuilder *b, const char *prefix, DloralTensor *x,
    DloralTensor *skip, int c, int groups, float eps)
{
  g_autofree char *norm1 = g_strconcat (prefix, ".norm1", NULL);
  g_autofree char *conv1 = g_strconcat (prefix, ".conv1", NULL);
  g_autofree char *norm2 = g_strconcat (prefix, ".norm2", NULL);
  g_autofree char *conv2 = g_strconcat (prefix, ".conv2", NULL);
  DloralTensor *h, *residual;

  h = dloral_group_norm (b, norm1, x, skip, groups, eps, DLORAL_ACT_SILU);
  h = dloral_conv (b, conv1, h, c,
      .bias = b->temb ? fold_time_embedding (b, prefix, c) : NULL);
  h = dloral_group_norm (b, norm2, h, NULL, groups, eps, DLORAL_ACT_SILU);
  residual = shortcut (b, prefix, x, skip, c);
  return dloral_conv (b, conv2, h, c, .residual = residual);
}

DloralTensor *
dloral_attention (DloralBuilder *b, const char *scope, DloralTensor *q,
    DloralTensor *k, DloralTensor *v, const int *first, int c, int heads)
{
  DloralTensor *y = dloral_graph_tensor (b->g, q->h, q->w, c, b->g->act_dtype);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_ATTENTION, .scope = scope,
      .n_src = 3, .src = { q, k, v }, .dst = y,
      .u.attention = { heads, c / heads, 1 / sqrtf ((float) c / heads),
          { first[0], first[1], first[2] } } });
  return y;
}

void
dloral_resize_into (DloralBuilder *b, DloralTensor *x, DloralTensor *y,
    DloralResizeMode mode, const float *gain, const float *offset)
{
  DloralOp op = {.kind = DLORAL_OP_RESIZE, .n_src = 1, .src = { x }, .dst = y };

  op.u.resize.mode = mode;
  for (int i = 0; i < 4; i++) {
    op.u.resize.gain[i] = gain ? gain[i] : 1;
    op.u.resize.offset[i] = offset ? offset[i] : 0;
  }
  dloral_graph_append (b->g, &op);
}

DloralTensor *
dloral_resize (DloralBuilder *b, DloralTensor *x, int h, int w,
    DloralResizeMode mode, const float *gain, const float *offset)
{
  DloralTensor *y = dloral_graph_tensor (b->g, h, w, x->c, x->dtype);

  dloral_resize_into (b, x, y, mode, gain, offset);
  return y;
}

DloralTensor *
dloral_concat (DloralBuilder *b, DloralDtype dtype, DloralTensor *first, ...)
{
  DloralOp op = {.kind = DLORAL_OP_CONCAT };
  int c = 0;
  va_list args;

  va_start (args, first);
  for (DloralTensor *t = first; t; t = va_arg (args, DloralTensor *)) {
    g_assert (op.n_src < DLORAL_MAX_SRC);
    op.src[op.n_src++] = t;
    c += t->c;
  }
  va_end (args);
  op.dst = dloral_graph_tensor (b->g, first->h, first->w, c, dtype);
  dloral_graph_append (b->g, &op);
  return op.dst;
}

DloralTensor *
dloral_crop (DloralBuilder *b, const char *scope, DloralTensor *x, int y,
    int x0, int h, int w)
{
  DloralTensor *part = dloral_graph_tensor (b->g, h, w, x->c, x->dtype);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_CROP, .scope = scope, .n_src = 1, .src = { x },
      .dst = part, .u.crop = { y, x0 } });
  return part;
}

void
dloral_paste (DloralBuilder *b, const char *scope, DloralTensor *sum,
    DloralTensor *part, int y, int x, const DloralWeight *shares,
    DloralTensor *dst)
{
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_PASTE, .scope = scope, .n_src = sum ? 2 : 1,
      .src = { part, sum }, .dst = dst, .weight = shares,
      .u.paste = { y, x } });
}

void
dloral_convert_into (DloralBuilder *b, DloralTensor *x, DloralTensor *dst)
{
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_CONCAT, .n_src = 1, .src = { x }, .dst = dst });
}

DloralTensor *
dloral_cast (DloralBuilder *b, DloralTensor *x)
{
  DloralTensor *y;

  if (x->dtype == b->g->act_dtype)
    return x;
  y = dloral_graph_tensor (b->g, x->h, x->w, x->c, b->g->act_dtype);
  dloral_convert_into (b, x, y);
  return y;
}

DloralTensor *
dloral_upsampler (DloralBuilder *b, const char *prefix, DloralTensor *x,
    int h, int w)
{
  g_autofree char *conv = g_strconcat (prefix, ".conv", NULL);

  if (h == 2 * x->h && w == 2 * x->w)
    return dloral_conv (b, conv, x, x->c, .enlarge = TRUE);
  x = dloral_resize (b, x, h, w, DLORAL_RESIZE_NEAREST, NULL, NULL);
  return dloral_conv (b, conv, x, x->c, 0);
}
