/* The element against PyTorch: raw frames from a file, through a pipeline,
 * into a file that must hold the pictures of the case; and the prompt that it finds
 * in a frame.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <gst/gst.h>
#include <glib/gstdio.h>

#include "case.h"

#define TIMEOUT (120 * GST_SECOND)

typedef struct
{
  const AgreementCase *c;
  int frame;                    /* the next one */
} Cuts;

/* Marks the frames that begin anew. */
static GstPadProbeReturn
mark_cut (GstPad *pad, GstPadProbeInfo *info, gpointer data)
{
  Cuts *cuts = data;
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER (info);

  if (agreement_case_is_cut (cuts->c, cuts->frame++)) {
    buffer = gst_buffer_make_writable (buffer);
    GST_BUFFER_FLAG_SET (buffer, GST_BUFFER_FLAG_DISCONT);
    GST_PAD_PROBE_INFO_DATA (info) = buffer;
  }
  return GST_PAD_PROBE_OK;
}

/* Lets mark_cut () see what goes into the element. */
static void
add_probe (Cuts *cuts, GstElement *pipeline)
{
  GstElement *element = gst_bin_get_by_name (GST_BIN (pipeline), "dloral");
  GstPad *pad = gst_element_get_static_pad (element, "sink");

  gst_pad_add_probe (pad, GST_PAD_PROBE_TYPE_BUFFER, mark_cut, cuts, NULL);
  gst_object_unref (pad);
  gst_object_unref (element);
}

/* Runs the pipeline until its end. */
static void
play (const AgreementCase *c, const char *description)
{
  g_autoptr (GError) error = NULL;
  GstElement *pipeline = gst_parse_launch (description, &error);
  Cuts cuts = {.c = c };
  GstBus *bus;
  GstMessage *message;

  g_assert_no_error (error);
  add_probe (&cuts, pipeline);
  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, TIMEOUT,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  g_assert_nonnull (message);
  if (GST_MESSAGE_TYPE (message) == GST_MESSAGE_ERROR)
    gst_message_parse_error (message, &error, NULL);
  g_assert_no_error (error);
  gst_message_unref (message);
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
}

/* What the element makes of the case's frames, all pictures in a row. */
static guint8 *
upscale (const AgreementCase *c, DloralColorFix fix, gsize *size)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *out = NULL, *description = NULL;
  const char *device = g_getenv ("DLORAL_TEST_DEVICE");
  char *content;
  int fd = g_file_open_tmp ("agreement-XXXXXX.raw", &out, &error);

  g_assert_no_error (error);
  g_close (fd, NULL);
  description = g_strdup_printf ("filesrc location=\"%s\" ! "
      "rawvideoparse format=rgb width=%d height=%d framerate=25/1 "
      "plane-strides=\"<(int)%d>\" ! "
      "dloral name=dloral device=%s model=\"%s\" precision=f32 color-fix=%s vae=%s ! "
      "filesink location=\"%s\"", c->lq_path, c->width, c->height,
      3 * c->width, device ? device : "auto", c->model, agreement_color_fix_get_name (fix),
      c->vae == DLORAL_VAE_TINY ? "tiny" : "full", out);
  play (c, description);
  g_file_get_contents (out, &content, size, &error);
  g_assert_no_error (error);
  g_unlink (out);
  return (guint8 *) content;
}

static void
test_case (gconstpointer folder)
{
  AgreementCase *c = agreement_case_require (folder);
  gsize picture_size = (gsize) 16 * c->width * c->height * 3;

  for (guint i = 0; i < G_N_ELEMENTS (agreement_color_fixes); i++) {
    DloralColorFix fix = agreement_color_fixes[i];
    gsize size;
    g_autofree guint8 *pictures = NULL;

    if (c->pictures[fix] == NULL)
      continue;
    pictures = upscale (c, fix, &size);
    /* Every frame leaves, the first one too. */
    g_assert_cmpuint (size, ==, c->n_frames * picture_size);
    agreement_check_pictures (agreement_color_fix_get_name (fix),
        pictures + c->first_picture * picture_size, c->pictures[fix],
        (c->n_frames - c->first_picture) * picture_size);
  }
  agreement_case_free (c);
}

/* --- Tags --------------------------------------------------------------------- */

/* The first element message of a pipeline that shows the picture `lq` over and
 * over. */
static GstMessage *
show_until_message (const DloralEntry *lq, const char *model,
    const char *tagger)
{
  g_autoptr (GError) error = NULL;
  const char *device = g_getenv ("DLORAL_TEST_DEVICE");
  g_autofree char *raw = NULL;
  g_autofree char *description = NULL;
  int fd = g_file_open_tmp ("agreement-XXXXXX.raw", &raw, &error);
  GstElement *pipeline;
  GstMessage *message;
  GstBus *bus;

  g_assert_no_error (error);
  g_close (fd, NULL);
  g_assert_true (g_file_set_contents (raw, (const char *) lq->data, lq->size,
          NULL));
  description = g_strdup_printf ("multifilesrc location=\"%s\" loop=true "
      "caps=video/x-raw,format=RGB,width=%d,height=%d,framerate=25/1 ! "
      "dloral device=%s model=\"%s\" precision=f32 auto-prompt=first-frame "
      "tagger=\"%s\" prompt=clean ! fakesink", raw, (int) lq->shape[1],
      (int) lq->shape[0], device ? device : "auto", model, tagger);
  pipeline = gst_parse_launch (description, &error);
  g_assert_no_error (error);
  bus = gst_element_get_bus (pipeline);
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  message = gst_bus_timed_pop_filtered (bus, TIMEOUT, GST_MESSAGE_ELEMENT
      | GST_MESSAGE_WARNING | GST_MESSAGE_ERROR);
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  g_unlink (raw);
  return message;
}

static void
test_tags (void)
{
  g_autofree char *model = g_test_build_filename (G_TEST_DIST,
      "../engine/data/text-model.safetensors", NULL);
  g_autofree char *tagger = g_test_build_filename (G_TEST_DIST,
      "data/tagger/tagger.safetensors", NULL);
  /* Rows of 4-byte multiples, as GStreamer's RGB has them. */
  g_autofree char *path = g_test_build_filename (G_TEST_DIST,
      "data/tagger/answers-40x33.safetensors", NULL);
  g_autofree char *prompt = NULL;
  g_autoptr (GError) error = NULL;
  DloralSafetensors *answers = dloral_safetensors_open (path, &error);
  const char *tags;
  GstMessage *message;
  const GstStructure *s;

  g_assert_no_error (error);
  tags = dloral_safetensors_get_metadata (answers, "tags");
  message = show_until_message (dloral_safetensors_find (answers, "lq"), model,
      tagger);
  g_assert_nonnull (message);
  g_assert_cmpint (GST_MESSAGE_TYPE (message), ==, GST_MESSAGE_ELEMENT);
  s = gst_message_get_structure (message);
  g_assert_cmpstr (gst_structure_get_name (s), ==, "dloral-tags");
  g_assert_cmpstr (gst_structure_get_string (s, "tags"), ==, tags);
  prompt = g_strconcat (tags, ", clean,", NULL);
  g_assert_cmpstr (gst_structure_get_string (s, "prompt"), ==, prompt);
  gst_message_unref (message);
  dloral_safetensors_free (answers);
}

/* Arguments: folders with further cases. */
int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  agreement_add_cases ("/element/%s", argc - 1, argv + 1, test_case);
  g_test_add_func ("/element/tags", test_tags);
  return g_test_run ();
}
