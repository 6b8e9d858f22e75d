/* What cuDNN's descriptors mean, as plain data: tensors, operations on them,
 * graphs of operations, plans.
 *
 * Whatever is wrong is refused by an exception, which the library's functions
 * turn into their status and into what cudnnGetLastErrorString () says.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#pragma GCC visibility push(default)
#include <cudnn_graph.h>
#pragma GCC visibility pop

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cudnn_on_cpu
{

struct Refusal
{
  cudnnStatus_t status;
  std::string message;
};

[[noreturn]] void refuse (cudnnStatus_t status, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

using Shape = std::vector<int64_t>;     /* dimensions, or strides in elements */

struct Tensor
{
  int64_t id;
  cudnnDataType_t type;
  Shape dims, strides;
  int64_t alignment;            /* bytes */
  bool is_virtual;              /* only between operations */
  bool by_value;                /* read when a plan is executed */
};

bool operator== (const Tensor &, const Tensor &);

/* Bytes of an element; refuses types that are not computed with here. */
int64_t get_type_size (cudnnDataType_t type);

int64_t get_n_elements (const Shape & dims);

/* Bytes from the first element's start to the last one's end. */
int64_t get_extent (const Tensor & tensor);

void check_tensor (const Tensor & tensor);

enum class Kind
{
  CONVOLUTION,                  /* x [n][c][h][w], w [o][c][kh][kw] → y */
  MATMUL,                       /* a […][m][k], b […][k][n] → c */
  POINTWISE,                    /* x, maybe b → y */
  REDUCTION,                    /* x → y */
  GEN_STATS,                    /* x [n][c][h][w] → sum, square sum */
  SDPA,                         /* q, k, v [b][h][s][d], maybe scale → o */
};

struct Operation
{
  Kind kind;
  int mode;                     /* cudnnPointwiseMode_t or a reduction's */
  double beta;                  /* of swish */
  int64_t stride[2], before[2], after[2];       /* convolution: rows, columns;
                                                 * padding before and after */
  std::vector<Tensor> sources, results; /* in the order given above */
};

/* Refuses operations whose tensors do not fit together. */
void check_operation (const Operation & operation);

struct Graph
{
  std::vector<Operation> operations;    /* in an order that can be run */
  std::map<int64_t, Tensor> tensors;
};

/* Puts the operations in order; refuses what is no graph. */
Graph make_graph (std::vector<Operation> operations);

/* There are two engines, 0 and 1. They are the same but for products of FLOAT:
 * engine 0 has those in TF32, with 10 bits behind the point instead of 23. */
const int64_t N_ENGINES = 2;

bool is_float_product (const Operation & operation);

struct Plan
{
  std::shared_ptr<const Graph> graph;
  int64_t engine;               /* below N_ENGINES */
  int device;                   /* compute capability: 900 is 9.0 */
};

/* Bytes wanted at the variant pack's workspace. */
int64_t get_workspace_size (const Plan & plan);

/* A plan as text, and back; refuses damaged text and another version's. */
std::string write_plan (const Plan & plan);
Plan read_plan (const std::string & text);

/* What cudnnGetVersion () says. */
int64_t get_version ();

/* Where a plan's tensors are. */
struct Pack
{
  std::map<int64_t, void *> pointers;
  void *workspace;
};

/* Refuses what cannot be executed, then queues the execution in the stream. */
void execute (CUstream_st * stream, std::shared_ptr<const Plan> plan,
    const Pack & pack);

/* An operation on dense arrays, dimensions in the tensors' order. */
using Array = std::vector<float>;

std::vector<Array> compute (const Operation & operation,
    const std::vector<const Array *> &sources);

/* Calls visit (offset in elements) for every index below `dims`, the last
 * dimension fastest. */
template <typename Visit> void
walk (const Shape & dims, const Shape & strides, Visit visit)
{
  Shape index (dims.size (), 0);
  int64_t offset = 0;
  size_t d;

  do {
    visit (offset);
    for (d = dims.size (); d > 0; d--) {
      offset += strides[d - 1];
      if (++index[d - 1] < dims[d - 1])
        break;
      offset -= dims[d - 1] * strides[d - 1];
      index[d - 1] = 0;
    }
  } while (d > 0);
}

}
