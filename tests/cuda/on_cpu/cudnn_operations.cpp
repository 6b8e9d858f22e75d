/* Which tensors and operations there can be, and which graphs of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_plan.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <set>

namespace cudnn_on_cpu
{

void
refuse (cudnnStatus_t status, const char *format, ...)
{
  char message[512];
  va_list args;

  va_start (args, format);
  vsnprintf (message, sizeof message, format, args);
  va_end (args);
  throw Refusal { status, message };
}

/* Refuses unless it holds. */
#define CHECK(condition, status, ...) \
  do { \
    if (!(condition)) \
      refuse (CUDNN_STATUS_ ## status, __VA_ARGS__); \
  } while (0)

/* --- tensors -------------------------------------------------------------- */

bool
operator== (const Tensor &a, const Tensor &b)
{
  return a.id == b.id && a.type == b.type && a.dims == b.dims
      && a.strides == b.strides && a.alignment == b.alignment
      && a.is_virtual == b.is_virtual && a.by_value == b.by_value;
}

int64_t
get_type_size (cudnnDataType_t type)
{
  switch (type) {
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_INT32:
      return 4;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16:
      return 2;
    case CUDNN_DATA_FP8_E4M3:
    case CUDNN_DATA_FP8_E5M2:
      return 1;
    default:
      refuse (CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "data type %d", type);
  }
}

int64_t
get_n_elements (const Shape &dims)
{
  int64_t n = 1;

  for (int64_t dim : dims)
    n *= dim;
  return n;
}

int64_t
get_extent (const Tensor &tensor)
{
  int64_t last = 0;

  for (size_t d = 0; d < tensor.dims.size (); d++)
    last += (tensor.dims[d] - 1) * tensor.strides[d];
  return (last + 1) * get_type_size (tensor.type);
}

/* Far more than memory holds, and far from overflow. */
static const int64_t MAX_DIM = 1 << 30, MAX_ELEMENTS = int64_t (1) << 40;

void
check_tensor (const Tensor &t)
{
  long id = t.id;
  int64_t n = 1;

  CHECK (t.dims.size () == t.strides.size () && !t.dims.empty ()
      && t.dims.size () <= CUDNN_DIM_MAX, BAD_PARAM,
      "tensor %ld: %zu dimensions, %zu strides", id, t.dims.size (),
      t.strides.size ());
  for (size_t d = 0; d < t.dims.size (); d++) {
    CHECK (t.dims[d] >= 1 && t.dims[d] <= MAX_DIM
        && (n *= t.dims[d]) <= MAX_ELEMENTS, BAD_PARAM,
        "tensor %ld: dimension %zu is %ld", id, d, (long) t.dims[d]);
    CHECK (t.strides[d] >= 0 && t.strides[d] <= MAX_ELEMENTS / t.dims[d],
        BAD_PARAM, "tensor %ld: stride %zu is %ld", id, d,
        (long) t.strides[d]);
  }
  CHECK (t.alignment > 0 && t.alignment % get_type_size (t.type) == 0,
      BAD_PARAM, "tensor %ld: alignment %ld", id, (long) t.alignment);
  CHECK (!t.by_value || (n == 1 && !t.is_virtual), BAD_PARAM,
      "tensor %ld: by value, but virtual or of %ld elements", id, (long) n);
}

/* Whether no two elements can be at one place. */
static bool
is_injective (const Tensor &tensor)
{
  std::vector<std::pair<int64_t, int64_t>> steps;       /* stride, dimension */
  int64_t last = 0;

  for (size_t d = 0; d < tensor.dims.size (); d++)
    if (tensor.dims[d] > 1)
      steps.emplace_back (tensor.strides[d], tensor.dims[d]);
  std::sort (steps.begin (), steps.end ());
  for (const auto &[stride, dim] : steps) {
    if (stride <= last)
      return false;
    last += (dim - 1) * stride;
  }
  return true;
}

/* --- operations ----------------------------------------------------------- */

static void
check_ranks (const Operation &op, size_t low, size_t high)
{
  size_t rank = op.sources[0].dims.size ();

  CHECK (rank >= low && rank <= high, BAD_PARAM,
      "tensor %ld: an operation on %zu to %zu dimensions", (long)
      op.sources[0].id, low, high);
  for (const auto *side : { &op.sources, &op.results })
    for (const Tensor &t : *side)
      CHECK (t.dims.size () == rank, BAD_PARAM,
          "tensor %ld has %zu dimensions, tensor %ld of the same operation %zu",
          (long) t.id, t.dims.size (), (long) op.sources[0].id, rank);
}

static void
check_dim (const Tensor &t, int d, int64_t wanted)
{
  CHECK (t.dims[d] == wanted, BAD_PARAM_SHAPE_MISMATCH,
      "tensor %ld: dimension %d is %ld, should be %ld", (long) t.id, d,
      (long) t.dims[d], (long) wanted);
}

static void
check_same_type (const Tensor &a, const Tensor &b)
{
  CHECK (a.type == b.type, NOT_SUPPORTED_DATA_TYPE,
      "tensors %ld and %ld are multiplied, but not of one type", (long) a.id,
      (long) b.id);
}

static void
check_convolution (const Operation &op)
{
  const Tensor &x = op.sources[0], &w = op.sources[1], &y = op.results[0];

  check_ranks (op, 4, 4);
  check_same_type (x, w);
  check_dim (w, 1, x.dims[1]);
  check_dim (y, 0, x.dims[0]);
  check_dim (y, 1, w.dims[0]);
  for (int d = 0; d < 2; d++) {
    int64_t padded, kernel = w.dims[2 + d];

    CHECK (op.stride[d] >= 1 && op.stride[d] <= MAX_DIM && op.before[d] >= 0
        && op.before[d] <= MAX_DIM && op.after[d] >= 0
        && op.after[d] <= MAX_DIM, BAD_PARAM,
        "convolution of stride %ld, padding %ld and %ld", (long) op.stride[d],
        (long) op.before[d], (long) op.after[d]);
    padded = x.dims[2 + d] + op.before[d] + op.after[d];
    CHECK (kernel <= padded, BAD_PARAM_SHAPE_MISMATCH,
        "tensor %ld: a kernel larger than the padded picture", (long) w.id);
    check_dim (y, 2 + d, (padded - kernel) / op.stride[d] + 1);
  }
}

static void
check_matmul (const Operation &op)
{
  const Tensor &a = op.sources[0], &b = op.sources[1], &c = op.results[0];
  int rank = a.dims.size ();

  check_ranks (op, 3, 4);
  check_same_type (a, b);
  check_dim (b, rank - 2, a.dims[rank - 1]);
  check_dim (c, rank - 2, a.dims[rank - 2]);
  check_dim (c, rank - 1, b.dims[rank - 1]);
  for (int d = 0; d < rank - 2; d++) {
    check_dim (c, d, std::max (a.dims[d], b.dims[d]));
    if (a.dims[d] != 1 && b.dims[d] != 1)
      check_dim (b, d, a.dims[d]);
  }
}

/* How many sources a pointwise operation has. */
static size_t
get_n_operands (int mode)
{
  switch (mode) {
    case CUDNN_POINTWISE_ADD:
    case CUDNN_POINTWISE_MUL:
    case CUDNN_POINTWISE_SUB:
    case CUDNN_POINTWISE_DIV:
    case CUDNN_POINTWISE_MAX:
    case CUDNN_POINTWISE_MIN:
      return 2;
    case CUDNN_POINTWISE_RELU_FWD:
    case CUDNN_POINTWISE_SWISH_FWD:
    case CUDNN_POINTWISE_GELU_FWD:
    case CUDNN_POINTWISE_GELU_APPROX_TANH_FWD:
    case CUDNN_POINTWISE_SIGMOID_FWD:
    case CUDNN_POINTWISE_TANH_FWD:
    case CUDNN_POINTWISE_EXP:
    case CUDNN_POINTWISE_IDENTITY:
    case CUDNN_POINTWISE_SQRT:
    case CUDNN_POINTWISE_RSQRT:
      return 1;
    default:
      refuse (CUDNN_STATUS_NOT_SUPPORTED, "pointwise mode %d", mode);
  }
}

/* Every dimension of `small` is 1 or that of `large`. */
static void
check_broadcast (const Tensor &small, const Tensor &large)
{
  for (size_t d = 0; d < large.dims.size (); d++)
    if (small.dims[d] != 1)
      check_dim (small, d, large.dims[d]);
}

static void
check_pointwise (const Operation &op)
{
  const Tensor &x = op.sources[0], &y = op.results[0];

  CHECK (op.sources.size () == get_n_operands (op.mode), BAD_PARAM,
      "pointwise mode %d with %zu operands", op.mode, op.sources.size ());
  check_ranks (op, 1, CUDNN_DIM_MAX);
  for (size_t d = 0; d < x.dims.size (); d++)
    check_dim (y, d, x.dims[d]);
  for (const Tensor &b : op.sources)
    check_broadcast (b, x);
}

static void
check_reduction (const Operation &op)
{
  CHECK (op.mode == CUDNN_REDUCE_TENSOR_ADD
      || op.mode == CUDNN_REDUCE_TENSOR_MAX, NOT_SUPPORTED, "reduction %d",
      op.mode);
  check_ranks (op, 1, CUDNN_DIM_MAX);
  check_broadcast (op.results[0], op.sources[0]);
}

static void
check_gen_stats (const Operation &op)
{
  check_ranks (op, 4, 4);
  for (const Tensor &t : op.results) {
    CHECK (t.type == CUDNN_DATA_FLOAT, NOT_SUPPORTED_DATA_TYPE,
        "tensor %ld: statistics that are not FLOAT", (long) t.id);
    for (int d = 0; d < 4; d++)
      check_dim (t, d, d == 1 ? op.sources[0].dims[1] : 1);
  }
}

static void
check_sdpa (const Operation &op)
{
  const Tensor &q = op.sources[0], &k = op.sources[1], &v = op.sources[2];
  const Tensor &o = op.results[0];

  check_ranks (op, 4, 4);
  check_same_type (q, k);
  check_same_type (q, v);
  for (int d = 0; d < 2; d++)
    for (const Tensor *t : { &k, &v, &o })
      check_dim (*t, d, q.dims[d]);
  check_dim (k, 3, q.dims[3]);
  check_dim (v, 2, k.dims[2]);
  check_dim (o, 2, q.dims[2]);
  check_dim (o, 3, v.dims[3]);
  for (size_t i = 3; i < op.sources.size (); i++) {
    CHECK (op.sources[i].type == CUDNN_DATA_FLOAT, NOT_SUPPORTED_DATA_TYPE,
        "tensor %ld: a scale that is not FLOAT", (long) op.sources[i].id);
    for (int d = 0; d < 4; d++)
      check_dim (op.sources[i], d, 1);
  }
}

void
check_operation (const Operation &op)
{
  static const struct
  {
    size_t min_sources, max_sources, n_results;
    void (*check) (const Operation &);
  } kinds[] = {
    { 2, 2, 1, check_convolution },
    { 2, 2, 1, check_matmul },
    { 1, 2, 1, check_pointwise },
    { 1, 1, 1, check_reduction },
    { 1, 1, 2, check_gen_stats },
    { 3, 4, 1, check_sdpa },
  };
  size_t kind = size_t (op.kind);

  CHECK (kind < sizeof kinds / sizeof *kinds, BAD_PARAM, "operation %zu", kind);
  CHECK (op.sources.size () >= kinds[kind].min_sources
      && op.sources.size () <= kinds[kind].max_sources
      && op.results.size () == kinds[kind].n_results, BAD_PARAM,
      "operation %zu with %zu sources, %zu results", kind, op.sources.size (),
      op.results.size ());
  kinds[kind].check (op);
  for (const Tensor &t : op.results)
    CHECK (!t.by_value && is_injective (t), BAD_PARAM,
        "tensor %ld is written, but by value or with elements in one place",
        (long) t.id);
}

bool
is_float_product (const Operation &op)
{
  return (op.kind == Kind::CONVOLUTION || op.kind == Kind::MATMUL
      || op.kind == Kind::SDPA) && op.sources[0].type == CUDNN_DATA_FLOAT;
}

/* --- graphs --------------------------------------------------------------- */

/* Collects the graph's tensors: the same id, the same tensor. */
static void
add_tensor (Graph &graph, const Tensor &tensor)
{
  auto [place, added] = graph.tensors.emplace (tensor.id, tensor);

  CHECK (added || place->second == tensor, BAD_PARAM_DUPLICATED_ENTRIES,
      "two different tensors have the id %ld", (long) tensor.id);
}

/* Virtual tensors are written and read. No tensor is written twice. */
static void
check_use (const Graph &graph, const std::vector<Operation> &operations)
{
  std::set<int64_t> written, read;

  for (const Operation &op : operations) {
    for (const Tensor &t : op.sources)
      read.insert (t.id);
    for (const Tensor &t : op.results)
      CHECK (written.insert (t.id).second, BAD_PARAM,
          "tensor %ld is written twice", (long) t.id);
  }
  for (const auto &[id, tensor] : graph.tensors)
    if (tensor.is_virtual)
      CHECK (written.count (id) && read.count (id), BAD_PARAM,
          "virtual tensor %ld is never %s", (long) id,
          written.count (id) ? "read" : "written");
}

/* Moves the operations into the graph, each when all that it reads is there. */
static void
sort_operations (Graph &graph, std::vector<Operation> operations)
{
  std::set<int64_t> missing;

  for (const Operation &op : operations)
    for (const Tensor &t : op.results)
      missing.insert (t.id);
  while (!operations.empty ()) {
    auto next = std::find_if (operations.begin (), operations.end (),
        [&] (const Operation &op) {
          return std::none_of (op.sources.begin (), op.sources.end (),
              [&] (const Tensor &t) { return missing.count (t.id); });
        });

    CHECK (next != operations.end (), BAD_PARAM,
        "operations that wait for each other, writing tensor %ld and others",
        (long) *missing.begin ());
    for (const Tensor &t : next->results)
      missing.erase (t.id);
    graph.operations.push_back (std::move (*next));
    operations.erase (next);
  }
}

Graph
make_graph (std::vector<Operation> operations)
{
  Graph graph;

  CHECK (!operations.empty (), BAD_PARAM, "a graph without operations");
  for (const Operation &op : operations)
    for (const auto *side : { &op.sources, &op.results })
      for (const Tensor &t : *side)
        add_tensor (graph, t);
  check_use (graph, operations);
  sort_operations (graph, std::move (operations));
  return graph;
}

}
