/* The plugin as it is built, with the engine and the default model.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/check/check.h>
#include <gst/check/gstharness.h>
#include <gst/video/video.h>

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define WIDTH 40
#define HEIGHT 26
#define N_FRAMES 3

#define CAPS "video/x-raw, format=GRAY8, width=40, height=26, framerate=25/1"
/* Rows of grey frames are multiples of 4 bytes, as these are. */
#define OUT_SIZE (4 * WIDTH * 4 * HEIGHT)

/* Smooth waves that move, so that every frame differs. */
static GstBuffer *
make_frame (guint n)
{
  GstBuffer *buffer = gst_buffer_new_allocate (NULL, WIDTH * HEIGHT, NULL);
  GstMapInfo map;
  gint x, y;

  gst_buffer_map (buffer, &map, GST_MAP_WRITE);
  for (y = 0; y < HEIGHT; y++)
    for (x = 0; x < WIDTH; x++)
      map.data[y * WIDTH + x] =
          128 + 80 * sin ((x + n) * 0.4) * cos (y * 0.3);
  gst_buffer_unmap (buffer, &map);
  GST_BUFFER_PTS (buffer) = n * 40 * GST_MSECOND;
  return buffer;
}

static GstHarness *
new_harness (const gchar * properties)
{
  gchar *text = g_strdup_printf ("dloral %s", properties);
  GstHarness *h = gst_harness_new_parse (text);

  fail_unless (h != NULL);
  gst_harness_set_live (h, FALSE);      /* frames wait for the model */
  gst_harness_set_src_caps_str (h, CAPS);
  g_free (text);
  return h;
}

/* All frames through an element of these properties, one after the other. */
static guint8 *
restore (const gchar * properties)
{
  GstHarness *h = new_harness (properties);
  guint8 *all = g_malloc (N_FRAMES * OUT_SIZE);
  guint i;

  for (i = 0; i < N_FRAMES; i++)
    fail_unless_equals_int (gst_harness_push (h, make_frame (i)), GST_FLOW_OK);
  for (i = 0; i < N_FRAMES; i++) {
    GstBuffer *buffer = gst_harness_pull (h);

    fail_unless_equals_int (gst_buffer_extract (buffer, 0, all + i * OUT_SIZE,
            OUT_SIZE), OUT_SIZE);
    fail_unless_equals_uint64 (GST_BUFFER_PTS (buffer), i * 40 * GST_MSECOND);
    gst_buffer_unref (buffer);
  }
  gst_harness_teardown (h);
  return all;
}

/* The default model is found, wherever the program runs; its result is the
 * picture that went in, four times as large. */
GST_START_TEST (test_default_model)
{
  guint8 *all;
  gdouble error = 0;
  gint x, y, i;

  fail_unless_equals_int (g_chdir ("/"), 0);
  all = restore ("precision=f32");
  for (i = 0; i < N_FRAMES; i++) {
    for (y = 0; y < 4 * HEIGHT; y++) {
      for (x = 0; x < 4 * WIDTH; x++) {
        gdouble ideal = 128 + 80 * sin (((x + 0.5) / 4 - 0.5 + i) * 0.4)
            * cos (((y + 0.5) / 4 - 0.5) * 0.3);
        gdouble d = all[i * OUT_SIZE + y * 4 * WIDTH + x] - ideal;

        error += d * d;
      }
    }
  }
  error = sqrt (error / (N_FRAMES * OUT_SIZE));
  fail_unless (error < 6, "rms error %.2f levels", error);
  g_free (all);
}

GST_END_TEST;

/* Frames in flight change nothing. */
GST_START_TEST (test_depths_agree)
{
  guint8 *a = restore ("precision=f32 async-depth=0");
  guint8 *b = restore ("precision=f32 async-depth=3");

  fail_unless_equals_int (memcmp (a, b, N_FRAMES * OUT_SIZE), 0);
  g_free (a);
  g_free (b);
}

GST_END_TEST;

GST_START_TEST (test_stats)
{
  GstHarness *h = new_harness ("device=cpu precision=f32");
  GstStructure *stats;
  guint64 memory, decode;

  gst_harness_push (h, make_frame (0));
  gst_buffer_unref (gst_harness_pull (h));
  gst_harness_get (h, "dloral", "stats", &stats, NULL);
  fail_unless_equals_string (gst_structure_get_string (stats, "device"), "cpu");
  fail_unless_equals_string (gst_structure_get_string (stats, "precision"),
      "f32");
  fail_unless (gst_structure_get (stats, "memory", G_TYPE_UINT64, &memory,
          "decode-time", G_TYPE_UINT64, &decode, NULL));
  fail_unless (memory > OUT_SIZE && decode > 0);
  gst_structure_free (stats);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Another precision while playing takes over when it is ready; frames go on
 * meanwhile, and none is lost. */
GST_START_TEST (test_switch)
{
  GstHarness *h = new_harness ("device=cpu precision=bf16");
  GstStructure *stats = NULL;
  gboolean switched = FALSE;
  guint64 out, n = 0;

  while (!switched) {
    fail_unless (n < 2000);
    gst_harness_push (h, make_frame (n++));
    gst_buffer_unref (gst_harness_pull (h));
    if (n == 3)
      gst_harness_set (h, "dloral", "precision", 1 /* f32 */ , NULL);
    g_clear_pointer (&stats, gst_structure_free);
    gst_harness_get (h, "dloral", "stats", &stats, NULL);
    switched = g_strcmp0 (gst_structure_get_string (stats, "precision"),
        "f32") == 0;
    fail_if (switched && n <= 3);
  }
  fail_unless (gst_structure_get_uint64 (stats, "frames-out", &out));
  fail_unless_equals_uint64 (out, n);
  gst_structure_free (stats);
  gst_harness_teardown (h);
}

GST_END_TEST;

/* Model files that are none. */
static const struct
{
  const gchar *content;         /* NULL: no file */
  gint code;
} bad[] = {
  {NULL, GST_RESOURCE_ERROR_NOT_FOUND},
  {"", GST_RESOURCE_ERROR_READ},
  {"This is not a model, but it is long enough to look for one in it.",
      GST_RESOURCE_ERROR_READ},
};

/* Takes the element, which must fail on its way to PAUSED; what it says. */
static GError *
get_error (GstElement * element)
{
  GstBus *bus = gst_bus_new ();
  GstMessage *message;
  GError *error = NULL;

  gst_element_set_bus (element, bus);
  gst_element_set_state (element, GST_STATE_PAUSED);
  message = gst_bus_timed_pop_filtered (bus, 20 * GST_SECOND,
      GST_MESSAGE_ERROR);
  fail_unless (message != NULL);
  gst_message_parse_error (message, &error, NULL);
  gst_message_unref (message);
  gst_element_set_state (element, GST_STATE_NULL);
  gst_bus_set_flushing (bus, TRUE);
  gst_object_unref (bus);
  gst_object_unref (element);
  return error;
}

GST_START_TEST (test_bad_model)
{
  gchar *folder = g_dir_make_tmp ("dloral-XXXXXX", NULL);
  gchar *path = g_build_filename (folder, "bad.safetensors", NULL);
  GstElement *element = gst_element_factory_make ("dloral", NULL);
  GError *error;

  if (bad[__i__].content)
    fail_unless (g_file_set_contents (path, bad[__i__].content, -1, NULL));
  g_object_set (element, "model", path, NULL);
  error = get_error (element);
  fail_unless (g_error_matches (error, GST_RESOURCE_ERROR, bad[__i__].code),
      "%s", error->message);
  fail_unless (strstr (error->message, path) != NULL);
  g_clear_error (&error);
  g_remove (path);
  g_rmdir (folder);
  g_free (path);
  g_free (folder);
}

GST_END_TEST;

/* A coder that the model has not is not replaced by another. */
GST_START_TEST (test_no_tiny_coder)
{
  GstElement *element = gst_element_factory_make ("dloral", NULL);
  GError *error;

  gst_util_set_object_arg (G_OBJECT (element), "vae", "tiny");
  error = get_error (element);
  fail_unless (g_error_matches (error, GST_LIBRARY_ERROR,
          GST_LIBRARY_ERROR_SETTINGS), "%s", error->message);
  fail_unless (strstr (error->message, "no tiny coder") != NULL);
  fail_unless (strstr (error->message, "\"vae\"") != NULL);
  g_clear_error (&error);
}

GST_END_TEST;

/* Nor does precision fp8 guess what a calibration would measure. */
GST_START_TEST (test_no_scales)
{
  GstElement *element = gst_element_factory_make ("dloral", NULL);
  GError *error;

  gst_util_set_object_arg (G_OBJECT (element), "precision", "fp8");
  error = get_error (element);
  fail_unless (g_error_matches (error, GST_LIBRARY_ERROR,
          GST_LIBRARY_ERROR_SETTINGS), "%s", error->message);
  fail_unless (strstr (error->message, "weights/calibrate") != NULL);
  fail_unless (strstr (error->message, "\"precision\"") != NULL);
  g_clear_error (&error);
}

GST_END_TEST;

static Suite *
plugin_suite (void)
{
  Suite *s = suite_create ("plugin");
  TCase *tc = tcase_create ("plugin");

  suite_add_tcase (s, tc);
  tcase_add_test (tc, test_default_model);
  tcase_add_test (tc, test_depths_agree);
  tcase_add_test (tc, test_stats);
  tcase_add_test (tc, test_switch);
  tcase_add_loop_test (tc, test_bad_model, 0, G_N_ELEMENTS (bad));
  tcase_add_test (tc, test_no_tiny_coder);
  tcase_add_test (tc, test_no_scales);
  return s;
}

GST_CHECK_MAIN (plugin);
