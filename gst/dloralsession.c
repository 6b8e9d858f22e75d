/* SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "dloralsession.h"

DloralSession *
dloral_session_new (DloralModel * model, const DloralStreamParams * params,
    GError ** error)
{
  DloralStream *stream = dloral_stream_new (model, params, error);
  DloralSession *session;

  if (!stream)
    return NULL;
  session = g_new0 (DloralSession, 1);
  session->refs = 1;
  session->model = dloral_model_ref (model);
  session->stream = stream;
  session->width = params->width;
  session->height = params->height;
  session->deep = params->deep;
  session->on_cuda =
      g_str_equal (dloral_model_get_device_name (model), "cuda");
  return session;
}

DloralSession *
dloral_session_ref (DloralSession * session)
{
  g_atomic_int_inc (&session->refs);
  return session;
}

void
dloral_session_unref (DloralSession * session)
{
  if (!g_atomic_int_dec_and_test (&session->refs))
    return;
  dloral_stream_free (session->stream);
  dloral_model_unref (session->model);
  g_free (session);
}
