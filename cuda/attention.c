/* Attention on cuDNN, which keeps no matrix of scores; on our own kernel where it
 * has none.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"

#define N_TENSORS 5             /* query, key, value, scale, result */

typedef struct
{
  DloralCudaOp base;
  DloralCudnnPlan *plan;
  DloralCudaOp *flash;          /* if not NULL, does it instead */
  gint64 uids[N_TENSORS];
  float scale;                  /* read when the plan runs */
} Attention;

/* What cuDNN reads and writes must be of one half type and aligned. It has no
 * bias that is chosen by the kind of a group. */
static gboolean
suits (const DloralOp *op)
{
  DloralDtype type = op->dst->dtype;

  if (type == DLORAL_F32 || op->u.attention.causal
      || op->u.attention.rows > 0 || op->u.attention.head_dim % 8 != 0)
    return FALSE;
  for (int i = 0; i < 3; i++)
    if (op->src[i]->dtype != type || op->u.attention.first[i] % 8 != 0
        || op->src[i]->c % 8 != 0)
      return FALSE;
  return TRUE;
}

/* [1][heads][n][head_dim] within t [n][c]. */
static DloralCudnnTensor *
add_tensor (DloralCudnnGraph *g, const DloralOp *op, const DloralTensor *t)
{
  int width = op->u.attention.head_dim;
  gint64 n = (gint64) t->h * t->w;
  const gint64 dims[] = { 1, op->u.attention.heads, n, width };
  const gint64 strides[] = { n * t->c, width, t->c, 1 };

  return dloral_cudnn_tensor (g, 4, dims, strides, t->dtype,
      DLORAL_CUDNN_MEMORY);
}

static DloralCudnnPlan *
make_plan (Attention *self)
{
  static const gint64 one[] = { 1, 1, 1, 1 };
  const DloralOp *op = self->base.op;
  DloralCudnnGraph *g = dloral_cudnn_graph_new (self->base.device->cudnn,
      FALSE, self->base.cancelled);
  DloralCudnnTensor *t[N_TENSORS];

  for (int i = 0; i < 3; i++)
    t[i] = add_tensor (g, op, op->src[i]);
  t[3] = dloral_cudnn_tensor (g, 4, one, one, DLORAL_F32,
      DLORAL_CUDNN_SCALAR);
  t[4] = add_tensor (g, op, op->dst);
  for (int i = 0; i < N_TENSORS; i++)
    self->uids[i] = dloral_cudnn_tensor_get_uid (t[i]);
  dloral_cudnn_attention (g, t[0], t[1], t[2], t[3], t[4]);
  return dloral_cudnn_graph_finish (g, NULL);
}

static gboolean
attention_launch (DloralCudaOp *base, const DloralCudaRun *run,
    GError **error)
{
  Attention *self = (Attention *) base;
  const DloralOp *op = base->op;
  gpointer addresses[N_TENSORS];

  if (self->flash)
    return self->flash->launch (self->flash, run, error);
  for (int i = 0; i < 3; i++)
    addresses[i] = (gpointer) (dloral_cuda_get_data (run, op->src[i])
        + op->u.attention.first[i] * dloral_dtype_size (op->src[i]->dtype));
  addresses[3] = &self->scale;
  addresses[4] = (gpointer) dloral_cuda_get_data (run, op->dst);
  return dloral_cudnn_plan_run (self->plan, run->cudnn, N_TENSORS, self->uids,
      addresses, (gpointer) run->scratch, error);
}

static void
attention_free (DloralCudaOp *base)
{
  Attention *self = (Attention *) base;

  dloral_cudnn_plan_free (self->plan);
  if (self->flash)
    dloral_cuda_op_free (self->flash);
  g_free (self);
}

static gboolean
attention_prepare (DloralCudaOp *base, GError **error)
{
  Attention *self = (Attention *) base;

  self->plan = make_plan (self);
  base->library = self->plan != NULL;
  if (self->plan == NULL) {
    self->flash = dloral_cuda_flash_new (base->device, base->op, error);
    return self->flash != NULL;
  }
  base->how = g_strdup (dloral_cudnn_plan_describe (self->plan));
  base->scratch_size = dloral_cudnn_plan_get_workspace (self->plan);
  return TRUE;
}

DloralCudaOp *
dloral_cuda_attention_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Attention *self;

  if (!suits (op))
    return dloral_cuda_flash_new (device, op, error);
  self = g_new0 (Attention, 1);
  self->base.op = op;
  self->base.device = device;
  self->base.prepare = attention_prepare;
  self->base.launch = attention_launch;
  self->base.free = attention_free;
  self->scale = op->u.attention.scale;
  return &self->base;
}
