/* What is to be seen, found in a frame by the engine's tagger: which is opened when
 * it is needed and, unless it is needed again and again, closed after.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

#include "engine/dloral.h"

G_BEGIN_DECLS

/* A frame to look at. */
typedef struct
{
  DloralVideoFormat format;
  guint8 *data;                 /* [format.size] */
} DloralSample;

void dloral_sample_free (DloralSample * sample);

typedef struct
{
  const gchar *path;            /* of the tagger's file; NULL: it is in the model's */
  gboolean keep;                /* it will be needed again */
} DloralPrompterParams;

typedef struct _DloralPrompter DloralPrompter;

DloralPrompter *dloral_prompter_new (void);
void dloral_prompter_free (DloralPrompter * prompter);

/* Tags of the sample, to be freed. One thread at a time. May take seconds; looks at
 * `cancelled`. NULL and `error` on failure, also where the model could not read
 * what is found. */
gchar *dloral_prompter_find (DloralPrompter * prompter, DloralModel * model,
    const DloralPrompterParams * params, const DloralSample * sample,
    const gint * cancelled, GError ** error);

/* Closes a tagger that was kept. */
void dloral_prompter_close (DloralPrompter * prompter);

G_END_DECLS
