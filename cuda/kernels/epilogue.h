/* What epilogue.cu's kernels are told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/* Rows that a thread takes. */
#define DLORAL_EPILOGUE_EACH 2

/* DloralAct's, which kernels cannot include. */
enum
{
  DLORAL_EPILOGUE_NONE,
  DLORAL_EPILOGUE_RELU,
  DLORAL_EPILOGUE_SILU,
  DLORAL_EPILOGUE_GELU,
  DLORAL_EPILOGUE_QUICK_GELU,
  DLORAL_EPILOGUE_TANH,
};

enum
{
  DLORAL_EPILOGUE_NO_RESIDUAL,
  DLORAL_EPILOGUE_RESIDUAL_F32,
  DLORAL_EPILOGUE_RESIDUAL_BF16,
  DLORAL_EPILOGUE_RESIDUAL_F16,
};

/* x and y are of the kernel's two types. */
typedef struct
{
  const void *x;                /* [rows][c]; [rows][2c] for geglu */
  const float *bias;            /* of x's columns; NULL: none */
  const void *residual;         /* [rows][c] */
  void *y;                      /* [rows][c]; may be x where that has the same
                                 * type and shape */
  int rows, c;
  int residual_type;            /* DLORAL_EPILOGUE_… */
  int act;                      /* DLORAL_EPILOGUE_… */
  int after;                    /* the residual is added to the activation */
  int vector;                   /* elements moved as one: 8 or 1 */
} DloralEpilogueParams;
