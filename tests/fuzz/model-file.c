/* Fuzzing the model file: the input is the file. It is opened, or refused with a
 * sentence. What was opened holds what json-glib alone reads in its header, and
 * every byte of it can be read: as a tensor, as a layer with its adapters, as a
 * scale for fp8. Then a whole model is opened from it, all networks built, and
 * its prompt's parts used; or that is refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "target.h"

#include <math.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "engine/fp8.h"
#include "engine/model.h"
#include "engine/nets/clip.h"
#include "engine/nets/layer.h"
#include "engine/text.h"
#include "engine/tokenizer.h"

#define PREFIX 8                /* bytes of header length */
#define SCALE "fp8.c.weight.input"
#define MAX_SIDE 65536          /* of a layer; configs stay far below */

static gboolean
is_float (const DloralEntry *e)
{
  return e->dtype == DLORAL_F32 || e->dtype == DLORAL_F16
      || e->dtype == DLORAL_BF16;
}

/* What the header says of the tensor, and its bytes in data [size]. */
static void
check_entry (const DloralEntry *e, JsonObject *object, const uint8_t *data,
    size_t size)
{
  JsonArray *shape = json_object_get_array_member (object, "shape");
  JsonArray *range = json_object_get_array_member (object, "data_offsets");
  gint64 begin = json_array_get_int_element (range, 0);

  g_assert_cmpstr (e->type, ==, json_object_get_string_member (object,
          "dtype"));
  g_assert_cmpint (e->rank, ==, json_array_get_length (shape));
  for (int i = 0; i < e->rank; i++)
    g_assert_cmpint (e->shape[i], ==, json_array_get_int_element (shape, i));
  g_assert_cmpint (json_array_get_int_element (range, 1) - begin, ==, e->size);
  g_assert_true (begin >= 0 && begin + e->size <= size);
  g_assert_cmpint (memcmp (e->data, data + begin, e->size), ==, 0);
}

/* Whole and from the middle on it reads the same. */
static void
check_values (const DloralEntry *e)
{
  gsize n = e->size / dloral_dtype_size (e->dtype), half = n / 2;
  g_autofree float *all = g_new (float, n), *rest = g_new (float, n);

  if (n == 0)
    return;
  dloral_entry_read_f32 (e, 0, n, all);
  dloral_entry_read_f32 (e, half, n - half, rest);
  g_assert_cmpint (memcmp (all + half, rest, (n - half) * sizeof *rest), ==, 0);
}

/* As networks look it up. */
static void
check_required (const DloralSafetensors *file, const DloralEntry *e)
{
  const gint64 other[] = { 2, 3, 5, 7, 11 };
  GError *error = NULL;

  if (dloral_safetensors_require (file, e->name, e->rank, e->shape, &error))
    g_assert_true (is_float (e) && e->size > 0);
  else
    target_check_error (&error, dloral_safetensors_get_path (file));
  if (!dloral_safetensors_require (file, e->name, 5, other, &error))
    target_check_error (&error, dloral_safetensors_get_path (file));
}

/* As a layer, with the adapters that it has; the second half of its input
 * channels also alone. */
static void
check_layer (const DloralSafetensors *file, const DloralEntry *e)
{
  int sides[4] = { 1, 1, 1, 1 };
  g_autofree float *all = NULL, *rest = NULL;
  DloralLayer layer;
  GError *error = NULL;
  int half;

  if (e->rank > 4 || e->size == 0)
    return;
  for (int i = 0; i < e->rank; i++) {
    if (e->shape[i] > MAX_SIDE)
      return;
    sides[i] = (int) e->shape[i];
  }
  if (!dloral_layer_find (&layer, file, e->name, sides[0], sides[1], sides[2],
          sides[3], &error)) {
    target_check_error (&error, dloral_safetensors_get_path (file));
    return;
  }
  half = layer.i / 2;
  all = g_new (float, e->size);
  rest = g_new (float, e->size);
  dloral_layer_read (&layer, 0, layer.i, all);
  dloral_layer_read (&layer, half, layer.i - half, rest);
}

/* Names of scales are the engine's, not the file's. */
static void
check_scale (const DloralSafetensors *file)
{
  GError *error = NULL;
  float max = dloral_fp8_read (file, SCALE, &error);

  g_assert_true (error ? max == 0 : max > 0 && isfinite (max));
  if (error)
    target_check_error (&error, dloral_safetensors_get_path (file));
}

/* Everything that an independent look at the header finds. */
static void
check_contents (const DloralSafetensors *file, const uint8_t *bytes,
    size_t size)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;
  guint64 length;

  memcpy (&length, bytes, sizeof length);
  length = GUINT64_FROM_LE (length);
  g_assert_true (json_parser_load_from_data (parser,
          (const char *) bytes + PREFIX, (gssize) length, NULL));
  json_object_iter_init (&iter,
      json_node_get_object (json_parser_get_root (parser)));
  while (json_object_iter_next (&iter, &name, &node)) {
    const DloralEntry *e = dloral_safetensors_find (file, name);

    if (g_str_equal (name, "__metadata__"))
      continue;
    check_entry (e, json_node_get_object (node), bytes + PREFIX + length,
        size - PREFIX - length);
    check_required (file, e);
    if (is_float (e)) {
      check_values (e);
      check_layer (file, e);
    }
  }
}

/* A model that opened has all that a prompt needs. */
static void
check_text (const DloralModel *model, const char *path)
{
  const DloralConfig *config = dloral_model_get_config (model);
  int n = config->tokenizer.max_length, last;
  g_autofree int *ids = g_new (int, n);
  g_autofree float *x = g_new (float, (gsize) n
      * config->text_encoder.hidden_size);
  GError *error = NULL;
  DloralTokenizer *t = dloral_tokenizer_new (model->file, &config->tokenizer,
      config->text_encoder.vocab_size, &error);

  if (t) {
    dloral_tokenizer_encode (t, "a street at night", ids);
    dloral_tokenizer_free (t);
  } else {
    target_check_error (&error, path);
    last = config->text_encoder.vocab_size - 1;
    for (int i = 0; i < n; i++)
      ids[i] = i % 2 ? last : 0;
  }
  g_assert_true (dloral_clip_embed (model->file, &config->text_encoder, ids, n,
          x, NULL));
}

/* The model's own, or the file as one. */
static void
check_tagger (DloralModel *model, const char *path)
{
  GError *error = NULL;

  for (int i = 0; i < 2; i++) {
    DloralTagger *tagger = dloral_tagger_new (model, i ? path : NULL, FALSE,
        NULL, &error);

    if (tagger)
      dloral_tagger_free (tagger);
    else
      target_check_error (&error, path);
  }
}

static void
check_model (const char *path, DloralPrecision precision)
{
  DloralModelParams params = { .path = path, .precision = precision,
    .cuda_device_id = -1
  };
  GError *error = NULL;
  DloralModel *model = dloral_model_open (&params, &error);

  if (model == NULL) {
    target_check_error (&error, path);
    return;
  }
  g_assert_no_error (error);
  if (!dloral_model_check_vae (model, DLORAL_VAE_TINY, &error))
    target_check_error (&error, path);
  if (dloral_model_has_text_encoder (model))
    check_text (model, path);
  check_tagger (model, path);
  dloral_model_unref (model);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *path = target_write (data, size);
  GError *error = NULL;
  DloralSafetensors *file = dloral_safetensors_open (path, &error);

  if (file == NULL) {
    target_check_error (&error, path);
    return 0;
  }
  g_assert_no_error (error);
  check_contents (file, data, size);
  check_scale (file);
  dloral_safetensors_free (file);
  check_model (path, DLORAL_PRECISION_AUTO);
  check_model (path, DLORAL_PRECISION_FP8);
  return 0;
}
