/* What benchmarks may see of a stream beyond dloral.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "backend.h"
#include "dloral.h"

G_BEGIN_DECLS

/* Switches operator times on or off for a stage. Returns the graph (owned by
 * the stream) and, where enabled, one time an operator, added up by every
 * frame. Not while frames are in flight. */
const DloralGraph *dloral_stream_profile (DloralStream * stream,
    DloralStage stage, gboolean enable, const DloralOpTime ** times);

G_END_DECLS
