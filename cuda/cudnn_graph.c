/* Building cuDNN's graphs: tensors and operations as descriptors, and beside them
 * a text that says the same.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_private.h"

#include <stdbool.h>

/* Bytes that every tensor's address is a multiple of. */
#define ALIGNMENT 16

struct _DloralCudnnTensor
{
  gint64 uid;
  cudnnBackendDescriptor_t descriptor;
};

/* --- Descriptors -------------------------------------------------------------- */

static void
check (DloralCudnnGraph *g, cudnnStatus_t status, const char *call)
{
  if (g->error == NULL)
    dloral_cudnn_check (g->cudnn->api, status, call, &g->error);
}

cudnnBackendDescriptor_t
dloral_cudnn_graph_make (DloralCudnnGraph *g,
    cudnnBackendDescriptorType_t type)
{
  cudnnBackendDescriptor_t d = NULL;

  if (g->error)
    return NULL;
  check (g, g->cudnn->api->cudnnBackendCreateDescriptor (type, &d),
      "cudnnBackendCreateDescriptor");
  if (g->error)
    return NULL;
  g_ptr_array_add (g->descriptors, d);
  return d;
}

void
dloral_cudnn_graph_set (DloralCudnnGraph *g, cudnnBackendDescriptor_t d,
    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
    gint64 n, const void *values)
{
  if (g->error == NULL)
    check (g, g->cudnn->api->cudnnBackendSetAttribute (d, name, type, n,
            values), "cudnnBackendSetAttribute");
}

void
dloral_cudnn_graph_close (DloralCudnnGraph *g, cudnnBackendDescriptor_t d)
{
  if (g->error == NULL)
    check (g, g->cudnn->api->cudnnBackendFinalize (d), "cudnnBackendFinalize");
}

#define SET(g, d, name, type, value) \
  dloral_cudnn_graph_set (g, d, CUDNN_ATTR_##name, CUDNN_TYPE_##type, 1, \
      &(value))

static void
set_tensor (DloralCudnnGraph *g, cudnnBackendDescriptor_t d,
    cudnnBackendAttributeName_t name, const DloralCudnnTensor *t)
{
  dloral_cudnn_graph_set (g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
      &t->descriptor);
}

static void
add_operation (DloralCudnnGraph *g, cudnnBackendDescriptor_t d)
{
  dloral_cudnn_graph_close (g, d);
  g_array_append_val (g->operations, d);
}

/* --- Graphs ------------------------------------------------------------------- */

DloralCudnnGraph *
dloral_cudnn_graph_new (DloralCudnn *cudnn, gboolean exact,
    const gint *cancelled)
{
  DloralCudnnGraph *g = g_new0 (DloralCudnnGraph, 1);

  g->cudnn = cudnn;
  g->exact = exact;
  g->cancelled = cancelled;
  g->text = g_string_new (exact ? "exact" : "any");
  g->tensors = g_ptr_array_new_with_free_func (g_free);
  g->descriptors = g_ptr_array_new ();
  g->operations = g_array_new (FALSE, FALSE, sizeof (cudnnBackendDescriptor_t));
  g->memory = g_array_new (FALSE, FALSE, sizeof (DloralCudnnMemory));
  return g;
}

/* --- Tensors ------------------------------------------------------------------ */

static cudnnDataType_t
get_data_type (DloralDtype dtype)
{
  return dtype == DLORAL_F32 ? CUDNN_DATA_FLOAT :
      dtype == DLORAL_F16 ? CUDNN_DATA_HALF :
      dtype == DLORAL_E4M3 ? CUDNN_DATA_FP8_E4M3 : CUDNN_DATA_BFLOAT16;
}

/* Bytes from a tensor's first element to behind its last. */
static gsize
get_extent (int rank, const gint64 *dims, const gint64 *strides,
    DloralDtype dtype)
{
  gsize last = 0;

  for (int i = 0; i < rank; i++)
    last += (dims[i] - 1) * strides[i];
  return (last + 1) * dloral_dtype_size (dtype);
}

static void
describe_tensor (DloralCudnnGraph *g, gint64 uid, int rank,
    const gint64 *dims, const gint64 *strides, DloralDtype dtype,
    DloralCudnnPlace place)
{
  g_string_append_printf (g->text, "; t%" G_GINT64_FORMAT " %d/%d", uid, dtype,
      place);
  for (int i = 0; i < rank; i++)
    g_string_append_printf (g->text, " %" G_GINT64_FORMAT ":%"
        G_GINT64_FORMAT, dims[i], strides[i]);
}

static cudnnBackendDescriptor_t
make_tensor (DloralCudnnGraph *g, gint64 uid, int rank, const gint64 *dims,
    const gint64 *strides, DloralDtype dtype, DloralCudnnPlace place)
{
  cudnnBackendDescriptor_t d = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  cudnnDataType_t type = get_data_type (dtype);
  int64_t alignment = place == DLORAL_CUDNN_SCALAR ? 4 : ALIGNMENT;
  bool yes = true;

  SET (g, d, TENSOR_DATA_TYPE, DATA_TYPE, type);
  dloral_cudnn_graph_set (g, d, CUDNN_ATTR_TENSOR_DIMENSIONS,
      CUDNN_TYPE_INT64, rank, dims);
  dloral_cudnn_graph_set (g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64,
      rank, strides);
  SET (g, d, TENSOR_UNIQUE_ID, INT64, uid);
  SET (g, d, TENSOR_BYTE_ALIGNMENT, INT64, alignment);
  if (place == DLORAL_CUDNN_VIRTUAL)
    SET (g, d, TENSOR_IS_VIRTUAL, BOOLEAN, yes);
  if (place == DLORAL_CUDNN_SCALAR)
    SET (g, d, TENSOR_IS_BY_VALUE, BOOLEAN, yes);
  dloral_cudnn_graph_close (g, d);
  return d;
}

DloralCudnnTensor *
dloral_cudnn_tensor (DloralCudnnGraph *g, int rank, const gint64 *dims,
    const gint64 *strides, DloralDtype dtype, DloralCudnnPlace place)
{
  DloralCudnnTensor *t = g_new (DloralCudnnTensor, 1);
  DloralCudnnMemory memory = { g->tensors->len + 1, 0 };

  t->uid = memory.uid;
  g_ptr_array_add (g->tensors, t);
  describe_tensor (g, t->uid, rank, dims, strides, dtype, place);
  t->descriptor = make_tensor (g, t->uid, rank, dims, strides, dtype, place);
  if (place == DLORAL_CUDNN_MEMORY)
    memory.size = get_extent (rank, dims, strides, dtype);
  if (place != DLORAL_CUDNN_VIRTUAL)
    g_array_append_val (g->memory, memory);
  return t;
}

gint64
dloral_cudnn_tensor_get_uid (const DloralCudnnTensor *t)
{
  return t->uid;
}

/* --- Operations --------------------------------------------------------------- */

static cudnnBackendDescriptor_t
make_convolution (DloralCudnnGraph *g, const DloralCudnnConv *conv)
{
  cudnnBackendDescriptor_t d = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  int64_t rank = 2, strides[] = { conv->stride, conv->stride };
  int64_t before[] = { conv->before[0], conv->before[1] };
  int64_t after[] = { conv->after[0], conv->after[1] };
  int64_t dilations[] = { 1, 1 };

  SET (g, d, CONVOLUTION_COMP_TYPE, DATA_TYPE, type);
  SET (g, d, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, mode);
  SET (g, d, CONVOLUTION_SPATIAL_DIMS, INT64, rank);
  dloral_cudnn_graph_set (g, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES,
      CUDNN_TYPE_INT64, 2, strides);
  dloral_cudnn_graph_set (g, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS,
      CUDNN_TYPE_INT64, 2, before);
  dloral_cudnn_graph_set (g, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS,
      CUDNN_TYPE_INT64, 2, after);
  dloral_cudnn_graph_set (g, d, CUDNN_ATTR_CONVOLUTION_DILATIONS,
      CUDNN_TYPE_INT64, 2, dilations);
  dloral_cudnn_graph_close (g, d);
  return d;
}

void
dloral_cudnn_conv (DloralCudnnGraph *g, DloralCudnnTensor *x,
    DloralCudnnTensor *w, DloralCudnnTensor *y, const DloralCudnnConv *conv)
{
  cudnnBackendDescriptor_t c = make_convolution (g, conv);
  cudnnBackendDescriptor_t d = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  float one = 1, zero = 0;

  set_tensor (g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
  SET (g, d, OPERATION_CONVOLUTION_FORWARD_CONV_DESC, BACKEND_DESCRIPTOR, c);
  SET (g, d, OPERATION_CONVOLUTION_FORWARD_ALPHA, FLOAT, one);
  SET (g, d, OPERATION_CONVOLUTION_FORWARD_BETA, FLOAT, zero);
  add_operation (g, d);
  g_string_append_printf (g->text, "; conv %d %d,%d %d,%d %d %d %d",
      conv->stride, conv->before[0], conv->before[1], conv->after[0],
      conv->after[1], (int) x->uid, (int) w->uid, (int) y->uid);
}

void
dloral_cudnn_matmul (DloralCudnnGraph *g, DloralCudnnTensor *a,
    DloralCudnnTensor *b, DloralCudnnTensor *c)
{
  cudnnBackendDescriptor_t m = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_MATMUL_DESCRIPTOR), d;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;

  SET (g, m, MATMUL_COMP_TYPE, DATA_TYPE, type);
  dloral_cudnn_graph_close (g, m);
  d = dloral_cudnn_graph_make (g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
  SET (g, d, OPERATION_MATMUL_DESC, BACKEND_DESCRIPTOR, m);
  add_operation (g, d);
  g_string_append_printf (g->text, "; matmul %d %d %d", (int) a->uid,
      (int) b->uid, (int) c->uid);
}

void
dloral_cudnn_pointwise (DloralCudnnGraph *g, cudnnPointwiseMode_t mode,
    DloralCudnnTensor *x, DloralCudnnTensor *b, DloralCudnnTensor *y)
{
  cudnnBackendDescriptor_t p = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_POINTWISE_DESCRIPTOR), d;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;

  SET (g, p, POINTWISE_MODE, POINTWISE_MODE, mode);
  SET (g, p, POINTWISE_MATH_PREC, DATA_TYPE, type);
  dloral_cudnn_graph_close (g, p);
  d = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  SET (g, d, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, p);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b)
    set_tensor (g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  add_operation (g, d);
  g_string_append_printf (g->text, "; pointwise %d %d %d %d", mode,
      (int) x->uid, b ? (int) b->uid : 0, (int) y->uid);
}

void
dloral_cudnn_attention (DloralCudnnGraph *g, DloralCudnnTensor *q,
    DloralCudnnTensor *k, DloralCudnnTensor *v, DloralCudnnTensor *scale,
    DloralCudnnTensor *o)
{
  cudnnBackendDescriptor_t d = dloral_cudnn_graph_make (g,
      CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);

  set_tensor (g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, q);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, k);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, v);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, o);
  set_tensor (g, d, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, scale);
  add_operation (g, d);
  g_string_append_printf (g->text, "; attention %d %d %d %d %d", (int) q->uid,
      (int) k->uid, (int) v->uid, (int) scale->uid, (int) o->uid);
}
