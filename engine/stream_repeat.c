/* Whether a frame is the one before, sample for sample. Bytes that belong to no
 * sample do not count.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "stream_private.h"

#include <string.h>

/* Rows are compared as they lie: other components' samples between this one's do
 * no harm. */
static gboolean
is_same_component (const DloralVideoFormat *format, int i, const guint8 *a,
    const guint8 *b)
{
  const DloralVideoComponent *c = &format->components[i];
  gboolean chroma = format->kind == DLORAL_VIDEO_YUV && i > 0;
  int width = dloral_video_get_chroma (format->width,
      chroma ? format->w_sub : 0);
  int height = dloral_video_get_chroma (format->height,
      chroma ? format->h_sub : 0);
  gsize row = (gsize) (width - 1) * c->step + (format->depth > 8 ? 2 : 1);

  a += c->offset;
  b += c->offset;
  for (int y = 0; y < height; y++)
    if (memcmp (a + (gsize) y * c->stride, b + (gsize) y * c->stride, row) != 0)
      return FALSE;
  return TRUE;
}

/* The host has a copy of what is on the device only where it looks for scene
 * cuts. */
static gboolean
bring_to_host (DloralStream *s, DloralSlot *slot)
{
  const DloralBackend *backend = s->model->backend;
  const DloralPictures *p = &slot->pictures;

  return !slot->lq_there || s->scene_cut_threshold > 0
      || (backend->download (s->queues[PUT], p->host_in, p->in,
          dloral_edges_get_in (s->edges)->size, NULL)
      && backend->queue_finish (s->queues[PUT], NULL));
}

gboolean
dloral_stream_is_repeat (DloralStream *s, DloralFrame *frame,
    DloralFrame *last)
{
  const DloralVideoFormat *format = dloral_edges_get_in (s->edges);

  if (frame == last || !bring_to_host (s, (DloralSlot *) frame)
      || !bring_to_host (s, (DloralSlot *) last))
    return FALSE;
  for (int i = 0; i < (format->kind == DLORAL_VIDEO_GREY ? 1 : 3); i++)
    if (!is_same_component (format, i, frame->lq, last->lq))
      return FALSE;
  return TRUE;
}
