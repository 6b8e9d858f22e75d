/* Descriptors and tensors for tests of cuDNN on the CPU.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_builder.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define POISON 0xb7

void
builder_init (Builder *b)
{
  memset (b, 0, sizeof *b);
  b->descriptors = g_array_new (FALSE, FALSE, sizeof (Descriptor));
  b->tensors = g_ptr_array_new ();
  b->engine = 1;
  b->workspace = g_malloc (BUILDER_WORKSPACE);
  builder_note (b, cudnnCreate (&b->handle));
}

void
builder_clear (Builder *b)
{
  for (guint i = 0; i < b->descriptors->len; i++)
    cudnnBackendDestroyDescriptor (g_array_index (b->descriptors, Descriptor,
            i));
  for (guint i = 0; i < b->tensors->len; i++) {
    Tensor *t = b->tensors->pdata[i];

    g_free (t->memory);
    g_free (t);
  }
  if (b->handle)
    cudnnDestroy (b->handle);
  g_array_free (b->descriptors, TRUE);
  g_ptr_array_free (b->tensors, TRUE);
  g_free (b->workspace);
}

void
builder_note (Builder *b, cudnnStatus_t status)
{
  if (b->status != CUDNN_STATUS_SUCCESS || status == CUDNN_STATUS_SUCCESS)
    return;
  b->status = status;
  cudnnGetLastErrorString (b->message, sizeof b->message);
}

void
builder_assert_refused (Builder *b, cudnnStatus_t status, const char *words)
{
  if (!strstr (b->message, words))
    g_assert_cmpstr (b->message, ==, words);
  g_assert_cmpint (b->status, ==, status);
  b->status = CUDNN_STATUS_SUCCESS;
  b->message[0] = '\0';
}

/* --- numbers -------------------------------------------------------------- */

typedef struct
{
  gsize size;
  int exponent_bits, mantissa_bits;
  gboolean infinite;            /* has infinities */
  double highest;
} Format;

static Format
type_get_format (cudnnDataType_t type)
{
  switch (type) {
    case CUDNN_DATA_FLOAT:
      return (Format) { 4, 8, 23, TRUE, 0x1.fffffep127 };
    case CUDNN_DATA_HALF:
      return (Format) { 2, 5, 10, TRUE, 65504 };
    case CUDNN_DATA_BFLOAT16:
      return (Format) { 2, 8, 7, TRUE, 0x1.fep127 };
    case CUDNN_DATA_FP8_E4M3:
      return (Format) { 1, 4, 3, FALSE, 448 };
    case CUDNN_DATA_FP8_E5M2:
      return (Format) { 1, 5, 2, FALSE, 57344 };
    default:
      g_assert_not_reached ();
  }
}

gsize
type_get_size (cudnnDataType_t type)
{
  return type == CUDNN_DATA_INT32 ? 4 : type_get_format (type).size;
}

double
type_get_step (cudnnDataType_t type, double value)
{
  Format f;
  int exponent;

  if (type == CUDNN_DATA_INT32)
    return 1;
  f = type_get_format (type);
  frexp (value, &exponent);
  exponent = MAX (exponent - 1, 2 - (1 << (f.exponent_bits - 1)));
  return ldexp (1, exponent - f.mantissa_bits);
}

double
type_round (cudnnDataType_t type, double value)
{
  double step = type_get_step (type, value), result;
  Format f;

  if (type == CUDNN_DATA_INT32)
    return CLAMP (nearbyint (value), G_MININT32, G_MAXINT32);
  f = type_get_format (type);
  if (isnan (value))
    return value;
  result = isinf (value) ? value : nearbyint (value / step) * step;
  if (fabs (result) > f.highest)
    result = copysign (f.infinite ? INFINITY : f.highest, value);
  return result;
}

static double
decode (cudnnDataType_t type, guint32 bits)
{
  Format f = type_get_format (type);
  int sign = bits >> (f.exponent_bits + f.mantissa_bits);
  int bias = (1 << (f.exponent_bits - 1)) - 1;
  int exponent = (bits >> f.mantissa_bits) & ((1 << f.exponent_bits) - 1);
  int mantissa = bits & ((1 << f.mantissa_bits) - 1);
  gboolean last = exponent == (1 << f.exponent_bits) - 1;
  double value;

  if (last && type == CUDNN_DATA_FP8_E4M3)
    last = mantissa == 7;
  if (last)
    value = mantissa ? NAN : INFINITY;
  else if (exponent == 0)
    value = ldexp (mantissa, 1 - bias - f.mantissa_bits);
  else
    value = ldexp (mantissa + (1 << f.mantissa_bits),
        exponent - bias - f.mantissa_bits);
  return sign ? -value : value;
}

/* Of a number that the type has and that is finite. */
static guint32
encode (cudnnDataType_t type, double value)
{
  Format f = type_get_format (type);
  double step = type_get_step (type, value);
  int bias = (1 << (f.exponent_bits - 1)) - 1;
  guint32 mantissa = fabs (value) / step, sign = signbit (value) ? 1 : 0;
  int exponent = 0;

  if (mantissa >> f.mantissa_bits)
    exponent = ilogb (value) + bias;
  mantissa &= (1u << f.mantissa_bits) - 1;
  return ((sign << f.exponent_bits | exponent) << f.mantissa_bits) | mantissa;
}

/* --- tensors -------------------------------------------------------------- */

Tensor *
tensor_new (Builder *b, cudnnDataType_t type, int rank, const gint64 *dims)
{
  Tensor *t = g_new0 (Tensor, 1);
  gint64 stride = 1;

  g_ptr_array_add (b->tensors, t);
  t->id = 100 + b->tensors->len;
  t->type = type;
  t->rank = rank;
  t->alignment = type_get_size (type);
  for (int d = 3; d >= 0; d--) {
    t->dims[d] = d < rank ? dims[d] : 1;
    t->strides[d] = d < rank ? stride : 0;
    stride *= t->dims[d];
  }
  return t;
}

Tensor *
tensor_new_view (Builder *b, const Tensor *t)
{
  Tensor *view = tensor_new (b, t->type, t->rank, t->dims);

  memcpy (view->strides, t->strides, sizeof view->strides);
  view->start = t->start;
  return view;
}

void
tensor_scatter (Tensor *t, GRand *rand)
{
  gint64 stride = g_rand_int_range (rand, 1, 3);
  gboolean done[4] = { FALSE };

  for (int i = 0; i < t->rank; i++) {
    int d;

    do
      d = g_rand_int_range (rand, 0, t->rank);
    while (done[d]);
    done[d] = TRUE;
    t->strides[d] = stride;
    stride = stride * t->dims[d] + g_rand_int_range (rand, 0, 3);
  }
}

static void
tensor_alloc (Tensor *t)
{
  gsize size = type_get_size (t->type), last = 0;

  for (int d = 0; d < t->rank; d++)
    last += (t->dims[d] - 1) * t->strides[d];
  t->size = 64 + (last + 1) * size + 64;
  t->memory = g_malloc (t->size);
  memset (t->memory, POISON, t->size);
  t->start = t->memory + 64;
}

Tensor *
tensor_finish (Builder *b, Tensor *t)
{
  bool yes = true;

  t->descriptor = build (b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  build_set (b, t->descriptor, CUDNN_ATTR_TENSOR_DATA_TYPE,
      CUDNN_TYPE_DATA_TYPE, 1, &t->type);
  build_set (b, t->descriptor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64,
      t->rank, t->dims);
  build_set (b, t->descriptor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64,
      t->rank, t->strides);
  build_set (b, t->descriptor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64,
      1, &t->id);
  build_set (b, t->descriptor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT,
      CUDNN_TYPE_INT64, 1, &t->alignment);
  if (t->is_virtual)
    build_set (b, t->descriptor, CUDNN_ATTR_TENSOR_IS_VIRTUAL,
        CUDNN_TYPE_BOOLEAN, 1, &yes);
  if (t->by_value)
    build_set (b, t->descriptor, CUDNN_ATTR_TENSOR_IS_BY_VALUE,
        CUDNN_TYPE_BOOLEAN, 1, &yes);
  build_finish (b, t->descriptor);
  if (!t->is_virtual && !t->start)
    tensor_alloc (t);
  return t;
}

static guint8 *
tensor_get_place (const Tensor *t, const gint64 *index)
{
  gint64 offset = 0;

  for (int d = 0; d < 4; d++)
    offset += index[d] * t->strides[d];
  return t->start + offset * type_get_size (t->type);
}

double
tensor_get (const Tensor *t, const gint64 *index)
{
  guint32 bits = 0;

  memcpy (&bits, tensor_get_place (t, index), type_get_size (t->type));
  return t->type == CUDNN_DATA_INT32 ? (gint32) bits : decode (t->type, bits);
}

void
tensor_set (Tensor *t, const gint64 *index, double value)
{
  guint32 bits = t->type == CUDNN_DATA_INT32 ? (guint32) (gint32) value
      : encode (t->type, value);

  memcpy (tensor_get_place (t, index), &bits, type_get_size (t->type));
}

gboolean
tensor_next (const Tensor *t, gint64 *index)
{
  for (int d = 3; d >= 0; d--) {
    if (++index[d] < t->dims[d])
      return TRUE;
    index[d] = 0;
  }
  return FALSE;
}

void
tensor_fill (Tensor *t, GRand *rand, double high)
{
  gint64 index[4] = { 0 };

  do
    tensor_set (t, index, type_round (t->type,
            g_rand_double_range (rand, -high, high)));
  while (tensor_next (t, index));
}

void
tensor_check_gaps (const Tensor *t)
{
  guint8 *element = g_malloc0 (t->size);
  gint64 index[4] = { 0 };

  do
    memset (element + (tensor_get_place (t, index) - t->memory), 1,
        type_get_size (t->type));
  while (tensor_next (t, index));
  for (gsize i = 0; i < t->size; i++)
    g_assert_true (element[i] || t->memory[i] == POISON);
  g_free (element);
}

/* --- descriptors ---------------------------------------------------------- */

Descriptor
build (Builder *b, cudnnBackendDescriptorType_t type)
{
  Descriptor d = NULL;

  builder_note (b, cudnnBackendCreateDescriptor (type, &d));
  if (d)
    g_array_append_val (b->descriptors, d);
  return d;
}

void
build_set (Builder *b, Descriptor d, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, gint64 count, gconstpointer elements)
{
  builder_note (b, cudnnBackendSetAttribute (d, name, type, count, elements));
}

void
build_refer (Builder *b, Descriptor d, cudnnBackendAttributeName_t name,
    Descriptor referred)
{
  build_set (b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &referred);
}

Descriptor
build_finish (Builder *b, Descriptor d)
{
  builder_note (b, cudnnBackendFinalize (d));
  return d;
}

static void
set_type (Builder *b, Descriptor d, cudnnBackendAttributeName_t name)
{
  cudnnDataType_t type = CUDNN_DATA_FLOAT;

  build_set (b, d, name, CUDNN_TYPE_DATA_TYPE, 1, &type);
}

Descriptor
build_convolution (Builder *b, const Tensor *x, const Tensor *w,
    const Tensor *y, const gint64 *stride, const gint64 *before,
    const gint64 *after)
{
  Descriptor c = build (b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR), op;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  gint64 n = 2, ones[2] = { 1, 1 };
  float alpha = 1, beta = 0;

  set_type (b, c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE);
  build_set (b, c, CUDNN_ATTR_CONVOLUTION_CONV_MODE,
      CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  build_set (b, c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1,
      &n);
  build_set (b, c, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2,
      stride);
  build_set (b, c, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2,
      before);
  build_set (b, c, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2,
      after);
  build_set (b, c, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2,
      ones);
  build_finish (b, c);
  op = build (b, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  build_refer (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
      x->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
      w->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
      y->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, c);
  build_set (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
      CUDNN_TYPE_FLOAT, 1, &alpha);
  build_set (b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
      CUDNN_TYPE_FLOAT, 1, &beta);
  return build_finish (b, op);
}

Descriptor
build_matmul (Builder *b, const Tensor *a, const Tensor *b2, const Tensor *c)
{
  Descriptor m = build (b, CUDNN_BACKEND_MATMUL_DESCRIPTOR), op;

  set_type (b, m, CUDNN_ATTR_MATMUL_COMP_TYPE);
  build_finish (b, m);
  op = build (b, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  build_refer (b, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b2->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, m);
  return build_finish (b, op);
}

Descriptor
build_pointwise (Builder *b, int mode, const Tensor *x, const Tensor *operand,
    const Tensor *y)
{
  Descriptor p = build (b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op;

  build_set (b, p, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1,
      &mode);
  set_type (b, p, CUDNN_ATTR_POINTWISE_MATH_PREC);
  build_finish (b, p);
  op = build (b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  build_refer (b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, p);
  build_refer (b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x->descriptor);
  if (operand)
    build_refer (b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
        operand->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y->descriptor);
  return build_finish (b, op);
}

Descriptor
build_reduction (Builder *b, int mode, const Tensor *x, const Tensor *y)
{
  Descriptor r = build (b, CUDNN_BACKEND_REDUCTION_DESCRIPTOR), op;

  build_set (b, r, CUDNN_ATTR_REDUCTION_OPERATOR,
      CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &mode);
  set_type (b, r, CUDNN_ATTR_REDUCTION_COMP_TYPE);
  build_finish (b, r);
  op = build (b, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  build_refer (b, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, r);
  return build_finish (b, op);
}

Descriptor
build_statistics (Builder *b, const Tensor *x, const Tensor *sum,
    const Tensor *square_sum)
{
  Descriptor op = build (b, CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
  cudnnGenStatsMode_t mode = CUDNN_GENSTATS_SUM_SQSUM;

  build_set (b, op, CUDNN_ATTR_OPERATION_GENSTATS_MODE,
      CUDNN_TYPE_GENSTATS_MODE, 1, &mode);
  set_type (b, op, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC);
  build_refer (b, op, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, x->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, sum->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC,
      square_sum->descriptor);
  return build_finish (b, op);
}

Descriptor
build_sdpa (Builder *b, const Tensor *q, const Tensor *k, const Tensor *v,
    const Tensor *scale, const Tensor *o)
{
  Descriptor op = build (b, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);

  build_refer (b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, q->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, k->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, v->descriptor);
  build_refer (b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, o->descriptor);
  if (scale)
    build_refer (b, op, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC,
        scale->descriptor);
  return build_finish (b, op);
}

/* --- plans ---------------------------------------------------------------- */

Descriptor
build_graph (Builder *b, int n, const Descriptor *operations)
{
  Descriptor graph = build (b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);

  build_set (b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS,
      CUDNN_TYPE_BACKEND_DESCRIPTOR, n, operations);
  return build_finish (b, graph);
}

Descriptor
build_device (Builder *b)
{
  static const char text[] = "{\"deviceVer\": 900}";
  Descriptor device = build (b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);

  build_set (b, device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
      CUDNN_TYPE_CHAR, strlen (text), text);
  return build_finish (b, device);
}

Descriptor
build_config (Builder *b, Descriptor graph, cudnnBackendHeurMode_t mode,
    int index)
{
  Descriptor heuristics = build (b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  Descriptor configs[8];
  int64_t n = 0;

  build_refer (b, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  build_refer (b, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
      build_device (b));
  build_set (b, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1,
      &mode);
  build_finish (b, heuristics);
  for (gsize i = 0; i < G_N_ELEMENTS (configs); i++)
    configs[i] = build (b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  builder_note (b, cudnnBackendGetAttribute (heuristics,
          CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
          G_N_ELEMENTS (configs), &n, configs));
  return index < n ? configs[index] : NULL;
}

Descriptor
build_plan (Builder *b, int n, const Descriptor *operations)
{
  Descriptor plan = build (b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);

  build_refer (b, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
      build_config (b, build_graph (b, n, operations), CUDNN_HEUR_MODE_A,
          b->engine));
  build_refer (b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
      build_device (b));
  return build_finish (b, plan);
}

char *
builder_write_plan (Builder *b, Descriptor plan, gint64 *length)
{
  int64_t n = 0;
  char *text;

  builder_note (b, cudnnBackendGetAttribute (plan,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0,
          &n, NULL));
  text = g_malloc (n + 1);
  builder_note (b, cudnnBackendGetAttribute (plan,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, n,
          &n, text));
  *length = n;
  return text;
}

Descriptor
build_plan_of_text (Builder *b, const char *text, gint64 length)
{
  Descriptor plan = build (b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);

  build_refer (b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
      build_device (b));
  build_set (b, plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
      CUDNN_TYPE_CHAR, length, text);
  return build_finish (b, plan);
}

Descriptor
build_pack (Builder *b)
{
  Descriptor pack = build (b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  GArray *ids = g_array_new (FALSE, FALSE, sizeof (gint64));
  GPtrArray *pointers = g_ptr_array_new ();

  for (guint i = 0; i < b->tensors->len; i++) {
    Tensor *t = b->tensors->pdata[i];

    if (t->start) {
      g_array_append_val (ids, t->id);
      g_ptr_array_add (pointers, t->start);
    }
  }
  build_set (b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
      ids->len, ids->data);
  build_set (b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
      CUDNN_TYPE_VOID_PTR, pointers->len, pointers->pdata);
  build_set (b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR,
      1, &b->workspace);
  g_array_free (ids, TRUE);
  g_ptr_array_free (pointers, TRUE);
  return build_finish (b, pack);
}

void
builder_execute (Builder *b, int n, const Descriptor *operations)
{
  Descriptor plan = build_plan (b, n, operations), pack = build_pack (b);

  builder_note (b, cudnnBackendExecute (b->handle, plan, pack));
}

void
builder_run (Builder *b, int n, const Descriptor *operations)
{
  builder_execute (b, n, operations);
  g_assert_cmpstr (b->message, ==, "");
}
