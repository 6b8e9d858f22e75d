/* Bytes of video frames to pictures and back: unpack and pack. Kernels of
 * kernels/video.cu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"
#include "kernels/video.h"

typedef struct
{
  DloralCudaOp base;
  DloralKernel kernel;
  DloralVideoFormat format;
} Video;

static gboolean
unpack_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Video *self = (Video *) base;
  CUdeviceptr frame = dloral_cuda_get_data (run, base->op->src[0]);
  CUdeviceptr rgb = dloral_cuda_get_data (run, base->op->dst);
  void *args[] = { &self->format, &frame, &rgb };

  return dloral_kernel_launch (&self->kernel, run, args, error);
}

static gboolean
pack_launch (DloralCudaOp *base, const DloralCudaRun *run, GError **error)
{
  Video *self = (Video *) base;
  CUdeviceptr rgb = dloral_cuda_get_data (run, base->op->src[0]);
  CUdeviceptr frame = dloral_cuda_get_data (run, base->op->dst);
  gsize stride = 3 * (gsize) base->op->src[0]->w;
  void *args[] = { &self->format, &rgb, &stride, &frame };

  return dloral_kernel_launch (&self->kernel, run, args, error);
}

/* A block for so many of a row's n items. */
static DloralCudaOp *
video_new (DloralDevice *device, const DloralOp *op, const char *kernel,
    DloralDtype picture, int rows, int n, GError **error)
{
  Video *self = g_new0 (Video, 1);

  self->base.op = op;
  self->base.device = device;
  self->format = op->u.video.format;
  self->kernel.grid[0] = (n + DLORAL_VIDEO_THREADS - 1) / DLORAL_VIDEO_THREADS;
  self->kernel.grid[1] = rows;
  self->kernel.block[0] = DLORAL_VIDEO_THREADS;
  if (dloral_kernel_find (&self->kernel, device, kernel, 1, &picture,
          error))
    return &self->base;
  g_free (self);
  return NULL;
}

DloralCudaOp *
dloral_cuda_unpack_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  const DloralVideoFormat *f = &op->u.video.format;
  DloralCudaOp *self = video_new (device, op, "unpack", op->dst->dtype,
      f->height, f->width, error);

  if (self)
    self->launch = unpack_launch;
  return self;
}

DloralCudaOp *
dloral_cuda_pack_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  const DloralVideoFormat *f = &op->u.video.format;
  DloralCudaOp *self = video_new (device, op, "pack", op->src[0]->dtype,
      dloral_video_get_chroma (f->height, f->h_sub),
      dloral_video_get_chroma (f->width, f->w_sub), error);

  if (self)
    self->launch = pack_launch;
  return self;
}
