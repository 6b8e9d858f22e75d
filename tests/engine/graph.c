/* The planner: whatever the graph, tensors alive together share no byte; and the
 * count of what is computed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/graph.h"

/* A random chain with skips: every operator reads up to three earlier tensors. */
static DloralGraph *
random_graph (GRand *rand, int n_ops)
{
  DloralGraph *g = dloral_graph_new ("random", DLORAL_F32);

  dloral_graph_bind (g, 8, 8, 3, DLORAL_U8);
  for (int i = 0; i < n_ops; i++) {
    DloralOp op = {.kind = DLORAL_OP_CONCAT };

    op.n_src = g_rand_int_range (rand, 1, 4);
    for (int s = 0; s < op.n_src; s++) {
      int oldest = MAX (0, (int) g->tensors->len - 12);

      op.src[s] = g->tensors->pdata[g_rand_int_range (rand, oldest,
              g->tensors->len)];
    }
    op.dst = g_rand_int_range (rand, 0, 10) == 0 ?
        dloral_graph_bind (g, 4, 4, 1, DLORAL_F32) :
        dloral_graph_tensor (g, g_rand_int_range (rand, 1, 40),
        g_rand_int_range (rand, 1, 40), g_rand_int_range (rand, 1, 20),
        g_rand_boolean (rand) ? DLORAL_F32 : DLORAL_BF16);
    dloral_graph_append (g, &op);
  }
  return g;
}

/* Last operator that reads each tensor, found the slow way. */
static int
last_use (const DloralGraph *g, const DloralTensor *t)
{
  int last = -1;

  for (guint i = 0; i < g->ops->len; i++) {
    const DloralOp *op = g->ops->pdata[i];

    if (op->dst == t)
      last = MAX (last, (int) i);
    for (int s = 0; s < op->n_src; s++)
      if (op->src[s] == t)
        last = i;
  }
  return last;
}

static int
first_use (const DloralGraph *g, const DloralTensor *t)
{
  for (guint i = 0; i < g->ops->len; i++)
    if (((const DloralOp *) g->ops->pdata[i])->dst == t)
      return i;
  return -1;
}

static void
check_plan (const DloralGraph *g)
{
  for (guint i = 0; i < g->tensors->len; i++) {
    const DloralTensor *a = g->tensors->pdata[i];
    gsize a_size = dloral_tensor_get_size (a);

    if (a->binding >= 0)
      continue;
    g_assert_cmpuint (a->offset % DLORAL_ALIGN, ==, 0);
    g_assert_cmpuint (a->offset + a_size, <=, g->arena_size);
    for (guint j = 0; j < i; j++) {
      const DloralTensor *b = g->tensors->pdata[j];

      if (b->binding >= 0 || last_use (g, a) < first_use (g, b) ||
          last_use (g, b) < first_use (g, a))
        continue;
      g_assert_true (a->offset + a_size <= b->offset ||
          b->offset + dloral_tensor_get_size (b) <= a->offset);
    }
  }
}

static void
test_random_graphs (void)
{
  GRand *rand = g_rand_new_with_seed (7);

  for (int i = 0; i < 60; i++) {
    DloralGraph *g = random_graph (rand, g_rand_int_range (rand, 1, 80));

    dloral_graph_plan (g);
    check_plan (g);
    dloral_graph_free (g);
  }
  g_rand_free (rand);
}

/* A chain needs two places, however long it is. */
static void
test_chain (void)
{
  DloralGraph *g = dloral_graph_new ("chain", DLORAL_F32);
  DloralTensor *x = dloral_graph_bind (g, 16, 16, 4, DLORAL_F32);
  gsize size = dloral_tensor_get_size (x);

  for (int i = 0; i < 20; i++) {
    DloralTensor *y = dloral_graph_tensor (g, 16, 16, 4, DLORAL_F32);

    dloral_graph_append (g, &(DloralOp) {
        .kind = DLORAL_OP_CONCAT, .n_src = 1, .src = { x }, .dst = y });
    x = y;
  }
  dloral_graph_plan (g);
  g_assert_cmpuint (g->arena_size, ==, 2 * size);
  dloral_graph_free (g);
}

/* A convolution of an enlarged source takes 4 of the 9 multiplications. */
static void
test_flops (void)
{
  DloralTensor x = {.h = 5,.w = 7,.c = 3 }, y = {.h = 10,.w = 14,.c = 2 };
  const DloralWeight kernel = {.o = 2,.i = 3,.kh = 3,.kw = 3 };
  DloralOp conv = {.kind = DLORAL_OP_CONV,.n_src = 1,.src = { &x },.dst = &y,
    .weight = &kernel,.u.conv = { 1, 1, 1, DLORAL_ACT_NONE, TRUE }
  };

  g_assert_cmpfloat (dloral_op_get_flops (&conv), ==, 2 * 140 * 2 * 3 * 4);
  conv.u.conv.enlarge = FALSE;
  g_assert_cmpfloat (dloral_op_get_flops (&conv), ==, 2 * 140 * 2 * 3 * 9);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/graph/random", test_random_graphs);
  g_test_add_func ("/graph/chain", test_chain);
  g_test_add_func ("/graph/flops", test_flops);
  return g_test_run ();
}
