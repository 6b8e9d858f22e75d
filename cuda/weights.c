/* Packing weights and counting who uses them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "weights.h"

#include "e4m3.h"

#include <string.h>

typedef struct
{
  char *key;                    /* with type and layout; owned */
  CUdeviceptr memory;
  float scale;                  /* that values were multiplied with */
  int references;
} Packed;

struct _DloralCudaWeights
{
  const DloralDriver *driver;
  GMutex lock;
  GHashTable *by_key;           /* key → Packed */
  GHashTable *by_memory;        /* address → Packed, owned */
};

static void
packed_free (gpointer data)
{
  Packed *packed = data;

  g_free (packed->key);
  g_free (packed);
}

DloralCudaWeights *
dloral_cuda_weights_new (const DloralDriver *driver)
{
  DloralCudaWeights *w = g_new0 (DloralCudaWeights, 1);

  w->driver = driver;
  g_mutex_init (&w->lock);
  w->by_key = g_hash_table_new (g_str_hash, g_str_equal);
  w->by_memory = g_hash_table_new_full (NULL, NULL, NULL, packed_free);
  return w;
}

void
dloral_cuda_weights_free (DloralCudaWeights *w)
{
  g_hash_table_unref (w->by_key);
  g_hash_table_unref (w->by_memory);
  g_mutex_clear (&w->lock);
  g_free (w);
}

/* --- Packing ---------------------------------------------------------------- */

/* Where element [o][i][y][x] comes to lie. */
static gsize
get_place (const DloralWeight *w, DloralLayout layout, int o, int i, int yx)
{
  gsize area = (gsize) w->kh * w->kw;

  return layout == DLORAL_LAYOUT_OHWI ? (o * area + yx) * w->i + i :
      ((gsize) o * w->i + i) * area + yx;
}

static guint16
to_bf16 (float x)
{
  guint32 bits;

  memcpy (&bits, &x, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return bits >> 16 | 0x40;   /* not a number stays none */
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static void
put (gpointer dst, gsize at, DloralDtype dtype, float x)
{
  if (dtype == DLORAL_F32)
    ((float *) dst)[at] = x;
  else if (dtype == DLORAL_F16)
    ((_Float16 *) dst)[at] = (_Float16) x;
  else if (dtype == DLORAL_E4M3)
    ((guint8 *) dst)[at] = dloral_e4m3_from_float (x);
  else
    ((guint16 *) dst)[at] = to_bf16 (x);
}

/* Into the range of e4m3; of other types nothing is changed. */
static float
scale_values (float *values, gsize n, DloralDtype dtype)
{
  float max = 0, scale;

  if (dtype != DLORAL_E4M3)
    return 1;
  for (gsize i = 0; i < n; i++)
    max = fmaxf (max, fabsf (values[i]));
  scale = dloral_e4m3_get_scale (max);
  for (gsize i = 0; i < n; i++)
    values[i] *= scale;
  return scale;
}

static gpointer
pack (const DloralWeight *w, DloralDtype dtype, DloralLayout layout,
    float *scale)
{
  gsize n = dloral_weight_get_length (w);
  float *values = g_new (float, n);
  int area = w->kh * w->kw;
  gpointer packed;

  w->fill (w, values);
  *scale = scale_values (values, n, dtype);
  if (dtype == DLORAL_F32 && (layout == DLORAL_LAYOUT_OIHW || area == 1))
    return values;
  packed = g_malloc (n * dloral_dtype_size (dtype));
  for (int o = 0; o < w->o; o++)
    for (int i = 0; i < w->i; i++)
      for (int yx = 0; yx < area; yx++)
        put (packed, get_place (w, layout, o, i, yx), dtype,
            values[((gsize) o * w->i + i) * area + yx]);
  g_free (values);
  return packed;
}

/* Copies in the legacy stream of the context and waits: nothing of it is on the
 * way when the host's memory goes. */
static gboolean
upload (DloralCudaWeights *w, Packed *to, const DloralWeight *weight,
    DloralDtype dtype, DloralLayout layout, GError **error)
{
  gsize size = dloral_weight_get_length (weight) * dloral_dtype_size (dtype);
  gpointer packed;
  gboolean ok;

  if (!dloral_driver_alloc (w->driver, &to->memory, size, error))
    return FALSE;
  packed = pack (weight, dtype, layout, &to->scale);
  ok = DLORAL_DRIVER_CALL (w->driver, error, cuMemcpyHtoDAsync, to->memory,
      packed, size, NULL) && DLORAL_DRIVER_CALL (w->driver, error,
      cuStreamSynchronize, NULL);
  g_free (packed);
  if (!ok)
    w->driver->cuMemFree (to->memory);
  return ok;
}

/* --- References ------------------------------------------------------------- */

static Packed *
add (DloralCudaWeights *w, char *key, const DloralWeight *weight,
    DloralDtype dtype, DloralLayout layout, GError **error)
{
  Packed new = { 0 }, *packed;

  if (!upload (w, &new, weight, dtype, layout, error))
    return NULL;
  packed = g_memdup2 (&new, sizeof new);
  packed->key = g_strdup (key);
  g_hash_table_insert (w->by_key, packed->key, packed);
  g_hash_table_insert (w->by_memory, (gpointer) packed->memory, packed);
  return packed;
}

CUdeviceptr
dloral_cuda_weights_get (DloralCudaWeights *w, const DloralWeight *weight,
    DloralDtype dtype, DloralLayout layout, GError **error)
{
  g_autofree char *key = g_strdup_printf ("%s:%d:%d", weight->key, dtype,
      weight->kh * weight->kw > 1 ? layout : 0);
  Packed *packed;

  g_mutex_lock (&w->lock);
  packed = g_hash_table_lookup (w->by_key, key);
  if (packed == NULL)
    packed = add (w, key, weight, dtype, layout, error);
  if (packed)
    packed->references++;
  g_mutex_unlock (&w->lock);
  return packed ? packed->memory : 0;
}

float
dloral_cuda_weights_get_scale (DloralCudaWeights *w, CUdeviceptr memory)
{
  const Packed *packed;
  float scale;

  g_mutex_lock (&w->lock);
  packed = g_hash_table_lookup (w->by_memory, (gpointer) memory);
  scale = packed->scale;
  g_mutex_unlock (&w->lock);
  return scale;
}

void
dloral_cuda_weights_release (DloralCudaWeights *w, CUdeviceptr memory)
{
  Packed *packed;

  g_mutex_lock (&w->lock);
  packed = g_hash_table_lookup (w->by_memory, (gpointer) memory);
  if (packed && --packed->references == 0) {
    g_hash_table_remove (w->by_key, packed->key);
    g_hash_table_remove (w->by_memory, (gpointer) memory);
    w->driver->cuMemFree (memory);
  }
  g_mutex_unlock (&w->lock);
}
