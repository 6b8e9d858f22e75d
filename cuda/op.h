/* What an operator of the CUDA backend is: compiled once from a graph's operator,
 * then launched into a stream without allocation or waiting, so that a CUDA
 * graph can record it. One constructor a kind, in a file of its subject.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "device.h"

G_BEGIN_DECLS

typedef struct _DloralCudaOp DloralCudaOp;

/* What one run knows: where its memory is, and the stream it goes into. */
typedef struct
{
  const DloralDriver *driver;
  CUdeviceptr arena;
  CUdeviceptr scratch;          /* [max scratch_size of the plan's operators],
                                 * 256-byte aligned */
  gpointer const *bindings;     /* device addresses */
  CUstream stream;
  cudnnHandle_t cudnn;          /* bound to that stream */
} DloralCudaRun;

struct _DloralCudaOp
{
  const DloralOp *op;
  DloralDevice *device;
  gboolean library;             /* computes in cuDNN or cuBLASLt, for profiles */
  char *how;                    /* what of it, for tables; NULL: a kernel of
                                 * ours. Freed by the backend */
  gsize scratch_size;           /* bytes wanted at run->scratch */
  const gint *cancelled;        /* of its graph; for whoever prepares it */
  /* The rest of its making, which fills in what is above; beside other
   * operators', on any thread, in the device's context. Once; NULL: none. */
  gboolean (*prepare) (DloralCudaOp * self, GError ** error);
  gboolean (*launch) (DloralCudaOp * self, const DloralCudaRun * run,
      GError ** error);
  void (*free) (DloralCudaOp * self);   /* NULL: g_free */
};

/* Frees what an operator is made of, all of it or a part. */
static inline void
dloral_cuda_op_free (DloralCudaOp *op)
{
  g_free (op->how);
  if (op->free)
    op->free (op);
  else
    g_free (op);
}

/* Seconds that a run of an operator takes, which has been prepared, in memory made
 * for that; infinite where it fails: op_time.c. */
double dloral_cuda_op_time (DloralCudaOp * op);

/* Where a tensor's elements are during a run. */
static inline CUdeviceptr
dloral_cuda_get_data (const DloralCudaRun * run, const DloralTensor * t)
{
  if (t->binding >= 0)
    return (CUdeviceptr) run->bindings[t->binding];
  return run->arena + t->offset;
}

/* A kernel and how it is launched; filled when an operator is compiled. */
typedef struct
{
  CUfunction function;
  const char *name;             /* for messages; static */
  unsigned grid[3], block[3];
  unsigned shared;              /* bytes of dynamic shared memory */
} DloralKernel;

/* Finds the kernel `name`, or where types are given the one whose name ends in
 * them: ("group_norm", 2, { BF16, F32 }) is group_norm_bf16_f32. Grid and block
 * are left as they are, 0 in a dimension counts as 1. Allows the shared memory
 * asked for in `kernel->shared`. */
gboolean dloral_kernel_find (DloralKernel * kernel, DloralDevice * device,
    const char *name, int n_types, const DloralDtype * types, GError ** error);

/* args: addresses of the kernel's parameters, in order. */
gboolean dloral_kernel_launch (const DloralKernel * kernel,
    const DloralCudaRun * run, void **args, GError ** error);

typedef DloralCudaOp *(*DloralCudaOpNew) (DloralDevice * device,
    const DloralOp * op, GError ** error);

/* Calls what operators [n] have for `prepare`, in several threads that are gone
 * when it returns. In the device's context. If one fails, or is to be next when all are
 * cancelled (engine/cancel.h), `failed` is its index. */
gboolean dloral_cuda_prepare (DloralDevice * device, DloralCudaOp ** ops,
    guint n, const gint * cancelled, guint * failed, GError ** error);

/* On cuDNN: conv.c (phases.c: of an enlarged source), linear.c, attention.c. */
DloralCudaOp *dloral_cuda_conv_new (DloralDevice *, const DloralOp *, GError **);
DloralCudaOp *dloral_cuda_phases_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_linear_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_attention_new (DloralDevice *, const DloralOp *,
    GError **);

/* Own kernels: group_norm.c, layer_norm.c, resize.c (resize, pool, concat),
 * tiles.c (crop, paste, gather), warp.c, retrieval.c, video.c (unpack, pack),
 * picture.c (upsample, shrink, from_picture), to_picture.c, abs_max.c. */
DloralCudaOp *dloral_cuda_group_norm_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_layer_norm_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_resize_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_pool_new (DloralDevice *, const DloralOp *, GError **);
DloralCudaOp *dloral_cuda_concat_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_crop_new (DloralDevice *, const DloralOp *, GError **);
DloralCudaOp *dloral_cuda_paste_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_gather_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_warp_new (DloralDevice *, const DloralOp *, GError **);
DloralCudaOp *dloral_cuda_retrieval_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_unpack_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_pack_new (DloralDevice *, const DloralOp *, GError **);
DloralCudaOp *dloral_cuda_upsample_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_shrink_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_from_picture_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_to_picture_new (DloralDevice *, const DloralOp *,
    GError **);
DloralCudaOp *dloral_cuda_abs_max_new (DloralDevice *, const DloralOp *,
    GError **);

/* A linear layer by whichever is faster: cuDNN's operator, which is taken over, or
 * cuBLASLt where it is there and does all of it: gemm.c. */
DloralCudaOp *dloral_cuda_gemm_new (DloralDevice *, const DloralOp *,
    DloralCudaOp * cudnn);

/* Attention where cuDNN has none (f32, causal, odd widths, groups): flash.c. */
DloralCudaOp *dloral_cuda_flash_new (DloralDevice *, const DloralOp *,
    GError **);

G_END_DECLS
