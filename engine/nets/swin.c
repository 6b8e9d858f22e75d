/* A block is attention within windows and a perceptron, each normed before and
 * added to what it was given. Windows of every second block lie half a window
 * further on, around the edges; what only meets there does not see each other.
 * Everything but the attention is of each token alone, so only what that reads and
 * writes is put into the order of windows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "swin.h"

#include <math.h>

#define PREFIX "tagger.visual_encoder."
#define EPS 1e-5f
/* What the published code adds to scores of what must not be seen. */
#define HIDDEN (-100.f)

/* One of the blocks. */
typedef struct
{
  int stage, block;             /* of the stage */
  gboolean last;                /* of the stage */
  int grid, channels, heads;
  int window, shift;            /* tokens; one window: no shift */
} Place;

static Place
find_place (const DloralTaggerConfig *config, int i)
{
  Place p = { 0 };

  while (i >= config->depths[p.stage])
    i -= config->depths[p.stage++];
  p.block = i;
  p.last = i == config->depths[p.stage] - 1;
  p.grid = dloral_tagger_config_get_grid (config, p.stage);
  p.channels = config->embed_dim << p.stage;
  p.heads = config->num_heads[p.stage];
  p.window = MIN (config->window_size, p.grid);
  p.shift = i % 2 && p.grid > p.window ? p.window / 2 : 0;
  return p;
}

int
dloral_swin_count_blocks (const DloralTaggerConfig *config)
{
  int n = 0;

  for (int i = 0; i < config->stages; i++)
    n += config->depths[i];
  return n;
}

DloralTensor *
dloral_swin_bind (DloralGraph *g, const DloralTaggerConfig *config, int i)
{
  int last = config->stages - 1;
  Place p;

  if (i == 0)
    return dloral_graph_bind (g, config->image_size, config->image_size, 3,
        DLORAL_F32);
  if (i == dloral_swin_count_blocks (config)) {
    int grid = dloral_tagger_config_get_grid (config, last);

    return dloral_graph_bind (g, grid, grid, config->embed_dim << last,
        DLORAL_F32);
  }
  p = find_place (config, i);
  return dloral_graph_bind (g, p.grid, p.grid, p.channels, g->act_dtype);
}

/* --- Orders of tokens ----------------------------------------------------- */

/* Nothing is sized by what no file has confirmed. */
static float *
order_new (DloralBuilder *b, int n)
{
  return b->error ? NULL : g_new (float, n);
}

/* dst [h][w][c] = the rows of x that `rows` [n] names, taken over. */
static DloralTensor *
gather (DloralBuilder *b, const char *key, DloralTensor *x, int h, int w, int c,
    float *rows, int n)
{
  DloralTensor *y = dloral_graph_tensor (b->g, h, w, c, x->dtype);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_GATHER, .scope = key, .n_src = 1, .src = { x },
      .dst = y, .weight = dloral_builder_constant (b, key, n, 1, 1, 1, rows) });
  return y;
}

/* [grid][grid] → [windows][window²], or back. */
static DloralTensor *
reorder (DloralBuilder *b, const Place *p, DloralTensor *x, gboolean back)
{
  int n = p->grid * p->grid, rows = p->window * p->window;
  int across = p->grid / p->window;
  g_autofree char *key = g_strdup_printf ("tagger.windows-%d-%d-%d%s", p->grid,
      p->window, p->shift, back ? "-back" : "");
  float *order;

  if (across == 1)
    return x;
  order = order_new (b, n);
  for (int i = 0; order && i < n; i++) {
    int group = i / rows, at = i % rows;
    int y = group / across * p->window + at / p->window + p->shift;
    int column = group % across * p->window + at % p->window + p->shift;
    int token = y % p->grid * p->grid + column % p->grid;

    order[back ? token : i] = back ? i : token;
  }
  return gather (b, key, x, back ? p->grid : across * across,
      back ? p->grid : rows, x->c, order, n);
}

/* [grid][grid][c] → [grid / 2][grid / 2][4 · c]: two rows, then two columns. */
static DloralTensor *
pair_tokens (DloralBuilder *b, const Place *p, DloralTensor *x)
{
  int half = p->grid / 2, n = p->grid * p->grid;
  g_autofree char *key = g_strdup_printf ("tagger.pairs-%d", p->grid);
  float *order = order_new (b, n);

  for (int i = 0; order && i < n; i++) {
    int y = i / 4 / half * 2 + i % 2, column = i / 4 % half * 2 + i / 2 % 2;

    order[i] = y * p->grid + column;
  }
  return gather (b, key, x, half, half, 4 * x->c, order, n);
}

/* --- Attention ------------------------------------------------------------- */

/* What is added to the scores: the table's entry for where the key lies from the
 * query, and what hides those that meet around the edges. */
typedef struct
{
  int heads, window, shift;
  float *table;                 /* [(2 · window - 1)²][heads] */
} Bias;

static void
bias_free (gpointer data)
{
  g_free (((Bias *) data)->table);
  g_free (data);
}

/* Whether tokens i and j of a window that is the last of its kind, in a column
 * (1), in a line (2) or both, are from opposite edges. */
static gboolean
is_hidden (const Bias *bias, int kind, int i, int j)
{
  int w = bias->window, kept = w - bias->shift;

  return ((kind & 1) && (i % w < kept) != (j % w < kept))
      || ((kind & 2) && (i / w < kept) != (j / w < kept));
}

static void
fill_bias (const DloralWeight *weight, float *dst)
{
  const Bias *bias = weight->data;
  int w = bias->window, n = w * w;

  for (int kind = 0; kind < weight->o; kind++)
    for (int head = 0; head < bias->heads; head++)
      for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
          int y = i / w - j / w + w - 1, x = i % w - j % w + w - 1;

          *dst++ = bias->table[(y * (2 * w - 1) + x) * bias->heads + head]
              + (is_hidden (bias, kind, i, j) ? HIDDEN : 0);
        }
}

/* NULL after any failure. */
static const DloralWeight *
get_bias (DloralBuilder *b, const Place *p, const char *prefix)
{
  g_autofree char *name =
      g_strconcat (prefix, ".relative_position_bias_table", NULL);
  int n = p->window * p->window, reach = 2 * p->window - 1;
  float *table = dloral_builder_read (b, name, reach * reach, p->heads, 1, 1);
  Bias *bias;

  if (table == NULL)
    return NULL;
  bias = g_new (Bias, 1);
  *bias = (Bias) { p->heads, p->window, p->shift, table };
  return dloral_graph_weight (b->g, (DloralWeight) {
      .key = g_strdup_printf ("%s%s@%d", b->space ? b->space : "", name,
          p->shift),
      .o = p->shift ? 4 : 1, .i = p->heads * n, .kh = n, .kw = 1,
      .fill = fill_bias, .data = bias, .destroy = bias_free });
}

static DloralTensor *
attend (DloralBuilder *b, const Place *p, const char *prefix, DloralTensor *x)
{
  g_autofree char *qkv = g_strconcat (prefix, ".qkv", NULL);
  int c = p->channels, width = c / p->heads;
  DloralTensor *h = dloral_linear_layer (b, qkv, x, 3 * c, DLORAL_ACT_NONE, NULL,
      NULL);
  DloralTensor *y = dloral_graph_tensor (b->g, x->h, x->w, c, b->g->act_dtype);

  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_ATTENTION, .scope = prefix,
      .n_src = 3, .src = { h, h, h }, .dst = y,
      .weight = get_bias (b, p, prefix),
      .u.attention = { p->heads, width, 1 / sqrtf (width), { 0, c, 2 * c },
          FALSE, p->window * p->window, p->shift ? 4 : 1,
          p->grid / p->window } });
  return y;
}

/* --- Blocks ----------------------------------------------------------------- */

static DloralTensor *
embed_patches (DloralBuilder *b, const DloralTaggerConfig *config,
    DloralTensor *x)
{
  /* Nothing is padded: the kernel is as large as its stride. */
  x = dloral_conv (b, PREFIX "patch_embed.proj", x, config->embed_dim,
      .kernel = config->patch_size, .stride = config->patch_size,
      .pad_after_only = TRUE);
  return dloral_layer_norm (b, PREFIX "patch_embed.norm", x, EPS, NULL);
}

/* Half as many tokens to a side, twice the channels. */
static void
merge_tokens (DloralBuilder *b, const Place *p, DloralTensor *x,
    DloralTensor *y)
{
  g_autofree char *norm =
      g_strdup_printf (PREFIX "layers.%d.downsample.norm", p->stage);
  g_autofree char *name = g_strdup_printf (PREFIX
      "layers.%d.downsample.reduction.weight", p->stage);
  int c = p->channels;

  x = dloral_layer_norm (b, norm, pair_tokens (b, p, x), EPS, NULL);
  dloral_graph_append (b->g, &(DloralOp) {
      .kind = DLORAL_OP_LINEAR, .scope = name, .n_src = 1, .src = { x },
      .dst = y, .weight = dloral_builder_weight (b, name, 2 * c, 4 * c, 1, 1) });
}

/* Writes y, or a new tensor where that is NULL. */
static DloralTensor *
transform (DloralBuilder *b, const Place *p, int mlp_ratio, DloralTensor *x,
    DloralTensor *y)
{
  g_autofree char *block = g_strdup_printf (PREFIX "layers.%d.blocks.%d.",
      p->stage, p->block);
  g_autofree char *norm1 = g_strconcat (block, "norm1", NULL);
  g_autofree char *attn = g_strconcat (block, "attn", NULL);
  g_autofree char *proj = g_strconcat (block, "attn.proj", NULL);
  g_autofree char *norm2 = g_strconcat (block, "norm2", NULL);
  g_autofree char *fc1 = g_strconcat (block, "mlp.fc1", NULL);
  g_autofree char *fc2 = g_strconcat (block, "mlp.fc2", NULL);
  DloralTensor *h = dloral_layer_norm (b, norm1, x, EPS, NULL);

  h = attend (b, p, attn, reorder (b, p, h, FALSE));
  h = reorder (b, p, h, TRUE);
  x = dloral_linear_layer (b, proj, h, x->c, DLORAL_ACT_NONE, x, NULL);
  h = dloral_layer_norm (b, norm2, x, EPS, NULL);
  h = dloral_linear_layer (b, fc1, h, mlp_ratio * x->c, DLORAL_ACT_GELU, NULL,
      NULL);
  return dloral_linear_layer (b, fc2, h, x->c, DLORAL_ACT_NONE, x, y);
}

void
dloral_swin_block (DloralBuilder *b, const DloralTaggerConfig *config, int i,
    DloralTensor *x, DloralTensor *y)
{
  Place p = find_place (config, i);

  if (i == 0)
    x = embed_patches (b, config, x);
  x = transform (b, &p, config->mlp_ratio, x, p.last ? NULL : y);
  if (!p.last)
    return;
  if (p.stage < config->stages - 1)
    merge_tokens (b, &p, x, y);
  else
    dloral_layer_norm (b, PREFIX "norm", x, EPS, y);
}
