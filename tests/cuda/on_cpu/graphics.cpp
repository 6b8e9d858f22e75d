/* What programs ask of CUDA for graphics: texture objects, which no kernel here
 * reads, and OpenGL's memory, which there is none of.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "driver.h"

using namespace on_cpu;

/* --- textures ------------------------------------------------------------- */

/* Bytes of a channel; 0: not known here. */
static size_t
get_format_size (CUarray_format format)
{
  switch (format) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
      return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
      return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
      return 4;
    default:
      return 0;
  }
}

/* Whether it is an image of rows in memory of this context. */
static bool
check_resource (const CUDA_RESOURCE_DESC &resource, CUcontext context)
{
  const auto &image = resource.res.pitch2D;
  size_t row = image.width * image.numChannels * get_format_size (image.format);
  unsigned n = image.numChannels;

  if (resource.flags == 0 && row > 0 && image.height > 0
      && (n == 1 || n == 2 || n == 4)
      && image.devPtr % TEXTURE_ALIGNMENT == 0 && image.pitchInBytes >= row
      && image.pitchInBytes % TEXTURE_PITCH_ALIGNMENT == 0)
    return check_device_memory (context, image.devPtr,
        (image.height - 1) * image.pitchInBytes + row, "cuTexObjectCreate");
  complain ("cuTexObjectCreate: %zu x %zu elements of %u channels at %p, with a "
      "pitch of %zu bytes", image.width, image.height, n, (void *) image.devPtr,
      image.pitchInBytes);
  return false;
}

CUresult CUDAAPI
cuTexObjectCreate (CUtexObject *object, const CUDA_RESOURCE_DESC *resource,
    const CUDA_TEXTURE_DESC *texture, const CUDA_RESOURCE_VIEW_DESC *view)
{
  ENTER (call, CONTEXT);
  if (!object || !resource || !texture)
    return CUDA_ERROR_INVALID_VALUE;
  if (resource->resType != CU_RESOURCE_TYPE_PITCH2D) {
    complain ("cuTexObjectCreate: only rows of device memory are known here");
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  if (view || !check_resource (*resource, call.context))
    return CUDA_ERROR_INVALID_VALUE;
  *object = CUtexObject (driver.textures.add (std::make_shared<Texture> (
              Texture { call.context })));
  return CUDA_SUCCESS;
}

CUresult CUDAAPI
cuTexObjectDestroy (CUtexObject object)
{
  ENTER (call, CONTEXT | ALWAYS);
  auto texture = driver.textures.get (reinterpret_cast<Texture *> (object));

  if (!texture || texture->context != call.context)
    return CUDA_ERROR_INVALID_VALUE;
  driver.textures.erase (texture.get ());
  return call.finish (CUDA_SUCCESS);
}

/* --- OpenGL --------------------------------------------------------------- */

static CUresult
refuse ()
{
  ENTER (call, CONTEXT);
  return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult CUDAAPI
cuGraphicsMapResources (unsigned, CUgraphicsResource *, CUstream)
{
  return refuse ();
}

CUresult CUDAAPI
cuGraphicsUnmapResources (unsigned, CUgraphicsResource *, CUstream)
{
  return refuse ();
}

CUresult CUDAAPI
cuGraphicsUnregisterResource (CUgraphicsResource)
{
  return refuse ();
}

CUresult CUDAAPI
cuGraphicsResourceSetMapFlags (CUgraphicsResource, unsigned)
{
  return refuse ();
}

CUresult CUDAAPI
cuGraphicsSubResourceGetMappedArray (CUarray *, CUgraphicsResource, unsigned,
    unsigned)
{
  return refuse ();
}

CUresult CUDAAPI
cuGraphicsResourceGetMappedPointer (CUdeviceptr *, size_t *, CUgraphicsResource)
{
  return refuse ();
}

/* Of cudaGL.h, which wants OpenGL's headers; GLuint, GLenum and CUGLDeviceList are
 * unsigned. */
EXPORTED CUresult CUDAAPI
cuGraphicsGLRegisterImage (CUgraphicsResource *, unsigned, unsigned, unsigned)
{
  return refuse ();
}

EXPORTED CUresult CUDAAPI
cuGraphicsGLRegisterBuffer (CUgraphicsResource *, unsigned, unsigned)
{
  return refuse ();
}

EXPORTED CUresult CUDAAPI
cuGLGetDevices_v2 (unsigned *, CUdevice *, unsigned, unsigned)
{
  return refuse ();
}
