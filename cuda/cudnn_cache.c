/* Finished plans and other answers on disk: a file each, named by a hash of the
 * device, the library and the question, for a plan the graph's text, which also
 * stand in it. Making a plan takes about a second, reading one about a
 * millisecond.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cudnn_private.h"

#include <glib/gstdio.h>
#include <string.h>

#define MAGIC "gst-dloral plan 1"

static char *
get_path (const DloralCudnn *cudnn, const char *text)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *name = NULL;

  g_checksum_update (sum, (const guchar *) cudnn->identity, -1);
  g_checksum_update (sum, (const guchar *) "\n", 1);
  g_checksum_update (sum, (const guchar *) text, -1);
  name = g_strdup_printf ("%s.plan", g_checksum_get_string (sum));
  return g_build_filename (cudnn->cache, name, NULL);
}

/* Of lines: what it is, of what, a checksum of the answer; which is the rest. */
static char *
get_contents (const DloralCudnn *cudnn, const char *text, const char *answer)
{
  g_autofree char *sum =
      g_compute_checksum_for_string (G_CHECKSUM_SHA256, answer, -1);

  return g_strdup_printf ("%s\n%s\n%s\n%s\n%s", MAGIC, cudnn->identity, text,
      sum, answer);
}

char *
dloral_cudnn_recall (const DloralCudnn *cudnn, const char *text)
{
  g_autofree char *path = NULL, *contents = NULL, *expected = NULL;
  g_auto (GStrv) lines = NULL;

  if (cudnn->cache == NULL)
    return NULL;
  path = get_path (cudnn, text);
  if (!g_file_get_contents (path, &contents, NULL, NULL))
    return NULL;
  lines = g_strsplit (contents, "\n", 5);
  if (g_strv_length (lines) != 5)
    return NULL;
  expected = get_contents (cudnn, text, lines[4]);
  return g_str_equal (contents, expected) ? g_strdup (lines[4]) : NULL;
}

void
dloral_cudnn_keep (const DloralCudnn *cudnn, const char *text,
    const char *answer)
{
  g_autofree char *path = NULL, *contents = NULL;

  if (cudnn->cache == NULL || g_mkdir_with_parents (cudnn->cache, 0700) != 0)
    return;
  path = get_path (cudnn, text);
  contents = get_contents (cudnn, text, answer);
  g_file_set_contents (path, contents, -1, NULL);
}

/* --- Plans: the engine's number in a line, then what cuDNN says ------------------ */

static cudnnBackendDescriptor_t
read_plan (const DloralCudnn *cudnn, const char *json)
{
  const DloralCudnnApi *api = cudnn->api;
  cudnnBackendDescriptor_t plan = NULL;
  cudnnStatus_t status = api->cudnnBackendCreateDescriptor
      (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan);

  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendSetAttribute (plan,
        CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
        &cudnn->device);
  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendSetAttribute (plan,
        CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
        strlen (json), json);
  if (status == CUDNN_STATUS_SUCCESS)
    status = api->cudnnBackendFinalize (plan);
  if (status == CUDNN_STATUS_SUCCESS)
    return plan;
  if (plan)
    api->cudnnBackendDestroyDescriptor (plan);
  return NULL;
}

DloralCudnnPlan *
dloral_cudnn_cache_load (DloralCudnn *cudnn, const char *text)
{
  g_autofree char *answer = dloral_cudnn_recall (cudnn, text);
  g_auto (GStrv) lines = answer ? g_strsplit (answer, "\n", 2) : NULL;
  cudnnBackendDescriptor_t plan;

  if (lines == NULL || g_strv_length (lines) != 2)
    return NULL;
  plan = read_plan (cudnn, lines[1]);
  return plan ? dloral_cudnn_plan_wrap (cudnn, plan, lines[0], NULL) : NULL;
}

static char *
dup_json (const DloralCudnnPlan *p)
{
  const DloralCudnnApi *api = p->cudnn->api;
  int64_t size = 0;
  char *json;

  if (api->cudnnBackendGetAttribute (p->plan,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 0,
          &size, NULL) != CUDNN_STATUS_SUCCESS || size <= 0)
    return NULL;
  json = g_malloc0 (size + 1);
  if (api->cudnnBackendGetAttribute (p->plan,
          CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, size,
          &size, json) == CUDNN_STATUS_SUCCESS)
    return json;
  g_free (json);
  return NULL;
}

void
dloral_cudnn_cache_store (const DloralCudnnPlan *p, const char *text)
{
  g_autofree char *json = p->cudnn->cache ? dup_json (p) : NULL;
  g_autofree char *answer = json ? g_strconcat (p->engine, "\n", json, NULL) :
      NULL;

  if (answer)
    dloral_cudnn_keep (p->cudnn, text, answer);
}
