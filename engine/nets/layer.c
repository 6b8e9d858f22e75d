/* Reading a layer's weight and adding its adapters to it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "layer.h"

#include <string.h>

#define ALPHA 8.0f              /* peft's default, which DLoRAL leaves alone */
#define MAX_RANK 1024

static const char *const adapter_names[DLORAL_N_ADAPTERS] = {
  "consistency", "detail"
};

/* "….weight" → "….lora_A.consistency" */
static char *
adapter_name (const char *name, const char *half, int adapter)
{
  gsize stem = strlen (name) - (g_str_has_suffix (name, ".weight") ?
      strlen (".weight") : 0);

  return g_strdup_printf ("%.*s.lora_%s.%s", (int) stem, name, half,
      adapter_names[adapter]);
}

static gboolean
find_adapter (DloralLayer *layer, const DloralSafetensors *file,
    const char *name, int adapter, int kh, int kw, GError **error)
{
  g_autofree char *down_name = adapter_name (name, "A", adapter);
  g_autofree char *up_name = adapter_name (name, "B", adapter);
  const DloralEntry *down = dloral_safetensors_find (file, down_name);
  int rank;

  if (down == NULL && dloral_safetensors_find (file, up_name) == NULL)
    return TRUE;
  rank = down && down->rank > 0 ? CLAMP (down->shape[0], 1, MAX_RANK) : 1;
  down = dloral_safetensors_require (file, down_name, 4,
      (gint64[]) { rank, layer->i, kh, kw }, error);
  layer->adapters[adapter].down = down;
  if (down)
    layer->adapters[adapter].up = dloral_safetensors_require (file, up_name,
        4, (gint64[]) { layer->o, rank, 1, 1 }, error);
  layer->adapters[adapter].rank = rank;
  layer->adapters[adapter].strength = 1;
  return layer->adapters[adapter].up != NULL;
}

gboolean
dloral_layer_find (DloralLayer *layer, const DloralSafetensors *file,
    const char *name, int o, int i, int kh, int kw, GError **error)
{
  memset (layer, 0, sizeof *layer);
  layer->o = o;
  layer->i = i;
  layer->taps = kh * kw;
  layer->base = dloral_safetensors_require (file, name, 4,
      (gint64[]) { o, i, kh, kw }, error);
  for (int a = 0; layer->base && a < DLORAL_N_ADAPTERS; a++)
    if (!find_adapter (layer, file, name, a, kh, kw, error))
      return FALSE;
  return layer->base != NULL;
}

/* Input channels [first, first + n) of an entry [rows][i][taps]. */
static void
read_channels (const DloralLayer *layer, const DloralEntry *entry, int rows,
    int first, int n, float *dst)
{
  gsize taps = layer->taps, row = taps * n;

  if (n == layer->i)
    dloral_entry_read_f32 (entry, 0, rows * row, dst);
  else
    for (gsize r = 0; r < (gsize) rows; r++)
      dloral_entry_read_f32 (entry, (r * layer->i + first) * taps, row,
          dst + r * row);
}

/* dst [o][row] += strength · alpha / rank · up [o][rank] · down [rank][row] */
static void
add_adapter (const DloralLayer *layer, int adapter, int first, int n,
    float *dst)
{
  int rank = layer->adapters[adapter].rank;
  float scale = layer->adapters[adapter].strength * ALPHA / rank;
  gsize row = (gsize) n * layer->taps;
  g_autofree float *down = g_new (float, rank * row);
  g_autofree float *up = g_new (float, (gsize) layer->o * rank);

  read_channels (layer, layer->adapters[adapter].down, rank, first, n, down);
  dloral_entry_read_f32 (layer->adapters[adapter].up, 0,
      (gsize) layer->o * rank, up);
  for (int o = 0; o < layer->o; o++)
    for (int r = 0; r < rank; r++) {
      float factor = scale * up[(gsize) o * rank + r];

      for (gsize k = 0; k < row; k++)
        dst[o * row + k] += factor * down[r * row + k];
    }
}

void
dloral_layer_read (const DloralLayer *layer, int first, int n, float *dst)
{
  read_channels (layer, layer->base, layer->o, first, n, dst);
  for (int a = 0; a < DLORAL_N_ADAPTERS; a++)
    if (layer->adapters[a].rank > 0 && layer->adapters[a].strength != 0)
      add_adapter (layer, a, first, n, dst);
}
