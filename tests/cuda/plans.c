/* Every graph of a model of Stable Diffusion 2.1's size, compiled by the real cuDNN
 * for GPUs that are not there. What it accepts is written as a table.
 *
 *   plans HEADER DEVICE.json CACHE WIDTHxHEIGHT|tagger
 *
 * HEADER is the model file's (data/sd21.json.gz); CACHE a folder for finished
 * plans; the size is the picture's, and the tagger has none. The operators are the backend's own; only the
 * driver under them is one that does nothing, and weights are not read.
 *
 * A line an operator: stage, operator, how it is computed, separated by tabs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cuda/plan.h"
#include "engine/stages.h"
#include "engine/tagger_net.h"
#include "no_device.h"

#include <gio/gio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- A model without numbers ------------------------------------------------------ */

static GBytes *
read_header (const char *path)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GConverter) unzip = G_CONVERTER (g_zlib_decompressor_new
      (G_ZLIB_COMPRESSOR_FORMAT_GZIP));
  g_autoptr (GOutputStream) out = g_memory_output_stream_new_resizable ();
  g_autoptr (GFileInputStream) in = NULL;
  g_autoptr (GInputStream) text = NULL;
  GError *error = NULL;

  in = g_file_read (file, NULL, &error);
  g_assert_no_error (error);
  text = g_converter_input_stream_new (G_INPUT_STREAM (in), unzip);
  g_output_stream_splice (out, text, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL,
      &error);
  g_assert_no_error (error);
  return g_memory_output_stream_steal_as_bytes (G_MEMORY_OUTPUT_STREAM (out));
}

/* Where the last tensor ends. */
static guint64
get_data_size (const char *header, gsize size)
{
  const char *last = g_strrstr_len (header, size, "\"data_offsets\": [");

  g_assert_nonnull (last);
  return g_ascii_strtoull (strchr (last, ',') + 1, NULL, 10);
}

/* A sparse file: the header, and a hole as long as the data. */
static char *
write_model (const char *header_path)
{
  g_autoptr (GBytes) header = read_header (header_path);
  gsize size;
  const char *text = g_bytes_get_data (header, &size);
  guint64 length = GUINT64_TO_LE (size);
  char *path;
  int file = g_file_open_tmp ("sd21-XXXXXX.safetensors", &path, NULL);

  g_assert_cmpint (file, >=, 0);
  g_assert_cmpint (write (file, &length, sizeof length), ==, sizeof length);
  g_assert_cmpint (write (file, text, size), ==, (gssize) size);
  g_assert_cmpint (ftruncate (file, sizeof length + size
          + get_data_size (text, size)), ==, 0);
  close (file);
  return path;
}

static DloralDtype
get_act_dtype (DloralDevice *device)
{
  return device->act_dtype;
}

static const DloralBackend backend = { "cuda",.get_act_dtype = get_act_dtype };

static void
open_model (DloralModel *model, const char *header_path, DloralDevice *device)
{
  g_autofree char *path = write_model (header_path);
  GError *error = NULL;

  memset (model, 0, sizeof *model);
  model->file = dloral_safetensors_open (path, &error);
  g_assert_no_error (error);
  unlink (path);
  dloral_config_read (&model->config, model->file, &error);
  g_assert_no_error (error);
  model->tokens = 77;
  model->backend = &backend;
  model->device = device;
}

/* --- The table -------------------------------------------------------------------- */

static char *
describe (const DloralOp *op)
{
  GString *text = g_string_new (dloral_op_kind_get_name (op->kind));

  if (op->kind == DLORAL_OP_CONV)
    g_string_append_printf (text, " %dx%d/%d%s", op->weight->kh,
        op->weight->kw, op->u.conv.stride, op->u.conv.enlarge ? " of ×2" : "");
  for (int i = 0; i < op->n_src; i++)
    g_string_append_printf (text, "%s%dx%dx%d %s", i ? ", " : " ",
        op->src[i]->h, op->src[i]->w, op->src[i]->c,
        op->src[i]->dtype == DLORAL_F32 ? "f32" : "bf16");
  g_string_append_printf (text, " → %d %s", op->dst->c,
      op->dst->dtype == DLORAL_F32 ? "f32" : "bf16");
  return g_string_free (text, FALSE);
}

/* Prints what cuDNN computes, or we in its place, each kind of operator once. */
static void
compile (DloralDevice *device, const DloralGraph *graph, const char *stage,
    GHashTable *seen)
{
  GError *error = NULL;
  DloralPlan *plan = dloral_cuda_compile (device, graph, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < graph->ops->len; i++) {
    const DloralOp *op = graph->ops->pdata[i];
    char *text;

    if (op->kind > DLORAL_OP_LINEAR && op->kind != DLORAL_OP_ATTENTION)
      continue;
    text = describe (op);
    if (g_hash_table_add (seen, text))
      printf ("%s\t%s\t%s\n", stage, text,
          dloral_cuda_plan_describe (plan, i));
  }
  dloral_cuda_plan_free (plan);
}

/* The same of a stage's graph, which is taken. */
static void
compile_stage (DloralDevice *device, DloralGraph *graph, const char *stage,
    GHashTable *seen)
{
  compile (device, graph, stage, seen);
  dloral_graph_free (graph);
}

static void
compile_stages (DloralModel *model, DloralStreamParams *params,
    GHashTable *seen)
{
  const double strengths[] = { 1, 1 };
  DloralDevice *device = model->device;
  DloralGeometry geo;
  GError *error = NULL;

  params->width /= model->config.scale;
  params->height /= model->config.scale;
  dloral_geometry_init (&geo, &model->config, params);
  compile_stage (device, dloral_encode_graph (model, &geo, NULL, &error),
      "encode", seen);
  compile_stage (device, dloral_restore_graph (model, &geo, strengths, 1, NULL,
          &error), "restore", seen);
  compile_stage (device, dloral_decode_graph (model, &geo, FALSE, NULL, &error),
      "decode", seen);
  geo.vae = DLORAL_VAE_TINY;
  compile_stage (device, dloral_encode_graph (model, &geo, NULL, &error),
      "tiny encode", seen);
  compile_stage (device, dloral_decode_graph (model, &geo, FALSE, NULL, &error),
      "tiny decode", seen);
  g_assert_no_error (error);
}

static void
compile_tagger (DloralModel *model, GHashTable *seen)
{
  GError *error = NULL;
  DloralTaggerNet *net = dloral_tagger_net_new (model, model->file,
      &model->config.tagger, NULL, &error);
  const DloralGraph *graph;

  g_assert_no_error (error);
  for (guint i = 0; (graph = dloral_tagger_net_get_graph (net, i)); i++)
    compile (model->device, graph, "tagger", seen);
  dloral_tagger_net_free (net);
}

int
main (int argc, char **argv)
{
  DloralStreamParams params = { DLORAL_STREAM_DEFAULTS };
  gboolean tagger = argc == 5 && g_str_equal (argv[4], "tagger");
  GHashTable *seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
      NULL);
  DloralDevice *device;
  DloralModel model;

  if (argc != 5 || (!tagger && sscanf (argv[4], "%dx%d", &params.width,
              &params.height) != 2)) {
    fprintf (stderr, "plans HEADER DEVICE.json CACHE WIDTHxHEIGHT|tagger\n");
    return 2;
  }
  device = no_device_new (argv[2], argv[3]);
  open_model (&model, argv[1], device);
  if (tagger)
    compile_tagger (&model, seen);
  else
    compile_stages (&model, &params, seen);
  g_hash_table_unref (seen);
  return 0;
}
