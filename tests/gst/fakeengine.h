/* An engine without a model: implements engine/dloral.h by repeating every
 * pixel four by four, as slowly and as badly as a test asks for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/dloral.h"

G_BEGIN_DECLS

#define FAKE_NO_FRAME G_MAXUINT

typedef struct
{
  /* Set by tests between fake_engine_reset () and the element's start. */
  gulong open_us;               /* dloral_model_open () takes so long */
  gulong compile_us;            /* dloral_stream_new () takes so long */
  gint frame_us;                /* atomic: one frame takes so long */
  guint failing_frame;          /* this submitted frame of a stream fails */
  gboolean text_encoder;        /* models have one */
  gboolean plain;               /* no result is a number */
  gboolean fail_stream;         /* dloral_stream_new () fails */
  gboolean fail_formats;        /* dloral_stream_set_formats () fails */
  gboolean fail_conditions;     /* dloral_stream_set_conditions () fails */
  gint tag_us;                  /* atomic: dloral_tagger_run () takes so long */
  guint cut;                    /* each frame that many after one of a stream begins
                                 * a scene; 0: none does */

  /* Atomic, read by tests. */
  gint opens;                   /* calls of dloral_model_open () */
  gint models, streams;         /* alive */
  gint streams_made;
  gint frames;                  /* computed */
  gint disconts;                /* computed with `discont` */
  gint most_in_flight;
  gint held;                    /* acquired or collected, not yet given back */
  gint changes;                 /* of conditions */
  gint taggers;                 /* alive */
  gint tagger_opens;            /* calls of dloral_tagger_new () that succeeded */
  gint tagged;                  /* frames */
  gint tags_cancelled;          /* dloral_tagger_run () was */

  /* What the last frame was computed with; of a frame that is out. */
  DloralStreamParams params;
  const gchar *path;            /* of the model; static */
} FakeEngine;

extern FakeEngine fake_engine;

/* Defaults: at once, without failure. Nothing may be alive. */
void fake_engine_reset (void);

/* Model paths that can be opened, and three that cannot. */
#define FAKE_MODEL_GOOD "good"
#define FAKE_MODEL_OTHER "other"
#define FAKE_MODEL_MISSING "missing"
#define FAKE_MODEL_BROKEN "broken"
#define FAKE_MODEL_HUGE "huge"

/* Taggers that can be opened: in the model's file, and one other. It finds
 * "level-N", of the frame's first byte, and after it the path's name if any. */
#define FAKE_TAGGER_GOOD "good-tagger"

G_END_DECLS
