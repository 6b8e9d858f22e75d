/* Flushing and stopping end the frame that is being computed before its next
 * operator, and leave nothing of it: on the CPU, where the test comes in between
 * any two operators. Arguments: a model, and which of its coders to take, "full" or
 * "tiny".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cpu/queue.h"
#include "engine/dloral.h"

#include <string.h>

#define W 24
#define H 20
#define N_FRAMES 3
#define SIZE (16 * H * W * 3)
#define N_FLUSHES 200

static DloralModel *model;
static DloralVae vae;
static DloralConditions conditions = { NULL, 1, 1 };
static guint8 *expected[N_FRAMES];      /* of a fresh stream */

/* --- Between operators -------------------------------------------------------- */

typedef enum
{
  NOTHING,
  FLUSH,
  FLUSH_AND_BACK,
  STOP,
} Action;

static struct
{
  gint done;                    /* atomic: operators */
  gint left;                    /* atomic: until the action; below 0: none */
  Action action;
  DloralStream *stream;
  gint ready, acted;            /* atomic: the action may be; it has been */
} between;

static void
arm (DloralStream *s, Action action, int left)
{
  between.stream = s;
  between.action = action;
  g_atomic_int_set (&between.ready, FALSE);
  g_atomic_int_set (&between.acted, FALSE);
  g_atomic_int_set (&between.left, left);
}

static void
wait_for (gint *what)
{
  while (!g_atomic_int_get (what))
    g_usleep (20);
}

static void
act (void)
{
  wait_for (&between.ready);
  if (between.action == STOP)
    dloral_stream_stop (between.stream);
  else
    dloral_stream_set_flushing (between.stream, TRUE);
  if (between.action == FLUSH_AND_BACK)
    dloral_stream_set_flushing (between.stream, FALSE);
  g_atomic_int_set (&between.acted, TRUE);
}

gboolean __real_dloral_cpu_queue_check (const DloralQueue * queue,
    GError ** error);
gboolean __wrap_dloral_cpu_queue_check (const DloralQueue * queue,
    GError ** error);

gboolean
__wrap_dloral_cpu_queue_check (const DloralQueue *queue, GError **error)
{
  gboolean ok;

  if (between.action != NOTHING && g_atomic_int_add (&between.left, -1) == 0)
    act ();
  ok = __real_dloral_cpu_queue_check (queue, error);
  if (ok)
    g_atomic_int_inc (&between.done);
  return ok;
}

/* --- Streams ------------------------------------------------------------------ */

static DloralStream *
new_stream (int async_depth)
{
  DloralStreamParams params = { .width = W, .height = H,
    .async_depth = async_depth, .vae = vae, .temporal_window = 1,
    .scene_cut_threshold = 15, .conditions = conditions };
  GError *error = NULL;
  DloralStream *s = dloral_stream_new (model, &params, &error);

  g_assert_no_error (error);
  return s;
}

/* Frame t: a moving pattern. */
static void
submit_with (DloralStream *s, int t, gboolean discont)
{
  DloralFrame *f = dloral_stream_acquire (s);

  g_assert_nonnull (f);
  for (int y = 0; y < H; y++)
    for (int x = 0; x < 3 * W; x++)
      f->lq[y * f->lq_stride + x] =
          (guint8) (127 + 60 * ((x / 3 + t) / 4 % 2) + (y * 7 + x * 3) % 50);
  f->discont = discont;
  f->user_data = GINT_TO_POINTER (t);
  dloral_stream_submit (s, f);
}

static void
submit (DloralStream *s, int t)
{
  submit_with (s, t, FALSE);
}

/* The picture of frame t, which must be the next. */
static void
collect (DloralStream *s, int t, guint8 *picture)
{
  DloralFrame *f = dloral_stream_collect (s, TRUE);

  g_assert_nonnull (f);
  g_assert_no_error (f->error);
  g_assert_cmpint (GPOINTER_TO_INT (f->user_data), ==, t);
  for (int y = 0; y < 4 * H; y++)
    memcpy (picture + y * 12 * W, f->hr + y * f->hr_stride, 12 * W);
  dloral_stream_release (s, f);
}

static void
check (DloralStream *s, int n, guint8 *const *pictures, gboolean discont)
{
  g_autofree guint8 *picture = g_malloc (SIZE);

  for (int t = 0; t < n; t++) {
    submit_with (s, t, discont && t == 0);
    collect (s, t, picture);
    g_assert_cmpmem (picture, SIZE, pictures[t], SIZE);
  }
}

/* The stream has no past: its next frames are those of a fresh one. */
static void
check_fresh (DloralStream *s, int n, guint8 *const *pictures)
{
  check (s, n, pictures, FALSE);
}

/* What a fresh stream makes of n frames; returns how many operators that takes. */
static int
restore (int n, guint8 **pictures)
{
  DloralStream *s = new_stream (0);
  int done;

  g_atomic_int_set (&between.done, 0);
  for (int t = 0; t < n; t++) {
    pictures[t] = g_malloc (SIZE);
    submit (s, t);
    collect (s, t, pictures[t]);
  }
  done = g_atomic_int_get (&between.done);
  dloral_stream_free (s);
  return done;
}

/* --- Every operator ------------------------------------------------------------- */

/* A frame with a past, and others behind it, when n operators of it are done. */
static void
flush_after (DloralStream *s, int depth, Action action, int n)
{
  submit (s, 7);
  dloral_stream_release (s, dloral_stream_collect (s, TRUE));
  g_atomic_int_set (&between.done, 0);
  arm (s, action, n);
  for (int t = 8; t < 8 + MAX (depth, 1); t++)
    submit (s, t);
  g_atomic_int_set (&between.ready, TRUE);
  if (depth == 0)
    g_assert_null (dloral_stream_collect (s, TRUE));
  wait_for (&between.acted);
  dloral_stream_set_flushing (s, FALSE);
}

/* None is done of a frame any more once it is flushed. Which takes all slots,
 * and so it is seen that they all came back. */
static void
test_every_operator (gconstpointer data)
{
  int depth = GPOINTER_TO_INT (data);
  guint8 *one[N_FRAMES], *two[N_FRAMES];
  int n_first = restore (1, one), n_both = restore (2, two);
  DloralStream *s = new_stream (depth);

  for (int n = 0; n < n_both - n_first; n++)
    for (Action action = FLUSH; action <= FLUSH_AND_BACK; action++) {
      flush_after (s, depth, action, n);
      check_fresh (s, 2, two);
      g_assert_cmpint (g_atomic_int_get (&between.done), ==, n + n_both);
    }
  dloral_stream_free (s);
  g_free (one[0]);
  g_free (two[0]);
  g_free (two[1]);
}

static void
test_stop (void)
{
  guint8 *pictures[N_FRAMES];
  int n_first = restore (1, pictures);
  GError *error = NULL;

  for (int n = 0; n < n_first; n += 7) {
    DloralStream *s = new_stream (2);

    g_atomic_int_set (&between.done, 0);
    arm (s, STOP, n);
    submit (s, 0);
    submit (s, 1);
    g_atomic_int_set (&between.ready, TRUE);
    g_assert_null (dloral_stream_collect (s, TRUE));
    g_assert_null (dloral_stream_acquire (s));
    g_assert_false (dloral_stream_set_conditions (s, &conditions, &error));
    g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED);
    g_clear_error (&error);
    dloral_stream_free (s);
    g_assert_cmpint (g_atomic_int_get (&between.done), ==, n);
  }
  g_free (pictures[0]);
}

/* The frame that brings new conditions is flushed; they stay. */
static void
test_conditions (void)
{
  guint8 *pictures[N_FRAMES];
  DloralStream *s = new_stream (1);
  DloralConditions before = conditions;
  int n;

  for (int i = 0; i < 8; i++) {
    conditions = (DloralConditions) { NULL, i % 2 ? 1 : 0.5, i % 3 ? 1 : 0 };
    n = restore (2, pictures) / 2;
    g_assert_true (dloral_stream_set_conditions (s, &conditions, NULL));
    arm (s, FLUSH_AND_BACK, n * i / 8);
    submit (s, 7);
    g_atomic_int_set (&between.ready, TRUE);
    wait_for (&between.acted);
    check_fresh (s, 2, pictures);
    g_free (pictures[0]);
    g_free (pictures[1]);
  }
  conditions = before;
  dloral_stream_free (s);
}

/* --- At any time ------------------------------------------------------------------ */

typedef struct
{
  DloralStream *stream;
  gint ended;                   /* atomic */
} Neighbour;

/* A stream of the same model, which nobody flushes. */
static gpointer
restore_beside (gpointer data)
{
  Neighbour *neighbour = data;

  while (!g_atomic_int_get (&neighbour->ended))
    check (neighbour->stream, N_FRAMES, expected, TRUE);
  return NULL;
}

static gpointer
collect_all (gpointer s)
{
  DloralFrame *f;

  while ((f = dloral_stream_collect (s, TRUE)) != NULL) {
    g_assert_no_error (f->error);
    dloral_stream_release (s, f);
  }
  return NULL;
}

static void
flush_at_random (DloralStream *s, int depth)
{
  int n = g_test_rand_int_range (0, MAX (depth, 1) + 2);
  GThread *thread;

  for (int t = 0; t < n; t++)
    submit (s, 5 + t);
  thread = g_thread_new ("collect", collect_all, s);
  g_usleep (g_test_rand_int_range (0, 8000));
  if (g_test_rand_bit ()) {
    dloral_stream_set_flushing (s, TRUE);
    dloral_stream_set_flushing (s, FALSE);
  }
  dloral_stream_set_flushing (s, TRUE);
  g_thread_join (thread);
  dloral_stream_set_flushing (s, FALSE);
}

static void
test_random (gconstpointer data)
{
  int depth = GPOINTER_TO_INT (data);
  DloralStream *s = new_stream (depth);
  Neighbour neighbour = { new_stream (1), FALSE };
  GThread *thread;

  arm (NULL, NOTHING, -1);
  thread = g_thread_new ("neighbour", restore_beside, &neighbour);
  for (int i = 0; i < N_FLUSHES; i++) {
    flush_at_random (s, depth);
    if (i % 4 == 0) {
      check_fresh (s, N_FRAMES, expected);
      dloral_stream_set_flushing (s, TRUE);
      dloral_stream_set_flushing (s, FALSE);
    }
  }
  check_fresh (s, N_FRAMES, expected);
  g_atomic_int_set (&neighbour.ended, TRUE);
  g_thread_join (thread);
  dloral_stream_free (neighbour.stream);
  dloral_stream_free (s);
}

int
main (int argc, char **argv)
{
  GError *error = NULL;
  int result;

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 3);
  vae = g_str_equal (argv[2], "tiny") ? DLORAL_VAE_TINY : DLORAL_VAE_FULL;
  model = dloral_model_open (&(DloralModelParams) { .path = argv[1],
      .device = DLORAL_DEVICE_CPU, .threads = 1 }, &error);
  g_assert_no_error (error);
  restore (N_FRAMES, expected);
  g_test_add_data_func ("/flush/every-operator", GINT_TO_POINTER (2),
      test_every_operator);
  g_test_add_data_func ("/flush/every-operator/inline", NULL,
      test_every_operator);
  g_test_add_func ("/flush/conditions", test_conditions);
  g_test_add_func ("/stop", test_stop);
  g_test_add_data_func ("/flush/random", GINT_TO_POINTER (2), test_random);
  g_test_add_data_func ("/flush/random/inline", NULL, test_random);
  result = g_test_run ();
  for (int t = 0; t < N_FRAMES; t++)
    g_free (expected[t]);
  dloral_model_unref (model);
  return result;
}
