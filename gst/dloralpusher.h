/* What leaves the element, in order: frames that are being computed and the
 * events between them. A thread of its own takes them, so that a finished frame
 * leaves at once, whether another one comes in or not.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef enum
{
  DLORAL_ITEM_EVENT,
  DLORAL_ITEM_COMPUTED,         /* a buffer that waits for the engine's picture */
  DLORAL_ITEM_COMPLETE,         /* a buffer with its picture */
  DLORAL_ITEM_REPEATED,         /* a buffer to get that of the one before */
} DloralItemKind;

typedef struct
{
  DloralItemKind kind;
  GstBuffer *buffer;
  GstEvent *event;
  gboolean keep;                /* its picture may be repeated */
  GstClockTime entered;         /* when its input came, monotonic time in ns */
} DloralItem;

typedef struct _DloralPusher DloralPusher;

/* Sends an item (taken) on its way. drop: something went wrong before; take
 * the frame out of the engine and forget it. */
typedef GstFlowReturn (*DloralPushFunc) (gpointer owner, DloralItem * item,
    gboolean drop);

/* Takes an item that will not be pushed. Without the pusher's lock. */
typedef void (*DloralDiscardFunc) (gpointer owner, DloralItem * item);

/* threaded FALSE: every item is pushed by the one who adds it. */
DloralPusher *dloral_pusher_new (DloralPushFunc push,
    DloralDiscardFunc discard, gpointer owner, gboolean threaded);

/* What is left is discarded. Nobody may be adding. */
void dloral_pusher_free (DloralPusher * pusher);

/* What pushing returned last. */
GstFlowReturn dloral_pusher_get_flow (DloralPusher * pusher);

/* Adds a buffer's or an event's item (taken), and returns the flow so far. */
GstFlowReturn dloral_pusher_add (DloralPusher * pusher, DloralItem * item);

/* Adds an event (taken) only if something is still on its way before it. FALSE:
 * nothing is; the event is still the caller's. */
gboolean dloral_pusher_add_event (DloralPusher * pusher, GstEvent * event);

/* Waits until everything was pushed. FALSE when flushing. */
gboolean dloral_pusher_drain (DloralPusher * pusher);

/* Wakes whoever drains, and lets nothing leave any more. */
void dloral_pusher_start_flush (DloralPusher * pusher);

/* Waits for what is being pushed, discards what is left, and starts anew. */
void dloral_pusher_stop_flush (DloralPusher * pusher);

/* Forgets `flow` if that is what pushing returned last. */
void dloral_pusher_forgive (DloralPusher * pusher, GstFlowReturn flow);

void dloral_item_free (DloralItem * item);

G_END_DECLS
