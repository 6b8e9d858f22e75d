/* A plan as text: a JSON object whose array "graph" is the graph in numbers,
 * and whose last member is a checksum of all before it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_plan.h"

#include <cinttypes>
#include <cstdlib>
#include <cstring>

namespace cudnn_on_cpu
{

int64_t
get_version ()
{
  const char *version = getenv ("CUDNN_ON_CPU_VERSION");

  return version ? atol (version) : CUDNN_VERSION;
}

int64_t
get_workspace_size (const Plan &plan)
{
  return plan.graph->operations.size () > 1 ? 64 * 1024 : 0;
}

/* FNV-1a. */
static uint64_t
get_checksum (const std::string &text)
{
  uint64_t sum = 0xcbf29ce484222325;

  for (unsigned char c : text)
    sum = (sum ^ c) * 0x100000001b3;
  return sum;
}

/* --- writing -------------------------------------------------------------- */

static void
put (Shape &numbers, const Shape &more)
{
  numbers.insert (numbers.end (), more.begin (), more.end ());
}

static void
put_tensors (Shape &numbers, const std::vector<Tensor> &tensors)
{
  numbers.push_back (tensors.size ());
  for (const Tensor &t : tensors) {
    put (numbers, { t.id, t.type, t.alignment, t.is_virtual, t.by_value,
        int64_t (t.dims.size ()) });
    put (numbers, t.dims);
    put (numbers, t.strides);
  }
}

static void
put_operation (Shape &numbers, const Operation &op)
{
  int64_t beta;

  memcpy (&beta, &op.beta, sizeof beta);
  put (numbers, { int64_t (op.kind), op.mode, beta });
  for (int d = 0; d < 2; d++)
    put (numbers, { op.stride[d], op.before[d], op.after[d] });
  put_tensors (numbers, op.sources);
  put_tensors (numbers, op.results);
}

std::string
write_plan (const Plan &plan)
{
  Shape numbers { plan.device, plan.engine,
    int64_t (plan.graph->operations.size ()) };
  std::string text = "{\"cudnnVersion\":" + std::to_string (get_version ())
      + ",\"graph\":[";

  for (const Operation &op : plan.graph->operations)
    put_operation (numbers, op);
  for (size_t i = 0; i < numbers.size (); i++)
    text += (i ? "," : "") + std::to_string (numbers[i]);
  text += "]";
  return text + ",\"checksum\":" + std::to_string (get_checksum (text)) + "}";
}

/* --- reading -------------------------------------------------------------- */

class Reader
{
public:
  explicit Reader (const std::string &text) : place (text.c_str ()) { }

  void expect (const char *literal)
  {
    if (strncmp (place, literal, strlen (literal)) != 0)
      refuse (CUDNN_STATUS_BAD_PARAM, "a damaged plan: no %s", literal);
    place += strlen (literal);
  }

  int64_t number ()
  {
    char *end;
    int64_t value = strtoll (place, &end, 10);

    if (end == place)
      refuse (CUDNN_STATUS_BAD_PARAM, "a damaged plan: no number");
    place = end;
    return value;
  }

  /* The array's next number, from low to high. */
  int64_t item (int64_t low = INT64_MIN, int64_t high = INT64_MAX)
  {
    int64_t value;

    if (!first)
      expect (",");
    first = false;
    value = number ();
    if (value < low || value > high)
      refuse (CUDNN_STATUS_BAD_PARAM, "a damaged plan: %" PRId64, value);
    return value;
  }

  Shape items (int64_t n)
  {
    Shape shape;

    while (n-- > 0)
      shape.push_back (item ());
    return shape;
  }

private:
  const char *place;
  bool first = true;
};

static std::vector<Tensor>
read_tensors (Reader &reader)
{
  int64_t n = reader.item (0, 4);
  std::vector<Tensor> tensors;

  while (n-- > 0) {
    Tensor t;
    int64_t rank;

    t.id = reader.item ();
    t.type = cudnnDataType_t (reader.item (0, 100));
    t.alignment = reader.item ();
    t.is_virtual = reader.item (0, 1);
    t.by_value = reader.item (0, 1);
    rank = reader.item (1, CUDNN_DIM_MAX);
    t.dims = reader.items (rank);
    t.strides = reader.items (rank);
    check_tensor (t);
    tensors.push_back (t);
  }
  return tensors;
}

static Operation
read_operation (Reader &reader)
{
  Operation op;
  int64_t beta;

  op.kind = Kind (reader.item (0, 100));
  op.mode = reader.item (0, 1000);
  beta = reader.item ();
  memcpy (&op.beta, &beta, sizeof beta);
  for (int d = 0; d < 2; d++) {
    op.stride[d] = reader.item ();
    op.before[d] = reader.item ();
    op.after[d] = reader.item ();
  }
  op.sources = read_tensors (reader);
  op.results = read_tensors (reader);
  check_operation (op);
  return op;
}

static void
check_text (const std::string &text)
{
  size_t end = text.rfind (",\"checksum\":");
  std::string sum;

  if (end == std::string::npos)
    refuse (CUDNN_STATUS_BAD_PARAM, "a damaged plan: no checksum");
  sum = ",\"checksum\":" + std::to_string (get_checksum (text.substr (0, end)))
      + "}";
  if (text.compare (end, std::string::npos, sum) != 0)
    refuse (CUDNN_STATUS_BAD_PARAM, "a damaged plan: its checksum is another");
}

Plan
read_plan (const std::string &text)
{
  Reader reader (text);
  std::vector<Operation> operations;
  Plan plan;
  int64_t version, n;

  check_text (text);
  reader.expect ("{\"cudnnVersion\":");
  version = reader.number ();
  if (version != get_version ())
    refuse (CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH,
        "a plan of version %" PRId64, version);
  reader.expect (",\"graph\":[");
  plan.device = reader.item (0, INT32_MAX);
  plan.engine = reader.item (0, N_ENGINES - 1);
  for (n = reader.item (1, 1000); n > 0; n--)
    operations.push_back (read_operation (reader));
  reader.expect ("],\"checksum\":");
  plan.graph = std::make_shared<const Graph> (
      make_graph (std::move (operations)));
  return plan;
}

}
