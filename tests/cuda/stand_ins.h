/* What the CUDA stand-ins of on_cpu/ let a test do, found in the libraries that the
 * backend loads; and a short video restored on them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/dloral.h"

G_BEGIN_DECLS

/* As in on_cpu.h, cudnn_on_cpu.h and cublaslt_on_cpu.h. */
typedef struct
{
  void (*cuda_fail_at) (long call, int code);
  long (*cuda_get_calls) (void);
  void (*cuda_reset) (void);
  long (*cuda_get_allocations) (void);
  long (*cuda_get_handles) (void);
  int (*cuda_pop_context) (gpointer * context); /* cuCtxPopCurrent */
  void (*cudnn_fail_at) (long call, int status);
  long (*cudnn_get_calls) (void);
  long (*cudnn_get_descriptors) (void);
  /* NULL where that library is not to be found: */
  void (*cublaslt_fail_at) (long call, int status);
  long (*cublaslt_get_calls) (void);
  long (*cublaslt_get_descriptors) (void);
} StandIns;

/* Loads the libraries; fails the test where they are CUDA's own. */
const StandIns *stand_ins_get (void);

/* Nothing of a backend is left on the device, and no context on this thread. */
void stand_ins_assert_clean (void);

/* The rest of a test in a process of its own: there this returns TRUE; in the
 * test's process FALSE, when the other one has passed and written nothing to
 * stderr. environment: variables and their values, NULL at the end; or NULL.
 * Plans are kept in a folder of the process's, unless XDG_CACHE_HOME is among
 * them. */
gboolean stand_ins_enter_process (const char *const *environment);

/* --- A video ------------------------------------------------------------------ */

#define VIDEO_FRAMES 4
#define VIDEO_CHANGE 2          /* the first frame under changed conditions */

typedef struct
{
  const char *model;            /* one of ../agreement/data */
  DloralDeviceKind device;
  DloralPrecision precision;
  DloralVae vae;
  int width, height;
  int async_depth, tile_size;
  gboolean tune;
  int first;                    /* frames before it are left out */
  gboolean steady;              /* conditions never change */
} VideoParams;

typedef enum
{
  VIDEO_OPENING, VIDEO_STARTING, VIDEO_FIRST, VIDEO_CHANGING, VIDEO_REST,
  VIDEO_FREEING,
  VIDEO_N_PHASES
} VideoPhase;

/* What became of it. */
typedef struct
{
  GError *opening;              /* of the model or the stream */
  GError *changing;             /* of the conditions */
  GError *errors[VIDEO_FRAMES];
  guint8 *pictures[VIDEO_FRAMES];       /* NULL where a frame failed */
  gsize memory;                 /* the stream's */
  /* Calls before the beginning; since then, when a phase was over. */
  long cuda_begin, cudnn_begin;
  long cuda_calls[VIDEO_N_PHASES], cudnn_calls[VIDEO_N_PHASES];
} Video;

/* Opens the model, restores, frees everything. */
void video_restore (Video * video, const VideoParams * params);
void video_clear (Video * video);

/* The steps of that. Pictures are [4·height][4·width][3]. */
DloralModel *video_open (const VideoParams * params, GError ** error);
DloralStream *video_start (DloralModel * model, const VideoParams * params,
    GError ** error);
void video_submit (DloralStream * stream, const VideoParams * params, int t,
    gboolean discont);
guint8 *video_collect (DloralStream * stream, const VideoParams * params,
    int t, GError ** error);

static inline gsize
video_get_size (const VideoParams * params)
{
  return (gsize) 16 * params->width * params->height * 3;
}

G_END_DECLS
