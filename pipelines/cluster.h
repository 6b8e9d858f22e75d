/* What does the parts of films at once: Slurm, or GNU Parallel on this machine.
 * Which runs where and when is theirs to say.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "plan.h"

G_BEGIN_DECLS

/* The exit status of a task that would fail again. */
#define CLUSTER_STATUS_FINAL 3

/* What of a plan is still to be done. */
typedef struct
{
  Plan *plan;                   /* owned */
  GArray *missing;              /* of guint: its parts */
} Film;

Film *film_new (Plan * plan);
void film_free (gpointer film);

/* Hands a job array for the film's parts to Slurm, and a job that joins them
 * after that, whatever has become of it. `options`: further ones for sbatch for
 * the array, or NULL. Says on standard output which jobs they are. */
gboolean cluster_submit (const Film * film, char **options, GError ** error);

/* Has GNU Parallel do the parts of all films (Film), `n_jobs` at a time, each on
 * a GPU of its own where there are some, and waits. What became of a part is in
 * its record. Runs the default main context. */
gboolean cluster_run (GPtrArray * films, guint n_jobs,
    GCancellable * cancellable, GError ** error);

G_END_DECLS
