/* The decoder's tensor to a picture, its colours corrected: two kernels
 * of kernels/to_picture.cu, of which the second is chosen by the correction.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "patches.h"
#include "kernels/to_picture.h"

typedef struct
{
  DloralCudaOp base;
  DloralKernel to_levels, finish;
  DloralToPicture job;
  gsize moments_at, difference_at;      /* in scratch */
} ToPicture;

static gboolean
to_picture_launch (DloralCudaOp *base, const DloralCudaRun *run,
    GError **error)
{
  ToPicture *self = (ToPicture *) base;
  const DloralOp *op = base->op;
  guintptr scratch = run->scratch;
  DloralFindings found = { (gpointer) scratch,
    (gpointer) (scratch + self->moments_at),
    (gpointer) (scratch + self->difference_at)
  };
  CUdeviceptr src = dloral_cuda_get_data (run, op->src[0]);
  CUdeviceptr also = op->n_src > 2 ? dloral_cuda_get_data (run, op->src[2]) : 0;
  CUdeviceptr lq = dloral_cuda_get_data (run, op->src[1]);
  CUdeviceptr dst = dloral_cuda_get_data (run, op->dst);
  CUdeviceptr finite = dloral_cuda_get_data (run, op->u.to_picture.finite);

  return dloral_kernel_launch (&self->to_levels, run,
      (void *[]) { &self->job, &found, &src, &also, &lq, &dst }, error)
      && dloral_kernel_launch (&self->finish, run,
      (void *[]) { &self->job, &found, &lq, &dst, &finite }, error);
}

static void
fill_job (DloralToPicture *job, const DloralOp *op)
{
  const DloralTensor *dst = op->dst;
  const DloralTensor *also = op->n_src > 2 ? op->src[2] : NULL;
  DloralColorFix color_fix = op->u.to_picture.color_fix;

  job->patches = dloral_patches_make (op->src[0], op->u.to_picture.patch);
  job->picture_h = dst->h;
  job->picture_w = dst->w;
  job->height = op->u.to_picture.height;
  job->width = op->u.to_picture.width;
  job->lq_residual = op->u.to_picture.lq_residual;
  job->moments = color_fix == DLORAL_COLOR_FIX_ADAIN;
  job->difference = color_fix == DLORAL_COLOR_FIX_WAVELET;
  job->bias = color_fix == DLORAL_COLOR_FIX_NONE ? 0.5f : 0;
  job->n_also = also ? (long long) also->h * also->w * also->c : 0;
}

static unsigned
divide_up (gsize n, unsigned by)
{
  return (n + by - 1) / by;
}

/* Blocks for n groups, one a thread; or, if that is more than three to a
 * multiprocessor, those, for the threads go from group to group. Few, because
 * finish_adain sums up what every block of to_levels has found. */
static unsigned
count_blocks (const ToPicture *self, gsize n)
{
  return CLAMP (divide_up (n, DLORAL_TO_PICTURE_THREADS), 1,
      3 * (unsigned) self->base.device->n_multiprocessors);
}

static void
set_grids (ToPicture *self)
{
  const DloralToPicture *job = &self->job;
  const DloralTensor *src = self->base.op->src[0], *dst = self->base.op->dst;
  gsize size = dloral_tensor_get_size (dst);

  self->to_levels.block[0] = DLORAL_TO_PICTURE_THREADS;
  self->to_levels.grid[0] = self->job.blocks = count_blocks (self,
      size / dloral_dtype_size (dst->dtype)
      / DLORAL_PATCHES_GROUP (job->patches.layout,
          dloral_dtype_size (src->dtype)));
  if (job->difference) {
    self->finish.block[0] = DLORAL_WAVELET_THREADS;
    self->finish.grid[0] = divide_up (job->width, DLORAL_WAVELET_COLUMNS);
    self->finish.grid[1] = divide_up (job->height, DLORAL_WAVELET_ROWS);
    self->finish.shared = DLORAL_WAVELET_ROWS * DLORAL_WAVELET_PITCH
        * sizeof (int);
  } else {
    self->finish.block[0] = DLORAL_TO_PICTURE_THREADS;
    self->finish.grid[0] = count_blocks (self, size / 16);
  }
}

/* A difference takes twice the bytes of a level. */
static void
set_scratch (ToPicture *self)
{
  const DloralToPicture *job = &self->job;

  self->moments_at = dloral_align (job->blocks * sizeof (int));
  self->difference_at = self->moments_at + dloral_align (DLORAL_MOMENTS
      * sizeof (guint64) * job->blocks);
  self->base.scratch_size = self->difference_at + (job->difference ?
      2 * dloral_tensor_get_size (self->base.op->dst) : 0);
}

DloralCudaOp *
dloral_cuda_to_picture_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  static const char *const finish[] = {
    [DLORAL_COLOR_FIX_ADAIN] = "finish_adain",
    [DLORAL_COLOR_FIX_WAVELET] = "finish_wavelet",
    [DLORAL_COLOR_FIX_NONE] = "finish_none",
  };
  ToPicture *self = g_new0 (ToPicture, 1);
  DloralDtype types[] = { op->src[0]->dtype, op->dst->dtype };

  self->base.op = op;
  self->base.device = device;
  self->base.launch = to_picture_launch;
  fill_job (&self->job, op);
  set_grids (self);
  set_scratch (self);
  if (dloral_kernel_find (&self->to_levels, device, "to_levels", 2, types,
          error)
      && dloral_kernel_find (&self->finish, device,
          finish[op->u.to_picture.color_fix], 1, &op->dst->dtype, error))
    return &self->base;
  g_free (self);
  return NULL;
}
