/* Conditions on their way to a stream.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloraltuner.h"

#include "dloralerror.h"

struct _DloralTuner
{
  GstElement *element;
  DloralStream *stream;
  GThread *thread;

  GMutex lock;
  GCond cond;
  /* Under the lock: */
  DloralConditions wanted;      /* its prompt is ours */
  gboolean waiting;             /* `wanted` is still to be prepared */
  gboolean running;
};

/* Prepares what is wanted, without the lock. */
static void
dloral_tuner_apply (DloralTuner * tuner)
{
  DloralConditions conditions = tuner->wanted;
  gchar *prompt = g_strdup (conditions.prompt);
  GError *error = NULL;

  conditions.prompt = prompt;
  tuner->waiting = FALSE;
  g_mutex_unlock (&tuner->lock);
  if (!dloral_stream_set_conditions (tuner->stream, &conditions, &error)) {
    dloral_element_post_warning (tuner->element, error);
    g_clear_error (&error);
  }
  g_free (prompt);
  g_mutex_lock (&tuner->lock);
}

static gpointer
dloral_tuner_run (gpointer user_data)
{
  DloralTuner *tuner = user_data;

  g_mutex_lock (&tuner->lock);
  while (tuner->running) {
    if (tuner->waiting)
      dloral_tuner_apply (tuner);
    else
      g_cond_wait (&tuner->cond, &tuner->lock);
  }
  g_mutex_unlock (&tuner->lock);
  return NULL;
}

DloralTuner *
dloral_tuner_new (GstElement * element, DloralStream * stream)
{
  DloralTuner *tuner = g_new0 (DloralTuner, 1);

  tuner->element = element;
  tuner->stream = stream;
  tuner->running = TRUE;
  g_mutex_init (&tuner->lock);
  g_cond_init (&tuner->cond);
  tuner->thread = g_thread_new ("dloral-tune", dloral_tuner_run, tuner);
  return tuner;
}

void
dloral_tuner_free (DloralTuner * tuner)
{
  g_mutex_lock (&tuner->lock);
  tuner->running = FALSE;
  g_cond_signal (&tuner->cond);
  g_mutex_unlock (&tuner->lock);
  g_thread_join (tuner->thread);

  g_free ((gchar *) tuner->wanted.prompt);
  g_mutex_clear (&tuner->lock);
  g_cond_clear (&tuner->cond);
  g_free (tuner);
}

void
dloral_tuner_set (DloralTuner * tuner, const DloralConditions * conditions)
{
  g_mutex_lock (&tuner->lock);
  g_free ((gchar *) tuner->wanted.prompt);
  tuner->wanted = *conditions;
  tuner->wanted.prompt = g_strdup (conditions->prompt);
  tuner->waiting = TRUE;
  g_cond_signal (&tuner->cond);
  g_mutex_unlock (&tuner->lock);
}
