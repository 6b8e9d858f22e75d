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
#include "dloralenums.h"
#include "dlorallatency.h"
#include "dloralpreparer.h"
#include "dloralpusher.h"
#include "gstdloral.h"

G_BEGIN_DECLS

GST_DEBUG_CATEGORY_EXTERN (gst_dloral_debug);

#define GST_DLORAL_PARENT_CLASS(self) \
    GST_BASE_TRANSFORM_CLASS (g_type_class_peek_parent ( \
        G_OBJECT_GET_CLASS (self)))

/* What the user may set. */
typedef struct
{
  /* In force from the next start () on. */
  DloralDeviceKind device;
  guint threads;
  gint cuda_device_id;
  gboolean tune;
  guint async_depth;
  /* These may change at any time. */
  gchar *model;                 /* NULL: the default model */
  DloralPrecision precision;
  DloralColorFix color_fix;
  DloralVae vae;
  guint temporal_window;
  guint tile_size, tile_overlap;
  gdouble scene_cut_threshold;
  gchar *prompt;                /* NULL: the model's own */
  gdouble consistency_strength, detail_strength;
  DloralAutoPrompt auto_prompt;
  gchar *tagger;                /* NULL: in the model's file */
  DloralOverload overload;
  gboolean bypass, skip_static;
} DloralSettings;

/* What the next frame is the first of. */
typedef enum
{
  DLORAL_BEGINNING_NONE,
  DLORAL_BEGINNING_SCENE,
  DLORAL_BEGINNING_VIDEO,
} DloralBeginning;

/* Sums since start (). What came in has gone out, was dropped or discarded, or is
 * on its way. */
typedef struct
{
  guint64 frames_in, frames_out;
  guint64 frames_dropped;       /* late, or too many for the model */
  guint64 frames_discarded;     /* by a flush or an error */
  guint64 frames_bypassed;      /* of those out, enlarged by intent */
  guint64 frames_plain;         /* enlarged since the model failed on them */
  guint64 frames_repeated;      /* same as the one before */
  GstClockTime latency;         /* of the frame measured last */
  guint64 frames_computed;      /* those that the next are sums of */
  guint64 stage_ns[DLORAL_N_STAGES];
  const gchar *device, *precision;      /* static strings; "" until loaded */
} DloralStats;

typedef struct
{
  /* The streaming thread's. */
  DloralSettings settings;      /* as of start (); its strings are NULL */
  gint64 patience;              /* until when a live stream's first frames wait for
                                 * the model; monotonic time, microseconds */
  gboolean discont;             /* the next frame has no frame before it */
  gboolean lost;                /* a frame before the next one was dropped */
  gboolean flow_reported;       /* upstream knows the pusher's flow */
  DloralConvert *convert;       /* NULL: to be made for the caps */
  GstVideoConverter *enlarger;  /* likewise */
  DloralFrame *last;            /* submitted last, and nothing went another way
                                 * since; or NULL */

  /* The pushing thread's. */
  GstBuffer *restored;          /* the last one, where it may be repeated */

  /* Pointers are replaced by the streaming thread or by start () and stop (),
   * and under the lock, so that any other thread may use them under it. */
  GMutex lock;
  GstVideoInfo in, out;
  DloralPreparer *preparer;
  DloralPusher *pusher;
  DloralSession *session;       /* NULL: none yet for these frames */
  gboolean flushing;
  gboolean live;                /* upstream, by the last latency query */
  DloralLatency latency;
  GstClockTime earliest;        /* running time that is not too late, or NONE */
  gdouble proportion;           /* of that which is wanted; by QoS events */
  DloralBeginning beginning;    /* not looked at for a prompt yet */
  GstClockTime position;        /* where the frame pushed last ends, in stream
                                 * time, or NONE */
  DloralStats stats;
} DloralState;

struct _GstDloral
{
  GstBaseTransform parent;

  DloralSettings settings;
  DloralState state;
  GstPadEventFunction base_event;       /* the base class's, of the sink pad */
  GstObject *cuda;              /* GStreamer's context of the GPU, or NULL */
};

/* --- Properties (dloralproperties.c) -------------------------------------- */

void gst_dloral_init_settings (DloralSettings * settings);
void gst_dloral_install_properties (GObjectClass * klass);

/* --- Session (dloralsetup.c) ---------------------------------------------- */

/* Has prepared what the settings are now. Any thread. */
void gst_dloral_wish (GstDloral * self);

/* Makes sure of state.session and state.convert for the caps at hand, and waits
 * for them unless a live stream would stand still. Without a session: frames can
 * only be enlarged for now. */
GstFlowReturn gst_dloral_ensure_session (GstDloral * self);

/* Forgets what was made for the caps, but for the session if it suits frames like
 * `in` that become `out`; NULL: none do. Nothing may be on its way. */
void gst_dloral_reset_session (GstDloral * self, const GstVideoInfo * in,
    const GstVideoInfo * out);

/* --- Frames (dloralframes.c) --------------------------------------------- */

/* Takes an LQ frame in. Streaming thread. */
GstFlowReturn gst_dloral_take_frame (GstDloral * self, GstBuffer * inbuf);

/* What of an output can be made while its input is at hand: the alpha. The base
 * class allocates output buffers only for who has a transform (). */
GstFlowReturn gst_dloral_transform (GstBaseTransform * trans,
    GstBuffer * inbuf, GstBuffer * outbuf);

/* --- Prompts (dloralsample.c) --------------------------------------------- */

/* Something begins with a next frame. Any thread. */
void gst_dloral_note_beginning (GstDloral * self, DloralBeginning beginning);

/* Has a prompt looked for in the frame, where it is one to look at. Streaming
 * thread, which has a session. */
void gst_dloral_offer_sample (GstDloral * self, GstBuffer * inbuf);

/* --- Lateness (dloralqos.c) ----------------------------------------------- */

/* From downstream; not taken. */
void gst_dloral_note_qos (GstDloral * self, GstEvent * event);
void gst_dloral_forget_qos (GstDloral * self);

/* Whether downstream would throw the frame away. */
gboolean gst_dloral_is_late (GstDloral * self, GstBuffer * inbuf);

/* Leaves a frame out, counts it and says so. */
void gst_dloral_drop_frame (GstDloral * self, GstBuffer * inbuf);

/* --- Way out (dloraloutput.c) --------------------------------------------- */

/* The pusher's functions. */
GstFlowReturn gst_dloral_push_item (gpointer self, DloralItem * item,
    gboolean drop);
void gst_dloral_discard_item (gpointer self, DloralItem * item);

/* Waits until all that came in has gone out. FALSE when flushing. */
gboolean gst_dloral_drain (GstDloral * self);

/* Whether a flush has begun, or the element is stopped or about to be. */
gboolean gst_dloral_is_flushing (GstDloral * self);

/* The first wakes every wait, any thread. The second forgets what was on its
 * way. */
void gst_dloral_start_flush (GstDloral * self);
void gst_dloral_stop_flush (GstDloral * self);

/* --- Caps and allocation (dloralnegotiate.c) ----------------------------- */

void gst_dloral_install_negotiation (GstBaseTransformClass * klass);

/* --- Events and queries (dloralevents.c) --------------------------------- */

void gst_dloral_install_events (GstBaseTransformClass * klass);
void gst_dloral_install_event_function (GstDloral * self);

/* --- Metas (dloralmeta.c) ------------------------------------------------ */

gboolean gst_dloral_transform_meta (GstBaseTransform * trans,
    GstBuffer * outbuf, GstMeta * meta, GstBuffer * inbuf);

G_END_DECLS
