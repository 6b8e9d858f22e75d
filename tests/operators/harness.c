/* One operator in watched memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "harness.h"

#include <string.h>

/* Under AddressSanitizer the guards may not even be read. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size)
#define ASAN_UNPOISON_MEMORY_REGION(start, size)
#endif

/* Bytes before and after each buffer that nobody may touch. */
#define GUARD 4096
#define GUARD_VALUE 0xb7

/* --- guarded memory ------------------------------------------------------- */

static guint8 *
get_image (const DloralBuffer * b)
{
  return b->host + GUARD;
}

static void
buffer_init (DloralHarness * h, DloralBuffer * b, gsize size)
{
  GError *error = NULL;

  b->size = size;
  b->host = g_malloc (size + 2 * GUARD);
  memset (b->host, GUARD_VALUE, size + 2 * GUARD);
  b->device = h->backend->alloc (h->device, size + 2 * GUARD, &error);
  g_assert_no_error (error);
}

static void
buffer_clear (DloralHarness * h, DloralBuffer * b)
{
  if (b->host == NULL)
    return;
  h->backend->free (h->device, b->device);
  g_free (b->host);
}

/* Copies the image to the device; from then on the guards are out of bounds. */
static void
buffer_upload (DloralHarness * h, DloralBuffer * b)
{
  GError *error = NULL;

  h->backend->upload (h->queue, b->device, b->host, b->size + 2 * GUARD,
      &error);
  g_assert_no_error (error);
  if (!h->backend->discrete) {
    ASAN_POISON_MEMORY_REGION ((guint8 *) b->device, GUARD);
    ASAN_POISON_MEMORY_REGION ((guint8 *) b->device + GUARD + b->size, GUARD);
  }
}

static void
buffer_download (DloralHarness * h, DloralBuffer * b)
{
  GError *error = NULL;

  if (!h->backend->discrete) {
    ASAN_UNPOISON_MEMORY_REGION (b->device, b->size + 2 * GUARD);
  }
  h->backend->download (h->queue, b->host, b->device, b->size + 2 * GUARD,
      &error);
  g_assert_no_error (error);
  h->backend->queue_finish (h->queue, &error);
  g_assert_no_error (error);
  for (int i = 0; i < GUARD; i++) {
    g_assert_cmphex (b->host[i], ==, GUARD_VALUE);
    g_assert_cmphex (b->host[GUARD + b->size + i], ==, GUARD_VALUE);
  }
}

/* --- elements ------------------------------------------------------------- */

static double
element_get (gconstpointer data, gsize i, DloralDtype dtype)
{
  guint32 bits;
  float value;

  if (dtype == DLORAL_U8)
    return ((const guint8 *) data)[i];
  if (dtype == DLORAL_U16)
    return ((const guint16 *) data)[i];
  if (dtype == DLORAL_F32)
    return ((const float *) data)[i];
  if (dtype == DLORAL_F16)
    return ((const _Float16 *) data)[i];
  bits = (guint32) ((const guint16 *) data)[i] << 16;
  memcpy (&value, &bits, sizeof value);
  return value;
}

static void
element_set (gpointer data, gsize i, DloralDtype dtype, float value)
{
  guint32 bits;

  if (dtype == DLORAL_F32) {
    ((float *) data)[i] = value;
  } else if (dtype == DLORAL_F16) {
    ((_Float16 *) data)[i] = value;
  } else {
    memcpy (&bits, &value, sizeof bits);
    ((guint16 *) data)[i] = bits >> 16;
  }
}

static void
fill_source (gpointer data, const DloralTensor * t, GRand * rand, float scale,
    float offset)
{
  for (gsize i = 0; i < (gsize) t->h * t->w * t->c; i++) {
    double sum = -6;

    if (t->dtype == DLORAL_U8) {
      ((guint8 *) data)[i] = g_rand_int (rand);
      continue;
    }
    if (t->dtype == DLORAL_U16) {
      ((guint16 *) data)[i] = g_rand_int (rand);
      continue;
    }
    for (int k = 0; k < 12; k++)
      sum += g_rand_double (rand);
    element_set (data, i, t->dtype, sum * scale + offset);
  }
}

/* -------------------------------------------------------------------------- */

static void
bind_tensors (DloralHarness * h, guint32 seed)
{
  const DloralOp *op = h->c->op;
  const DloralGraph *g = h->c->graph;
  GRand *rand = g_rand_new_with_seed (seed);

  h->buffers = g_new0 (DloralBuffer, g->n_bindings);
  h->bindings = g_new0 (gpointer, g->n_bindings);
  for (int i = 0; i < g->n_bindings; i++) {
    buffer_init (h, &h->buffers[i],
        dloral_tensor_get_size (dloral_graph_get_bound (g, i)));
    h->bindings[i] = (guint8 *) h->buffers[i].device + GUARD;
  }
  for (int i = 0, filled = -1; i < op->n_src; i++) {
    const DloralTensor *t = op->src[i];

    if (t->binding > filled)
      fill_source (get_image (&h->buffers[t->binding]), t, rand,
          h->c->scale[i], h->c->offset[i]);
    filled = MAX (filled, t->binding);
  }
  g_rand_free (rand);
}

void
dloral_harness_init (DloralHarness * h, const DloralBackend * backend,
    DloralDevice * device, const DloralCase * c, guint32 seed)
{
  GError *error = NULL;

  h->backend = backend;
  h->device = device;
  h->c = c;
  h->plan = backend->compile (device, c->graph, &error);
  g_assert_no_error (error);
  h->queue = backend->queue_new (device, FALSE, &error);
  g_assert_no_error (error);
  buffer_init (h, &h->arena, backend->plan_get_arena_size (h->plan));
  bind_tensors (h, seed);
}

void
dloral_harness_clear (DloralHarness * h)
{
  for (int i = 0; i < h->c->graph->n_bindings; i++)
    buffer_clear (h, &h->buffers[i]);
  buffer_clear (h, &h->arena);
  h->backend->queue_free (h->queue);
  h->backend->plan_free (h->plan);
  g_free (h->buffers);
  g_free (h->bindings);
}

static gboolean
is_source (const DloralHarness * h, int binding)
{
  for (int i = 0; i < h->c->op->n_src; i++)
    if (h->c->op->src[i]->binding == binding)
      return TRUE;
  return FALSE;
}

/* One checksum of all sources. */
static guint32
hash_sources (const DloralHarness * h)
{
  guint32 hash = 5381;

  for (int i = 0; i < h->c->graph->n_bindings; i++)
    for (gsize k = 0; is_source (h, i) && k < h->buffers[i].size; k++)
      hash = hash * 33 + get_image (&h->buffers[i])[k];
  return hash;
}

void
dloral_harness_run (DloralHarness * h, guint8 poison)
{
  GError *error = NULL;
  int n = h->c->graph->n_bindings;
  guint32 before = hash_sources (h);

  memset (get_image (&h->arena), poison, h->arena.size);
  buffer_upload (h, &h->arena);
  for (int i = 0; i < n; i++) {
    if (!is_source (h, i))
      memset (get_image (&h->buffers[i]), poison, h->buffers[i].size);
    buffer_upload (h, &h->buffers[i]);
  }
  h->backend->run (h->plan, h->queue, (guint8 *) h->arena.device + GUARD,
      h->bindings, &error);
  g_assert_no_error (error);
  for (int i = 0; i < n; i++)
    buffer_download (h, &h->buffers[i]);
  buffer_download (h, &h->arena);
  g_assert_cmphex (hash_sources (h), ==, before);
}

gpointer
dloral_harness_get (const DloralHarness * h, int binding)
{
  return get_image (&h->buffers[binding]);
}

double *
dloral_harness_read (const DloralHarness * h, const DloralTensor * t)
{
  gsize n = (gsize) t->h * t->w * t->c;
  double *values = g_new (double, n);

  for (gsize i = 0; i < n; i++)
    values[i] = element_get (dloral_harness_get (h, t->binding), i, t->dtype);
  return values;
}
