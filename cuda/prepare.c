/* Preparing a plan's operators side by side: what takes long is cuDNN's compiling,
 * which keeps one core of the host busy.
 *
 * The caller's thread is one of those that work, and the others are gone when it
 * returns. Where fewer can be started, or enter the device's context, the rest do
 * their part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "op.h"

/* A compilation takes some 40 MiB meanwhile. */
#define MAX_THREADS 16

typedef struct
{
  DloralDevice *device;
  DloralCudaOp **ops;
  GArray *order;                /* guint: indices into ops, as they are taken */
  const gint *cancelled;
  int next;                     /* atomic: index into order */
  int failing;                  /* atomic: no more is begun */
  GMutex lock;
  guint failed;                 /* under the lock: the first operator that did, */
  GError *error;                /* and why */
} Work;

/* --- Order ----------------------------------------------------------------------- */

static gboolean
has_shape (const DloralTensor *t, const DloralTensor *other)
{
  return t->h == other->h && t->w == other->w && t->c == other->c
      && t->dtype == other->dtype;
}

/* Whether one plan will probably do for both. */
static gboolean
is_alike (const DloralOp *a, const DloralOp *b)
{
  gboolean alike = a->kind == b->kind && a->n_src == b->n_src
      && has_shape (a->dst, b->dst) && !a->weight == !b->weight
      && (a->weight == NULL || a->weight->kh == b->weight->kh);

  for (int i = 0; i < a->n_src && alike; i++)
    alike = has_shape (a->src[i], b->src[i]);
  return alike;
}

/* Of operators that are alike one goes ahead: the others, begun at the same time,
 * would only wait for its plan. */
static GArray *
get_order (DloralCudaOp *const *ops, guint n)
{
  GArray *order = g_array_new (FALSE, FALSE, sizeof (guint));
  g_autoptr (GArray) rest = g_array_new (FALSE, FALSE, sizeof (guint));

  for (guint i = 0; i < n; i++) {
    gboolean first = TRUE;

    if (ops[i]->prepare == NULL)
      continue;
    for (guint j = 0; j < order->len && first; j++)
      first = !is_alike (ops[g_array_index (order, guint, j)]->op, ops[i]->op);
    g_array_append_val (first ? order : rest, i);
  }
  if (rest->len > 0)
    g_array_append_vals (order, rest->data, rest->len);
  return order;
}

/* --- Threads --------------------------------------------------------------------- */

/* Of several failures the one is told that comes first in the graph. */
static void
fail (Work *work, guint i, GError *error)
{
  g_atomic_int_set (&work->failing, TRUE);
  g_mutex_lock (&work->lock);
  if (work->error == NULL || i < work->failed) {
    g_clear_error (&work->error);
    work->failed = i;
    work->error = g_steal_pointer (&error);
  }
  g_mutex_unlock (&work->lock);
  g_clear_error (&error);
}

static void
take_part (Work *work)
{
  while (!g_atomic_int_get (&work->failing)) {
    guint next = g_atomic_int_add (&work->next, 1), i;
    GError *error = NULL;

    if (next >= work->order->len)
      break;
    i = g_array_index (work->order, guint, next);
    if (!dloral_check_cancelled (work->cancelled, &error)
        || !work->ops[i]->prepare (work->ops[i], &error))
      fail (work, i, error);
  }
}

static gpointer
help (gpointer data)
{
  Work *work = data;

  if (dloral_device_enter (work->device, NULL)) {
    take_part (work);
    dloral_device_leave (work->device, TRUE, NULL);
  }
  return NULL;
}

static void
work_together (Work *work)
{
  GThread *helpers[MAX_THREADS - 1];
  guint n_threads = MIN (g_get_num_processors (), MAX_THREADS), n = 0;

  while (n + 1 < MIN (n_threads, work->order->len)
      && (helpers[n] = g_thread_try_new ("dloral-plan", help, work, NULL)))
    n++;
  take_part (work);
  while (n > 0)
    g_thread_join (helpers[--n]);
}

gboolean
dloral_cuda_prepare (DloralDevice *device, DloralCudaOp **ops, guint n,
    const gint *cancelled, guint *failed, GError **error)
{
  Work work = { .device = device, .ops = ops, .order = get_order (ops, n),
    .cancelled = cancelled };

  g_mutex_init (&work.lock);
  work_together (&work);
  g_mutex_clear (&work.lock);
  g_array_unref (work.order);
  *failed = work.failed;
  if (work.error == NULL)       /* what was given up is no choice */
    return dloral_check_cancelled (cancelled, error);
  g_propagate_error (error, work.error);
  return FALSE;
}
