/* Running a plan in a stream: what is checked before, and how tensors get out
 * of memory and into it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_plan.h"
#include "on_cpu.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

namespace cudnn_on_cpu
{

/* --- elements ------------------------------------------------------------- */

template <typename Element> static Element
read (const void *place)
{
  Element element;

  memcpy (&element, place, sizeof element);
  return element;
}

template <typename Element> static void
write (void *place, Element element)
{
  memcpy (place, &element, sizeof element);
}

static float
load (const void *place, cudnnDataType_t type)
{
  switch (type) {
    case CUDNN_DATA_HALF:
      return __half2float (read<__half> (place));
    case CUDNN_DATA_BFLOAT16:
      return __bfloat162float (read<__nv_bfloat16> (place));
    case CUDNN_DATA_FP8_E4M3:
      return float (read<__nv_fp8_e4m3> (place));
    case CUDNN_DATA_FP8_E5M2:
      return float (read<__nv_fp8_e5m2> (place));
    case CUDNN_DATA_INT32:
      return read<int32_t> (place);
    default:
      return read<float> (place);
  }
}

/* To the nearest, ties to even; beyond the largest, fp8 and integers stay there
 * and the others become infinite. */
static void
store (void *place, cudnnDataType_t type, float value)
{
  switch (type) {
    case CUDNN_DATA_HALF:
      return write (place, __float2half_rn (value));
    case CUDNN_DATA_BFLOAT16:
      return write (place, __float2bfloat16_rn (value));
    case CUDNN_DATA_FP8_E4M3:
      return write (place, __nv_fp8_e4m3 (value));
    case CUDNN_DATA_FP8_E5M2:
      return write (place, __nv_fp8_e5m2 (value));
    case CUDNN_DATA_INT32:
      return write (place, int32_t (std::isnan (value) ? 0.0 : std::clamp (
          nearbyint (double (value)), double (INT32_MIN),
          double (INT32_MAX))));
    default:
      return write (place, value);
  }
}

static Array
load_tensor (const Tensor &tensor, const void *start)
{
  int64_t size = get_type_size (tensor.type);
  Array array;

  array.reserve (get_n_elements (tensor.dims));
  walk (tensor.dims, tensor.strides, [&] (int64_t offset) {
    array.push_back (load ((const char *) start + offset * size, tensor.type));
  });
  return array;
}

static void
store_tensor (const Tensor &tensor, void *start, const Array &array)
{
  int64_t size = get_type_size (tensor.type);
  const float *next = array.data ();

  walk (tensor.dims, tensor.strides, [&] (int64_t offset) {
    store ((char *) start + offset * size, tensor.type, *next++);
  });
}

static void
round_to_type (Array &array, cudnnDataType_t type)
{
  char element[8];

  for (float &value : array) {
    store (element, type, value);
    value = load (element, type);
  }
}

/* --- an execution --------------------------------------------------------- */

/* All that a run needs, as it was when it was queued: it may run often. */
struct Run
{
  std::shared_ptr<const Plan> plan;
  Pack pack;
  std::map<int64_t, Array> values;      /* of tensors by value */
};

static void
check_range (const char *what, long id, const void *start, int64_t size)
{
  if (!cuda_on_cpu_check_range (CUdeviceptr (start), size))
    refuse (CUDNN_STATUS_BAD_PARAM_OUT_OF_BOUND,
        "%s %ld: no device memory of %ld bytes at %p", what, id, (long) size,
        start);
}

static void
check_memory (const Run &run)
{
  int64_t workspace_size = get_workspace_size (*run.plan);

  for (const auto &[id, pointer] : run.pack.pointers) {
    const Tensor &tensor = run.plan->graph->tensors.at (id);

    if (!tensor.by_value)
      check_range ("tensor", id, pointer, get_extent (tensor));
  }
  if (workspace_size > 0)
    check_range ("workspace", 0, run.pack.workspace, workspace_size);
}

/* The factors of a product in TF32: to the nearest, ties away from zero. */
static std::vector<Array>
round_to_tf32 (const std::vector<const Array *> &sources)
{
  std::vector<Array> rounded;

  for (const Array *source : sources) {
    rounded.push_back (*source);
    for (float &value : rounded.back ())
      if (std::isfinite (value))
        write (&value, (read<uint32_t> (&value) + 0x1000) & ~0x1fffu);
  }
  return rounded;
}

static std::vector<Array>
compute_with (int64_t engine, const Operation &op,
    std::vector<const Array *> sources)
{
  std::vector<Array> rounded;

  if (engine == 0 && is_float_product (op)) {
    rounded = round_to_tf32 (sources);
    for (size_t i = 0; i < std::min<size_t> (sources.size (), 3); i++)
      sources[i] = &rounded[i];         /* not attention's scale */
  }
  return compute (op, sources);
}

static void
run_operation (const Run &run, const Operation &op,
    std::map<int64_t, Array> &values)
{
  const std::map<int64_t, void *> &pointers = run.pack.pointers;
  std::vector<const Array *> sources;
  std::vector<Array> results;

  for (const Tensor &t : op.sources) {
    if (!values.count (t.id))
      values[t.id] = load_tensor (t, pointers.at (t.id));
    sources.push_back (&values[t.id]);
  }
  results = compute_with (run.plan->engine, op, sources);
  for (size_t i = 0; i < results.size (); i++) {
    const Tensor &t = op.results[i];

    round_to_type (results[i], t.type);
    if (!t.is_virtual)
      store_tensor (t, pointers.at (t.id), results[i]);
    values[t.id] = std::move (results[i]);
  }
}

/* Leaves nothing in the workspace that anybody could have wanted to keep. */
static void
run_graph (const Run &run)
{
  std::map<int64_t, Array> values = run.values;

  check_memory (run);
  if (run.pack.workspace)
    memset (run.pack.workspace, 0xff, get_workspace_size (*run.plan));
  for (const Operation &op : run.plan->graph->operations)
    run_operation (run, op, values);
}

/* Memory may be gone that was there when the run was queued. */
static void
run_queued (void *data)
{
  try {
    run_graph (*(const Run *) data);
  } catch (const Refusal &refusal) {
    fprintf (stderr, "cuDNN on the CPU: %s\n", refusal.message.c_str ());
    cuda_on_cpu_fail_at (1, CUDA_ERROR_ILLEGAL_ADDRESS);
  }
}

static void
free_run (void *data)
{
  delete (Run *) data;
}

/* --- what is asked for ---------------------------------------------------- */

static void
check_pointer (const Tensor &tensor, const Pack &pack)
{
  auto place = pack.pointers.find (tensor.id);
  long id = tensor.id;
  int64_t alignment = tensor.by_value ? get_type_size (tensor.type)
      : tensor.alignment;

  if (tensor.is_virtual) {
    if (place != pack.pointers.end ())
      refuse (CUDNN_STATUS_BAD_PARAM, "virtual tensor %ld is given", id);
    return;
  }
  if (place == pack.pointers.end () || !place->second)
    refuse (CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "tensor %ld is not given", id);
  if ((uintptr_t) place->second % alignment != 0)
    refuse (CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
        "tensor %ld is at %p, but was said to be aligned to %ld", id,
        place->second, (long) alignment);
}

static void
check_pack (const Plan &plan, const Pack &pack)
{
  for (const auto &[id, tensor] : plan.graph->tensors)
    check_pointer (tensor, pack);
  for (const auto &[id, pointer] : pack.pointers)
    if (!plan.graph->tensors.count (id))
      refuse (CUDNN_STATUS_BAD_PARAM, "the plan has no tensor %ld", (long) id);
  if (get_workspace_size (plan) > 0 && !pack.workspace)
    refuse (CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no workspace");
  if ((uintptr_t) pack.workspace % 16 != 0)
    refuse (CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "workspace at %p",
        pack.workspace);
}

void
execute (CUstream_st *stream, std::shared_ptr<const Plan> plan,
    const Pack &pack)
{
  std::unique_ptr<Run> run;
  CUresult result;

  check_pack (*plan, pack);
  run.reset (new Run { plan, pack, { } });
  for (const auto &[id, tensor] : plan->graph->tensors)
    if (tensor.by_value)
      run->values[id] = load_tensor (tensor, pack.pointers.at (id));
  check_memory (*run);
  result = cuda_on_cpu_enqueue (stream, run_queued, run.release (), free_run);
  if (result != CUDA_SUCCESS)
    refuse (CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER, "CUDA error %d",
        result);
}

}
