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

static gpointer
guarded_alloc (DloralHarness * h, gsize size)
{
  GError *error = NULL;
  guint8 *memory = h->backend->alloc (h->device, size + 2 * GUARD, &error);

  g_assert_no_error (error);
  memset (memory, GUARD_VALUE, size + 2 * GUARD);
  ASAN_POISON_MEMORY_REGION (memory, GUARD);
  ASAN_POISON_MEMORY_REGION (memory + GUARD + size, GUARD);
  return memory + GUARD;
}

static void
guarded_check (gconstpointer memory, gsize size)
{
  const guint8 *before = (const guint8 *) memory - GUARD;
  const guint8 *after = (const guint8 *) memory + size;

  ASAN_UNPOISON_MEMORY_REGION (before, GUARD);
  ASAN_UNPOISON_MEMORY_REGION (after, GUARD);
  for (int i = 0; i < GUARD; i++) {
    g_assert_cmphex (before[i], ==, GUARD_VALUE);
    g_assert_cmphex (after[i], ==, GUARD_VALUE);
  }
  ASAN_POISON_MEMORY_REGION (before, GUARD);
  ASAN_POISON_MEMORY_REGION (after, GUARD);
}

static void
guarded_free (DloralHarness * h, gpointer memory, gsize size)
{
  ASAN_UNPOISON_MEMORY_REGION ((guint8 *) memory - GUARD, size + 2 * GUARD);
  h->backend->free (h->device, (guint8 *) memory - GUARD);
}

/* --- elements ------------------------------------------------------------- */

static double
element_get (gconstpointer data, gsize i, DloralDtype dtype)
{
  guint32 bits;
  float value;

  if (dtype == DLORAL_U8)
    return ((const guint8 *) data)[i];
  if (dtype == DLORAL_F32)
    return ((const float *) data)[i];
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
  GRand *rand = g_rand_new_with_seed (seed);

  h->bindings = g_new0 (gpointer, h->c->graph->n_bindings);
  for (int i = 0; i < op->n_src; i++) {
    const DloralTensor *t = op->src[i];

    if (h->bindings[t->binding])
      continue;
    h->bindings[t->binding] = guarded_alloc (h, dloral_tensor_get_size (t));
    fill_source (h->bindings[t->binding], t, rand, h->c->scale[i],
        h->c->offset[i]);
  }
  h->bindings[op->dst->binding] = guarded_alloc (h,
      dloral_tensor_get_size (op->dst));
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
  h->arena_size = backend->plan_get_arena_size (h->plan);
  h->arena = guarded_alloc (h, h->arena_size);
  bind_tensors (h, seed);
}

void
dloral_harness_clear (DloralHarness * h)
{
  const GPtrArray *tensors = h->c->graph->tensors;

  for (guint i = 0; i < tensors->len; i++) {
    const DloralTensor *t = tensors->pdata[i];

    guarded_free (h, h->bindings[t->binding], dloral_tensor_get_size (t));
  }
  guarded_free (h, h->arena, h->arena_size);
  h->backend->plan_free (h->plan);
  g_free (h->bindings);
}

/* One checksum of all sources. */
static guint32
hash_sources (const DloralHarness * h)
{
  guint32 hash = 5381;

  for (int s = 0; s < h->c->op->n_src; s++) {
    const DloralTensor *t = h->c->op->src[s];
    const guint8 *data = h->bindings[t->binding];

    for (gsize i = 0; i < dloral_tensor_get_size (t); i++)
      hash = hash * 33 + data[i];
  }
  return hash;
}

void
dloral_harness_run (DloralHarness * h, guint8 poison)
{
  GError *error = NULL;
  const DloralTensor *dst = h->c->op->dst;
  guint32 before = hash_sources (h);

  memset (h->bindings[dst->binding], poison, dloral_tensor_get_size (dst));
  memset (h->arena, poison, h->arena_size);
  h->backend->run (h->plan, h->arena, h->bindings, &error);
  g_assert_no_error (error);
  g_assert_cmphex (hash_sources (h), ==, before);
  guarded_check (h->arena, h->arena_size);
  guarded_check (h->bindings[dst->binding], dloral_tensor_get_size (dst));
}

double *
dloral_harness_read (const DloralHarness * h, const DloralTensor * t)
{
  gsize n = (gsize) t->h * t->w * t->c;
  double *values = g_new (double, n);

  for (gsize i = 0; i < n; i++)
    values[i] = element_get (h->bindings[t->binding], i, t->dtype);
  return values;
}
