/* Tests of copies of rows, in one context and between two.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "check.h"

#include <string.h>

#define WIDTH 300               /* bytes */
#define HEIGHT 7

static CUdeviceptr
allocate_rows (gsize * pitch)
{
  CUdeviceptr p = 0;

  assert_success (cuMemAllocPitch (&p, pitch, WIDTH, HEIGHT, 16));
  return p;
}

/* Different in every byte of a column and of a row. */
static void
fill (guint8 * bytes)
{
  for (int i = 0; i < HEIGHT * WIDTH; i++)
    bytes[i] = i % WIDTH + 37 * (i / WIDTH);
}

static CUDA_MEMCPY2D
describe_upload (CUdeviceptr dst, gsize pitch, const void *src)
{
  return (CUDA_MEMCPY2D) { .srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = src,
    .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = dst, .dstPitch = pitch,
    .WidthInBytes = WIDTH, .Height = HEIGHT
  };
}

static CUDA_MEMCPY2D
describe_download (void *dst, CUdeviceptr src, gsize pitch)
{
  return (CUDA_MEMCPY2D) { .srcMemoryType = CU_MEMORYTYPE_DEVICE,
    .srcDevice = src, .srcPitch = pitch, .dstMemoryType = CU_MEMORYTYPE_HOST,
    .dstHost = dst, .WidthInBytes = WIDTH, .Height = HEIGHT
  };
}

static CUDA_MEMCPY2D
describe_inside (CUdeviceptr dst, CUdeviceptr src, gsize pitch)
{
  return (CUDA_MEMCPY2D) { .srcMemoryType = CU_MEMORYTYPE_DEVICE,
    .srcDevice = src, .srcPitch = pitch, .dstMemoryType = CU_MEMORYTYPE_DEVICE,
    .dstDevice = dst, .dstPitch = pitch, .WidthInBytes = WIDTH,
    .Height = HEIGHT
  };
}

/* --- in one context ------------------------------------------------------- */

static void
test_pitch (Fixture * fixture, gconstpointer data)
{
  CUdeviceptr p = 0;
  gsize pitch = 0, available, total;

  assert_result (cuMemAllocPitch (&p, &pitch, 0, 1, 16),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemAllocPitch (&p, &pitch, 1, 0, 16),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemAllocPitch (&p, &pitch, 1, 1, 3),
      CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemAllocPitch (&p, &pitch, 1 << 20, G_MAXSIZE / 2, 16),
      CUDA_ERROR_OUT_OF_MEMORY);
  p = allocate_rows (&pitch);
  g_assert_cmpuint (pitch, ==, 512);
  g_assert_cmpuint (p % 512, ==, 0);
  g_assert_true (cuda_on_cpu_check_range (p, HEIGHT * 512));
  assert_success (cuMemGetInfo (&available, &total));
  g_assert_cmpuint (available, ==, total - HEIGHT * 512);
  assert_success (cuMemFree (p));
}

static void
test_rows (Fixture * fixture, gconstpointer data)
{
  guint8 in[HEIGHT * WIDTH], out[HEIGHT * WIDTH], *rows;
  gsize pitch;
  CUdeviceptr a = allocate_rows (&pitch), b = allocate_rows (&pitch);
  CUDA_MEMCPY2D up = describe_upload (a, pitch, in);
  CUDA_MEMCPY2D across = describe_inside (b, a, pitch);
  CUDA_MEMCPY2D down = describe_download (out, b, pitch);

  fill (in);
  assert_success (cuMemcpy2DAsync (&up, fixture->stream));
  memset (in, 0, sizeof in);    /* it is not pinned, hence has been read */
  assert_success (cuMemcpy2DAsync (&across, fixture->stream));
  assert_success (cuMemcpy2DAsync (&down, fixture->stream));
  fill (in);
  g_assert_cmpmem (out, sizeof out, in, sizeof in);

  rows = g_malloc (HEIGHT * pitch);     /* what is between rows is left alone */
  fixture_download (fixture, rows, b, HEIGHT * pitch);
  for (int y = 0; y < HEIGHT; y++)
    for (gsize x = WIDTH; x < pitch; x++)
      g_assert_cmphex (rows[y * pitch + x], ==, 0xcb);
  g_free (rows);
  assert_success (cuMemFree (a));
  assert_success (cuMemFree (b));
}

/* Part of an image, both ways, done when the call returns. */
static void
test_part (Fixture * fixture, gconstpointer data)
{
  guint8 in[HEIGHT * WIDTH], out[HEIGHT * WIDTH] = { 0 };
  gsize pitch;
  CUdeviceptr p = allocate_rows (&pitch);
  CUDA_MEMCPY2D up = describe_upload (p, pitch, in);
  CUDA_MEMCPY2D down = describe_download (out, p, pitch);

  fill (in);
  up.srcXInBytes = 10, up.srcY = 2, up.srcPitch = WIDTH;
  up.dstXInBytes = 20, up.dstY = 1, up.WidthInBytes = 50, up.Height = 3;
  down.srcXInBytes = 20, down.srcY = 1, down.WidthInBytes = 50, down.Height = 3;
  down.dstPitch = 60;
  assert_success (cuMemcpy2D (&up));
  assert_success (cuMemcpy2D (&down));
  for (int y = 0; y < 3; y++)
    g_assert_cmpmem (out + 60 * y, 50, in + (y + 2) * WIDTH + 10, 50);
  g_assert_cmpint (out[50], ==, 0);
  assert_success (cuMemFree (p));
}

/* Halves of rows, side by side, do not overlap; and so on. */
static void
test_overlap (Fixture * fixture, gconstpointer data)
{
  gsize pitch;
  CUdeviceptr p = allocate_rows (&pitch);
  const struct
  {
    int x, y, width, height;
    CUresult expected;
  } cases[] = {
    { 150, 0, 150, HEIGHT, CUDA_SUCCESS },
    { 149, 0, 150, HEIGHT, CUDA_ERROR_INVALID_VALUE },
    { 0, 3, 300, 3, CUDA_SUCCESS },
    { 0, 2, 300, 3, CUDA_ERROR_INVALID_VALUE },
    { 151, 6, 149, 1, CUDA_SUCCESS },
    { 0, 0, 1, 1, CUDA_ERROR_INVALID_VALUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (int swap = 0; swap < 2; swap++) {
      CUDA_MEMCPY2D copy = describe_inside (p, p, pitch);

      copy.WidthInBytes = cases[i].width, copy.Height = cases[i].height;
      *(swap ? &copy.srcXInBytes : &copy.dstXInBytes) = cases[i].x;
      *(swap ? &copy.srcY : &copy.dstY) = cases[i].y;
      assert_result (cuMemcpy2D (&copy), cases[i].expected);
    }
  assert_result (cuMemcpyDtoDAsync (p, p + 15, 16, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemFree (p));
}

static void
test_refusals (Fixture * fixture, gconstpointer data)
{
  guint8 host[HEIGHT * WIDTH];
  gsize pitch;
  CUdeviceptr p = allocate_rows (&pitch);
  CUDA_MEMCPY2D copy, good = describe_download (host, p, pitch);

#define ASSERT_REFUSED(code, change) \
  copy = good; \
  change; \
  assert_result (cuMemcpy2D (&copy), code); \
  assert_result (cuMemcpy2DAsync (&copy, fixture->stream), code)
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.srcPitch = WIDTH - 1);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.dstPitch = WIDTH - 1);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE,
      (copy.srcPitch = WIDTH, copy.srcXInBytes = 1));
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.srcPitch = 1ull << 31);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.Height = HEIGHT + 1);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.srcY = 1);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.Height = 0);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.WidthInBytes = 0);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.dstHost = NULL);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE,
      copy.srcDevice = (CUdeviceptr) host);
  ASSERT_REFUSED (CUDA_ERROR_NOT_SUPPORTED,
      copy.srcMemoryType = CU_MEMORYTYPE_ARRAY);
#undef ASSERT_REFUSED
  assert_result (cuMemcpy2D (NULL), CUDA_ERROR_INVALID_VALUE);
  assert_result (cuMemcpy2DAsync (NULL, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_success (cuMemFree (p));
}

/* --- between contexts ----------------------------------------------------- */

/* The fixture's context, and one beside it with an image. */
typedef struct
{
  CUcontext context;
  CUdeviceptr here, there;
  gsize pitch;
} Pair;

static Pair
open_pair (void)
{
  Pair pair = { NULL };

  pair.here = allocate_rows (&pair.pitch);
  assert_success (cuCtxCreate_v2 (&pair.context, 0, 0));
  pair.there = allocate_rows (&pair.pitch);
  assert_success (cuCtxPopCurrent (NULL));
  return pair;
}

static void
close_pair (const Pair * pair)
{
  assert_success (cuMemFree (pair->here));
  assert_success (cuCtxPushCurrent (pair->context));
  assert_success (cuMemFree (pair->there));
  assert_success (cuCtxDestroy (pair->context));
}

/* From the fixture's to the other. */
static CUDA_MEMCPY3D_PEER
describe_out (const Fixture * fixture, const Pair * pair)
{
  return (CUDA_MEMCPY3D_PEER) { .srcMemoryType = CU_MEMORYTYPE_DEVICE,
    .srcContext = fixture->context, .srcDevice = pair->here,
    .srcPitch = pair->pitch, .dstMemoryType = CU_MEMORYTYPE_DEVICE,
    .dstContext = pair->context, .dstDevice = pair->there,
    .dstPitch = pair->pitch, .WidthInBytes = WIDTH, .Height = HEIGHT, .Depth = 1
  };
}

static void
wait_a_little (gpointer data)
{
  g_usleep (5000);
}

/* There and back, after what the stream had before. */
static void
test_peer (Fixture * fixture, gconstpointer data)
{
  Pair pair = open_pair ();
  guint8 in[HEIGHT * WIDTH], out[HEIGHT * WIDTH] = { 0 };
  CUDA_MEMCPY2D up = describe_upload (pair.here, pair.pitch, in);
  CUDA_MEMCPY2D down = describe_download (out, pair.here, pair.pitch);
  CUDA_MEMCPY3D_PEER across = describe_out (fixture, &pair);
  CUDA_MEMCPY3D_PEER back = across;

  back.srcContext = pair.context, back.srcDevice = pair.there;
  back.dstContext = fixture->context, back.dstDevice = pair.here;
  back.srcXInBytes = 100, back.srcY = 2, back.WidthInBytes = 200;
  back.Height = 4;
  back.srcHeight = HEIGHT;
  fill (in);
  assert_success (cuda_on_cpu_enqueue (fixture->stream, wait_a_little, NULL,
          NULL));
  assert_success (cuMemcpy2DAsync (&up, fixture->stream));
  assert_success (cuMemcpy3DPeerAsync (&across, fixture->stream));
  assert_success (cuMemsetD8Async (pair.here, 9, HEIGHT * pair.pitch,
          fixture->stream));
  assert_success (cuMemcpy3DPeerAsync (&back, fixture->stream));
  assert_success (cuMemcpy2DAsync (&down, fixture->stream));
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++)
      g_assert_cmpint (out[y * WIDTH + x], ==,
          y < 4 && x < 200 ? in[(y + 2) * WIDTH + x + 100] : 9);
  close_pair (&pair);
}

static void
test_peer_refusals (Fixture * fixture, gconstpointer data)
{
  Pair pair = open_pair ();
  CUDA_MEMCPY3D_PEER copy, good = describe_out (fixture, &pair);

#define ASSERT_REFUSED(code, change) \
  copy = good; \
  change; \
  assert_result (cuMemcpy3DPeerAsync (&copy, fixture->stream), code)
  ASSERT_REFUSED (CUDA_ERROR_INVALID_CONTEXT, copy.srcContext = NULL);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_CONTEXT, copy.dstContext = NULL);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.srcContext = pair.context);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.dstContext = fixture->context);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.srcPitch = WIDTH - 1);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.dstPitch = pair.pitch + 64);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.Height++);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.Depth = 0);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.srcZ = 1);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE, copy.srcHeight = HEIGHT - 1);
  ASSERT_REFUSED (CUDA_ERROR_INVALID_VALUE,
      (copy.dstContext = fixture->context, copy.dstDevice = pair.here));
#undef ASSERT_REFUSED
  assert_result (cuMemcpy3DPeerAsync (NULL, fixture->stream),
      CUDA_ERROR_INVALID_VALUE);
  assert_success (cuCtxPushCurrent (pair.context));
  assert_result (cuMemcpy3DPeerAsync (&good, fixture->stream),
      CUDA_ERROR_INVALID_HANDLE);
  assert_success (cuCtxPopCurrent (NULL));
  close_pair (&pair);
}

void
add_copy_tests (void)
{
  add_test ("/copy/pitch", test_pitch, NULL);
  add_test ("/copy/rows", test_rows, NULL);
  add_test ("/copy/part", test_part, NULL);
  add_test ("/copy/overlap", test_overlap, NULL);
  add_test ("/copy/refusals", test_refusals, NULL);
  add_test ("/copy/peer", test_peer, NULL);
  add_test ("/copy/peer-refusals", test_peer_refusals, NULL);
}
