/* Pictures to other sizes and to tensors: upsample, shrink, from_picture.
 * Kernels of kernels/picture.cu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "patches.h"

#include <math.h>

/* One kernel, from src[0] to dst, after what it is told. */
typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  union
  {
    DloralUpsample upsample;
    DloralShrink shrink;
    DloralPatches patches;
  } job;
} Picture;

static gboolean
picture_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Picture *self = (Picture *) base;
  CUdeviceptr src = dloral_cuda_get_data (run, base->op->src[0]);
  CUdeviceptr dst = dloral_cuda_get_data (run, base->op->dst);
  void *args[] = { &self->job, &src, &dst };

  return dloral_kernel_launch (&self->kernel, run, args, error);
}

static Picture *
picture_new (DloralDevice *device, const DloralOp *op)
{
  Picture *self = g_new0 (Picture, 1);

  self->base.op = op;
  self->base.device = device;
  self->base.launch = picture_launch;
  return self;
}

/* Takes self where the kernel cannot be had. */
static DloralCudaOp *
picture_finish (Picture *self, const char *kernel, int n_types,
    const DloralDtype *types, GError **error)
{
  if (dloral_kernel_find (&self->kernel, self->base.device, kernel, n_types,
          types, error))
    return &self->base;
  g_free (self);
  return NULL;
}

static unsigned
divide_up (gsize n, unsigned by)
{
  return (n + by - 1) / by;
}

/* Keys' cubic with parameter a. */
static double
cubic (double x, double a)
{
  x = fabs (x);
  if (x < 1)
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2)
    return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/* --- upsample ------------------------------------------------------------- */

/* Of source pixel i of n, as Pillow does it: weights are cut off at the
 * picture's edge, divided by their sum, and rounded, a half away from zero. */
static DloralTaps
make_taps (int i, int n, int scale, int phase)
{
  double center = (phase + 0.5) / scale, weight[4], sum = 0;
  int first = 2 * phase + 1 >= scale ? -1 : -2;
  DloralTaps taps;

  for (int t = 0; t < 4; t++) {
    gboolean inside = i + first + t >= 0 && i + first + t < n;

    weight[t] = inside ? cubic (first + t - center + 0.5, -0.5) : 0;
    sum += weight[t];
  }
  for (int t = 0; t < 4; t++)
    taps.weight[t] = lround (weight[t] / sum * (1 << 22));
  return taps;
}

/* before, after: pixels on either side of the source's, 2 for more. */
static void
fill_taps (DloralUpsample *job)
{
  for (int before = 0; before < 3; before++)
    for (int after = 0; after < 3; after++)
      for (int p = 0; p < job->scale; p++)
        job->taps[(3 * before + after) * job->scale + p] = make_taps (before,
            before + 1 + after, job->scale, p);
}

DloralCudaOp *
dloral_cuda_upsample_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  const DloralTensor *src = op->src[0], *dst = op->dst;
  int scale = op->u.upsample.scale;
  Picture *self;

  if (scale > DLORAL_UPSAMPLE_MAX_SCALE) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG,
        "cuda: upsamples at most %d times, not %d times",
        DLORAL_UPSAMPLE_MAX_SCALE, scale);
    return NULL;
  }
  self = picture_new (device, op);
  self->job.upsample = (DloralUpsample) {.src_h = src->h,.src_w = src->w,
    .dst_h = dst->h,.dst_w = dst->w,.scale = scale
  };
  fill_taps (&self->job.upsample);
  self->kernel.grid[0] = divide_up (dst->w, scale * DLORAL_UPSAMPLE_COLUMNS);
  self->kernel.grid[1] = divide_up (dst->h, scale * DLORAL_UPSAMPLE_ROWS);
  self->kernel.block[0] = DLORAL_UPSAMPLE_COLUMNS;
  self->kernel.block[1] = DLORAL_UPSAMPLE_ROWS;
  self->kernel.shared = (DLORAL_UPSAMPLE_ROWS + DLORAL_UPSAMPLE_HALO)
      * DLORAL_UPSAMPLE_COLUMNS * scale * 3 * dloral_dtype_size (src->dtype);
  return picture_finish (self, "upsample", 1, &src->dtype, error);
}

/* --- shrink --------------------------------------------------------------- */

DloralCudaOp *
dloral_cuda_shrink_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Picture *self = picture_new (device, op);
  const DloralTensor *src = op->src[0], *dst = op->dst;
  int factor = op->u.shrink.factor;
  /* Every output has the same weights: factors are even or 1. */
  double share = factor > 1 ? 0.5 : 0;

  self->job.shrink = (DloralShrink) {.src_h = src->h,.src_w = src->w,
    .dst_h = dst->h,.dst_w = dst->w,.factor = factor,
    .first = factor > 1 ? factor / 2 - 2 : -1
  };
  for (int t = 0; t < 4; t++)
    self->job.shrink.weight[t] = cubic (t - 1 - share, -0.75);
  self->kernel.grid[0] = divide_up (3 * dst->w, DLORAL_SHRINK_THREADS);
  self->kernel.grid[1] = dst->h;
  self->kernel.block[0] = DLORAL_SHRINK_THREADS;
  return picture_finish (self, "shrink", 1, &src->dtype, error);
}

/* --- from_picture --------------------------------------------------------- */

DloralCudaOp *
dloral_cuda_from_picture_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  Picture *self = picture_new (device, op);
  const DloralTensor *dst = op->dst;
  DloralDtype types[] = { dst->dtype, op->src[0]->dtype };
  DloralPatches *patches = &self->job.patches;
  gsize row;

  *patches = dloral_patches_make (dst, op->u.from_picture.patch);
  row = (gsize) patches->w * patches->lines * patches->line
      / DLORAL_PATCHES_GROUP (patches->layout, dloral_dtype_size (dst->dtype));
  self->kernel.grid[0] = divide_up (row, DLORAL_FROM_PICTURE_THREADS);
  self->kernel.grid[1] = patches->h;
  self->kernel.block[0] = DLORAL_FROM_PICTURE_THREADS;
  return picture_finish (self, "from_picture", 2, types, error);
}
