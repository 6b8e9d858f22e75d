#pragma once
#include "cuda/op.h"
typedef struct { DloralKernel k; } DloralEpilogue;
gboolean dloral_epilogue_init (DloralEpilogue *, DloralDevice *, gsize n, int c, DloralDtype x, int residual, DloralDtype y, DloralAct, gboolean after, gboolean geglu, GError **);
gboolean dloral_epilogue_launch (const DloralEpilogue *, const DloralCudaRun *, CUdeviceptr x, CUdeviceptr bias, CUdeviceptr residual, CUdeviceptr y, GError **);
