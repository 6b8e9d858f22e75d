/* How a film is cut into parts, see split.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "split.h"
#include "identity.h"
#include "paths.h"
#include "properties.h"
#include "transcode.h"

#include <stdio.h>
#include <string.h>

/* Without a frame for so long, there is something to be said. */
#define MIN_GAP (500 * GST_MSECOND)

/* --- Cuts ---------------------------------------------------------------- */

static const IndexFrame *
get_frame (const GArray * frames, guint i)
{
  return &g_array_index (frames, IndexFrame, i);
}

/* The frame after `from` to cut before: the key frame that is nearest to
 * `length` later, or where none is near, the first one so much later. The
 * number of frames: none. */
static guint
find_cut (const GArray * frames, guint from, GstClockTime length)
{
  GstClockTime target = get_frame (frames, from)->time + length;
  guint key = frames->len, any = frames->len;
  GstClockTimeDiff nearest = length / 2, distance;

  for (guint i = from + 1; i < frames->len; i++) {
    const IndexFrame *frame = get_frame (frames, i);

    distance = ABS (GST_CLOCK_DIFF (target, frame->time));
    if (frame->time >= target)
      any = MIN (any, i);
    if (frame->is_key && distance <= nearest) {
      nearest = distance;
      key = i;
    }
    if (frame->time > target + length / 2)
      return key < frames->len ? key : any;
  }
  return frames->len;           /* what is left is about one part */
}

/* What is fed to the model before a part, and where reading begins for it: at
 * the last key frame before all that. */
static void
find_lead (const GArray * frames, guint from, guint n_lead, PlanPart * part)
{
  guint lead = from - MIN (from, n_lead);
  guint key = lead;

  while (key > 0 && !get_frame (frames, key)->is_key)
    key--;
  part->lead = get_frame (frames, lead)->time;
  part->before = lead < from ? get_frame (frames, from - 1)->time
      : GST_CLOCK_TIME_NONE;
  part->jumps = key > 0;
  part->key = part->jumps ? get_frame (frames, key)->stream_time
      : GST_CLOCK_TIME_NONE;
}

GArray *
split_frames (const GArray * frames, GstClockTime end, GstClockTime length,
    guint n_lead, guint * n_between)
{
  GArray *parts = g_array_new (FALSE, FALSE, sizeof (PlanPart));
  GstClockTime first = get_frame (frames, 0)->time;
  guint next;

  *n_between = 0;
  end = MAX (end, get_frame (frames, frames->len - 1)->time + 1);
  /* A part may be half as long. */
  length = MAX (length, 2 * (end - first) / PLAN_MAX_PARTS);
  for (guint from = 0; from < frames->len; from = next) {
    PlanPart part = {.start = get_frame (frames, from)->time };

    next = find_cut (frames, from, length);
    part.n_frames = next - from;
    part.last = get_frame (frames, next - 1)->time;
    part.stop = next < frames->len ? get_frame (frames, next)->time : end;
    find_lead (frames, from, n_lead, &part);
    g_array_append_val (parts, part);
    *n_between += next < frames->len && !get_frame (frames, next)->is_key;
  }
  return parts;
}

/* --- The source ---------------------------------------------------------- */

static gboolean
read_index (const char *in, Index * index, GCancellable * cancellable,
    GError ** error)
{
  TranscodeParams params = {.stage = STAGE_INDEX,.in = in,.index = index };
  Transcode *transcode = transcode_new (&params, error);
  TranscodeResult result;
  gboolean ok;

  if (!transcode)
    return FALSE;
  ok = transcode_run (transcode, cancellable, &result, error);
  transcode_free (transcode);
  if (!ok)
    return FALSE;
  ok = index_finish (index, error);
  if (!ok)
    g_prefix_error (error, "\"%s\" cannot be restored in parts, but by "
        "pipelines/upscale, or as a copy (ffmpeg -fflags +genpts -i IN -c copy "
        "COPY.mkv): ", in);
  return ok;
}

/* --- The plan ------------------------------------------------------------ */

/* Variable frame rates have gaps, too; corrupt files have them where nothing
 * could be read. */
static void
tell_gaps (const char *in, const GArray * frames)
{
  g_autofree char *longest = NULL;
  GstClockTime gap, length = MIN_GAP;
  guint n = 0;

  for (guint i = 1; i < frames->len; i++) {
    gap = get_frame (frames, i)->time - get_frame (frames, i - 1)->time;
    n += gap > MIN_GAP;
    if (gap <= length)
      continue;
    length = gap;
    g_free (longest);
    longest = plan_describe_range (get_frame (frames, i - 1)->time,
        get_frame (frames, i)->time);
  }
  if (n > 0)
    fprintf (stderr, "archive: \"%s\" has nothing to be seen for a while in %u"
        " places, the longest is %s\n", in, n, longest);
}

static gboolean
make_parts (Plan * plan, const SplitOptions * options, GError ** error)
{
  guint n_between;
  Index index;
  gboolean ok;

  index_init (&index);
  ok = read_index (plan->in, &index, options->cancellable, error);
  if (ok) {
    tell_gaps (plan->in, index.frames);
    plan->offset = index.offset;
    plan->parts = split_frames (index.frames, index.end, options->length,
        properties_count_lead (plan->properties), &n_between);
    if (n_between > 0)
      fprintf (stderr, "archive: %u parts of \"%s\" begin between key frames, "
          "as these are far apart: what comes before is decoded for them\n",
          n_between, plan->in);
  }
  index_clear (&index);
  return ok;
}

/* All but the parts. */
static gboolean
describe (Plan * plan, const Paths * paths, const SplitOptions * options,
    GError ** error)
{
  const char *model = properties_get (options->properties, "model");

  plan->in = g_canonicalize_filename (paths->in, NULL);
  plan->out = g_canonicalize_filename (paths->out, NULL);
  plan->encoder = g_strdup (options->encoder);
  plan->properties = g_strdupv (options->properties);
  plan->identity = identity_of (plan->in, error);
  if (!plan->identity)
    return FALSE;
  plan->model = model ? identity_of (model, error) : NULL;
  return !model || plan->model;
}

/* What the plan that is there is not for, or NULL. */
static const char *
find_difference (const Plan * there, const Plan * wanted)
{
  if (strcmp (there->in, wanted->in) != 0
      || strcmp (there->identity, wanted->identity) != 0)
    return "another source, or the source has changed";
  if (g_strcmp0 (there->encoder, wanted->encoder) != 0)
    return "another --encoder";
  if (!g_strv_equal ((const char *const *) there->properties,
          (const char *const *) wanted->properties))
    return "another --set";
  if (g_strcmp0 (there->model, wanted->model) != 0)
    return "another model, or the model has changed";
  return NULL;
}

static Plan *
take_existing (const char *path, const Plan * wanted, GError ** error)
{
  g_autoptr (Plan) plan = plan_load (path, error);
  const char *difference;

  if (!plan)
    return NULL;
  difference = find_difference (plan, wanted);
  if (!difference)
    return g_steal_pointer (&plan);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_EXISTS,
      "\"%s\" is there already and is for %s; remove that folder to begin anew",
      plan->folder, difference);
  return NULL;
}

static Plan *
make_plan (const Paths * paths, const SplitOptions * options, GError ** error)
{
  g_autoptr (Plan) plan = g_new0 (Plan, 1);
  g_autofree char *path = NULL;

  if (!encoder_find (options->encoder, paths->container, error)
      || !describe (plan, paths, options, error))
    return NULL;
  path = plan_dup_path (plan->out);
  if (g_file_test (path, G_FILE_TEST_EXISTS))
    return take_existing (path, plan, error);
  if (!make_parts (plan, options, error) || !plan_save (plan, error))
    return NULL;
  return g_steal_pointer (&plan);
}

Plan *
split_film (const char *in, const char *out, const SplitOptions * options,
    GError ** error)
{
  Paths paths = {.in = in };
  Plan *plan = NULL;

  if (paths_choose (&paths, out, error) && paths_check (&paths, error))
    plan = make_plan (&paths, options, error);
  paths_clear (&paths);
  return plan;
}
