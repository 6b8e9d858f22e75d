/* Builds cuDNN's descriptors for tests, and tensors in memory that is watched.
 *
 * All that a Builder made lives until it is cleared. One thread at a time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <cudnn_graph.h>
#include <glib.h>

G_BEGIN_DECLS

typedef cudnnBackendDescriptor_t Descriptor;

#define BUILDER_WORKSPACE (64 * 1024)   /* what plans ask for, if anything */

typedef struct
{
  cudnnHandle_t handle;
  GArray *descriptors;
  GPtrArray *tensors;
  int engine;                   /* the one that plans are made with; 1 */
  gpointer workspace;           /* [BUILDER_WORKSPACE] */
  cudnnStatus_t status;         /* of the first call that was refused */
  char message[512];            /* and what was said */
} Builder;

void builder_init (Builder * b);
void builder_clear (Builder * b);

/* Fails the test unless a call was refused with this status and a message that
 * contains `words`; then forgets it. */
void builder_assert_refused (Builder * b, cudnnStatus_t status,
    const char *words);

/* The status of a call made without the builder. */
void builder_note (Builder * b, cudnnStatus_t status);

/* --- tensors -------------------------------------------------------------- */

typedef struct
{
  gint64 id;
  cudnnDataType_t type;
  int rank;
  gint64 dims[4], strides[4];   /* 1 and 0 beyond rank */
  gint64 alignment;
  gboolean is_virtual, by_value;
  Descriptor descriptor;        /* made by tensor_finish () */
  guint8 *memory;               /* owned; of views and virtual ones NULL */
  guint8 *start;                /* the first element; of virtual ones NULL */
  gsize size;                   /* bytes of the memory */
} Tensor;

/* Dense, the last dimension fastest, aligned to its elements, id not used
 * before; may be changed before it is finished. */
Tensor *tensor_new (Builder * b, cudnnDataType_t type, int rank,
    const gint64 * dims);

/* The same elements under another id; `t` must outlive it. */
Tensor *tensor_new_view (Builder * b, const Tensor * t);

/* Another order of the dimensions and gaps between elements. */
void tensor_scatter (Tensor * t, GRand * rand);

/* Makes the descriptor and, of a tensor that is no view, memory full of
 * poison. */
Tensor *tensor_finish (Builder * b, Tensor * t);

/* An index is [4]. */
double tensor_get (const Tensor * t, const gint64 * index);
void tensor_set (Tensor * t, const gint64 * index, double value);

/* The next index in order; FALSE after the last. */
gboolean tensor_next (const Tensor * t, gint64 * index);

/* Noise from -high to high. */
void tensor_fill (Tensor * t, GRand * rand, double high);

/* Fails the test if a byte that is no element's lost its poison. */
void tensor_check_gaps (const Tensor * t);

gsize type_get_size (cudnnDataType_t type);

/* To the nearest that the type has. */
double type_round (cudnnDataType_t type, double value);

/* How far apart numbers of about that size are. */
double type_get_step (cudnnDataType_t type, double value);

/* --- descriptors ---------------------------------------------------------- */

Descriptor build (Builder * b, cudnnBackendDescriptorType_t type);
void build_set (Builder * b, Descriptor d, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, gint64 count, gconstpointer elements);
void build_refer (Builder * b, Descriptor d, cudnnBackendAttributeName_t name,
    Descriptor referred);
Descriptor build_finish (Builder * b, Descriptor d);

Descriptor build_convolution (Builder * b, const Tensor * x, const Tensor * w,
    const Tensor * y, const gint64 * stride, const gint64 * before,
    const gint64 * after);
Descriptor build_matmul (Builder * b, const Tensor * a, const Tensor * b2,
    const Tensor * c);
Descriptor build_pointwise (Builder * b, int mode, const Tensor * x,
    const Tensor * operand, const Tensor * y);
Descriptor build_reduction (Builder * b, int mode, const Tensor * x,
    const Tensor * y);
Descriptor build_statistics (Builder * b, const Tensor * x, const Tensor * sum,
    const Tensor * square_sum);
Descriptor build_sdpa (Builder * b, const Tensor * q, const Tensor * k,
    const Tensor * v, const Tensor * scale, const Tensor * o);

Descriptor build_graph (Builder * b, int n, const Descriptor * operations);
Descriptor build_device (Builder * b);

/* The engine configuration of that index, or NULL. */
Descriptor build_config (Builder * b, Descriptor graph,
    cudnnBackendHeurMode_t mode, int index);

Descriptor build_plan (Builder * b, int n, const Descriptor * operations);

/* The plan as text, to be freed; and a plan of text. */
char *builder_write_plan (Builder * b, Descriptor plan, gint64 * length);
Descriptor build_plan_of_text (Builder * b, const char *text, gint64 length);

/* Of all tensors so far that are in memory, and a workspace. */
Descriptor build_pack (Builder * b);

/* Executes a plan of these operations. */
void builder_execute (Builder * b, int n, const Descriptor * operations);

/* The same; fails the test if it is refused. */
void builder_run (Builder * b, int n, const Descriptor * operations);

/* --- cudnn_refusals.c ----------------------------------------------------- */

void add_refusal_tests (void);

G_END_DECLS
