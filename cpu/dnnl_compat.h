/* The one place where oneDNN 2.x and 3.x differ: descriptors are values there
 * and handles here, and primitives are described in two steps or one.
 *
 * The rest of cpu/ describes operands by DloralOperand and asks for primitive
 * descriptors; everything else it calls is the same in both.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#include "engine/types.h"

G_BEGIN_DECLS

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t DloralConstMd;
#else
typedef const dnnl_memory_desc_t *DloralConstMd;
#endif

/* Shape, element type and layout of one operand of a primitive. rank 0: there
 * is no such operand. any: the primitive chooses the layout, else strides (in
 * elements) say it. */
typedef struct
{
  int rank;
  gboolean any;
  dnnl_dims_t dims, strides;
  dnnl_data_type_t type;
} DloralOperand;

/* What a primitive does to its result before it writes it. */
typedef struct
{
  enum
  {
    DLORAL_POST_ELTWISE,        /* alg (x), see dnnl_eltwise_… */
    DLORAL_POST_BINARY,         /* alg (x, operand), see dnnl_binary_… */
    DLORAL_POST_SUM,            /* x + what dst held */
  } kind;
  dnnl_alg_kind_t alg;
  float alpha;
  const DloralOperand *operand;
} DloralPostOp;

#define DLORAL_MAX_POST_OPS 3

typedef struct
{
  int n;
  DloralPostOp op[DLORAL_MAX_POST_OPS];
} DloralPostOps;

typedef struct
{
  DloralOperand src, weights, bias, dst;
  DloralPostOps post;
  /* Convolutions only: */
  dnnl_dims_t strides, pad_l, pad_r;    /* y, x */
} DloralMatrixParams;

static inline dnnl_data_type_t
dloral_dnnl_type (DloralDtype dtype)
{
  return dtype == DLORAL_BF16 ? dnnl_bf16 : dtype == DLORAL_F16 ? dnnl_f16
      : dtype == DLORAL_U8 ? dnnl_u8 : dnnl_f32;
}

/* Primitive descriptors; the scratchpad is the caller's in all of them. A
 * descriptor is destroyed with dnnl_primitive_desc_destroy (). */
dnnl_status_t dloral_dnnl_conv (dnnl_primitive_desc_t * pd,
    dnnl_engine_t engine, const DloralMatrixParams * params);
dnnl_status_t dloral_dnnl_matmul (dnnl_primitive_desc_t * pd,
    dnnl_engine_t engine, const DloralMatrixParams * params);
/* Over the last axis. */
dnnl_status_t dloral_dnnl_softmax (dnnl_primitive_desc_t * pd,
    dnnl_engine_t engine, const DloralOperand * src, const DloralOperand * dst);
/* Over the last axis with scale and shift; src and dst are alike. */
dnnl_status_t dloral_dnnl_layer_norm (dnnl_primitive_desc_t * pd,
    dnnl_engine_t engine, const DloralOperand * data, float eps);
dnnl_status_t dloral_dnnl_reorder (dnnl_primitive_desc_t * pd,
    dnnl_engine_t engine, const DloralOperand * src, const DloralOperand * dst);
/* Into a layout that another primitive chose. */
dnnl_status_t dloral_dnnl_reorder_to (dnnl_primitive_desc_t * pd,
    dnnl_engine_t engine, const DloralOperand * src, DloralConstMd dst);

G_END_DECLS
