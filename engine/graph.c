/* Building a graph and planning where its tensors live.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "graph.h"

static void
weight_free (gpointer pointer)
{
  DloralWeight *w = pointer;

  if (w->destroy)
    w->destroy (w->data);
  g_free (w->key);
  g_free (w->name);
  g_free (w);
}

static void
op_free (gpointer pointer)
{
  DloralOp *op = pointer;

  g_free ((char *) op->scope);
  g_free ((char *) op->input);
  g_free (op);
}

DloralGraph *
dloral_graph_new (const char *name, DloralDtype act_dtype)
{
  DloralGraph *g = g_new0 (DloralGraph, 1);

  g->name = name;
  g->act_dtype = act_dtype;
  g->tensors = g_ptr_array_new_with_free_func (g_free);
  g->ops = g_ptr_array_new_with_free_func (op_free);
  g->weights = g_ptr_array_new_with_free_func (weight_free);
  return g;
}

void
dloral_graph_free (DloralGraph *g)
{
  if (g == NULL)
    return;
  g_ptr_array_unref (g->ops);
  g_ptr_array_unref (g->tensors);
  g_ptr_array_unref (g->weights);
  g_free (g);
}

DloralTensor *
dloral_graph_tensor (DloralGraph *g, int h, int w, int c, DloralDtype dtype)
{
  DloralTensor *t = g_new0 (DloralTensor, 1);

  g_assert (h > 0 && w > 0 && c > 0);
  t->id = (int) g->tensors->len;
  t->h = h;
  t->w = w;
  t->c = c;
  t->dtype = dtype;
  t->binding = t->first = t->last = -1;
  g_ptr_array_add (g->tensors, t);
  return t;
}

DloralTensor *
dloral_graph_bind (DloralGraph *g, int h, int w, int c, DloralDtype dtype)
{
  DloralTensor *t = dloral_graph_tensor (g, h, w, c, dtype);

  t->binding = g->n_bindings++;
  return t;
}

const DloralTensor *
dloral_graph_get_bound (const DloralGraph *g, int binding)
{
  for (guint i = 0; i < g->tensors->len; i++) {
    const DloralTensor *t = g->tensors->pdata[i];

    if (t->binding == binding)
      return t;
  }
  return NULL;
}

const DloralWeight *
dloral_graph_weight (DloralGraph *g, DloralWeight weight)
{
  DloralWeight *w = g_memdup2 (&weight, sizeof weight);

  g_ptr_array_add (g->weights, w);
  return w;
}

void
dloral_graph_append (DloralGraph *g, const DloralOp *op)
{
  DloralOp *copy = g_memdup2 (op, sizeof *op);

  copy->scope = g_strdup (op->scope ? op->scope :
      dloral_op_kind_get_name (op->kind));
  copy->input = g_strdup (op->input);
  g_ptr_array_add (g->ops, copy);
}

static void
find_lifetimes (DloralGraph *g)
{
  for (guint i = 0; i < g->ops->len; i++) {
    const DloralOp *op = g->ops->pdata[i];

    op->dst->first = op->dst->last = (int) i;
    for (int s = 0; s < op->n_src; s++) {
      g_assert (op->src[s]->binding >= 0 || op->src[s]->first >= 0);
      op->src[s]->last = (int) i;
    }
  }
}

static int
compare_size_descending (gconstpointer a, gconstpointer b)
{
  const DloralTensor *ta = *(DloralTensor *const *) a;
  const DloralTensor *tb = *(DloralTensor *const *) b;
  gsize sa = dloral_tensor_get_size (ta), sb = dloral_tensor_get_size (tb);

  if (sa != sb)
    return sa < sb ? 1 : -1;
  return ta->id - tb->id;
}

static int
compare_offset (gconstpointer a, gconstpointer b)
{
  const DloralTensor *ta = *(DloralTensor *const *) a;
  const DloralTensor *tb = *(DloralTensor *const *) b;

  return ta->offset < tb->offset ? -1 : ta->offset > tb->offset;
}

/* The lowest gap that `t` fits into among the tensors alive with it. */
static gsize
find_offset (const DloralTensor *t, const GPtrArray *placed)
{
  gsize offset = 0, size = dloral_tensor_get_size (t);

  for (guint i = 0; i < placed->len; i++) {     /* sorted by offset */
    const DloralTensor *p = placed->pdata[i];

    if (p->last < t->first || p->first > t->last)
      continue;
    if (p->offset >= offset + size)
      break;
    offset = MAX (offset, dloral_align (p->offset + dloral_tensor_get_size (p)));
  }
  return offset;
}

/* Largest first, each at the lowest place that is free during its whole life:
 * within a few per cent of the peak of what is alive for networks like ours. */
void
dloral_graph_plan (DloralGraph *g)
{
  GPtrArray *order = g_ptr_array_new (), *placed = g_ptr_array_new ();

  find_lifetimes (g);
  for (guint i = 0; i < g->tensors->len; i++) {
    DloralTensor *t = g->tensors->pdata[i];

    if (t->binding < 0 && t->first >= 0)
      g_ptr_array_add (order, t);
  }
  g_ptr_array_sort (order, compare_size_descending);
  g->arena_size = 0;
  for (guint i = 0; i < order->len; i++) {
    DloralTensor *t = order->pdata[i];

    t->offset = find_offset (t, placed);
    g->arena_size = MAX (g->arena_size,
        dloral_align (t->offset + dloral_tensor_get_size (t)));
    g_ptr_array_add (placed, t);
    g_ptr_array_sort (placed, compare_offset);
  }
  g_ptr_array_unref (order);
  g_ptr_array_unref (placed);
}

const char *
dloral_op_kind_get_name (DloralOpKind kind)
{
  static const char *const names[DLORAL_N_OPS] = {
    [DLORAL_OP_CONV] = "conv",
    [DLORAL_OP_LINEAR] = "linear",
    [DLORAL_OP_GROUP_NORM] = "group_norm",
    [DLORAL_OP_LAYER_NORM] = "layer_norm",
    [DLORAL_OP_ATTENTION] = "attention",
    [DLORAL_OP_RESIZE] = "resize",
    [DLORAL_OP_POOL] = "pool",
    [DLORAL_OP_WARP] = "warp",
    [DLORAL_OP_CONCAT] = "concat",
    [DLORAL_OP_CROP] = "crop",
    [DLORAL_OP_PASTE] = "paste",
    [DLORAL_OP_GATHER] = "gather",
    [DLORAL_OP_RETRIEVAL] = "retrieval",
    [DLORAL_OP_UNPACK] = "unpack",
    [DLORAL_OP_PACK] = "pack",
    [DLORAL_OP_UPSAMPLE] = "upsample",
    [DLORAL_OP_SHRINK] = "shrink",
    [DLORAL_OP_FROM_PICTURE] = "from_picture",
    [DLORAL_OP_TO_PICTURE] = "to_picture",
    [DLORAL_OP_ABS_MAX] = "abs_max",
  };

  return names[kind];
}

double
dloral_op_get_flops (const DloralOp *op)
{
  double out = (double) op->dst->h * op->dst->w, positions;

  switch (op->kind) {
    case DLORAL_OP_CONV:
      if (op->u.conv.enlarge)   /* 2×2 will do: phases.h */
        return 2. * out * op->weight->o * op->weight->i * 4;
      return 2. * out * dloral_weight_get_length (op->weight);
    case DLORAL_OP_LINEAR:
      return 2. * out * dloral_weight_get_length (op->weight);
    case DLORAL_OP_ATTENTION:
      positions = op->u.attention.rows ? op->u.attention.rows
          : (double) op->src[1]->h * op->src[1]->w;
      return 4. * out * positions * op->u.attention.heads *
          op->u.attention.head_dim;
    case DLORAL_OP_RETRIEVAL:
      positions = op->u.retrieval.window ?
          (double) op->u.retrieval.window * op->u.retrieval.window : out;
      return 2. * out * positions * op->u.retrieval.heads *
          (2 * op->dst->c + 1);
    default:
      return 0;                 /* bound by memory, not by arithmetic */
  }
}
