/* Inside of a model, for the engine's own files.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "backend.h"
#include "dloral.h"

G_BEGIN_DECLS

struct _DloralModel
{
  int ref_count;                /* under the registry's lock */
  char *path;
  DloralDeviceKind kind;        /* as asked for, with the rest: what makes */
  DloralDeviceParams params;    /* two models the same one */

  DloralSafetensors *file;
  DloralConfig config;
  const DloralBackend *backend;
  DloralDevice *device;
  char *device_note;            /* why it is not a better one, or NULL */
  int tokens;                   /* of the stored prompt; 0 without text */
};

G_END_DECLS
