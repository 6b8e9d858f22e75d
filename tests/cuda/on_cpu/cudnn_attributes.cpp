/* Which attributes the descriptors have, and how they are set and read.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_descriptors.h"

#include <algorithm>
#include <cstring>

namespace cudnn_on_cpu
{

enum
{
  SET = 1,
  GET = 2,
  REQUIRED = 4,                 /* before it can be finalized */
  EITHER = 8,                   /* float will do as well as double */
};

struct Rule
{
  cudnnBackendDescriptorType_t owner;
  cudnnBackendAttributeName_t name;
  const char *text;
  cudnnBackendAttributeType_t type;
  int64_t min, max;             /* elements */
  unsigned flags;
  int refers;                   /* type of the descriptors it takes, or -1 */
};

#define ANY_OPERATION 1000

#define RULE(owner, name, type, min, max, flags) \
  { CUDNN_BACKEND_ ## owner ## _DESCRIPTOR, CUDNN_ATTR_ ## name, #name, \
    CUDNN_TYPE_ ## type, min, max, flags, -1 }
#define REFERS(owner, name, max, flags, refers) \
  { CUDNN_BACKEND_ ## owner ## _DESCRIPTOR, CUDNN_ATTR_ ## name, #name, \
    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, max, flags, refers }
#define TENSOR_OF(owner, name, flags) \
  REFERS (owner, name, 1, SET | GET | flags, CUDNN_BACKEND_TENSOR_DESCRIPTOR)

#define MANY (int64_t (1) << 30)

static const Rule rules[] = {
  RULE (TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1, 1, SET | GET | REQUIRED),
  RULE (TENSOR, TENSOR_DIMENSIONS, INT64, 1, CUDNN_DIM_MAX,
      SET | GET | REQUIRED),
  RULE (TENSOR, TENSOR_STRIDES, INT64, 1, CUDNN_DIM_MAX, SET | GET | REQUIRED),
  RULE (TENSOR, TENSOR_UNIQUE_ID, INT64, 1, 1, SET | GET | REQUIRED),
  RULE (TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1, 1, SET | GET | REQUIRED),
  RULE (TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, 1, 1, SET | GET),
  RULE (TENSOR, TENSOR_IS_BY_VALUE, BOOLEAN, 1, 1, SET | GET),

  RULE (CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1, 1,
      SET | GET | REQUIRED),
  RULE (CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1, 1,
      SET | GET | REQUIRED),
  RULE (CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, 1, 1,
      SET | GET | REQUIRED),
  RULE (CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, 2, 2,
      SET | GET | REQUIRED),
  RULE (CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, 2, 2,
      SET | GET | REQUIRED),
  RULE (CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, 2, 2,
      SET | GET | REQUIRED),
  RULE (CONVOLUTION, CONVOLUTION_DILATIONS, INT64, 2, 2, SET | GET | REQUIRED),

  TENSOR_OF (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_X,
      REQUIRED),
  TENSOR_OF (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_W,
      REQUIRED),
  TENSOR_OF (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_Y,
      REQUIRED),
  REFERS (OPERATION_CONVOLUTION_FORWARD,
      OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 1, SET | GET | REQUIRED,
      CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR),
  RULE (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_ALPHA,
      DOUBLE, 1, 1, SET | GET | EITHER),
  RULE (OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_BETA,
      DOUBLE, 1, 1, SET | GET | EITHER),

  RULE (MATMUL, MATMUL_COMP_TYPE, DATA_TYPE, 1, 1, SET | GET | REQUIRED),
  TENSOR_OF (OPERATION_MATMUL, OPERATION_MATMUL_ADESC, REQUIRED),
  TENSOR_OF (OPERATION_MATMUL, OPERATION_MATMUL_BDESC, REQUIRED),
  TENSOR_OF (OPERATION_MATMUL, OPERATION_MATMUL_CDESC, REQUIRED),
  REFERS (OPERATION_MATMUL, OPERATION_MATMUL_DESC, 1, SET | GET | REQUIRED,
      CUDNN_BACKEND_MATMUL_DESCRIPTOR),

  RULE (POINTWISE, POINTWISE_MODE, POINTWISE_MODE, 1, 1, SET | GET | REQUIRED),
  RULE (POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, 1, 1, SET | GET | REQUIRED),
  RULE (POINTWISE, POINTWISE_SWISH_BETA, DOUBLE, 1, 1, SET | GET | EITHER),
  REFERS (OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, 1,
      SET | GET | REQUIRED, CUDNN_BACKEND_POINTWISE_DESCRIPTOR),
  TENSOR_OF (OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, REQUIRED),
  TENSOR_OF (OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, 0),
  TENSOR_OF (OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, REQUIRED),

  RULE (REDUCTION, REDUCTION_OPERATOR, REDUCTION_OPERATOR_TYPE, 1, 1,
      SET | GET | REQUIRED),
  RULE (REDUCTION, REDUCTION_COMP_TYPE, DATA_TYPE, 1, 1, SET | GET | REQUIRED),
  TENSOR_OF (OPERATION_REDUCTION, OPERATION_REDUCTION_XDESC, REQUIRED),
  TENSOR_OF (OPERATION_REDUCTION, OPERATION_REDUCTION_YDESC, REQUIRED),
  REFERS (OPERATION_REDUCTION, OPERATION_REDUCTION_DESC, 1,
      SET | GET | REQUIRED, CUDNN_BACKEND_REDUCTION_DESCRIPTOR),

  RULE (OPERATION_GEN_STATS, OPERATION_GENSTATS_MODE, GENSTATS_MODE, 1, 1,
      SET | GET | REQUIRED),
  RULE (OPERATION_GEN_STATS, OPERATION_GENSTATS_MATH_PREC, DATA_TYPE, 1, 1,
      SET | GET | REQUIRED),
  TENSOR_OF (OPERATION_GEN_STATS, OPERATION_GENSTATS_XDESC, REQUIRED),
  TENSOR_OF (OPERATION_GEN_STATS, OPERATION_GENSTATS_SUMDESC, REQUIRED),
  TENSOR_OF (OPERATION_GEN_STATS, OPERATION_GENSTATS_SQSUMDESC, REQUIRED),

  TENSOR_OF (OPERATION_SDPA_FWD, OPERATION_SDPA_FWD_QDESC, REQUIRED),
  TENSOR_OF (OPERATION_SDPA_FWD, OPERATION_SDPA_FWD_KDESC, REQUIRED),
  TENSOR_OF (OPERATION_SDPA_FWD, OPERATION_SDPA_FWD_VDESC, REQUIRED),
  TENSOR_OF (OPERATION_SDPA_FWD, OPERATION_SDPA_FWD_ODESC, REQUIRED),
  TENSOR_OF (OPERATION_SDPA_FWD, OPERATION_SDPA_FWD_SCALEDESC, 0),

  RULE (OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, 1, 1, SET | GET),
  REFERS (OPERATIONGRAPH, OPERATIONGRAPH_OPS, 100, SET | GET | REQUIRED,
      ANY_OPERATION),
  RULE (OPERATIONGRAPH, OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, INT64, 1, 1, GET),

  REFERS (ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, 1, SET | GET | REQUIRED,
      CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR),
  RULE (ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1, 1, SET | GET | REQUIRED),
  REFERS (ENGINEHEUR, ENGINEHEUR_DEVICEPROP, 1, SET | GET,
      CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR),
  REFERS (ENGINEHEUR, ENGINEHEUR_RESULTS, 2, GET,
      CUDNN_BACKEND_ENGINECFG_DESCRIPTOR),

  REFERS (ENGINE, ENGINE_OPERATION_GRAPH, 1, SET | GET | REQUIRED,
      CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR),
  RULE (ENGINE, ENGINE_GLOBAL_INDEX, INT64, 1, 1, SET | GET | REQUIRED),
  RULE (ENGINE, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, 0, 2, GET),
  RULE (ENGINE, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE, 1, 1, GET),
  REFERS (ENGINECFG, ENGINECFG_ENGINE, 1, SET | GET | REQUIRED,
      CUDNN_BACKEND_ENGINE_DESCRIPTOR),

  REFERS (EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, 1, SET | GET,
      CUDNN_BACKEND_ENGINECFG_DESCRIPTOR),
  RULE (EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1, 1, SET | GET),
  REFERS (EXECUTION_PLAN, EXECUTION_PLAN_DEVICEPROP, 1, SET | GET,
      CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR),
  RULE (EXECUTION_PLAN, EXECUTION_PLAN_WORKSPACE_SIZE, INT64, 1, 1, GET),
  RULE (EXECUTION_PLAN, EXECUTION_PLAN_JSON_REPRESENTATION, CHAR, 1, MANY,
      SET | GET),

  RULE (VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, 1, MANY,
      SET | GET | REQUIRED),
  RULE (VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, 1, MANY,
      SET | GET | REQUIRED),
  RULE (VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, 1, 1, SET | GET),

  RULE (DEVICEPROP, DEVICEPROP_DEVICE_ID, INT32, 1, 1, SET | GET),
  RULE (DEVICEPROP, DEVICEPROP_HANDLE, HANDLE, 1, 1, SET | GET),
  RULE (DEVICEPROP, DEVICEPROP_JSON_REPRESENTATION, CHAR, 1, MANY, SET | GET),
};

static const Rule &
find_rule (const Content &content, cudnnBackendAttributeName_t name)
{
  for (const Rule &rule : rules)
    if (rule.owner == content.type && rule.name == name)
      return rule;
  refuse (CUDNN_STATUS_BAD_PARAM, "a descriptor of type %d has no attribute %d",
      content.type, name);
}

static void
check_type (const Rule &rule, cudnnBackendAttributeType_t type)
{
  if (type != rule.type
      && !((rule.flags & EITHER) && type == CUDNN_TYPE_FLOAT))
    refuse (CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "%s has type %d, not %d",
        rule.text, rule.type, type);
}

static size_t
get_size (cudnnBackendAttributeType_t type)
{
  switch (type) {
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return 8;
    default:
      return 4;
  }
}

std::shared_ptr<Content>
make_content (cudnnBackendDescriptorType_t type)
{
  auto content = std::make_shared<Content> ();

  if (std::none_of (std::begin (rules), std::end (rules),
          [&] (const Rule &rule) { return rule.owner == type; }))
    refuse (CUDNN_STATUS_NOT_SUPPORTED, "a descriptor of type %d", type);
  content->type = type;
  return content;
}

/* --- setting -------------------------------------------------------------- */

static void
check_reference (const Rule &rule, const Content &content)
{
  bool fits = rule.refers == ANY_OPERATION ? content.operation != nullptr
      : rule.refers == content.type;

  if (!content.finalized)
    refuse (CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
        "%s: a descriptor that is not finalized", rule.text);
  if (!fits)
    refuse (CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
        "%s: a descriptor of type %d", rule.text, content.type);
}

void
set_value (Content &content, cudnnBackendAttributeName_t name,
    const void *elements, int64_t count, size_t size)
{
  const char *first = (const char *) elements;

  content.values[name] =
      Value { count, std::vector<char> (first, first + count * size), { } };
}

static void
set_references (Content &content, const Rule &rule, int64_t count,
    const cudnnBackendDescriptor_t *descriptors)
{
  Value value { count, { }, { } };

  for (int64_t i = 0; i < count; i++) {
    value.contents.push_back (get_content (descriptors[i]));
    check_reference (rule, *value.contents.back ());
  }
  content.values[rule.name] = std::move (value);
}

void
set_attribute (Content &content, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t count, const void *elements)
{
  const Rule &rule = find_rule (content, name);

  check_type (rule, type);
  if (content.finalized)
    refuse (CUDNN_STATUS_BAD_PARAM, "%s: the descriptor is finalized",
        rule.text);
  if (!(rule.flags & SET))
    refuse (CUDNN_STATUS_NOT_SUPPORTED, "%s can only be read", rule.text);
  if (count < rule.min || count > rule.max)
    refuse (CUDNN_STATUS_BAD_PARAM, "%s: %ld elements", rule.text,
        (long) count);
  if (!elements)
    refuse (CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "%s: no elements", rule.text);
  if (type == CUDNN_TYPE_HANDLE)
    check_handle (*(const cudnnHandle_t *) elements);
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    set_references (content, rule, count,
        (const cudnnBackendDescriptor_t *) elements);
  } else if (type == CUDNN_TYPE_FLOAT) {
    double value = *(const float *) elements;

    set_value (content, name, &value, 1, sizeof value);
  } else {
    set_value (content, name, elements, count, get_size (type));
  }
}

void
check_required (const Content &content)
{
  for (const Rule &rule : rules)
    if (rule.owner == content.type && (rule.flags & REQUIRED)
        && !content.values.count (rule.name))
      refuse (CUDNN_STATUS_BAD_PARAM, "%s was not set", rule.text);
}

/* --- reading -------------------------------------------------------------- */

/* The caller's descriptors become the contents. */
static void
get_references (const Rule &rule, const Value &value, int64_t n,
    const cudnnBackendDescriptor_t *descriptors)
{
  for (int64_t i = 0; i < n; i++) {
    std::shared_ptr<Content> old = get_content (descriptors[i]);

    if (old->type != value.contents[i]->type)
      refuse (CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
          "%s: into a descriptor of type %d", rule.text, old->type);
    replace_content (descriptors[i],
        std::const_pointer_cast<Content> (value.contents[i]));
  }
}

static void
copy_out (const Rule &rule, const Value &value,
    cudnnBackendAttributeType_t type, int64_t n, void *elements)
{
  if (!elements)
    refuse (CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "%s: no place for elements",
        rule.text);
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    get_references (rule, value, n,
        (const cudnnBackendDescriptor_t *) elements);
  } else if (type == CUDNN_TYPE_FLOAT) {
    *(float *) elements = *(const double *) value.bytes.data ();
  } else if (n > 0) {
    memcpy (elements, value.bytes.data (), n * get_size (type));
  }
}

void
get_attribute (const Content &content, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t requested, int64_t *count,
    void *elements)
{
  const Rule &rule = find_rule (content, name);
  const Value *value = find_value (content, name);

  check_type (rule, type);
  if (!content.finalized || !value || !(rule.flags & GET))
    refuse (CUDNN_STATUS_NOT_INITIALIZED, "%s: %s", rule.text,
        content.finalized ? "was not set" : "the descriptor is not finalized");
  if (requested < 0)
    refuse (CUDNN_STATUS_BAD_PARAM, "%s: %ld elements", rule.text,
        (long) requested);
  if (requested == 0) {
    if (count)
      *count = value->count;
    return;
  }
  if (type == CUDNN_TYPE_CHAR && requested < value->count)
    refuse (CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT,
        "%s: has %ld characters, not %ld", rule.text, (long) value->count,
        (long) requested);
  requested = std::min (requested, value->count);
  copy_out (rule, *value, type, requested, elements);
  if (count)
    *count = requested;
}

}
