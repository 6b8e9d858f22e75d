/* What the files about cuDNN share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cudnn.h"

G_BEGIN_DECLS

struct _DloralCudnn
{
  const DloralCudnnApi *api;
  const DloralDriver *driver;   /* NULL: no device, plans only */
  cudnnBackendDescriptor_t device;      /* its properties */
  char *identity;               /* of device and library, for the cache */
  char *cache;                  /* folder, or NULL */
  gboolean tune;
  GMutex lock;
  GHashTable *plans;            /* graph's text → DloralCudnnPlan */
  GHashTable *making;           /* texts of graphs that plans are made of now */
  GCond made;                   /* one of them less */
  GRWLock quiet;                /* written: a plan is timed; read: one is made */
};

struct _DloralCudnnPlan
{
  DloralCudnn *cudnn;
  char *key;                    /* of cudnn->plans */
  int references;               /* under its lock */
  cudnnBackendDescriptor_t plan;
  gsize workspace;
  char *engine;                 /* its number, for tables */
  char *description;
};

/* A tensor in memory, for whoever has to provide some. */
typedef struct
{
  gint64 uid;
  gsize size;                   /* bytes; of scalars 0 */
} DloralCudnnMemory;

struct _DloralCudnnGraph
{
  DloralCudnn *cudnn;
  gboolean exact;
  const gint *cancelled;
  GString *text;                /* names the graph: equal texts, equal graphs */
  GPtrArray *tensors;           /* DloralCudnnTensor */
  GPtrArray *descriptors;       /* of everything, destroyed at the end */
  GArray *operations;           /* cudnnBackendDescriptor_t */
  GArray *memory;               /* DloralCudnnMemory */
  GError *error;                /* the first failure */
};

/* Whether the status is success; if not, `error` says which call failed and what
 * cuDNN says of it. */
gboolean dloral_cudnn_check (const DloralCudnnApi * api, cudnnStatus_t status,
    const char *call, GError ** error);

/* Descriptors of the graph's, destroyed with it. After a failure these do
 * nothing; NULL is returned then. */
cudnnBackendDescriptor_t dloral_cudnn_graph_make (DloralCudnnGraph * g,
    cudnnBackendDescriptorType_t type);
void dloral_cudnn_graph_set (DloralCudnnGraph * g,
    cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
    cudnnBackendAttributeType_t type, gint64 n, const void *values);
void dloral_cudnn_graph_close (DloralCudnnGraph * g,
    cudnnBackendDescriptor_t descriptor);

/* Plans of earlier runs, by the text of their graph. NULL where there is none. */
DloralCudnnPlan *dloral_cudnn_cache_load (DloralCudnn * cudnn,
    const char *text);
void dloral_cudnn_cache_store (const DloralCudnnPlan * plan,
    const char *text);

/* A plan around a finished descriptor, which it takes over. */
DloralCudnnPlan *dloral_cudnn_plan_wrap (DloralCudnn * cudnn,
    cudnnBackendDescriptor_t descriptor, const char *engine, GError ** error);

/* Seconds that a run takes on the device; infinite where it fails. */
double dloral_cudnn_time (const DloralCudnnPlan * plan,
    const GArray * memory);

G_END_DECLS
