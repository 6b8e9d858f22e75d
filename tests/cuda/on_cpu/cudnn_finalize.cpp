/* What finalizing makes of a descriptor's attributes, type by type.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_descriptors.h"

#include <cuda.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

/* The driver's, if it is there. */
extern "C" CUresult cuDeviceGetAttribute (int *, CUdevice_attribute, CUdevice)
    __attribute__ ((weak));

namespace cudnn_on_cpu
{

#define REFUSE_IF(condition, status, ...) \
  do { \
    if (condition) \
      refuse (CUDNN_STATUS_ ## status, __VA_ARGS__); \
  } while (0)

static bool
has (const Content &content, cudnnBackendAttributeName_t name)
{
  return find_value (content, name) != nullptr;
}

static void
check_float (const Content &content, cudnnBackendAttributeName_t name)
{
  REFUSE_IF (get_element<int> (content, name) != CUDNN_DATA_FLOAT,
      NOT_SUPPORTED_DATA_TYPE, "computing in data type %d",
      get_element<int> (content, name));
}

/* --- tensors -------------------------------------------------------------- */

static bool
get_flag (const Content &content, cudnnBackendAttributeName_t name)
{
  return has (content, name) && get_element<bool> (content, name);
}

static void
finalize_tensor (Content &content)
{
  Tensor t;

  t.id = get_element<int64_t> (content, CUDNN_ATTR_TENSOR_UNIQUE_ID);
  t.type = get_element<cudnnDataType_t> (content, CUDNN_ATTR_TENSOR_DATA_TYPE);
  t.dims = get_elements<int64_t> (content, CUDNN_ATTR_TENSOR_DIMENSIONS);
  t.strides = get_elements<int64_t> (content, CUDNN_ATTR_TENSOR_STRIDES);
  t.alignment = get_element<int64_t> (content,
      CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  t.is_virtual = get_flag (content, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
  t.by_value = get_flag (content, CUDNN_ATTR_TENSOR_IS_BY_VALUE);
  check_tensor (t);
  content.tensor = std::make_shared<const Tensor> (t);
}

/* --- operations ----------------------------------------------------------- */

static void
finalize_convolution (Content &content)
{
  int mode = get_element<int> (content, CUDNN_ATTR_CONVOLUTION_CONV_MODE);

  check_float (content, CUDNN_ATTR_CONVOLUTION_COMP_TYPE);
  REFUSE_IF (mode != CUDNN_CROSS_CORRELATION, NOT_SUPPORTED,
      "convolution mode %d", mode);
  REFUSE_IF (get_element<int64_t> (content, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS)
      != 2, NOT_SUPPORTED, "a convolution that is not of pictures");
  for (int64_t dilation : get_elements<int64_t> (content,
          CUDNN_ATTR_CONVOLUTION_DILATIONS))
    REFUSE_IF (dilation != 1, NOT_SUPPORTED, "dilation %ld", (long) dilation);
}

static void
add_tensors (std::vector<Tensor> &tensors, const Content &content,
    std::initializer_list<cudnnBackendAttributeName_t> names)
{
  for (cudnnBackendAttributeName_t name : names)
    if (has (content, name))
      tensors.push_back (*get_referred (content, name)->tensor);
}

static void
set_operation (Content &content, const Operation &operation)
{
  check_operation (operation);
  content.operation = std::make_shared<const Operation> (operation);
}

static void
check_factor (const Content &content, cudnnBackendAttributeName_t name,
    double wanted)
{
  REFUSE_IF (has (content, name)
      && get_element<double> (content, name) != wanted, NOT_SUPPORTED,
      "a convolution with alpha other than 1 or beta other than 0");
}

static void
finalize_convolution_forward (Content &content)
{
  const Content &convolution = *get_referred (content,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
  Operation op { };

  check_factor (content, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1);
  check_factor (content, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0);
  op.kind = Kind::CONVOLUTION;
  for (int d = 0; d < 2; d++) {
    op.stride[d] = get_element<int64_t> (convolution,
        CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, d);
    op.before[d] = get_element<int64_t> (convolution,
        CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, d);
    op.after[d] = get_element<int64_t> (convolution,
        CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, d);
  }
  add_tensors (op.sources, content,
      { CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W });
  add_tensors (op.results, content,
      { CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y });
  set_operation (content, op);
}

static void
finalize_matmul (Content &content)
{
  Operation op { };

  op.kind = Kind::MATMUL;
  add_tensors (op.sources, content, { CUDNN_ATTR_OPERATION_MATMUL_ADESC,
        CUDNN_ATTR_OPERATION_MATMUL_BDESC });
  add_tensors (op.results, content, { CUDNN_ATTR_OPERATION_MATMUL_CDESC });
  set_operation (content, op);
}

static void
finalize_pointwise (Content &content)
{
  const Content &pointwise = *get_referred (content,
      CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  Operation op { };

  op.kind = Kind::POINTWISE;
  op.mode = get_element<int> (pointwise, CUDNN_ATTR_POINTWISE_MODE);
  op.beta = has (pointwise, CUDNN_ATTR_POINTWISE_SWISH_BETA)
      ? get_element<double> (pointwise, CUDNN_ATTR_POINTWISE_SWISH_BETA) : 1.0;
  add_tensors (op.sources, content, { CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
        CUDNN_ATTR_OPERATION_POINTWISE_BDESC });
  add_tensors (op.results, content, { CUDNN_ATTR_OPERATION_POINTWISE_YDESC });
  set_operation (content, op);
}

static void
finalize_reduction (Content &content)
{
  Operation op { };

  op.kind = Kind::REDUCTION;
  op.mode = get_element<int> (*get_referred (content,
          CUDNN_ATTR_OPERATION_REDUCTION_DESC), CUDNN_ATTR_REDUCTION_OPERATOR);
  add_tensors (op.sources, content, { CUDNN_ATTR_OPERATION_REDUCTION_XDESC });
  add_tensors (op.results, content, { CUDNN_ATTR_OPERATION_REDUCTION_YDESC });
  set_operation (content, op);
}

static void
finalize_gen_stats (Content &content)
{
  Operation op { };

  check_float (content, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC);
  REFUSE_IF (get_element<int> (content, CUDNN_ATTR_OPERATION_GENSTATS_MODE)
      != CUDNN_GENSTATS_SUM_SQSUM, NOT_SUPPORTED, "other statistics");
  op.kind = Kind::GEN_STATS;
  add_tensors (op.sources, content, { CUDNN_ATTR_OPERATION_GENSTATS_XDESC });
  add_tensors (op.results, content, { CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC,
        CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC });
  set_operation (content, op);
}

static void
finalize_sdpa (Content &content)
{
  Operation op { };

  op.kind = Kind::SDPA;
  add_tensors (op.sources, content, { CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC,
        CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC,
        CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC,
        CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC });
  add_tensors (op.results, content, { CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC });
  set_operation (content, op);
}

/* --- engines -------------------------------------------------------------- */

static void
finalize_graph (Content &content)
{
  std::vector<Operation> operations;

  for (const auto &op :
      find_value (content, CUDNN_ATTR_OPERATIONGRAPH_OPS)->contents)
    operations.push_back (*op->operation);
  content.graph =
      std::make_shared<const Graph> (make_graph (std::move (operations)));
  set_value (content, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, &N_ENGINES,
      1, sizeof N_ENGINES);
}

static int64_t
count_kind (const Graph &graph, Kind kind)
{
  return std::count_if (graph.operations.begin (), graph.operations.end (),
      [kind] (const Operation &op) { return op.kind == kind; });
}

/* Whether `word` is in CUDNN_ON_CPU_REFUSE, a list with commas. */
static bool
is_refused (const char *word)
{
  const char *list = getenv ("CUDNN_ON_CPU_REFUSE");

  return list && (',' + std::string (list) + ',').find (
      ',' + std::string (word) + ',') != std::string::npos;
}

/* Whether there is an engine for it. What is not asked for by the environment
 * was seen with cuDNN 9.19. */
static bool
is_supported (const Graph &graph)
{
  bool fused = graph.operations.size () > 1;

  for (const Operation &op : graph.operations)
    if (op.kind == Kind::SDPA
        && (fused || is_refused ("sdpa") || op.sources[0].dims[3] % 8 != 0))
      return false;
  return !is_refused ("all") && !(fused && is_refused ("fused"))
      && count_kind (graph, Kind::CONVOLUTION) <= 1;
}

static void
add_result (Value &results, const Value &graph, int64_t index)
{
  auto engine = make_content (CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  auto config = make_content (CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);

  engine->values[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] = graph;
  set_value (*engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, &index, 1, sizeof index);
  finalize (*engine);
  config->values[CUDNN_ATTR_ENGINECFG_ENGINE] = Value { 1, { }, { engine } };
  finalize (*config);
  results.contents.push_back (config);
  results.count++;
}

static void
finalize_heuristics (Content &content)
{
  int mode = get_element<int> (content, CUDNN_ATTR_ENGINEHEUR_MODE);
  const Value &graph = content.values[CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH];
  Value results { 0, { }, { } };

  REFUSE_IF (mode < 0 || mode >= CUDNN_HEUR_MODES_COUNT, BAD_PARAM,
      "heuristics of mode %d", mode);
  if (is_supported (*graph.contents[0]->graph))
    for (int64_t index = 0; index < N_ENGINES; index++)
      add_result (results, graph, index);
  content.values[CUDNN_ATTR_ENGINEHEUR_RESULTS] = std::move (results);
}

static std::vector<int>
get_numerical_notes (const Graph &graph, int64_t engine)
{
  bool floats = std::any_of (graph.operations.begin (),
      graph.operations.end (), is_float_product);

  if (!floats)
    return { CUDNN_NUMERICAL_NOTE_TENSOR_CORE };
  if (engine == 0)
    return { CUDNN_NUMERICAL_NOTE_TENSOR_CORE,
      CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS };
  return { };
}

static void
finalize_engine (Content &content)
{
  static const int behaviour =
      CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API;
  int64_t index = get_element<int64_t> (content,
      CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  std::vector<int> notes;

  REFUSE_IF (index < 0 || index >= N_ENGINES, BAD_PARAM, "no engine %ld",
      (long) index);
  notes = get_numerical_notes (*get_referred (content,
          CUDNN_ATTR_ENGINE_OPERATION_GRAPH)->graph, index);
  set_value (content, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, notes.data (),
      notes.size (), sizeof (int));
  set_value (content, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, &behaviour, 1,
      sizeof behaviour);
}

/* --- devices -------------------------------------------------------------- */

/* Compute capability of a device: 900 is 9.0. */
static int
get_device_version (CUdevice device)
{
  int major = 9, minor = 0;

  if (cuDeviceGetAttribute)
    REFUSE_IF (cuDeviceGetAttribute (&major,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device)
        || cuDeviceGetAttribute (&minor,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device),
        NOT_INITIALIZED, "no device %d", device);
  return 100 * major + 10 * minor;
}

static int
read_device_version (const std::string &text)
{
  static const char member[] = "\"deviceVer\":";
  size_t place = text.find (member);

  REFUSE_IF (text.front () != '{' || text.find ('}') == std::string::npos
      || place == std::string::npos, BAD_PARAM,
      "a device description without braces or deviceVer");
  return atoi (text.c_str () + place + strlen (member));
}

static std::string
get_text (const Content &content, cudnnBackendAttributeName_t name)
{
  std::vector<char> text = get_elements<char> (content, name);

  return std::string (text.begin (), text.end ());
}

static void
set_text (Content &content, cudnnBackendAttributeName_t name,
    const std::string &text)
{
  set_value (content, name, text.data (), text.size (), 1);
}

static void
finalize_device (Content &content)
{
  bool described = has (content, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
  bool numbered = has (content, CUDNN_ATTR_DEVICEPROP_DEVICE_ID);

  REFUSE_IF (described + numbered + has (content, CUDNN_ATTR_DEVICEPROP_HANDLE)
      != 1, BAD_PARAM, "a device by one of id, handle and description");
  if (described) {
    content.device = read_device_version (get_text (content,
            CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION));
    return;
  }
  content.device = get_device_version (numbered
      ? get_element<int32_t> (content, CUDNN_ATTR_DEVICEPROP_DEVICE_ID) : 0);
  set_text (content, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
      "{\n \"deviceName\": \"CPU\",\n \"deviceVer\": "
      + std::to_string (content.device) + "\n}\n");
}

/* --- plans ---------------------------------------------------------------- */

/* The device a plan is made for. */
static int
get_plan_device (const Content &content)
{
  const Content *device = get_referred (content,
      CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);

  REFUSE_IF (!device && !has (content, CUDNN_ATTR_EXECUTION_PLAN_HANDLE),
      BAD_PARAM, "a plan for no device: neither handle nor description");
  return device ? device->device : get_device_version (0);
}

static Plan
make_plan (const Content &config, int device)
{
  const Content &engine = *get_referred (config, CUDNN_ATTR_ENGINECFG_ENGINE);
  const Content &graph = *get_referred (engine,
      CUDNN_ATTR_ENGINE_OPERATION_GRAPH);

  REFUSE_IF (!is_supported (*graph.graph), NOT_SUPPORTED_GRAPH_PATTERN,
      "no engine for this graph");
  return Plan { graph.graph, get_element<int64_t> (engine,
      CUDNN_ATTR_ENGINE_GLOBAL_INDEX), device };
}

static void
finalize_plan (Content &content)
{
  const Content *config = get_referred (content,
      CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  int device = get_plan_device (content);
  int64_t workspace_size;
  Plan plan;

  REFUSE_IF (!config + !has (content,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION) != 1, BAD_PARAM,
      "a plan either of an engine's configuration or of text");
  plan = config ? make_plan (*config, device) : read_plan (get_text (content,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION));
  REFUSE_IF (plan.device != device, NOT_SUPPORTED_ARCH_MISMATCH,
      "a plan for device version %d, not %d", plan.device, device);
  content.plan = std::make_shared<const Plan> (plan);
  workspace_size = get_workspace_size (plan);
  set_value (content, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, &workspace_size,
      1, sizeof workspace_size);
  set_text (content, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
      write_plan (plan));
}

static void
finalize_pack (Content &content)
{
  auto ids = get_elements<int64_t> (content,
      CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  auto pointers = get_elements<void *> (content,
      CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  Pack pack { };

  REFUSE_IF (ids.size () != pointers.size (), BAD_PARAM,
      "%zu ids, %zu pointers", ids.size (), pointers.size ());
  for (size_t i = 0; i < ids.size (); i++)
    REFUSE_IF (!pack.pointers.emplace (ids[i], pointers[i]).second,
        BAD_PARAM_DUPLICATED_ENTRIES, "id %ld twice", (long) ids[i]);
  if (has (content, CUDNN_ATTR_VARIANT_PACK_WORKSPACE))
    pack.workspace = get_element<void *> (content,
        CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  content.pack = std::make_shared<const Pack> (pack);
}

/* --- all ------------------------------------------------------------------ */

static void
give_meaning (Content &content)
{
  switch (content.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      return finalize_tensor (content);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
      return finalize_convolution (content);
    case CUDNN_BACKEND_MATMUL_DESCRIPTOR:
      return check_float (content, CUDNN_ATTR_MATMUL_COMP_TYPE);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
      return check_float (content, CUDNN_ATTR_POINTWISE_MATH_PREC);
    case CUDNN_BACKEND_REDUCTION_DESCRIPTOR:
      return check_float (content, CUDNN_ATTR_REDUCTION_COMP_TYPE);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return finalize_convolution_forward (content);
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR:
      return finalize_matmul (content);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
      return finalize_pointwise (content);
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR:
      return finalize_reduction (content);
    case CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR:
      return finalize_gen_stats (content);
    case CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR:
      return finalize_sdpa (content);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
      return finalize_graph (content);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      return finalize_heuristics (content);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR:
      return finalize_engine (content);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      return finalize_plan (content);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      return finalize_pack (content);
    case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
      return finalize_device (content);
    default:                   /* CUDNN_BACKEND_ENGINECFG_DESCRIPTOR */
      return;
  }
}

void
finalize (Content &content)
{
  REFUSE_IF (content.finalized, BAD_PARAM, "the descriptor is finalized");
  check_required (content);
  give_meaning (content);
  content.finalized = true;
}

}
