/* What the element's tests share: the element on the fake engine between two
 * pads, and frames to push.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/check/check.h>
#include <gst/check/gstharness.h>
#include <gst/video/video.h>

#include "fakeengine.h"

G_BEGIN_DECLS

#define FRAME_DURATION (40 * GST_MSECOND)
#define SMALL_CAPS "video/x-raw, format=RGB, width=32, height=16, " \
    "framerate=25/1"

/* Call first in every test: registers the element, resets the fake engine. */
void harness_setup (void);

/* An element with FAKE_MODEL_GOOD and further properties, written
 * "name=value name=value" (may be NULL), and `sink_caps` (may be NULL) coming
 * in. */
GstHarness *harness_new (const gchar * sink_caps, const gchar * properties);

/* Tears it down and checks that the engine has nothing left. */
void harness_end (GstHarness * h);

/* The element's messages from now on. */
GstBus *harness_get_bus (GstHarness * h);

/* Takes messages from the bus (unrefs it) up to an error, which must be this
 * one and say something. */
void harness_expect_error (GstBus * bus, GQuark domain, gint code);

/* A frame of these caps, number n: grey of level 16 + 4 n, PTS and duration of
 * 25 frames a second. */
GstBuffer *harness_frame (const gchar * caps, guint n);

/* Level of the middle sample of a buffer's first component. */
guint harness_get_level (GstBuffer * buffer, const gchar * caps);

/* Pulls a buffer and checks that it is number n of SMALL_CAPS. */
void harness_expect_frame (GstHarness * h, guint n);

/* Waits until an atomic is at least `value`. */
void harness_wait_for (gint * atomic, gint value);

/* The caps that leave the element. */
GstCaps *harness_get_out_caps (GstHarness * h);

G_END_DECLS
