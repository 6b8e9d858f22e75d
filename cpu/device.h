/* What all operators of one CPU device share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/backend.h"
#include "team.h"
#include "weights.h"

G_BEGIN_DECLS

struct _DloralDevice
{
  dnnl_engine_t engine;
  DloralWeights *weights;
  DloralTeam *team;
  DloralDtype act_dtype;
  gboolean amx;                 /* has tiles, far faster in bf16 than vectors */
  int threads;                  /* >= 1 */
  double shared_work;           /* microseconds; what takes one thread less
                                 * stays with it; tests share everything */
};

G_END_DECLS
