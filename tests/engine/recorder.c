/* A backend that records: what queues are given is a step of their clocks and
 * accesses to watched memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "recorder.h"

#include <string.h>

#include "arena.h"
#include "shadow.h"

#define SCRATCH 320             /* bytes an operator needs beside the arena */
#define GAP 4096                /* between memory of the device */
#define POLLS 2                 /* so often an event is said not to be past */

struct _DloralDevice
{
  guintptr next;                /* address that is nobody's yet */
};

struct _DloralQueue
{
  guint actor;
  HbStep given;                 /* by the thread that gave last; time 0: none */
};

struct _DloralEvent
{
  gboolean recorded;
  HbStep step;                  /* of the queue */
  HbClock clock;
  int polls;
};

struct _DloralPlan
{
  const DloralGraph *graph;
  DloralQueue *queue;           /* the only one it runs in, or NULL */
  HbStep run;                   /* the last */
  guint64 *frames;              /* [n_tensors], that each was made from */
  DloralOpTime *times;          /* [n_ops] */
};

/* A copy that a queue has been given and that has not been done yet. */
typedef struct
{
  HbStep step;
  gboolean up;
  guint8 *host;
  gsize size;
  guint64 frames;               /* down: what is copied */
  guint sum;                    /* up: of what was to be copied */
} Copy;

static struct
{
  RecorderCall wrong;
  int nth;
  int counts[RECORDER_N_CALLS];
  int n_devices, n_queues, n_events, n_plans;
  GArray *copies;               /* Copy */
} recorder;

/* --- The whole ------------------------------------------------------------------ */

void
recorder_start (RecorderCall call, int nth)
{
  hb_reset ();
  hb_lock ();
  shadow_reset ();
  g_clear_pointer (&recorder.copies, g_array_unref);
  memset (&recorder, 0, sizeof recorder);
  recorder.copies = g_array_new (FALSE, FALSE, sizeof (Copy));
  recorder.wrong = call;
  recorder.nth = nth;
  hb_unlock ();
}

GPtrArray *
recorder_stop (void)
{
  GPtrArray *reports;

  hb_lock ();
  if (recorder.n_devices + recorder.n_queues + recorder.n_events +
      recorder.n_plans + shadow_count () > 0)
    shadow_report ("%d devices, %d queues, %d events, %d plans and %u pieces of "
        "memory are left", recorder.n_devices, recorder.n_queues,
        recorder.n_events, recorder.n_plans, shadow_count ());
  reports = shadow_take_reports ();
  hb_unlock ();
  return reports;
}

int
recorder_get_count (RecorderCall call)
{
  int count;

  hb_lock ();
  count = recorder.counts[call];
  hb_unlock ();
  return count;
}

static gboolean
goes_wrong (RecorderCall call)
{
  return recorder.counts[call]++ == recorder.nth && call == recorder.wrong;
}

static gboolean
fail (RecorderCall call, GError **error)
{
  if (!goes_wrong (call))
    return FALSE;
  g_set_error (error, DLORAL_ERROR, call == RECORDER_ALLOC ?
      DLORAL_ERROR_MEMORY : DLORAL_ERROR_DEVICE, "It was told to fail.");
  return TRUE;
}

/* --- The host --------------------------------------------------------------------- */

static ShadowAccess
host_access (const char *what, guint64 frames)
{
  return (ShadowAccess) { hb_get_step (hb_get_thread ()),
    g_intern_string (what), frames };
}

void
recorder_host_writes (gpointer memory, gsize size, int frame)
{
  ShadowAccess access;

  hb_lock ();
  access = host_access ("the caller fills its picture",
      G_GUINT64_CONSTANT (1) << frame);
  shadow_write (SHADOW_HOST, (guintptr) memory, size, &access);
  hb_unlock ();
}

guint64
recorder_host_reads (gconstpointer memory, gsize size)
{
  ShadowAccess access;
  guint64 frames;

  hb_lock ();
  access = host_access ("the caller reads its picture", 0);
  frames = shadow_read (SHADOW_HOST, (guintptr) memory, size, &access);
  hb_unlock ();
  return frames;
}

/* --- Devices and memory ------------------------------------------------------------ */

static DloralDevice *
open_device (const DloralDeviceParams *params, GError **error)
{
  DloralDevice *device = g_new0 (DloralDevice, 1);

  hb_lock ();
  device->next = GAP;
  recorder.n_devices++;
  hb_unlock ();
  return device;
}

static void
close_device (DloralDevice *device)
{
  hb_lock ();
  recorder.n_devices--;
  hb_unlock ();
  g_free (device);
}

static DloralDtype
get_act_dtype (DloralDevice *device)
{
  return DLORAL_BF16;
}

/* Addresses are never given twice: who comes too late is seen. */
static gpointer
alloc (DloralDevice *device, gsize size, GError **error)
{
  guintptr address = 0;

  hb_lock ();
  if (!fail (RECORDER_ALLOC, error)) {
    address = device->next;
    device->next += dloral_align (size) + GAP;
    shadow_add (SHADOW_DEVICE, address, MAX (size, 1));
  }
  hb_unlock ();
  return (gpointer) address;
}

static void
free_memory (DloralDevice *device, gpointer memory)
{
  ShadowAccess access;

  hb_lock ();
  access = host_access ("freeing device memory", 0);
  shadow_remove (SHADOW_DEVICE, (guintptr) memory, &access);
  hb_unlock ();
}

static gpointer
alloc_host (DloralDevice *device, gsize size, GError **error)
{
  gpointer memory = NULL;

  hb_lock ();
  if (!fail (RECORDER_ALLOC, error)) {
    memory = g_malloc0 (MAX (size, 1));
    shadow_add (SHADOW_HOST, (guintptr) memory, MAX (size, 1));
  }
  hb_unlock ();
  return memory;
}

static void
free_host (DloralDevice *device, gpointer memory)
{
  ShadowAccess access;

  hb_lock ();
  access = host_access ("freeing host memory", 0);
  shadow_remove (SHADOW_HOST, (guintptr) memory, &access);
  hb_unlock ();
  g_free (memory);
}

/* --- Compiling --------------------------------------------------------------------- */

static DloralPlan *
compile (DloralDevice *device, const DloralGraph *graph, GError **error)
{
  DloralPlan *plan = NULL;

  hb_lock ();
  if (!fail (RECORDER_COMPILE, error)) {
    arena_check (graph);
    plan = g_new0 (DloralPlan, 1);
    plan->graph = graph;
    plan->frames = g_new0 (guint64, graph->tensors->len);
    plan->times = g_new0 (DloralOpTime, graph->ops->len);
    recorder.n_plans++;
  }
  hb_unlock ();
  return plan;
}

static void
plan_free (DloralPlan *plan)
{
  hb_lock ();
  if (!hb_is_before (plan->run, hb_get_clock (hb_get_thread ())))
    shadow_report ("%s: the plan is freed, and nothing says that its last run "
        "is over", plan->graph->name);
  recorder.n_plans--;
  hb_unlock ();
  g_free (plan->frames);
  g_free (plan->times);
  g_free (plan);
}

static gsize
plan_get_arena_size (const DloralPlan *plan)
{
  return plan->graph->arena_size + SCRATCH;
}

static const DloralOpTime *
plan_profile (DloralPlan *plan, gboolean enable)
{
  return plan->times;
}

/* --- Queues ------------------------------------------------------------------------ */

static DloralQueue *
queue_new (DloralDevice *device, gboolean urgent, GError **error)
{
  DloralQueue *queue = g_new0 (DloralQueue, 1);

  hb_lock ();
  queue->actor = hb_add_actor ();
  recorder.n_queues++;
  hb_unlock ();
  return queue;
}

/* A step of the queue: after all it was given before, and after all that the
 * thread has done that gives it. */
static HbStep
give (DloralQueue *queue)
{
  guint thread = hb_get_thread ();
  HbStep step;

  if (!hb_is_before (queue->given, hb_get_clock (thread)))
    shadow_report ("actor %u is a queue that two threads give to at once",
        queue->actor);
  hb_join (hb_get_clock (queue->actor), hb_get_clock (thread));
  step = hb_advance (queue->actor);
  queue->given = hb_get_step (thread);
  hb_advance (thread);
  return step;
}

static guint
get_sum (const guint8 *bytes, gsize size)
{
  guint sum = 0;

  for (gsize i = 0; i < size; i++)
    sum = sum * 31 + bytes[i];
  return sum;
}

static void
do_copy (const Copy *copy)
{
  if (copy->up) {
    if (get_sum (copy->host, copy->size) != copy->sum)
      shadow_report ("host memory was changed before it was copied");
    return;
  }
  memset (copy->host, 1, copy->size);
  if (copy->size >= sizeof copy->frames)
    memcpy (copy->host, &copy->frames, sizeof copy->frames);
}

/* The calling thread has waited for what the clock says. */
static void
finish (const HbClock *clock)
{
  guint i = 0;

  hb_join (hb_get_clock (hb_get_thread ()), clock);
  while (i < recorder.copies->len) {
    const Copy *copy = &g_array_index (recorder.copies, Copy, i);

    if (hb_is_before (copy->step, clock)) {
      do_copy (copy);
      g_array_remove_index (recorder.copies, i);
    } else {
      i++;
    }
  }
}

static gboolean
queue_finish (DloralQueue *queue, GError **error)
{
  hb_lock ();
  give (queue);
  finish (hb_get_clock (queue->actor));
  hb_unlock ();
  return TRUE;
}

static void
queue_free (DloralQueue *queue)
{
  queue_finish (queue, NULL);
  hb_lock ();
  recorder.n_queues--;
  hb_unlock ();
  g_free (queue);
}

/* Host memory that the backend did not allocate is not watched. */
static gboolean
upload (DloralQueue *queue, gpointer device_memory, gconstpointer host_memory,
    gsize size, GError **error)
{
  ShadowAccess access = { .what = g_intern_static_string ("upload") };
  Copy copy = { .up = TRUE, .host = (guint8 *) host_memory, .size = size };

  hb_lock ();
  access.step = copy.step = give (queue);
  copy.sum = get_sum (copy.host, size);
  g_array_append_val (recorder.copies, copy);
  if (shadow_has (SHADOW_HOST, (guintptr) host_memory))
    access.frames = shadow_read (SHADOW_HOST, (guintptr) host_memory, size,
        &access);
  shadow_write (SHADOW_DEVICE, (guintptr) device_memory, size, &access);
  hb_unlock ();
  return TRUE;
}

static gboolean
download (DloralQueue *queue, gpointer host_memory,
    gconstpointer device_memory, gsize size, GError **error)
{
  ShadowAccess access = { .what = g_intern_static_string ("download") };
  Copy copy = { .host = host_memory, .size = size };

  hb_lock ();
  access.step = copy.step = give (queue);
  access.frames = copy.frames = shadow_read (SHADOW_DEVICE,
      (guintptr) device_memory, size, &access);
  g_array_append_val (recorder.copies, copy);
  memset (host_memory, 0, size);
  if (shadow_has (SHADOW_HOST, (guintptr) host_memory))
    shadow_write (SHADOW_HOST, (guintptr) host_memory, size, &access);
  hb_unlock ();
  return TRUE;
}

/* Whoever has the frame says by its context which it is, and is told where it
 * wants the rows. */
static gboolean
copy_rows (DloralQueue *queue, gpointer frame, const DloralVideoRows *rows,
    gboolean in, GError **error)
{
  ShadowAccess access = { .what = g_intern_static_string (in ? "put" : "take") };
  guintptr ours = (guintptr) frame + rows->offset;

  hb_lock ();
  access.step = give (queue);
  if (in) {
    access.frames = G_GUINT64_CONSTANT (1) << GPOINTER_TO_INT (rows->context);
    shadow_write (SHADOW_DEVICE, ours, rows->height * rows->frame_stride,
        &access);
  } else {
    *(guint64 *) rows->address = shadow_read (SHADOW_DEVICE, ours,
        rows->height * rows->frame_stride, &access);
  }
  hb_unlock ();
  return TRUE;
}

/* --- Running ----------------------------------------------------------------------- */

/* What an operator does to a bound tensor. */
static const char *
describe (const DloralPlan *plan, const DloralOp *op, const char *verb,
    const DloralTensor *t)
{
  g_autofree char *what = g_strdup_printf ("%s: %s '%s' %s binding %d",
      plan->graph->name, dloral_op_kind_get_name (op->kind), op->scope, verb,
      t->binding);

  return g_intern_string (what);
}

static void
read_tensor (DloralPlan *plan, const DloralOp *op, const DloralTensor *t,
    gpointer const *bindings)
{
  ShadowAccess access = { plan->run, NULL, 0 };

  if (t->binding < 0)
    return;
  access.what = describe (plan, op, "reads", t);
  plan->frames[t->id] = shadow_read (SHADOW_DEVICE,
      (guintptr) bindings[t->binding], dloral_tensor_get_size (t), &access);
}

static void
write_tensor (DloralPlan *plan, const DloralOp *op, const DloralTensor *t,
    guint64 frames, gpointer const *bindings)
{
  ShadowAccess access = { plan->run, NULL, frames };

  plan->frames[t->id] = frames;
  if (t->binding < 0)
    return;
  access.what = describe (plan, op, "writes", t);
  shadow_write (SHADOW_DEVICE, (guintptr) bindings[t->binding],
      dloral_tensor_get_size (t), &access);
}

static void
run_op (DloralPlan *plan, const DloralOp *op, gpointer const *bindings)
{
  guint64 frames = 0;

  for (int s = 0; s < op->n_src; s++) {
    read_tensor (plan, op, op->src[s], bindings);
    frames |= plan->frames[op->src[s]->id];
  }
  write_tensor (plan, op, op->dst, frames, bindings);
  if (op->kind == DLORAL_OP_TO_PICTURE)
    write_tensor (plan, op, op->u.to_picture.finite, frames, bindings);
}

/* Bound tensors are apart from each other. */
static void
check_bindings (const DloralGraph *g, gpointer const *bindings)
{
  for (int i = 0; i < g->n_bindings; i++)
    for (int j = 0; j < g->n_bindings; j++) {
      guintptr a = (guintptr) bindings[i], b = (guintptr) bindings[j];

      if (i != j && a <= b && b < a +
          dloral_tensor_get_size (dloral_graph_get_bound (g, i)))
        shadow_report ("%s: bindings %d and %d overlap", g->name, i, j);
    }
}

static void
run_ops (DloralPlan *plan, gpointer arena, gpointer const *bindings)
{
  const GPtrArray *ops = plan->graph->ops;
  g_autofree char *what = g_strdup_printf ("%s: arena", plan->graph->name);
  ShadowAccess access = { plan->run, g_intern_string (what), 0 };

  check_bindings (plan->graph, bindings);
  for (guint i = 0; i < ops->len; i++)
    run_op (plan, ops->pdata[i], bindings);
  if (ops->len > 0)
    access.frames =
        plan->frames[((const DloralOp *) ops->pdata[ops->len - 1])->dst->id];
  shadow_write (SHADOW_DEVICE, (guintptr) arena, plan_get_arena_size (plan),
      &access);
}

static gboolean
run (DloralPlan *plan, DloralQueue *queue, gpointer arena,
    gpointer const *bindings, GError **error)
{
  gboolean ok;

  hb_lock ();
  ok = !fail (RECORDER_RUN, error);
  if (ok) {
    if (plan->queue && plan->queue != queue)
      shadow_report ("%s: the plan is run in two queues", plan->graph->name);
    plan->queue = queue;
    plan->run = give (queue);
    run_ops (plan, arena, bindings);
  }
  hb_unlock ();
  return ok;
}

/* --- Events ------------------------------------------------------------------------ */

static DloralEvent *
event_new (DloralDevice *device, GError **error)
{
  hb_lock ();
  recorder.n_events++;
  hb_unlock ();
  return g_new0 (DloralEvent, 1);
}

static void
event_free (DloralEvent *event)
{
  hb_lock ();
  recorder.n_events--;
  hb_unlock ();
  g_free (event);
}

static gboolean
event_record (DloralEvent *event, DloralQueue *queue, GError **error)
{
  hb_lock ();
  if (!goes_wrong (RECORDER_RECORD)) {
    event->step = give (queue);
    event->clock = *hb_get_clock (queue->actor);
    event->recorded = TRUE;
    event->polls = 0;
  }
  hb_unlock ();
  return TRUE;
}

static void
check_recorded (const DloralEvent *event, const char *who)
{
  if (!event->recorded)
    shadow_report ("%s an event that marks nothing", who);
}

static gboolean
queue_wait (DloralQueue *queue, DloralEvent *event, GError **error)
{
  hb_lock ();
  if (!goes_wrong (RECORDER_WAIT)) {
    check_recorded (event, "a queue waits for");
    give (queue);
    hb_join (hb_get_clock (queue->actor), &event->clock);
  }
  hb_unlock ();
  return TRUE;
}

static gboolean
event_finish (DloralEvent *event, GError **error)
{
  hb_lock ();
  if (!goes_wrong (RECORDER_FINISH)) {
    check_recorded (event, "a thread waits for");
    finish (&event->clock);
  }
  hb_unlock ();
  return TRUE;
}

static gboolean
event_is_past (DloralEvent *event)
{
  gboolean past;

  hb_lock ();
  past = event->polls++ >= POLLS || !event->recorded;
  if (past)
    finish (&event->clock);
  hb_unlock ();
  return past;
}

static gint64
event_get_elapsed (DloralEvent *from, DloralEvent *to)
{
  const HbClock *thread;

  hb_lock ();
  thread = hb_get_clock (hb_get_thread ());
  check_recorded (from, "time is told from");
  check_recorded (to, "time is told to");
  if (!hb_is_before (from->step, thread) || !hb_is_before (to->step, thread))
    shadow_report ("time is told of an event that may not be past");
  hb_unlock ();
  return 1;
}

const DloralBackend recorder_backend = {
  .name = "recorder",
  .discrete = TRUE,
  .open = open_device,
  .close = close_device,
  .get_act_dtype = get_act_dtype,
  .compile = compile,
  .plan_free = plan_free,
  .plan_get_arena_size = plan_get_arena_size,
  .alloc = alloc,
  .free = free_memory,
  .alloc_host = alloc_host,
  .free_host = free_host,
  .queue_new = queue_new,
  .queue_free = queue_free,
  .queue_finish = queue_finish,
  .run = run,
  .upload = upload,
  .download = download,
  .copy_rows = copy_rows,
  .event_new = event_new,
  .event_free = event_free,
  .event_record = event_record,
  .queue_wait = queue_wait,
  .event_finish = event_finish,
  .event_is_past = event_is_past,
  .event_get_elapsed = event_get_elapsed,
  .plan_profile = plan_profile,
};
