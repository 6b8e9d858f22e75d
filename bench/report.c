/* The results for people and for programs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "bench.h"

static const char *const stage_names[DLORAL_N_STAGES] = {
  "encode", "restore", "decode"
};

/* FLOP or bytes a frame and ms a frame to GFLOP/s or GB/s. */
static double
get_rate (double amount, double ms)
{
  return ms > 0 ? amount / ms * 1e-6 : 0;
}

static void
print_stage (const char *name, const BenchStage *s)
{
  printf ("  %-8s %8.2f ms %8.2f GFLOP %8.0f GFLOP/s %6.1f %% outside "
      "oneDNN\n", name, s->ms, s->flop * 1e-9, get_rate (s->flop, s->ms),
      100 * s->outside);
}

void
bench_print (const BenchEngine *e, const BenchElement *element,
    int n_operators)
{
  printf ("%dx%d -> %dx%d, %s, %.1f MiB a stream\n", e->width, e->height,
      4 * e->width, 4 * e->height, e->precision, e->memory / 1048576.);
  for (int s = 0; s < DLORAL_N_STAGES; s++)
    print_stage (stage_names[s], &e->stages[s]);
  print_stage ("frame", &e->frame);
  printf ("  engine   %8.1f fps, a frame at a time\n", 1e3 / e->frame.ms);
  if (element)
    printf ("  element  %8.1f fps, I420 in and out\n", element->fps);
  for (int i = 0; i < n_operators && i < (int) e->operators->len; i++) {
    const BenchOperator *o = &g_array_index (e->operators, BenchOperator, i);

    printf ("  %7.3f ms %6.0f GFLOP/s %5.0f GB/s %s %s\n", o->ms,
        get_rate (o->flop, o->ms), get_rate (o->bytes, o->ms),
        o->library ? " " : "*", o->name);
  }
  printf ("  (* outside oneDNN)\n");
}

static void
add_number (JsonBuilder *b, const char *name, double value)
{
  json_builder_set_member_name (b, name);
  json_builder_add_double_value (b, value);
}

static void
add_int (JsonBuilder *b, const char *name, gint64 value)
{
  json_builder_set_member_name (b, name);
  json_builder_add_int_value (b, value);
}

static void
add_stage (JsonBuilder *b, const char *name, const BenchStage *s)
{
  json_builder_set_member_name (b, name);
  json_builder_begin_object (b);
  add_number (b, "ms", s->ms);
  add_number (b, "gflop", s->flop * 1e-9);
  add_number (b, "gflop_per_s", get_rate (s->flop, s->ms));
  add_number (b, "outside_library", s->outside);
  json_builder_end_object (b);
}

static void
add_operators (JsonBuilder *b, const GArray *operators, int n)
{
  json_builder_set_member_name (b, "operators");
  json_builder_begin_array (b);
  for (int i = 0; i < n && i < (int) operators->len; i++) {
    const BenchOperator *o = &g_array_index (operators, BenchOperator, i);

    json_builder_begin_object (b);
    json_builder_set_member_name (b, "name");
    json_builder_add_string_value (b, o->name);
    add_number (b, "ms", o->ms);
    add_number (b, "gflop", o->flop * 1e-9);
    add_number (b, "gflop_per_s", get_rate (o->flop, o->ms));
    add_number (b, "megabytes", o->bytes * 1e-6);
    add_number (b, "gb_per_s", get_rate (o->bytes, o->ms));
    json_builder_set_member_name (b, "library");
    json_builder_add_boolean_value (b, o->library);
    json_builder_end_object (b);
  }
  json_builder_end_array (b);
}

void
bench_add_json (JsonBuilder *b, const BenchEngine *e, int n_operators)
{
  add_int (b, "width", e->width);
  add_int (b, "height", e->height);
  json_builder_set_member_name (b, "precision");
  json_builder_add_string_value (b, e->precision);
  add_int (b, "memory", e->memory);
  for (int s = 0; s < DLORAL_N_STAGES; s++)
    add_stage (b, stage_names[s], &e->stages[s]);
  add_stage (b, "frame", &e->frame);
  add_operators (b, e->operators, n_operators);
}

void
bench_print_json (const BenchEngine *e, const BenchElement *element,
    int n_operators)
{
  g_autoptr (JsonBuilder) b = json_builder_new ();
  g_autofree char *text = NULL;
  JsonNode *root;

  json_builder_begin_object (b);
  bench_add_json (b, e, n_operators);
  if (element)
    add_number (b, "element_fps", element->fps);
  json_builder_end_object (b);
  root = json_builder_get_root (b);
  text = json_to_string (root, FALSE);
  printf ("%s\n", text);
  json_node_unref (root);
}
