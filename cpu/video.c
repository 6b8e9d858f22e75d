/* Bytes of video frames to pictures and back: unpack and pack, rows dealt out to
 * threads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "strips.h"

/* First row of the strip: even, so that rows which share chroma stay together. */
static int
get_start (int strip, int height)
{
  int y = dloral_strip_start (strip, height);

  return strip == DLORAL_STRIPS ? height : y & ~1;
}

/* Bytes of a picture's row. */
static gsize
get_row_size (const DloralTensor *t)
{
  return 3 * (gsize) t->w * dloral_dtype_size (t->dtype);
}

static gboolean
unpack_run (DloralCpuOp *self, const DloralCpuRun *run, GError **error)
{
  const DloralVideoFormat *format = &self->op->u.video.format;
  const guint8 *frame = dloral_cpu_get_data (run, self->op->src[0]);
  guint8 *rgb = dloral_cpu_get_data (run, self->op->dst);
  gsize scratch_size = self->scratch_size / DLORAL_STRIPS;
  gsize stride = get_row_size (self->op->dst);

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++)
    dloral_video_unpack (format, frame, rgb, stride,
        get_start (strip, format->height),
        get_start (strip + 1, format->height),
        run->scratch + strip * scratch_size);
  return TRUE;
}

static gboolean
pack_run (DloralCpuOp *self, const DloralCpuRun *run, GError **error)
{
  const DloralVideoFormat *format = &self->op->u.video.format;
  const guint8 *rgb = dloral_cpu_get_data (run, self->op->src[0]);
  guint8 *frame = dloral_cpu_get_data (run, self->op->dst);
  gsize scratch_size = self->scratch_size / DLORAL_STRIPS;
  gsize stride = get_row_size (self->op->src[0]);

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++)
    dloral_video_pack (format, rgb, stride, frame,
        get_start (strip, format->height),
        get_start (strip + 1, format->height),
        run->scratch + strip * scratch_size);
  return TRUE;
}

static DloralCpuOp *
video_new (const DloralOp *op,
    gboolean (*run) (DloralCpuOp *, const DloralCpuRun *, GError **))
{
  DloralCpuOp *self = g_new0 (DloralCpuOp, 1);

  self->op = op;
  self->scratch_size = DLORAL_STRIPS
      * dloral_align (dloral_video_get_scratch_size (&op->u.video.format));
  self->run = run;
  return self;
}

DloralCpuOp *
dloral_cpu_unpack_new (DloralDevice *device, const DloralOp *op,
    GError **error)
{
  return video_new (op, unpack_run);
}

DloralCpuOp *
dloral_cpu_pack_new (DloralDevice *device, const DloralOp *op, GError **error)
{
  return video_new (op, pack_run);
}
