/* A parked OpenMP team, which keeps the others from spinning.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _DloralTeam DloralTeam;

/* Parks a team as long as it lives. threads: how many will compute. NULL if
 * the system has no thread to spare, which costs only speed. */
DloralTeam *dloral_team_new (int threads);
/* team may be NULL. */
void dloral_team_free (DloralTeam * team);

G_END_DECLS
