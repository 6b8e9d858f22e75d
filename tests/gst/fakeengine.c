/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The ring, the worker and the rules of engine/dloral.h, kept as strictly as
 * assertions can.
 */
#include "fakeengine.h"

#include <string.h>

#define SCALE 4

typedef struct
{
  DloralFrame frame;
  guint used;                   /* when: slots take turns */
  enum { IDLE, ACQUIRED, SUBMITTED, FINISHED, COLLECTED } state;
} Slot;

struct _DloralModel
{
  gint refs;
  const gchar *path;            /* interned */
};

struct _DloralStream
{
  DloralModel *model;
  DloralStreamParams params;
  DloralVideoFormat in, out;
  guint n_slots;
  Slot *slots;

  GMutex lock;
  GCond cond;
  GQueue submitted, finished;   /* Slot */
  guint count;                  /* frames computed so far */
  guint uses;                   /* and submitted; the submitting thread's */
  guint epoch;
  gboolean flushing;
  gint interrupted, stopping;   /* atomic */
  GThread *worker;
};

FakeEngine fake_engine;

void
fake_engine_reset (void)
{
  g_assert_cmpint (g_atomic_int_get (&fake_engine.models), ==, 0);
  g_assert_cmpint (g_atomic_int_get (&fake_engine.streams), ==, 0);
  g_assert_cmpint (g_atomic_int_get (&fake_engine.held), ==, 0);
  g_assert_cmpint (g_atomic_int_get (&fake_engine.taggers), ==, 0);
  memset (&fake_engine, 0, sizeof fake_engine);
  fake_engine.failing_frame = FAKE_NO_FRAME;
}

GQuark
dloral_error_quark (void)
{
  return g_quark_from_static_string ("dloral-error-quark");
}

/* In steps of a millisecond. FALSE and an error when it is not wanted any more. */
static gboolean
take_time (gulong us, const gint * cancelled, GError ** error)
{
  gint64 end = g_get_monotonic_time () + us;

  while (!cancelled || !g_atomic_int_get (cancelled)) {
    gint64 left = end - g_get_monotonic_time ();

    if (left <= 0)
      return TRUE;
    g_usleep (MIN (left, 1000));
  }
  g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CANCELLED, "cancelled");
  return FALSE;
}

/* --- Model --------------------------------------------------------------- */

DloralModel *
dloral_model_open (const DloralModelParams * params, GError ** error)
{
  DloralModel *model;

  g_atomic_int_inc (&fake_engine.opens);
  if (!take_time (fake_engine.open_us, params->cancelled, error))
    return NULL;
  if (g_str_equal (params->path, FAKE_MODEL_MISSING)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_NOT_FOUND, "no such file");
    return NULL;
  }
  if (g_str_equal (params->path, FAKE_MODEL_BROKEN)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_FILE, "no header");
    return NULL;
  }
  if (g_str_equal (params->path, FAKE_MODEL_HUGE)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY, "too large");
    return NULL;
  }
  model = g_new0 (DloralModel, 1);
  model->refs = 1;
  model->path = g_intern_string (params->path);
  g_atomic_int_inc (&fake_engine.models);
  return model;
}

gboolean
dloral_model_check_vae (const DloralModel * model, DloralVae vae,
    GError ** error)
{
  return TRUE;
}

DloralModel *
dloral_model_ref (DloralModel * model)
{
  g_atomic_int_inc (&model->refs);
  return model;
}

void
dloral_model_unref (DloralModel * model)
{
  if (g_atomic_int_dec_and_test (&model->refs)) {
    g_free (model);
    g_atomic_int_add (&fake_engine.models, -1);
  }
}

const char *
dloral_model_get_device_name (const DloralModel * model)
{
  return "fake";
}

const char *
dloral_model_get_precision_name (const DloralModel * model)
{
  return "u8";
}

const char *
dloral_model_get_device_note (const DloralModel * model)
{
  return NULL;
}

gboolean
dloral_model_has_text_encoder (const DloralModel * model)
{
  return fake_engine.text_encoder;
}

/* --- Tagger -------------------------------------------------------------- */

struct _DloralTagger
{
  DloralModel *model;
  const gchar *path;            /* interned */
  gint busy;                    /* atomic */
};

DloralTagger *
dloral_tagger_new (DloralModel * model, const char *path, gboolean keep,
    const gint * cancelled, GError ** error)
{
  DloralTagger *tagger;

  if (path && !g_str_equal (path, FAKE_TAGGER_GOOD)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_NOT_FOUND, "no such tagger");
    return NULL;
  }
  tagger = g_new0 (DloralTagger, 1);
  tagger->model = dloral_model_ref (model);
  tagger->path = g_intern_string (path);
  g_atomic_int_inc (&fake_engine.taggers);
  g_atomic_int_inc (&fake_engine.tagger_opens);
  return tagger;
}

void
dloral_tagger_free (DloralTagger * tagger)
{
  g_assert_cmpint (g_atomic_int_get (&tagger->busy), ==, 0);
  dloral_model_unref (tagger->model);
  g_free (tagger);
  g_atomic_int_add (&fake_engine.taggers, -1);
}

char *
dloral_tagger_run (DloralTagger * tagger, const DloralVideoFormat * format,
    const guint8 * frame, const gint * cancelled, GError ** error)
{
  gboolean ok;

  g_assert_cmpint (g_atomic_int_add (&tagger->busy, 1), ==, 0);
  ok = take_time (g_atomic_int_get (&fake_engine.tag_us), cancelled, error);
  g_atomic_int_add (&tagger->busy, -1);
  g_atomic_int_inc (ok ? &fake_engine.tagged : &fake_engine.tags_cancelled);
  if (!ok)
    return NULL;
  return g_strdup_printf ("level-%d%s%s", frame[0], tagger->path ? ", " : "",
      tagger->path ? tagger->path : "");
}

char *
dloral_tags_make_prompt (const char *tags, const char *prompt)
{
  return g_strdup_printf ("%s, %s,", tags, prompt ? prompt : "");
}

/* --- Frames -------------------------------------------------------------- */

/* Every pixel four times in each direction. */
static void
enlarge (DloralStream * s, DloralFrame * f)
{
  int width = s->params.width, height = s->params.height, x, y;
  int pixel = s->params.deep ? 6 : 3;
  guint8 *lq = g_malloc (pixel * width * height), *hr;
  gpointer scratch = g_malloc (dloral_video_get_scratch_size (&s->out));

  hr = g_malloc (pixel * width * SCALE * height * SCALE);
  dloral_video_unpack (&s->in, f->lq, lq, pixel * width, 0, height, scratch);
  for (y = 0; y < height * SCALE; y++)
    for (x = 0; x < width * SCALE; x++)
      memcpy (hr + pixel * (y * width * SCALE + x),
          lq + pixel * (y / SCALE * width + x / SCALE), pixel);
  dloral_video_pack (&s->out, hr, pixel * width * SCALE, (guint8 *) f->hr, 0,
      height * SCALE, scratch);
  g_free (lq);
  g_free (hr);
  g_free (scratch);
}

static void
compute (DloralStream * s, Slot * slot, guint number)
{
  DloralFrame *f = &slot->frame;

  if (!take_time (g_atomic_int_get (&fake_engine.frame_us), &s->interrupted,
          NULL))
    return;
  enlarge (s, f);
  f->stage_ns[DLORAL_STAGE_RESTORE] = 1000;
  g_mutex_lock (&s->lock);
  fake_engine.params = s->params;
  fake_engine.path = s->model->path;
  g_mutex_unlock (&s->lock);
  f->plain = fake_engine.plain;
  f->cut = fake_engine.cut && number && number % fake_engine.cut == 0;
  if (number == fake_engine.failing_frame)
    g_set_error (&f->error, DLORAL_ERROR, DLORAL_ERROR_DEVICE,
        "frame %u failed", number);
  g_atomic_int_inc (&fake_engine.frames);
  if (f->discont)
    g_atomic_int_inc (&fake_engine.disconts);
}

/* Computes the oldest submitted frame; with the lock, which it lets go
 * meanwhile. */
static void
compute_oldest (DloralStream * s)
{
  Slot *slot = g_queue_pop_head (&s->submitted);
  guint epoch = s->epoch, number = s->count++;

  g_atomic_int_set (&s->interrupted, s->stopping);
  g_mutex_unlock (&s->lock);
  compute (s, slot, number);
  g_mutex_lock (&s->lock);
  if (epoch == s->epoch) {
    slot->state = FINISHED;
    g_queue_push_tail (&s->finished, slot);
  } else {
    g_clear_error (&slot->frame.error);
    slot->state = IDLE;
  }
  g_cond_broadcast (&s->cond);
}

static gpointer
work (gpointer data)
{
  DloralStream *s = data;

  g_mutex_lock (&s->lock);
  while (!s->stopping) {
    if (!s->flushing && !g_queue_is_empty (&s->submitted))
      compute_oldest (s);
    else
      g_cond_wait (&s->cond, &s->lock);
  }
  g_mutex_unlock (&s->lock);
  return NULL;
}

/* --- Stream -------------------------------------------------------------- */

static void
slot_clear (Slot * slot)
{
  g_clear_error (&slot->frame.error);
  g_clear_pointer (&slot->frame.lq, g_free);
  g_free ((gpointer) slot->frame.hr);
  slot->frame.hr = NULL;
}

static void
slot_init (Slot * slot, const DloralStream * s)
{
  slot->frame.lq_stride = s->in.components[0].stride;
  slot->frame.lq = g_malloc0 (s->in.size);
  slot->frame.hr_stride = s->out.components[0].stride;
  slot->frame.hr = g_malloc0 (s->out.size);
}

/* RGB with rows longer than their pixels, as any engine may have it. */
static void
init_rgb (DloralVideoFormat * format, int width, int height, gboolean deep)
{
  int i;

  dloral_video_format_init_rgb (format, width, height, deep);
  for (i = 0; i < 3; i++)
    format->components[i].stride += 7;
  format->size += 7 * height;
}

static void
set_formats (DloralStream * s, const DloralVideoFormat * in,
    const DloralVideoFormat * out)
{
  int width = s->params.width, height = s->params.height;
  guint i;

  g_mutex_lock (&s->lock);
  for (i = 0; i < s->n_slots; i++)
    while (s->slots[i].state == SUBMITTED)      /* since before a flush */
      g_cond_wait (&s->cond, &s->lock);
  init_rgb (&s->in, width, height, s->params.deep);
  init_rgb (&s->out, SCALE * width, SCALE * height, s->params.deep);
  if (in)
    s->in = *in;
  if (out)
    s->out = *out;
  g_assert (s->in.deep == s->params.deep && s->out.deep == s->params.deep);
  for (i = 0; i < s->n_slots; i++) {
    g_assert (s->slots[i].state == IDLE);
    slot_clear (&s->slots[i]);
    slot_init (&s->slots[i], s);
  }
  g_mutex_unlock (&s->lock);
}

gboolean
dloral_stream_set_formats (DloralStream * s, const DloralVideoFormat * in,
    const DloralVideoFormat * out, GError ** error)
{
  if (fake_engine.fail_formats) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY, "no room");
    return FALSE;
  }
  set_formats (s, in, out);
  return TRUE;
}

DloralStream *
dloral_stream_new (DloralModel * model, const DloralStreamParams * params,
    GError ** error)
{
  DloralStream *s;

  if (!take_time (fake_engine.compile_us, params->cancelled, error))
    return NULL;
  if (fake_engine.fail_stream) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY, "no room");
    return NULL;
  }
  s = g_new0 (DloralStream, 1);
  s->model = dloral_model_ref (model);
  s->params = *params;
  s->params.conditions.prompt = g_intern_string (params->conditions.prompt);
  g_mutex_init (&s->lock);
  g_cond_init (&s->cond);
  s->n_slots = MAX (1, params->async_depth) + 1;
  s->slots = g_new0 (Slot, s->n_slots);
  set_formats (s, NULL, NULL);
  if (params->async_depth > 0)
    s->worker = g_thread_new ("fake", work, s);
  g_atomic_int_inc (&fake_engine.streams);
  g_atomic_int_inc (&fake_engine.streams_made);
  return s;
}

void
dloral_stream_stop (DloralStream * s)
{
  g_mutex_lock (&s->lock);
  g_atomic_int_set (&s->stopping, TRUE);
  g_atomic_int_set (&s->interrupted, TRUE);
  g_cond_broadcast (&s->cond);
  g_mutex_unlock (&s->lock);
}

void
dloral_stream_free (DloralStream * s)
{
  guint i;

  dloral_stream_stop (s);
  if (s->worker)
    g_thread_join (s->worker);
  for (i = 0; i < s->n_slots; i++) {
    g_assert (s->slots[i].state != ACQUIRED && s->slots[i].state != COLLECTED);
    slot_clear (&s->slots[i]);
  }
  g_queue_clear (&s->submitted);
  g_queue_clear (&s->finished);
  g_free (s->slots);
  g_mutex_clear (&s->lock);
  g_cond_clear (&s->cond);
  dloral_model_unref (s->model);
  g_free (s);
  g_atomic_int_add (&fake_engine.streams, -1);
}

gboolean
dloral_stream_set_conditions (DloralStream * s,
    const DloralConditions * conditions, GError ** error)
{
  if (!take_time (fake_engine.open_us, &s->stopping, error))
    return FALSE;
  if (fake_engine.fail_conditions) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY, "no room");
    return FALSE;
  }
  g_mutex_lock (&s->lock);
  s->params.conditions = *conditions;
  s->params.conditions.prompt = g_intern_string (conditions->prompt);
  g_mutex_unlock (&s->lock);
  g_atomic_int_inc (&fake_engine.changes);
  return TRUE;
}

gsize
dloral_stream_get_memory (const DloralStream * s)
{
  return s->n_slots * 1000;
}

static Slot *
find_idle (DloralStream * s)
{
  Slot *idle = NULL;
  gint busy = 1;
  guint i;

  for (i = 0; i < s->n_slots; i++) {
    if (s->slots[i].state != IDLE)
      busy++;
    else if (!idle || s->slots[i].used < idle->used)
      idle = &s->slots[i];
  }
  if (idle && busy > fake_engine.most_in_flight)
    fake_engine.most_in_flight = busy;
  return idle;
}

DloralFrame *
dloral_stream_acquire (DloralStream * s)
{
  Slot *slot = NULL;

  g_mutex_lock (&s->lock);
  while (!s->flushing && !(slot = find_idle (s)))
    g_cond_wait (&s->cond, &s->lock);
  if (slot) {
    slot->state = ACQUIRED;
    slot->frame.discont = FALSE;
    g_atomic_int_inc (&fake_engine.held);
  }
  g_mutex_unlock (&s->lock);
  return slot ? &slot->frame : NULL;
}

gboolean
dloral_stream_is_behind (DloralStream * s)
{
  gboolean behind = TRUE;
  guint i;

  g_mutex_lock (&s->lock);
  for (i = 0; i < s->n_slots; i++)
    behind = behind && s->slots[i].state == SUBMITTED;
  g_mutex_unlock (&s->lock);
  return behind;
}

gboolean
dloral_stream_is_repeat (DloralStream * s, DloralFrame * frame,
    DloralFrame * last)
{
  g_assert (frame != last);
  return memcmp (frame->lq, last->lq, s->in.size) == 0;
}

static void
set_state (DloralStream * s, DloralFrame * frame, int from, int to,
    GQueue * queue)
{
  Slot *slot = (Slot *) frame;

  g_mutex_lock (&s->lock);
  g_assert_cmpint (slot->state, ==, from);
  slot->state = to;
  if (queue)
    g_queue_push_tail (queue, slot);
  g_cond_broadcast (&s->cond);
  g_mutex_unlock (&s->lock);
  g_atomic_int_add (&fake_engine.held, -1);
}

void
dloral_stream_submit (DloralStream * s, DloralFrame * frame)
{
  ((Slot *) frame)->used = ++s->uses;
  set_state (s, frame, ACQUIRED, SUBMITTED, &s->submitted);
}

void
dloral_stream_cancel (DloralStream * s, DloralFrame * frame)
{
  set_state (s, frame, ACQUIRED, IDLE, NULL);
}

void
dloral_stream_release (DloralStream * s, DloralFrame * frame)
{
  g_clear_error (&frame->error);
  set_state (s, frame, COLLECTED, IDLE, NULL);
}

DloralFrame *
dloral_stream_collect (DloralStream * s, gboolean wait)
{
  Slot *slot = NULL;

  g_mutex_lock (&s->lock);
  if (!s->worker && !s->flushing && !g_queue_is_empty (&s->submitted))
    compute_oldest (s);
  while (!s->flushing && !(slot = g_queue_pop_head (&s->finished)) && wait)
    g_cond_wait (&s->cond, &s->lock);
  if (slot) {
    slot->state = COLLECTED;
    g_atomic_int_inc (&fake_engine.held);
  }
  g_mutex_unlock (&s->lock);
  return slot ? &slot->frame : NULL;
}

/* Nobody has memory of this device. */
gboolean
dloral_stream_put_rows (DloralStream * s, DloralFrame * frame,
    const DloralVideoRows * rows, int n, GError ** error)
{
  g_assert_not_reached ();
}

gboolean
dloral_stream_take_rows (DloralStream * s, DloralFrame * frame,
    const DloralVideoRows * rows, int n, GError ** error)
{
  g_assert_not_reached ();
}

void
dloral_stream_set_flushing (DloralStream * s, gboolean flushing)
{
  Slot *slot;

  g_mutex_lock (&s->lock);
  if (s->flushing && !flushing) {
    s->epoch++;
    while ((slot = g_queue_pop_head (&s->submitted))
        || (slot = g_queue_pop_head (&s->finished))) {
      g_clear_error (&slot->frame.error);
      slot->state = IDLE;
    }
  }
  s->flushing = flushing;
  if (flushing)
    g_atomic_int_set (&s->interrupted, TRUE);
  g_cond_broadcast (&s->cond);
  g_mutex_unlock (&s->lock);
}
