/* A oneDNN primitive with its stream and its arguments: made once, then only
 * pointed at memory and run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "dnnl_compat.h"
#include "engine/backend.h"

G_BEGIN_DECLS

#define DLORAL_MAX_ARGS 7

/* All zero: a primitive that is not there; clearing it is allowed. */
typedef struct
{
  dnnl_primitive_t primitive;
  dnnl_stream_t stream;
  int n_args;
  dnnl_exec_arg_t args[DLORAL_MAX_ARGS];
  gconstpointer bound[DLORAL_MAX_ARGS]; /* where each argument is now */
  gboolean lent[DLORAL_MAX_ARGS];       /* the memory object is another's */
  gsize scratch_size;           /* bytes of scratch a run needs */
} DloralPrimitive;

/* FALSE and an error naming operator and shapes, unless status is success.
 * action: what was tried ("create a convolution"). */
gboolean dloral_dnnl_check (dnnl_status_t status, const DloralOp * op,
    const char *action, GError ** error);

/* Takes pd. `args`, ended by 0, are bound before every run; `op` is for
 * messages. On failure the primitive is cleared. */
gboolean dloral_primitive_init (DloralPrimitive * self, DloralDevice * device,
    dnnl_primitive_desc_t pd, const int *args, const DloralOp * op,
    GError ** error);
void dloral_primitive_clear (DloralPrimitive * self);

/* A primitive that copies src to dst: arguments FROM and TO. */
gboolean dloral_primitive_init_reorder (DloralPrimitive * self,
    DloralDevice * device, const DloralOperand * src,
    const DloralOperand * dst, const DloralOp * op, GError ** error);
/* As above, to the layout that another primitive chose. */
gboolean dloral_primitive_init_reorder_to (DloralPrimitive * self,
    DloralDevice * device, const DloralOperand * src, DloralConstMd dst,
    const DloralOp * op, GError ** error);

/* The layout that the primitive wants of an argument. */
DloralConstMd dloral_primitive_get_md (const DloralPrimitive * self, int arg);

/* An argument that never changes; `memory` outlives the primitive. */
void dloral_primitive_lend (DloralPrimitive * self, int arg,
    dnnl_memory_t memory);

/* Points an argument at memory. Cheap when it was there before. */
void dloral_primitive_bind (DloralPrimitive * self, int arg,
    gconstpointer data);

/* Runs on what is bound. scratch: [scratch_size]. */
gboolean dloral_primitive_run (DloralPrimitive * self, gpointer scratch,
    const DloralOp * op, GError ** error);

/* Binds FROM and TO of a reorder and runs it. */
gboolean dloral_primitive_run_reorder (DloralPrimitive * self,
    gconstpointer src, gpointer dst, gpointer scratch, const DloralOp * op,
    GError ** error);

G_END_DECLS
