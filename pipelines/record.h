/* What is known of a part, in a file of its own beside it: how it came out, or
 * how far it is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "plan.h"

G_BEGIN_DECLS

/* What the file's name ends in. */
#define RECORD_RESULT ".json"   /* done or failed */
#define RECORD_RUNNING ".running"       /* renewed every RECORD_PERIOD s */

#define RECORD_PERIOD 5

typedef struct
{
  char *plan;                   /* id of the plan that it was made by */
  char *host;
  double seconds;               /* that it took */
  guint n_frames;
  GstClockTime last;            /* of the last one */
  char *error;                  /* a sentence; NULL: none */
  char *file;                   /* name in the plan's folder; NULL: no such */
  char *sum;                    /* identity_of_all of that */
  char *caps;                   /* of what is in it */
} Record;

/* With all but `plan` and `host` set, which it sets. Replaces what is there, in
 * one step. */
gboolean record_save (Record * self, const Plan * plan, guint index,
    const char *suffix, GError ** error);

/* NULL when there is none that can be read. */
Record *record_load (const Plan * plan, guint index, const char *suffix);

void record_remove (const Plan * plan, guint index, const char *suffix);

/* Whether a task works on the part, as far as one can see. */
gboolean record_is_running (const Plan * plan, guint index);

/* FALSE and `error`, a sentence without the part's name, unless the part was
 * made by this plan and is what was written then. */
gboolean record_check (const Record * self, const Plan * plan,
    GError ** error);

/* A sentence about frames of the source that could not be decoded; NULL where
 * there are none. */
char *record_dup_loss (const Record * self, const Plan * plan, guint index);

void record_free (Record * self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Record, record_free)

G_END_DECLS
