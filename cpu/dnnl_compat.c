/* oneDNN 2.x and 3.x behind one set of functions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dnnl_compat.h"

/* A descriptor for the time of a call: `ptr` is NULL for an operand that is not
 * there. */
typedef struct
{
  dnnl_memory_desc_t md;
  DloralConstMd ptr;
} Desc;

#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t
desc_init (Desc * desc, const DloralOperand * o)
{
  dnnl_status_t status;

  desc->ptr = NULL;
  if (o->rank == 0)
    return dnnl_success;
  if (o->any)
    status = dnnl_memory_desc_create_with_tag (&desc->md, o->rank, o->dims,
        o->type, dnnl_format_tag_any);
  else
    status = dnnl_memory_desc_create_with_strides (&desc->md, o->rank,
        o->dims, o->type, o->strides);
  if (status == dnnl_success)
    desc->ptr = desc->md;
  return status;
}

static void
desc_clear (Desc * desc)
{
  if (desc->ptr)
    dnnl_memory_desc_destroy (desc->md);
  desc->ptr = NULL;
}

#else

static dnnl_status_t
desc_init (Desc * desc, const DloralOperand * o)
{
  dnnl_status_t status;

  desc->ptr = NULL;
  if (o->rank == 0)
    return dnnl_success;
  if (o->any)
    status = dnnl_memory_desc_init_by_tag (&desc->md, o->rank, o->dims,
        o->type, dnnl_format_tag_any);
  else
    status = dnnl_memory_desc_init_by_strides (&desc->md, o->rank, o->dims,
        o->type, o->strides);
  if (status == dnnl_success)
    desc->ptr = &desc->md;
  return status;
}

static void
desc_clear (Desc * desc)
{
  desc->ptr = NULL;
}

#endif

/* Initialises `n` descriptors; on failure none is left to clear. */
static dnnl_status_t
descs_init (Desc * descs, int n, const DloralOperand * const *operands)
{
  dnnl_status_t status = dnnl_success;
  int i;

  for (i = 0; i < n; i++)
    descs[i].ptr = NULL;
  for (i = 0; i < n && status == dnnl_success; i++)
    status = desc_init (&descs[i], operands[i]);
  if (status != dnnl_success)
    while (i-- > 0)
      desc_clear (&descs[i]);
  return status;
}

static void
descs_clear (Desc * descs, int n)
{
  while (n-- > 0)
    desc_clear (&descs[n]);
}

static dnnl_status_t
append_eltwise (dnnl_post_ops_t ops, const DloralPostOp * op)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_eltwise (ops, op->alg, op->alpha, 0.0f);
#else
  return dnnl_post_ops_append_eltwise (ops, 1.0f, op->alg, op->alpha, 0.0f);
#endif
}

static dnnl_status_t
append_sum (dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_sum (ops, 1.0f, 0, dnnl_data_type_undef);
#else
  return dnnl_post_ops_append_sum (ops, 1.0f);
#endif
}

static dnnl_status_t
append_binary (dnnl_post_ops_t ops, const DloralPostOp * op)
{
  Desc desc;
  dnnl_status_t status = desc_init (&desc, op->operand);

  if (status != dnnl_success)
    return status;
  status = dnnl_post_ops_append_binary (ops, op->alg, desc.ptr);
  desc_clear (&desc);
  return status;
}

static dnnl_status_t
fill_post_ops (dnnl_post_ops_t ops, const DloralPostOps * post)
{
  dnnl_status_t status = dnnl_success;
  int i;

  for (i = 0; i < post->n && status == dnnl_success; i++) {
    const DloralPostOp *op = &post->op[i];

    switch (op->kind) {
      case DLORAL_POST_ELTWISE:
        status = append_eltwise (ops, op);
        break;
      case DLORAL_POST_BINARY:
        status = append_binary (ops, op);
        break;
      case DLORAL_POST_SUM:
        status = append_sum (ops);
        break;
    }
  }
  return status;
}

static dnnl_status_t
set_post_ops (dnnl_primitive_attr_t attr, const DloralPostOps * post)
{
  dnnl_post_ops_t ops;
  dnnl_status_t status = dnnl_post_ops_create (&ops);

  if (status != dnnl_success)
    return status;
  status = fill_post_ops (ops, post);
  if (status == dnnl_success)
    status = dnnl_primitive_attr_set_post_ops (attr, ops);
  dnnl_post_ops_destroy (ops);
  return status;
}

/* post: NULL for none. */
static dnnl_status_t
attr_create (dnnl_primitive_attr_t * attr, const DloralPostOps * post)
{
  dnnl_status_t status = dnnl_primitive_attr_create (attr);

  if (status != dnnl_success)
    return status;
  status = dnnl_primitive_attr_set_scratchpad_mode (*attr,
      dnnl_scratchpad_mode_user);
  if (status == dnnl_success && post)
    status = set_post_ops (*attr, post);
  if (status != dnnl_success)
    dnnl_primitive_attr_destroy (*attr);
  return status;
}

static dnnl_status_t
create_conv (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralMatrixParams * p, const Desc * d, dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
  dnnl_dims_t dilates = { 0, 0 };

  return dnnl_convolution_forward_primitive_desc_create (pd, engine,
      dnnl_forward_inference, dnnl_convolution_direct, d[0].ptr, d[1].ptr,
      d[2].ptr, d[3].ptr, p->strides, dilates, p->pad_l, p->pad_r, attr);
#else
  dnnl_convolution_desc_t desc;
  dnnl_status_t status = dnnl_convolution_forward_desc_init (&desc,
      dnnl_forward_inference, dnnl_convolution_direct, d[0].ptr, d[1].ptr,
      d[2].ptr, d[3].ptr, p->strides, p->pad_l, p->pad_r);

  if (status != dnnl_success)
    return status;
  return dnnl_primitive_desc_create (pd, &desc, attr, engine, NULL);
#endif
}

static dnnl_status_t
create_matmul (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralMatrixParams * p, const Desc * d, dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_matmul_primitive_desc_create (pd, engine, d[0].ptr, d[1].ptr,
      d[2].ptr, d[3].ptr, attr);
#else
  dnnl_matmul_desc_t desc;
  dnnl_status_t status = dnnl_matmul_desc_init (&desc, d[0].ptr, d[1].ptr,
      d[2].ptr, d[3].ptr);

  if (status != dnnl_success)
    return status;
  return dnnl_primitive_desc_create (pd, &desc, attr, engine, NULL);
#endif
}

typedef dnnl_status_t (*CreateMatrix) (dnnl_primitive_desc_t * pd,
    dnnl_engine_t engine, const DloralMatrixParams * p, const Desc * d,
    dnnl_primitive_attr_t attr);

static dnnl_status_t
create_matrix (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralMatrixParams * p, CreateMatrix create)
{
  const DloralOperand *operands[] = { &p->src, &p->weights, &p->bias, &p->dst };
  dnnl_primitive_attr_t attr;
  Desc descs[4];
  dnnl_status_t status = descs_init (descs, 4, operands);

  if (status != dnnl_success)
    return status;
  status = attr_create (&attr, &p->post);
  if (status == dnnl_success) {
    status = create (pd, engine, p, descs, attr);
    dnnl_primitive_attr_destroy (attr);
  }
  descs_clear (descs, 4);
  return status;
}

dnnl_status_t
dloral_dnnl_conv (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralMatrixParams * params)
{
  return create_matrix (pd, engine, params, create_conv);
}

dnnl_status_t
dloral_dnnl_matmul (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralMatrixParams * params)
{
  return create_matrix (pd, engine, params, create_matmul);
}

static dnnl_status_t
create_softmax (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const Desc * d, int axis, dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_softmax_forward_primitive_desc_create (pd, engine,
      dnnl_forward_inference, dnnl_softmax_accurate, d[0].ptr, d[1].ptr, axis,
      attr);
#else
  dnnl_softmax_v2_desc_t desc;
  dnnl_status_t status = dnnl_softmax_v2_forward_desc_init (&desc,
      dnnl_forward_inference, dnnl_softmax_accurate, d[0].ptr, d[1].ptr, axis);

  if (status != dnnl_success)
    return status;
  return dnnl_primitive_desc_create (pd, &desc, attr, engine, NULL);
#endif
}

dnnl_status_t
dloral_dnnl_softmax (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralOperand * src, const DloralOperand * dst)
{
  const DloralOperand *operands[] = { src, dst };
  dnnl_primitive_attr_t attr;
  Desc descs[2];
  dnnl_status_t status = descs_init (descs, 2, operands);

  if (status != dnnl_success)
    return status;
  status = attr_create (&attr, NULL);
  if (status == dnnl_success) {
    status = create_softmax (pd, engine, descs, src->rank - 1, attr);
    dnnl_primitive_attr_destroy (attr);
  }
  descs_clear (descs, 2);
  return status;
}

static dnnl_status_t
create_layer_norm (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const Desc * data, float eps, dnnl_primitive_attr_t attr)
{
  unsigned flags = dnnl_use_scale | dnnl_use_shift;
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_layer_normalization_forward_primitive_desc_create (pd, engine,
      dnnl_forward_inference, data->ptr, data->ptr, NULL, eps, flags, attr);
#else
  dnnl_layer_normalization_desc_t desc;
  dnnl_status_t status = dnnl_layer_normalization_forward_desc_init (&desc,
      dnnl_forward_inference, data->ptr, NULL, eps, flags);

  if (status != dnnl_success)
    return status;
  return dnnl_primitive_desc_create (pd, &desc, attr, engine, NULL);
#endif
}

dnnl_status_t
dloral_dnnl_layer_norm (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralOperand * data, float eps)
{
  dnnl_primitive_attr_t attr;
  Desc desc;
  dnnl_status_t status = desc_init (&desc, data);

  if (status != dnnl_success)
    return status;
  status = attr_create (&attr, NULL);
  if (status == dnnl_success) {
    status = create_layer_norm (pd, engine, &desc, eps, attr);
    dnnl_primitive_attr_destroy (attr);
  }
  desc_clear (&desc);
  return status;
}

dnnl_status_t
dloral_dnnl_reorder_to (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralOperand * src, DloralConstMd dst)
{
  dnnl_primitive_attr_t attr;
  Desc desc;
  dnnl_status_t status = desc_init (&desc, src);

  if (status != dnnl_success)
    return status;
  status = attr_create (&attr, NULL);
  if (status == dnnl_success) {
    status = dnnl_reorder_primitive_desc_create (pd, desc.ptr, engine, dst,
        engine, attr);
    dnnl_primitive_attr_destroy (attr);
  }
  desc_clear (&desc);
  return status;
}

dnnl_status_t
dloral_dnnl_reorder (dnnl_primitive_desc_t * pd, dnnl_engine_t engine,
    const DloralOperand * src, const DloralOperand * dst)
{
  Desc desc;
  dnnl_status_t status = desc_init (&desc, dst);

  if (status != dnnl_success)
    return status;
  status = dloral_dnnl_reorder_to (pd, engine, src, desc.ptr);
  desc_clear (&desc);
  return status;
}
