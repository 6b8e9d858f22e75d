/* What the operations compute: on dense arrays of float, every sum in double.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_plan.h"

#include <algorithm>
#include <cmath>

namespace cudnn_on_cpu
{

/* --- arrays --------------------------------------------------------------- */

static Shape
get_dense_strides (const Shape &dims)
{
  Shape strides (dims.size ());
  int64_t stride = 1;

  for (size_t d = dims.size (); d-- > 0;) {
    strides[d] = stride;
    stride *= dims[d];
  }
  return strides;
}

/* Strides of a dense array that repeats in the dimensions where it is 1. */
static Shape
get_broadcast_strides (const Shape &dims)
{
  Shape strides = get_dense_strides (dims);

  for (size_t d = 0; d < dims.size (); d++)
    if (dims[d] == 1)
      strides[d] = 0;
  return strides;
}

/* The dense array with its dimensions in another order. */
static Array
permute (const Array &array, const Shape &dims, const std::vector<int> &order)
{
  Shape strides = get_dense_strides (dims), to_dims, to_strides;
  Array result;

  for (int d : order) {
    to_dims.push_back (dims[d]);
    to_strides.push_back (strides[d]);
  }
  result.reserve (array.size ());
  walk (to_dims, to_strides,
      [&] (int64_t offset) { result.push_back (array[offset]); });
  return result;
}

/* sums[n] += Σ over k of row[k] · matrix[k][n] */
template <typename Row> static void
add_product (double *sums, const Row *row, const float *matrix, int64_t n_k,
    int64_t n_n)
{
  for (int64_t k = 0; k < n_k; k++) {
    double factor = row[k];

    for (int64_t n = 0; n < n_n; n++)
      sums[n] += factor * matrix[k * n_n + n];
  }
}

/* --- convolution ---------------------------------------------------------- */

/* sums[o] of one position: its window starts at row y and column x of the
 * picture [h][w][c]; w is [kh][kw][c][o]. */
static void
add_window (const Operation &op, double *sums, const float *picture,
    const float *w, int64_t y, int64_t x)
{
  const Shape &dims = op.sources[0].dims, &kernel = op.sources[1].dims;
  int64_t n_c = dims[1], n_o = kernel[0];

  for (int64_t i = 0; i < kernel[2]; i++)
    for (int64_t j = 0; j < kernel[3]; j++)
      if (y + i >= 0 && y + i < dims[2] && x + j >= 0 && x + j < dims[3])
        add_product (sums, picture + ((y + i) * dims[3] + x + j) * n_c,
            w + (i * kernel[3] + j) * n_c * n_o, n_c, n_o);
}

static std::vector<Array>
convolve (const Operation &op, const std::vector<const Array *> &sources)
{
  const Shape &dims = op.sources[0].dims, &result_dims = op.results[0].dims;
  Array x = permute (*sources[0], dims, { 0, 2, 3, 1 });
  Array w = permute (*sources[1], op.sources[1].dims, { 2, 3, 1, 0 });
  Array y;

  for (int64_t n = 0; n < dims[0]; n++)
    for (int64_t i = 0; i < result_dims[2]; i++)
      for (int64_t j = 0; j < result_dims[3]; j++) {
        std::vector<double> sums (result_dims[1], 0.0);

        add_window (op, sums.data (), &x[n * dims[1] * dims[2] * dims[3]],
            w.data (), i * op.stride[0] - op.before[0],
            j * op.stride[1] - op.before[1]);
        y.insert (y.end (), sums.begin (), sums.end ());
      }
  return { permute (y, { result_dims[0], result_dims[2], result_dims[3],
          result_dims[1] }, { 0, 3, 1, 2 }) };
}

/* --- matrices ------------------------------------------------------------- */

/* Where each of the result's matrices has its operand: offsets in elements. */
static Shape
get_matrix_offsets (const Shape &dims, const Shape &result_dims)
{
  Shape strides = get_broadcast_strides (dims), offsets;

  strides.resize (dims.size () - 2);
  walk (Shape (result_dims.begin (), result_dims.end () - 2), strides,
      [&] (int64_t offset) { offsets.push_back (offset); });
  return offsets;
}

static std::vector<Array>
multiply (const Operation &op, const std::vector<const Array *> &sources)
{
  const Shape &dims = op.results[0].dims;
  size_t rank = dims.size ();
  int64_t n_m = dims[rank - 2], n_n = dims[rank - 1];
  int64_t n_k = op.sources[0].dims[rank - 1];
  Shape a = get_matrix_offsets (op.sources[0].dims, dims);
  Shape b = get_matrix_offsets (op.sources[1].dims, dims);
  Array c;

  for (size_t i = 0; i < a.size (); i++)
    for (int64_t m = 0; m < n_m; m++) {
      std::vector<double> sums (n_n, 0.0);

      add_product (sums.data (), &(*sources[0])[a[i] + m * n_k],
          &(*sources[1])[b[i]], n_k, n_n);
      c.insert (c.end (), sums.begin (), sums.end ());
    }
  return { c };
}

/* --- attention ------------------------------------------------------------ */

static void
softmax (std::vector<double> &scores, double scale)
{
  double sum = 0.0, highest = -INFINITY;

  for (double &s : scores)
    highest = std::max (highest, s *= scale);
  for (double &s : scores)
    sum += s = exp (s - highest);
  for (double &s : scores)
    s /= sum;
}

static std::vector<Array>
attend (const Operation &op, const std::vector<const Array *> &sources)
{
  const Shape &q = op.sources[0].dims, &k = op.sources[1].dims;
  const Shape &v = op.sources[2].dims;
  double scale = sources.size () > 3 ? sources[3]->at (0) : 1.0;
  Array transposed = permute (*sources[1], k, { 0, 1, 3, 2 }), o;

  for (int64_t head = 0; head < q[0] * q[1]; head++)
    for (int64_t i = 0; i < q[2]; i++) {
      std::vector<double> scores (k[2], 0.0), sums (v[3], 0.0);

      add_product (scores.data (), &(*sources[0])[(head * q[2] + i) * q[3]],
          &transposed[head * k[2] * k[3]], k[3], k[2]);
      softmax (scores, scale);
      add_product (sums.data (), scores.data (),
          &(*sources[2])[head * v[2] * v[3]], v[2], v[3]);
      o.insert (o.end (), sums.begin (), sums.end ());
    }
  return { o };
}

/* --- element by element --------------------------------------------------- */

static double
compute_unary (const Operation &op, double x)
{
  switch (op.mode) {
    case CUDNN_POINTWISE_RELU_FWD:
      return x < 0 ? 0 : x;
    case CUDNN_POINTWISE_SWISH_FWD:
      return x / (1 + exp (-op.beta * x));
    case CUDNN_POINTWISE_GELU_FWD:
      return 0.5 * x * (1 + erf (x * M_SQRT1_2));
    case CUDNN_POINTWISE_GELU_APPROX_TANH_FWD:
      return 0.5 * x * (1 + tanh (sqrt (M_2_PI) * (x + 0.044715 * x * x * x)));
    case CUDNN_POINTWISE_SIGMOID_FWD:
      return 1 / (1 + exp (-x));
    case CUDNN_POINTWISE_TANH_FWD:
      return tanh (x);
    case CUDNN_POINTWISE_EXP:
      return exp (x);
    case CUDNN_POINTWISE_SQRT:
      return sqrt (x);
    case CUDNN_POINTWISE_RSQRT:
      return 1 / sqrt (x);
    default:                   /* CUDNN_POINTWISE_IDENTITY */
      return x;
  }
}

static double
compute_binary (const Operation &op, double x, double b)
{
  switch (op.mode) {
    case CUDNN_POINTWISE_ADD:
      return x + b;
    case CUDNN_POINTWISE_SUB:
      return x - b;
    case CUDNN_POINTWISE_MUL:
      return x * b;
    case CUDNN_POINTWISE_DIV:
      return x / b;
    case CUDNN_POINTWISE_MAX:
      return fmax (x, b);
    default:                   /* CUDNN_POINTWISE_MIN */
      return fmin (x, b);
  }
}

static std::vector<Array>
compute_pointwise (const Operation &op,
    const std::vector<const Array *> &sources)
{
  Array y;

  y.reserve (sources[0]->size ());
  if (sources.size () == 1) {
    for (float x : *sources[0])
      y.push_back (compute_unary (op, x));
  } else {
    walk (op.sources[0].dims, get_broadcast_strides (op.sources[1].dims),
        [&] (int64_t offset) {
          y.push_back (compute_binary (op, (*sources[0])[y.size ()],
              (*sources[1])[offset]));
        });
  }
  return { y };
}

/* --- reductions ----------------------------------------------------------- */

/* Folds x into an array of `to` dimensions. */
template <typename Fold> static Array
reduce (const Array &x, const Shape &dims, const Shape &to, double start,
    Fold fold)
{
  std::vector<double> result (get_n_elements (to), start);
  const float *next = x.data ();

  walk (dims, get_broadcast_strides (to),
      [&] (int64_t i) { result[i] = fold (result[i], *next++); });
  return Array (result.begin (), result.end ());
}

static double
add (double sum, double x)
{
  return sum + x;
}

static double
add_square (double sum, double x)
{
  return sum + x * x;
}

static double
get_higher (double highest, double x)
{
  return fmax (highest, x);
}

static std::vector<Array>
compute_reduction (const Operation &op,
    const std::vector<const Array *> &sources)
{
  const Shape &dims = op.sources[0].dims, &to = op.results[0].dims;

  if (op.mode == CUDNN_REDUCE_TENSOR_MAX)
    return { reduce (*sources[0], dims, to, -INFINITY, get_higher) };
  return { reduce (*sources[0], dims, to, 0.0, add) };
}

static std::vector<Array>
compute_statistics (const Operation &op,
    const std::vector<const Array *> &sources)
{
  const Shape &dims = op.sources[0].dims, &to = op.results[0].dims;

  return { reduce (*sources[0], dims, to, 0.0, add),
    reduce (*sources[0], dims, to, 0.0, add_square) };
}

std::vector<Array>
compute (const Operation &op, const std::vector<const Array *> &sources)
{
  switch (op.kind) {
    case Kind::CONVOLUTION:
      return convolve (op, sources);
    case Kind::MATMUL:
      return multiply (op, sources);
    case Kind::POINTWISE:
      return compute_pointwise (op, sources);
    case Kind::REDUCTION:
      return compute_reduction (op, sources);
    case Kind::GEN_STATS:
      return compute_statistics (op, sources);
    default:
      return attend (op, sources);
  }
}

}
