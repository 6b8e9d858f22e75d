/* SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralprompter.h"

/* What is kept; NULL: nothing. */
struct _DloralPrompter
{
  DloralTagger *tagger;
  DloralModel *model;           /* the tagger's, which has the reference */
  gchar *path;
};

void
dloral_sample_free (DloralSample * sample)
{
  g_free (sample->data);
  g_free (sample);
}

DloralPrompter *
dloral_prompter_new (void)
{
  return g_new0 (DloralPrompter, 1);
}

void
dloral_prompter_free (DloralPrompter * p)
{
  dloral_prompter_close (p);
  g_free (p);
}

void
dloral_prompter_close (DloralPrompter * p)
{
  g_clear_pointer (&p->tagger, dloral_tagger_free);
  g_clear_pointer (&p->path, g_free);
  p->model = NULL;
}

static gboolean
dloral_prompter_open (DloralPrompter * p, DloralModel * model,
    const DloralPrompterParams * params, const gint * cancelled,
    GError ** error)
{
  if (p->tagger && p->model == model && g_strcmp0 (p->path, params->path) == 0)
    return TRUE;
  dloral_prompter_close (p);
  if (!dloral_model_has_text_encoder (model)) {
    g_set_error (error, DLORAL_ERROR, DLORAL_ERROR_CONFIG, "The model file has "
        "no text encoder to read a prompt with, so none is looked for. Set the "
        "property \"auto-prompt\" to \"off\", or give another model.");
    return FALSE;
  }
  p->tagger = dloral_tagger_new (model, params->path, params->keep, cancelled,
      error);
  if (!p->tagger)
    return FALSE;
  p->model = model;
  p->path = g_strdup (params->path);
  return TRUE;
}

gchar *
dloral_prompter_find (DloralPrompter * p, DloralModel * model,
    const DloralPrompterParams * params, const DloralSample * sample,
    const gint * cancelled, GError ** error)
{
  gchar *tags;

  if (!dloral_prompter_open (p, model, params, cancelled, error))
    return NULL;
  tags = dloral_tagger_run (p->tagger, &sample->format, sample->data,
      cancelled, error);
  if (!params->keep)
    dloral_prompter_close (p);
  return tags;
}
