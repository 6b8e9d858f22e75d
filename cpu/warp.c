/* A picture or latent sampled where a flow points.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "strips.h"

static gboolean
warp_run (DloralCpuOp * self, const DloralCpuRun * run, GError ** error)
{
  const DloralOp *op = self->op;
  const DloralTensor *dst = op->dst;
  const DloralKernels *kernels = dloral_kernels_get ();
  const float *src = dloral_cpu_get_data (run, op->src[0]);
  const float *flow = dloral_cpu_get_data (run, op->src[1]);
  float *out = dloral_cpu_get_data (run, dst);

#pragma omp parallel for num_threads (run->threads)
  for (int strip = 0; strip < DLORAL_STRIPS; strip++)
    kernels->warp (out, src, flow, dst->h, dst->w, dst->c,
        dloral_strip_start (strip, dst->h),
        dloral_strip_start (strip + 1, dst->h), op->u.warp.border);
  return TRUE;
}

DloralCpuOp *
dloral_cpu_warp_new (DloralDevice * device, const DloralOp * op,
    GError ** error)
{
  DloralCpuOp *self = g_new0 (DloralCpuOp, 1);

  self->op = op;
  self->run = warp_run;
  return self;
}
