/* Streams on a device apart, whose queues run beside each other: order of all
 * that is done to the same memory, on a backend that checks it. The argument is
 * the project's folder.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/dloral.h"
#include "recorder.h"

#include <string.h>

#define WIDTH 26
#define HEIGHT 18
#define N_FRAMES 14
#define CUT 6                   /* the frame that is said to have no past */
#define N_CHANGES 4             /* of the conditions */

const DloralBackend *const dloral_backends[] = { &recorder_backend, NULL };

static const char *root;

/* --- Videos ------------------------------------------------------------------------ */

/* How frames come and go: as RGB, in a format of their own, of 8 bits or of 16, or
 * in memory of the device. */
typedef enum { AS_PICTURES, AS_FRAMES, AS_DEEP_FRAMES, ON_DEVICE } Form;

typedef struct
{
  const char *name, *model;
  DloralVae vae;
  gboolean remembers;           /* the decoder */
  const char *prompt;           /* of changed conditions; NULL: the stored one */
  int tile;
  Form form;
} Kind;

static const Kind kinds[] = {
  { "full", "weights/dloral-small.safetensors", DLORAL_VAE_FULL, FALSE, NULL,
      0, AS_PICTURES },
  { "remembering", "tests/agreement/data/tiny-video/model.safetensors",
      DLORAL_VAE_TINY, TRUE, NULL, 0, AS_PICTURES },
  { "prompt", "tests/agreement/data/sd/model.safetensors", DLORAL_VAE_FULL,
      FALSE, NULL, 0, AS_PICTURES },
  { "text", "tests/engine/data/text-model.safetensors", DLORAL_VAE_FULL,
      FALSE, "trees and water", 0, AS_PICTURES },
  { "tiles", "tests/agreement/data/sd/model.safetensors", DLORAL_VAE_FULL,
      FALSE, NULL, 6, AS_PICTURES },
  { "formats", "weights/dloral-small.safetensors", DLORAL_VAE_FULL, FALSE, NULL,
      0, AS_FRAMES },
  { "deep", "weights/dloral-small.safetensors", DLORAL_VAE_FULL, FALSE, NULL, 0,
      AS_DEEP_FRAMES },
  { "rows", "weights/dloral-small.safetensors", DLORAL_VAE_FULL, FALSE, NULL, 0,
      ON_DEVICE },
};

typedef struct
{
  const Kind *kind;
  int depth, window;
} Case;

typedef struct
{
  const Case *c;
  DloralModel *model;
  DloralStream *stream;         /* NULL where it could not be made */
  int submitted, collected;
  int scene;                    /* first frame of the one being submitted */
  int first[64];                /* of each frame's scene */
  int failed;                   /* last frame that did, -1: none */
} Video;

/* GRAY8 or GRAY16_LE, with a few bytes more than there are pixels. */
static DloralVideoFormat
make_format (int width, int height, gboolean deep)
{
  int sample = deep ? 2 : 1, stride = sample * width + 3;
  DloralVideoFormat format = {
    .kind = DLORAL_VIDEO_GREY, .width = width, .height = height, .deep = deep,
    .size = stride * height, .components = { { 0, stride, sample } },
    .depth = 8 * sample, .kr = 0.3, .kb = 0.1,
  };

  dloral_video_format_init_matrix (&format);
  return format;
}

static void
set_formats (Video *v)
{
  gboolean deep = v->c->kind->form == AS_DEEP_FRAMES;
  DloralVideoFormat in = make_format (WIDTH, HEIGHT, deep);
  DloralVideoFormat out = make_format (4 * WIDTH, 4 * HEIGHT, deep);

  if (!dloral_stream_set_formats (v->stream, &in, &out, NULL))
    g_clear_pointer (&v->stream, dloral_stream_free);
}

static void
open_video (Video *v, const Case *c)
{
  g_autofree char *path = g_build_filename (root, c->kind->model, NULL);
  DloralStreamParams params = { .width = WIDTH, .height = HEIGHT,
    .vae = c->kind->vae, .tile_size = c->kind->tile, DLORAL_STREAM_DEFAULTS
  };
  GError *error = NULL;

  params.async_depth = c->depth;
  params.temporal_window = c->window;
  params.scene_cut_threshold = 0;
  params.deep = c->kind->form == AS_DEEP_FRAMES;
  *v = (Video) {.c = c,.failed = -1 };
  v->model = dloral_model_open (&(DloralModelParams) { .path = path }, &error);
  g_assert_no_error (error);
  v->stream = dloral_stream_new (v->model, &params, NULL);
  if (v->stream && (c->kind->form == AS_FRAMES || params.deep))
    set_formats (v);
}

static void
close_video (Video *v)
{
  if (v->stream)
    dloral_stream_free (v->stream);
  dloral_model_unref (v->model);
}

/* The whole frame, in one go. */
static DloralVideoRows
make_rows (int height, gsize stride)
{
  return (DloralVideoRows) { .frame_stride = stride, .width = stride,
    .height = height };
}

static void
put_frame (Video *v, DloralFrame *f, int t)
{
  DloralVideoRows rows = make_rows (HEIGHT, f->lq_stride);

  if (v->c->kind->form == ON_DEVICE) {
    rows.context = GINT_TO_POINTER (t);
    f->hr_stays = TRUE;
    g_assert_true (dloral_stream_put_rows (v->stream, f, &rows, 1, NULL));
  } else {
    recorder_host_writes (f->lq, HEIGHT * f->lq_stride, t);
    memset (f->lq, t, HEIGHT * f->lq_stride);
  }
}

/* The frames that f was made from. */
static guint64
take_frame (Video *v, DloralFrame *f)
{
  DloralVideoRows rows = make_rows (4 * HEIGHT, f->hr_stride);
  guint64 frames;

  if (v->c->kind->form != ON_DEVICE)
    return recorder_host_reads (f->hr, 4 * HEIGHT * f->hr_stride);
  rows.address = (guintptr) &frames;
  g_assert_true (dloral_stream_take_rows (v->stream, f, &rows, 1, NULL));
  return frames;
}

/* FALSE when flushing. */
static gboolean
submit (Video *v, gboolean discont)
{
  DloralFrame *f = dloral_stream_acquire (v->stream);
  int t = v->submitted;

  if (f == NULL)
    return FALSE;
  if (discont)
    v->scene = t;
  v->first[t] = v->scene;
  put_frame (v, f, t);
  f->discont = discont;
  f->user_data = GINT_TO_POINTER (t);
  v->submitted++;
  dloral_stream_submit (v->stream, f);
  return TRUE;
}

/* Those from `first` to t, as bits. */
static guint64
get_frames (int first, int t)
{
  return (G_GUINT64_CONSTANT (2) << t) - (G_GUINT64_CONSTANT (1) << first);
}

/* Frames that frame t may be made from: with or without the decoder's memory. */
static guint64
get_past (const Video *v, int t, gboolean remembers)
{
  int first = MAX (v->first[t], v->failed + 1);

  return get_frames (remembers ? first : MAX (first, t - v->c->window), t);
}

static void
check_tensor (const Video *v, const char *name, guint64 frames)
{
  int h, w, c;
  g_autofree float *tensor = dloral_stream_dup_tensor (v->stream, name, &h, &w,
      &c);

  g_assert_cmpmem (tensor, sizeof frames, &frames, sizeof frames);
}

/* The caller's reading is told even if the frame is not what it should be: then
 * the reports say why. */
static void
check_frame (Video *v, DloralFrame *f, gboolean strict)
{
  int t = GPOINTER_TO_INT (f->user_data);
  guint64 want = get_past (v, t, v->c->kind->remembers);
  guint64 got = take_frame (v, f);

  if (!strict)
    return;
  g_assert_false (f->plain);
  g_assert_cmphex (got, ==, want);
  if (v->c->kind->form != ON_DEVICE)
    g_assert_cmpmem (f->hr, sizeof want, &want, sizeof want);
  if (v->c->depth > 0)
    return;
  check_tensor (v, "latent", get_frames (t, t));
  check_tensor (v, "x0", get_past (v, t, FALSE));
}

/* FALSE when there is none. */
static gboolean
collect (Video *v, gboolean wait, gboolean strict)
{
  DloralFrame *f = dloral_stream_collect (v->stream, wait);

  if (f == NULL)
    return FALSE;
  g_assert_cmpint (GPOINTER_TO_INT (f->user_data), ==, v->collected);
  if (f->error)
    v->failed = v->collected;
  else
    check_frame (v, f, strict);
  v->collected++;
  dloral_stream_release (v->stream, f);
  return TRUE;
}

/* In one thread, with as many frames in flight as there may be. */
static void
play (Video *v, int n, gboolean strict)
{
  for (int i = 0; i < n; i++) {
    if (v->submitted - v->collected > MAX (v->c->depth, 1) - 1)
      g_assert_true (collect (v, TRUE, strict));
    g_assert_true (submit (v, v->submitted == CUT));
  }
}

static void
drain (Video *v, gboolean strict)
{
  while (v->collected < v->submitted)
    g_assert_true (collect (v, TRUE, strict));
}

/* Nothing was wrong. */
static void
check_reports (void)
{
  g_autoptr (GPtrArray) reports = recorder_stop ();

  for (guint i = 0; i < MIN (reports->len, 10); i++)
    g_test_message ("%s", (const char *) reports->pdata[i]);
  g_assert_cmpuint (reports->len, ==, 0);
}

/* --- What streams do --------------------------------------------------------------- */

static void
test_alone (gconstpointer data)
{
  Video v;

  recorder_start (RECORDER_RUN, -1);
  open_video (&v, data);
  play (&v, N_FRAMES, TRUE);
  drain (&v, TRUE);
  close_video (&v);
  check_reports ();
}

static gpointer
submit_all (gpointer data)
{
  Video *v = data;

  for (int t = 0; t < N_FRAMES && submit (v, v->submitted == CUT); t++)
    if (t % 3 == 0)
      g_thread_yield ();
  return NULL;
}

static gboolean
change_conditions (Video *v, int i)
{
  const DloralConditions conditions = { v->c->kind->prompt, 1, .25 * i };

  return dloral_stream_set_conditions (v->stream, &conditions, NULL);
}

static gpointer
change_all (gpointer data)
{
  for (int i = 0; i < N_CHANGES; i++)
    g_assert_true (change_conditions (data, i));
  return NULL;
}

/* One thread submits, one collects, by asking and by waiting in turn, one changes
 * the conditions. */
static void
test_threads (gconstpointer data)
{
  GThread *threads[2];
  Video v;

  recorder_start (RECORDER_RUN, -1);
  open_video (&v, data);
  threads[0] = g_thread_new ("submit", submit_all, &v);
  threads[1] = g_thread_new ("change", change_all, &v);
  while (v.collected < N_FRAMES)
    if (!collect (&v, v.collected % 2, TRUE))
      g_thread_yield ();
  for (int i = 0; i < 2; i++)
    g_thread_join (threads[i]);
  close_video (&v);
  check_reports ();
}

/* Conditions that change between two frames, more often than frames come. */
static void
test_changes (gconstpointer data)
{
  Video v;

  recorder_start (RECORDER_RUN, -1);
  open_video (&v, data);
  for (int i = 0; i < N_CHANGES; i++) {
    play (&v, 1 + i % 2 * 3, TRUE);
    g_assert_true (change_conditions (&v, i));
    if (i % 2)
      g_assert_true (change_conditions (&v, i + 1));
  }
  play (&v, 2, TRUE);
  close_video (&v);             /* with frames in flight */
  check_reports ();
}

static void
test_flush (gconstpointer data)
{
  Video v;

  recorder_start (RECORDER_RUN, -1);
  open_video (&v, data);
  for (int i = 0; i < 4; i++) {
    GThread *thread = g_thread_new ("submit", submit_all, &v);

    for (int t = 0; t < i; t++)
      g_assert_true (collect (&v, TRUE, TRUE));
    if (i % 2)
      change_conditions (&v, i);
    dloral_stream_set_flushing (v.stream, TRUE);
    g_thread_join (thread);
    dloral_stream_set_flushing (v.stream, FALSE);
    v.collected = v.scene = v.submitted;
  }
  play (&v, 5, TRUE);
  drain (&v, TRUE);
  close_video (&v);
  check_reports ();
}

/* --- Failures of the device -------------------------------------------------------- */

/* Writes to both of a stream's slots: nothing may be reading them any more. Where
 * frames are computed one by one. */
static void
fill_slots (Video *v)
{
  DloralFrame *frames[2];

  for (int i = 0; i < 2; i++) {
    frames[i] = dloral_stream_acquire (v->stream);
    recorder_host_writes (frames[i]->lq, HEIGHT * frames[i]->lq_stride,
        v->submitted);
  }
  for (int i = 0; i < 2; i++)
    dloral_stream_cancel (v->stream, frames[i]);
}

static void
play_on (Video *v)
{
  for (int i = 0; i < 8; i++) {
    if (i == 4)
      change_conditions (v, 1);
    play (v, 1, TRUE);
    if (v->c->depth == 0) {
      drain (v, TRUE);
      fill_slots (v);
    }
  }
  drain (v, TRUE);
}

/* Plays a video on a device whose n-th call goes wrong; FALSE when there are not
 * so many. */
static gboolean
play_failing (const Case *c, RecorderCall call, int nth)
{
  gboolean hit;
  Video v;

  recorder_start (call, nth);
  open_video (&v, c);
  if (v.stream)
    play_on (&v);
  hit = recorder_get_count (call) > nth;
  close_video (&v);
  check_reports ();
  return hit;
}

static void
test_failures (gconstpointer data)
{
  const RecorderCall calls[] = { RECORDER_ALLOC, RECORDER_COMPILE,
    RECORDER_RUN
  };

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++) {
    int n = 0;

    while (play_failing (data, calls[i], n))
      n++;
    g_assert_cmpint (n, >, 0);
  }
}

/* --- That it can fail -------------------------------------------------------------- */

static gboolean
is_reported (const char *words)
{
  g_autoptr (GPtrArray) reports = recorder_stop ();

  for (guint i = 0; i < reports->len; i++)
    if (strstr (reports->pdata[i], words))
      return TRUE;
  return FALSE;
}

/* FALSE when there are less than n calls. Not strict: frames are not what they
 * should be. */
static gboolean
play_without (const Case *c, RecorderCall call, int nth)
{
  gboolean hit;
  Video v;

  recorder_start (call, nth);
  open_video (&v, c);
  play (&v, 7, FALSE);
  drain (&v, FALSE);
  hit = recorder_get_count (call) > nth;
  close_video (&v);
  if (hit)
    g_assert_true (is_reported (""));
  else
    check_reports ();
  return hit;
}

/* Each wait and each event that is waited for is needed: without any one of them
 * something is reported. The events between are those of steps that begin, only
 * for telling time. */
static void
test_nothing_is_idle (gconstpointer data)
{
  int n = 0;

  while (play_without (data, RECORDER_WAIT, n))
    n++;
  g_assert_cmpint (n, ==, 7 * 4);
  for (n = 1; play_without (data, RECORDER_RECORD, n);)
    n += 2;
  g_assert_cmpint (n, ==, 7 * 10 + 1);
  for (n = 0; play_without (data, RECORDER_FINISH, n);)
    n++;
  g_assert_cmpint (n, ==, 7);
}

/* lq → a → b → out, every tensor as large as the others. */
static DloralGraph *
new_chain (void)
{
  DloralGraph *g = dloral_graph_new ("chain", DLORAL_F32);
  DloralTensor *x = dloral_graph_bind (g, 4, 4, 4, DLORAL_F32);
  DloralTensor *last = dloral_graph_bind (g, 4, 4, 4, DLORAL_F32);

  for (int i = 0; i < 3; i++) {
    DloralTensor *y = i < 2 ? dloral_graph_tensor (g, 4, 4, 4, DLORAL_F32) :
        last;

    dloral_graph_append (g, &(DloralOp) { .kind = DLORAL_OP_CONCAT,
        .n_src = i == 2 ? 2 : 1, .src = { x, g->tensors->pdata[2] },
        .dst = y });
    x = y;
  }
  dloral_graph_plan (g);
  return g;
}

static gboolean
is_chain_reported (int tensor, gsize offset)
{
  DloralGraph *g = new_chain ();
  DloralDevice *device;
  DloralPlan *plan;

  ((DloralTensor *) g->tensors->pdata[tensor])->offset = offset;
  recorder_start (RECORDER_RUN, -1);
  device = recorder_backend.open (&(DloralDeviceParams) { 0 }, NULL);
  plan = recorder_backend.compile (device, g, NULL);
  recorder_backend.plan_free (plan);
  recorder_backend.close (device);
  dloral_graph_free (g);
  return is_reported ("");
}

static void
test_catches_arena (void)
{
  g_assert_false (is_chain_reported (2, 0));
  g_assert_true (is_chain_reported (3, 0));     /* over tensor 2, read later */
  g_assert_true (is_chain_reported (3, 4096));
}

typedef struct
{
  DloralDevice *device;
  DloralQueue *queue;
  DloralEvent *event;
  gpointer memory;
} Bench;

static void
open_bench (Bench *b)
{
  recorder_start (RECORDER_RUN, -1);
  b->device = recorder_backend.open (&(DloralDeviceParams) { 0 }, NULL);
  b->queue = recorder_backend.queue_new (b->device, FALSE, NULL);
  b->event = recorder_backend.event_new (b->device, NULL);
  b->memory = recorder_backend.alloc (b->device, 2048, NULL);
}

static gboolean
close_bench (Bench *b, const char *words)
{
  recorder_backend.queue_free (b->queue);
  recorder_backend.event_free (b->event);
  recorder_backend.close (b->device);
  return is_reported (words);
}

static void
test_catches_early_free (void)
{
  guint8 bytes[8] = { 0 };
  Bench b;

  open_bench (&b);
  recorder_backend.upload (b.queue, b.memory, bytes, sizeof bytes, NULL);
  recorder_backend.free (b.device, b.memory);
  g_assert_true (close_bench (&b, "freeing device memory"));
}

static void
test_catches_early_plan_free (void)
{
  DloralGraph *g = new_chain ();
  guint8 bytes[256] = { 0 };
  DloralPlan *plan;
  gpointer bindings[2];
  Bench b;

  open_bench (&b);
  bindings[0] = b.memory;
  bindings[1] = (guint8 *) b.memory + 256;
  plan = recorder_backend.compile (b.device, g, NULL);
  recorder_backend.upload (b.queue, b.memory, bytes, sizeof bytes, NULL);
  recorder_backend.run (plan, b.queue, (guint8 *) b.memory + 512, bindings,
      NULL);
  recorder_backend.plan_free (plan);
  recorder_backend.queue_finish (b.queue, NULL);
  recorder_backend.free (b.device, b.memory);
  g_assert_true (close_bench (&b, "the plan is freed"));
  dloral_graph_free (g);
}

static void
test_catches_blank (void)
{
  guint8 bytes[8];
  Bench b;

  open_bench (&b);
  recorder_backend.download (b.queue, bytes, b.memory, sizeof bytes, NULL);
  recorder_backend.queue_wait (b.queue, b.event, NULL);
  recorder_backend.queue_finish (b.queue, NULL);
  recorder_backend.free (b.device, b.memory);
  g_assert_true (close_bench (&b, "nobody wrote"));
  open_bench (&b);
  recorder_backend.queue_wait (b.queue, b.event, NULL);
  recorder_backend.free (b.device, b.memory);
  g_assert_true (close_bench (&b, "marks nothing"));
  open_bench (&b);
  g_assert_true (close_bench (&b, "1 pieces of memory are left"));
}

/* --- All --------------------------------------------------------------------------- */

static void
add (const char *what, const Kind *kind, int depth, int window,
    GTestDataFunc test)
{
  g_autofree char *path = g_strdup_printf ("/order/%s/%s/depth-%d/window-%d",
      what, kind->name, depth, window);
  Case *c = g_new (Case, 1);

  *c = (Case) { kind, depth, window };
  g_test_add_data_func_full (path, c, test, g_free);
}

static void
add_cases (const Kind *kind, int n_depths)
{
  static const int depths[] = { 2, 0, 4, 1 }, windows[] = { 0, 1, 3 };

  for (int d = 0; d < n_depths; d++)
    for (guint w = 0; w < G_N_ELEMENTS (windows); w++) {
      add ("alone", kind, depths[d], windows[w], test_alone);
      add ("threads", kind, depths[d], windows[w], test_threads);
      add ("changes", kind, depths[d], windows[w], test_changes);
      add ("flush", kind, depths[d], windows[w], test_flush);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 2);
  root = argv[1];
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    add_cases (&kinds[i], i < 2 ? 4 : 2);
  add ("failures", &kinds[1], 2, 1, test_failures);
  add ("failures", &kinds[2], 0, 1, test_failures);
  add ("failures", &kinds[5], 2, 1, test_failures);
  add ("nothing-is-idle", &kinds[1], 2, 1, test_nothing_is_idle);
  g_test_add_func ("/order/catches/arena", test_catches_arena);
  g_test_add_func ("/order/catches/early-free", test_catches_early_free);
  g_test_add_func ("/order/catches/early-plan-free",
      test_catches_early_plan_free);
  g_test_add_func ("/order/catches/blank", test_catches_blank);
  return g_test_run ();
}
