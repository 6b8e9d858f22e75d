/* What an operator of the CPU backend is: compiled once from a graph's operator,
 * then run without allocation. One constructor a kind, in a file of its subject.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/backend.h"

G_BEGIN_DECLS

typedef struct _DloralCpuOp DloralCpuOp;

/* What one run knows: where its memory is. */
typedef struct
{
  guint8 *arena;
  guint8 *scratch;              /* [max scratch_size of the plan's operators] */
  gpointer const *bindings;
  int threads;                  /* of the operator that runs */
} DloralCpuRun;

struct _DloralCpuOp
{
  const DloralOp *op;
  gboolean library;             /* computes in oneDNN, for profiles */
  int threads;                  /* that share a run; set by the backend */
  gsize scratch_size;           /* bytes wanted in run->scratch */
  gboolean (*run) (DloralCpuOp * self, const DloralCpuRun * run,
      GError ** error);
  void (*free) (DloralCpuOp * self);    /* NULL: g_free */
};

/* Where a tensor's elements are during a run. */
static inline gpointer
dloral_cpu_get_data (const DloralCpuRun * run, const DloralTensor * t)
{
  if (t->binding >= 0)
    return run->bindings[t->binding];
  return run->arena + t->offset;
}

typedef DloralCpuOp *(*DloralCpuOpNew) (DloralDevice * device,
    const DloralOp * op, GError ** error);

/* On oneDNN: conv.c (phases.c: of an enlarged source), linear.c, attention.c, layer_norm.c. */
DloralCpuOp *dloral_cpu_conv_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_phases_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_linear_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_attention_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCpuOp *dloral_cpu_layer_norm_new (DloralDevice *, const DloralOp *,
    GError **);

/* Ours, what oneDNN lacks: group_norm.c, resize.c (resize, pool, concat),
 * warp.c, tiles.c, retrieval.c, video.c (unpack, pack), picture.c (upsample,
 * shrink, from_picture), to_picture.c, abs_max.c. Loops over pixels come from
 * kernels.h. */
DloralCpuOp *dloral_cpu_group_norm_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCpuOp *dloral_cpu_resize_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_pool_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_concat_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_crop_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_paste_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_gather_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_warp_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_retrieval_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCpuOp *dloral_cpu_unpack_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_pack_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_upsample_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCpuOp *dloral_cpu_shrink_new (DloralDevice *, const DloralOp *, GError **);
DloralCpuOp *dloral_cpu_from_picture_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCpuOp *dloral_cpu_to_picture_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCpuOp *dloral_cpu_abs_max_new (DloralDevice *, const DloralOp *,
    GError **);

G_END_DECLS
