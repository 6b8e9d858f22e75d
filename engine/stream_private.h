/* Inside of a stream, for the files that make it: stream.c is the ring of frames
 * that callers see, stream_frame.c what is done to one frame, stream_build.c
 * memory and plans, stream_video.c the same for frames in the caller's format,
 * stream_repeat.c tells when one is the frame before.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "restorer.h"
#include "scene.h"
#include "stream.h"

G_BEGIN_DECLS

/* What is done to a frame, in this order, each in a queue. */
typedef enum
{
  UPLOAD, ENCODE, RESTORE, DECODE, DOWNLOAD,
  N_STEPS,
  /* Queues of those who put rows of frames in and take them out. */
  PUT = N_STEPS, TAKE,
  N_QUEUES
} DloralStep;

/* A frame on its way in and out. Memory of the device is the host's own where
 * there is no other, and pictures are frames where that is their format. */
typedef struct
{
  gpointer host_in, host_out;   /* frames as the caller has them; behind the second
                                 * one byte, whether it is finite */
  gpointer in, out;             /* the same on the device */
  gpointer lq, result;          /* pictures on the device: [height][width][3] and,
                                 * on the HR grid, [H][W][3] */
} DloralPictures;

typedef struct _DloralEdges DloralEdges;

typedef struct
{
  DloralFrame frame;            /* first: the caller's view of the slot */
  guint epoch;                  /* of the flush it was submitted under */
  gboolean lq_there;            /* on the device, put there by the caller */
  gboolean in_flight;           /* until waited for */
  DloralEvent *begun[N_STEPS], *done[N_STEPS];
  DloralPictures pictures;      /* owned by the stream's edges */
  gpointer hr, x0;              /* device memory */
  DloralRestorer *retired;      /* the last frame to use it is this one's
                                 * predecessor */
} DloralSlot;

typedef struct
{
  DloralGraph *graph;
  DloralPlan *plan;
} DloralCompiled;

struct _DloralStream
{
  DloralModel *model;
  DloralGeometry geo;
  int async_depth;
  double scene_cut_threshold;

  /* Compiled stages; device memory. Touched by whoever computes. */
  DloralCompiled encode, decode;
  DloralCompiled decode_first;          /* without a past; if the decoder remembers */
  DloralRestorer *restorer;
  DloralEdges *edges;
  GPtrArray *memory;            /* of the device's, for freeing */
  gsize memory_size;
  DloralQueue *queues[N_QUEUES];
  gpointer arenas[N_STEPS];     /* of the stages; one for all where they never
                                 * run beside each other */
  gsize restore_arena_size;
  gpointer flow, aligned, fused, x0;    /* x0: of the frame issued last */
  gpointer *small, *latent;     /* [n_latents] */
  int n_latents;
  int current;                  /* index into small, latent */
  int n_past;                   /* frames of this scene before, in the ring */
  /* What the decoder remembers, one an entry, of the frame before and of this
   * one in turn; owned by `memory`. */
  GPtrArray *remembered[2];
  int remembering;              /* which of them is this frame's */
  gboolean remembers;           /* the other one is the frame's before */
  gboolean have_flow;           /* of the last frame */
  DloralScene scene;

  /* The ring, under the lock. */
  GMutex lock;
  GCond changed;
  DloralSlot *slots;
  int n_slots;
  GQueue idle, submitted, issued;       /* DloralSlot */
  int n_collected;              /* slots, and not released yet */
  guint epoch;
  gboolean forget, flushing;
  gint stopped;                 /* atomic, set under the lock: for good */
  DloralRestorer *next_restorer;        /* NULL: none is waiting */
  GThread *worker;              /* NULL where async_depth is 0 */
};

void dloral_compiled_clear (DloralCompiled * stage,
    const DloralBackend * backend);

/* Bytes of a picture on the HR grid. */
gsize dloral_stream_get_hr_size (const DloralStream * s);

/* Everything that depends on the frame's size, in tiles that fit; or none of it,
 * and FALSE. */
gboolean dloral_stream_build (DloralStream * s,
    const DloralStreamParams * params, GError ** error);
void dloral_stream_clear (DloralStream * s);

/* Memory and plans for frames of these formats, NULL: pictures, in place of what
 * there was. Slots must not be in use. FALSE, and all as it was, on failure. */
gboolean dloral_stream_set_edges (DloralStream * s,
    const DloralVideoFormat * in, const DloralVideoFormat * out,
    GError ** error);
void dloral_edges_free (DloralEdges * edges);

/* The format frames come in. Owned by the edges. */
const DloralVideoFormat *dloral_edges_get_in (const DloralEdges * edges);

/* Bytes of device memory. */
gsize dloral_edges_get_memory (const DloralEdges * edges);

/* The first and the last step, given to their queues. */
gboolean dloral_stream_upload (DloralStream * s, DloralSlot * slot,
    GError ** error);
gboolean dloral_stream_download (DloralStream * s, DloralSlot * slot,
    GError ** error);

/* Of an outgoing frame, on the host or the device: the byte that tells whether
 * it is finite. */
guint8 *dloral_stream_get_finite (const DloralStream * s, gpointer frame);

/* Gives the frame's steps to their queues. forget: it has no past. One thread at
 * a time, without the lock. */
void dloral_stream_issue (DloralStream * s, DloralSlot * slot,
    gboolean forget);

/* Waits for an issued frame and fills in what is known only then. Without the
 * lock. */
void dloral_stream_settle (DloralStream * s, DloralSlot * slot);

/* Returns when nothing of the slot is in use any more. */
void dloral_slot_wait (DloralStream * s, DloralSlot * slot, GError ** error);

G_END_DECLS
