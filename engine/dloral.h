/* The engine as the element sees it: open a model, make a stream of one frame
 * size, hand in LQ frames, take out HR frames in the same order.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "config.h"
#include "video.h"

G_BEGIN_DECLS

typedef struct _DloralModel DloralModel;
typedef struct _DloralStream DloralStream;

typedef enum
{
  DLORAL_DEVICE_AUTO,
  DLORAL_DEVICE_CPU,
  DLORAL_DEVICE_CUDA,
} DloralDeviceKind;

/* --- Model: weights, immutable, shared ---------------------------------- */

typedef struct
{
  const char *path;
  DloralDeviceKind device;
  DloralPrecision precision;
  int threads;                  /* CPU; 0: all cores */
  int cuda_device_id;           /* -1: the first */
  gboolean tune;                /* time implementations once, keep the fastest */
  const gint *cancelled;        /* as in DloralStreamParams */
} DloralModelParams;

/* Opens a model, or takes another reference to the one this process already
 * has open with equal parameters, but for `cancelled`. Reads the header and checks
 * every tensor the networks need: slow for large files, so not for a streaming
 * thread. Any thread. NULL and `error` on failure. */
DloralModel *dloral_model_open (const DloralModelParams * params,
    GError ** error);
DloralModel *dloral_model_ref (DloralModel * model);
void dloral_model_unref (DloralModel * model);

/* Whether the file has this coder, whole. FALSE and `error` if not. */
gboolean dloral_model_check_vae (const DloralModel * model, DloralVae vae,
    GError ** error);

/* Whether the file has a text encoder and a tokenizer to read a prompt with. */
gboolean dloral_model_has_text_encoder (const DloralModel * model);

/* Owned by the model. */
const DloralConfig *dloral_model_get_config (const DloralModel * model);
/* "cpu"; and the type it computes in ("f32", "bf16", "f16", "fp8"). Static
 * strings. */
const char *dloral_model_get_device_name (const DloralModel * model);
const char *dloral_model_get_precision_name (const DloralModel * model);

/* With DLORAL_DEVICE_AUTO: why a better device than this is not used; else, with
 * DLORAL_PRECISION_FP8: that this one has none. A sentence; NULL if there is
 * nothing to say. Owned by the model. */
const char *dloral_model_get_device_note (const DloralModel * model);

/* --- Tagger: what is to be seen ------------------------------------------ */

typedef struct _DloralTagger DloralTagger;

/* The model file's own tagger (path NULL), or that of a file of its own. Computes on
 * the model's device, which takes a reference. Looks at every tensor's name and
 * shape, so not for a streaming thread. keep: from the first run on, its weights
 * and memory stay. Looks at `cancelled`, as in DloralStreamParams. NULL and `error`
 * on failure. */
DloralTagger *dloral_tagger_new (DloralModel * model, const char *path,
    gboolean keep, const gint * cancelled, GError ** error);
void dloral_tagger_free (DloralTagger * tagger);

/* The tags of a frame, "sky, tree", "" where there are none; to be freed. Takes
 * seconds on a CPU for the published one. One thread at a time, any, also while
 * streams of the model run. NULL and `error` on failure. */
char *dloral_tagger_run (DloralTagger * tagger,
    const DloralVideoFormat * format, const guint8 * frame,
    const gint * cancelled, GError ** error);

/* The prompt as the published pipeline makes it of tags and of the user's own words
 * (NULL: none); to be freed. */
char *dloral_tags_make_prompt (const char *tags, const char *prompt);

/* --- Stream: one video of one size --------------------------------------- */

/* What steers the restoration, and may change from one frame to the next. */
typedef struct
{
  const char *prompt;           /* NULL: the one stored in the model file; any
                                 * other only where that has a text encoder */
  double consistency_strength;  /* of C-LoRA, 0 … 2; 1: as it was trained */
  double detail_strength;       /* of D-LoRA, likewise */
} DloralConditions;

#define DLORAL_MAX_WINDOW 5

typedef struct
{
  int width, height;            /* of the LQ frame, 16 … 8192 each */
  /* Pictures are of 16 bits a sample, as either format needs that has more than
   * 8; else of 8, with which the published code computes. */
  gboolean deep;
  DloralColorFix color_fix;
  /* Frames that may be in flight. 0: dloral_stream_collect () computes in its
   * caller's thread; else a worker of the stream does. */
  int async_depth;
  DloralVae vae;
  /* Frames that the retrieval looks back, 0 … DLORAL_MAX_WINDOW; the paper's
   * choice is 1. */
  int temporal_window;
  /* Side and overlap of the tiles in which a large frame is restored, in
   * latents. 0: as the published code does for models of its kind, smaller when
   * memory is short. */
  int tile_size, tile_overlap;
  /* Mean absolute difference of neighbouring frames, in percent of white and
   * against the difference before it, from which on a frame begins a new
   * scene (as ffmpeg's scdet); 0: never. */
  double scene_cut_threshold;
  DloralConditions conditions;
  /* NULL, or what any thread may set from 0 to something else to have it given up:
   * the call that was given this fails with DLORAL_ERROR_CANCELLED and leaves
   * nothing behind, as soon as the tensor, operator or plan is done that it is at.
   * Read with g_atomic_int_get (), during that call only. */
  const gint *cancelled;
} DloralStreamParams;

/* What is usual, for initialisers. */
#define DLORAL_STREAM_DEFAULTS .temporal_window = 1, \
    .scene_cut_threshold = 15, .conditions = { NULL, 1, 1 }

typedef enum
{
  DLORAL_STAGE_ENCODE,
  DLORAL_STAGE_RESTORE,
  DLORAL_STAGE_DECODE,
  DLORAL_N_STAGES
} DloralStage;

/* One frame in flight: a slot of the stream's ring. The caller fills `lq` and what
 * follows it between acquire and submit, reads the rest between collect and
 * release. */
typedef struct
{
  guint8 *lq;                   /* a frame in the stream's input format */
  gsize lq_stride;              /* of its first component, bytes */
  gboolean discont;             /* no frame before it: forget the past */
  gboolean hr_stays;            /* on the device, for dloral_stream_take_rows ():
                                 * `hr` is not filled */
  gpointer user_data;           /* the caller's own */

  const guint8 *hr;             /* in its output format */
  gsize hr_stride;
  /* The networks' result was not a number: the picture is the LQ frame, merely
   * enlarged, and no past for the next one. */
  gboolean plain;
  gboolean cut;                 /* it began a new scene, by its difference from the
                                 * one before */
  GError *error;                /* this frame's failure, or NULL; owned */
  gint64 stage_ns[DLORAL_N_STAGES];
} DloralFrame;

/* Builds and compiles the graphs of this frame size: may take seconds for large
 * models. Takes a reference to the model. NULL and `error` on failure. */
DloralStream *dloral_stream_new (DloralModel * model,
    const DloralStreamParams * params, GError ** error);

/* How frames come in and go out from now on; `in` has the stream's size, `out` four
 * times that, and both are deep where the stream is. NULL, as is each at first:
 * pictures, RGB of 3 samples a pixel, [height][lq_stride] and
 * [4·height][hr_stride]. Each slot's `lq` and `hr` are others then. Waits for
 * what a flush has left; no frame may be submitted or held by the caller, and no
 * other call be made meanwhile. FALSE and `error` on failure, everything as it
 * was. */
gboolean dloral_stream_set_formats (DloralStream * stream,
    const DloralVideoFormat * in, const DloralVideoFormat * out,
    GError ** error);

/* Steers the restoration anew: builds what that needs, in the calling thread and
 * beside frames being computed, which may take seconds for large models; then
 * some next frame is the first to be computed so, and all that follow. One
 * thread at a time. FALSE and `error` on failure, everything as it was;
 * DLORAL_ERROR_CANCELLED once the stream is stopped. */
gboolean dloral_stream_set_conditions (DloralStream * stream,
    const DloralConditions * conditions, GError ** error);

/* For good: wakes every waiter with NULL, ends a dloral_stream_set_conditions ()
 * before its next tensor or operator, and the frame being computed as flushing does.
 * What is left to do with the stream is to free it. Any thread, any time; waits for
 * nothing. */
void dloral_stream_stop (DloralStream * stream);

/* Stops it and waits for what that has ended; frames in flight are lost. */
void dloral_stream_free (DloralStream * stream);

/* Bytes of device memory the stream holds beside the weights. */
gsize dloral_stream_get_memory (const DloralStream * stream);

/* A free slot; waits for one when all max (1, async_depth) + 1 are in use. NULL
 * when flushing. acquire/submit belong to one thread, collect/release to one
 * thread (the same or another). */
DloralFrame *dloral_stream_acquire (DloralStream * stream);

/* Whether dloral_stream_acquire () would have to wait for the computing: all slots
 * are in use, none of them acquired, and the oldest frame is not finished. FALSE
 * where it would wait for finished frames to be collected or released. The
 * acquiring thread. */
gboolean dloral_stream_is_behind (DloralStream * stream);

/* Whether an acquired and filled frame is, sample for sample, `last`, which must
 * be the one submitted last. FALSE also when that cannot be told. */
gboolean dloral_stream_is_repeat (DloralStream * stream,
    DloralFrame * frame, DloralFrame * last);

/* Instead of filling an acquired frame's `lq`, and of reading the `hr` of a
 * collected one that was submitted with `hr_stays`: copies all its rows from or to
 * memory of the device that is somebody else's, whose contents are complete or may
 * be overwritten, and waits until that is done. For models on a device with such
 * memory, "cuda". FALSE and `error` on failure. */
gboolean dloral_stream_put_rows (DloralStream * stream, DloralFrame * frame,
    const DloralVideoRows * rows, int n, GError ** error);
gboolean dloral_stream_take_rows (DloralStream * stream, DloralFrame * frame,
    const DloralVideoRows * rows, int n, GError ** error);

/* Queues an acquired frame; it must not be touched until collected. */
void dloral_stream_submit (DloralStream * stream, DloralFrame * frame);

/* Gives an acquired frame back instead of submitting it. */
void dloral_stream_cancel (DloralStream * stream, DloralFrame * frame);

/* The oldest submitted frame, finished. wait: sleep until there is one, else
 * NULL when it is not ready. Also NULL when flushing, and when nothing is
 * submitted and wait is FALSE. A frame that failed comes with `error`. */
DloralFrame *dloral_stream_collect (DloralStream * stream, gboolean wait);

/* Returns a collected frame's slot to the ring (clears its error). */
void dloral_stream_release (DloralStream * stream, DloralFrame * frame);

/* TRUE wakes every waiter with NULL, now and until FALSE is set, and begins no frame;
 * one being computed ends before its next operator, but on "cuda", where it is
 * milliseconds, it ends by itself. Going back to FALSE, which may be at once,
 * discards all that was submitted and forgets the past; no frame may be held by the
 * caller then. Waits for nothing. Any thread. */
void dloral_stream_set_flushing (DloralStream * stream, gboolean flushing);

/* For tests and benchmarks: the tensors of the frame that was finished last.
 * Copies "latent", "flow", "aligned", "fused" or "x0" as f32 [h][w][c] into a
 * new array; NULL if there is none of that name, or no flow since the frame had
 * no past. Only with async_depth 0; not after a flush until the next frame. */
float *dloral_stream_dup_tensor (DloralStream * stream, const char *name,
    int *h, int *w, int *c);

G_END_DECLS
