/* What a run with --resume keeps beside OUT until OUT is there: a folder
 * OUT.resume with the video restored so far and a note of what it is made of.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "transcode.h"

G_BEGIN_DECLS

typedef struct
{
  char *folder, *state, *picture;       /* paths */
  GKeyFile *keys;
  GPtrArray *parts;             /* of Part, those with something in them */
  PartEnd end;                  /* of what is done */
  gboolean is_complete;
  char *next;                   /* path of the part that is to be written */
} Resume;

/* Makes the folder, or reads what is in it. Fails when that belongs to another
 * source or other settings. */
gboolean resume_open (Resume * self, const TranscodeParams * params,
    const char *out, GError ** error);

/* The part `next` is written as far as it will be; `is_whole` as for part_scan,
 * `is_complete`: the video ends there. */
gboolean resume_add (Resume * self, gboolean is_whole, gboolean is_complete,
    GError ** error);

/* Removes the folder. */
void resume_discard (Resume * self);

void resume_clear (Resume * self);

G_END_DECLS
