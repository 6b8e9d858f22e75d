/* The edges of a stream: memory for frames as the caller has them and as the
 * networks see them, and plans for the way between.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stream_private.h"

/* What every slot has of pictures, and what converts them. */
struct _DloralEdges
{
  const DloralModel *model;
  DloralVideoFormat in, out;
  DloralCompiled unpack, pack;  /* no plan where the format is a picture's own */
  gpointer arenas[2];           /* theirs */
  DloralPictures *pictures;     /* [n_slots] */
  GPtrArray *memory, *host_memory;      /* of the device's, for freeing */
  gsize memory_size;
};

/* --- Memory ------------------------------------------------------------------ */

static gpointer
allocate (DloralEdges *e, gsize size, GError **error)
{
  gpointer p = e->model->backend->alloc (e->model->device, size, error);

  if (p) {
    g_ptr_array_add (e->memory, p);
    e->memory_size += size;
  }
  return p;
}

static gpointer
allocate_host (DloralEdges *e, gsize size, GError **error)
{
  gpointer p = e->model->backend->alloc_host (e->model->device, size, error);

  if (p)
    g_ptr_array_add (e->host_memory, p);
  return p;
}

/* Of the device. Where frames are never in flight together, one serves all. */
static gpointer
allocate_picture (DloralEdges *e, gpointer first, gsize size, GError **error)
{
  return first && !e->model->backend->discrete ? first :
      allocate (e, size, error);
}

static gboolean
allocate_pictures (DloralEdges *e, const DloralStream *s, DloralPictures *p,
    GError **error)
{
  gboolean discrete = e->model->backend->discrete;
  const DloralPictures *first = e->pictures;
  gsize lq_size = (gsize) 3 * s->geo.width * s->geo.height
      * dloral_dtype_size (s->geo.picture_dtype);

  p->host_in = allocate_host (e, e->in.size, error);
  p->host_out = p->host_in ? allocate_host (e, e->out.size + 1, error) : NULL;
  if (p->host_out == NULL)
    return FALSE;
  p->in = discrete ? allocate (e, e->in.size, error) : p->host_in;
  p->out = discrete && p->in ? allocate (e, e->out.size + 1, error) :
      p->host_out;
  if (p->in == NULL || p->out == NULL)
    return FALSE;
  p->lq = e->unpack.plan ? allocate_picture (e, first->lq, lq_size, error) :
      p->in;
  p->result = !e->pack.plan || !p->lq ? p->out :
      allocate_picture (e, first->result, dloral_stream_get_hr_size (s), error);
  return p->lq && p->result;
}

/* --- Plans ------------------------------------------------------------------- */

/* Large frames have more bytes than an int can count. */
static DloralTensor *
bind_frame (DloralGraph *g, gsize size)
{
  int c = size % 4 == 0 ? 4 : 1;

  return dloral_graph_bind (g, 1, size / c, c, DLORAL_U8);
}

static DloralGraph *
unpack_graph (const DloralVideoFormat *format)
{
  DloralGraph *g = dloral_graph_new ("unpack", DLORAL_F32);
  DloralTensor *frame = bind_frame (g, format->size);
  DloralTensor *lq = dloral_graph_bind (g, format->height, format->width, 3,
      format->deep ? DLORAL_U16 : DLORAL_U8);

  dloral_graph_append (g, &(DloralOp) {
      .kind = DLORAL_OP_UNPACK, .n_src = 1, .src = { frame }, .dst = lq,
      .u.video = { *format } });
  dloral_graph_plan (g);
  return g;
}

static DloralGraph *
pack_graph (const DloralVideoFormat *format, const DloralGeometry *geo)
{
  DloralGraph *g = dloral_graph_new ("pack", DLORAL_F32);
  DloralTensor *hr = dloral_graph_bind (g, geo->hr_height, geo->hr_width, 3,
      geo->picture_dtype);
  DloralTensor *frame = bind_frame (g, format->size);

  dloral_graph_append (g, &(DloralOp) {
      .kind = DLORAL_OP_PACK, .n_src = 1, .src = { hr }, .dst = frame,
      .u.video = { *format } });
  dloral_graph_plan (g);
  return g;
}

static gboolean
compile (DloralEdges *e, DloralCompiled *stage, gpointer *arena,
    DloralGraph *graph, GError **error)
{
  const DloralBackend *backend = e->model->backend;

  stage->graph = graph;
  stage->plan = backend->compile (e->model->device, graph, error);
  if (stage->plan)
    *arena = allocate (e, MAX (backend->plan_get_arena_size (stage->plan),
            DLORAL_ALIGN), error);
  return *arena != NULL;
}

/* --- The whole --------------------------------------------------------------- */

void
dloral_edges_free (DloralEdges *e)
{
  const DloralBackend *backend;

  if (e == NULL)
    return;
  backend = e->model->backend;
  dloral_compiled_clear (&e->unpack, backend);
  dloral_compiled_clear (&e->pack, backend);
  for (guint i = 0; i < e->memory->len; i++)
    backend->free (e->model->device, e->memory->pdata[i]);
  for (guint i = 0; i < e->host_memory->len; i++)
    backend->free_host (e->model->device, e->host_memory->pdata[i]);
  g_ptr_array_unref (e->memory);
  g_ptr_array_unref (e->host_memory);
  g_free (e->pictures);
  g_free (e);
}

static gboolean
check_format (const DloralStream *s, const DloralVideoFormat *format,
    int scale, GError **error)
{
  int width = s->geo.width * scale, height = s->geo.height * scale;
  int bits = 8 * dloral_dtype_size (s->geo.picture_dtype);

  if (format == NULL)
    return TRUE;
  if (format->width != width || format->height != height)
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
        "A format of %d×%d does not fit frames of %d×%d.", format->width,
        format->height, width, height);
  else if (format->deep != (bits == 16) || format->depth > bits)
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
        "A format of %d bits by way of pictures of %d does not fit pictures of "
        "%d.", format->depth, format->deep ? 16 : 8, bits);
  else
    return TRUE;
  return FALSE;
}

static gboolean
build (DloralEdges *e, const DloralStream *s, const DloralVideoFormat *in,
    const DloralVideoFormat *out, GError **error)
{
  if ((in && !compile (e, &e->unpack, &e->arenas[0], unpack_graph (in), error))
      || (out && !compile (e, &e->pack, &e->arenas[1],
              pack_graph (out, &s->geo), error)))
    return FALSE;
  for (int i = 0; i < s->n_slots; i++)
    if (!allocate_pictures (e, s, &e->pictures[i], error))
      return FALSE;
  return TRUE;
}

static DloralEdges *
edges_new (const DloralStream *s, const DloralVideoFormat *in,
    const DloralVideoFormat *out, GError **error)
{
  gboolean deep = s->geo.picture_dtype == DLORAL_U16;
  DloralEdges *e;

  if (!check_format (s, in, 1, error)
      || !check_format (s, out, s->model->config.scale, error))
    return NULL;
  e = g_new0 (DloralEdges, 1);
  e->model = s->model;
  dloral_video_format_init_rgb (&e->in, s->geo.width, s->geo.height, deep);
  dloral_video_format_init_rgb (&e->out, s->geo.hr_width, s->geo.hr_height,
      deep);
  e->in = in ? *in : e->in;
  e->out = out ? *out : e->out;
  e->memory = g_ptr_array_new ();
  e->host_memory = g_ptr_array_new ();
  e->pictures = g_new0 (DloralPictures, s->n_slots);
  if (build (e, s, in, out, error))
    return e;
  dloral_edges_free (e);
  return NULL;
}

/* --- Streams ------------------------------------------------------------------ */

static void
set_edges (DloralStream *s, DloralEdges *e)
{
  dloral_edges_free (s->edges);
  s->edges = e;
  s->arenas[UPLOAD] = e->arenas[0];
  s->arenas[DOWNLOAD] = e->arenas[1];
  for (int i = 0; i < s->n_slots; i++) {
    DloralSlot *slot = &s->slots[i];

    slot->pictures = e->pictures[i];
    slot->frame.lq = slot->pictures.host_in;
    slot->frame.lq_stride = e->in.components[0].stride;
    slot->frame.hr = slot->pictures.host_out;
    slot->frame.hr_stride = e->out.components[0].stride;
  }
  dloral_scene_clear (&s->scene);
  dloral_scene_init (&s->scene, &e->in);
}

gboolean
dloral_stream_set_edges (DloralStream *s, const DloralVideoFormat *in,
    const DloralVideoFormat *out, GError **error)
{
  DloralEdges *e = edges_new (s, in, out, error);

  if (e)
    set_edges (s, e);
  return e != NULL;
}

const DloralVideoFormat *
dloral_edges_get_in (const DloralEdges *e)
{
  return &e->in;
}

gsize
dloral_edges_get_memory (const DloralEdges *e)
{
  return e->memory_size;
}

gboolean
dloral_stream_upload (DloralStream *s, DloralSlot *slot, GError **error)
{
  const DloralBackend *backend = s->model->backend;
  const DloralEdges *e = s->edges;
  const DloralPictures *p = &slot->pictures;
  gpointer bindings[] = { p->in, p->lq };

  return (slot->lq_there || p->in == p->host_in
      || backend->upload (s->queues[UPLOAD], p->in, p->host_in, e->in.size,
          error))
      && (e->unpack.plan == NULL || backend->run (e->unpack.plan,
          s->queues[UPLOAD], s->arenas[UPLOAD], bindings, error));
}

gboolean
dloral_stream_download (DloralStream *s, DloralSlot *slot, GError **error)
{
  const DloralBackend *backend = s->model->backend;
  const DloralEdges *e = s->edges;
  const DloralPictures *p = &slot->pictures;
  gpointer bindings[] = { p->result, p->out };

  return (e->pack.plan == NULL || backend->run (e->pack.plan,
          s->queues[DOWNLOAD], s->arenas[DOWNLOAD], bindings, error))
      && (p->out == p->host_out || slot->frame.hr_stays
      || backend->download (s->queues[DOWNLOAD], p->host_out, p->out,
          e->out.size, error))
      && (p->out == p->host_out || backend->download (s->queues[DOWNLOAD],
          dloral_stream_get_finite (s, p->host_out),
          dloral_stream_get_finite (s, p->out), 1, error));
}

/* Behind the frame, where nothing else writes. */
guint8 *
dloral_stream_get_finite (const DloralStream *s, gpointer frame)
{
  return (guint8 *) frame + s->edges->out.size;
}

/* --- Memory of others --------------------------------------------------------- */

static gboolean
copy_rows (DloralStream *s, DloralStep queue, gpointer frame,
    const DloralVideoRows *rows, int n, GError **error)
{
  const DloralBackend *backend = s->model->backend;

  if (backend->copy_rows == NULL) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT,
        "The device \"%s\" has no memory that others could share.",
        backend->name);
    return FALSE;
  }
  for (int i = 0; i < n; i++)
    if (!backend->copy_rows (s->queues[queue], frame, &rows[i], queue == PUT,
            error))
      return FALSE;
  return TRUE;
}

/* Also after a failure: what was begun must not go on. */
static gboolean
finish (DloralStream *s, DloralStep queue, gboolean ok, GError **error)
{
  return s->model->backend->queue_finish (s->queues[queue],
      ok ? error : NULL) && ok;
}

/* The host sees a copy where it looks for scene cuts. */
gboolean
dloral_stream_put_rows (DloralStream *s, DloralFrame *frame,
    const DloralVideoRows *rows, int n, GError **error)
{
  DloralSlot *slot = (DloralSlot *) frame;
  const DloralPictures *p = &slot->pictures;
  gboolean ok = copy_rows (s, PUT, p->in, rows, n, error)
      && (s->scene_cut_threshold <= 0
      || s->model->backend->download (s->queues[PUT], p->host_in, p->in,
          s->edges->in.size, error));

  slot->lq_there = finish (s, PUT, ok, error);
  return slot->lq_there;
}

gboolean
dloral_stream_take_rows (DloralStream *s, DloralFrame *frame,
    const DloralVideoRows *rows, int n, GError **error)
{
  DloralSlot *slot = (DloralSlot *) frame;

  return finish (s, TAKE, copy_rows (s, TAKE, slot->pictures.out, rows, n,
          error), error);
}
