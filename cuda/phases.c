/* Convolution of a source enlarged ×2: act (enlarged src * weight + bias), as a
 * few operators of one kind or the other.
 *
 * As its four phases, each written by cuDNN to every second pixel of every second
 * row. Those have to begin where cuDNN can write, at multiples of 16 bytes; where
 * they do not, or cuDNN has no such kernel, the source is enlarged in scratch memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/phases.h"
#include "conv.h"

#define ALIGNMENT 16            /* of what cuDNN writes, in bytes */
#define SCRATCH_ALIGNMENT 256

/* Tensors as the steps know them, by their binding. */
typedef enum
{
  SRC, ENLARGED,
  DST,                          /* or its first phase, then the others */
  N_TENSORS = DST + DLORAL_N_PHASES
} Role;

typedef struct
{
  DloralCudaOp base;
  DloralPhases phases;
  DloralTensor tensors[N_TENSORS];
  gsize enlarged_size;          /* in the scratch memory, before the steps' */
  int n_steps;
  DloralOp ops[DLORAL_N_PHASES];
  DloralCudaOp *steps[DLORAL_N_PHASES];
} Phases;

/* --- Steps ------------------------------------------------------------------- */

static void
free_steps (Phases *self)
{
  while (self->n_steps > 0)
    dloral_cuda_op_free (self->steps[--self->n_steps]);
  self->base.scratch_size = 0;
}

static gboolean
add_step (Phases *self, DloralCudaOp *step, GError **error)
{
  if (step == NULL)
    return FALSE;
  self->steps[self->n_steps++] = step;
  step->cancelled = self->base.cancelled;
  if (step->prepare && !step->prepare (step, error))
    return FALSE;
  self->base.scratch_size = MAX (self->base.scratch_size, step->scratch_size);
  return TRUE;
}

static void
set_tensor (Phases *self, Role role, const DloralTensor *like, int h, int w)
{
  self->tensors[role] = (DloralTensor) {
    .h = h,.w = w,.c = like->c,.dtype = like->dtype,.binding = role
  };
}

/* --- Phases ------------------------------------------------------------------ */

/* y's rows and columns are two apart. */
static void
spread (DloralShape *y)
{
  gint64 pixel = y->strides[3], row = y->strides[2];

  y->strides[0] *= 4;
  y->strides[2] = 4 * row;
  y->strides[3] = 2 * pixel;
}

static gboolean
add_phase (Phases *self, int p, GError **error)
{
  const DloralOp *op = self->base.op;
  const DloralTensor *src = op->src[0];
  const DloralPhase *phase = &self->phases.phase[p];
  DloralOp *step = &self->ops[p];
  DloralProduct product;

  set_tensor (self, DST + p, op->dst, src->h, src->w);
  *step = *op;
  step->src[0] = &self->tensors[SRC];
  step->dst = &self->tensors[DST + p];
  step->weight = &phase->weight;
  step->u.conv.pad_top = phase->pad_top;
  step->u.conv.pad_left = phase->pad_left;
  product = dloral_conv_get_product (step);
  spread (&product.y);
  product.direct = TRUE;
  return add_step (self, dloral_product_new (self->base.device, step,
          &product), error);
}

/* FALSE without an error where it cannot be done so. */
static gboolean
add_phases (Phases *self, GError **error)
{
  const DloralTensor *dst = self->base.op->dst;
  gboolean ok = dst->c * dloral_dtype_size (dst->dtype) % ALIGNMENT == 0;

  for (int p = 0; ok && p < DLORAL_N_PHASES; p++)
    ok = add_phase (self, p, error);
  dloral_phases_trim (&self->phases);
  if (!ok)
    free_steps (self);
  return ok;
}

/* --- Enlarging --------------------------------------------------------------- */

static gboolean
add_enlargement (Phases *self, GError **error)
{
  const DloralOp *op = self->base.op;
  const DloralTensor *dst = op->dst;
  DloralOp *conv = &self->ops[1];
  gsize size;

  set_tensor (self, ENLARGED, op->src[0], dst->h, dst->w);
  set_tensor (self, DST, dst, dst->h, dst->w);
  self->ops[0] = (DloralOp) {
    .kind = DLORAL_OP_RESIZE,.scope = op->scope,.n_src = 1,
    .src = { &self->tensors[SRC] },.dst = &self->tensors[ENLARGED],
    .u.resize.mode = DLORAL_RESIZE_NEAREST
  };
  *conv = *op;
  conv->src[0] = &self->tensors[ENLARGED];
  conv->dst = &self->tensors[DST];
  conv->u.conv.enlarge = FALSE;
  size = dloral_tensor_get_size (&self->tensors[ENLARGED]);
  self->enlarged_size = (size + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT
      * SCRATCH_ALIGNMENT;
  return add_step (self, dloral_cuda_resize_new (self->base.device,
          &self->ops[0], error), error)
      && add_step (self, dloral_cuda_conv_new (self->base.device, conv, error),
      error);
}

/* --- The operator ------------------------------------------------------------ */

static gboolean
phases_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Phases *self = (Phases *) base;
  const DloralTensor *d = base->op->dst;
  CUdeviceptr dst = dloral_cuda_get_data (run, d);
  gsize pixel = d->c * dloral_dtype_size (d->dtype);
  gpointer tensors[N_TENSORS] = {
    [SRC] = (gpointer) dloral_cuda_get_data (run, base->op->src[0]),
    [ENLARGED] = (gpointer) run->scratch,
  };
  DloralCudaRun steps = *run;

  for (int p = 0; p < DLORAL_N_PHASES; p++)
    tensors[DST + p] = (gpointer) (dst + (p / 2 * d->w + p % 2) * pixel);
  steps.bindings = tensors;
  steps.scratch += self->enlarged_size;
  for (int i = 0; i < self->n_steps; i++)
    if (!self->steps[i]->launch (self->steps[i], &steps, error))
      return FALSE;
  return TRUE;
}

static void
phases_free (DloralCudaOp *base)
{
  Phases *self = (Phases *) base;

  free_steps (self);
  dloral_phases_clear (&self->phases);
  g_free (self);
}

/* Steps that are alike are counted, others listed. */
static char *
describe (const Phases *self)
{
  GString *text = g_string_new (NULL);
  int alike;

  for (int i = 0; i < self->n_steps; i += alike) {
    const char *how = self->steps[i]->how;

    for (alike = 1; i + alike < self->n_steps && g_strcmp0 (how,
            self->steps[i + alike]->how) == 0;)
      alike++;
    g_string_append (text, i > 0 ? ", then " : "");
    if (alike > 1)
      g_string_append_printf (text, "%d × ", alike);
    g_string_append (text, how ? how : "own");
  }
  return g_string_free (text, FALSE);
}

static gboolean
phases_prepare (DloralCudaOp *base, GError **error)
{
  Phases *self = (Phases *) base;
  const DloralTensor *src = self->base.op->src[0];
  GError *failure = NULL;

  set_tensor (self, SRC, src, src->h, src->w);
  if (!add_phases (self, &failure)) {
    if (failure) {
      g_propagate_error (error, failure);
      return FALSE;
    }
    if (!add_enlargement (self, error))
      return FALSE;
  }
  self->base.scratch_size += self->enlarged_size;
  self->base.how = describe (self);
  return TRUE;
}

DloralCudaOp *
dloral_cuda_phases_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Phases *self = g_new0 (Phases, 1);

  self->base.op = op;
  self->base.device = device;
  self->base.library = TRUE;
  self->base.prepare = phases_prepare;
  self->base.launch = phases_launch;
  self->base.free = phases_free;
  dloral_phases_init (&self->phases, op->weight);
  return &self->base;
}
