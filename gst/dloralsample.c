/* Which frames are looked at for a prompt: the first one of a video or a scene, as
 * the application wishes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "gstdloralprivate.h"

void
gst_dloral_note_beginning (GstDloral * self, DloralBeginning beginning)
{
  g_mutex_lock (&self->state.lock);
  self->state.beginning = MAX (self->state.beginning, beginning);
  g_mutex_unlock (&self->state.lock);
}

/* Whether the frame at hand is to be looked at. It is asked once. */
static gboolean
gst_dloral_wants_sample (GstDloral * self)
{
  DloralState *state = &self->state;
  DloralBeginning least = DLORAL_BEGINNING_VIDEO;
  DloralAutoPrompt auto_prompt;
  gboolean wanted;

  GST_OBJECT_LOCK (self);
  auto_prompt = self->settings.auto_prompt;
  GST_OBJECT_UNLOCK (self);
  if (auto_prompt == DLORAL_AUTO_PROMPT_OFF)
    return FALSE;
  if (auto_prompt == DLORAL_AUTO_PROMPT_SCENE)
    least = DLORAL_BEGINNING_SCENE;
  g_mutex_lock (&state->lock);
  wanted = state->beginning >= least;
  if (wanted)
    state->beginning = DLORAL_BEGINNING_NONE;
  g_mutex_unlock (&state->lock);
  return wanted;
}

void
gst_dloral_offer_sample (GstDloral * self, GstBuffer * inbuf)
{
  DloralState *state = &self->state;
  DloralSample *sample;
  GstVideoFrame in;

  if (!gst_dloral_wants_sample (self)
      || !gst_video_frame_map (&in, &state->in, inbuf, GST_MAP_READ))
    return;
  sample = g_new (DloralSample, 1);
  sample->format = *dloral_convert_get_in (state->convert);
  sample->data = g_malloc (sample->format.size);
  dloral_convert_put (state->convert, &in, sample->data);
  gst_video_frame_unmap (&in);
  dloral_preparer_look_at (state->preparer, sample);
}
