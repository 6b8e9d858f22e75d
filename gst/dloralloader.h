/* Opens the model in a thread of its own, and tells the application how far it
 * is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <gst/gst.h>

#include "engine/dloral.h"

G_BEGIN_DECLS

typedef struct _DloralLoader DloralLoader;

/* Starts loading a model that must have the coder `vae`. `params->path` NULL:
 * the default model. Posts progress messages (code "load") and, on failure, an
 * error message as `element`, which must outlive the loader. */
DloralLoader *dloral_loader_new (GstElement * element,
    const DloralModelParams * params, DloralVae vae);

/* Waits for the thread to end; no message is posted any more. */
void dloral_loader_free (DloralLoader * loader);

/* The model, owned by the loader, once it is there. NULL when it could not be
 * opened, or while interrupted. */
DloralModel *dloral_loader_wait (DloralLoader * loader);

/* TRUE wakes whoever waits, now and until FALSE is set. Any thread. */
void dloral_loader_set_interrupted (DloralLoader * loader,
    gboolean interrupted);

/* The default model's file, near the plugin or where it was installed; NULL
 * when there is none. */
gchar *dloral_find_default_model (void);

G_END_DECLS
