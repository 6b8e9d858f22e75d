/* What cuDNN on the CPU refuses, and what it offers: engines, devices, faults.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_builder.h"
#include "cudnn_on_cpu.h"

#include <math.h>
#include <string.h>

#define BF16 CUDNN_DATA_BFLOAT16
#define F32 CUDNN_DATA_FLOAT

/* Fails the test unless `call` is refused so. */
#define REFUSED(b, call, name, words) \
  do { \
    builder_note (b, call); \
    builder_assert_refused (b, CUDNN_STATUS_ ## name, words); \
  } while (0)

#define DIMS(...) (const gint64[]) { __VA_ARGS__ }

static Tensor *
tensor (Builder *b, cudnnDataType_t type, int rank, const gint64 *dims)
{
  return tensor_finish (b, tensor_new (b, type, rank, dims));
}

static Tensor *
virtual_tensor (Builder *b, cudnnDataType_t type, int rank, const gint64 *dims)
{
  Tensor *t = tensor_new (b, type, rank, dims);

  t->is_virtual = TRUE;
  return tensor_finish (b, t);
}

/* --- attributes ----------------------------------------------------------- */

static void
test_setting (void)
{
  gint64 ints[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
  Descriptor t, op, plan;
  Tensor *x;
  Builder b;

  builder_init (&b);
  x = tensor (&b, F32, 2, DIMS (2, 2));
  t = build (&b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  op = build (&b, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  plan = build (&b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  REFUSED (&b, cudnnBackendSetAttribute (x->descriptor,
          CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, ints), BAD_PARAM,
      "finalized");
  REFUSED (&b, cudnnBackendSetAttribute (t, CUDNN_ATTR_ENGINE_GLOBAL_INDEX,
          CUDNN_TYPE_INT64, 1, ints), BAD_PARAM, "no attribute");
  REFUSED (&b, cudnnBackendSetAttribute (t, CUDNN_ATTR_TENSOR_UNIQUE_ID,
          CUDNN_TYPE_INT32, 1, ints), BAD_PARAM_ATTRIBUTE_TYPE, "has type");
  REFUSED (&b, cudnnBackendSetAttribute (t, CUDNN_ATTR_TENSOR_UNIQUE_ID,
          CUDNN_TYPE_INT64, 2, ints), BAD_PARAM, "2 elements");
  REFUSED (&b, cudnnBackendSetAttribute (t, CUDNN_ATTR_TENSOR_DIMENSIONS,
          CUDNN_TYPE_INT64, 9, ints), BAD_PARAM, "9 elements");
  REFUSED (&b, cudnnBackendSetAttribute (t, CUDNN_ATTR_TENSOR_DIMENSIONS,
          CUDNN_TYPE_INT64, 0, ints), BAD_PARAM, "0 elements");
  REFUSED (&b, cudnnBackendSetAttribute (t, CUDNN_ATTR_TENSOR_UNIQUE_ID,
          CUDNN_TYPE_INT64, 1, NULL), BAD_PARAM_NULL_POINTER, "no elements");
  REFUSED (&b, cudnnBackendSetAttribute (op, CUDNN_ATTR_OPERATION_MATMUL_ADESC,
          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t), BAD_PARAM_NOT_FINALIZED,
      "not finalized");
  REFUSED (&b, cudnnBackendSetAttribute (op, CUDNN_ATTR_OPERATION_MATMUL_DESC,
          CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x->descriptor),
      BAD_PARAM_DESCRIPTOR_TYPE, "MATMUL_DESC");
  REFUSED (&b, cudnnBackendSetAttribute (plan,
          CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, ints),
      NOT_SUPPORTED, "only be read");
  builder_clear (&b);
}

static void
test_getting (void)
{
  int64_t ids[4], n = -1;
  Descriptor t, device;
  char text[4];
  Tensor *x;
  Builder b;

  builder_init (&b);
  x = tensor (&b, F32, 2, DIMS (3, 5));
  t = build (&b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  device = build_device (&b);
  builder_note (&b, cudnnBackendGetAttribute (x->descriptor,
          CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 0, &n, NULL));
  g_assert_cmpint (n, ==, 2);
  builder_note (&b, cudnnBackendGetAttribute (x->descriptor,
          CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, &n, ids));
  g_assert_cmpint (n, ==, 2);
  g_assert_cmpint (ids[1], ==, 5);
  builder_note (&b, cudnnBackendGetAttribute (x->descriptor,
          CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 1, &n, ids));
  g_assert_cmpint (n, ==, 1);
  g_assert_cmpstr (b.message, ==, "");
  REFUSED (&b, cudnnBackendGetAttribute (t, CUDNN_ATTR_TENSOR_UNIQUE_ID,
          CUDNN_TYPE_INT64, 1, &n, ids), NOT_INITIALIZED, "not finalized");
  REFUSED (&b, cudnnBackendGetAttribute (x->descriptor,
          CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &n, ids),
      NOT_INITIALIZED, "was not set");
  REFUSED (&b, cudnnBackendGetAttribute (x->descriptor,
          CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_FLOAT, 1, &n, ids),
      BAD_PARAM_ATTRIBUTE_TYPE, "has type");
  REFUSED (&b, cudnnBackendGetAttribute (x->descriptor,
          CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &n, NULL),
      BAD_PARAM_NULL_POINTER, "no place");
  REFUSED (&b, cudnnBackendGetAttribute (device,
          CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 4, &n,
          text), BAD_PARAM_SIZE_INSUFFICIENT, "characters");
  builder_clear (&b);
}

static void
test_alive (void)
{
  Descriptor d = NULL;
  cudnnHandle_t handle;
  Builder b;

  builder_init (&b);
  REFUSED (&b, cudnnBackendCreateDescriptor (CUDNN_BACKEND_RNG_DESCRIPTOR, &d),
      NOT_SUPPORTED, "type 32");
  REFUSED (&b, cudnnBackendCreateDescriptor (CUDNN_BACKEND_TENSOR_DESCRIPTOR,
          NULL), BAD_PARAM_NULL_POINTER, "null");
  REFUSED (&b, cudnnBackendFinalize (NULL), BAD_PARAM_NULL_POINTER,
      "no descriptor");
  builder_note (&b, cudnnBackendCreateDescriptor (
          CUDNN_BACKEND_TENSOR_DESCRIPTOR, &d));
  builder_note (&b, cudnnBackendDestroyDescriptor (d));
  g_assert_cmpstr (b.message, ==, "");
  REFUSED (&b, cudnnBackendDestroyDescriptor (d), BAD_PARAM, "no descriptor");
  REFUSED (&b, cudnnBackendFinalize (d), BAD_PARAM, "no descriptor");
  builder_note (&b, cudnnCreate (&handle));
  builder_note (&b, cudnnDestroy (handle));
  REFUSED (&b, cudnnSetStream (handle, NULL), BAD_PARAM, "no handle");
  REFUSED (&b, cudnnDestroy (NULL), BAD_PARAM_NULL_POINTER, "no handle");
  builder_clear (&b);
}

/* Nothing is finalized without what it needs, nor twice. */
static void
test_missing (void)
{
  static const cudnnBackendDescriptorType_t types[] = {
    CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
    CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
    CUDNN_BACKEND_MATMUL_DESCRIPTOR, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
    CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
    CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
    CUDNN_BACKEND_REDUCTION_DESCRIPTOR,
    CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
    CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR,
    CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR,
    CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
    CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_BACKEND_ENGINE_DESCRIPTOR,
    CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
  };
  Builder b;

  builder_init (&b);
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    REFUSED (&b, cudnnBackendFinalize (build (&b, types[i])), BAD_PARAM,
        "was not set");
  REFUSED (&b, cudnnBackendFinalize (build (&b,
              CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)), BAD_PARAM,
      "no device");
  REFUSED (&b, cudnnBackendFinalize (build (&b,
              CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)), BAD_PARAM, "a device by");
  REFUSED (&b, cudnnBackendFinalize (build_device (&b)), BAD_PARAM,
      "finalized");
  builder_clear (&b);
}

/* --- tensors and operations ----------------------------------------------- */

static void
test_tensors (void)
{
  Builder b;
  Tensor *t;

  builder_init (&b);
#define BAD(field, value, status, words) \
  t = tensor_new (&b, F32, 3, DIMS (2, 3, 4)); \
  t->is_virtual = TRUE; \
  t->field = value; \
  tensor_finish (&b, t); \
  builder_assert_refused (&b, CUDNN_STATUS_ ## status, words)
  BAD (dims[1], 0, BAD_PARAM, "dimension 1 is 0");
  BAD (dims[2], -1, BAD_PARAM, "dimension 2 is -1");
  BAD (strides[0], -4, BAD_PARAM, "stride 0 is -4");
  BAD (alignment, 0, BAD_PARAM, "alignment 0");
  BAD (alignment, 6, BAD_PARAM, "alignment 6");
  BAD (by_value, TRUE, BAD_PARAM, "by value");
  BAD (type, CUDNN_DATA_DOUBLE, NOT_SUPPORTED_DATA_TYPE, "data type 1");
#undef BAD
  builder_clear (&b);
}

/* Each time one dimension is another than it should be. */
static void
check_convolution (int which, int d, cudnnStatus_t status, const char *words)
{
  gint64 dims[3][4] = { { 2, 3, 9, 8 }, { 5, 3, 3, 2 }, { 2, 5, 4, 8 } };
  Tensor *t[3];
  Builder b;

  builder_init (&b);
  if (which >= 0)
    dims[which][d]++;
  for (int i = 0; i < 3; i++)
    t[i] = tensor (&b, BF16, 4, dims[i]);
  build_convolution (&b, t[0], t[1], t[2], DIMS (2, 1), DIMS (0, 0),
      DIMS (0, 1));
  builder_assert_refused (&b, status, words);
  builder_clear (&b);
}

static void
test_convolutions (void)
{
  Tensor *x, *w, *y;
  Builder b;

  check_convolution (-1, 0, CUDNN_STATUS_SUCCESS, "");
  for (int which = 0; which < 3; which++)
    for (int d = 0; d < 4; d++)
      if (which != 0 || d != 2) /* one row more makes no difference there */
        check_convolution (which, d, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
            "should be");
  builder_init (&b);
  x = tensor (&b, BF16, 4, DIMS (1, 3, 4, 4));
  w = tensor (&b, F32, 4, DIMS (3, 3, 1, 1));
  y = tensor (&b, BF16, 4, DIMS (1, 3, 4, 4));
  build_convolution (&b, x, w, y, DIMS (1, 1), DIMS (0, 0), DIMS (0, 0));
  builder_assert_refused (&b, CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE,
      "not of one type");
  build_convolution (&b, x, tensor (&b, BF16, 4, DIMS (3, 3, 5, 5)), y,
      DIMS (1, 1), DIMS (0, 0), DIMS (0, 0));
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
      "larger than");
  build_convolution (&b, x, tensor (&b, BF16, 4, DIMS (3, 3, 1, 1)), y,
      DIMS (0, 1), DIMS (0, 0), DIMS (0, 0));
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM, "stride 0");
  build_convolution (&b, tensor (&b, BF16, 3, DIMS (3, 4, 4)), w, y,
      DIMS (1, 1), DIMS (0, 0), DIMS (0, 0));
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM, "4 to 4 dimensions");
  builder_clear (&b);
}

static void
test_matrices (void)
{
  Tensor *a, *c;
  Builder b;

  builder_init (&b);
  a = tensor (&b, F32, 3, DIMS (2, 3, 4));
  c = tensor (&b, F32, 3, DIMS (2, 3, 5));
#define BAD(status, words, ...) \
  build_matmul (&b, a, tensor (&b, __VA_ARGS__), c); \
  builder_assert_refused (&b, CUDNN_STATUS_ ## status, words)
  BAD (BAD_PARAM_SHAPE_MISMATCH, "is 3, should be 4", F32, 3, DIMS (2, 3, 5));
  BAD (BAD_PARAM_SHAPE_MISMATCH, "is 5, should be 6", F32, 3, DIMS (2, 4, 6));
  BAD (BAD_PARAM_SHAPE_MISMATCH, "should be 3", F32, 3, DIMS (3, 4, 5));
  c = tensor (&b, F32, 3, DIMS (3, 3, 5));
  BAD (BAD_PARAM_SHAPE_MISMATCH, "is 3, should be 2", F32, 3, DIMS (3, 4, 5));
  BAD (BAD_PARAM, "2 dimensions", F32, 2, DIMS (4, 5));
  BAD (NOT_SUPPORTED_DATA_TYPE, "not of one type", BF16, 3, DIMS (1, 4, 5));
#undef BAD
  builder_clear (&b);
}

static void
test_elements (void)
{
  Tensor *x, *y, *same, *channel, *other, *overlapping, *scalar;
  Builder b;

  builder_init (&b);
  x = tensor (&b, F32, 2, DIMS (3, 4));
  y = tensor (&b, F32, 2, DIMS (3, 4));
  same = tensor (&b, F32, 2, DIMS (3, 4));
  channel = tensor (&b, F32, 2, DIMS (3, 1));
  other = tensor (&b, F32, 2, DIMS (3, 2));
  overlapping = tensor_new (&b, F32, 2, DIMS (3, 4));
  overlapping->strides[0] = 3;
  tensor_finish (&b, overlapping);
  scalar = tensor_new (&b, F32, 2, DIMS (1, 1));
  scalar->by_value = TRUE;
  tensor_finish (&b, scalar);
#define BAD(status, words, kind, ...) \
  build_ ## kind (&b, __VA_ARGS__); \
  builder_assert_refused (&b, CUDNN_STATUS_ ## status, words)
  BAD (BAD_PARAM, "1 operands", pointwise, CUDNN_POINTWISE_ADD, x, NULL, y);
  BAD (BAD_PARAM, "2 operands", pointwise, CUDNN_POINTWISE_EXP, x, same, y);
  BAD (BAD_PARAM_SHAPE_MISMATCH, "is 2, should be 4", pointwise,
      CUDNN_POINTWISE_ADD, x, other, y);
  BAD (BAD_PARAM_SHAPE_MISMATCH, "should be 1", pointwise,
      CUDNN_POINTWISE_ADD, channel, x, y);
  BAD (BAD_PARAM_SHAPE_MISMATCH, "should be", pointwise, CUDNN_POINTWISE_EXP, x,
      NULL, channel);
  BAD (BAD_PARAM, "3 dimensions", pointwise, CUDNN_POINTWISE_ADD, x,
      tensor (&b, F32, 3, DIMS (1, 3, 4)), y);
  BAD (NOT_SUPPORTED, "mode 501", pointwise, CUDNN_POINTWISE_GEN_INDEX, x, NULL,
      y);
  BAD (BAD_PARAM, "in one place", pointwise, CUDNN_POINTWISE_EXP, x, NULL,
      overlapping);
  BAD (BAD_PARAM, "by value", reduction, CUDNN_REDUCE_TENSOR_ADD, x, scalar);
  BAD (BAD_PARAM_SHAPE_MISMATCH, "should be 4", reduction,
      CUDNN_REDUCE_TENSOR_ADD, x, other);
  BAD (NOT_SUPPORTED, "reduction 5", reduction, CUDNN_REDUCE_TENSOR_AVG, x,
      channel);
#undef BAD
  builder_clear (&b);
}

static void
test_statistics (void)
{
  Tensor *x, *sum;
  Builder b;

  builder_init (&b);
  x = tensor (&b, BF16, 4, DIMS (1, 3, 4, 4));
  sum = tensor (&b, F32, 4, DIMS (1, 3, 1, 1));
  build_statistics (&b, x, sum, tensor (&b, F32, 4, DIMS (1, 3, 1, 4)));
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
      "should be 1");
  build_statistics (&b, x, sum, tensor (&b, BF16, 4, DIMS (1, 3, 1, 1)));
  builder_assert_refused (&b, CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE,
      "not FLOAT");
  builder_clear (&b);
}

static void
check_sdpa (int which, int d)
{
  gint64 dims[4][4] = { { 1, 2, 3, 8 }, { 1, 2, 5, 8 }, { 1, 2, 5, 16 },
    { 1, 2, 3, 16 } };
  Tensor *t[4];
  Builder b;

  builder_init (&b);
  dims[which][d]++;
  for (int i = 0; i < 4; i++)
    t[i] = tensor (&b, BF16, 4, dims[i]);
  build_sdpa (&b, t[0], t[1], t[2], NULL, t[3]);
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
      "should be");
  builder_clear (&b);
}

static void
test_sdpa (void)
{
  Tensor *q;
  Builder b;

  for (int which = 0; which < 4; which++)
    for (int d = 0; d < 4; d++)
      check_sdpa (which, d);
  builder_init (&b);
  q = tensor (&b, BF16, 4, DIMS (1, 1, 2, 8));
  build_sdpa (&b, q, q, q, tensor (&b, F32, 4, DIMS (1, 1, 1, 2)), q);
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH,
      "should be 1");
  builder_clear (&b);
}

/* --- graphs --------------------------------------------------------------- */

static void
refuse_graph (Builder *b, int n, const Descriptor *ops, cudnnStatus_t status,
    const char *words)
{
  g_assert_cmpstr (b->message, ==, "");
  build_graph (b, n, ops);
  builder_assert_refused (b, status, words);
}

/* A second tensor of the first one's id that is different in one thing only. */
static void
test_ids (void)
{
  for (int i = 0; i < 6; i++) {
    Tensor *x, *y, *again;
    Descriptor op;
    Builder b;

    builder_init (&b);
    x = tensor (&b, F32, 2, DIMS (1, 1));
    y = tensor (&b, F32, 2, DIMS (1, 1));
    again = tensor_new (&b, i == 0 ? CUDNN_DATA_INT32 : F32, 2, DIMS (1, 1));
    again->id = x->id;
    again->strides[0] += i == 1;
    again->alignment *= i == 2 ? 2 : 1;
    again->is_virtual = i == 3;
    again->by_value = i == 4;
    tensor_finish (&b, again);
    op = build_pointwise (&b, CUDNN_POINTWISE_ADD, x, again, y);
    refuse_graph (&b, 1, &op, i == 5 ? CUDNN_STATUS_SUCCESS
        : CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES, i == 5 ? ""
        : "two different tensors");
    builder_clear (&b);
  }
}

static void
test_graphs (void)
{
  Tensor *x, *y, *z, *between;
  Descriptor ops[2];
  Builder b;

  builder_init (&b);
  x = tensor (&b, F32, 1, DIMS (4));
  y = tensor (&b, F32, 1, DIMS (4));
  z = tensor (&b, F32, 1, DIMS (4));
  between = virtual_tensor (&b, F32, 1, DIMS (4));
  ops[0] = build_pointwise (&b, CUDNN_POINTWISE_EXP, x, NULL, between);
  refuse_graph (&b, 1, ops, CUDNN_STATUS_BAD_PARAM, "never read");
  ops[0] = build_pointwise (&b, CUDNN_POINTWISE_EXP, between, NULL, y);
  refuse_graph (&b, 1, ops, CUDNN_STATUS_BAD_PARAM, "never written");
  ops[0] = build_pointwise (&b, CUDNN_POINTWISE_EXP, x, NULL, y);
  ops[1] = build_pointwise (&b, CUDNN_POINTWISE_SQRT, x, NULL, y);
  refuse_graph (&b, 2, ops, CUDNN_STATUS_BAD_PARAM, "written twice");
  ops[0] = build_pointwise (&b, CUDNN_POINTWISE_ADD, x, z, y);
  ops[1] = build_pointwise (&b, CUDNN_POINTWISE_EXP, y, NULL, z);
  refuse_graph (&b, 2, ops, CUDNN_STATUS_BAD_PARAM, "wait for each other");
  ops[0] = x->descriptor;
  refuse_graph (&b, 1, ops, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "OPS");
  builder_clear (&b);
}

/* --- executions ----------------------------------------------------------- */

/* exp (x) + bias; the tensors that are given can be spoilt before. */
typedef struct
{
  Builder b;
  Tensor *x, *bias, *between, *y;
  Descriptor plan;
} Sum;

static void
sum_init (Sum *s)
{
  Descriptor ops[2];

  builder_init (&s->b);
  s->x = tensor_new (&s->b, F32, 1, DIMS (4));
  s->x->alignment = 16;
  tensor_finish (&s->b, s->x);
  s->bias = tensor (&s->b, F32, 1, DIMS (1));
  s->between = virtual_tensor (&s->b, F32, 1, DIMS (4));
  s->y = tensor (&s->b, F32, 1, DIMS (4));
  ops[0] = build_pointwise (&s->b, CUDNN_POINTWISE_EXP, s->x, NULL,
      s->between);
  ops[1] = build_pointwise (&s->b, CUDNN_POINTWISE_ADD, s->between, s->bias,
      s->y);
  s->plan = build_plan (&s->b, 2, ops);
}

/* Executes, must be refused so. */
static void
sum_refuse (Sum *s, cudnnStatus_t status, const char *words)
{
  builder_note (&s->b, cudnnBackendExecute (s->b.handle, s->plan,
          build_pack (&s->b)));
  builder_assert_refused (&s->b, status, words);
}

static void
test_packs (void)
{
  gpointer workspace;
  Sum s;

  sum_init (&s);
  sum_refuse (&s, CUDNN_STATUS_SUCCESS, "");
  s.between->start = s.x->start;
  sum_refuse (&s, CUDNN_STATUS_BAD_PARAM, "virtual");
  s.between->start = NULL;
  s.x->start += 4;
  sum_refuse (&s, CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "aligned to 16");
  s.x->start = NULL;
  sum_refuse (&s, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "is not given");
  s.x->start = s.x->memory + 64;
  s.y->id = s.x->id;
  sum_refuse (&s, CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES, "twice");
  s.y->id = 77;
  sum_refuse (&s, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "is not given");
  s.y->id = s.between->id + 1;
  tensor (&s.b, F32, 1, DIMS (4));
  sum_refuse (&s, CUDNN_STATUS_BAD_PARAM, "the plan has no tensor");
  ((Tensor *) s.b.tensors->pdata[s.b.tensors->len - 1])->start = NULL;
  workspace = s.b.workspace;
  s.b.workspace = (char *) workspace + 4;
  sum_refuse (&s, CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "workspace");
  s.b.workspace = NULL;
  sum_refuse (&s, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no workspace");
  s.b.workspace = workspace;
  REFUSED (&s.b, cudnnBackendExecute (s.b.handle, s.plan, s.plan),
      BAD_PARAM_NOT_FINALIZED, "no finalized");
  REFUSED (&s.b, cudnnBackendExecute (NULL, s.plan, s.plan),
      BAD_PARAM_NULL_POINTER, "no handle");
  sum_refuse (&s, CUDNN_STATUS_SUCCESS, "");
  builder_clear (&s.b);
}

/* --- engines and devices -------------------------------------------------- */

static gint64
get_int (Descriptor d, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type)
{
  int64_t n = 0, value = 0;

  g_assert_cmpint (cudnnBackendGetAttribute (d, name, type, 1, &n, &value), ==,
      CUDNN_STATUS_SUCCESS);
  g_assert_cmpint (n, ==, 1);
  return value;
}

static void
check_engine (Builder *b, Descriptor config, int index, int n_notes)
{
  Descriptor engine = build (b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendNumericalNote_t notes[8];
  int64_t n;

  builder_note (b, cudnnBackendGetAttribute (config,
          CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
          &engine));
  g_assert_cmpstr (b->message, ==, "");
  g_assert_cmpint (get_int (engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX,
          CUDNN_TYPE_INT64), ==, index);
  g_assert_cmpint (get_int (engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
          CUDNN_TYPE_BEHAVIOR_NOTE), ==,
      CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API);
  builder_note (b, cudnnBackendGetAttribute (engine,
          CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, 8, &n,
          notes));
  g_assert_cmpstr (b->message, ==, "");
  g_assert_cmpint (n, ==, n_notes);
}

/* Of a matrix product the first engine's are those of TF32. */
static void
test_notes (void)
{
  static const int n_notes[][2] = { { 2, 0 }, { 1, 1 } };
  Builder b;

  builder_init (&b);
  for (int i = 0; i < 2; i++) {
    Tensor *t[3];
    Descriptor op, graph;

    for (int j = 0; j < 3; j++)
      t[j] = tensor (&b, i ? BF16 : F32, 3, DIMS (1, 2, 2));
    op = build_matmul (&b, t[0], t[1], t[2]);
    graph = build_graph (&b, 1, &op);
    for (int j = 0; j < 2; j++)
      check_engine (&b, build_config (&b, graph, CUDNN_HEUR_MODE_A, j), j,
          n_notes[i][j]);
  }
  builder_clear (&b);
}

static void
test_engines (void)
{
  static const cudnnBackendHeurMode_t modes[] = {
    CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK,
  };
  Descriptor op, graph, tensor_descriptor;
  Tensor *x, *y;
  int64_t n;
  Builder b;

  builder_init (&b);
  x = tensor (&b, F32, 1, DIMS (4));
  y = tensor (&b, F32, 1, DIMS (4));
  op = build_pointwise (&b, CUDNN_POINTWISE_EXP, x, NULL, y);
  graph = build_graph (&b, 1, &op);
  for (gsize i = 0; i < G_N_ELEMENTS (modes); i++) {
    check_engine (&b, build_config (&b, graph, modes[i], 0), 0, 1);
    check_engine (&b, build_config (&b, graph, modes[i], 1), 1, 1);
    g_assert_null (build_config (&b, graph, modes[i], 2));
  }
  g_assert_cmpint (get_int (build_plan (&b, 1, &op),
          CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64), ==, 0);
  tensor_descriptor = build (&b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  REFUSED (&b, cudnnBackendGetAttribute (build_config (&b, graph, modes[0], 0),
          CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
          &tensor_descriptor), BAD_PARAM_DESCRIPTOR_TYPE, "type 17");
  build_config (&b, graph, CUDNN_HEUR_MODES_COUNT, 0);
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM, "mode 4");
  builder_clear (&b);
}

/* Whether there is an engine while CUDNN_ON_CPU_REFUSE is `list`. */
static gboolean
is_supported (int n, const Descriptor *ops, const char *list)
{
  gboolean supported;
  Builder b;

  builder_init (&b);
  g_setenv ("CUDNN_ON_CPU_REFUSE", list, TRUE);
  supported = build_config (&b, build_graph (&b, n, ops), CUDNN_HEUR_MODE_A, 0)
      != NULL;
  g_unsetenv ("CUDNN_ON_CPU_REFUSE");
  g_assert_cmpstr (b.message, ==, "");
  builder_clear (&b);
  return supported;
}

static Descriptor
build_square_sdpa (Builder *b, const Tensor *o)
{
  Tensor *t[3];

  for (int i = 0; i < 3; i++)
    t[i] = tensor (b, BF16, 4, o->dims);
  return build_sdpa (b, t[0], t[1], t[2], NULL, o);
}

static void
test_support (void)
{
  Tensor *x, *y, *between[2];
  Descriptor ops[3];
  Builder b;

  builder_init (&b);
  x = tensor (&b, BF16, 4, DIMS (1, 8, 1, 8));
  y = tensor (&b, BF16, 4, DIMS (1, 8, 1, 8));
  for (int i = 0; i < 2; i++) {
    between[i] = virtual_tensor (&b, F32, 4, DIMS (1, 8, 1, 8));
    ops[i] = build_convolution (&b, x, tensor (&b, BF16, 4, DIMS (8, 8, 1, 1)),
        between[i], DIMS (1, 1), DIMS (0, 0), DIMS (0, 0));
  }
  ops[2] = build_pointwise (&b, CUDNN_POINTWISE_ADD, between[0], between[1], y);
  g_assert_false (is_supported (3, ops, ""));
  ops[0] = build_square_sdpa (&b, tensor (&b, BF16, 4, DIMS (1, 1, 2, 12)));
  g_assert_false (is_supported (1, ops, ""));
  ops[0] = build_square_sdpa (&b, x);
  ops[1] = build_pointwise (&b, CUDNN_POINTWISE_EXP, x, NULL, y);
  g_assert_true (is_supported (1, ops, "fused"));
  g_assert_false (is_supported (1, ops, "sdpa,fused"));
  g_assert_false (is_supported (2, ops, ""));
  ops[0] = build_pointwise (&b, CUDNN_POINTWISE_EXP, x, NULL, between[0]);
  ops[1] = build_pointwise (&b, CUDNN_POINTWISE_EXP, between[0], NULL, y);
  g_assert_true (is_supported (2, ops, "sdpa"));
  g_assert_false (is_supported (2, ops, "fused"));
  g_assert_false (is_supported (2, ops, "all"));
  builder_clear (&b);
}

static Descriptor
build_described (Builder *b, const char *text)
{
  Descriptor device = build (b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);

  build_set (b, device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
      CUDNN_TYPE_CHAR, strlen (text), text);
  return build_finish (b, device);
}

static Descriptor
build_numbered (Builder *b, gint32 id)
{
  Descriptor device = build (b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);

  build_set (b, device, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1,
      &id);
  return build_finish (b, device);
}

static void
test_devices (void)
{
  Descriptor handled;
  char text[256] = "";
  int64_t n;
  Builder b;

  builder_init (&b);
  builder_note (&b, cudnnBackendGetAttribute (build_numbered (&b, 0),
          CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
          sizeof text, &n, text));
  g_assert_cmpint (n, ==, strlen (text));
  build_described (&b, text);
  handled = build (&b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  build_set (&b, handled, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1,
      &b.handle);
  build_finish (&b, handled);
  g_assert_cmpstr (b.message, ==, "");
  build_numbered (&b, 1);
  builder_assert_refused (&b, CUDNN_STATUS_NOT_INITIALIZED, "no device 1");
  build_described (&b, "deviceVer");
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM, "without");
  builder_clear (&b);
}

/* A plan for another device. */
static void
test_foreign_plan (void)
{
  Descriptor plan;
  gint64 length;
  char *text;
  Sum s;

  sum_init (&s);
  text = builder_write_plan (&s.b, s.plan, &length);
  plan = build (&s.b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  build_set (&s.b, plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
      CUDNN_TYPE_CHAR, length, text);
  build_refer (&s.b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
      build_described (&s.b, "{\"deviceVer\": 800}"));
  build_finish (&s.b, plan);
  builder_assert_refused (&s.b, CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH,
      "900, not 800");
  g_free (text);
  builder_clear (&s.b);
}

/* --- faults --------------------------------------------------------------- */

/* Whichever call fails, it says so, and nothing is left. */
static void
test_faults (void)
{
  long before = cudnn_on_cpu_get_descriptors (), start, n, all;
  Sum s;

  start = cudnn_on_cpu_get_calls ();
  sum_init (&s);
  sum_refuse (&s, CUDNN_STATUS_SUCCESS, "");
  n = cudnn_on_cpu_get_calls () - start;
  builder_clear (&s.b);
  all = cudnn_on_cpu_get_calls () - start;
  for (long call = 1; call <= all; call++) {
    cudnn_on_cpu_fail_at (call, CUDNN_STATUS_INTERNAL_ERROR);
    sum_init (&s);
    builder_note (&s.b, cudnnBackendExecute (s.b.handle, s.plan,
            build_pack (&s.b)));
    if (call <= n)
      builder_assert_refused (&s.b, CUDNN_STATUS_INTERNAL_ERROR,
          "made to fail");
    builder_clear (&s.b);
    g_assert_cmpint (cudnn_on_cpu_get_descriptors (), ==, before);
  }
  sum_init (&s);
  cudnn_on_cpu_fail_at (1, CUDNN_STATUS_INTERNAL_ERROR);
  cudnn_on_cpu_fail_at (0, 0);
  sum_refuse (&s, CUDNN_STATUS_SUCCESS, "");
  builder_clear (&s.b);
}

/* From the environment, so in a process of its own. */
static void
test_fault_at_start (void)
{
  if (g_test_subprocess ()) {
    Builder b;

    builder_init (&b);
    g_assert_cmpstr (b.message, ==, "");
    build (&b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    builder_assert_refused (&b, CUDNN_STATUS_INTERNAL_ERROR, "made to fail");
    builder_clear (&b);
    return;
  }
  g_setenv ("CUDNN_ON_CPU_FAIL", "2:4000", TRUE);
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_unsetenv ("CUDNN_ON_CPU_FAIL");
  g_test_trap_assert_passed ();
}

static void
test_names (void)
{
  char message[8];

  g_assert_cmpstr (cudnnGetErrorString (CUDNN_STATUS_BAD_PARAM), ==,
      "CUDNN_STATUS_BAD_PARAM");
  g_assert_cmpint (cudnnGetCudartVersion (), ==, CUDART_VERSION);
  g_assert_cmpint (cudnnBackendFinalize (NULL), !=, CUDNN_STATUS_SUCCESS);
  cudnnGetLastErrorString (message, sizeof message);
  g_assert_cmpstr (message, ==, "cudnnBa");
}

void
add_refusal_tests (void)
{
  g_test_add_func ("/refusals/setting", test_setting);
  g_test_add_func ("/refusals/getting", test_getting);
  g_test_add_func ("/refusals/alive", test_alive);
  g_test_add_func ("/refusals/missing", test_missing);
  g_test_add_func ("/refusals/tensors", test_tensors);
  g_test_add_func ("/refusals/convolutions", test_convolutions);
  g_test_add_func ("/refusals/matrices", test_matrices);
  g_test_add_func ("/refusals/elements", test_elements);
  g_test_add_func ("/refusals/statistics", test_statistics);
  g_test_add_func ("/refusals/sdpa", test_sdpa);
  g_test_add_func ("/refusals/ids", test_ids);
  g_test_add_func ("/refusals/graphs", test_graphs);
  g_test_add_func ("/refusals/packs", test_packs);
  g_test_add_func ("/offers/engines", test_engines);
  g_test_add_func ("/offers/notes", test_notes);
  g_test_add_func ("/offers/support", test_support);
  g_test_add_func ("/offers/devices", test_devices);
  g_test_add_func ("/offers/foreign-plan", test_foreign_plan);
  g_test_add_func ("/faults/calls", test_faults);
  g_test_add_func ("/faults/start", test_fault_at_start);
  g_test_add_func ("/names", test_names);
}
