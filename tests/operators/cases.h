/* Operators to try: random ones for comparison with the reference, and typical
 * ones of the default model for timing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "engine/graph.h"

G_BEGIN_DECLS

/* A graph of one operator whose tensors are all bound, sources first. */
typedef struct
{
  DloralGraph *graph;
  const DloralOp *op;
  /* How to fill float sources: scale × normal noise + offset. Whole numbers are
   * uniform. */
  float scale[DLORAL_MAX_SRC], offset[DLORAL_MAX_SRC];
} DloralCase;

typedef struct
{
  DloralOpKind kind;
  /* Fills op (all but its kind), its tensors and the noise's size. */
  void (*build) (DloralCase * c, DloralOp * op, GRand * rand);
  int count;                    /* random cases to try */
  gboolean kernels;             /* ours, so there is one for every CPU level */
  /* Largest error, as a share of the value and of the result's root mean
   * square together, where all float tensors are f32 and otherwise. Whole
   * numbers: share of samples that may be one level off, with u16 among them the
   * third one. */
  double bound_f32, bound_half, bound_u16;
} DloralCaseKind;

extern const DloralCaseKind dloral_case_kinds[DLORAL_N_OPS];

/* Products with an input_max, for devices that multiply in fp8 then: operands are
 * rounded to it, and everything else is as before. */
#define DLORAL_N_FP8_CASE_KINDS 2
extern const DloralCaseKind dloral_fp8_case_kinds[DLORAL_N_FP8_CASE_KINDS];

/* A random case, the same for the same seed. */
void dloral_case_init (DloralCase * c, const DloralCaseKind * kind,
    DloralDtype act_dtype, guint32 seed);
void dloral_case_clear (DloralCase * c);

/* "group_norm 7×13×24 f32, 7×13×8 bf16 → 7×13×32 bf16", owned by the caller. */
char *dloral_case_describe (const DloralCase * c);

/* A typical case and its name, or FALSE when i is beyond the last. */
gboolean dloral_case_init_typical (DloralCase * c, int i,
    DloralDtype act_dtype, const char **name);

G_END_DECLS
