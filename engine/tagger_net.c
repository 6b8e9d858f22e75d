/* Pieces, each a graph of one block, and the memory that they hand results on in.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "tagger_net.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "nets/query2label.h"
#include "nets/swin.h"

#define MAX_BINDINGS 4

/* Device memory. What a piece reads is in one of the first two, what it writes in
 * the other. */
enum
{
  MEMORY_EVEN,
  MEMORY_ODD,
  MEMORY_SEEN,                  /* what the labels look at */
  MEMORY_LABELS,
  N_MEMORIES
};

typedef struct
{
  DloralGraph *graph;
  int memories[MAX_BINDINGS];   /* of each binding */
  DloralPlan *plan;             /* NULL: not compiled */
} Piece;

struct _DloralTaggerNet
{
  DloralModel *model;
  const DloralSafetensors *file;
  const DloralTaggerConfig *config;
  char *space;                  /* of the file's weights; NULL: the model's own */
  GArray *pieces;               /* Piece: blocks, projection, layers */
  gsize sizes[N_MEMORIES];

  /* NULL between runs, unless all is kept: */
  DloralQueue *queue;
  gpointer memories[N_MEMORIES];
  gpointer arena;
  gsize arena_size;
};

/* --- Pieces ------------------------------------------------------------------ */

static DloralBuilder *
builder_new (DloralTaggerNet *net, const gint *cancelled)
{
  DloralModel *m = net->model;
  DloralGraph *g = dloral_graph_new ("tag",
      m->backend->get_act_dtype (m->device));
  DloralBuilder *b = dloral_builder_new (g, net->file, NULL);

  g->cancelled = cancelled;
  b->space = net->space;
  return b;
}

/* Takes the builder and lists what it has built. */
static gboolean
add_piece (DloralTaggerNet *net, DloralBuilder *b, const int *memories,
    GError **error)
{
  Piece piece = {.graph = dloral_builder_finish_graph (b, error) };

  if (piece.graph == NULL)
    return FALSE;
  piece.graph->cancelled = NULL;
  for (int i = 0; i < piece.graph->n_bindings; i++) {
    gsize size = dloral_tensor_get_size (dloral_graph_get_bound (piece.graph,
            i));

    piece.memories[i] = memories[i];
    net->sizes[memories[i]] = MAX (net->sizes[memories[i]], size);
  }
  g_array_append_val (net->pieces, piece);
  return TRUE;
}

static gboolean
add_block (DloralTaggerNet *net, int i, const gint *cancelled, GError **error)
{
  DloralBuilder *b = builder_new (net, cancelled);
  DloralTensor *x = dloral_swin_bind (b->g, net->config, i);
  DloralTensor *y = dloral_swin_bind (b->g, net->config, i + 1);

  dloral_swin_block (b, net->config, i, x, y);
  return add_piece (net, b, i % 2 ? (int[]) { MEMORY_ODD, MEMORY_EVEN } :
      (int[]) { MEMORY_EVEN, MEMORY_ODD }, error);
}

/* Of the last stage. */
static int
count_tokens (const DloralTaggerConfig *config)
{
  int grid = dloral_tagger_config_get_grid (config, config->stages - 1);

  return grid * grid;
}

static gboolean
add_projection (DloralTaggerNet *net, const gint *cancelled, GError **error)
{
  const DloralTaggerConfig *c = net->config;
  DloralBuilder *b = builder_new (net, cancelled);
  int n = count_tokens (c) + 1;
  DloralDtype act = b->g->act_dtype;
  DloralTensor *tokens = dloral_graph_bind (b->g, n, 1,
      c->embed_dim << (c->stages - 1), DLORAL_F32);
  DloralTensor *labels = dloral_graph_bind (b->g, c->tags, 1,
      c->projection_dim, DLORAL_F32);
  DloralTensor *seen = dloral_graph_bind (b->g, n, 1, c->projection_dim, act);
  DloralTensor *queries = dloral_graph_bind (b->g, c->tags, 1, c->hidden_size,
      act);

  dloral_query2label_project (b, c, tokens, labels, seen, queries);
  return add_piece (net, b, (int[]) { MEMORY_EVEN, MEMORY_LABELS, MEMORY_SEEN,
          MEMORY_ODD }, error);
}

static gboolean
add_layer (DloralTaggerNet *net, int i, const gint *cancelled, GError **error)
{
  const DloralTaggerConfig *c = net->config;
  DloralBuilder *b = builder_new (net, cancelled);
  gboolean last = i == c->num_hidden_layers - 1;
  DloralDtype act = b->g->act_dtype;
  DloralTensor *seen = dloral_graph_bind (b->g, count_tokens (c) + 1, 1,
      c->projection_dim, act);
  DloralTensor *x = dloral_graph_bind (b->g, c->tags, 1, c->hidden_size, act);
  DloralTensor *y = dloral_graph_bind (b->g, c->tags, 1,
      last ? 1 : c->hidden_size, last ? DLORAL_F32 : act);

  dloral_query2label_layer (b, c, i, seen, x, y);
  return add_piece (net, b, i % 2 ?
      (int[]) { MEMORY_SEEN, MEMORY_EVEN, MEMORY_ODD } :
      (int[]) { MEMORY_SEEN, MEMORY_ODD, MEMORY_EVEN }, error);
}

static gboolean
add_pieces (DloralTaggerNet *net, const gint *cancelled, GError **error)
{
  for (int i = 0; i < dloral_swin_count_blocks (net->config); i++)
    if (!add_block (net, i, cancelled, error))
      return FALSE;
  if (!add_projection (net, cancelled, error))
    return FALSE;
  for (int i = 0; i < net->config->num_hidden_layers; i++)
    if (!add_layer (net, i, cancelled, error))
      return FALSE;
  return dloral_safetensors_require (net->file, "tagger.label_embed", 2,
      (gint64[]) { net->config->tags, net->config->projection_dim }, error)
      != NULL;
}

/* --- Running ------------------------------------------------------------------ */

static void
free_memory (DloralTaggerNet *net, gpointer *memory)
{
  if (*memory)
    net->model->backend->free (net->model->device, *memory);
  *memory = NULL;
}

/* Gives back all that a run has made. */
static void
release (DloralTaggerNet *net)
{
  const DloralBackend *backend = net->model->backend;

  /* Waits for what runs. */
  g_clear_pointer (&net->queue, backend->queue_free);
  for (guint i = 0; i < net->pieces->len; i++)
    g_clear_pointer (&g_array_index (net->pieces, Piece, i).plan,
        backend->plan_free);
  for (int i = 0; i < N_MEMORIES; i++)
    free_memory (net, &net->memories[i]);
  free_memory (net, &net->arena);
  net->arena_size = 0;
#ifdef __GLIBC__
  malloc_trim (0);              /* else a hundred megabytes stay in its heap */
#endif
}

static gboolean
allocate (DloralTaggerNet *net, GError **error)
{
  const DloralBackend *backend = net->model->backend;

  if (net->queue)
    return TRUE;
  for (int i = 0; i < N_MEMORIES; i++) {
    net->memories[i] = backend->alloc (net->model->device, net->sizes[i],
        error);
    if (net->memories[i] == NULL)
      return FALSE;
  }
  net->queue = backend->queue_new (net->model->device, FALSE, error);
  return net->queue != NULL;
}

/* Nothing runs. */
static gboolean
allocate_arena (DloralTaggerNet *net, const DloralPlan *plan, GError **error)
{
  const DloralBackend *backend = net->model->backend;
  gsize size = MAX (backend->plan_get_arena_size (plan), DLORAL_ALIGN);

  if (size <= net->arena_size)
    return TRUE;
  free_memory (net, &net->arena);
  net->arena = backend->alloc (net->model->device, size, error);
  net->arena_size = net->arena ? size : 0;
  return net->arena != NULL;
}

static gboolean
compile (DloralTaggerNet *net, Piece *piece, const gint *cancelled,
    GError **error)
{
  if (piece->plan)
    return TRUE;
  piece->graph->cancelled = cancelled;
  piece->plan = net->model->backend->compile (net->model->device,
      piece->graph, error);
  piece->graph->cancelled = NULL;
  return piece->plan && allocate_arena (net, piece->plan, error);
}

static gboolean
run_piece (DloralTaggerNet *net, Piece *piece, gboolean keep,
    const gint *cancelled, GError **error)
{
  const DloralBackend *backend = net->model->backend;
  gpointer bindings[MAX_BINDINGS];

  for (int i = 0; i < piece->graph->n_bindings; i++)
    bindings[i] = net->memories[piece->memories[i]];
  if (!dloral_check_cancelled (cancelled, error)
      || !compile (net, piece, cancelled, error)
      || !backend->run (piece->plan, net->queue, net->arena, bindings, error)
      || !backend->queue_finish (net->queue, error))
    return FALSE;
  if (!keep)
    g_clear_pointer (&piece->plan, backend->plan_free);
  return TRUE;
}

static gboolean
run_pieces (DloralTaggerNet *net, guint first, guint end, gboolean keep,
    const gint *cancelled, GError **error)
{
  for (guint i = first; i < end; i++)
    if (!run_piece (net, &g_array_index (net->pieces, Piece, i), keep,
            cancelled, error))
      return FALSE;
  return TRUE;
}

/* tokens [1 + n][c]: the first becomes the others' mean. */
static void
put_mean (float *tokens, int n, int c)
{
  for (int k = 0; k < c; k++) {
    double sum = 0;

    for (int i = 1; i <= n; i++)
      sum += tokens[(gsize) i * c + k];
    tokens[k] = sum / n;
  }
}

/* From the blocks' result to what the projection takes. */
static gboolean
hand_over (DloralTaggerNet *net, guint n_blocks, GError **error)
{
  const DloralBackend *backend = net->model->backend;
  const DloralTaggerConfig *config = net->config;
  int n = count_tokens (config), c = config->embed_dim << (config->stages - 1);
  gsize n_labels = (gsize) config->tags * config->projection_dim;
  g_autofree float *tokens = g_new (float, (gsize) (n + 1) * c);
  g_autofree float *labels = g_new (float, n_labels);

  dloral_entry_read_f32 (dloral_safetensors_find (net->file,
          "tagger.label_embed"), 0, n_labels, labels);
  if (!backend->download (net->queue, tokens + c,
          net->memories[n_blocks % 2 ? MEMORY_ODD : MEMORY_EVEN],
          (gsize) n * c * sizeof *tokens, error)
      || !backend->queue_finish (net->queue, error))
    return FALSE;
  put_mean (tokens, n, c);
  return backend->upload (net->queue, net->memories[MEMORY_EVEN], tokens,
      (gsize) (n + 1) * c * sizeof *tokens, error)
      && backend->upload (net->queue, net->memories[MEMORY_LABELS], labels,
      n_labels * sizeof *labels, error)
      && backend->queue_finish (net->queue, error);
}

static gboolean
compute (DloralTaggerNet *net, const float *input, gboolean keep,
    float *logits, const gint *cancelled, GError **error)
{
  const DloralBackend *backend = net->model->backend;
  const DloralTaggerConfig *config = net->config;
  guint blocks = dloral_swin_count_blocks (config), n = net->pieces->len;
  gsize size = (gsize) 3 * config->image_size * config->image_size;

  return allocate (net, error)
      && backend->upload (net->queue, net->memories[MEMORY_EVEN], input,
      size * sizeof *input, error)
      && run_pieces (net, 0, blocks, keep, cancelled, error)
      && hand_over (net, blocks, error)
      && run_pieces (net, blocks, n, keep, cancelled, error)
      && backend->download (net->queue, logits,
      net->memories[config->num_hidden_layers % 2 ? MEMORY_EVEN : MEMORY_ODD],
      config->tags * sizeof *logits, error)
      && backend->queue_finish (net->queue, error);
}

gboolean
dloral_tagger_net_run (DloralTaggerNet *net, const float *input, gboolean keep,
    float *logits, const gint *cancelled, GError **error)
{
  gboolean ok = compute (net, input, keep, logits, cancelled, error);

  if (!ok || !keep)
    release (net);
  return ok;
}

/* --- The whole ------------------------------------------------------------------ */

DloralTaggerNet *
dloral_tagger_net_new (DloralModel *model, const DloralSafetensors *file,
    const DloralTaggerConfig *config, const gint *cancelled, GError **error)
{
  DloralTaggerNet *net = g_new0 (DloralTaggerNet, 1);

  net->model = model;
  net->file = file;
  net->config = config;
  if (file != model->file)
    net->space = g_strdup_printf ("%p:", (void *) file);
  net->pieces = g_array_new (FALSE, FALSE, sizeof (Piece));
  if (!add_pieces (net, cancelled, error)) {
    dloral_tagger_net_free (net);
    return NULL;
  }
  return net;
}

const DloralGraph *
dloral_tagger_net_get_graph (const DloralTaggerNet *net, guint i)
{
  return i < net->pieces->len ? g_array_index (net->pieces, Piece, i).graph
      : NULL;
}

void
dloral_tagger_net_free (DloralTaggerNet *net)
{
  release (net);
  for (guint i = 0; i < net->pieces->len; i++)
    dloral_graph_free (g_array_index (net->pieces, Piece, i).graph);
  g_array_unref (net->pieces);
  g_free (net->space);
  g_free (net);
}
