/* What the benchmark measures, and who measures and prints it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <json-glib/json-glib.h>
#include <stdio.h>

#include "engine/dloral.h"

G_BEGIN_DECLS

typedef struct
{
  const char *model;            /* path */
  DloralPrecision precision;
  const char *precision_name;   /* as asked for */
  int threads;                  /* 0: all cores */
  int frames;                   /* to measure, after a few to warm up */
} BenchParams;

/* One operator, or all of one kind. */
typedef struct
{
  char *name;                   /* "decode conv vae.decoder.conv_out 3×3 …" */
  double ms;                    /* of one frame */
  double flop;
  double bytes;                 /* of sources, weights and result, each once */
  gboolean library;             /* computed in the vendor's library */
} BenchOperator;

typedef struct
{
  double ms;                    /* median over the frames */
  double flop;                  /* of one frame, multiply-add = 2 */
  double outside;               /* share of its time outside the library */
} BenchStage;

typedef struct
{
  int width, height;            /* LQ */
  char *precision;              /* that was computed in */
  BenchStage stages[DLORAL_N_STAGES];
  BenchStage frame;             /* all stages together */
  GArray *operators;            /* BenchOperator, largest first */
  gsize memory;                 /* of the stream, bytes */
} BenchEngine;

/* How the element gets its frames, and what is noted while it does. */
typedef struct
{
  int early;                    /* output frame of the first look, 0: none */
  int fps;                      /* of a live source; 0: as fast as they go */
} BenchSoak;

/* Milliseconds of some frames. */
typedef struct
{
  double mean, max;
} BenchLatency;

typedef struct
{
  double fps;
  gsize rss_early, rss_late;    /* resident bytes of the process */
  /* By the element's own account: of frames 1 to `early`, and of as many at the
   * end. */
  BenchLatency latency_early, latency_late;
  guint64 bypassed;             /* frames, for lack of time */
} BenchElement;

/* The engine alone, one frame at a time. NULL and `error` on failure. */
BenchEngine *bench_engine (const BenchParams * params, int width, int height,
    GError ** error);
void bench_engine_free (BenchEngine * result);

/* The same of a stream that is there, of async_depth 0. */
BenchEngine *bench_stream (const DloralModel * model, DloralStream * stream,
    int width, int height, int frames, GError ** error);

/* Frame number t, a grating that moves: RGB, [height][stride]. */
void bench_draw (guint8 * rgb, gsize stride, int width, int height, int t);

/* Bytes of this process: "VmRSS:", resident, or "VmHWM:", the most that were. 0 where
 * the system does not say. */
gsize bench_read_memory (const char *key);

/* Of x [n], which is sorted. */
double bench_median (double *x, int n);

/* The element in a pipeline without display. rss_early is taken at output frame
 * number `early`, rss_late at the last one. */
gboolean bench_element (const BenchParams * params, int width, int height,
    const BenchSoak * soak, BenchElement * result, GError ** error);

typedef struct
{
  double frame_ms;              /* of one frame, nothing else going on */
  /* From when a frame was due to when it was there, before and while the
   * strengths change. */
  double mean_before, worst_before, mean, worst;
  int n_changes;
} BenchChange;

/* Frames at half the rate that could be computed, and then the same while the
 * strengths change. */
gboolean bench_change (const BenchParams * params, int width, int height,
    BenchChange * result, GError ** error);

/* Two frames looked at. Bytes resident in the process, more than before. */
typedef struct
{
  double first, second;         /* seconds */
  gsize peak, after;            /* the most during the first; when it was done */
} BenchTaggerRun;

typedef struct
{
  const char *precision;        /* that was computed in; static */
  BenchTaggerRun once, kept;    /* all given back after each, or kept */
} BenchTagger;

/* The tagger of the model's file. */
gboolean bench_tagger (const BenchParams * params, BenchTagger * result,
    GError ** error);

/* A table for people; `element` may be NULL, `n_operators` is how many of the
 * slowest to name. */
void bench_print (const BenchEngine * engine, const BenchElement * element,
    int n_operators);

/* The engine's results as members of the JSON object being built. */
void bench_add_json (JsonBuilder * b, const BenchEngine * engine,
    int n_operators);

/* The same as a JSON object in one line. */
void bench_print_json (const BenchEngine * engine,
    const BenchElement * element, int n_operators);

G_END_DECLS
