/* How a film is to be restored in parts: plan.json in the folder OUT.archive,
 * where the parts will be, too. The film itself stays where it is; a part is a
 * range of its time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "window.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Slurm's job arrays end at MaxArraySize, 1001 where nobody has changed it. */
#define PLAN_MAX_PARTS 1000

typedef struct
{
  GstClockTime start, stop;     /* its frames' times, `stop` not among them */
  GstClockTime last;            /* of its last frame */
  guint n_frames;
  GstClockTime lead;            /* where restoring begins, so that the model
                                 * knows what came before */
  GstClockTime before;          /* of the last frame that is not kept; NONE */
  gboolean jumps;               /* reading begins at `key`, not at 0 */
  GstClockTime key;             /* of a key frame, stream time */
} PlanPart;

typedef struct
{
  char *path, *folder;          /* plan.json, and where it is */
  char *in, *out;               /* absolute paths */
  char *identity;               /* of `in`, as identity_of gives it */
  GstClockTimeDiff offset;      /* see WindowJump */
  char *encoder;                /* its name, NULL: the container's usual one */
  char **properties;            /* of dloral, NAME=VALUE each, sorted */
  char *model;                  /* identity of the property's file, or NULL */
  GArray *parts;                /* of PlanPart, in order */
  char *id;                     /* of all this: equal plans have equal ones */
} Plan;

/* Where the plan for `out` is, or will be. */
char *plan_dup_path (const char *out);

/* NULL and `error` when there is none that can be used. */
Plan *plan_load (const char *path, GError ** error);

/* With all above but `path`, `folder` and `id` set: makes the folder, writes
 * the plan, and sets those. */
gboolean plan_save (Plan * self, GError ** error);

/* FALSE and `error` where the source or the model is not what the plan is for,
 * G_IO_ERROR_INVALID_DATA where it has changed. */
gboolean plan_check_files (const Plan * self, GError ** error);

guint plan_count_frames (const Plan * self);
const PlanPart *plan_get_part (const Plan * self, guint index);

/* "0:01:00.00 to 0:02:00.00" */
char *plan_describe_range (GstClockTime start, GstClockTime stop);

/* "part 3, 0:01:00.00 to 0:02:00.00" */
char *plan_describe_part (const Plan * self, guint index);

/* Path in the folder: part-00003 and `rest`, with `before` before it. */
char *plan_dup_part_path (const Plan * self, guint index, const char *before,
    const char *rest);

void plan_free (Plan * self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Plan, plan_free)

G_END_DECLS
