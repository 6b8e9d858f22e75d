/* The cache of packed weights: one entry for each content and layout, counted
 * by its users.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "weights.h"

#include <stdlib.h>

#include "primitive.h"

struct _DloralWeights
{
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  GMutex lock;                  /* held while packing, too */
  GHashTable *table;            /* set of DloralPacked */
};

struct _DloralPacked
{
  char *key;
  int first;
  DloralConstMd md;             /* belongs to memory */
  dnnl_memory_t memory;
  gpointer data;
  int users;
};

static guint
packed_hash (gconstpointer pointer)
{
  const DloralPacked *p = pointer;

  return g_str_hash (p->key) + (guint) p->first;
}

static gboolean
packed_equal (gconstpointer pa, gconstpointer pb)
{
  const DloralPacked *a = pa, *b = pb;

  return a->first == b->first && strcmp (a->key, b->key) == 0
      && dnnl_memory_desc_equal (a->md, b->md);
}

static void
packed_free (gpointer pointer)
{
  DloralPacked *p = pointer;

  if (p->memory)
    dnnl_memory_destroy (p->memory);
  free (p->data);
  g_free (p->key);
  g_free (p);
}

DloralWeights *
dloral_weights_new (dnnl_engine_t engine)
{
  DloralWeights *self = g_new0 (DloralWeights, 1);

  self->engine = engine;
  g_mutex_init (&self->lock);
  self->table = g_hash_table_new_full (packed_hash, packed_equal,
      packed_free, NULL);
  if (dnnl_stream_create (&self->stream, engine, dnnl_stream_default_flags)
      != dnnl_success) {
    self->stream = NULL;
    dloral_weights_free (self);
    return NULL;
  }
  return self;
}

void
dloral_weights_free (DloralWeights *self)
{
  g_hash_table_unref (self->table);
  g_mutex_clear (&self->lock);
  if (self->stream)
    dnnl_stream_destroy (self->stream);
  g_free (self);
}

static dnnl_status_t
execute (dnnl_primitive_t primitive, DloralWeights *self, dnnl_memory_t src,
    dnnl_memory_t dst)
{
  const_dnnl_primitive_desc_t pd;
  DloralConstMd md;
  dnnl_memory_t scratch;
  dnnl_status_t status = dnnl_primitive_get_primitive_desc (primitive, &pd);

  if (status != dnnl_success)
    return status;
  md = dnnl_primitive_desc_query_md (pd, dnnl_query_exec_arg_md,
      DNNL_ARG_SCRATCHPAD);
  status = dnnl_memory_create (&scratch, md, self->engine,
      DNNL_MEMORY_ALLOCATE);
  if (status == dnnl_success) {
    dnnl_exec_arg_t args[] = {
      {DNNL_ARG_FROM, src}, {DNNL_ARG_TO, dst}, {DNNL_ARG_SCRATCHPAD, scratch}
    };

    status = dnnl_primitive_execute (primitive, self->stream,
        G_N_ELEMENTS (args), args);
    dnnl_memory_destroy (scratch);
  }
  return status;
}

/* Writes `src`, laid out as `layout`, into `dst`. */
static dnnl_status_t
reorder (DloralWeights *self, const DloralOperand *layout, float *src,
    DloralConstMd md, dnnl_memory_t dst)
{
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t primitive;
  dnnl_memory_t memory;
  DloralConstMd from;
  dnnl_status_t status =
      dloral_dnnl_reorder_to (&pd, self->engine, layout, md);

  if (status != dnnl_success)
    return status;
  from = dnnl_primitive_desc_query_md (pd, dnnl_query_src_md, 0);
  status = dnnl_memory_create (&memory, from, self->engine, src);
  if (status == dnnl_success) {
    status = dnnl_primitive_create (&primitive, pd);
    if (status == dnnl_success) {
      status = execute (primitive, self, memory, dst);
      dnnl_primitive_destroy (primitive);
    }
    dnnl_memory_destroy (memory);
  }
  dnnl_primitive_desc_destroy (pd);
  return status;
}

static dnnl_status_t
fill (DloralWeights *self, DloralPacked *packed, const DloralWeightRows *rows)
{
  const DloralWeight *w = rows->weight;
  float *plain = g_try_new (float, dloral_weight_get_length (w));
  dnnl_status_t status;

  if (plain == NULL)
    return dnnl_out_of_memory;
  w->fill (w, plain);
  status = reorder (self, &rows->layout,
      plain + (gsize) rows->first * w->i * w->kh * w->kw, packed->md,
      packed->memory);
  g_free (plain);
  return status;
}

/* Memory of our own, so that exhaustion is an error and no abort. */
static dnnl_status_t
allocate (DloralWeights *self, DloralPacked *packed, DloralConstMd md)
{
  gsize size = dnnl_memory_desc_get_size (md);
  dnnl_status_t status;

  if (posix_memalign (&packed->data, DLORAL_ALIGN, MAX (size, 1)) != 0) {
    packed->data = NULL;
    return dnnl_out_of_memory;
  }
  status = dnnl_memory_create (&packed->memory, md, self->engine,
      packed->data);
  if (status != dnnl_success) {
    packed->memory = NULL;
    return status;
  }
  return dnnl_memory_get_memory_desc (packed->memory, &packed->md);
}

static DloralPacked *
pack (DloralWeights *self, const DloralWeightRows *rows, DloralConstMd md,
    const DloralOp *op, GError **error)
{
  DloralPacked *packed = g_new0 (DloralPacked, 1);
  dnnl_status_t status;

  packed->key = g_strdup (rows->weight->key);
  packed->first = rows->first;
  status = allocate (self, packed, md);
  if (status == dnnl_success)
    status = fill (self, packed, rows);
  if (!dloral_dnnl_check (status, op, "pack weights", error)) {
    packed_free (packed);
    return NULL;
  }
  g_hash_table_add (self->table, packed);
  return packed;
}

DloralPacked *
dloral_weights_pack (DloralWeights *self, const DloralWeightRows *rows,
    DloralConstMd md, const DloralOp *op, GError **error)
{
  DloralPacked probe = {.key = rows->weight->key,.first = rows->first,
    .md = md
  };
  DloralPacked *packed;

  g_mutex_lock (&self->lock);
  packed = g_hash_table_lookup (self->table, &probe);
  if (packed == NULL)
    packed = pack (self, rows, md, op, error);
  if (packed)
    packed->users++;
  g_mutex_unlock (&self->lock);
  return packed;
}

void
dloral_weights_release (DloralWeights *self, DloralPacked *packed)
{
  if (packed == NULL)
    return;
  g_mutex_lock (&self->lock);
  if (--packed->users == 0)
    g_hash_table_remove (self->table, packed);
  g_mutex_unlock (&self->lock);
}

dnnl_memory_t
dloral_packed_get_memory (const DloralPacked *packed)
{
  return packed->memory;
}
