/* What cuDNN on the CPU computes, against loops in double over the same memory;
 * and that plans can be replayed and kept as text.
 *
 * libcuda.so.1 is not needed: the driver here has one context and one device,
 * and its streams run at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_builder.h"
#include "cudnn_on_cpu.h"
#include "on_cpu.h"

#include <math.h>
#include <string.h>

/* --- a driver ------------------------------------------------------------- */

static CUcontext context = (CUcontext) &context;

CUresult
cuCtxGetCurrent (CUcontext *current)
{
  *current = context;
  return CUDA_SUCCESS;
}

/* One device of capability 9.0. */
CUresult
cuDeviceGetAttribute (int *value, CUdevice_attribute attribute,
    CUdevice device)
{
  *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9 : 0;
  return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

/* What was put into the stream last, where it is kept for a replay. */
static struct
{
  gboolean keep;
  void (*run) (void *data);
  void *data;
  void (*destroy) (void *data);
} recorded;

static gconstpointer missing_memory;

CUresult
cuda_on_cpu_enqueue (CUstream stream, void (*run) (void *), void *data,
    void (*destroy) (void *))
{
  run (data);
  if (recorded.keep) {
    recorded.run = run;
    recorded.data = data;
    recorded.destroy = destroy;
  } else {
    destroy (data);
  }
  return CUDA_SUCCESS;
}

int
cuda_on_cpu_check_range (CUdeviceptr address, size_t size)
{
  return !missing_memory || address != (CUdeviceptr) missing_memory;
}

static int illegal_addresses;

void
cuda_on_cpu_fail_at (long call, int code)
{
  g_assert_cmpint (code, ==, CUDA_ERROR_ILLEGAL_ADDRESS);
  illegal_addresses++;
}

/* --- comparing ------------------------------------------------------------ */

static const cudnnDataType_t float_types[] = {
  CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16,
  CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E5M2,
};

static cudnnDataType_t
random_type (GRand *rand)
{
  return float_types[g_rand_int_range (rand, 0, G_N_ELEMENTS (float_types))];
}

/* A value that was computed in float and rounded to the tensor's type; `scale`
 * is the size of what was summed up. */
static void
assert_near (const Tensor *t, const gint64 *index, double wanted, double scale)
{
  double got = tensor_get (t, index);

  if (isnan (wanted)) {
    g_assert_true (isnan (got));
    return;
  }
  g_assert_cmpfloat (got, >=, type_round (t->type, wanted - 1e-6 * scale));
  g_assert_cmpfloat (got, <=, type_round (t->type, wanted + 1e-6 * scale));
}

static Tensor *
new_source (Builder *b, GRand *rand, cudnnDataType_t type, int rank,
    const gint64 *dims)
{
  Tensor *t = tensor_new (b, type, rank, dims);

  tensor_scatter (t, rand);
  tensor_finish (b, t);
  tensor_fill (t, rand, 2.0);
  return t;
}

static Tensor *
new_result (Builder *b, GRand *rand, cudnnDataType_t type, int rank,
    const gint64 *dims)
{
  Tensor *t = tensor_new (b, type, rank, dims);

  tensor_scatter (t, rand);
  return tensor_finish (b, t);
}

static Tensor *
new_virtual (Builder *b, cudnnDataType_t type, int rank, const gint64 *dims)
{
  Tensor *t = tensor_new (b, type, rank, dims);

  t->is_virtual = TRUE;
  return tensor_finish (b, t);
}

/* --- convolution ---------------------------------------------------------- */

typedef struct
{
  gint64 stride[2], before[2], after[2];
} Window;

/* y [n][o][i][j] */
static double
convolve (const Tensor *x, const Tensor *w, const Window *window,
    const gint64 *y)
{
  gint64 at[4] = { 0 }, from[4] = { y[0] };
  double sum = 0;

  at[0] = y[1];
  for (at[1] = 0; at[1] < w->dims[1]; at[1]++)
    for (at[2] = 0; at[2] < w->dims[2]; at[2]++)
      for (at[3] = 0; at[3] < w->dims[3]; at[3]++) {
        from[1] = at[1];
        for (int d = 2; d < 4; d++)
          from[d] = y[d] * window->stride[d - 2] + at[d]
              - window->before[d - 2];
        if (from[2] >= 0 && from[2] < x->dims[2] && from[3] >= 0
            && from[3] < x->dims[3])
          sum += tensor_get (x, from) * tensor_get (w, at);
      }
  return sum;
}

static void
random_convolution (GRand *rand, gint64 *x, gint64 *w, gint64 *y,
    Window *window)
{
  x[0] = g_rand_int_range (rand, 1, 3);
  x[1] = g_rand_int_range (rand, 1, 9);
  w[0] = g_rand_int_range (rand, 1, 9);
  w[1] = x[1];
  y[0] = x[0];
  y[1] = w[0];
  for (int d = 0; d < 2; d++) {
    w[2 + d] = g_rand_int_range (rand, 1, 5);
    x[2 + d] = g_rand_int_range (rand, w[2 + d], 10);
    window->stride[d] = g_rand_int_range (rand, 1, 3);
    window->before[d] = g_rand_int_range (rand, 0, 3);
    window->after[d] = g_rand_int_range (rand, 0, 3);
    y[2 + d] = (x[2 + d] + window->before[d] + window->after[d] - w[2 + d])
        / window->stride[d] + 1;
  }
}

static void
test_convolution (void)
{
  GRand *rand = g_rand_new_with_seed (1);

  for (int i = 0; i < 100; i++) {
    gint64 x_dims[4], w_dims[4], y_dims[4], index[4] = { 0 };
    cudnnDataType_t type = random_type (rand);
    Tensor *x, *w, *y;
    Descriptor op;
    Window window;
    Builder b;

    builder_init (&b);
    random_convolution (rand, x_dims, w_dims, y_dims, &window);
    x = new_source (&b, rand, type, 4, x_dims);
    w = new_source (&b, rand, type, 4, w_dims);
    y = new_result (&b, rand, random_type (rand), 4, y_dims);
    op = build_convolution (&b, x, w, y, window.stride, window.before,
        window.after);
    builder_run (&b, 1, &op);
    do
      assert_near (y, index, convolve (x, w, &window, index), 100);
    while (tensor_next (y, index));
    tensor_check_gaps (y);
    builder_clear (&b);
  }
  g_rand_free (rand);
}

/* Writes every second row and column of y. */
static void
run_phase (const Tensor *x, const Tensor *w, const Tensor *y,
    const Window *window, int row, int column)
{
  Tensor *phase;
  Descriptor op;
  Builder b;

  builder_init (&b);
  phase = tensor_new_view (&b, y);
  phase->start += 2 * (row * y->strides[2] + column * y->strides[3]);
  for (int d = 2; d < 4; d++) {
    phase->dims[d] /= 2;
    phase->strides[d] *= 2;
  }
  op = build_convolution (&b, tensor_finish (&b, tensor_new_view (&b, x)),
      tensor_finish (&b, tensor_new_view (&b, w)), tensor_finish (&b, phase),
      window->stride, window->before, window->after);
  builder_run (&b, 1, &op);
  builder_clear (&b);
}

/* Four convolutions write one picture. */
static void
test_phases (void)
{
  GRand *rand = g_rand_new_with_seed (2);
  gint64 x_dims[4] = { 1, 5, 6, 7 }, w_dims[4] = { 3, 5, 2, 2 };
  gint64 y_dims[4] = { 1, 3, 12, 14 }, index[4] = { 0 };
  Tensor *x, *y, *w[4];
  Window window[4];
  Builder b;

  builder_init (&b);
  x = new_source (&b, rand, CUDNN_DATA_BFLOAT16, 4, x_dims);
  y = new_result (&b, rand, CUDNN_DATA_BFLOAT16, 4, y_dims);
  for (int p = 0; p < 4; p++) {
    window[p] = (Window) { { 1, 1 }, { 1 - p / 2, 1 - p % 2 },
      { p / 2, p % 2 } };
    w[p] = new_source (&b, rand, CUDNN_DATA_BFLOAT16, 4, w_dims);
    run_phase (x, w[p], y, &window[p], p / 2, p % 2);
  }
  do {
    int p = index[2] % 2 * 2 + index[3] % 2;
    gint64 at[4] = { 0, index[1], index[2] / 2, index[3] / 2 };

    assert_near (y, index, convolve (x, w[p], &window[p], at), 100);
  } while (tensor_next (y, index));
  tensor_check_gaps (y);
  builder_clear (&b);
  g_rand_free (rand);
}

/* --- matrices ------------------------------------------------------------- */

/* `index` of the result's, where the operand has only one. */
static double
get_broadcast (const Tensor *t, const gint64 *index)
{
  gint64 at[4];

  for (int d = 0; d < 4; d++)
    at[d] = t->dims[d] == 1 ? 0 : index[d];
  return tensor_get (t, at);
}

static double
multiply (const Tensor *a, const Tensor *b, const gint64 *c)
{
  gint64 from_a[4], from_b[4];
  double sum = 0;

  memcpy (from_a, c, sizeof from_a);
  memcpy (from_b, c, sizeof from_b);
  for (gint64 k = 0; k < a->dims[a->rank - 1]; k++) {
    from_a[a->rank - 1] = from_b[a->rank - 2] = k;
    sum += get_broadcast (a, from_a) * get_broadcast (b, from_b);
  }
  return sum;
}

static void
test_matmul (void)
{
  GRand *rand = g_rand_new_with_seed (3);

  for (int i = 0; i < 100; i++) {
    int rank = g_rand_int_range (rand, 3, 5);
    gint64 a_dims[4], b_dims[4], c_dims[4], index[4] = { 0 };
    cudnnDataType_t type = random_type (rand);
    Tensor *a, *b2, *c;
    Descriptor op;
    Builder b;

    for (int d = 0; d < rank; d++)
      a_dims[d] = b_dims[d] = c_dims[d] = g_rand_int_range (rand, 1, 6);
    if (g_rand_boolean (rand))
      (g_rand_boolean (rand) ? a_dims : b_dims)[0] = 1;
    b_dims[rank - 2] = a_dims[rank - 1];
    c_dims[0] = MAX (a_dims[0], b_dims[0]);
    c_dims[rank - 1] = b_dims[rank - 1] = g_rand_int_range (rand, 1, 6);
    builder_init (&b);
    a = new_source (&b, rand, type, rank, a_dims);
    b2 = new_source (&b, rand, type, rank, b_dims);
    c = new_result (&b, rand, random_type (rand), rank, c_dims);
    op = build_matmul (&b, a, b2, c);
    builder_run (&b, 1, &op);
    do
      assert_near (c, index, multiply (a, b2, index), 100);
    while (tensor_next (c, index));
    tensor_check_gaps (c);
    builder_clear (&b);
  }
  g_rand_free (rand);
}

/* --- element by element --------------------------------------------------- */

static double
compute (int mode, double x, double b)
{
  switch (mode) {
    case CUDNN_POINTWISE_ADD: return x + b;
    case CUDNN_POINTWISE_SUB: return x - b;
    case CUDNN_POINTWISE_MUL: return x * b;
    case CUDNN_POINTWISE_DIV: return x / b;
    case CUDNN_POINTWISE_MAX: return x > b ? x : b;
    case CUDNN_POINTWISE_MIN: return x < b ? x : b;
    case CUDNN_POINTWISE_RELU_FWD: return x > 0 ? x : 0;
    case CUDNN_POINTWISE_SWISH_FWD: return x / (1 + exp (-x));
    case CUDNN_POINTWISE_GELU_FWD: return x * erfc (-x / sqrt (2)) / 2;
    case CUDNN_POINTWISE_GELU_APPROX_TANH_FWD:
      return x / (1 + exp (-2 * 0.7978845608028654
              * (x + 0.044715 * pow (x, 3))));
    case CUDNN_POINTWISE_SIGMOID_FWD: return 1 / (1 + exp (-x));
    case CUDNN_POINTWISE_TANH_FWD: return tanh (x);
    case CUDNN_POINTWISE_EXP: return exp (x);
    case CUDNN_POINTWISE_IDENTITY: return x;
    case CUDNN_POINTWISE_SQRT: return sqrt (x);
    case CUDNN_POINTWISE_RSQRT: return pow (x, -0.5);
    default: g_assert_not_reached ();
  }
}

static const int modes[] = {
  CUDNN_POINTWISE_ADD, CUDNN_POINTWISE_SUB, CUDNN_POINTWISE_MUL,
  CUDNN_POINTWISE_DIV, CUDNN_POINTWISE_MAX, CUDNN_POINTWISE_MIN,
  /* From here on of one operand: */
  CUDNN_POINTWISE_RELU_FWD, CUDNN_POINTWISE_SWISH_FWD,
  CUDNN_POINTWISE_GELU_FWD, CUDNN_POINTWISE_GELU_APPROX_TANH_FWD,
  CUDNN_POINTWISE_SIGMOID_FWD, CUDNN_POINTWISE_TANH_FWD, CUDNN_POINTWISE_EXP,
  CUDNN_POINTWISE_IDENTITY, CUDNN_POINTWISE_SQRT, CUDNN_POINTWISE_RSQRT,
};

static void
test_pointwise (void)
{
  GRand *rand = g_rand_new_with_seed (4);

  for (gsize i = 0; i < 20 * G_N_ELEMENTS (modes); i++) {
    int mode = modes[i / 20], rank = g_rand_int_range (rand, 1, 5);
    gint64 dims[4], operand_dims[4], index[4] = { 0 };
    Tensor *x, *operand = NULL, *y;
    Descriptor op;
    Builder b;

    builder_init (&b);
    for (int d = 0; d < rank; d++) {
      dims[d] = g_rand_int_range (rand, 1, 7);
      operand_dims[d] = g_rand_boolean (rand) ? dims[d] : 1;
    }
    x = new_source (&b, rand, random_type (rand), rank, dims);
    if (i / 20 < 6)
      operand = new_source (&b, rand, random_type (rand), rank, operand_dims);
    y = new_result (&b, rand, random_type (rand), rank, dims);
    op = build_pointwise (&b, mode, x, operand, y);
    builder_run (&b, 1, &op);
    do {
      double wanted = compute (mode, tensor_get (x, index),
          operand ? get_broadcast (operand, index) : 0);

      assert_near (y, index, wanted, MAX (1e-3, fabs (wanted)));
    } while (tensor_next (y, index));
    tensor_check_gaps (y);
    builder_clear (&b);
  }
  g_rand_free (rand);
}

static void
test_swish_beta (void)
{
  gint64 one[1] = { 1 }, index[4] = { 0 };
  int mode = CUDNN_POINTWISE_SWISH_FWD;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  double beta = 1.702;
  Descriptor p, op;
  Tensor *x, *y;
  Builder b;

  builder_init (&b);
  x = tensor_finish (&b, tensor_new (&b, type, 1, one));
  y = tensor_finish (&b, tensor_new (&b, type, 1, one));
  tensor_set (x, index, 0.75);
  p = build (&b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  build_set (&b, p, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1,
      &mode);
  build_set (&b, p, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1,
      &type);
  build_set (&b, p, CUDNN_ATTR_POINTWISE_SWISH_BETA, CUDNN_TYPE_DOUBLE, 1,
      &beta);
  build_finish (&b, p);
  op = build (&b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  build_refer (&b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, p);
  build_refer (&b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x->descriptor);
  build_refer (&b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y->descriptor);
  build_finish (&b, op);
  builder_run (&b, 1, &op);
  assert_near (y, index, 0.75 / (1 + exp (-beta * 0.75)), 1);
  builder_clear (&b);
}

/* Special numbers first, then any. */
static void
fill_range (Tensor *x, GRand *rand)
{
  static const double special[] = {
    0.0, -0.0, INFINITY, -INFINITY, NAN, 65504, 65519.996, 65520, -65520, 448,
    464, 465, 500, 57344, 61440, 61441, 1e30, -1e30, 0x1p-24, 0x1p-25,
    0x1.8p-25, 0x1p-9, 0x1p-10, 0x1.8p-10, 0x1p-16, 0x1p-17, 0x1p-133,
    0x1p-134, 1.00390625, 1.01171875, 1.0625, 1.1875, 2.5, 3.5, -2.5, 0x1p31,
  };
  float *values = (float *) x->start;

  for (gint64 i = 0; i < x->dims[0]; i++)
    values[i] = i < (gint64) G_N_ELEMENTS (special) ? special[i]
        : ldexp (g_rand_double_range (rand, -1, 1),
        g_rand_int_range (rand, -30, 20));
}

/* Every kind of number into every type: exactly. */
static void
test_rounding (void)
{
  static const cudnnDataType_t types[] = {
    CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16,
    CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E5M2, CUDNN_DATA_INT32,
  };
  GRand *rand = g_rand_new_with_seed (5);
  gint64 dims[1] = { 4096 };

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++) {
    gint64 index[4] = { 0 };
    Tensor *x, *y;
    Descriptor op;
    Builder b;

    builder_init (&b);
    x = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 1, dims));
    y = tensor_finish (&b, tensor_new (&b, types[i], 1, dims));
    fill_range (x, rand);
    op = build_pointwise (&b, CUDNN_POINTWISE_IDENTITY, x, NULL, y);
    builder_run (&b, 1, &op);
    do {
      double wanted = type_round (types[i], ((float *) x->start)[index[0]]);
      double got = tensor_get (y, index);

      if (types[i] == CUDNN_DATA_INT32 && isnan (wanted))
        wanted = 0;
      if (isnan (wanted))
        g_assert_true (isnan (got));
      else
        g_assert_cmpfloat (got, ==, wanted);
    } while (tensor_next (y, index));
    builder_clear (&b);
  }
  g_rand_free (rand);
}

/* --- reductions ----------------------------------------------------------- */

/* Sum, sum of squares or maximum of x over what falls onto y's index. */
static double
reduce (const Tensor *x, const Tensor *y, const gint64 *index, gboolean square,
    gboolean highest)
{
  double sum = 0, high = -INFINITY;
  gint64 at[4] = { 0 };

  do {
    double value = tensor_get (x, at);
    gboolean falls = TRUE;

    for (int d = 0; d < 4; d++)
      falls = falls && (y->dims[d] == 1 || at[d] == index[d]);
    if (falls) {
      sum += square ? value * value : value;
      high = MAX (high, value);
    }
  } while (tensor_next (x, at));
  return highest ? high : sum;
}

static void
test_reduction (void)
{
  GRand *rand = g_rand_new_with_seed (6);

  for (int i = 0; i < 60; i++) {
    int mode = i % 2 ? CUDNN_REDUCE_TENSOR_MAX : CUDNN_REDUCE_TENSOR_ADD;
    int rank = g_rand_int_range (rand, 1, 5);
    gint64 dims[4], to[4], index[4] = { 0 };
    Tensor *x, *y;
    Descriptor op;
    Builder b;

    builder_init (&b);
    for (int d = 0; d < rank; d++) {
      dims[d] = g_rand_int_range (rand, 1, 7);
      to[d] = g_rand_boolean (rand) ? dims[d] : 1;
    }
    x = new_source (&b, rand, random_type (rand), rank, dims);
    y = new_result (&b, rand, random_type (rand), rank, to);
    op = build_reduction (&b, mode, x, y);
    builder_run (&b, 1, &op);
    do
      assert_near (y, index, reduce (x, y, index, FALSE, i % 2), 100);
    while (tensor_next (y, index));
    tensor_check_gaps (y);
    builder_clear (&b);
  }
  g_rand_free (rand);
}

static void
test_statistics (void)
{
  GRand *rand = g_rand_new_with_seed (7);
  gint64 dims[4] = { 2, 5, 7, 3 }, to[4] = { 1, 5, 1, 1 }, index[4] = { 0 };
  Tensor *x, *sum, *square_sum;
  Descriptor op;
  Builder b;

  builder_init (&b);
  x = new_source (&b, rand, CUDNN_DATA_BFLOAT16, 4, dims);
  sum = new_result (&b, rand, CUDNN_DATA_FLOAT, 4, to);
  square_sum = new_result (&b, rand, CUDNN_DATA_FLOAT, 4, to);
  op = build_statistics (&b, x, sum, square_sum);
  builder_run (&b, 1, &op);
  do {
    assert_near (sum, index, reduce (x, sum, index, FALSE, FALSE), 100);
    assert_near (square_sum, index, reduce (x, sum, index, TRUE, FALSE), 100);
  } while (tensor_next (sum, index));
  builder_clear (&b);
  g_rand_free (rand);
}

/* Engine 0 multiplies FLOAT in TF32: with 10 bits behind the point. */
static void
test_tf32 (void)
{
  gint64 ones[3] = { 1, 1, 1 }, index[4] = { 0 };

  for (int engine = 0; engine < 2; engine++) {
    Tensor *a, *b2, *c;
    Descriptor op;
    Builder b;

    builder_init (&b);
    b.engine = engine;
    a = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 3, ones));
    b2 = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 3, ones));
    c = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 3, ones));
    tensor_set (a, index, -1 - 0x1p-11);
    tensor_set (b2, index, 1 + 0x1p-12);
    op = build_matmul (&b, a, b2, c);
    builder_run (&b, 1, &op);
    assert_near (c, index, engine ? (-1 - 0x1p-11) * (1 + 0x1p-12)
        : -1 - 0x1p-10, 0.1);
    builder_clear (&b);
  }
}

/* --- attention ------------------------------------------------------------ */

/* o [b][h][s][d] */
static double
attend (const Tensor *q, const Tensor *k, const Tensor *v, double scale,
    const gint64 *o)
{
  double sum = 0, total = 0;

  for (gint64 j = 0; j < k->dims[2]; j++) {
    gint64 at_q[4] = { o[0], o[1], o[2], 0 }, at_k[4] = { o[0], o[1], j, 0 };
    gint64 at_v[4] = { o[0], o[1], j, o[3] };
    double score = 0;

    for (gint64 d = 0; d < q->dims[3]; d++) {
      at_q[3] = at_k[3] = d;
      score += tensor_get (q, at_q) * tensor_get (k, at_k);
    }
    total += exp (scale * score);
    sum += exp (scale * score) * tensor_get (v, at_v);
  }
  return sum / total;
}

/* scale: 0 none, 1 by value, 2 in memory. */
static void
check_sdpa (GRand *rand, int with_scale)
{
  gint64 q_dims[4] = { 2, 3, g_rand_int_range (rand, 1, 9), 8 };
  gint64 k_dims[4] = { 2, 3, g_rand_int_range (rand, 1, 9), 8 };
  gint64 v_dims[4] = { 2, 3, k_dims[2], 5 }, o_dims[4] = { 2, 3, q_dims[2], 5 };
  gint64 ones[4] = { 1, 1, 1, 1 }, index[4] = { 0 };
  cudnnDataType_t type = random_type (rand);
  Tensor *q, *k, *v, *o, *scale = NULL;
  Descriptor op;
  Builder b;

  builder_init (&b);
  q = new_source (&b, rand, type, 4, q_dims);
  k = new_source (&b, rand, type, 4, k_dims);
  v = new_source (&b, rand, type, 4, v_dims);
  o = new_result (&b, rand, random_type (rand), 4, o_dims);
  if (with_scale) {
    scale = tensor_new (&b, CUDNN_DATA_FLOAT, 4, ones);
    scale->by_value = with_scale == 1;
    tensor_finish (&b, scale);
    tensor_set (scale, index, 0.375);
  }
  op = build_sdpa (&b, q, k, v, scale, o);
  builder_run (&b, 1, &op);
  do
    assert_near (o, index, attend (q, k, v, scale ? 0.375 : 1, index), 2);
  while (tensor_next (o, index));
  tensor_check_gaps (o);
  builder_clear (&b);
}

static void
test_sdpa (void)
{
  GRand *rand = g_rand_new_with_seed (8);

  for (int i = 0; i < 60; i++)
    check_sdpa (rand, i % 3);
  g_rand_free (rand);
}

/* --- graphs --------------------------------------------------------------- */

/* y = swish (conv (x, w) + bias) + residual, as wished through tensors of
 * `between`; its operations last first. */
typedef struct
{
  Builder b;
  Tensor *x, *w, *bias, *residual, *y;
  Window window;
  cudnnDataType_t between;
  Descriptor operations[4];
} Fused;

static void
fused_init (Fused *f, GRand *rand, cudnnDataType_t between)
{
  gint64 x[4] = { 1, 7, 9, 5 }, w[4] = { 6, 7, 3, 3 }, y[4] = { 1, 6, 9, 2 };
  gint64 channels[4] = { 1, 6, 1, 1 };
  Tensor *t[3];

  builder_init (&f->b);
  f->between = between;
  f->window = (Window) { { 1, 2 }, { 2, 0 }, { 0, 1 } };
  f->x = new_source (&f->b, rand, CUDNN_DATA_BFLOAT16, 4, x);
  f->w = new_source (&f->b, rand, CUDNN_DATA_BFLOAT16, 4, w);
  f->bias = new_source (&f->b, rand, CUDNN_DATA_FLOAT, 4, channels);
  f->residual = new_source (&f->b, rand, CUDNN_DATA_BFLOAT16, 4, y);
  f->y = new_result (&f->b, rand, CUDNN_DATA_FLOAT, 4, y);
  for (int i = 0; i < 3; i++)
    t[i] = new_virtual (&f->b, between, 4, y);
  f->operations[3] = build_convolution (&f->b, f->x, f->w, t[0],
      f->window.stride, f->window.before, f->window.after);
  f->operations[2] = build_pointwise (&f->b, CUDNN_POINTWISE_ADD, t[0], f->bias,
      t[1]);
  f->operations[1] = build_pointwise (&f->b, CUDNN_POINTWISE_SWISH_FWD, t[1],
      NULL, t[2]);
  f->operations[0] = build_pointwise (&f->b, CUDNN_POINTWISE_ADD, t[2],
      f->residual, f->y);
}

/* A sum that lies between two numbers of a coarse type may go either way. */
static void
fused_check (const Fused *f)
{
  double scale = 100 + 2e6 * type_get_step (f->between, 100);
  gint64 index[4] = { 0 };

  if (f->between == CUDNN_DATA_FLOAT)
    scale = 100;
  do {
    double value = type_round (f->between, convolve (f->x, f->w, &f->window,
            index));

    value = type_round (f->between, value + get_broadcast (f->bias, index));
    value = type_round (f->between, value / (1 + exp (-value)));
    assert_near (f->y, index, value + tensor_get (f->residual, index), scale);
  } while (tensor_next (f->y, index));
  tensor_check_gaps (f->y);
}

static void
test_fused (void)
{
  GRand *rand = g_rand_new_with_seed (9);
  Fused f;

  for (int i = 0; i < 3; i++) {
    fused_init (&f, rand, float_types[i]);
    memset (f.b.workspace, 0, BUILDER_WORKSPACE);
    builder_run (&f.b, 4, f.operations);
    fused_check (&f);
    for (gsize j = 0; j < BUILDER_WORKSPACE; j++)       /* it was used */
      g_assert_cmphex (((guint8 *) f.b.workspace)[j], ==, 0xff);
    builder_clear (&f.b);
  }
  g_rand_free (rand);
}

/* A virtual tensor is no more precise than its type: 1 + 1/512 in bf16 is 1. */
static void
test_virtual_type (void)
{
  gint64 one[1] = { 1 }, index[4] = { 0 };
  Tensor *x, *half, *between, *y;
  Descriptor operations[2];
  Builder b;

  builder_init (&b);
  x = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 1, one));
  half = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 1, one));
  between = new_virtual (&b, CUDNN_DATA_BFLOAT16, 1, one);
  y = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 1, one));
  tensor_set (x, index, 1);
  tensor_set (half, index, 1.0 / 512);
  operations[0] = build_pointwise (&b, CUDNN_POINTWISE_ADD, x, half, between);
  operations[1] = build_pointwise (&b, CUDNN_POINTWISE_SUB, between, x, y);
  builder_run (&b, 2, operations);
  g_assert_cmpfloat (tensor_get (y, index), ==, 0);
  builder_clear (&b);
}

/* Attention of single operations, as it is put without a node for it. */
static void
test_composite (void)
{
  GRand *rand = g_rand_new_with_seed (10);
  gint64 q_dims[4] = { 1, 2, 5, 8 }, k_dims[4] = { 1, 2, 8, 7 };
  gint64 v_dims[4] = { 1, 2, 7, 8 }, s_dims[4] = { 1, 2, 5, 7 };
  gint64 row_dims[4] = { 1, 2, 5, 1 }, index[4] = { 0 };
  Tensor *q, *k, *v, *o, *s[4], *highest, *total, transposed;
  Descriptor ops[7];
  Builder b;

  builder_init (&b);
  q = new_source (&b, rand, CUDNN_DATA_FLOAT, 4, q_dims);
  k = new_source (&b, rand, CUDNN_DATA_FLOAT, 4, k_dims);
  v = new_source (&b, rand, CUDNN_DATA_FLOAT, 4, v_dims);
  o = new_result (&b, rand, CUDNN_DATA_FLOAT, 4, q_dims);
  for (int i = 0; i < 4; i++)
    s[i] = new_virtual (&b, CUDNN_DATA_FLOAT, 4, s_dims);
  highest = new_virtual (&b, CUDNN_DATA_FLOAT, 4, row_dims);
  total = new_virtual (&b, CUDNN_DATA_FLOAT, 4, row_dims);
  ops[0] = build_matmul (&b, q, k, s[0]);
  ops[1] = build_reduction (&b, CUDNN_REDUCE_TENSOR_MAX, s[0], highest);
  ops[2] = build_pointwise (&b, CUDNN_POINTWISE_SUB, s[0], highest, s[1]);
  ops[3] = build_pointwise (&b, CUDNN_POINTWISE_EXP, s[1], NULL, s[2]);
  ops[4] = build_reduction (&b, CUDNN_REDUCE_TENSOR_ADD, s[2], total);
  ops[5] = build_pointwise (&b, CUDNN_POINTWISE_DIV, s[2], total, s[3]);
  ops[6] = build_matmul (&b, s[3], v, o);
  builder_run (&b, 7, ops);
  transposed = *k;
  transposed.dims[2] = k->dims[3];
  transposed.strides[2] = k->strides[3];
  transposed.dims[3] = k->dims[2];
  transposed.strides[3] = k->strides[2];
  do
    assert_near (o, index, attend (q, &transposed, v, 1, index), 4);
  while (tensor_next (o, index));
  builder_clear (&b);
  g_rand_free (rand);
}

/* --- plans ---------------------------------------------------------------- */

/* Runs again with other contents, after all descriptors are gone; what was
 * given by value stays what it was. */
static void
test_replay (void)
{
  GRand *rand = g_rand_new_with_seed (11);
  gint64 dims[2] = { 3, 5 }, one[2] = { 1, 1 }, index[4] = { 0 };
  Tensor *x, *factor, *y;
  Builder b, memory;
  Descriptor op;

  builder_init (&memory);
  builder_init (&b);
  x = new_source (&memory, rand, CUDNN_DATA_HALF, 2, dims);
  y = new_result (&memory, rand, CUDNN_DATA_HALF, 2, dims);
  factor = tensor_new (&b, CUDNN_DATA_FLOAT, 2, one);
  factor->by_value = TRUE;
  tensor_finish (&b, factor);
  tensor_set (factor, index, 0.5);
  op = build_pointwise (&b, CUDNN_POINTWISE_MUL,
      tensor_finish (&b, tensor_new_view (&b, x)), factor,
      tensor_finish (&b, tensor_new_view (&b, y)));
  recorded.keep = TRUE;
  builder_run (&b, 1, &op);
  recorded.keep = FALSE;
  tensor_set (factor, index, 2);
  builder_clear (&b);
  for (int i = 0; i < 3; i++) {
    tensor_fill (x, rand, 2);
    recorded.run (recorded.data);
    do
      assert_near (y, index, tensor_get (x, index) * 0.5, 1);
    while (tensor_next (y, index));
  }
  missing_memory = x->start;
  recorded.run (recorded.data);
  missing_memory = NULL;
  g_assert_cmpint (illegal_addresses, ==, 1);
  recorded.destroy (recorded.data);
  builder_clear (&memory);
  g_rand_free (rand);
}

static cudnnStatus_t
finalize_text (const char *text, gint64 length)
{
  Builder b;

  builder_init (&b);
  build_plan_of_text (&b, text, length);
  builder_clear (&b);
  return b.status;
}

/* A plan of text does the same; any character changed, or some missing, and it
 * is none. */
static void
test_text (void)
{
  GRand *rand = g_rand_new_with_seed (12);
  Descriptor plan;
  gint64 length;
  char *text;
  Fused f;

  fused_init (&f, rand, CUDNN_DATA_FLOAT);
  text = builder_write_plan (&f.b, build_plan (&f.b, 4, f.operations),
      &length);
  plan = build_plan_of_text (&f.b, text, length);
  g_assert_cmpint (f.b.status, ==, CUDNN_STATUS_SUCCESS);
  g_assert_cmpint (cudnnBackendExecute (f.b.handle, plan, build_pack (&f.b)),
      ==, CUDNN_STATUS_SUCCESS);
  fused_check (&f);
  for (gint64 i = 0; i < length; i++) {
    text[i] ^= 1;
    g_assert_cmpint (finalize_text (text, length), !=, CUDNN_STATUS_SUCCESS);
    text[i] ^= 1;
    if (i > 0)
      g_assert_cmpint (finalize_text (text, i), !=, CUDNN_STATUS_SUCCESS);
  }
  g_setenv ("CUDNN_ON_CPU_VERSION", "90800", TRUE);
  g_assert_cmpint (cudnnGetVersion (), ==, 90800);
  g_assert_cmpint (finalize_text (text, length), ==,
      CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH);
  g_unsetenv ("CUDNN_ON_CPU_VERSION");
  g_assert_cmpint (cudnnGetVersion (), ==, CUDNN_VERSION);
  g_assert_cmpint (finalize_text (text, length), ==, CUDNN_STATUS_SUCCESS);
  g_free (text);
  builder_clear (&f.b);
  g_rand_free (rand);
}

/* No context is current. */
static void
test_context (void)
{
  Builder b;

  context = NULL;
  builder_init (&b);
  context = (CUcontext) &context;
  builder_assert_refused (&b, CUDNN_STATUS_NOT_INITIALIZED, "no current");
  builder_clear (&b);
}

/* Memory that is not there. */
static void
test_memory (void)
{
  gint64 dims[2] = { 3, 5 };
  Descriptor op;
  Tensor *x, *y;
  Builder b;

  builder_init (&b);
  x = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 2, dims));
  y = tensor_finish (&b, tensor_new (&b, CUDNN_DATA_FLOAT, 2, dims));
  op = build_pointwise (&b, CUDNN_POINTWISE_EXP, x, NULL, y);
  missing_memory = y->start;
  builder_execute (&b, 1, &op);
  missing_memory = NULL;
  builder_assert_refused (&b, CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND,
      "no device memory of 60 bytes");
  tensor_check_gaps (y);
  builder_clear (&b);
}

/* --- threads -------------------------------------------------------------- */

static gpointer
run_fused (gpointer seed)
{
  GRand *rand = g_rand_new_with_seed (GPOINTER_TO_UINT (seed));
  Fused f;

  for (int i = 0; i < 3; i++) {
    fused_init (&f, rand, CUDNN_DATA_FLOAT);
    builder_run (&f.b, 4, f.operations);
    fused_check (&f);
    builder_clear (&f.b);
  }
  g_rand_free (rand);
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("fused", run_fused, GUINT_TO_POINTER (i));
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/compute/convolution", test_convolution);
  g_test_add_func ("/compute/phases", test_phases);
  g_test_add_func ("/compute/matmul", test_matmul);
  g_test_add_func ("/compute/pointwise", test_pointwise);
  g_test_add_func ("/compute/swish-beta", test_swish_beta);
  g_test_add_func ("/compute/rounding", test_rounding);
  g_test_add_func ("/compute/reduction", test_reduction);
  g_test_add_func ("/compute/statistics", test_statistics);
  g_test_add_func ("/compute/tf32", test_tf32);
  g_test_add_func ("/compute/sdpa", test_sdpa);
  g_test_add_func ("/graph/fused", test_fused);
  g_test_add_func ("/graph/virtual-type", test_virtual_type);
  g_test_add_func ("/graph/composite", test_composite);
  g_test_add_func ("/plan/replay", test_replay);
  g_test_add_func ("/plan/text", test_text);
  g_test_add_func ("/plan/context", test_context);
  g_test_add_func ("/plan/memory", test_memory);
  add_refusal_tests ();
  g_test_add_func ("/threads", test_threads);   /* none sets the environment
                                                 * after it */
  result = g_test_run ();
  g_assert_cmpint (cudnn_on_cpu_get_descriptors (), ==, 0);
  return result;
}
