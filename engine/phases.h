/* A 3×3 convolution of a picture that was enlarged ×2 by nearest neighbour, as
 * four 2×2 convolutions of the picture itself: one for each phase of the result,
 * its even or odd rows in even or odd columns.
 *
 * Of three neighbouring rows of the enlarged picture two are the same, so their
 * rows of the kernel can be summed beforehand. What is left of 9 multiplications is 4.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "graph.h"

G_BEGIN_DECLS

/* Phase p is of the rows p / 2, p / 2 + 2, … and columns p % 2, p % 2 + 2, … */
#define DLORAL_N_PHASES 4

typedef struct _DloralPhases DloralPhases;

typedef struct
{
  DloralPhases *phases;
  DloralWeight weight;          /* [o][i][2][2], with a key of its own */
  int pad_top, pad_left;        /* as many results as there are sources */
} DloralPhase;

struct _DloralPhases
{
  const DloralWeight *whole;    /* [o][i][3][3] */
  float *values;                /* of it, once they were wanted; or NULL */
  DloralPhase phase[DLORAL_N_PHASES];
};

/* `whole` outlives the phases; so does what `phases` points at. */
void dloral_phases_init (DloralPhases * phases, const DloralWeight * whole);
void dloral_phases_clear (DloralPhases * phases);

/* Frees what filling the weights has left in memory. They can be filled again. */
void dloral_phases_trim (DloralPhases * phases);

G_END_DECLS
