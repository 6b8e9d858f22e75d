/* The video encoders that --encoder names.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "container.h"

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct
{
  const char *name;             /* what people call it */
  const char *factory;          /* GStreamer's name */
  const char *description;      /* gst-launch's, `encode` is its name */
  const char *caps;             /* of what comes out */
  const char *package;          /* Debian's, where the element is found */
} Encoder;

/* NULL: the container's usual one. NULL and `error` with what to do when there
 * is none of that name, it is not installed, or the container takes it not. */
const Encoder *encoder_find (const char *name, Container container,
    GError ** error);

/* A 4:2:0 format that `encode` takes: of 10 bits where `depth` is more than 8
 * and the encoder has that. */
const char *encoder_choose_format (GstElement * encode, guint depth);

G_END_DECLS
