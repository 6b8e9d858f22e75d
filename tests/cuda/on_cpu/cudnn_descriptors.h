/* cuDNN's descriptors: bags of attributes that mean something once finalized.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cudnn_plan.h"

namespace cudnn_on_cpu
{

struct Content;

/* What an attribute was set to. */
struct Value
{
  int64_t count;
  std::vector<char> bytes;      /* elements in a row, but of descriptors: */
  std::vector<std::shared_ptr<const Content>> contents;
};

/* A descriptor's inside. Once finalized it is never changed again and shared by
 * all that refer to it, whatever becomes of the descriptor itself. */
struct Content
{
  cudnnBackendDescriptorType_t type;
  bool finalized;
  std::map<cudnnBackendAttributeName_t, Value> values;

  /* What it means, of descriptors of that type, once finalized: */
  std::shared_ptr<const Tensor> tensor;
  std::shared_ptr<const Operation> operation;
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const Pack> pack;
  int device;                   /* compute capability: 900 is 9.0 */
};

std::shared_ptr<Content> make_content (cudnnBackendDescriptorType_t type);

void set_attribute (Content & content, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t count, const void *elements);

void get_attribute (const Content & content, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, int64_t requested, int64_t * count,
    void *elements);

/* Refuses a content that lacks something. */
void check_required (const Content & content);

/* Gives a content its meaning (cudnn_finalize.cpp). */
void finalize (Content & content);

/* Sets values that are only read from outside. */
void set_value (Content & content, cudnnBackendAttributeName_t name,
    const void *elements, int64_t count, size_t size);

/* Descriptors and handles from outside; refuses what is none (cudnn.cpp). */
std::shared_ptr<Content> get_content (cudnnBackendDescriptor_t descriptor);
void replace_content (cudnnBackendDescriptor_t descriptor,
    std::shared_ptr<Content> content);
void check_handle (cudnnHandle_t handle);

/* --- reading values ------------------------------------------------------- */

inline const Value *
find_value (const Content & content, cudnnBackendAttributeName_t name)
{
  auto place = content.values.find (name);

  return place == content.values.end () ? nullptr : &place->second;
}

/* Of an attribute that was set. */
template <typename Element> Element
get_element (const Content & content, cudnnBackendAttributeName_t name,
    int i = 0)
{
  return ((const Element *) content.values.at (name).bytes.data ())[i];
}

template <typename Element> std::vector<Element>
get_elements (const Content & content, cudnnBackendAttributeName_t name)
{
  const Value *value = find_value (content, name);
  const Element *first;

  if (!value)
    return { };
  first = (const Element *) value->bytes.data ();
  return std::vector<Element> (first, first + value->count);
}

/* A content that an attribute refers to, or NULL. */
inline const Content *
get_referred (const Content & content, cudnnBackendAttributeName_t name)
{
  const Value *value = find_value (content, name);

  return value ? value->contents[0].get () : nullptr;
}

}
