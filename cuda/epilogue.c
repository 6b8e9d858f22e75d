/* Launching kernels/epilogue.cu.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "epilogue.h"
#include "kernels/matrix.h"

static int
get_kernel_act (DloralAct act)
{
  static const int acts[] = {
    [DLORAL_ACT_NONE] = DLORAL_EPILOGUE_NONE,
    [DLORAL_ACT_RELU] = DLORAL_EPILOGUE_RELU,
    [DLORAL_ACT_SILU] = DLORAL_EPILOGUE_SILU,
    [DLORAL_ACT_GELU] = DLORAL_EPILOGUE_GELU,
    [DLORAL_ACT_QUICK_GELU] = DLORAL_EPILOGUE_QUICK_GELU,
    [DLORAL_ACT_TANH] = DLORAL_EPILOGUE_TANH,
  };

  return acts[act];
}

static int
get_residual_type (int dtype)
{
  switch (dtype) {
    case DLORAL_F32:
      return DLORAL_EPILOGUE_RESIDUAL_F32;
    case DLORAL_F16:
      return DLORAL_EPILOGUE_RESIDUAL_F16;
    case DLORAL_BF16:
      return DLORAL_EPILOGUE_RESIDUAL_BF16;
    default:
      return DLORAL_EPILOGUE_NO_RESIDUAL;
  }
}

gboolean
dloral_epilogue_init (DloralEpilogue *epilogue, DloralDevice *device,
    gsize n, int c, DloralDtype x, int residual, DloralDtype y, DloralAct act,
    gboolean after, gboolean geglu, GError **error)
{
  DloralEpilogueParams *p = &epilogue->params;
  DloralDtype types[] = { x, y };

  *epilogue = (DloralEpilogue) { 0 };
  p->rows = n;
  p->c = c;
  p->residual_type = get_residual_type (residual);
  p->act = get_kernel_act (act);
  p->after = after;
  p->vector = c % 8 == 0 ? 8 : 1;
  dloral_matrix_get_grid (n, c / p->vector, DLORAL_EPILOGUE_EACH,
      epilogue->kernel.grid, epilogue->kernel.block);
  return dloral_kernel_find (&epilogue->kernel, device,
      geglu ? "geglu" : "epilogue", 2, types, error);
}

gboolean
dloral_epilogue_launch (const DloralEpilogue *epilogue,
    const DloralCudaRun *run, CUdeviceptr x, CUdeviceptr bias,
    CUdeviceptr residual, CUdeviceptr y, GError **error)
{
  DloralEpilogueParams p = epilogue->params;
  void *args[] = { &p };

  p.x = (const void *) x;
  p.bias = (const float *) bias;
  p.residual = (const void *) residual;
  p.y = (void *) y;
  return dloral_kernel_launch (&epilogue->kernel, run, args, error);
}
