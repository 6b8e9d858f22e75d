/* Manners for OpenMP threads that share the processors with a decoder.
 *
 * At the end of every parallel region GNU's runtime lets threads spin for
 * milliseconds, as if the machine were theirs alone. When something else wants
 * a processor, each region then waits for the scheduler to interrupt the
 * spinning: ten times slower on a busy machine. The runtime spins only briefly
 * when it has more threads than there are processors; a team that sleeps from
 * the start makes it so. (OMP_WAIT_POLICY is read when the runtime is loaded,
 * too early for a plugin to set it.)
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "team.h"

#include <omp.h>

struct _DloralTeam
{
  GThread *thread;
  GMutex lock;
  GCond cond;
  int size;
  int arrived;
  gboolean parked, leave;       /* under lock */
};

/* The team belongs to this thread and sleeps while it does. */
static gpointer
park (gpointer data)
{
  DloralTeam *team = data;

#pragma omp parallel num_threads (team->size)
  {
#pragma omp atomic
    team->arrived++;
  }
  g_mutex_lock (&team->lock);
  team->parked = TRUE;
  g_cond_broadcast (&team->cond);
  while (!team->leave)
    g_cond_wait (&team->cond, &team->lock);
  g_mutex_unlock (&team->lock);
  return NULL;
}

DloralTeam *
dloral_team_new (int threads)
{
  DloralTeam *team = g_new0 (DloralTeam, 1);

  team->size = MAX (omp_get_num_procs () - threads, 0) + 2;
  g_mutex_init (&team->lock);
  g_cond_init (&team->cond);
  team->thread = g_thread_try_new ("dloral-parked", park, team, NULL);
  if (team->thread == NULL) {
    dloral_team_free (team);
    return NULL;
  }
  g_mutex_lock (&team->lock);
  while (!team->parked)
    g_cond_wait (&team->cond, &team->lock);
  g_mutex_unlock (&team->lock);
  return team;
}

void
dloral_team_free (DloralTeam *team)
{
  if (team == NULL)
    return;
  if (team->thread) {
    g_mutex_lock (&team->lock);
    team->leave = TRUE;
    g_cond_broadcast (&team->cond);
    g_mutex_unlock (&team->lock);
    g_thread_join (team->thread);
  }
  g_cond_clear (&team->cond);
  g_mutex_clear (&team->lock);
  g_free (team);
}
