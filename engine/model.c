/* Models: opened once per process, checked whole, shared by reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stages.h"
#include "text.h"

static GMutex registry_lock;
static GList *registry;         /* DloralModel, those with references */

static DloralModel *
find_open (const DloralModelParams *params, const char *path)
{
  for (GList *l = registry; l; l = l->next) {
    DloralModel *m = l->data;

    if (m->kind == params->device
        && m->params.precision == params->precision
        && m->params.threads == params->threads
        && m->params.ordinal == params->cuda_device_id
        && m->params.tune == params->tune && g_str_equal (m->path, path))
      return m;
  }
  return NULL;
}

static void
model_free (DloralModel *model)
{
  if (model->device)
    model->backend->close (model->device);
  if (model->file)
    dloral_safetensors_free (model->file);
  g_free (model->device_note);
  g_free (model->path);
  g_free (model);
}

static gboolean
is_of_kind (const DloralBackend *backend, DloralDeviceKind kind)
{
  return kind == DLORAL_DEVICE_AUTO || g_str_equal (backend->name,
      kind == DLORAL_DEVICE_CPU ? "cpu" : "cuda");
}

static gboolean
has_fp8 (const DloralModel *model)
{
  return model->backend->has_fp8 && model->backend->has_fp8 (model->device);
}

/* A sentence where fp8 was asked for and there is none, else NULL. */
static char *
describe_missing_fp8 (const DloralModel *model)
{
  if (model->params.precision != DLORAL_PRECISION_FP8 || has_fp8 (model))
    return NULL;
  return g_strdup_printf ("%s: this device multiplies in no fp8, which GPUs of "
      "compute capability 8.9 or later do", model->backend->name);
}

/* Opens the best device of the kind that can be opened. The first refusal is what
 * is told: of the best one. */
static gboolean
open_device (DloralModel *model, GError **error)
{
  GError *first = NULL;

  for (guint i = 0; dloral_backends[i] && model->device == NULL; i++) {
    if (!is_of_kind (dloral_backends[i], model->kind))
      continue;
    model->backend = dloral_backends[i];
    model->device = model->backend->open (&model->params,
        first ? NULL : &first);
  }
  if (model->device) {
    model->device_note = first ? g_strdup (first->message) :
        describe_missing_fp8 (model);
    g_clear_error (&first);
  } else if (first) {
    g_propagate_error (error, first);
  } else {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "This build has no backend for device '%s'; choose another device or "
        "build with it enabled.", model->kind == DLORAL_DEVICE_CPU ? "cpu" :
        model->kind == DLORAL_DEVICE_CUDA ? "cuda" : "auto");
  }
  return model->device != NULL;
}

/* The stored prompt's length, where the UNet reads text at all. */
static gboolean
read_prompt_length (DloralModel *model, GError **error)
{
  const DloralUnetConfig *unet = &model->config.unet;
  gint64 shape[2] = { 0, unet->cross_attention_dim };
  const DloralEntry *entry;

  if (unet->cross_attention_dim == 0)
    return TRUE;
  entry = dloral_safetensors_find (model->file, "prompt_embeds");
  shape[0] = entry && entry->rank == 2 ?
      CLAMP (entry->shape[0], 1, DLORAL_MAX_TOKENS) : 77;
  if (!dloral_safetensors_require (model->file, "prompt_embeds", 2, shape,
          error))
    return FALSE;
  model->tokens = (int) shape[0];
  return TRUE;
}

/* Every tensor of every network is looked up by building all graphs for
 * a small frame. */
static gboolean
check_networks (const DloralModel *model, DloralVae vae, const gint *cancelled,
    GError **error)
{
  DloralStreamParams params = { .width = 16, .height = 16, .vae = vae,
    DLORAL_STREAM_DEFAULTS
  };
  const double strengths[DLORAL_N_ADAPTERS] = { 1, 1 };
  DloralGraph *graphs[4] = { NULL };
  DloralGeometry geo;
  gboolean ok;

  dloral_geometry_init (&geo, &model->config, &params);
  ok = (graphs[0] = dloral_encode_graph (model, &geo, cancelled, error))
      && (graphs[1] = dloral_restore_graph (model, &geo, strengths, 1,
          cancelled, error))
      && (graphs[2] = dloral_decode_graph (model, &geo, FALSE, cancelled,
          error))
      && (model->tokens == 0 || (graphs[3] = dloral_condition_graph (model,
                  &geo, strengths, cancelled, error)));
  for (guint i = 0; i < G_N_ELEMENTS (graphs); i++)
    dloral_graph_free (graphs[i]);
  return ok;
}

static DloralModel *
model_new (const DloralModelParams *params, const char *path, GError **error)
{
  DloralModel *model = g_new0 (DloralModel, 1);

  model->path = g_strdup (path);
  model->kind = params->device;
  model->params = (DloralDeviceParams) {
    params->precision, params->threads, params->cuda_device_id, params->tune };
  model->file = dloral_safetensors_open (path, error);
  if (model->file == NULL ||
      !dloral_config_read (&model->config, model->file, error) ||
      !read_prompt_length (model, error) || !dloral_text_check (model,
          params->cancelled, error))
    goto fail;
  if (!open_device (model, error) || !check_networks (model, DLORAL_VAE_FULL,
          params->cancelled, error))
    goto fail;
  return model;

fail:
  model_free (model);
  return NULL;
}

/* Takes a reference to the model that is open with these parameters; else, with a
 * new one, to that and lists it. NULL if there is neither. */
static DloralModel *
take_open (const DloralModelParams *params, const char *path, DloralModel *new)
{
  DloralModel *model;

  g_mutex_lock (&registry_lock);
  model = find_open (params, path);
  if (model == NULL && new) {
    registry = g_list_prepend (registry, new);
    model = new;
  }
  if (model)
    model->ref_count++;
  g_mutex_unlock (&registry_lock);
  return model;
}

/* Nobody waits for somebody else's opening, which may take long and fail for reasons
 * of his own: of two at a time, the one that is done first is taken by both. */
DloralModel *
dloral_model_open (const DloralModelParams *params, GError **error)
{
  g_autofree char *path = g_canonicalize_filename (params->path, NULL);
  DloralModel *model, *new;

  if (!dloral_check_cancelled (params->cancelled, error))
    return NULL;
  model = take_open (params, path, NULL);
  if (model)
    return model;
  new = model_new (params, path, error);
  if (new == NULL)
    return NULL;
  model = take_open (params, path, new);
  if (model != new)
    model_free (new);
  return model;
}

DloralModel *
dloral_model_ref (DloralModel *model)
{
  g_mutex_lock (&registry_lock);
  model->ref_count++;
  g_mutex_unlock (&registry_lock);
  return model;
}

void
dloral_model_unref (DloralModel *model)
{
  gboolean last;

  g_mutex_lock (&registry_lock);
  last = --model->ref_count == 0;
  if (last)
    registry = g_list_remove (registry, model);
  g_mutex_unlock (&registry_lock);
  if (last)
    model_free (model);
}

gboolean
dloral_model_check_vae (const DloralModel *model, DloralVae vae,
    GError **error)
{
  /* Nothing is opened without the full one. */
  return vae == DLORAL_VAE_FULL || check_networks (model, vae, NULL, error);
}

const DloralConfig *
dloral_model_get_config (const DloralModel *model)
{
  return &model->config;
}

const char *
dloral_model_get_device_name (const DloralModel *model)
{
  return model->backend->name;
}

const char *
dloral_model_get_precision_name (const DloralModel *model)
{
  if (has_fp8 (model))
    return "fp8";
  switch (model->backend->get_act_dtype (model->device)) {
    case DLORAL_BF16:
      return "bf16";
    case DLORAL_F16:
      return "f16";
    default:
      return "f32";
  }
}

const char *
dloral_model_get_device_note (const DloralModel *model)
{
  return model->device_note;
}
