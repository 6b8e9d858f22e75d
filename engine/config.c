/* The model file's config, from JSON to bounded numbers: tables say which keys
 * there are and what they may be, checks follow for what holds between them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "json.h"

#include <math.h>
#include <string.h>

#define MAX_CHANNELS 8192
#define MAX_LAYERS 16
#define MAX_DOWNSCALE 64
#define MAX_TAGGER_GRID 256     /* tokens to a side */
#define REQUIRED (-1)           /* as a default: there is none */

typedef enum
{
  FIELD_INT,
  FIELD_FLOAT,
  FIELD_BOOL,
} FieldType;

/* A number or switch of a JSON object and where it goes. */
typedef struct
{
  const char *key;
  FieldType type;
  gsize offset;
  double min, max, fallback;
} Field;

#define INT(s, key, min, max, fallback) \
  { #key, FIELD_INT, G_STRUCT_OFFSET (s, key), min, max, fallback }
#define FLOAT(s, key, min, max) \
  { #key, FIELD_FLOAT, G_STRUCT_OFFSET (s, key), min, max, REQUIRED }
#define BOOL(s, key, fallback) \
  { #key, FIELD_BOOL, G_STRUCT_OFFSET (s, key), FALSE, TRUE, fallback }

static const Field top_fields[] = {
  INT (DloralConfig, scale, 4, 4, REQUIRED),
  INT (DloralConfig, timestep, 0, 999, REQUIRED),
};

static const Field vae_fields[] = {
  INT (DloralVaeConfig, latent_channels, 1, 64, REQUIRED),
  FLOAT (DloralVaeConfig, scaling_factor, 1e-6, 1e6),
  INT (DloralVaeConfig, layers_per_block, 1, MAX_LAYERS, REQUIRED),
  INT (DloralVaeConfig, decoder_layers_per_block, 1, MAX_LAYERS + 1, 0),
  INT (DloralVaeConfig, norm_num_groups, 1, MAX_CHANNELS, REQUIRED),
  INT (DloralVaeConfig, patch_size, 1, 16, 1),
  BOOL (DloralVaeConfig, mid_block, TRUE),
  BOOL (DloralVaeConfig, mid_block_add_attention, TRUE),
  BOOL (DloralVaeConfig, use_quant_conv, TRUE),
  BOOL (DloralVaeConfig, use_post_quant_conv, TRUE),
  BOOL (DloralVaeConfig, lq_residual, FALSE),
};

static const Field unet_fields[] = {
  INT (DloralUnetConfig, in_channels, 2, 128, REQUIRED),
  INT (DloralUnetConfig, out_channels, 1, 64, REQUIRED),
  INT (DloralUnetConfig, layers_per_block, 1, MAX_LAYERS, REQUIRED),
  INT (DloralUnetConfig, cross_attention_dim, 0, MAX_CHANNELS, REQUIRED),
  INT (DloralUnetConfig, norm_num_groups, 1, MAX_CHANNELS, REQUIRED),
  BOOL (DloralUnetConfig, use_linear_projection, FALSE),
};

static const Field cfr_fields[] = {
  INT (DloralCfrConfig, heads, 1, 64, REQUIRED),
  INT (DloralCfrConfig, embed_dim, 1, 1024, REQUIRED),
  FLOAT (DloralCfrConfig, temperature, 1e-6, 1e9),
  INT (DloralCfrConfig, window, 0, 31, 0),
};

static const Field spynet_fields[] = {
  {"shrink", FIELD_INT, offsetof (DloralCfrConfig, spynet_shrink), 1, 4, 1},
};

static const Field text_encoder_fields[] = {
  INT (DloralTextEncoderConfig, num_hidden_layers, 1, 128, REQUIRED),
  INT (DloralTextEncoderConfig, num_attention_heads, 1, MAX_CHANNELS, REQUIRED),
  INT (DloralTextEncoderConfig, hidden_size, 1, MAX_CHANNELS, REQUIRED),
  INT (DloralTextEncoderConfig, intermediate_size, 1, 4 * MAX_CHANNELS,
      REQUIRED),
  FLOAT (DloralTextEncoderConfig, layer_norm_eps, 1e-12, 1),
  INT (DloralTextEncoderConfig, max_position_embeddings, 2, DLORAL_MAX_TOKENS,
      REQUIRED),
  INT (DloralTextEncoderConfig, vocab_size, 2, DLORAL_MAX_VOCABULARY,
      REQUIRED),
};

static const Field tagger_fields[] = {
  INT (DloralTaggerConfig, image_size, 16, 1024, REQUIRED),
  INT (DloralTaggerConfig, patch_size, 1, 64, REQUIRED),
  INT (DloralTaggerConfig, embed_dim, 1, MAX_CHANNELS, REQUIRED),
  INT (DloralTaggerConfig, window_size, 2, 24, REQUIRED),
  INT (DloralTaggerConfig, mlp_ratio, 1, 16, REQUIRED),
  INT (DloralTaggerConfig, projection_dim, 1, MAX_CHANNELS, REQUIRED),
  INT (DloralTaggerConfig, hidden_size, 1, MAX_CHANNELS, REQUIRED),
  INT (DloralTaggerConfig, num_hidden_layers, 1, MAX_LAYERS, REQUIRED),
  INT (DloralTaggerConfig, num_attention_heads, 1, MAX_CHANNELS, REQUIRED),
  INT (DloralTaggerConfig, intermediate_size, 1, 4 * MAX_CHANNELS, REQUIRED),
  FLOAT (DloralTaggerConfig, layer_norm_eps, 1e-12, 1),
  INT (DloralTaggerConfig, tags, 1, DLORAL_MAX_VOCABULARY, REQUIRED),
};

/* A JSON object of the config, and how messages call it. */
typedef struct
{
  const char *path;             /* of the file */
  const char *scope;            /* "unet.", or "" at the top */
  JsonObject *object;
  GError **error;
} Scope;

/* --- Messages ------------------------------------------------------------ */

static gboolean G_GNUC_PRINTF (3, 4)
fail (const Scope * s, const char *key, const char *format, ...)
{
  va_list args;
  char *message;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (s->error, DLORAL_ERROR, DLORAL_ERROR_CONFIG,
      "File '%s': config key '%s%s': %s", s->path, s->scope, key, message);
  g_free (message);
  return FALSE;
}

static gboolean
fail_node (const Scope * s, const char *key, const char *expected,
    JsonNode * node)
{
  char *found = dloral_json_describe (node);

  fail (s, key, "expected %s, found %s", expected, found);
  g_free (found);
  return FALSE;
}

static gboolean
fail_int (const Scope * s, const char *key, int min, int max, JsonNode * node)
{
  char *expected = g_strdup_printf (min == max ? "%d" :
      "a whole number from %d to %d", min, max);

  fail_node (s, key, expected, node);
  g_free (expected);
  return FALSE;
}

/* --- Values -------------------------------------------------------------- */

static gboolean
get_int (JsonNode * node, int min, int max, int *value)
{
  gint64 v;

  if (!dloral_json_get_int (node, &v) || v < min || v > max)
    return FALSE;
  *value = v;
  return TRUE;
}

static gboolean
read_float (const Scope * s, const Field * f, JsonNode * node, float *value)
{
  double v;

  /* Not a number compares false. */
  if (!dloral_json_get_number (node, &v) || !(v >= f->min && v <= f->max)) {
    char *expected = g_strdup_printf ("a number from %g to %g", f->min, f->max);
    fail_node (s, f->key, expected, node);
    g_free (expected);
    return FALSE;
  }
  *value = v;
  return TRUE;
}

static gboolean
read_bool (const Scope * s, const Field * f, JsonNode * node, gboolean * value)
{
  if (!JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    return fail_node (s, f->key, "true or false", node);
  *value = json_node_get_boolean (node);
  return TRUE;
}

static gboolean
read_field (const Scope * s, const Field * f, gpointer base)
{
  JsonNode *node = json_object_get_member (s->object, f->key);
  gpointer value = G_STRUCT_MEMBER_P (base, f->offset);

  if (!node && f->fallback != REQUIRED) {
    *(int *) value = f->fallback;       /* no float is optional */
    return TRUE;
  }
  if (f->type == FIELD_FLOAT)
    return read_float (s, f, node, value);
  if (f->type == FIELD_BOOL)
    return read_bool (s, f, node, value);
  return get_int (node, f->min, f->max, value)
      || fail_int (s, f->key, f->min, f->max, node);
}

static gboolean
read_fields (const Scope * s, const Field * fields, guint n, gpointer base)
{
  guint i;

  for (i = 0; i < n; i++)
    if (!read_field (s, &fields[i], base))
      return FALSE;
  return TRUE;
}

/* The list `key` of min_length … max_length values, or NULL and an error. */
static JsonArray *
get_list (const Scope * s, const char *key, int min_length, int max_length)
{
  JsonNode *node = json_object_get_member (s->object, key);
  JsonArray *list = NULL;
  char *expected;
  int length;

  if (node && JSON_NODE_HOLDS_ARRAY (node)) {
    list = json_node_get_array (node);
    length = MIN (json_array_get_length (list), G_MAXINT);
    if (length >= min_length && length <= max_length)
      return list;
  }
  expected = g_strdup_printf (min_length == max_length ?
      "a list of %d values" : "a list of %d to %d values", min_length,
      max_length);
  fail_node (s, key, expected, node);
  g_free (expected);
  return NULL;
}

/* Reads a list of integers 1 … max; its length, or 0 and an error. */
static int
read_ints (const Scope * s, const char *key, int min_length, int max_length,
    int max, int *values)
{
  JsonArray *list = get_list (s, key, min_length, max_length);
  int n = list ? json_array_get_length (list) : 0;
  int i;

  for (i = 0; i < n; i++) {
    JsonNode *node = json_array_get_element (list, i);
    if (!get_int (node, 1, max, &values[i])) {
      char *where = g_strdup_printf ("%s[%d]", key, i);
      fail_int (s, where, 1, max, node);
      g_free (where);
      return 0;
    }
  }
  return n;
}

/* Which of the `levels` blocks are of type `with`, not `without`. */
static gboolean
read_block_types (const Scope * s, const char *key, int levels,
    const char *with, const char *without, gboolean * attention)
{
  JsonArray *list = get_list (s, key, levels, levels);
  int i;

  for (i = 0; list && i < levels; i++) {
    JsonNode *node = json_array_get_element (list, i);
    const char *type = "";

    dloral_json_get_string (node, &type);
    attention[i] = g_str_equal (type, with);
    if (!attention[i] && !g_str_equal (type, without)) {
      char *where = g_strdup_printf ("%s[%d]", key, i);
      char *expected = g_strdup_printf ("'%s' or '%s'", with, without);
      fail_node (s, where, expected, node);
      g_free (expected);
      g_free (where);
      return FALSE;
    }
  }
  return list != NULL;
}

/* The object `key` of `parent`, its members named "key." in messages. */
static gboolean
enter (const Scope * parent, const char *key, const char *scope, Scope * s)
{
  JsonNode *node = json_object_get_member (parent->object, key);

  if (!node || !JSON_NODE_HOLDS_OBJECT (node))
    return fail_node (parent, key, "an object", node);
  *s = *parent;
  s->scope = scope;
  s->object = json_node_get_object (node);
  return TRUE;
}

/* --- Networks ------------------------------------------------------------ */

/* Whether `divisor` ("the … of `what`") divides the channels of a level. */
static gboolean
check_divides (const Scope * s, int level, int channels, const char *what,
    int divisor)
{
  char *key;

  if (channels % divisor == 0)
    return TRUE;
  key = g_strdup_printf ("block_out_channels[%d]", level);
  fail (s, key, "expected a multiple of %s, %d, found %d", what, divisor,
      channels);
  g_free (key);
  return FALSE;
}

static gboolean
check_groups (const Scope * s, const int *channels, int levels, int groups)
{
  int i;

  for (i = 0; i < levels; i++)
    if (!check_divides (s, i, channels[i], "norm_num_groups", groups))
      return FALSE;
  return TRUE;
}

static gboolean
check_vae_blocks (const Scope * s, DloralVaeConfig * vae)
{
  int downscale = vae->patch_size << (vae->levels - 1);

  if (vae->patch_size & (vae->patch_size - 1))
    return fail (s, "patch_size", "expected 1, 2, 4, 8 or 16, found %d",
        vae->patch_size);
  if (downscale > MAX_DOWNSCALE)
    return fail (s, "block_out_channels", "expected a latent of at most %d "
        "pixels to a side, found %d (patch_size %d, %d levels)", MAX_DOWNSCALE,
        downscale, vae->patch_size, vae->levels);
  if (!vae->mid_block) {
    if (vae->mid_block_add_attention
        && json_object_has_member (s->object, "mid_block_add_attention"))
      return fail (s, "mid_block_add_attention", "expected false, because "
          "mid_block is false, found true");
    vae->mid_block_add_attention = FALSE;
  }
  return check_groups (s, vae->block_out_channels, vae->levels,
      vae->norm_num_groups);
}

static gboolean
read_vae (const Scope * top, DloralVaeConfig * vae)
{
  Scope s;

  if (!enter (top, "vae", "vae.", &s)
      || !read_fields (&s, vae_fields, G_N_ELEMENTS (vae_fields), vae))
    return FALSE;
  vae->levels = read_ints (&s, "block_out_channels", 1, DLORAL_MAX_LEVELS,
      MAX_CHANNELS, vae->block_out_channels);
  if (!vae->levels)
    return FALSE;
  if (!vae->decoder_layers_per_block)
    vae->decoder_layers_per_block = vae->layers_per_block + 1;
  return check_vae_blocks (&s, vae);
}

/* Absent: with attention. null: no block at all. */
static gboolean
read_mid_block (const Scope * s, DloralUnetConfig * unet)
{
  JsonNode *node = json_object_get_member (s->object, "mid_block_type");
  const char *type = "";

  unet->mid_block = !node || !JSON_NODE_HOLDS_NULL (node);
  if (!node || !unet->mid_block) {
    unet->mid_attention = unet->mid_block;
    return TRUE;
  }
  dloral_json_get_string (node, &type);
  unet->mid_attention = g_str_equal (type, "UNetMidBlock2DCrossAttn");
  if (!unet->mid_attention && !g_str_equal (type, "UNetMidBlock2D"))
    return fail_node (s, "mid_block_type", "'UNetMidBlock2DCrossAttn', "
        "'UNetMidBlock2D' or null", node);
  return TRUE;
}

/* Whether any block of the level attends. Up blocks count from the coarsest. */
static gboolean
has_attention (const DloralUnetConfig * unet, int level)
{
  return unet->down_attention[level]
      || unet->up_attention[unet->levels - 1 - level]
      || (unet->mid_attention && level == unet->levels - 1);
}

/* attention_head_dim: one number for all levels, or a list. May be absent where
 * nothing attends. */
static gboolean
read_heads (const Scope * s, DloralUnetConfig * unet)
{
  const char *key = "attention_head_dim";
  JsonNode *node = json_object_get_member (s->object, key);
  int heads = 1, i;
  gboolean needed = FALSE;

  for (i = 0; i < unet->levels; i++)
    needed |= has_attention (unet, i);
  if (node && JSON_NODE_HOLDS_ARRAY (node)) {
    if (!read_ints (s, key, unet->levels, unet->levels, MAX_CHANNELS,
            unet->heads))
      return FALSE;
  } else {
    if ((node || needed) && !get_int (node, 1, MAX_CHANNELS, &heads))
      return fail_int (s, key, 1, MAX_CHANNELS, node);
    for (i = 0; i < unet->levels; i++)
      unet->heads[i] = heads;
  }
  for (i = 0; i < unet->levels; i++)
    if (has_attention (unet, i) && !check_divides (s, i,
            unet->block_out_channels[i], "the heads in attention_head_dim",
            unet->heads[i]))
      return FALSE;
  return TRUE;
}

static gboolean
check_unet_ends (const Scope * s, const DloralUnetConfig * unet, int latent)
{
  if (unet->in_channels != 2 * latent)
    return fail (s, "in_channels", "expected twice vae.latent_channels, %d, "
        "found %d", 2 * latent, unet->in_channels);
  if (unet->out_channels != latent)
    return fail (s, "out_channels", "expected vae.latent_channels, %d, "
        "found %d", latent, unet->out_channels);
  return TRUE;
}

static gboolean
read_unet (const Scope * top, DloralUnetConfig * unet, int latent_channels)
{
  Scope s;

  if (!enter (top, "unet", "unet.", &s)
      || !read_fields (&s, unet_fields, G_N_ELEMENTS (unet_fields), unet)
      || !check_unet_ends (&s, unet, latent_channels))
    return FALSE;
  unet->levels = read_ints (&s, "block_out_channels", 1, DLORAL_MAX_LEVELS,
      MAX_CHANNELS, unet->block_out_channels);
  return unet->levels
      && read_block_types (&s, "down_block_types", unet->levels,
      "CrossAttnDownBlock2D", "DownBlock2D", unet->down_attention)
      && read_block_types (&s, "up_block_types", unet->levels,
      "CrossAttnUpBlock2D", "UpBlock2D", unet->up_attention)
      && read_mid_block (&s, unet)
      && check_groups (&s, unet->block_out_channels, unet->levels,
      unet->norm_num_groups)
      && read_heads (&s, unet);
}

static gboolean
read_cfr (const Scope * top, DloralCfrConfig * cfr)
{
  Scope s;

  if (!enter (top, "cfr", "cfr.", &s)
      || !read_fields (&s, cfr_fields, G_N_ELEMENTS (cfr_fields), cfr))
    return FALSE;
  if (cfr->window && cfr->window % 2 == 0)
    return fail (&s, "window", "expected 0 or an odd number, found %d",
        cfr->window);
  return TRUE;
}

static gboolean
read_spynet (const Scope * top, DloralCfrConfig * cfr)
{
  static const int published[DLORAL_SPYNET_WIDTHS] = { 32, 64, 32, 16 };
  Scope s;

  memcpy (cfr->spynet_channels, published, sizeof (published));
  cfr->spynet_shrink = 1;
  if (!json_object_has_member (top->object, "spynet"))
    return TRUE;
  if (!enter (top, "spynet", "spynet.", &s)
      || !read_fields (&s, spynet_fields, G_N_ELEMENTS (spynet_fields), cfr))
    return FALSE;
  if (cfr->spynet_shrink == 3)
    return fail (&s, "shrink", "expected 1, 2 or 4, found 3");
  return !json_object_has_member (s.object, "channels")
      || read_ints (&s, "channels", DLORAL_SPYNET_WIDTHS, DLORAL_SPYNET_WIDTHS,
      1024, cfr->spynet_channels);
}

static gboolean
read_hidden_act (const Scope * s, DloralTextEncoderConfig * text)
{
  JsonNode *node = json_object_get_member (s->object, "hidden_act");
  const char *act = "";

  dloral_json_get_string (node, &act);
  text->quick_gelu = g_str_equal (act, "quick_gelu");
  return text->quick_gelu || g_str_equal (act, "gelu")
      || fail_node (s, "hidden_act", "'gelu' or 'quick_gelu'", node);
}

/* Absent: none. */
static gboolean
read_text_encoder (const Scope * top, DloralConfig * config)
{
  DloralTextEncoderConfig *text = &config->text_encoder;
  int heads, width = config->unet.cross_attention_dim;
  Scope s;

  if (!json_object_has_member (top->object, "text_encoder"))
    return TRUE;
  if (!enter (top, "text_encoder", "text_encoder.", &s)
      || !read_fields (&s, text_encoder_fields,
          G_N_ELEMENTS (text_encoder_fields), text)
      || !read_hidden_act (&s, text))
    return FALSE;
  heads = text->num_attention_heads;
  if (text->hidden_size != width)
    return fail (&s, "hidden_size", "expected unet.cross_attention_dim, %d, "
        "found %d", width, text->hidden_size);
  return text->hidden_size % heads == 0 || fail (&s, "hidden_size",
      "expected a multiple of num_attention_heads, %d, found %d", heads,
      text->hidden_size);
}

static gboolean
read_tokenizer (const Scope * top, DloralConfig * config)
{
  const DloralTextEncoderConfig *text = &config->text_encoder;
  int last = text->vocab_size - 1;
  const Field fields[] = {
    INT (DloralTokenizerConfig, bos_token_id, 0, last, REQUIRED),
    INT (DloralTokenizerConfig, eos_token_id, 0, last, REQUIRED),
    INT (DloralTokenizerConfig, pad_token_id, 0, last, REQUIRED),
    INT (DloralTokenizerConfig, max_length, 2, text->max_position_embeddings,
        REQUIRED),
  };
  Scope s;

  if (!text->num_hidden_layers)
    return TRUE;
  return enter (top, "tokenizer", "tokenizer.", &s)
      && read_fields (&s, fields, G_N_ELEMENTS (fields), &config->tokenizer);
}

int
dloral_tagger_config_get_grid (const DloralTaggerConfig * tagger, int stage)
{
  return tagger->image_size / tagger->patch_size >> stage;
}

/* Windows cover the grid of every stage, or are as large. */
static gboolean
check_tagger_stages (const Scope * s, const DloralTaggerConfig * tagger)
{
  int window = tagger->window_size, last = tagger->stages - 1;

  if (tagger->image_size / tagger->patch_size > MAX_TAGGER_GRID)
    return fail (s, "patch_size", "expected at most %d tokens to a side of %d, "
        "found %d", MAX_TAGGER_GRID, tagger->image_size,
        tagger->image_size / tagger->patch_size);
  if (tagger->image_size % (tagger->patch_size << last) != 0)
    return fail (s, "image_size", "expected a multiple of %d, a token of the "
        "last stage, found %d", tagger->patch_size << last,
        tagger->image_size);
  for (int i = 0; i <= last; i++) {
    int grid = dloral_tagger_config_get_grid (tagger, i);

    if (grid > window && grid % window != 0)
      return fail (s, "window_size", "expected what divides the %d tokens of a "
          "side of stage %d, found %d", grid, i, window);
    if ((tagger->embed_dim << i) % tagger->num_heads[i] != 0)
      return fail (s, "num_heads", "expected what divides the %d channels of "
          "stage %d, found %d", tagger->embed_dim << i, i,
          tagger->num_heads[i]);
  }
  return TRUE;
}

static gboolean
read_tagger (const Scope * top, DloralTaggerConfig * tagger)
{
  Scope s;
  int n;

  if (!enter (top, "tagger", "tagger.", &s)
      || !read_fields (&s, tagger_fields, G_N_ELEMENTS (tagger_fields), tagger)
      || !(n = read_ints (&s, "depths", 1, DLORAL_MAX_LEVELS, 64,
              tagger->depths))
      || !read_ints (&s, "num_heads", n, n, 128, tagger->num_heads))
    return FALSE;
  tagger->stages = n;
  if (tagger->embed_dim << (n - 1) > MAX_CHANNELS)
    return fail (&s, "embed_dim", "expected at most %d channels in the last "
        "stage, found %d", MAX_CHANNELS, tagger->embed_dim << (n - 1));
  if (tagger->hidden_size % tagger->num_attention_heads != 0)
    return fail (&s, "hidden_size", "expected a multiple of "
        "num_attention_heads, %d, found %d", tagger->num_attention_heads,
        tagger->hidden_size);
  return check_tagger_stages (&s, tagger);
}

static gboolean
read_optional_tagger (const Scope * top, DloralTaggerConfig * tagger)
{
  return !json_object_has_member (top->object, "tagger")
      || read_tagger (top, tagger);
}

static gboolean
read_color_fix (const Scope * top, DloralColorFix * color_fix)
{
  static const struct { const char *name; DloralColorFix value; } known[] = {
    {"adain", DLORAL_COLOR_FIX_ADAIN},
    {"wavelet", DLORAL_COLOR_FIX_WAVELET},
    {"none", DLORAL_COLOR_FIX_NONE},
  };
  JsonNode *node = json_object_get_member (top->object, "color_fix");
  const char *name = "";
  guint i;

  *color_fix = DLORAL_COLOR_FIX_ADAIN;
  if (!node)
    return TRUE;
  dloral_json_get_string (node, &name);
  for (i = 0; i < G_N_ELEMENTS (known); i++) {
    if (g_str_equal (name, known[i].name)) {
      *color_fix = known[i].value;
      return TRUE;
    }
  }
  return fail_node (top, "color_fix", "'adain', 'wavelet' or 'none'", node);
}

/* --- Interface ----------------------------------------------------------- */

/* The config's text, if the file is of that format: `what` it is then. */
static const char *
get_text (const DloralSafetensors * file, const char *expected,
    const char *what, GError ** error)
{
  const char *format = dloral_safetensors_get_metadata (file, "format");
  const char *text = dloral_safetensors_get_metadata (file, "config");

  if (g_strcmp0 (format, expected) != 0) {
    char *found = format ? dloral_json_quote (format) : g_strdup ("nothing");
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE, "File '%s': "
        "__metadata__ 'format': expected '%s', found %s; this is not a "
        "%s file", dloral_safetensors_get_path (file), expected, found, what);
    g_free (found);
    return NULL;
  }
  if (!text)
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG, "File '%s': "
        "__metadata__ 'config': expected the model's description as JSON, "
        "found nothing", dloral_safetensors_get_path (file));
  return text;
}

int
dloral_config_get_downscale (const DloralConfig * config)
{
  return config->vae.patch_size << (config->vae.levels - 1);
}

/* Fills in all of `top` but its error. `text` may be NULL. */
static gboolean
parse (Scope * top, const DloralSafetensors * file, const char *text)
{
  char *problem;

  top->path = dloral_safetensors_get_path (file);
  top->scope = "";
  if (!text)
    return FALSE;
  top->object = dloral_json_parse (text, strlen (text), DLORAL_JSON_KEYS,
      &problem);
  if (top->object)
    return TRUE;
  g_set_error (top->error, DLORAL_ERROR, DLORAL_ERROR_CONFIG, "File '%s': "
      "__metadata__ 'config': %s", top->path, problem);
  g_free (problem);
  return FALSE;
}

gboolean
dloral_config_read (DloralConfig * config, const DloralSafetensors * file,
    GError ** error)
{
  Scope top = { .error = error };
  gboolean ok;

  if (!parse (&top, file, get_text (file, "dloral", "DLoRAL model", error)))
    return FALSE;
  memset (config, 0, sizeof (*config));
  ok = read_fields (&top, top_fields, G_N_ELEMENTS (top_fields), config)
      && read_vae (&top, &config->vae)
      && read_unet (&top, &config->unet, config->vae.latent_channels)
      && read_cfr (&top, &config->cfr)
      && read_spynet (&top, &config->cfr)
      && read_text_encoder (&top, config)
      && read_tokenizer (&top, config)
      && read_optional_tagger (&top, &config->tagger)
      && read_color_fix (&top, &config->color_fix);
  json_object_unref (top.object);
  return ok;
}

gboolean
dloral_tagger_config_read (DloralTaggerConfig * tagger,
    const DloralSafetensors * file, GError ** error)
{
  Scope top = { .error = error };
  gboolean ok;

  if (!parse (&top, file, get_text (file, "dloral-tagger", "tagger", error)))
    return FALSE;
  memset (tagger, 0, sizeof (*tagger));
  ok = read_tagger (&top, tagger);
  json_object_unref (top.object);
  return ok;
}
