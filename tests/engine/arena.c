/* Whether tensors of an arena keep what was written to them: operator by
 * operator, with a map of which tensor's bytes lie where.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "arena.h"

#include "shadow.h"

/* Which tensor each DLORAL_ALIGN bytes of an arena hold, -1: none. */
static int *
new_arena_map (const DloralGraph *g)
{
  gsize n = g->arena_size / DLORAL_ALIGN;
  int *map = g_new (int, n + 1);

  for (gsize i = 0; i < n; i++)
    map[i] = -1;
  return map;
}

static void
get_blocks (const DloralTensor *t, gsize *first, gsize *end)
{
  *first = t->offset / DLORAL_ALIGN;
  *end = dloral_align (t->offset + dloral_tensor_get_size (t)) / DLORAL_ALIGN;
}

static gboolean
overlap (const DloralTensor *a, const DloralTensor *b)
{
  return a->binding < 0 && b->binding < 0 &&
      a->offset < b->offset + dloral_tensor_get_size (b) &&
      b->offset < a->offset + dloral_tensor_get_size (a);
}

static void
check_source (const DloralGraph *g, const DloralOp *op, const DloralTensor *t,
    const int *map)
{
  gsize first, end;

  if (overlap (t, op->dst))
    shadow_report ("%s: '%s' writes tensor %d over its source %d", g->name,
        op->scope, op->dst->id, t->id);
  if (t->binding >= 0)
    return;
  get_blocks (t, &first, &end);
  for (end = MIN (end, g->arena_size / DLORAL_ALIGN); first < end; first++)
    if (map[first] != t->id) {
      shadow_report ("%s: '%s' reads tensor %d where tensor %d was written "
          "(-1: none)", g->name, op->scope, t->id, map[first]);
      return;
    }
}

void
arena_check (const DloralGraph *g)
{
  g_autofree int *map = new_arena_map (g);

  for (guint i = 0; i < g->ops->len; i++) {
    const DloralOp *op = g->ops->pdata[i];
    gsize first, end;

    for (int s = 0; s < op->n_src; s++)
      check_source (g, op, op->src[s], map);
    if (op->dst->binding >= 0)
      continue;
    get_blocks (op->dst, &first, &end);
    if (op->dst->offset % DLORAL_ALIGN != 0 || end > g->arena_size / DLORAL_ALIGN)
      shadow_report ("%s: '%s' writes tensor %d beyond the arena or where "
          "nothing may begin", g->name, op->scope, op->dst->id);
    for (; first < MIN (end, g->arena_size / DLORAL_ALIGN); first++)
      map[first] = op->dst->id;
  }
}
