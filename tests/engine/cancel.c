/* Opening a model, making a stream, changing its conditions and looking for tags,
 * given up at points where somebody looks whether to go on. The argument is the
 * project's folder.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "engine/cancel.h"
#include "engine/stream_private.h"
#include "tests/device.h"

#define MAX_POINTS 16           /* that are tried of all there are */

typedef struct
{
  const char *name, *model;
  DloralVae vae;
  const char *prompt;
} Kind;

static const Kind kinds[] = {
  { "small", "weights/dloral-small.safetensors", DLORAL_VAE_FULL, NULL },
  { "remembering", "tests/agreement/data/tiny-video/model.safetensors",
      DLORAL_VAE_TINY, NULL },
  { "prompt", "tests/agreement/data/sd/model.safetensors", DLORAL_VAE_FULL, NULL },
  { "text", "tests/engine/data/text-model.safetensors", DLORAL_VAE_FULL,
      "trees and water" },
};

static const char *root;

/* --- Points ------------------------------------------------------------------- */

static struct
{
  const gint *flag;             /* whose points are counted */
  gint left;                    /* atomic: until the action; below 0: none */
  gint count;                   /* atomic */
  void (*action) (gpointer data);
  gpointer data;
} points;

gboolean __real_dloral_check_cancelled (const gint * cancelled,
    GError ** error);
gboolean __wrap_dloral_check_cancelled (const gint * cancelled,
    GError ** error);

gboolean
__wrap_dloral_check_cancelled (const gint *cancelled, GError **error)
{
  if (cancelled && cancelled == points.flag) {
    g_atomic_int_inc (&points.count);
    if (g_atomic_int_add (&points.left, -1) == 0)
      points.action (points.data);
  }
  return __real_dloral_check_cancelled (cancelled, error);
}

/* At the n-th point of the flag the action is done. */
static void
arm (const gint *flag, int n, void (*action) (gpointer data), gpointer data)
{
  points.flag = flag;
  points.action = action;
  points.data = data;
  g_atomic_int_set (&points.count, 0);
  g_atomic_int_set (&points.left, n);
}

static void
set (gpointer flag)
{
  g_atomic_int_set ((gint *) flag, TRUE);
}

/* --- Models and streams ------------------------------------------------------- */

static DloralModel *
open_model (const Kind *kind, const gint *cancelled, GError **error)
{
  g_autofree char *path = g_build_filename (root, kind->model, NULL);

  return dloral_model_open (&(DloralModelParams) { .path = path,
      .device = test_get_device (), .cancelled = cancelled }, error);
}

static DloralStream *
new_stream (DloralModel *model, const Kind *kind, const gint *cancelled,
    GError **error)
{
  return dloral_stream_new (model, &(DloralStreamParams) { .width = 24,
      .height = 20, .async_depth = 1, .vae = kind->vae, .temporal_window = 2,
      .conditions = { kind->prompt, 1, 1 }, .cancelled = cancelled }, error);
}

static void
check_cancelled (gboolean made, GError *error)
{
  g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED);
  g_assert_false (made);
  g_error_free (error);
}

/* Of all points from 0 to count - 1 the i-th that is tried, -1: no more. */
static int
get_point (int i, int count)
{
  if (count <= MAX_POINTS)
    return i < count ? i : -1;
  return i < MAX_POINTS ? (gint64) i * (count - 1) / (MAX_POINTS - 1) : -1;
}

static void
test_open (gconstpointer data)
{
  gint flag = FALSE;
  int count;

  arm (&flag, -1, set, &flag);
  dloral_model_unref (open_model (data, &flag, NULL));
  count = g_atomic_int_get (&points.count);
  g_assert_cmpint (count, >, MAX_POINTS);
  for (int i = 0, n; (n = get_point (i, count)) >= 0; i++) {
    GError *error = NULL;
    DloralModel *model;

    g_atomic_int_set (&flag, FALSE);
    arm (&flag, n, set, &flag);
    model = open_model (data, &flag, &error);
    check_cancelled (model != NULL, error);
  }
}

static void
test_stream (gconstpointer data)
{
  GError *error = NULL;
  DloralModel *model = open_model (data, NULL, &error);
  DloralStream *s;
  gint flag = FALSE;
  int count;

  g_assert_no_error (error);
  for (int i = 0; i < 2; i++) { /* the first time there may be more to do */
    arm (&flag, -1, set, &flag);
    s = new_stream (model, data, &flag, &error);
    g_assert_no_error (error);
    dloral_stream_free (s);
  }
  count = g_atomic_int_get (&points.count);
  for (int i = 0, n; (n = get_point (i, count)) >= 0; i++) {
    g_atomic_int_set (&flag, FALSE);
    arm (&flag, n, set, &flag);
    s = new_stream (model, data, &flag, &error);
    check_cancelled (s != NULL, g_steal_pointer (&error));
  }
  s = new_stream (model, data, NULL, NULL);
  g_assert_nonnull (s);
  dloral_stream_free (s);
  dloral_model_unref (model);
}

/* --- Conditions --------------------------------------------------------------- */

static void
stop (gpointer s)
{
  dloral_stream_stop (s);
}

static void
test_conditions (gconstpointer data)
{
  const Kind *kind = data;
  DloralConditions conditions = { kind->prompt, 0.5, 1 };
  DloralModel *model = open_model (kind, NULL, NULL);
  DloralStream *s = new_stream (model, kind, NULL, NULL), *stopped;
  int count;

  arm (&s->stopped, -1, stop, s);
  g_assert_true (dloral_stream_set_conditions (s, &conditions, NULL));
  count = g_atomic_int_get (&points.count);
  for (int i = 0, n; (n = get_point (i, count)) >= 0; i++) {
    GError *error = NULL;
    gboolean made;

    stopped = new_stream (model, kind, NULL, NULL);
    arm (&stopped->stopped, n, stop, stopped);
    made = dloral_stream_set_conditions (stopped, &conditions, &error);
    check_cancelled (made, error);
    dloral_stream_free (stopped);
  }
  dloral_stream_free (s);
  dloral_model_unref (model);
}

/* --- Tags ----------------------------------------------------------------------- */

/* Opened anew each time, or kept from one to the next. */
static char *
find_tags (DloralModel *model, DloralTagger **kept, const gint *cancelled,
    GError **error)
{
  static const guint8 frame[3 * 24 * 20];
  g_autofree char *path = g_build_filename (root,
      "tests/agreement/data/tagger/tagger.safetensors", NULL);
  DloralTagger *tagger = kept ? *kept : NULL;
  DloralVideoFormat format;
  char *tags;

  dloral_video_format_init_rgb (&format, 24, 20, FALSE);
  if (tagger == NULL)
    tagger = dloral_tagger_new (model, path, kept != NULL, cancelled, error);
  if (tagger == NULL)
    return NULL;
  tags = dloral_tagger_run (tagger, &format, frame, cancelled, error);
  if (kept)
    *kept = tagger;
  else
    dloral_tagger_free (tagger);
  return tags;
}

static void
check_tags (gboolean keep)
{
  DloralModel *model = open_model (&kinds[0], NULL, NULL);
  DloralTagger *kept = NULL;
  g_autofree char *expected = NULL;
  gint flag = FALSE;
  int count;

  arm (&flag, -1, set, &flag);
  expected = find_tags (model, NULL, &flag, NULL);
  g_assert_nonnull (expected);
  count = g_atomic_int_get (&points.count);
  for (int i = 0, n; (n = get_point (i, count)) >= 0; i++) {
    g_autofree char *tags = NULL;
    GError *error = NULL;

    g_atomic_int_set (&flag, FALSE);
    arm (&flag, n, set, &flag);
    tags = find_tags (model, keep ? &kept : NULL, &flag, &error);
    if (tags == NULL)
      check_cancelled (FALSE, error);
    else                        /* what is kept has fewer points */
      g_assert_true (keep);
  }
  for (int i = 0; i < 2; i++) {
    g_autofree char *tags = find_tags (model, keep ? &kept : NULL, NULL, NULL);

    g_assert_cmpstr (tags, ==, expected);
  }
  g_clear_pointer (&kept, dloral_tagger_free);
  dloral_model_unref (model);
}

static void
test_tags (void)
{
  check_tags (FALSE);
  check_tags (TRUE);
}

/* --- Others ------------------------------------------------------------------- */

typedef struct
{
  const Kind *kind;
  DloralModel *model;
  gint flag;
} Other;

/* Opens the same while somebody is opening it, who is cancelled then. */
static void
open_meanwhile (gpointer data)
{
  Other *other = data;
  GError *error = NULL;

  other->model = open_model (other->kind, NULL, &error);
  g_assert_no_error (error);
}

static void
open_and_cancel (gpointer data)
{
  open_meanwhile (data);
  set (&((Other *) data)->flag);
}

/* One caller's giving up is not another's; if nobody does they share. */
static void
test_others (gconstpointer data)
{
  for (int n = 0; n < 20; n += 5) {
    Other other = { .kind = data };
    GError *error = NULL;
    DloralModel *model;
    DloralStream *s;

    arm (&other.flag, n, open_and_cancel, &other);
    g_assert_null (open_model (data, &other.flag, &error));
    g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED);
    g_clear_error (&error);
    s = new_stream (other.model, data, NULL, &error);
    g_assert_no_error (error);
    dloral_stream_free (s);
    dloral_model_unref (other.model);
    other.flag = FALSE;
    arm (&other.flag, 5 + n, open_meanwhile, &other);
    model = open_model (data, &other.flag, &error);
    g_assert_true (model == other.model);
    dloral_model_unref (other.model);
    dloral_model_unref (model);
  }
}

/* --- At any time -------------------------------------------------------------- */

static gpointer
set_soon (gpointer flag)
{
  g_usleep (g_test_rand_int_range (0, 60000));
  g_atomic_int_set ((gint *) flag, TRUE);
  return NULL;
}

static void
test_any_time (gconstpointer data)
{
  arm (NULL, -1, NULL, NULL);
  for (int i = 0; i < 30; i++) {
    gint flag = FALSE;
    GError *error = NULL;
    GThread *thread = g_thread_new ("set", set_soon, &flag);
    DloralModel *model = open_model (data, &flag, &error);
    DloralStream *s = model ? new_stream (model, data, &flag, &error) : NULL;

    g_thread_join (thread);
    if (s)
      dloral_stream_free (s);
    else
      g_assert_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED);
    g_clear_error (&error);
    g_clear_pointer (&model, dloral_model_unref);
  }
}

int
main (int argc, char **argv)
{
  static const struct { const char *name; GTestDataFunc run; } tests[] = {
    { "open", test_open }, { "stream", test_stream },
    { "conditions", test_conditions }, { "others", test_others },
    { "any-time", test_any_time },
  };

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 2);
  root = argv[1];
  for (guint t = 0; t < G_N_ELEMENTS (tests); t++)
    for (guint k = 0; k < G_N_ELEMENTS (kinds); k++) {
      g_autofree char *path =
          g_strdup_printf ("/cancel/%s/%s", tests[t].name, kinds[k].name);

      g_test_add_data_func (path, &kinds[k], tests[t].run);
    }
  g_test_add_func ("/cancel/tags", test_tags);
  return g_test_run ();
}
