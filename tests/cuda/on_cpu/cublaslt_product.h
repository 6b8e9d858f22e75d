/* What cuBLASLt's descriptors mean, as plain data.
 *
 * Whatever is wrong is refused by an exception, which the library's functions
 * turn into their status.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#pragma GCC visibility push(default)
#include <cublasLt.h>
#pragma GCC visibility pop

#include <cstdint>

namespace cublaslt_on_cpu
{

struct Refusal
{
  cublasStatus_t status;
};

/* A matrix by columns: element (r, c) is at c · ld + r. */
struct Layout
{
  cudaDataType_t type;
  uint64_t rows, cols;
  int64_t ld;
};

struct Description
{
  cublasComputeType_t compute;
  cudaDataType_t scale;
  int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  int32_t transposed[2] = { CUBLAS_OP_N, CUBLAS_OP_N }; /* A, B */
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void *bias = nullptr;
  int32_t bias_type = -1;       /* D's */
};

struct Preference
{
  uint64_t max_workspace = 0;
  uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignment[4] = { 256, 256, 256, 256 };       /* A, B, C, D */
};

/* D = op (A) · op (B) + …; what has been put together. */
struct Product
{
  Description description;
  Layout a, b, c, d;
};

/* Refuses what cannot be multiplied. */
void check_product (const Product & product);

/* The n-th algorithm for a product that a preference allows: there are two, the
 * second of which wants a workspace. Whether there is an n-th. */
bool propose (const Product & product, const Preference & preference, int n,
    cublasLtMatmulHeuristicResult_t * result);

/* Refuses algorithms that were proposed for something else; bytes of workspace. */
size_t check_algo (const Product & product, const cublasLtMatmulAlgo_t & algo);

struct Operands
{
  const float *alpha, *beta;
  const void *a, *b, *c;
  void *d, *workspace;
  size_t workspace_size;
};

/* Refuses what cannot be run, then queues it in the stream. */
void run (const Product & product, const cublasLtMatmulAlgo_t & algo,
    const Operands & operands, CUstream_st * stream);

}
