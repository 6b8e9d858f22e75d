/* SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralpreparer.h"

#include "dloralerror.h"
#include "dloralmodelpath.h"

struct _DloralPreparer
{
  GstElement *element;
  GThread *thread;

  /* The thread's. */
  DloralWish have;              /* what the next two were made for */
  DloralModel *model;
  DloralSession *session;       /* NULL: none yet for these frames */
  gboolean outdated;            /* `session` is of another model */
  DloralPrompter *prompter;
  gchar *tags;                  /* found last; NULL: none */
  gboolean unsteered;           /* `session` knows nothing of that yet */

  GMutex lock;
  GCond cond;
  /* Under the lock: */
  DloralWish wish;
  DloralWish work;              /* what is being done, its strings the thread's */
  gboolean loading, compiling, looking; /* which part of it */
  DloralSession *steered;       /* or this one is; NULL: none */
  gboolean open;                /* something may still be to be done */
  gboolean failed;
  gboolean interrupted, running;
  DloralSession *ready;         /* to be taken */
  gboolean given;               /* `session` was put there */
  DloralSample *sample;         /* to be looked at; NULL: none */
  gboolean blind;               /* looking has failed */
  gchar *tags_in_use;           /* of `session`; the thread's to change. NULL: none */

  gint cancelled;               /* atomic: the work is not wanted any more */
};

/* --- Wishes -------------------------------------------------------------- */

static void
dloral_wish_clear (DloralWish * wish)
{
  g_free ((gchar *) wish->model.path);
  g_free ((gchar *) wish->stream.conditions.prompt);
  g_free ((gchar *) wish->tagger);
}

static void
dloral_wish_copy (DloralWish * to, const DloralWish * from)
{
  DloralWish copy = *from;

  copy.model.path = g_strdup (from->model.path);
  copy.stream.conditions.prompt = g_strdup (from->stream.conditions.prompt);
  copy.tagger = g_strdup (from->tagger);
  dloral_wish_clear (to);
  *to = copy;
}

static gboolean
dloral_wish_same_model (const DloralWish * a, const DloralWish * b)
{
  return g_strcmp0 (a->model.path, b->model.path) == 0
      && a->model.device == b->model.device
      && a->model.precision == b->model.precision
      && a->model.threads == b->model.threads
      && a->model.cuda_device_id == b->model.cuda_device_id
      && a->model.tune == b->model.tune;
}

static gboolean
dloral_wish_same_frames (const DloralWish * a, const DloralWish * b)
{
  return a->stream.width == b->stream.width
      && a->stream.height == b->stream.height
      && a->stream.deep == b->stream.deep;
}

/* But for the conditions, which a stream can change. */
static gboolean
dloral_wish_same_stream (const DloralWish * a, const DloralWish * b)
{
  const DloralStreamParams *x = &a->stream, *y = &b->stream;

  return dloral_wish_same_frames (a, b) && x->color_fix == y->color_fix
      && x->async_depth == y->async_depth && x->vae == y->vae
      && x->temporal_window == y->temporal_window
      && x->tile_size == y->tile_size && x->tile_overlap == y->tile_overlap
      && x->scene_cut_threshold == y->scene_cut_threshold;
}

static gboolean
dloral_wish_same_conditions (const DloralWish * a, const DloralWish * b)
{
  const DloralConditions *x = &a->stream.conditions;
  const DloralConditions *y = &b->stream.conditions;

  return g_strcmp0 (x->prompt, y->prompt) == 0
      && x->consistency_strength == y->consistency_strength
      && x->detail_strength == y->detail_strength;
}

static gboolean
dloral_wish_same_looking (const DloralWish * a, const DloralWish * b)
{
  return dloral_wish_same_model (a, b) && a->auto_prompt == b->auto_prompt
      && g_strcmp0 (a->tagger, b->tagger) == 0;
}

static gboolean
dloral_wish_same (const DloralWish * a, const DloralWish * b)
{
  return dloral_wish_same_looking (a, b) && dloral_wish_same_stream (a, b)
      && dloral_wish_same_conditions (a, b);
}

/* --- Messages ------------------------------------------------------------ */

/* Takes the text. */
static void
dloral_preparer_post (DloralPreparer * p, const gchar * code,
    GstProgressType type, gchar * text)
{
  gst_element_post_message (p->element,
      gst_message_new_progress (GST_OBJECT_CAST (p->element), type, code,
          text));
  g_free (text);
}

/* The sentence a user reads when `path` could not be opened. */
static gchar *
dloral_describe_open_failure (const gchar * path, const GError * error)
{
  if (!path)
    return g_strdup ("The default model was not found. Set the property "
        "\"model\" to the path of a model file.");
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_NOT_FOUND))
    return g_strdup_printf ("The model file \"%s\" %s.", path,
        g_file_test (path, G_FILE_TEST_EXISTS) ? "cannot be read"
        : "does not exist");
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY))
    return g_strdup_printf ("There is not enough memory for the model \"%s\".",
        path);
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE)
      || g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_DEVICE_LOST))
    return g_strdup_printf ("The device cannot run the model \"%s\".", path);
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_SCALES))
    return g_strdup_printf ("The model \"%s\" is not calibrated. Calibrate it "
        "with build/weights/calibrate, or set the property \"precision\" to "
        "\"bf16\".", path);
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_ARGUMENT))
    return g_strdup_printf ("The model \"%s\" has no tiny coder. Set the "
        "property \"vae\" to \"full\", or give a model file that has one.",
        path);
  return g_strdup_printf ("The file \"%s\" is not a model that can be used.",
      path);
}

/* NULL: the error says it all. */
static gchar *
dloral_describe_stream_failure (const DloralWish * wish, const GError * error)
{
  if (g_error_matches (error, DLORAL_ERROR, DLORAL_ERROR_MEMORY))
    return g_strdup_printf ("There is not enough memory for frames of %dx%d.",
        wish->stream.width, wish->stream.height);
  return NULL;
}

/* What it was loaded for, and why not for something better. */
static gchar *
dloral_describe_model (DloralModel * model)
{
  const gchar *note = dloral_model_get_device_note (model);

  return g_strdup_printf ("Model loaded, %s in %s%s%s%s",
      dloral_model_get_device_name (model),
      dloral_model_get_precision_name (model), note ? " (" : "",
      note ? note : "", note ? ")" : "");
}

/* Takes both. While there is a session that goes on, a failure is none of the
 * stream's. */
static void
dloral_preparer_post_failure (DloralPreparer * p, const gchar * code,
    gchar * text, GError * error)
{
  dloral_preparer_post (p, code, GST_PROGRESS_TYPE_ERROR,
      g_strdup (error->message));
  if (p->session)
    dloral_element_post_warning (p->element, text, error);
  else
    dloral_element_post_error (p->element, text, error);
  g_error_free (error);
}

static void
dloral_preparer_post_tags (DloralPreparer * p, const gchar * prompt)
{
  gst_element_post_message (p->element,
      gst_message_new_element (GST_OBJECT_CAST (p->element),
          gst_structure_new ("dloral-tags", "tags", G_TYPE_STRING, p->tags,
              "prompt", G_TYPE_STRING, prompt, NULL)));
}

static gboolean
dloral_preparer_is_cancelled (DloralPreparer * p)
{
  return g_atomic_int_get (&p->cancelled);
}

/* --- What can be done, in the thread and without the lock ---------------- */

/* path: what was tried, or NULL; to be freed. */
static DloralModel *
dloral_preparer_open (DloralPreparer * p, gchar ** path, GError ** error)
{
  DloralModelParams params = p->work.model;
  DloralModel *model;

  *path = params.path ? g_strdup (params.path)
      : dloral_find_default_model (error);
  if (!*path)
    return NULL;
  dloral_preparer_post (p, "load", GST_PROGRESS_TYPE_CONTINUE,
      g_strdup_printf ("Reading %s", *path));
  params.path = *path;
  params.cancelled = &p->cancelled;
  model = dloral_model_open (&params, error);
  if (model && !dloral_model_check_vae (model, p->work.stream.vae, error))
    g_clear_pointer (&model, dloral_model_unref);
  return model;
}

static gboolean
dloral_preparer_load (DloralPreparer * p)
{
  GError *error = NULL;
  DloralModel *model;
  gchar *path;

  dloral_preparer_post (p, "load", GST_PROGRESS_TYPE_START,
      g_strdup ("Loading the model"));
  model = dloral_preparer_open (p, &path, &error);
  if (dloral_preparer_is_cancelled (p)) {
    dloral_preparer_post (p, "load", GST_PROGRESS_TYPE_CANCELED,
        g_strdup ("Loading was cancelled"));
    g_clear_pointer (&model, dloral_model_unref);
    g_clear_error (&error);
  } else if (model) {
    dloral_preparer_post (p, "load", GST_PROGRESS_TYPE_COMPLETE,
        dloral_describe_model (model));
    dloral_prompter_close (p->prompter);
    g_clear_pointer (&p->model, dloral_model_unref);
    p->model = model;
    p->outdated = TRUE;
  } else {
    dloral_preparer_post_failure (p, "load",
        dloral_describe_open_failure (path, error), error);
  }
  g_free (path);
  return model != NULL;
}

/* As they are wished for, with what was found. Without the prompt where there is
 * nothing to read it with. `prompt` is to be freed after them. */
static DloralConditions
dloral_preparer_get_conditions (DloralPreparer * p, gchar ** prompt)
{
  DloralConditions conditions = p->work.stream.conditions;

  *prompt = p->tags ? dloral_tags_make_prompt (p->tags, conditions.prompt)
      : g_strdup (conditions.prompt);
  conditions.prompt = *prompt;
  if (conditions.prompt && !dloral_model_has_text_encoder (p->model)) {
    conditions.prompt = NULL;
    GST_ELEMENT_WARNING (p->element, LIBRARY, SETTINGS,
        ("The model file has no text encoder to read the prompt with; what is "
            "stored in the file is used instead."), (NULL));
  }
  return conditions;
}

/* The session has taken the prompt. */
static void
dloral_preparer_note_prompt (DloralPreparer * p, const gchar * prompt)
{
  p->unsteered = FALSE;
  if (g_strcmp0 (p->tags, p->tags_in_use) == 0)
    return;
  g_mutex_lock (&p->lock);
  g_free (p->tags_in_use);
  p->tags_in_use = g_strdup (p->tags);
  g_mutex_unlock (&p->lock);
  if (p->tags)
    dloral_preparer_post_tags (p, prompt);
}

static gboolean
dloral_preparer_compile (DloralPreparer * p)
{
  DloralStreamParams params = p->work.stream;
  DloralSession *session;
  GError *error = NULL;
  gchar *prompt;

  /* Never have two for different frames. */
  if (p->session && !dloral_wish_same_frames (&p->have, &p->work))
    g_clear_pointer (&p->session, dloral_session_unref);
  dloral_preparer_post (p, "compile", GST_PROGRESS_TYPE_START,
      g_strdup_printf ("Preparing for frames of %dx%d", params.width,
          params.height));
  params.conditions = dloral_preparer_get_conditions (p, &prompt);
  params.cancelled = &p->cancelled;
  session = dloral_model_check_vae (p->model, params.vae, &error) ?
      dloral_session_new (p->model, &params, &error) : NULL;
  if (dloral_preparer_is_cancelled (p)) {
    dloral_preparer_post (p, "compile", GST_PROGRESS_TYPE_CANCELED,
        g_strdup ("Preparing was cancelled"));
    g_clear_pointer (&session, dloral_session_unref);
    g_clear_error (&error);
  } else if (session) {
    dloral_preparer_post (p, "compile", GST_PROGRESS_TYPE_COMPLETE,
        g_strdup_printf ("Ready for frames of %dx%d", params.width,
            params.height));
    g_clear_pointer (&p->session, dloral_session_unref);
    p->session = session;
    p->outdated = FALSE;
    dloral_preparer_note_prompt (p, prompt);
  } else {
    dloral_preparer_post_failure (p, "compile",
        dloral_describe_stream_failure (&p->work, error), error);
  }
  g_free (prompt);
  return session != NULL;
}

static void
dloral_preparer_steer (DloralPreparer * p)
{
  gchar *prompt;
  DloralConditions conditions = dloral_preparer_get_conditions (p, &prompt);
  GError *error = NULL;

  if (dloral_stream_set_conditions (p->session->stream, &conditions, &error))
    dloral_preparer_note_prompt (p, prompt);
  else if (!dloral_preparer_is_cancelled (p))
    dloral_element_post_warning (p->element, NULL, error);
  /* What could not be had is not tried again. */
  p->unsteered = FALSE;
  g_clear_error (&error);
  g_free (prompt);
}

/* FALSE: nothing will be found in any other either. */
static gboolean
dloral_preparer_look (DloralPreparer * p, const DloralSample * sample)
{
  DloralPrompterParams params = { p->work.tagger,
    p->work.auto_prompt == DLORAL_AUTO_PROMPT_SCENE
  };
  GError *error = NULL;
  gchar *tags = dloral_prompter_find (p->prompter, p->model, &params, sample,
      &p->cancelled, &error);
  gboolean ok = tags || dloral_preparer_is_cancelled (p);

  if (!ok)
    dloral_element_post_warning (p->element, NULL, error);
  if (tags && g_strcmp0 (tags, p->tags) != 0) {
    g_free (p->tags);
    p->tags = g_steal_pointer (&tags);
    p->unsteered = TRUE;
  }
  g_clear_error (&error);
  g_free (tags);
  return ok;
}

/* What was found is wanted no more. */
static void
dloral_preparer_forget_tags (DloralPreparer * p)
{
  dloral_prompter_close (p->prompter);
  if (p->tags) {
    g_clear_pointer (&p->tags, g_free);
    p->unsteered = TRUE;
  }
}

/* --- The thread ---------------------------------------------------------- */

/* Begins to do something, with the lock; which it lets go. */
static void
dloral_preparer_begin (DloralPreparer * p, gboolean * part)
{
  dloral_wish_copy (&p->work, &p->wish);
  g_atomic_int_set (&p->cancelled, FALSE);
  if (part)
    *part = TRUE;
  g_mutex_unlock (&p->lock);
}

/* And is through with it. A wish that cannot be fulfilled is not tried again:
 * where there is a session, it stays as good as what is wished for. */
static void
dloral_preparer_end (DloralPreparer * p, gboolean ok)
{
  g_mutex_lock (&p->lock);
  p->loading = p->compiling = p->looking = FALSE;
  if (!ok && !dloral_preparer_is_cancelled (p) && !p->session) {
    p->failed = TRUE;
    p->open = FALSE;
  }
}

static void
dloral_preparer_do_load (DloralPreparer * p)
{
  gboolean ok;

  dloral_preparer_begin (p, &p->loading);
  ok = dloral_preparer_load (p);
  dloral_preparer_end (p, ok);
  if (ok || (p->session && !dloral_preparer_is_cancelled (p))) {
    g_free ((gchar *) p->have.model.path);
    p->have.model = p->work.model;
    p->have.model.path = g_strdup (p->work.model.path);
  }
}

static void
dloral_preparer_do_compile (DloralPreparer * p)
{
  gboolean ok;

  dloral_preparer_begin (p, &p->compiling);
  ok = dloral_preparer_compile (p);
  dloral_preparer_end (p, ok);
  if (ok)
    p->given = FALSE;
  if (ok || (p->session && !dloral_preparer_is_cancelled (p))) {
    dloral_wish_copy (&p->have, &p->work);
    p->outdated = FALSE;
  }
}

static void
dloral_preparer_do_steer (DloralPreparer * p)
{
  p->steered = p->session;
  dloral_preparer_begin (p, NULL);
  dloral_preparer_steer (p);
  dloral_preparer_end (p, TRUE);
  p->steered = NULL;
  dloral_wish_copy (&p->have, &p->work);
}

/* A sample that was not looked at to the end will be, unless there is another. */
static void
dloral_preparer_do_look (DloralPreparer * p)
{
  DloralSample *sample = g_steal_pointer (&p->sample);
  gboolean ok;

  dloral_preparer_begin (p, &p->looking);
  ok = dloral_preparer_look (p, sample);
  dloral_preparer_end (p, TRUE);
  p->blind = !ok;
  if (dloral_preparer_is_cancelled (p) && !p->sample)
    p->sample = g_steal_pointer (&sample);
  if (sample)
    dloral_sample_free (sample);
}

/* All is there: hands the session out. */
static void
dloral_preparer_give (DloralPreparer * p)
{
  if (p->given)
    return;
  g_clear_pointer (&p->ready, dloral_session_unref);
  p->ready = dloral_session_ref (p->session);
  p->given = TRUE;
}

/* The next thing that is missing. With the lock. */
static void
dloral_preparer_step (DloralPreparer * p)
{
  const DloralWish *wish = &p->wish;

  if (wish->auto_prompt == DLORAL_AUTO_PROMPT_OFF) {
    dloral_preparer_forget_tags (p);
    g_clear_pointer (&p->sample, dloral_sample_free);
  }
  if (!p->model || !dloral_wish_same_model (&p->have, wish)) {
    dloral_preparer_do_load (p);
  } else if (wish->stream.width == 0) {
    p->open = FALSE;
  } else if (!p->session || p->outdated
      || !dloral_wish_same_stream (&p->have, wish)) {
    dloral_preparer_do_compile (p);
  } else if (p->unsteered || !dloral_wish_same_conditions (&p->have, wish)) {
    dloral_preparer_do_steer (p);
  } else {
    dloral_preparer_give (p);
    if (p->sample)
      dloral_preparer_do_look (p);
    else
      p->open = FALSE;
  }
  g_cond_broadcast (&p->cond);
}

static gpointer
dloral_preparer_run (gpointer user_data)
{
  DloralPreparer *p = user_data;

  g_mutex_lock (&p->lock);
  while (p->running) {
    if (p->open)
      dloral_preparer_step (p);
    else
      g_cond_wait (&p->cond, &p->lock);
  }
  g_mutex_unlock (&p->lock);
  return NULL;
}

DloralPreparer *
dloral_preparer_new (GstElement * element)
{
  DloralPreparer *p = g_new0 (DloralPreparer, 1);

  p->element = element;
  p->running = TRUE;
  p->prompter = dloral_prompter_new ();
  g_mutex_init (&p->lock);
  g_cond_init (&p->cond);
  p->thread = g_thread_new ("dloral-prepare", dloral_preparer_run, p);
  return p;
}

void
dloral_preparer_free (DloralPreparer * p)
{
  g_mutex_lock (&p->lock);
  p->running = FALSE;
  g_atomic_int_set (&p->cancelled, TRUE);
  if (p->steered)
    dloral_stream_stop (p->steered->stream);
  g_cond_broadcast (&p->cond);
  g_mutex_unlock (&p->lock);
  g_thread_join (p->thread);

  g_clear_pointer (&p->ready, dloral_session_unref);
  g_clear_pointer (&p->session, dloral_session_unref);
  dloral_prompter_free (p->prompter);
  g_clear_pointer (&p->model, dloral_model_unref);
  g_clear_pointer (&p->sample, dloral_sample_free);
  g_free (p->tags);
  g_free (p->tags_in_use);
  dloral_wish_clear (&p->wish);
  dloral_wish_clear (&p->work);
  dloral_wish_clear (&p->have);
  g_mutex_clear (&p->lock);
  g_cond_clear (&p->cond);
  g_free (p);
}

/* --- For others ---------------------------------------------------------- */

void
dloral_preparer_wish (DloralPreparer * p, const DloralWish * wish)
{
  DloralSession *unwanted = NULL;

  g_mutex_lock (&p->lock);
  if (!dloral_wish_same_frames (&p->wish, wish)) {
    unwanted = g_steal_pointer (&p->ready);
    p->given = FALSE;
  }
  if (((p->loading || p->compiling)
          && !dloral_wish_same_model (&p->work, wish))
      || (p->compiling && !dloral_wish_same_stream (&p->work, wish))
      || (p->looking && !dloral_wish_same (&p->work, wish)))
    g_atomic_int_set (&p->cancelled, TRUE);
  if (!dloral_wish_same_looking (&p->wish, wish))
    p->blind = FALSE;
  dloral_wish_copy (&p->wish, wish);
  p->open = TRUE;
  p->failed = FALSE;
  g_cond_broadcast (&p->cond);
  g_mutex_unlock (&p->lock);

  g_clear_pointer (&unwanted, dloral_session_unref);
}

void
dloral_preparer_look_at (DloralPreparer * p, DloralSample * sample)
{
  g_mutex_lock (&p->lock);
  if (!p->blind) {
    DloralSample *old = p->sample;

    p->sample = sample;
    sample = old;
    p->open = TRUE;
    g_cond_broadcast (&p->cond);
  }
  g_mutex_unlock (&p->lock);
  if (sample)
    dloral_sample_free (sample);
}

gchar *
dloral_preparer_dup_tags (DloralPreparer * p)
{
  gchar *tags;

  g_mutex_lock (&p->lock);
  tags = g_strdup (p->tags_in_use);
  g_mutex_unlock (&p->lock);
  return tags;
}

/* For news, with the lock. FALSE: it is too late. */
static gboolean
dloral_preparer_wait (DloralPreparer * p, gint64 until)
{
  if (until != G_MAXINT64)
    return until > 0 && g_cond_wait_until (&p->cond, &p->lock, until);
  g_cond_wait (&p->cond, &p->lock);
  return TRUE;
}

DloralSession *
dloral_preparer_take (DloralPreparer * p, gint64 until)
{
  DloralSession *session = NULL;

  g_mutex_lock (&p->lock);
  while (!p->ready && !p->failed && !p->interrupted
      && dloral_preparer_wait (p, until)) {
  }
  if (!p->interrupted)
    session = g_steal_pointer (&p->ready);
  g_mutex_unlock (&p->lock);
  return session;
}

gboolean
dloral_preparer_has_failed (DloralPreparer * p, gint64 until)
{
  gboolean failed;

  g_mutex_lock (&p->lock);
  while (p->open && !p->failed && !p->interrupted
      && dloral_preparer_wait (p, until)) {
  }
  failed = p->failed;
  g_mutex_unlock (&p->lock);
  return failed;
}

void
dloral_preparer_set_interrupted (DloralPreparer * p, gboolean interrupted)
{
  g_mutex_lock (&p->lock);
  p->interrupted = interrupted;
  g_cond_broadcast (&p->cond);
  g_mutex_unlock (&p->lock);
}
