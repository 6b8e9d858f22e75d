/* What follows a product where cuDNN has no kernel that does it at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "kernels/epilogue.h"
#include "op.h"

G_BEGIN_DECLS

typedef struct
{
  DloralKernel kernel;
  DloralEpilogueParams params;  /* without addresses */
} DloralEpilogue;

/* y [n][c] = act (x [n][c] + bias [c] + residual [n][c]), where `after` is set
 * act (x + bias) + residual; or, with geglu, (a + bias [0 … c - 1]) ·
 * gelu (b + bias [c … 2·c - 1]) with x [n][2·c] = a, b side by side. x,
 * residual and y are f32 or of one and the same other type; residual -1: there is
 * none, as always with geglu. */
gboolean dloral_epilogue_init (DloralEpilogue * epilogue,
    DloralDevice * device, gsize n, int c, DloralDtype x, int residual,
    DloralDtype y, DloralAct act, gboolean after, gboolean geglu,
    GError ** error);

/* All are aligned to DLORAL_ALIGN bytes; bias is f32, 0: none. y may be x where
 * both have one type and it is not geglu, otherwise it overlaps nothing. */
gboolean dloral_epilogue_launch (const DloralEpilogue * epilogue,
    const DloralCudaRun * run, CUdeviceptr x, CUdeviceptr bias,
    CUdeviceptr residual, CUdeviceptr y, GError ** error);

G_END_DECLS
