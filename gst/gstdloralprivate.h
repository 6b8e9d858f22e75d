/* What the parts of the element share. Who may touch a field is said where it
 * is declared:
 *
 *  - settings: the application's, any time, under the object lock;
 *  - state, first part: the streaming thread's. The pushing thread reads it,
 *    and it changes only while nothing is on its way there;
 *  - state, second part: anybody's, under state.lock.
 *
 * No lock is held while buffers, events, queries or messages are sent.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/video/video.h>

#include "dloralconvert.h"
#include "dloralcudamemory.h"
#include "dlorallatency.h"
#include "dloralloader.h"
#include "dloralpusher.h"
#include "dloraltuner.h"
#include "gstdloral.h"

G_BEGIN_DECLS

GST_DEBUG_CATEGORY_EXTERN (gst_dloral_debug);

#define GST_DLORAL_PARENT_CLASS(self) \
    GST_BASE_TRANSFORM_CLASS (g_type_class_peek_parent ( \
        G_OBJECT_GET_CLASS (self)))

/* What the user may set. */
typedef struct
{
  gchar *model;                 /* NULL: the default model */
  DloralDeviceKind device;
  DloralPrecision precision;
  guint threads;
  gint cuda_device_id;
  gboolean tune;
  guint async_depth;
  DloralColorFix color_fix;
  DloralVae vae;
  guint temporal_window;
  guint tile_size, tile_overlap;
  gdouble scene_cut_threshold;
  /* These may change at any time; those in force are the tuner's. */
  gchar *prompt;                /* NULL: the model's own */
  gdouble consistency_strength, detail_strength;
} DloralSettings;

/* Sums since start (). */
typedef struct
{
  guint64 frames_in, frames_out;
  guint64 frames_plain;         /* of those out, merely enlarged */
  GstClockTime latency;         /* of the frame measured last */
  guint64 stage_ns[DLORAL_N_STAGES];
  const gchar *device, *precision;      /* static strings; "" until loaded */
} DloralStats;

typedef struct
{
  /* The streaming thread's. */
  DloralSettings settings;      /* in force since start () */
  gboolean discont;             /* the next frame has no frame before it */
  gboolean lost;                /* a frame before the next one was dropped */
  gboolean flow_reported;       /* upstream knows the pusher's flow */
  DloralConvert *convert;       /* NULL: to be made for the caps */
  gboolean on_cuda;             /* the stream computes there */
  gint stream_width, stream_height;     /* what `stream` was made for */

  /* Pointers are replaced by the streaming thread or by start () and stop (),
   * and under the lock, so that any other thread may use them under it. */
  GMutex lock;
  GstVideoInfo in, out;
  DloralLoader *loader;
  DloralPusher *pusher;
  DloralStream *stream;         /* NULL: to be made for the caps */
  DloralTuner *tuner;           /* of the stream */
  gboolean reads_prompts;       /* the model does */
  gboolean retune;              /* conditions were set since it was last cleared,
                                 * while a stream was being made */
  gboolean flushing;
  gboolean live;                /* upstream, by the last latency query */
  DloralLatency latency;
  GstClockTime position;        /* end of the frame pushed last, or NONE */
  DloralStats stats;
} DloralState;

struct _GstDloral
{
  GstBaseTransform parent;

  DloralSettings settings;
  DloralState state;
  GstObject *cuda;              /* GStreamer's context of the GPU, or NULL */
};

/* --- Properties (dloralproperties.c) -------------------------------------- */

void gst_dloral_init_settings (DloralSettings * settings);
void gst_dloral_install_properties (GObjectClass * klass);

/* --- Frames (dloralframes.c) --------------------------------------------- */

/* Takes an LQ frame in: converts it and hands it to the engine. Streaming
 * thread. */
GstFlowReturn gst_dloral_take_frame (GstDloral * self, GstBuffer * inbuf);

/* What of an output can be made while its input is at hand: the alpha. The base
 * class allocates output buffers only for who has a transform (). */
GstFlowReturn gst_dloral_transform (GstBaseTransform * trans,
    GstBuffer * inbuf, GstBuffer * outbuf);

/* The way out of a frame or an event: the pusher's function. */
GstFlowReturn gst_dloral_push_item (gpointer self, DloralItem * item,
    gboolean drop);

/* Forgets the converter, and the engine's stream unless it suits `in`. Nothing
 * may be on its way. */
void gst_dloral_reset_stream (GstDloral * self, const GstVideoInfo * in);

/* Waits until all that came in has gone out. FALSE when flushing. */
gboolean gst_dloral_drain (GstDloral * self);

/* TRUE: wakes every wait, any thread. FALSE: forgets what was on its way. */
void gst_dloral_start_flush (GstDloral * self);
void gst_dloral_stop_flush (GstDloral * self);

/* Steers the stream by the settings as they are now. Any thread. */
void gst_dloral_tune (GstDloral * self);

/* --- Caps and allocation (dloralnegotiate.c) ----------------------------- */

void gst_dloral_install_negotiation (GstBaseTransformClass * klass);

/* --- Events and queries (dloralevents.c) --------------------------------- */

void gst_dloral_install_events (GstBaseTransformClass * klass);

/* --- Metas (dloralmeta.c) ------------------------------------------------ */

gboolean gst_dloral_transform_meta (GstBaseTransform * trans,
    GstBuffer * outbuf, GstMeta * meta, GstBuffer * inbuf);

G_END_DECLS
