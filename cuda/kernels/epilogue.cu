/* What follows a product where the library has no kernel that does it at once:
 * bias, residual and activation; or bias and gate. A thread has a few
 * neighbouring columns of a few rows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "epilogue.h"
#include "matrix.cuh"
#include "vectors.cuh"

#define EACH DLORAL_EPILOGUE_EACH

/* V neighbours in every row of a thread. */
template <typename T, int V> struct Rows
{
  Vector<T, V> row[EACH];
};

/* base: [rows][width]. Beyond a thread's last row the first stands in. */
template <int V, typename T>
__device__ __forceinline__ Rows<T, V>
load_rows (const Share &s, const void *base, int width, int column)
{
  const T *at = static_cast<const T *> (base) + (size_t) s.row * width + column;
  Rows<T, V> rows;

#pragma unroll
  for (int i = 0; i < EACH; i++)
    rows.row[i] = load<V> (at + (size_t) (i < s.n ? i : 0) * s.step * width);
  return rows;
}

template <typename T, int V>
__device__ __forceinline__ Rows<f32, V>
to_float (const Rows<T, V> &x)
{
  Rows<f32, V> y;

#pragma unroll
  for (int i = 0; i < EACH; i++)
    y.row[i] = to_float (x.row[i]);
  return y;
}

template <int V, typename T>
__device__ __forceinline__ void
store_rows (const Share &s, void *base, int width, int column,
    const Rows<f32, V> &rows)
{
  T *at = static_cast<T *> (base) + (size_t) s.row * width + column;

#pragma unroll
  for (int i = 0; i < EACH; i++)
    if (i < s.n)
      store (at + (size_t) i * s.step * width, rows.row[i]);
}

template <int V>
__device__ __forceinline__ Vector<f32, V>
load_bias (const float *bias, int column)
{
  if (bias)
    return load<V> (bias + column);
  return {};
}

template <int V>
__device__ __forceinline__ Rows<f32, V>
load_residual (const DloralEpilogueParams &p, const Share &s, int column)
{
  switch (p.residual_type) {
    case DLORAL_EPILOGUE_RESIDUAL_F32:
      return load_rows<V, f32> (s, p.residual, p.c, column);
    case DLORAL_EPILOGUE_RESIDUAL_BF16:
      return to_float (load_rows<V, bf16> (s, p.residual, p.c, column));
    case DLORAL_EPILOGUE_RESIDUAL_F16:
      return to_float (load_rows<V, f16> (s, p.residual, p.c, column));
    default:
      return {};
  }
}

/* a += b */
template <int V>
__device__ __forceinline__ void
add (Vector<f32, V> &a, const Vector<f32, V> &b)
{
#pragma unroll
  for (int k = 0; k < V; k++)
    a.e[k] += b.e[k];
}

__device__ __forceinline__ float relu (float x) { return fmaxf (x, 0); }

__device__ __forceinline__ float
gelu (float x)
{
  return 0.5f * x * (1 + erff (x * 0.70710678f));
}

__device__ __forceinline__ float
quick_gelu (float x)
{
  return __fdividef (x, 1 + __expf (-1.702f * x));
}

#define FOR_ALL(f) \
  do \
    for (int i = 0; i < EACH; i++) \
      for (int k = 0; k < V; k++) \
        x.row[i].e[k] = f (x.row[i].e[k]); \
  while (0)

template <int V>
__device__ __forceinline__ void
activate (Rows<f32, V> &x, int act)
{
  switch (act) {
    case DLORAL_EPILOGUE_RELU:
      FOR_ALL (relu);
      break;
    case DLORAL_EPILOGUE_SILU:
      FOR_ALL (silu);
      break;
    case DLORAL_EPILOGUE_GELU:
      FOR_ALL (gelu);
      break;
    case DLORAL_EPILOGUE_QUICK_GELU:
      FOR_ALL (quick_gelu);
      break;
    case DLORAL_EPILOGUE_TANH:
      FOR_ALL (tanhf);
      break;
  }
}

template <int V, typename X, typename Y>
__device__ __forceinline__ void
finish (const DloralEpilogueParams &p)
{
  Share s = find_share (p.rows, p.c / V, EACH);
  int column = s.column * V;

  if (s.n == 0)
    return;
  Rows<X, V> raw = load_rows<V, X> (s, p.x, p.c, column);
  Rows<f32, V> residual = load_residual<V> (p, s, column);
  Rows<f32, V> x = to_float (raw);
  Vector<f32, V> bias = load_bias<V> (p.bias, column);

#pragma unroll
  for (int i = 0; i < EACH; i++) {
    add (x.row[i], bias);
    if (!p.after)
      add (x.row[i], residual.row[i]);
  }
  activate (x, p.act);
  if (p.after)
#pragma unroll
    for (int i = 0; i < EACH; i++)
      add (x.row[i], residual.row[i]);
  store_rows<V, Y> (s, p.y, p.c, column, x);
}

template <int V, typename X, typename Y>
__device__ __forceinline__ void
gate (const DloralEpilogueParams &p)
{
  Share s = find_share (p.rows, p.c / V, EACH);
  int column = s.column * V;

  if (s.n == 0)
    return;
  Rows<X, V> raw_a = load_rows<V, X> (s, p.x, 2 * p.c, column);
  Rows<X, V> raw_b = load_rows<V, X> (s, p.x, 2 * p.c, p.c + column);
  Rows<f32, V> a = to_float (raw_a), b = to_float (raw_b);
  Vector<f32, V> bias_a = load_bias<V> (p.bias, column);
  Vector<f32, V> bias_b = load_bias<V> (p.bias, p.c + column);

  for (int i = 0; i < EACH; i++) {
    add (a.row[i], bias_a);
    add (b.row[i], bias_b);
    for (int k = 0; k < V; k++)
      a.row[i].e[k] *= gelu (b.row[i].e[k]);
  }
  store_rows<V, Y> (s, p.y, p.c, column, a);
}

#define KERNELS(X, Y) \
  KERNEL (DLORAL_MATRIX_THREADS, epilogue_##X##_##Y, \
      (const DloralEpilogueParams p)) \
  { \
    if (p.vector > 1) \
      finish<8, X, Y> (p); \
    else \
      finish<1, X, Y> (p); \
  } \
  KERNEL (DLORAL_MATRIX_THREADS, geglu_##X##_##Y, \
      (const DloralEpilogueParams p)) \
  { \
    if (p.vector > 1) \
      gate<8, X, Y> (p); \
    else \
      gate<1, X, Y> (p); \
  }

FOR_TYPES (KERNELS)
