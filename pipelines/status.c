/* How far plans are, see status.h. What is known is what tasks have written
 * beside their parts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "status.h"
#include "assemble.h"
#include "record.h"

#include <json-glib/json-glib.h>
#include <stdio.h>

typedef enum
{
  WAITING,
  RUNNING,
  DONE,
  FAILED,
  N_STATES
} State;

static const char *const names[] = {
  [WAITING] = "waiting",
  [RUNNING] = "running",
  [DONE] = "done",
  [FAILED] = "failed",
};

typedef struct
{
  guint n[N_STATES];            /* parts */
  guint n_frames, n_restored, n_lost;
  double speed;                 /* frames a second, of all tasks that run */
  gboolean is_joined;
  char *join_problem;           /* NULL: none */
  GPtrArray *problems;          /* of sentences */
} Status;

/* --- Looking ------------------------------------------------------------- */

static void
look_at_running (Status * self, const Plan * plan, guint index)
{
  g_autoptr (Record) record = record_load (plan, index, RECORD_RUNNING);

  if (!record)
    return;
  self->n_restored += record->n_frames;
  if (record->seconds > 0)
    self->speed += record->n_frames / record->seconds;
}

static State
look_at_result (Status * self, const Plan * plan, guint index)
{
  g_autoptr (Record) record = record_load (plan, index, RECORD_RESULT);
  g_autofree char *name = NULL;
  char *loss;

  if (!record || g_strcmp0 (record->plan, plan->id) != 0)
    return WAITING;
  if (!record->error) {
    self->n_restored += record->n_frames;
    loss = record_dup_loss (record, plan, index);
    if (loss) {
      self->n_lost += plan_get_part (plan, index)->n_frames - record->n_frames;
      g_ptr_array_add (self->problems, loss);
    }
    return DONE;
  }
  name = plan_describe_part (plan, index);
  g_ptr_array_add (self->problems, g_strdup_printf ("%s: %s", name,
          record->error));
  return FAILED;
}

static State
look_at_part (Status * self, const Plan * plan, guint index)
{
  if (self->is_joined) {
    self->n_restored += plan_get_part (plan, index)->n_frames;
    return DONE;
  }
  if (record_is_running (plan, index)) {
    look_at_running (self, plan, index);
    return RUNNING;
  }
  return look_at_result (self, plan, index);
}

static void
look (Status * self, const Plan * plan)
{
  *self = (Status) {
    .n_frames = plan_count_frames (plan),
    .problems = g_ptr_array_new_with_free_func (g_free),
  };
  self->is_joined = assemble_is_done (plan, &self->join_problem);
  for (guint i = 0; i < plan->parts->len; i++)
    self->n[look_at_part (self, plan, i)]++;
}

static void
clear (Status * self)
{
  g_free (self->join_problem);
  g_ptr_array_unref (self->problems);
}

/* In seconds; less than 0: unknown. */
static double
get_left (const Status * self)
{
  guint n_done = self->n_restored + self->n_lost;

  if (n_done >= self->n_frames)
    return 0;
  return self->speed > 0 ? (self->n_frames - n_done) / self->speed : -1;
}

/* --- Telling ------------------------------------------------------------- */

static void
print_lines (const Status * self, const Plan * plan)
{
  double left = get_left (self);

  printf ("%s: ", plan->out);
  if (self->is_joined)
    printf ("done, ");
  for (guint i = 0; !self->is_joined && i < N_STATES; i++)
    printf ("%u %s, ", self->n[i], names[i]);
  printf ("%u of %u frames", self->n_restored, self->n_frames);
  if (self->speed > 0)
    printf (", %.1f frames/s", self->speed);
  if (self->speed > 0 && left > 0)
    printf (", %d:%02d:%02d left", (int) (left / 3600), (int) left / 60 % 60,
        (int) left % 60);
  if (self->n_lost > 0)
    printf (", %u cannot be decoded", self->n_lost);
  printf ("\n");
  for (guint i = 0; i < self->problems->len; i++)
    printf ("  %s\n", (const char *) g_ptr_array_index (self->problems, i));
  if (self->join_problem)
    printf ("  not joined: %s\n", self->join_problem);
}

static void
build_counts (const Status * self, JsonBuilder * builder)
{
  json_builder_set_member_name (builder, "parts");
  json_builder_begin_object (builder);
  for (guint i = 0; i < N_STATES; i++) {
    json_builder_set_member_name (builder, names[i]);
    json_builder_add_int_value (builder, self->n[i]);
  }
  json_builder_end_object (builder);
  json_builder_set_member_name (builder, "frames");
  json_builder_add_int_value (builder, self->n_frames);
  json_builder_set_member_name (builder, "restored");
  json_builder_add_int_value (builder, self->n_restored);
  json_builder_set_member_name (builder, "lost");
  json_builder_add_int_value (builder, self->n_lost);
  json_builder_set_member_name (builder, "frames_per_second");
  json_builder_add_double_value (builder, self->speed);
}

static void
build_object (const Status * self, const Plan * plan, JsonBuilder * builder)
{
  double left = get_left (self);

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "plan");
  json_builder_add_string_value (builder, plan->path);
  json_builder_set_member_name (builder, "out");
  json_builder_add_string_value (builder, plan->out);
  build_counts (self, builder);
  json_builder_set_member_name (builder, "seconds_left");
  if (left >= 0)
    json_builder_add_double_value (builder, left);
  else
    json_builder_add_null_value (builder);
  json_builder_set_member_name (builder, "joined");
  json_builder_add_boolean_value (builder, self->is_joined);
  json_builder_set_member_name (builder, "problems");
  json_builder_begin_array (builder);
  for (guint i = 0; i < self->problems->len; i++)
    json_builder_add_string_value (builder,
        g_ptr_array_index (self->problems, i));
  if (self->join_problem)
    json_builder_add_string_value (builder, self->join_problem);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
}

void
status_print (GPtrArray * plans, gboolean as_json)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;
  Status status;

  json_builder_begin_array (builder);
  for (guint i = 0; i < plans->len; i++) {
    const Plan *plan = g_ptr_array_index (plans, i);

    look (&status, plan);
    if (as_json)
      build_object (&status, plan, builder);
    else
      print_lines (&status, plan);
    clear (&status);
  }
  json_builder_end_array (builder);
  if (!as_json)
    return;
  root = json_builder_get_root (builder);
  text = json_to_string (root, TRUE);
  printf ("%s\n", text);
}
